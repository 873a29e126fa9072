"""The executor `hf-jobs`: the missing cells of a record run as jobs on the Hub.

A job's disk is lost at its end, so its results go to a dataset on the Hub as soon as they are there
(`in_job.py`), and this side brings them into the local record. All that is known of a job is on the
Hub: its labels say which dataset it works for, its environment which cells it has. So the same
command finds the jobs that run, whatever has happened to the one that started them.

A job that ends early costs what it hadn't published: what is missing goes into a new one, as long
as the last one got anywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError, MissingError, StoppedError
from hf_select.foreign_metrics import ALLOW
from hf_select.pipeline.base import Say, silent
from hf_select.pipeline.job_checks import Checked
from hf_select.pipeline.job_spec import VARIABLE, Spec
from hf_select.records import DatasetEntry, ModelEntry, ProxyRow, Recipe, RunRecord, digest
from hf_select.redaction import redact
from hf_select.results.repo import ResultsRepo

if TYPE_CHECKING:
    from hf_select.hub.jobs import Job
    from hf_select.training.benchmark import BenchmarkSummary
    from hf_select.training.cells import Cell
    from hf_select.training.events import BenchmarkEvent, OnEvent
    from hf_select.training.scoring import Pair, ScoringSummary

LABEL, WORK = "hf-select", "hf-select-work"
"""Labels of our jobs: which dataset they work for, and which cells and pairs they have."""
IN_JOB = "hf_select.pipeline.in_job"
AT_ONCE = 4
"""Jobs that run at the same time."""
FEW = 8
"""Cells or pairs that a job has at least, where nobody says: a job takes minutes to set up."""
MANY = 400
"""Cells or pairs that a job has at most."""
STRIKES = 2
"""Jobs in a row that got nowhere, after which their cells are left alone."""
POLL, SLOWEST = 2.0, 30.0
"""Seconds between two looks: the first ones, and the longest."""
OWN_HUB = "https://huggingface.co"


# ------------------------------------------------------------------------------------- a run


@dataclass
class _Work:
    """Cells and pairs that go into one job, by id."""

    cells: list[str]
    pairs: list[str]
    strikes: int = 0

    def __len__(self) -> int:
        return len(self.cells) + len(self.pairs)

    def without(self, there: set[str]) -> _Work:
        """What isn't there yet; the first come last, for they may be what ended the job."""
        cells = [name for name in self.cells if name not in there]
        half = len(cells) // 2
        pairs = [name for name in self.pairs if name not in there]
        return _Work([*cells[half:], *cells[:half]], pairs, self.strikes)


@dataclass
class Running:
    """A job that is watched."""

    job: Job
    work: _Work


@dataclass
class _Arrived:
    """What has come so far."""

    done: int = 0
    failed: int = 0
    scored: int = 0
    unscored: int = 0
    pass_seconds: float = 0.0
    scoring_seconds: float = 0.0
    ids: set[str] = field(default_factory=set)


