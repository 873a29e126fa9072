"""The performance matrix's missing cells: fine-tune each model on each benchmark, exactly once.

Working files are in `<results>/.work`, which is never published:

    events.jsonl         what happened, one JSON object a line, appended by every process
    trials/<key>/        checkpoints of cells that are being trained
    finished/<key>.json  records on their way into the repository, and how fast they were trained
    encoded/             encoded splits, for whichever job needs them next
    logs/<key>.log       what a cell that failed printed
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hf_select.catalog import Catalog
from hf_select.environment import version_of
from hf_select.errors import (
    HfSelectError,
    HubError,
    InputError,
    LoneError,
    ModelError,
    RecordError,
    StoppedError,
    TrialError,
)
from hf_select.files import claimed, is_claimed, sweep, write_atomic
from hf_select.launched import Place, place
from hf_select.records import (
    NAN,
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    Recipe,
    RunKey,
    RunRecord,
)
from hf_select.results.repo import ResultsRepo
from hf_select.training.executors.base import Job, Outcome, job_began
from hf_select.training.executors.engine import Engine
from hf_select.training.seeds import check_seed
from hf_select.training.throughput import Throughput, Totals, added

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.scoring import ScoringSummary
    from hf_select.training.trial import AccelerateTrial, Prepared

LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "hf-select")
DISK = "disk: "
"""How the reason begins of a run that there was no room for; tried again, it goes on."""
RETRIED = ("failed", "timeout", "oom")
"""How a run can end that may end otherwise the next time."""
AGREE_SECONDS, MOST_STEPS = 2.0, 64
"""How often processes that train together ask whether one of them was asked to stop: seconds, and
steps at most."""
RECHECK = 5.0
"""Seconds for which a driver believes what it has read of the record: each job looks for itself."""
UNREACHED = 3
"""Cells in a row that the Hub couldn't be reached for, after which no other one asks it."""
Fetch = Callable[[ModelEntry], Path]
"""Gives the folder of a Hub model. Jobs get it, so it can be imported by name."""


# ----------------------------------------------------------------------------------- a cell


