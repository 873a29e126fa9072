"""The performance matrix's missing cells: fine-tune each model on each benchmark, exactly once.

Working files are in `<results>/.work`, which is never published:

    events.jsonl         what happened, one JSON object a line, appended by every process
    trials/<key>/        checkpoints of cells that are being trained
    finished/<key>.json  records on their way into the repository, and how fast they were trained
    encoded/             encoded splits, for whichever job needs them next
    logs/<key>.log       what a cell that failed printed
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hf_select.catalog import Catalog
from hf_select.errors import RecordError, StoppedError
from hf_select.files import is_claimed, sweep
from hf_select.launched import Place, place
from hf_select.records import DatasetEntry, LearningCurve, Recipe, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.training.cell_job import (
    Fetch,
    forget,
    leave,
    prepare_cell,
    record_from_dict,
    run_cell,
    run_job,
)
from hf_select.training.cells import (
    Cell,
    all_cells,
    check_arguments,
    recorded,
)
from hf_select.training.events import (
    BenchmarkEvent,
    EventTail,
    OnEvent,
    cell_event,
    log_event,
)
from hf_select.training.executors.base import Job, Outcome
from hf_select.training.executors.engine import Engine
from hf_select.training.machine import hardware, now, versions
from hf_select.training.throughput import Throughput, Totals, added

if TYPE_CHECKING:
    from hf_select.training.scoring import ScoringSummary

RECHECK = 5.0
"""Seconds for which a driver believes what it has read of the record: each job looks for itself."""
UNREACHED = 3
"""Cells in a row that the Hub couldn't be reached for, after which no other one asks it."""
T = TypeVar("T")


@dataclass(frozen=True)
class BenchmarkSummary:
    """What a benchmark run did: cells trained, failed, and not touched as they were recorded.

    `failed_before`: of those not touched, the ones whose record says that they failed.
    `undone`: those that need the Hub, which couldn't be reached; the same call tries them again.
    `proxies`: what was scored after them, if anything was to be. `throughput`: of all jobs that
    told theirs.
    """

    done: int
    failed: int
    skipped: int
    seconds: float
    undone: tuple[BenchmarkEvent, ...] = ()
    proxies: ScoringSummary | None = None
    throughput: Totals | None = None
    failed_before: int = 0


def run_benchmark(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    checkpoint_every: float = 60.0,
    submitter: str = "",
    max_cells: int | None = None,
    only: Sequence[str] | None = None,
    fetch: Fetch | None = None,
    engine: Engine | None = None,
    parallel: str = "jobs",
    on_event: OnEvent | None = None,
) -> BenchmarkSummary:
    """Train the missing cells, a process each; their rows are in the inbox then.

    `engine` says where: on this machine if not given. `jobs` at once (default: one per GPU, or
    per core), `timeout` and `checkpoint_every` in seconds.
    At most `max_cells` are trained, in the order of `missing_cells`, which says what `only` is.
    `fetch` gives the folders of models without a location, in the job's own process. Every result
    is kept as soon as it is there. Processes that were launched together all call it: each runs
    cells of its own, or with `parallel="data"` they train cell after cell together. Other processes
    can work on the repository, too, best with a `shard` each. Raises `InputError` on bad arguments
    before anything is written, and `StoppedError` after SIGINT or SIGTERM, with everything saved;
    the same call then goes on.
    """
    check_arguments(
        seeds=seeds, jobs=jobs, timeout=timeout, shard=shard, checkpoint_every=checkpoint_every
    )
    engine = engine or Engine()
    engine.check()
    began = time.monotonic()
    work = work_folder(repo)
    here = place()
    if here.world > 1:
        gather(parallel)
    everything = all_cells(
        catalog,
        repo,
        recipe,
        seeds,
        shard=shard,
        checkpoint_every=checkpoint_every,
        submitter=submitter,
        only=only,
    )
    by_id = {cell.key.id: cell for cell in everything}
    run = _Run(repo, work, recipe, by_id, retry_failed, on_event or (lambda event: None), fetch)
    if here.rank == 0:
        run.collect()  # what an earlier run had finished when it was killed
    known = recorded(repo, retry_failed)
    missing = common([cell.key.id for cell in everything if cell.key.id not in known])
    cells = [by_id[name] for name in missing[:max_cells]]
    run.done, run.failed, run.throughput = 0, 0, None
    if cells:
        try:
            if here.world > 1 and parallel == "data":
                run.train_together(cells, timeout)
            else:
                executor = engine.start(
                    run_job,
                    prepare=prepare_cell,
                    logs=work / "logs",
                    jobs=None if jobs is None else min(jobs, len(cells)),
                    timeout=timeout,
                    preload=modelling_modules(catalog),
                )
                jobs_of_mine = run.jobs(own_first(cells, here))
                executor.run(jobs_of_mine, on_end=run.on_end, on_tick=run.follow)
                if run.stopped:  # nobody has asked them to
                    raise StoppedError(
                        "some results could not be written",
                        hint="look whether the disk is full, then run the same command again",
                    )
        except StoppedError as error:
            run.follow()
            left = len(cells) - run.done - run.failed
            raise StoppedError(
                f"{error.message}: {run.done + run.failed} cells done, {left} left",
                hint=error.hint,
            ) from error
    counts = everyones((run.done, run.failed, run.throughput))  # by now all have come to an end
    run.follow()
    done, failed = sum(one[0] for one in counts), sum(one[1] for one in counts)
    undone = tuple(run.undone.values())
    skipped = len(everything) - len(missing) + len(cells) - done - failed - len(undone)
    seconds = time.monotonic() - began
    totals = reduce(added, (one[2] for one in counts))
    before = {cell.key.id for cell in everything} - set(missing)
    bad = sum(run.status != "ok" and run.key.id in before for run in repo.runs())
    return BenchmarkSummary(done, failed, skipped, seconds, undone, None, totals, bad)