def run_on_jobs(
    checked: Checked,
    repo: ResultsRepo,
    recipe: Recipe,
    running: Sequence[Running],
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    max_cells: int | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    timeout: float | None = None,
    proxies: Sequence[str] | None = None,
    proxy_rows: int | None = None,
    jobs: int | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_event: OnEvent | None = None,
    say: Say = silent,
) -> BenchmarkSummary:
    """Run the missing cells, then proxy scores, as jobs on the Hub; their rows are in `repo` then.

    `running` is what `find_jobs` has found: these are watched, and their cells aren't started
    again. Then `pull_first` has brought what the dataset knows: in this order, so that a job that
    ends meanwhile is found or has its rows there. `jobs` at once, of `cells_per_job` cells;
    `timeout` is that of a cell, in seconds. What no job got done is in the summary's `undone`; it
    isn't the models' failure. Raises `StoppedError` after SIGINT or SIGTERM; the jobs go on then.
    """
    from hf_select.training.benchmark import BenchmarkSummary
    from hf_select.training.cells import all_cells, check_timeout, missing_cells
    from hf_select.training.scoring import missing_pairs

    began = time.monotonic()
    catalog = checked.catalog
    number = len(all_cells(catalog, repo, recipe, seeds, shard=shard, only=only))
    missing = missing_cells(
        catalog, repo, recipe, seeds, retry_failed=retry_failed, shard=shard, only=only
    )
    mine = {cell.key.id for cell in missing}
    taken = {name for one in running for name in one.work.cells if name in mine}
    cells = sorted(missing, key=lambda cell: cell.key.id not in taken)[:max_cells]
    check_timeout(cells, repo.runs(), checked.options.timeout)
    long = _longer(cells, repo, recipe, checked.options.timeout)
    if long:
        say(f"{long} cells may take longer than a job does, by the record: they start again then")
    if on_plan is not None:
        on_plan(len(cells))
    if only is None:  # a model's cells side by side: so each job fetches few of them
        order = {entry: i for i, entry in enumerate(checked.catalog.models)}
        cells.sort(key=lambda cell: order[cell.model])
    bounded = max_cells is not None or only is not None
    planned = _planned_pairs(checked.catalog, repo, cells, proxies, shard, bounded=bounded)
    pairs = missing_pairs(planned, repo, retry_failed=retry_failed)
    spec = Spec(
        to=checked.options.to,
        models=checked.catalog.models,
        datasets=checked.catalog.datasets,
        recipe=recipe,
        proxies=None if proxies is None else tuple(proxies),
        proxy_rows=proxy_rows,
        timeout=timeout,
        retry_failed=retry_failed,
        private=checked.options.private,
        accept_new_recipes=checked.options.accept_new_recipes,
        publish_every=checked.options.publish_every,
    )
    run = _Run(checked, repo, spec, cells, pairs, jobs, on_event or (lambda event: None), say)
    run.go(running)
    arrived, undone = run.arrived, tuple(run.undone_cells.values())
    return BenchmarkSummary(
        done=arrived.done,
        failed=arrived.failed,
        skipped=number - len(missing) + len(cells) - arrived.done - arrived.failed - len(undone),
        seconds=time.monotonic() - began,
        undone=undone,
        proxies=run.scores(len(planned) - len(pairs), time.monotonic() - began)
        if proxies is None or proxies
        else None,
    )


def pull_first(checked: Checked, results: str | Path) -> None:
    """Bring what the dataset has into the local record: nothing of it is run again."""
    from hf_select.hub.record.pull import pull_if_any

    pull_if_any(checked.hub, checked.options.to, Path(results))


def find_jobs(checked: Checked) -> list[Running]:
    """The jobs that run for the dataset now. `InputError` for one that can't be understood."""
    from hf_select.hub import jobs

    options, found = checked.options, []
    labels = {LABEL: label_of(options.to)}
    for job in jobs.list_jobs(checked.hub, options.namespace, labels, jobs.ACTIVE):
        if VARIABLE not in job.environment:  # a listing may say less
            job = jobs.inspect(checked.hub, job)
        try:
            spec = Spec.decode(job.environment.get(VARIABLE, ""))
        except InputError as error:
            raise InputError(
                f"job {job.id} runs for {options.to}, and it can't be told with what: "
                f"{error.message}",
                hint=f"wait for its end, or end it: {_how_to_cancel(job)}",
            ) from error
        found.append(Running(job, _Work(spec.cell_ids(), spec.pair_ids())))
    return found


def label_of(to: str) -> str:
    """The label of the jobs that work for that dataset."""
    return digest(to, 16)


def _longer(cells: Sequence[Cell], repo: ResultsRepo, recipe: Recipe, seconds: float) -> int:
    """How many of the cells take longer than that, as far as the record can tell."""
    from hf_select.training.cells import seconds_an_epoch

    known = seconds_an_epoch(repo.runs())
    keys = (cell.key for cell in cells)
    times = (known.get((key.model, key.dataset, key.config), 0.0) for key in keys)
    return sum(recipe.epochs * time > seconds for time in times)


