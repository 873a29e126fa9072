"""The record's missing proxy scores: one look at each model, on all benchmarks.

What a later recall trusts a proxy for is how it did on the record's benchmarks. A pair of model and
data set is looked at in one forward pass over train rows, which serves every proxy. Files beside
those of the cells (`training.benchmark`) in `<results>/.work`:

    finished/scores-<pair>-<proxies>.json   scores on their way into the repository
    locks/scores-<model>                    held while a model is looked at
    logs/scores-<model>.log                 what a job printed that was brought down
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, HubError, InputError, ModelError, StoppedError
from hf_select.files import claimed, is_claimed, write_atomic
from hf_select.launched import place
from hf_select.proxies import PROXIES, Scored, check_proxy, get_proxy, score_all
from hf_select.records import (
    NAN,
    TASK_KINDS,
    DatasetEntry,
    ModelEntry,
    ProxyRow,
    digest,
)
from hf_select.results.repo import ResultsRepo
from hf_select.training.benchmark import (
    UNREACHED,
    common,
    everyones,
    gather,
    modelling_modules,
    own_first,
    work_folder,
)
from hf_select.training.cell_job import Fetch
from hf_select.training.cells import absolute
from hf_select.training.events import BenchmarkEvent, EventTail, OnEvent, log_event
from hf_select.training.executors.base import Job, Outcome
from hf_select.training.executors.engine import Engine

if TYPE_CHECKING:
    from hf_select.features import Loaded

PREFIX = "scores-"


# --------------------------------------------------------------------------------------- a pair


@dataclass(frozen=True)
class Pair:
    """A model and a data set to look at, where they lie (None = the Hub), and for which proxies."""

    model: ModelEntry
    dataset: DatasetEntry
    proxies: tuple[str, ...]
    model_location: Path | None = None
    dataset_location: Path | None = None

    @property
    def id(self) -> str:
        """32 hex digits: the same for whatever proxies."""
        model, data = self.model, self.dataset
        place = (model.repo_id, model.revision, data.repo_id, data.revision, data.config)
        return digest(list(place), 32)

    @property
    def model_id(self) -> str:
        """32 hex digits of the model alone: what a job is named after, and shards are cut by."""
        return digest([self.model.repo_id, self.model.revision], 32)

    def row(self, proxy: str, scored: Scored, **values: Any) -> ProxyRow:
        """The row of a score; `values`: `rows` and `seconds` of the pass."""
        return ProxyRow(
            model=self.model.repo_id,
            model_revision=self.model.revision,
            dataset=self.dataset.repo_id,
            dataset_revision=self.dataset.revision,
            config=self.dataset.config,
            task=self.dataset.task,
            proxy=proxy,
            value=scored.value,
            scoring_seconds=scored.seconds,
            **values,
        )

    def needs_hub(self) -> bool:
        """Whether the model or the data isn't on this machine by itself."""
        return self.model_location is None or self.dataset_location is None

    def event(self, kind: str, **values: Any) -> BenchmarkEvent:
        """Something that happened to it."""
        return BenchmarkEvent(
            kind=kind,
            key=self.id,
            model=self.model.repo_id,
            dataset=self.dataset.repo_id,
            time=round(time.time(), 3),
            **values,
        )


@dataclass(frozen=True)
class ScoringSummary:
    """What was looked at: pairs of model and data set scored, failed, and there already.

    `undone`: those that need the Hub, which couldn't be reached; the same call tries them again.
    `seconds` are those of the clock, `pass_seconds` and `scoring_seconds` the sums over all jobs.
    """

    scored: int
    failed: int
    there: int
    seconds: float
    pass_seconds: float = 0.0
    scoring_seconds: float = 0.0
    undone: tuple[BenchmarkEvent, ...] = ()


def check_scoring(proxies: Sequence[str] | None, rows: int | None, tasks: Collection[str]) -> None:
    """Refuse proxies that nothing of these tasks can be scored by, and a bad number of rows."""
    if rows is not None and rows < 1:
        raise InputError(f"proxy_rows is {rows}, but must be at least 1")
    kinds = sorted({TASK_KINDS[task] for task in tasks})
    for name in proxies or ():
        if kinds and not set(kinds) & get_proxy(name).kinds:
            check_proxy(name, kinds[0])