@dataclass(frozen=True)
class Cell:
    """One fine-tuning to do: what, from where (None = the Hub), and where the results go."""

    model: ModelEntry
    dataset: DatasetEntry
    recipe: Recipe
    seed: int
    results: Path
    model_location: Path | None = None
    dataset_location: Path | None = None
    checkpoint_every: float = 60.0  # seconds
    submitter: str = ""

    @property
    def key(self) -> RunKey:
        """What the run is recorded under."""
        return RunKey(
            model=self.model.repo_id,
            model_revision=self.model.revision,
            dataset=self.dataset.repo_id,
            dataset_revision=self.dataset.revision,
            config=self.dataset.config,
            recipe=self.recipe.digest(),
            seed=self.seed,
        )

    @property
    def work(self) -> Path:
        """The folder for working files."""
        return self.results / ".work"

    @property
    def scratch(self) -> Path:
        """The folder for this cell's checkpoints."""
        return self.work / "trials" / self.key.id

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `Cell.from_dict` reads them back."""
        values = asdict(self)
        values["recipe"] = self.recipe.to_dict()
        for name in ("results", "model_location", "dataset_location"):
            values[name] = None if values[name] is None else str(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """The inverse of `to_dict`, also after JSON has made lists of tuples."""
        values = dict(values)
        values["model"] = ModelEntry(**_tuples(values["model"]))
        values["dataset"] = DatasetEntry(**_tuples(values["dataset"]))
        values["recipe"] = Recipe.from_dict(values["recipe"])
        for name in ("results", "model_location", "dataset_location"):
            values[name] = None if values[name] is None else Path(values[name])
        return cls(**values)


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}


@dataclass(frozen=True)
class BenchmarkEvent:
    """Something that happened to a cell, or to a pair of model and data set that is scored.

    kind: `start` (epoch > 0: resumed there), `point` (epoch, val, val_loss, train_loss, and the
    memory of a GPU that it took at most, in bytes), `stopped` (epoch), and at the end `done`
    (test), `failed` (status, reason) or `undone` (reason: the Hub can't be reached). `throughput`
    of the first two: how fast it was trained, where that is known. Of a pair, which has no seed:
    `look`, then `scored` (seconds), `unscored` (reason) or `undone`.
    """

    kind: str
    key: str
    model: str
    dataset: str
    seed: int | None = None
    epoch: float = NAN
    val: float = NAN
    val_loss: float = NAN
    train_loss: float = NAN
    memory: float = NAN
    test: float = NAN
    status: str = ""
    reason: str = ""
    seconds: float = NAN
    time: float = 0.0  # since 1970
    throughput: Totals | None = None

    def to_json(self) -> str:
        """One line; fields that say nothing are left out."""
        said = {k: v for k, v in asdict(self).items() if v == v and v not in ("", None)}
        return json.dumps(said)

    @classmethod
    def from_json(cls, line: str) -> BenchmarkEvent:
        """The inverse of `to_json`. Fields of another version are left out.

        Raises `ValueError` or `TypeError` for what is no event.
        """
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError(f"not an event: {line!r}")
        values = {name: v for name, v in values.items() if name in cls.__dataclass_fields__}
        values["throughput"] = Totals.from_dict(values.get("throughput"))
        return cls(**values)


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


T = TypeVar("T")
OnEvent = Callable[[BenchmarkEvent], None]


def check_arguments(
    *,
    seeds: Sequence[int] = (0,),
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
) -> None:
    """Refuse values that no benchmark can run with, by `InputError`. Loads and writes nothing."""
    if not seeds:
        raise InputError("there are no seeds, but at least one is needed")
    for seed in seeds:
        check_seed(seed)
    twice = [seed for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise InputError(f"seed {twice[0]} is there twice, but each seed must be there once")
    if jobs is not None and jobs < 1:
        raise InputError(
            f"value of `jobs` is {jobs}, but must be at least 1",
            hint="leave it out for one per GPU, or per core",
        )
    if timeout is not None and not timeout > 0:
        raise InputError(
            f"value of `timeout` is {timeout:g}, but must be above 0 seconds",
            hint="leave it out for no limit",
        )
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"shard is {index}/{count}, but must be i/n with 0 <= i < n")
    if not checkpoint_every >= 0:
        raise InputError(
            f"value of `checkpoint_every` is {checkpoint_every:g}, but must be 0 seconds or more"
        )


def missing_cells(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    *,
    retry_failed: bool = False,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
    submitter: str = "",
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """The cells without a record: each model on each dataset of its task, for each seed.

    In an order that spreads over models and datasets, so that a part of the matrix is a fair
    sample of it. `retry_failed` takes those again that failed, timed out or ran out of memory.
    `shard` (i, n) keeps the i-th of n parts, split by key; `only` the cells whose keys have these
    ids, in their order.
    """
    check_arguments(seeds=seeds, shard=shard, checkpoint_every=checkpoint_every)
    cells = all_cells(
        catalog,
        repo,
        recipe,
        seeds,
        shard=shard,
        checkpoint_every=checkpoint_every,
        submitter=submitter,
        only=only,
    )
    known = _recorded(repo, retry_failed)
    return [cell for cell in cells if cell.key.id not in known]


def all_cells(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    *,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
    submitter: str = "",
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """As `missing_cells`, with those that have a record."""
    every = _all_cells(catalog, repo, recipe, seeds, checkpoint_every, submitter)
    return _sharded(_only(every, only), shard)


def seconds_an_epoch(runs: Sequence[RunRecord]) -> dict[tuple[str, str, str], float]:
    """(model, data set, config) -> what an epoch took there, the fastest of the runs."""
    found: dict[tuple[str, str, str], float] = {}
    for run in runs:
        if not len(run.curve) or not run.curve.epochs[-1] > 0:
            continue
        seconds = float(run.curve.seconds[-1]) / float(run.curve.epochs[-1])
        if seconds == seconds:
            place = (run.key.model, run.key.dataset, run.key.config)
            found[place] = min(seconds, found.get(place, seconds))
    return found


def check_timeout(cells: Sequence[Cell], runs: Sequence[RunRecord], timeout: float) -> None:
    """Refuse a time-out in which some cell wouldn't get through one epoch, by the record's runs.

    An estimate: the record may be of another machine, of which the fastest is believed. Raises
    `InputError` with the slowest cell.
    """
    known = seconds_an_epoch(runs)
    places = {(c.key.model, c.key.dataset, c.key.config): c for c in cells}
    least = min(known.values(), default=0.0)  # what nobody has run takes no less than anything has
    late = [(known.get(p, least), p) for p in places if known.get(p, least) > timeout]
    if late:
        seconds, (model, dataset, _) = max(late)
        others = len(late) - 1
        more = f" (and {others} more such cell{'s' * (others > 1)})" if others else ""
        raise InputError(
            f"a timeout of {timeout:g} s is shorter than an epoch of {model} on {dataset}{more}: "
            f"an estimated {seconds:.3g} s, by the record",
            hint="allow more time, or leave the model out",
        )


def _all_cells(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int],
    checkpoint_every: float,
    submitter: str,
) -> list[Cell]:
    cells = []
    for seed in seeds:
        for shift in range(len(catalog.datasets)):
            for i, model in enumerate(catalog.models):
                dataset = catalog.datasets[(i + shift) % len(catalog.datasets)]
                if model.task == dataset.task:
                    cells.append(
                        Cell(
                            model=model,
                            dataset=dataset,
                            recipe=recipe,
                            seed=seed,
                            results=repo.path.absolute(),
                            model_location=absolute(catalog.location(model.repo_id)),
                            dataset_location=absolute(catalog.location(dataset.repo_id)),
                            checkpoint_every=checkpoint_every,
                            submitter=submitter,
                        )
                    )
    return cells


def _only(cells: list[Cell], ids: Sequence[str] | None) -> list[Cell]:
    if ids is None:
        return cells
    by_id = {cell.key.id: cell for cell in cells}
    return [by_id[name] for name in ids if name in by_id]


def _sharded(cells: list[Cell], shard: tuple[int, int]) -> list[Cell]:
    index, count = shard
    return [cell for cell in cells if int(cell.key.id, 16) % count == index]


def _recorded(repo: ResultsRepo, retry_failed: bool) -> set[str]:
    return {run.key.id for run in repo.runs() if not (retry_failed and run.status in RETRIED)}


def absolute(path: Path | None) -> Path | None:
    """The path from the root, where there is one."""
    return None if path is None else path.absolute()


# ------------------------------------------------------------------------- training one cell


def run_cell(
    cell: Cell,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_event: OnEvent = lambda event: None,
    fetch: Fetch | None = None,
    micro_batch: int = 0,
    timeout: float | None = None,
    ready: Ready | None = None,
    on_throughput: Callable[[Throughput], None] = lambda throughput: None,
) -> RunRecord:
    """Fine-tune one cell, or go on with it from its checkpoint, and test it once.

    Processes that were launched to train together all call it. `fetch` gives the folder of a model
    that isn't here; `ready` is what was loaded ahead, by `prepare_cell`. `micro_batch`: rows in one
    backward pass to begin with, 0 = all. `timeout`: seconds that a training of several processes
    may take (no one else watches it). `on_throughput` hears at the end how fast it was, if it could
    be opened. What goes wrong with the model, the data or the training is in the record's status
    and reason. Raises `StoppedError`, with a checkpoint written, soon after `stop()` has become
    True, and `HubError` if the Hub can't be reached: that says nothing about the model.
    """
    began = time.perf_counter()
    trial: AccelerateTrial | None = None
    folder: Path | None = None
    baseline = NAN
    ready = ready or _load(cell, fetch)
    try:
        if _trains_together():
            from hf_select.training.agreement import agree_on_error

            agree_on_error(ready.error)
        baseline, folder = ready.baseline, ready.folder
        between_steps = _Checkpoints(cell, stop, timeout)
        trial = _trial(cell, ready, between_steps, micro_batch)
        trial.load(cell.scratch)
        on_event(cell_event(cell, "start", epoch=trial.epochs_trained))
        for rung in cell.recipe.rungs():
            if len(trial.curve) and rung <= trial.curve.epochs[-1]:
                continue
            curve = trial.advance(rung)
            between_steps(trial, at_rung=True)
            on_event(_point(cell, rung, curve, trial))
        score = trial.test()
        note = f"in parts of {trial.micro_batch} rows to fit memory" if trial.micro_batch else ""
        result: dict[str, Any] = {"status": "ok", "test": score, "reason": note}
    except StoppedError:
        on_event(cell_event(cell, "stopped", epoch=trial.epochs_trained if trial else NAN))
        raise
    except (HubError, LoneError):
        raise
    except TrialError as error:
        result = {"status": error.status, "reason": error.message}
    except HfSelectError as error:
        # a record is published: it says which model, not where it lies on this machine
        reason = error.message.replace(str(folder or cell.model.repo_id), cell.model.repo_id)
        result = {"status": "failed", "reason": reason}
    except MemoryError as error:
        if _trains_together():
            raise LoneError(f"out of memory: {error}", status="oom") from error
        result = {"status": "oom", "reason": f"out of memory: {error}"}
    except OSError as error:
        kind = DISK if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else ""
        if _trains_together() and not kind:  # of a full disk all are told when a trial is saved
            raise LoneError(str(error)) from error
        result = {"status": "failed", "reason": f"{kind}{error}"}
    if trial is not None:
        on_throughput(trial.throughput)
    return RunRecord(
        key=cell.key,
        task=cell.dataset.task,
        metric=cell.dataset.metric,
        curve=LearningCurve.empty() if trial is None else trial.curve,
        baseline=baseline,
        seconds=time.perf_counter() - began if trial is None else trial.seconds,
        hardware=hardware(),
        versions=versions(),
        submitter=cell.submitter,
        created=_now(),
        **result,
    )


def _trains_together() -> bool:
    """Whether this process trains one model with others, which know nothing of its own errors."""
    return place().world > 1 and not place().apart


class _Checkpoints:
    """Called between steps: saves the trial when it is time to, stops it when asked to."""

    def __init__(self, cell: Cell, stop: Callable[[], bool], timeout: float | None = None) -> None:
        self._cell, self._stop, self._timeout = cell, stop, timeout
        self._began = self._saved = self._asked = time.monotonic()
        self._steps, self._every = 0, 1

    def __call__(self, trial: AccelerateTrial, *, at_rung: bool = False) -> None:
        stopping, now = self._stop(), time.monotonic()
        if trial.num_processes > 1:
            self._steps += 1
            if self._steps < self._every and not at_rung:
                return
            stopping, now = self._agree(stopping, now)
        if stopping or now - self._saved >= self._cell.checkpoint_every:
            trial.save(self._cell.scratch)
            self._saved = now
        if stopping:
            raise StoppedError(f"{trial.model}: stopped", hint="run it again to go on")

    def _agree(self, stopping: bool, now: float) -> tuple[bool, float]:
        """What holds for all that train together: all save at once, and clocks and signals differ.

        They ask each other every few seconds, by the first one's clock.
        """
        from hf_select.training.agreement import exchanged

        said = exchanged((stopping, now, self._began, self._saved))
        _, now, self._began, self._saved = said[0]
        if self._timeout is not None and now - self._began > self._timeout:
            raise TrialError(f"took longer than {self._timeout:g} seconds", status="timeout")
        pace = max(now - self._asked, 1e-6) / max(self._steps, 1)
        every = max(1, min(MOST_STEPS, int(AGREE_SECONDS / pace)))
        self._every = exchanged(every)[0]
        self._steps, self._asked = 0, now
        return any(stop for stop, *_ in said), now


def _model_folder(cell: Cell, fetch: Fetch | None) -> Path:
    if cell.model_location is not None:
        return cell.model_location
    if fetch is None:
        raise ModelError(
            f"{cell.model.repo_id} has no location", hint="its catalog must say where it is"
        )
    return fetch(cell.model)


@dataclass(frozen=True, eq=False)
class Ready:
    """What a cell needs before it has a device; `error` is what went wrong on the way there."""

    target: TargetData | None = None
    baseline: float = NAN
    folder: Path | None = None
    prepared: Prepared | None = None
    error: Exception | None = None


def _load(cell: Cell, fetch: Fetch | None, *, test: bool = False) -> Ready:
    """Data, model and encoded rows, on the CPU. An error is kept: `run_cell` raises it.

    `test`: the test split's rows as well.
    """
    from hf_select.training.encodings import DiskEncodings
    from hf_select.training.trial import prepare

    ready = Ready()
    try:
        target = _target(cell)
        ready = replace(ready, target=target, baseline=target.trivial("test"))
        folder = _model_folder(cell, fetch)
        ready = replace(ready, folder=folder)
        prepared = prepare(
            folder,
            target,
            cell.recipe,
            seed=cell.seed,
            name=cell.model.repo_id,
            cache=DiskEncodings(cell.work / "encoded"),
            test=test,
        )
        return replace(ready, prepared=prepared)
    except Exception as error:  # noqa: BLE001 - of any kind: it is raised where it always was
        return replace(ready, error=error)


def _trial(cell: Cell, ready: Ready, on_step: _Checkpoints, micro_batch: int) -> AccelerateTrial:
    from hf_select.training.trial import AccelerateTrial

    if ready.error is not None:
        raise ready.error
    assert ready.folder is not None
    assert ready.target is not None
    return AccelerateTrial(
        cell.model.repo_id,
        ready.folder,
        ready.target,
        cell.recipe,
        seed=cell.seed,
        revision=cell.model.revision,
        on_step=on_step,
        micro_batch=micro_batch,
        prepared=ready.prepared,
    )


def _target(cell: Cell) -> TargetData:
    from hf_select.tasks.data import load_benchmark

    return load_benchmark(cell.dataset, cell.dataset_location)


def _point(
    cell: Cell, epoch: float, curve: LearningCurve, trial: AccelerateTrial
) -> BenchmarkEvent:
    return cell_event(
        cell,
        "point",
        epoch=epoch,
        val=float(curve.val[-1]),
        val_loss=float(curve.val_loss[-1]),
        train_loss=float(curve.train_loss[-1]),
        memory=trial.peak_memory,
        seconds=trial.seconds,
    )


def cell_event(cell: Cell, kind: str, **values: Any) -> BenchmarkEvent:
    """Something that has happened to a cell, now."""
    return BenchmarkEvent(
        kind=kind,
        key=cell.key.id,
        model=cell.model.repo_id,
        dataset=cell.dataset.repo_id,
        seed=cell.seed,
        time=round(time.time(), 3),
        **values,
    )


# ---------------------------------------------------------------------------------- as a job


def run_job(argument: Mapping[str, Any], stop: Callable[[], bool]) -> None:
    """One cell in a process of its own; leaves its record in `finished/`.

    A cell that another process is training, or has trained since the job was made, is left alone.
    `argument` is that of a cell's `to_dict`, and under `fetch` and `ready` what `run_cell` takes;
    `retry_failed`: a run that failed doesn't count. Without the Hub the cell is left undone, with
    an event that says why. Raises `StoppedError` if there is no room for the record.
    """
    began = job_began()
    cell, fetch, ready = _read_argument(argument)
    counted: list[Throughput] = []
    with _claimed(cell) as mine:
        # in this order: what is taken in between the two is in the repository then
        if not mine or _finished_file(cell).exists() or _is_recorded(cell, argument):
            return
        try:
            record = run_cell(
                cell,
                stop=stop,
                on_event=lambda event: log_event(cell.work, event),
                fetch=fetch,
                ready=ready,
                on_throughput=counted.append,
            )
        except HubError as error:
            log_event(cell.work, cell_event(cell, "undone", reason=error.message))
            return
        try:
            _leave(cell, record, counted, began)
        except OSError as error:  # not the model's: what was trained can be gone on from
            raise StoppedError(f"{cell.work} can't be written: {error}") from error


def _is_recorded(cell: Cell, argument: Mapping[str, Any]) -> bool:
    repo = ResultsRepo(cell.results)
    return cell.key.id in _recorded(repo, bool(argument.get("retry_failed")))


def _leave(
    cell: Cell, record: RunRecord, counted: Sequence[Throughput] = (), began: float = NAN
) -> None:
    """Write a record where the parent takes it in; nothing is needed to go on any more.

    `counted`: how fast it was, if it came so far; `began`: when its job did, since 1970.
    """
    finished = record_to_dict(record)
    if counted:
        totals = Totals.of(counted[0], job_seconds=time.time() - began)
        finished["throughput"] = totals.to_dict()
    write_atomic(_finished_file(cell), json.dumps(finished).encode())
    _forget(cell, record)


def _forget(cell: Cell, record: RunRecord) -> None:
    """Remove the checkpoint of a cell that has come to an end.

    That of a full disk stays, and of one that took too long: tried again, it goes on from there.
    """
    if not record.reason.startswith(DISK) and record.status != "timeout":
        shutil.rmtree(cell.scratch, ignore_errors=True)


def prepare_cell(argument: Mapping[str, Any]) -> Mapping[str, Any]:
    """The argument of `run_job` with all that can be loaded before the cell has a device.

    No device is touched. Nothing is raised: what goes wrong is for `run_job` to tell.
    """
    cell, fetch, _ = _read_argument(argument)
    if _finished_file(cell).exists():
        return argument
    return {**argument, "ready": _load(cell, fetch, test=True)}


def _read_argument(argument: Mapping[str, Any]) -> tuple[Cell, Fetch | None, Ready | None]:
    values = dict(argument)
    fetch, ready = values.pop("fetch", None), values.pop("ready", None)
    values.pop("retry_failed", None)
    return Cell.from_dict(values), fetch, ready


def _finished_file(cell: Cell) -> Path:
    return cell.work / "finished" / f"{cell.key.id}.json"


def _claimed(cell: Cell) -> AbstractContextManager[bool]:
    """Hold the cell's lock while training it; False if another process holds it."""
    return claimed(_lock(cell))


def _lock(cell: Cell) -> Path:
    return cell.work / "locks" / cell.key.id


def log_event(work: Path, event: BenchmarkEvent) -> None:
    """Append one line in one write, so that lines of several processes don't mix."""
    handle = os.open(work / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, (event.to_json() + "\n").encode())
    finally:
        os.close(handle)


def record_to_dict(record: RunRecord) -> dict[str, Any]:
    """JSON-able values (NaN as None); `record_from_dict` reads them back."""
    values = {k: None if v != v else v for k, v in vars(record).items() if k != "curve"}
    return {
        **values,
        "key": asdict(record.key),
        "versions": dict(record.versions),
        "curve": record.curve.to_dict(),
    }


def record_from_dict(values: Mapping[str, Any]) -> RunRecord:
    """The inverse of `record_to_dict`; what a job has left beside the record is not looked at."""
    values = {k: NAN if v is None else v for k, v in values.items() if k != "throughput"}
    values["key"] = RunKey(**values["key"])
    values["curve"] = LearningCurve.from_dict(values["curve"])
    return RunRecord(**values)


# ------------------------------------------------------------------------- all missing cells


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
    every = _all_cells(catalog, repo, recipe, seeds, checkpoint_every, submitter)
    everything = _sharded(_only(every, only), shard)
    by_id = {cell.key.id: cell for cell in everything}
    run = _Run(repo, work, recipe, by_id, retry_failed, on_event or (lambda event: None), fetch)
    if here.rank == 0:
        run.collect()  # what an earlier run had finished when it was killed
    known = _recorded(repo, retry_failed)
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


class EventTail:
    """The events that any process logs from now on."""

    def __init__(self, work: Path) -> None:
        self._path = work / "events.jsonl"
        self._read_to = self._path.stat().st_size if self._path.exists() else 0

    def read(self) -> list[BenchmarkEvent]:
        """Those that were logged since the last time."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read_to += len(whole)
        found = []
        for line in whole.split(b"\n"):
            with suppress(ValueError, TypeError):  # machines that append at once may mix theirs
                found.append(BenchmarkEvent.from_json(line.decode()))
        return found


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
                place().world > 1 and is_claimed(_lock(cell))
            ):
                continue
            if self._unreached >= UNREACHED and _needs_hub(cell):
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
        if _finished_file(cell).exists():
            return False
        now = time.monotonic()
        if fresh or now - self._read > RECHECK:
            self._known, self._read = _recorded(self.repo, self.retry_failed), now
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
            _leave(cell, record, [_of_all(counts)] if counts else [], began)

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
                created=_now(),
            )
            _leave(cell, record)
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
            _forget(self.cells[path.stem], record)  # if its job was killed before it could
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
            elif event.kind == "start" and _needs_hub(self.cells[event.key]):
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


def _needs_hub(cell: Cell) -> bool:
    return cell.model_location is None or cell.dataset_location is None


# ------------------------------------------------------------------------- where and with what


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


@cache
def hardware() -> str:
    """The device that a run without further settings trains on."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """The versions of what decides a result."""
    return {name: version_of(name) for name in LIBRARIES}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