def gather(parallel: str) -> None:
    """Let the launched processes find each other, each on its own device or all together."""
    from hf_select.training import agreement

    if parallel == "data":
        agreement.gather()
    else:
        agreement.part()


def common(value: T) -> T:
    """That of the first launched process."""
    if place().world == 1:
        return value
    from hf_select.training.agreement import first_ones

    return first_ones(value)


def everyones(value: T) -> list[T]:
    """Those of all launched processes, by rank."""
    if place().world == 1:
        return [value]
    from hf_select.training.agreement import exchanged

    return exchanged(value)


def own_first(items: Sequence[T], here: Place) -> list[T]:
    """A launched process's share, then the others', of which it takes what nobody has begun."""
    mine = items[here.rank :: here.world]
    others = [item for i, item in enumerate(items) if i % here.world != here.rank]
    return [*mine, *reversed(others)]


def work_folder(repo: ResultsRepo) -> Path:
    """The folder for working files, made. Raises `RecordError` if it can't be."""
    work = repo.path.absolute() / ".work"
    try:
        for name in ("finished", "logs", "locks", "trials"):
            (work / name).mkdir(parents=True, exist_ok=True)
        sweep(work / "finished")  # what a kill has left half written
    except OSError as error:
        raise RecordError(f"{repo.path} can't be written: {error}") from error
    return work


