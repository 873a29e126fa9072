"""The rows of a repository in memory: which are the same, which wins, which disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hf_select.metrics import get_metric
from hf_select.records import DatasetEntry, ModelEntry, ProxyRow, Recipe, RunKey, RunRecord
from hf_select.results.matrix import dataset_name
from hf_select.results.schema import Row


@dataclass(frozen=True)
class Disagreement:
    """Runs with one key and different test scores. All are kept, the earliest one is used.

    `flagged` is True when they lie more than three standard errors apart (binomial, for metrics
    between 0 and 1 with a known test split; otherwise any difference counts).
    """

    key: RunKey
    runs: tuple[RunRecord, ...]
    flagged: bool


@dataclass(frozen=True)
class Rows:
    """Rows of every kind, in the order in which they are stored."""

    runs: tuple[RunRecord, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    datasets: tuple[DatasetEntry, ...] = ()
    proxies: tuple[ProxyRow, ...] = ()
    recipes: tuple[Recipe, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.by_kind().values()))

    def by_kind(self) -> dict[str, tuple[Row, ...]]:
        """Kind -> rows. The runs come last: where a run is, its entries are."""
        return {
            "recipes": self.recipes,
            "models": self.models,
            "datasets": self.datasets,
            "proxies": self.proxies,
            "runs": self.runs,
        }


@dataclass
class State:
    """Everything that a repository holds, each row once."""

    runs: dict[RunKey, list[RunRecord]] = field(default_factory=dict)
    entries: dict[tuple, ModelEntry | DatasetEntry | ProxyRow | Recipe] = field(
        default_factory=dict
    )
    problems: list[str] = field(default_factory=list)

    def lacks(self, row: Row) -> bool:
        """Whether the row says anything new: another score of a run, another entry."""
        if isinstance(row, RunRecord):
            return not any(_same_result(row, other) for other in self.runs.get(row.key, ()))
        known = self.entries.get(_identity(row))
        return known is None or not _equal(known, row)

    def add(self, row: Row) -> bool:
        """Take a row in; False if it says nothing new. A later entry replaces the earlier."""
        if not self.lacks(row):
            return False
        if isinstance(row, RunRecord):
            self.runs.setdefault(row.key, []).append(row)
        else:
            self.entries.pop(_identity(row), None)  # the newest comes last
            self.entries[_identity(row)] = row
        return True

    def rows(self) -> Rows:
        """All rows, those of one key that disagree side by side."""
        return Rows(
            runs=tuple(sorted((run for v in self.runs.values() for run in v), key=stored_order)),
            models=tuple(self.models()),
            datasets=tuple(self.datasets()),
            proxies=tuple(self.proxies()),
            recipes=tuple(self.recipes().values()),
        )

    def missing_from(self, other: State) -> State:
        """The rows that would be new to `other`.

        An entry of a commit that it has an entry of is none, even where it says something else:
        entries bear no date, and two records that differ would overwrite each other for ever.
        """
        found = State()
        for key, entry in self.entries.items():
            if key not in other.entries:
                found.add(entry)
        for variants in self.runs.values():
            for run in variants:
                if other.lacks(run):
                    found.add(run)
        return found

    def best(self) -> Iterator[RunRecord]:
        """One run a key: an `ok` one before a failed one, then the earliest measurement."""
        for variants in self.runs.values():
            good = [run for run in variants if run.status == "ok"]
            if good:
                yield min(good, key=lambda run: (run.created, run.test))
            else:
                yield max(variants, key=lambda run: (run.created, run.status))

    def models(self) -> list[ModelEntry]:
        """By task and name; of several revisions the one added last comes last."""
        found = [e for e in self.entries.values() if isinstance(e, ModelEntry)]
        return sorted(found, key=lambda e: (e.task, e.repo_id))

    def datasets(self) -> list[DatasetEntry]:
        """By task, name and config; of several revisions the one added last comes last."""
        found = [e for e in self.entries.values() if isinstance(e, DatasetEntry)]
        return sorted(found, key=lambda e: (e.task, e.repo_id, e.config))

    def proxies(self) -> list[ProxyRow]:
        """By task, dataset, model and proxy."""
        found = [e for e in self.entries.values() if isinstance(e, ProxyRow)]
        return sorted(found, key=lambda e: (e.task, e.dataset, e.config, e.model, e.proxy))

    def recipes(self) -> dict[str, Recipe]:
        """Digest -> recipe."""
        found = [e for e in self.entries.values() if isinstance(e, Recipe)]
        return {recipe.digest(): recipe for recipe in sorted(found, key=lambda r: r.digest())}

    def tasks(self) -> list[str]:
        """All tasks that any row belongs to."""
        named = {e.task for e in self.entries.values() if not isinstance(e, Recipe)}
        return sorted(named | {run.task for run in self.best()})

    def baselines(self, task: str) -> dict[tuple[str, str], float]:
        """(dataset name as in a matrix, metric) -> raw score of the trivial predictor."""
        return {
            (dataset_name(entry.repo_id, entry.config), entry.metric): entry.baseline
            for entry in self.datasets()
            if entry.task == task
        }

    def disagreements(self) -> list[Disagreement]:
        """Keys with several different successful test scores, in the order of `run_order`."""
        test_rows = {
            (e.repo_id, e.config, e.revision): e.splits.get("test", 0) for e in self.datasets()
        }
        found = []
        for key, variants in self.runs.items():
            good = sorted((r for r in variants if r.status == "ok"), key=lambda r: r.created)
            if len(good) > 1:
                count = test_rows.get((key.dataset, key.config, key.dataset_revision), 0)
                found.append(Disagreement(key, tuple(good), _apart(good, count)))
        return sorted(found, key=lambda clash: run_order(clash.runs[0]))


def run_order(run: RunRecord) -> tuple:
    """The order in which runs are listed."""
    key = run.key
    cell = (run.task, key.recipe, key.dataset, key.config, key.model, key.seed)
    return (*cell, key.model_revision, key.dataset_revision, run.created)


def stored_order(run: RunRecord) -> tuple:
    """The order in which runs are stored: all of a model together, to be read at once."""
    key = run.key
    cell = (run.task, key.recipe, key.model, key.dataset, key.config, key.seed)
    rest = (key.model_revision, key.dataset_revision, run.created, run.status)
    return (*cell, *rest, np.nan_to_num(run.test))


def _identity(row: ModelEntry | DatasetEntry | ProxyRow | Recipe) -> tuple:
    """What a later entry must share with an earlier one to replace it."""
    if isinstance(row, ModelEntry):
        return ("model", row.task, row.repo_id, row.revision)
    if isinstance(row, DatasetEntry):
        return ("dataset", row.task, row.repo_id, row.config, row.revision)
    if isinstance(row, ProxyRow):
        cell = (row.task, row.proxy, row.model, row.model_revision)
        return ("proxy", *cell, row.dataset, row.config, row.dataset_revision)
    return ("recipe", row.digest())


def _equal(one: Any, other: Any) -> bool:
    """Equality in which NaN equals NaN, and seconds are as exact as they are stored."""
    if isinstance(one, DatasetEntry) and isinstance(other, DatasetEntry):
        same = _same(one.baseline, other.baseline)
        return same and replace(one, baseline=0.0) == replace(other, baseline=0.0)
    if isinstance(one, ProxyRow) and isinstance(other, ProxyRow):
        times = ((one.seconds, other.seconds), (one.scoring_seconds, other.scoring_seconds))
        same = all(_same(np.float32(a), np.float32(b)) for a, b in times)
        blank: dict[str, Any] = {"value": 0.0, "seconds": 0.0, "scoring_seconds": 0.0}
        same = same and _same(one.value, other.value)
        return same and replace(one, **blank) == replace(other, **blank)
    return bool(one == other)


def _same_result(one: RunRecord, other: RunRecord) -> bool:
    return one.status == other.status and _same(one.test, other.test)


def _same(one: float | np.floating, other: float | np.floating) -> bool:
    return bool(one == other or (np.isnan(one) and np.isnan(other)))


def _apart(runs: Sequence[RunRecord], test_rows: int) -> bool:
    """Whether the scores differ by more than three standard errors of their difference."""
    scores = np.array([run.test for run in runs])
    if get_metric(runs[0].metric).bounds != (0.0, 1.0) or test_rows <= 0:
        return True
    edge = 1 / (test_rows + 2)
    p = float(np.clip(scores.mean(), edge, 1 - edge))
    return bool(np.ptp(scores) > 3 * np.sqrt(2 * p * (1 - p) / test_rows))