def all_pairs(
    catalog: Catalog, proxies: Sequence[str] | None = None, *, shard: tuple[int, int] = (0, 1)
) -> list[Pair]:
    """Each model with each data set of its task, a model's pairs side by side.

    `proxies`: those that take the data set's kind of target are asked for; None = all there are.
    `shard` (i, n) keeps the i-th of n parts, split by model: so each is loaded by one process only.
    """
    index, count = shard
    pairs = []
    for model in catalog.models:
        for dataset in catalog.datasets:
            kind = TASK_KINDS[dataset.task]
            able = [
                n for n in (PROXIES if proxies is None else proxies) if kind in PROXIES[n].kinds
            ]
            if able and dataset.task == model.task:
                pair = Pair(
                    model,
                    dataset,
                    tuple(dict.fromkeys(able)),
                    absolute(catalog.location(model.repo_id)),
                    absolute(catalog.location(dataset.repo_id)),
                )
                if int(pair.model_id, 16) % count == index:
                    pairs.append(pair)
    return pairs


def missing_pairs(
    pairs: Sequence[Pair], repo: ResultsRepo, *, retry_failed: bool = False
) -> list[Pair]:
    """The pairs that the record lacks a score of, each with the proxies that it lacks.

    A pair that couldn't be looked at has rows without a value, which count as its scores unless
    `retry_failed`. A proxy that was undefined stays so.
    """
    known = _known(repo, retry_failed)
    lacking = (
        replace(pair, proxies=tuple(p for p in pair.proxies if (pair.id, p) not in known))
        for pair in pairs
    )
    return [pair for pair in lacking if pair.proxies]


def measured_pairs(pairs: Sequence[Pair], repo: ResultsRepo) -> list[Pair]:
    """The pairs that the record has a fine-tuning of: nothing is learnt from the other scores."""
    keys = (run.key for run in repo.runs())
    runs = {(k.model, k.model_revision, k.dataset, k.dataset_revision, k.config) for k in keys}
    measured = {digest(list(place), 32) for place in runs}
    return [pair for pair in pairs if pair.id in measured]


def _known(repo: ResultsRepo, retry_failed: bool) -> set[tuple[str, str]]:
    """(pair's id, proxy) of the scores that are there."""
    return {
        (
            digest([r.model, r.model_revision, r.dataset, r.dataset_revision, r.config], 32),
            r.proxy,
        )
        for r in repo.proxies()
        if not (retry_failed and _has_failed(r))
    }


def rows_of(pairs: Sequence[Pair], repo: ResultsRepo) -> dict[str, list[ProxyRow]]:
    """A pair's id -> its scores in the record."""
    found: dict[str, list[ProxyRow]] = {pair.id: [] for pair in pairs}
    names = {pair.id: set(pair.proxies) for pair in pairs}
    for r in repo.proxies():
        name = digest([r.model, r.model_revision, r.dataset, r.dataset_revision, r.config], 32)
        if r.proxy in names.get(name, ()):
            found[name].append(r)
    return found


def _has_failed(row: ProxyRow) -> bool:
    """Whether there was no pass at all; an undefined score has the rows and seconds of one."""
    return bool(np.isnan(row.value)) and row.rows == 0


# ------------------------------------------------------------------------------------- as a job


@dataclass(frozen=True)
class ModelJob:
    """One model to look at, on all of its data sets (one pair each): loaded once."""

    pairs: tuple[Pair, ...]
    results: Path
    rows: int | None = None
    max_length: int = 128
    retry_failed: bool = False
    fetch: Fetch | None = None

    @property
    def model(self) -> ModelEntry:
        """The model of all pairs."""
        return self.pairs[0].model

    @property
    def id(self) -> str:
        """A good file name."""
        return f"{PREFIX}{self.pairs[0].model_id}"

    @property
    def work(self) -> Path:
        """The folder for working files."""
        return self.results / ".work"


def run_model_job(argument: ModelJob, stop: Callable[[], bool]) -> None:
    """Look at one model in a process of its own; leaves a file a pair in `finished/`.

    What another process is looking at, or has just looked at, is left alone. Pairs that need the
    Hub when it can't be reached are left undone, with an event that says why. Raises `StoppedError`
    soon after `stop()` is True.
    """
    job = argument
    with claimed(job.work / "locks" / job.id) as mine:
        if not mine:
            return
        done = _finished(job.work)  # first: what is taken in meanwhile is in the record then
        done |= _known(ResultsRepo.open(job.results), job.retry_failed)
        load = _OnceLoaded(job)
        for pair in job.pairs:
            names = tuple(p for p in pair.proxies if (pair.id, p) not in done)
            if not names:
                continue
            if stop():
                raise StoppedError(f"{job.model.repo_id}: stopped", hint="run it again to go on")
            log_event(job.work, pair.event("look"))
            try:
                rows, reason = look(pair, names, load, job.rows, job.max_length)
            except HubError as error:
                log_event(job.work, pair.event("undone", reason=error.message))
                continue
            _leave(job.work, pair, rows, reason)