class _Run:
    """The parent's side: puts finished records into the repository and passes events on."""

    def __init__(
        self,
        repo: ResultsRepo,
        work: Path,
        recipe: Recipe,
        cells: Mapping[str, Cell],
        retry_failed: bool,
        on_event: OnEvent,
        fetch: Fetch | None = None,
    ) -> None:
        self.repo, self.work, self.recipe = repo, work, recipe
        self.cells, self.retry_failed = cells, retry_failed
        self.fetch, self.on_event = fetch, on_event
        self.done = self.failed = 0
        self.throughput: Totals | None = None
        self.undone: dict[str, BenchmarkEvent] = {}
        self.stopped = 0  # jobs that stopped by themselves, or were asked to
        self._unreached = 0  # cells in a row
        self._known: set[str] = set()
        self._read = float("-inf")
        self._events = EventTail(work)

    def jobs(self, cells: Sequence[Cell]) -> Iterator[Job]:
        """Jobs for the cells that are still missing when a slot is free."""
        for cell in cells:
            if not self.wanted(cell, fresh=False) or (
                place().world > 1 and is_claimed(cell.lock_file)
            ):
                continue
            if self._unreached >= UNREACHED and cell.needs_hub:
                reason = "not tried: the Hub could not be reached for the cells before it"
                log_event(self.work, cell_event(cell, "undone", reason=reason))
                continue
            more = {"fetch": self.fetch, "retry_failed": self.retry_failed}
            yield Job(cell.key.id, {**cell.to_dict(), **more})

    def wanted(self, cell: Cell, *, fresh: bool = True) -> bool:
        """Whether it has no record yet, not even one on its way in.

        In this order: what is taken in between the two is in the record then. If not `fresh` what
        was read a few seconds ago will do.
        """
        if cell.finished_file.exists():
            return False
        now = time.monotonic()
        if fresh or now - self._read > RECHECK:
            self._known, self._read = recorded(self.repo, self.retry_failed), now
        return cell.key.id not in self._known

    def train_together(self, cells: Sequence[Cell], timeout: float | None) -> None:
        """All launched processes train cell after cell."""
        from hf_select.training.together import Hooks, train_together

        hooks = Hooks(
            wanted=self.wanted,
            train=self._train,
            ended=self.on_end,
            undone=lambda cell, why: log_event(self.work, cell_event(cell, "undone", reason=why)),
            tick=self.follow,
        )
        train_together(cells, hooks, timeout=timeout)

    def _train(
        self, cell: Cell, stop: Callable[[], bool], micro_batch: int, timeout: float | None
    ) -> None:
        """One cell by all processes; the first one leaves its record."""
        first, began = place().rank == 0, time.time()
        counted: list[Throughput] = []
        record = run_cell(
            cell,
            stop=stop,
            on_event=(lambda event: log_event(cell.work, event)) if first else lambda event: None,
            fetch=self.fetch,
            micro_batch=micro_batch,
            timeout=timeout,
            on_throughput=counted.append,
        )
        counts = [one for part in everyones(counted) for one in part]
        if first:
            leave(cell, record, [_of_all(counts)] if counts else [], began)

    def on_end(self, outcome: Outcome) -> None:
        """A job is over: take its record in, or make one that says why there is none."""
        cell = self.cells[outcome.id]
        if outcome.status in ("failed", "timeout", "oom") and self.wanted(cell):
            record = RunRecord(
                key=cell.key,
                task=cell.dataset.task,
                metric=cell.dataset.metric,
                status=outcome.status,
                curve=LearningCurve.empty(),
                reason=outcome.reason,
                seconds=outcome.seconds,
                hardware=hardware(),
                versions=versions(),
                submitter=cell.submitter,
                created=now(),
            )
            leave(cell, record)
        self.stopped += outcome.status == "stopped"
        self.collect()

    def collect(self) -> None:
        """Move finished records into the repository, with the entries that they name.

        Only those of this process's cells: another shard's are for its own process to take in.
        A process with some of the same cells may get here at the same time; the one that removes
        the file counts the run.
        """
        records: dict[Path, RunRecord] = {}
        speeds: dict[Path, Totals | None] = {}
        for path in sorted((self.work / "finished").glob("*.json")):
            if path.stem not in self.cells:
                continue
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
                records[path] = record_from_dict(values)
                speeds[path] = Totals.from_dict(values.get("throughput"))
            except FileNotFoundError:  # another process has just taken it in
                continue
        if not records:
            return
        datasets: dict[tuple[str, str, str], DatasetEntry] = {}
        for path, record in records.items():
            if record.baseline == record.baseline:
                key = (record.key.dataset, record.key.dataset_revision, record.key.config)
                datasets[key] = replace(self.cells[path.stem].dataset, baseline=record.baseline)
        try:
            self.repo.append(
                records.values(),
                models=dict.fromkeys(self.cells[path.stem].model for path in records),
                datasets=datasets.values(),
                recipes=[self.recipe],
            )
        except OSError as error:
            raise StoppedError(
                f"{self.repo.path} can't be written: {error}",
                hint="the finished runs are kept; make room and run the same command again",
            ) from error
        for path, record in records.items():
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            forget(self.cells[path.stem], record)  # if its job was killed before it could
            good = record.status == "ok"
            self.done += good
            self.failed += not good
            self.throughput = added(self.throughput, speeds[path])
            event = cell_event(
                self.cells[path.stem],
                "done" if good else "failed",
                test=record.test,
                status=record.status,
                reason=record.reason,
                seconds=record.seconds,
                throughput=speeds[path],
            )
            log_event(self.work, event)

    def follow(self) -> None:
        """Pass on the events that were logged since the last time."""
        for event in self._events.read():
            if event.key not in self.cells:
                continue
            if event.kind == "undone":
                self.undone[event.key] = event
                self._unreached += 1
            elif event.kind in ("done", "failed"):
                self.undone.pop(event.key, None)  # another process could reach it
            elif event.kind == "start" and self.cells[event.key].needs_hub:
                self._unreached = 0
            self.on_event(event)


def _of_all(counts: Sequence[Throughput]) -> Throughput:
    """The rows of all processes, in the time of the first one."""
    return replace(
        counts[0],
        samples=sum(one.samples for one in counts),
        tokens=sum(one.tokens for one in counts),
        cells=sum(one.cells for one in counts),
    )


def modelling_modules(catalog: Catalog) -> list[str]:
    """The transformers modules of the catalog's local models, for the fork server to load."""
    types = set()
    for model in catalog.models:
        location = catalog.location(model.repo_id)
        if location is not None and (location / "config.json").is_file():
            try:
                settings = json.loads((location / "config.json").read_text(encoding="utf-8"))
            except ValueError:
                continue  # the cell's own record will say so
            types.add(str(settings.get("model_type", "")).replace("-", "_"))
    return [f"transformers.models.{t}.modeling_{t}" for t in sorted(types) if t.isidentifier()]