def _planned_pairs(
    catalog: Catalog,
    repo: ResultsRepo,
    cells: Sequence[Cell],
    proxies: Sequence[str] | None,
    shard: tuple[int, int],
    *,
    bounded: bool,
) -> list[Pair]:
    """The pairs that are to have scores; if `bounded` those that have a fine-tuning, or will."""
    from hf_select.training.scoring import Pair, all_pairs, measured_pairs

    if proxies is not None and not proxies:
        return []
    pairs = all_pairs(catalog, proxies, shard=shard)
    if bounded:
        soon = {Pair(cell.model, cell.dataset, ()).id for cell in cells}
        soon |= {pair.id for pair in measured_pairs(pairs, repo)}
        pairs = [pair for pair in pairs if pair.id in soon]
    return pairs


class _Run:
    """One call: starts jobs, watches them, and takes in what they publish."""

    def __init__(
        self,
        checked: Checked,
        repo: ResultsRepo,
        spec: Spec,
        cells: Sequence[Cell],
        pairs: Sequence[Pair],
        jobs: int | None,
        on_event: OnEvent,
        say: Say,
    ) -> None:
        from hf_select.training.benchmark import work_folder

        self.checked, self.repo, self.spec = checked, repo, spec
        self.cells = {cell.key.id: cell for cell in cells}
        self.pairs = {pair.id: pair for pair in pairs}
        self.at_once, self.asked = jobs or AT_ONCE, jobs is not None
        self.on_event, self.say = on_event, say
        self.work = work_folder(repo)
        self.arrived = _Arrived()
        self.undone_cells: dict[str, BenchmarkEvent] = {}
        self.undone_pairs: dict[str, BenchmarkEvent] = {}
        self.running: list[Running] = []
        self.head: str | None = None  # the dataset's commit whose rows have come
        self._before = {run.key.id: run for run in repo.runs()}

    # ------------------------------------------------------------------------------- the loop

    def go(self, running: Sequence[Running]) -> None:
        """Until each cell and pair is there, or left undone."""
        from hf_select.training.executors.base import Interrupts

        for one in running:
            cells = [name for name in one.work.cells if name in self.cells]
            pairs = [name for name in one.work.pairs if name in self.pairs]
            if cells or pairs:
                self.running.append(Running(one.job, _Work(cells, pairs)))
                self.say(f"job {one.job.id} runs already, with {_counted(cells, pairs)}: watched")
        taken = {n for one in self.running for n in (*one.work.cells, *one.work.pairs)}
        queue = self.split(
            [name for name in self.cells if name not in taken],
            [name for name in self.pairs if name not in taken],
        )
        for work in queue:
            self._spec_of(work).encode()  # all of them fit, or none is started
        if queue:
            self._tell(queue)
        interrupts, wait = Interrupts(), POLL
        with interrupts.listening(), self._saying_what_goes_on():
            while self.running or queue:
                while queue and len(self.running) < self.at_once and not interrupts:
                    self._start(queue.pop(0))
                if interrupts:
                    break
                _sleep(wait, interrupts)
                ended, come = self._look()
                for one in ended:
                    queue += self._settle(one)
                wait = POLL if ended or come else min(1.5 * wait, SLOWEST)
        if interrupts and (self.running or queue):
            self._stop()

    def split(self, cells: Sequence[str], pairs: Sequence[str]) -> list[_Work]:
        """The work of each job: a model's cells side by side, a pair with a cell of its own."""
        number = len(cells) or len(pairs)
        size = self.checked.options.cells_per_job
        if size is None:
            size = -(-number // self.at_once)
            size = min(MANY, size if self.asked else max(FEW, size))
        queue = [_Work(list(part), []) for part in _parts(cells, max(1, size))]
        of: dict[str, _Work] = {}
        for work in queue:
            for name in work.cells:
                of.setdefault(self._pair_of(name), work)
        rest = []
        for pair in pairs:
            if pair in of:
                of[pair].pairs.append(pair)
            else:
                rest.append(pair)
        return [*queue, *(_Work([], list(part)) for part in _parts(rest, max(1, size)))]

    def _pair_of(self, cell: str) -> str:
        from hf_select.training.scoring import Pair

        return Pair(self.cells[cell].model, self.cells[cell].dataset, ()).id

    def _tell(self, queue: Sequence[_Work]) -> None:
        options, price = self.checked.options, self.checked.price
        most = f", for at most ${price * options.timeout / 60:.2f} each" if price else ""
        self.say(
            f"{len(queue)} {'job' if len(queue) == 1 else 'jobs'} of {options.namespace} on "
            f"{options.flavor}, {min(len(queue), self.at_once)} at once, ended after "
            f"{options.timeout / 60:.0f} min{most}; results go to {options.to}"
        )

    def _start(self, work: _Work) -> None:
        """Start a job for that work."""
        from hf_select.hub import jobs

        options, hub = self.checked.options, self.checked.hub
        spec = self._spec_of(work)
        environment = {VARIABLE: spec.encode(), "PYTHONUNBUFFERED": "1"}
        if hub.endpoint != OWN_HUB:
            environment["HF_ENDPOINT"] = hub.endpoint
        if ALLOW in os.environ:
            environment[ALLOW] = os.environ[ALLOW]
        labels = {LABEL: label_of(options.to), WORK: spec.work_id()}
        token = hub.secret()
        job = jobs.submit(
            hub,
            jobs.Request(
                namespace=options.namespace,
                image=options.image,
                command=["bash", "-c", f"{options.setup} && exec python -m {IN_JOB}"],
                flavor=options.flavor,
                timeout=options.timeout,
                labels=labels,
                environment=environment,
                secrets={"HF_TOKEN": token} if token else {},
            ),
        )
        # somebody may have given the same command at the same moment
        job = jobs.only_one(hub, job.namespace, labels, jobs.ACTIVE) or job
        self.running.append(Running(job, work))
        self.say(
            f"job {job.id} has {_counted(work.cells, work.pairs)}: "
            f"{hub.endpoint}/jobs/{job.namespace}/{job.id}"
        )

    def _spec_of(self, work: _Work) -> Spec:
        """That work, with the models and data sets that it is about and no others."""
        places: dict[str, dict[Any, int]] = {"model": {}, "dataset": {}}
        models: list[ModelEntry] = []
        datasets: list[DatasetEntry] = []

        def place(of: Cell | Pair) -> tuple[int, int]:
            model, data = of.model, of.dataset
            i = places["model"].setdefault((model.repo_id, model.revision), len(models))
            if i == len(models):
                models.append(model)
            j = places["dataset"].setdefault(
                (data.repo_id, data.revision, data.config), len(datasets)
            )
            if j == len(datasets):
                datasets.append(data)
            return i, j

        cells = [(*place(self.cells[name]), self.cells[name].seed) for name in work.cells]
        pairs = [place(self.pairs[name]) for name in work.pairs]
        return replace(
            self.spec,
            models=tuple(models),
            datasets=tuple(datasets),
            cells=tuple(cells),
            pairs=tuple(pairs),
        )

    # ---------------------------------------------------------------------------- what happens

    def _look(self) -> tuple[list[Running], bool]:
        """Which of our jobs have ended, and whether rows have come.

        The jobs are looked at first: what one has published is there when its end is seen.
        """
        from hf_select.hub import jobs

        hub, options = self.checked.hub, self.checked.options
        labels = {LABEL: label_of(options.to)}
        active = {job.id for job in jobs.list_jobs(hub, options.namespace, labels, jobs.ACTIVE)}
        ended = []
        for one in self.running:
            if one.job.id not in active:
                try:
                    one.job = jobs.inspect(hub, one.job)
                except MissingError:
                    one.job = replace(one.job, stage="DELETED")
                if one.job.ended:
                    ended.append(one)
        come = self.take_in()
        self.running = [one for one in self.running if one not in ended]
        return ended, come

    def take_in(self) -> bool:
        """Bring home what was published since the last time; whether there was any of ours."""
        head = self._newest()
        if head is None or head == self.head:
            return False
        pull_first(self.checked, self.repo.path)
        self.head = head
        return self._note()

    def _newest(self) -> str | None:
        """The newest commit of the dataset; None before it is made."""
        try:
            return self.checked.hub.head_commit(self.checked.options.to, repo_type="dataset")
        except MissingError:
            return None

    def _note(self) -> bool:
        """Tell of the cells and pairs whose rows are in the record now."""
        before = len(self.arrived.ids)
        for run in self.repo.runs():
            name = run.key.id
            if name in self.cells and name not in self.arrived.ids and self._is_new(run):
                self._count(run)
        self._note_pairs()
        return len(self.arrived.ids) > before

    def _is_new(self, run: RunRecord) -> bool:
        """Whether it isn't the failure that was there before, which is tried again."""
        old = self._before.get(run.key.id)
        return old is None or (old.status, old.created) != (run.status, run.created)

    def _count(self, run: RunRecord) -> None:
        self.arrived.ids.add(run.key.id)
        from hf_select.training.events import cell_event

        good = run.status == "ok"
        curve = run.curve
        self._event(cell_event(self.cells[run.key.id], "start", epoch=0.0))
        for i, epoch in enumerate(curve.epochs):
            self._event(
                cell_event(
                    self.cells[run.key.id],
                    "point",
                    epoch=float(epoch),
                    val=float(curve.val[i]),
                    val_loss=float(curve.val_loss[i]),
                    train_loss=float(curve.train_loss[i]),
                    seconds=float(curve.seconds[i]),
                )
            )
        self.arrived.done += good
        self.arrived.failed += not good
        self._event(
            cell_event(
                self.cells[run.key.id],
                "done" if good else "failed",
                test=run.test,
                status=run.status,
                reason=run.reason,
                seconds=run.seconds,
            )
        )

    def _note_pairs(self) -> None:
        from hf_select.training.scoring import missing_pairs, rows_of

        waiting = [pair for name, pair in self.pairs.items() if name not in self.arrived.ids]
        lacking = {
            pair.id: pair
            for pair in missing_pairs(waiting, self.repo, retry_failed=self.spec.retry_failed)
        }
        come = [pair for pair in waiting if pair.id not in lacking]
        rows = rows_of(come, self.repo) if come else {}
        for pair in come:
            self._count_pair(pair, rows[pair.id])

    def _count_pair(self, pair: Pair, rows: Sequence[ProxyRow]) -> None:
        self.arrived.ids.add(pair.id)
        if all(row.rows == 0 for row in rows):
            self.arrived.unscored += 1
            reason = "it could not be looked at; the log of its job says why"
            self._event(pair.event("unscored", status="failed", reason=reason))
            return
        own = sum(row.scoring_seconds for row in rows)
        self.arrived.scored += 1
        self.arrived.pass_seconds += rows[0].seconds
        self.arrived.scoring_seconds += own
        self._event(pair.event("scored", seconds=round(rows[0].seconds + own, 4)))

    def _settle(self, one: Running) -> list[_Work]:
        """A job is over: what is left for a new one, unless the last ones got nowhere."""
        job, work = one.job, one.work
        if job.stage == "COMPLETED":
            self._failed_again(work)
        left = work.without(self.arrived.ids)
        if not len(left):
            return []
        reason = self._why(job)
        left.strikes = 0 if len(left) < len(work) else work.strikes + 1
        what = _counted(left.cells, left.pairs)
        if job.stage in ("CANCELED", "DELETED") or left.strikes >= STRIKES:
            self.say(f"{reason}; {what} left undone")
            self._give_up(left, reason)
            return []
        self.say(f"{reason}; {what} left, for a new job")
        return [left]

    def _why(self, job: Job) -> str:
        """How a job has ended, in a line."""
        from hf_select.hub.jobs import last_line

        said = last_line(self.checked.hub, job)
        message = f" ({job.message})" if job.message else ""
        line = f"; its last line: {said}" if said else ""
        return redact(f"job {job.id} ended as {job.stage}{message}{line}")

    def _failed_again(self, work: _Work) -> None:
        """What a whole job has tried again, to the same end: the record says so already."""
        from hf_select.training.scoring import rows_of

        if not self.spec.retry_failed:
            return
        for name in work.cells:
            if name not in self.arrived.ids and name in self._before:
                self._count(self._before[name])
        pairs = [self.pairs[name] for name in work.pairs if name not in self.arrived.ids]
        for name, rows in rows_of(pairs, self.repo).items():
            if rows:
                self._count_pair(self.pairs[name], rows)

    def _give_up(self, work: _Work, reason: str) -> None:
        from hf_select.training.events import cell_event

        for name in work.cells:
            self.undone_cells[name] = cell_event(self.cells[name], "undone", reason=reason)
            self._event(self.undone_cells[name])
        for name in work.pairs:
            self.undone_pairs[name] = self.pairs[name].event("undone", reason=reason)
            self._event(self.undone_pairs[name])

    def _event(self, event: BenchmarkEvent) -> None:
        from hf_select.training.events import log_event

        log_event(self.work, event)
        self.on_event(event)

    # --------------------------------------------------------------------------------- the end

    def _stop(self) -> None:
        """Leave: the jobs go on."""
        there = self.arrived.done + self.arrived.failed
        left = len(self.cells) - there - len(self.undone_cells)
        raise StoppedError(
            f"stopped: {there} cells are there, {left} left; {self._going_on()}",
            hint="the same command watches them again and brings their results home"
            + "".join(f"; `{_how_to_cancel(one.job)}` ends it" for one in self.running[:1]),
        )

    def _going_on(self) -> str:
        if not self.running:
            return "no job runs"
        ids = ", ".join(one.job.id for one in self.running)
        return (
            f"{len(self.running)} {'job goes' if len(self.running) == 1 else 'jobs go'} on: {ids}"
        )

    @contextmanager
    def _saying_what_goes_on(self) -> Iterator[None]:
        """An error that ends the watch says which jobs it doesn't end."""
        try:
            yield
        except HfSelectError as error:
            if self.running:
                more = f"{self._going_on()}; the same command watches them again"
                error.hint = redact(f"{error.hint}; {more}" if error.hint else more)
            raise

    def scores(self, there: int, seconds: float) -> ScoringSummary:
        """What has become of the pairs; `there` had their scores before."""
        from hf_select.training.scoring import ScoringSummary

        arrived, undone = self.arrived, tuple(self.undone_pairs.values())
        return ScoringSummary(
            scored=arrived.scored,
            failed=arrived.unscored,
            there=there + len(self.pairs) - arrived.scored - arrived.unscored - len(undone),
            seconds=seconds,
            pass_seconds=arrived.pass_seconds,
            scoring_seconds=arrived.scoring_seconds,
            undone=undone,
        )


def _parts(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _counted(cells: Sequence[str], pairs: Sequence[str]) -> str:
    """How much work it is, in words."""
    said = [f"{len(cells)} cell{'s' * (len(cells) != 1)}"] if cells else []
    said += [f"{len(pairs)} look{'s' * (len(pairs) != 1)}"] if pairs else []
    return " and ".join(said) or "nothing"


def _how_to_cancel(job: Job) -> str:
    return f"hf jobs cancel {job.id} --namespace {job.namespace}"


def _sleep(seconds: float, interrupted: Any) -> None:
    """Wait, but not once there was a signal."""
    end = time.monotonic() + seconds
    while not interrupted and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.1, left))