class _OnceLoaded:
    """Loads the job's model when it is first asked for; what went wrong then goes wrong again."""

    def __init__(self, job: ModelJob) -> None:
        self._job = job
        self._found: Loaded | None = None
        self._error: HfSelectError | None = None
        self.folder = ""

    def __call__(self) -> Loaded:
        """The model as `features.load` gives it. Raises `ModelError`, `AccessError`, `HubError`."""
        if self._error is not None:
            raise self._error
        if self._found is None:
            try:
                self._found = self._load()
            except HfSelectError as error:
                self._error = error
                raise
        return self._found

    def _load(self) -> Loaded:
        from hf_select import features
        from hf_select.tasks.base import get_task

        pair = self._job.pairs[0]
        folder = pair.model_location
        if folder is None and self._job.fetch is None:
            raise ModelError(
                f"{pair.model.repo_id} has no location", hint="its catalog must say where it is"
            )
        if folder is None and self._job.fetch is not None:
            folder = self._job.fetch(pair.model)
        self.folder = str(folder)
        return features.load(get_task(pair.model.task), self.folder)


def look(
    pair: Pair, names: Sequence[str], load: _OnceLoaded, rows: int | None, max_length: int
) -> tuple[list[ProxyRow], str]:
    """A row a proxy from one pass over train rows, and the reason if there was none (NaN rows).

    Raises `HubError`, which says nothing about model or data.
    """
    from hf_select.features import extract_features
    from hf_select.tasks.base import get_task
    from hf_select.tasks.data import load_benchmark

    task = get_task(pair.dataset.task)
    try:
        loaded = load()
        target = load_benchmark(pair.dataset, pair.dataset_location)
        features = extract_features(
            task,
            load.folder,
            target,
            max_rows=rows,
            max_length=max_length,
            device=_device(),
            loaded=loaded,
        )
        scored = score_all(names, features, task.kind)
    except HubError:
        raise
    except HfSelectError as error:
        # a reason is shown and logged: it says which model, not where it lies on this machine
        reason = error.message.replace(load.folder or pair.model.repo_id, pair.model.repo_id)
        return _unscored(pair, names), reason
    except MemoryError as error:
        return _unscored(pair, names), f"out of memory: {error}"
    except OSError as error:
        return _unscored(pair, names), str(error)
    size = {"rows": len(features.labels), "seconds": features.seconds}
    return [pair.row(name, scored[name], **size) for name in names], ""


def _unscored(pair: Pair, names: Sequence[str]) -> list[ProxyRow]:
    return [pair.row(name, Scored(NAN, 0.0)) for name in names]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _leave(work: Path, pair: Pair, rows: Sequence[ProxyRow], reason: str) -> None:
    """Write a pair's scores where the parent takes them in."""
    proxies = digest(sorted(row.proxy for row in rows))
    values = [{k: None if v != v else v for k, v in asdict(row).items()} for row in rows]
    data = json.dumps({"rows": values, "reason": reason}).encode()
    write_atomic(work / "finished" / f"{PREFIX}{pair.id}-{proxies}.json", data)


def _read(path: Path) -> tuple[list[ProxyRow], str] | None:
    """What `_leave` wrote; None if another process has just taken it in."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    numbers: list[dict[str, Any]] = [
        {k: NAN if v is None else v for k, v in row.items()} for row in found["rows"]
    ]
    return [ProxyRow(**row) for row in numbers], found["reason"]


def _pair_of(path: Path) -> str:
    """The id of the pair whose scores a file holds."""
    return path.stem.removeprefix(PREFIX).partition("-")[0]


def _finished(work: Path) -> set[tuple[str, str]]:
    """(pair's id, proxy) of the scores that nobody has taken in yet."""
    found = set()
    for path in (work / "finished").glob(f"{PREFIX}*.json"):
        left = _read(path)
        if left is not None:
            found |= {(_pair_of(path), row.proxy) for row in left[0]}
    return found


# -------------------------------------------------------------------------------- all that lack


def run_scoring(
    catalog: Catalog,
    repo: ResultsRepo,
    proxies: Sequence[str] | None = None,
    *,
    rows: int | None = None,
    max_length: int = 128,
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    only_measured: bool = False,
    only: Collection[str] | None = None,
    without: Collection[tuple[str, str]] = (),
    fetch: Fetch | None = None,
    engine: Engine | None = None,
    parallel: str = "jobs",
    on_plan: Callable[[int], None] = lambda pairs: None,
    on_event: OnEvent | None = None,
) -> ScoringSummary:
    """Score the catalog's pairs that the record lacks proxy scores of, a subprocess a model.

    A pass sees at most `rows` train rows (None: `features.look_rows`), of texts `max_length`
    tokens. `jobs` at once, `timeout` in seconds a pair; `only_measured`: pairs that the record has
    a fine-tuning of. Those of `without` (names of model and data set) are left undone: the Hub
    couldn't be reached for them just now. What a job that died hadn't finished is recorded as
    failed. Of processes that were launched together each looks at models of its own; where they
    train together (`parallel="data"`) the first one has them looked at. `engine` says where: on
    this machine if not given. `on_plan` is told how many pairs there are to score. The rows are in
    the inbox afterwards. Raises `StoppedError` after SIGINT or SIGTERM; the same call then goes on.

    `only`: no other pairs than those with these ids.
    """
    check_scoring(proxies, rows, {entry.task for entry in catalog.datasets})
    began = time.monotonic()
    work = work_folder(repo)
    planned = all_pairs(catalog, proxies, shard=shard)
    if only is not None:
        planned = [pair for pair in planned if pair.id in only]
    run = _Scoring(repo, work, planned, retry_failed, on_event or (lambda event: None))
    here = place()
    if here.world > 1:
        gather(parallel)
    if here.rank == 0:
        run.collect()  # what an earlier run had finished when it was killed
    if only_measured:
        planned = measured_pairs(planned, repo)
    missing = common(missing_pairs(planned, repo, retry_failed=retry_failed))
    run.reset()
    run.set_undone([pair for pair in missing if _name(pair) in without])
    todo = [pair for pair in missing if _name(pair) not in without]
    on_plan(len(todo))
    groups = [tuple(group) for _, group in groupby(todo, key=lambda pair: pair.model_id)]
    if parallel == "data" and here.rank:
        groups = []
    if groups:
        executor = (engine or Engine()).start(
            run_model_job,
            logs=work / "logs",
            jobs=None if jobs is None else min(jobs, len(groups)),
            timeout=None if timeout is None else timeout * max(map(len, groups)),
            preload=modelling_modules(catalog),
        )
        plan = [
            ModelJob(group, repo.path.absolute(), rows, max_length, retry_failed, fetch)
            for group in groups
        ]
        try:
            mine = plan if parallel == "data" else own_first(plan, here)
            executor.run(run.jobs(mine), on_end=run.on_end, on_tick=run.tick)
        except StoppedError as error:
            run.tick()
            left = len(todo) - run.scored - run.failed
            raise StoppedError(
                f"{error.message}: {run.scored + run.failed} pairs scored, {left} left",
                hint="run the same command again to go on",
            ) from error
        run.tick()
    counts = everyones((run.scored, run.failed, run.pass_seconds, run.scoring_seconds))
    run.follow()
    scored, failed, passes, scoring = (sum(column) for column in zip(*counts, strict=True))
    undone = tuple(run.undone.values())
    return ScoringSummary(
        scored=int(scored),
        failed=int(failed),
        there=len(planned) - int(scored) - int(failed) - len(undone),
        seconds=time.monotonic() - began,
        pass_seconds=passes,
        scoring_seconds=scoring,
        undone=undone,
    )


def _name(pair: Pair) -> tuple[str, str]:
    return pair.model.repo_id, pair.dataset.repo_id


class _Scoring:
    """The parent's side: puts finished scores into the repository and passes events on."""

    def __init__(
        self,
        repo: ResultsRepo,
        work: Path,
        pairs: Sequence[Pair],
        retry_failed: bool,
        on_event: OnEvent,
    ) -> None:
        self.repo, self.work, self.retry_failed = repo, work, retry_failed
        self.pairs: Mapping[str, Pair] = {pair.id: pair for pair in pairs}
        self.on_event = on_event
        self.undone: dict[str, BenchmarkEvent] = {}
        self._jobs: dict[str, ModelJob] = {}
        self._unreached: list[str] = []  # models in a row
        self._events = EventTail(work)
        self.reset()

    def reset(self) -> None:
        """Count from here."""
        self.scored = self.failed = 0
        self.pass_seconds = self.scoring_seconds = 0.0

    def set_undone(self, pairs: Sequence[Pair]) -> None:
        """These aren't tried."""
        for pair in pairs:
            reason = "not tried: the Hub could not be reached before"
            log_event(self.work, pair.event("undone", reason=reason))
        self.follow()

    def jobs(self, plan: Sequence[ModelJob]) -> Iterator[Job]:
        """Jobs for what is still missing when a slot is free."""
        for job in plan:
            if place().world > 1 and is_claimed(self.work / "locks" / job.id):
                continue
            pairs = missing_pairs(job.pairs, self.repo, retry_failed=self.retry_failed)
            if place().world > 1:
                there = _finished(self.work)
                pairs = [p for p in pairs if not {(p.id, name) for name in p.proxies} <= there]
            if len(self._unreached) >= UNREACHED:
                self.set_undone([pair for pair in pairs if pair.needs_hub()])
                pairs = [pair for pair in pairs if not pair.needs_hub()]
            if pairs:
                self._jobs[job.id] = replace(job, pairs=tuple(pairs))
                yield Job(job.id, self._jobs[job.id])

    def on_end(self, outcome: Outcome) -> None:
        """A job is over: take its scores in, and note of the rest that it can't be looked at."""
        self.tick()
        if outcome.status in ("failed", "timeout"):
            there = _finished(self.work) | _known(self.repo, self.retry_failed)
            for pair in self._jobs[outcome.id].pairs:
                names = [p for p in pair.proxies if (pair.id, p) not in there]
                if names and pair.id not in self.undone:
                    _leave(self.work, pair, _unscored(pair, names), outcome.reason)
        self.collect()

    def tick(self) -> None:
        """Take in what has come, and pass on what was logged."""
        self.collect()
        self.follow()

    def collect(self) -> None:
        """Move finished scores of our pairs into the repository, with the entries that they name.

        A process with some of the same pairs may get here at the same time; the one that removes
        the file counts the pair.
        """
        found: dict[Path, tuple[list[ProxyRow], str]] = {}
        for path in sorted((self.work / "finished").glob(f"{PREFIX}*.json")):
            left = _read(path) if _pair_of(path) in self.pairs else None
            if left is not None:
                found[path] = left
        if not found:
            return
        pairs = [self.pairs[_pair_of(path)] for path in found]
        try:
            self.repo.append(
                proxies=[row for rows, _ in found.values() for row in rows],
                models=dict.fromkeys(pair.model for pair in pairs),
                datasets=self._new_datasets(pairs),
            )
        except OSError as error:
            raise StoppedError(
                f"{self.repo.path} can't be written: {error}",
                hint="the finished scores are kept; make room and run the same command again",
            ) from error
        for path, (rows, reason) in found.items():
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            self._count(self.pairs[_pair_of(path)], rows, reason)

    def _new_datasets(self, pairs: Sequence[Pair]) -> list[DatasetEntry]:
        """Entries that the record lacks; one without a baseline comes with a fine-tuning."""
        known = {(e.repo_id, e.config, e.revision) for e in self.repo.datasets()}
        entries = {(e.repo_id, e.config, e.revision): e for e in (pair.dataset for pair in pairs)}
        return [e for key, e in entries.items() if key not in known and e.baseline == e.baseline]

    def _count(self, pair: Pair, rows: Sequence[ProxyRow], reason: str) -> None:
        if reason:
            self.failed += 1
            event = pair.event("unscored", status="failed", reason=reason)
        else:
            self.scored += 1
            own = sum(row.scoring_seconds for row in rows)
            self.pass_seconds += rows[0].seconds
            self.scoring_seconds += own
            event = pair.event("scored", seconds=round(rows[0].seconds + own, 4))
        log_event(self.work, event)

    def follow(self) -> None:
        """Pass on the events that were logged since the last time."""
        for event in self._events.read():
            pair = self.pairs.get(event.key)
            if pair is None:
                continue
            if event.kind == "undone":
                self.undone[event.key] = event
                if pair.model_id not in self._unreached:
                    self._unreached.append(pair.model_id)
            elif event.kind in ("scored", "unscored"):
                self.undone.pop(event.key, None)  # another process could reach it
                if event.kind == "scored" and pair.needs_hub():
                    self._unreached.clear()
            self.on_event(event)
