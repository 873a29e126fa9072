"""From runs to arrays: the performance matrix, the set of learning curves, and missing cells.

Only runs that ended as "ok" give a number. A matrix never mixes recipes, metrics within a
column, dataset revisions within a column, or model revisions within a row: of several dataset
revisions (or metrics) the one with most models counts, of several model revisions the newest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import RecordError, UnknownNameError
from hf_select.records import NAN, CurveSet, PerformanceMatrix, RunRecord

Array = np.ndarray
Baselines = Mapping[tuple[str, str], float]
"""(dataset name, metric) -> raw score of the trivial predictor."""


def dataset_name(repo_id: str, config: str) -> str:
    """How a dataset is called in a matrix: `repo_id`, or `repo_id/config` where it has one."""
    return f"{repo_id}/{config}" if config else repo_id


# ------------------------------------------------------------------------- which recipe


def recipe_counts(runs: Iterable[RunRecord]) -> dict[str, int]:
    """Recipe digest -> number of successful runs, most first."""
    counts = Counter(run.key.recipe for run in runs if run.status == "ok")
    return most_first(counts)


def most_first(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, the largest first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def default_recipe(counts: Mapping[str, int]) -> str:
    """The recipe with most runs, `counts` being most first; measured ones before imported ones."""
    return next((r for r in counts if not r.startswith("imported-")), next(iter(counts)))


def pick_recipe(
    wanted: str | None,
    counts: Mapping[str, int],
    *,
    where: str,
    task: str,
    failed: int,
    others: Iterable[str],
) -> str:
    """The wanted recipe of a task, or its default one.

    Raises `UnknownNameError` for one that it doesn't have, `RecordError` if it has none: there are
    `failed` runs that didn't succeed, and successful ones of the `others`.
    """
    if not counts:
        why = f"none of its {failed} runs of" if failed else "it has no runs of"
        end = " succeeded" if failed else ""
        raise RecordError(
            f"{where} can't be used for {task!r}: {why} that task{end}",
            hint=f"tasks with successful runs: {', '.join(others) or 'none'}",
        )
    if wanted is None:
        return default_recipe(counts)
    if wanted not in counts:
        raise UnknownNameError("recipe", wanted, counts)
    return wanted


# ------------------------------------------------------------------------- runs -> arrays


@dataclass(frozen=True)
class Columns:
    """What the columns of a matrix stand for: one dataset revision and one metric each.

    baselines (D,): raw score of the trivial predictor, NaN = unknown.
    """

    datasets: tuple[str, ...]
    revisions: tuple[str, ...]
    metrics: tuple[str, ...]
    baselines: Array


@dataclass(frozen=True)
class _Grid:
    """Runs of one recipe that may stand side by side, with their rows and columns."""

    runs: tuple[tuple[int, int, RunRecord], ...]
    models: tuple[str, ...]
    columns: Columns

    def only(self, models: Collection[str]) -> _Grid:
        """The rows of those models (that have one), with all columns."""
        wanted = set(models)
        kept = [i for i, name in enumerate(self.models) if name in wanted]
        row = {old: new for new, old in enumerate(kept)}
        return replace(
            self,
            runs=tuple((row[i], j, run) for i, j, run in self.runs if i in row),
            models=tuple(self.models[i] for i in kept),
        )

    def matrix(self, task: str, recipe: str) -> tuple[PerformanceMatrix, NDArray[np.int64]]:
        """Means and spreads, and how many runs each cell is made of (M, D)."""
        cells: dict[tuple[int, int], list[float]] = defaultdict(list)
        for i, j, run in self.runs:
            cells[i, j].append(run.test)
        scores = np.full((len(self.models), len(self.columns.datasets)), np.nan)
        spread, seeds = scores.copy(), np.zeros(scores.shape, dtype=np.int64)
        for cell, values in cells.items():
            scores[cell], seeds[cell] = np.mean(values), len(values)
            if len(values) > 1:
                spread[cell] = np.std(values, ddof=1)
        matrix = PerformanceMatrix(
            scores,
            spread,
            self.models,
            self.columns.datasets,
            self.columns.metrics,
            self.columns.baselines,
            recipe=recipe,
            task=task,
        )
        return matrix, seeds

    def curves(self) -> CurveSet:
        """The learning curves on the union of their evaluation points."""
        points = {round(float(e), 9): float(e) for *_, run in self.runs for e in run.curve.epochs}
        place = {point: t for t, point in enumerate(sorted(points))}
        seeds = tuple(sorted({run.key.seed for *_, run in self.runs}))
        shape = (len(self.models), len(self.columns.datasets), len(seeds))
        val = np.full((*shape, len(place)), np.nan)
        seconds, test = val.copy(), np.full(shape, np.nan)
        for i, j, run in self.runs:
            s = seeds.index(run.key.seed)
            at = [place[round(float(e), 9)] for e in run.curve.epochs]
            val[i, j, s, at] = run.curve.val
            seconds[i, j, s, at] = run.curve.seconds
            test[i, j, s] = run.test
        return CurveSet(
            val,
            test,
            seconds,
            np.array([points[p] for p in place], dtype=np.float64),
            self.models,
            self.columns.datasets,
            seeds,
            self.columns.metrics,
            self.columns.baselines,
            task=self.runs[0][2].task if self.runs else "",
        )


def performance_matrix(
    runs: Iterable[RunRecord],
    *,
    task: str = "",
    recipe: str = "",
    metric: str | None = None,
    baselines: Baselines | None = None,
) -> PerformanceMatrix:
    """Mean test score over seeds (M, D), NaN = not measured; spread is the sd with ddof=1.

    `runs` are of one task and one recipe. `metric` keeps the columns with that metric.
    A column's baseline is the median of what its runs report, else of `baselines`.
    """
    return _grid(runs, metric, baselines or {}).matrix(task, recipe)[0]


def curve_set(
    runs: Iterable[RunRecord],
    *,
    metric: str | None = None,
    baselines: Baselines | None = None,
    models: Collection[str] | None = None,
) -> CurveSet:
    """All learning curves of one task and recipe on the union of their evaluation points.

    The models and datasets are those of `performance_matrix` of the same runs; with `models` only
    the rows of those, and the seeds and evaluation points that these have.
    """
    grid = _grid(runs, metric, baselines or {})
    return (grid if models is None else grid.only(models)).curves()


def curves_in(columns: Columns, runs: Iterable[RunRecord]) -> CurveSet:
    """`curve_set(..., models=...)` from the runs of those models alone.

    That is possible where the columns of the whole matrix are known: `runs` are all successful
    runs of some models, of one task and recipe.
    """
    kinds = set(zip(columns.datasets, columns.revisions, columns.metrics, strict=True))
    mine = _newest_models([run for run in runs if _kind(run) in kinds])
    return _placed(mine, columns).curves()


@dataclass(frozen=True, eq=False)
class Recorded:
    """The matrix of one recipe, with the runs in each cell (M, D) and what its columns are."""

    matrix: PerformanceMatrix
    seeds: NDArray[np.int64]
    columns: Columns


def recorded(
    runs: Iterable[RunRecord], *, task: str, baselines: Baselines | None = None
) -> dict[str, Recorded]:
    """Recipe -> its performance matrix, of all successful runs of a task."""
    by_recipe: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.status == "ok":
            by_recipe[run.key.recipe].append(run)
    found = {}
    for recipe, mine in sorted(by_recipe.items()):
        grid = _grid(mine, None, baselines or {})
        found[recipe] = Recorded(*grid.matrix(task, recipe), grid.columns)
    return found


def matrix_table(matrices: Iterable[Recorded]) -> dict[str, list[Any]]:
    """Matrices as the columns of one table, one row a measured cell: by dataset, then model."""
    names = ("task", "recipe", "model", "dataset", "dataset_revision", "metric")
    columns: dict[str, list[Any]] = {
        name: [] for name in (*names, "score", "spread", "seeds", "baseline")
    }
    for found in matrices:
        matrix = found.matrix
        column, row = np.nonzero(~np.isnan(matrix.scores.T))
        columns["task"] += [matrix.task] * len(row)
        columns["recipe"] += [matrix.recipe] * len(row)
        columns["model"] += [matrix.models[i] for i in row]
        columns["score"] += matrix.scores[row, column].tolist()
        columns["spread"] += matrix.spread[row, column].tolist()
        columns["seeds"] += found.seeds[row, column].tolist()
        columns["baseline"] += matrix.baselines[column].tolist()
        for name, values in (
            ("dataset", matrix.datasets),
            ("dataset_revision", found.columns.revisions),
            ("metric", matrix.metrics),
        ):
            columns[name] += [values[j] for j in column]
    return columns


def _grid(runs: Iterable[RunRecord], metric: str | None, baselines: Baselines) -> _Grid:
    good = [run for run in runs if run.status == "ok" and metric in (None, run.metric)]
    if not good:
        raise RecordError(
            "no successful run to make a matrix of" + (f" with metric {metric!r}" if metric else "")
        )
    recipes = {run.key.recipe for run in good}
    if len(recipes) > 1:
        raise RecordError(f"a matrix has one recipe, but the runs have {len(recipes)}")
    good = _newest_models(_one_column_kind(good))
    by_column: dict[str, list[RunRecord]] = defaultdict(list)
    for run in good:
        by_column[dataset_name(run.key.dataset, run.key.config)].append(run)
    datasets = sorted(by_column)
    kinds = [_kind(by_column[name][0]) for name in datasets]
    reported = [
        _baseline(by_column[name], baselines.get((name, metric), NAN)) for name, _, metric in kinds
    ]
    columns = Columns(
        datasets=tuple(datasets),
        revisions=tuple(revision for _, revision, _ in kinds),
        metrics=tuple(metric for *_, metric in kinds),
        baselines=np.array(reported, dtype=np.float64),
    )
    return _placed(good, columns)


def _placed(runs: Sequence[RunRecord], columns: Columns) -> _Grid:
    """Runs in their rows and columns."""
    models = sorted({run.key.model for run in runs})
    row = {model: i for i, model in enumerate(models)}
    by_column: dict[str, list[RunRecord]] = {name: [] for name in columns.datasets}
    for run in runs:
        by_column[dataset_name(run.key.dataset, run.key.config)].append(run)
    cells = tuple(
        (row[run.key.model], j, run) for j, mine in enumerate(by_column.values()) for run in mine
    )
    return _Grid(cells, tuple(models), columns)


def _kind(run: RunRecord) -> tuple[str, str, str]:
    """What all runs of a column share."""
    name = dataset_name(run.key.dataset, run.key.config)
    return name, run.key.dataset_revision, run.metric


def _one_column_kind(runs: list[RunRecord]) -> list[RunRecord]:
    """For each dataset, the runs of one revision and one metric: the pair with most models."""
    groups: dict[str, dict[tuple[str, str], list[RunRecord]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for run in runs:
        name = dataset_name(run.key.dataset, run.key.config)
        groups[name][run.key.dataset_revision, run.metric].append(run)
    kept = []
    for kinds in groups.values():
        kept += max(
            kinds.values(),
            key=lambda mine: (len({r.key.model for r in mine}), max(r.created for r in mine)),
        )
    return kept


def _newest_models(runs: list[RunRecord]) -> list[RunRecord]:
    """For each model, the runs of the revision that was measured last."""
    newest: dict[str, tuple[str, str]] = {}
    for run in runs:
        mine = (run.created, run.key.model_revision)
        newest[run.key.model] = max(newest.get(run.key.model, ("", "")), mine)
    return [run for run in runs if run.key.model_revision == newest[run.key.model][1]]


def _baseline(runs: Sequence[RunRecord], fallback: float) -> float:
    known = [run.baseline for run in runs if not np.isnan(run.baseline)]
    return float(np.median(known)) if known else fallback


# ------------------------------------------------------------------------- missing cells

RANKS = (0, 1, 2)
FOLDS = 5
RIDGE = 0.1
"""Shrinkage of effects and factors, in units of one measured cell with average factors."""
SWEEPS = 60


def impute(scores: Array, *, seed: int = 0) -> tuple[Array, Array]:
    """Fill missing cells. Returns (filled (M, D), variance (M, D)).

    A model effect plus a dataset effect, plus 0, 1 or 2 products of a model and a dataset
    factor; how many is chosen by predicting held-out cells (the fewest within one standard
    error of the best). `variance` is 0 where a cell was measured and the held-out squared
    error, larger for rows and columns with few measurements, where it was filled. Rows and
    columns without any measurement stay NaN. `seed` deals the cells into folds.
    """
    scores = np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(scores)
    rows, columns = known.any(axis=1), known.any(axis=0)
    filled, variance = scores.copy(), np.where(known, 0.0, np.nan)
    if not known.any() or known[np.ix_(rows, columns)].all():
        return filled, variance
    part = np.ix_(rows, columns)
    rank, errors = _choose_rank(scores[part], seed)
    prediction = _fit(scores[part], rank)
    filled[part] = np.where(known[part], scores[part], prediction)
    variance[part] = np.where(known[part], 0.0, _variance(known[part], errors))
    return filled, variance


def _choose_rank(scores: Array, seed: int) -> tuple[int, Array]:
    """The rank that predicts held-out cells well, and its squared errors (M, D), NaN = unused."""
    known = np.flatnonzero(~np.isnan(scores))
    folds = np.random.default_rng(seed).permutation(len(known)) % min(FOLDS, len(known))
    errors = np.full((len(RANKS), *scores.shape), np.nan)
    for fold in range(int(folds.max()) + 1):
        hidden = np.unravel_index(known[folds == fold], scores.shape)
        train = scores.copy()
        train[hidden] = np.nan
        for r, rank in enumerate(RANKS):
            errors[r][hidden] = (_fit(train, rank)[hidden] - scores[hidden]) ** 2
    mean = np.nanmean(errors, axis=(1, 2))
    best = int(np.argmin(mean))
    for r in range(best):
        excess = (errors[r] - errors[best])[~np.isnan(errors[r])]
        margin = excess.std(ddof=1) / np.sqrt(excess.size) if excess.size > 1 else 0.0
        if excess.mean() <= margin:
            return RANKS[r], errors[r]
    return RANKS[best], errors[best]


def _fit(scores: Array, rank: int) -> Array:
    """Predictions (M, D) of the additive model plus `rank` products, by ridge least squares.

    Given the datasets, every model's effect and factors are one small least-squares problem, and
    the other way round. It starts from the additive fit and the leading singular vectors of
    what that leaves.
    """
    known = (~np.isnan(scores)).astype(np.float64)
    mean = float(np.nansum(scores) / known.sum())
    values = np.where(known > 0, scores - mean, 0.0)
    rank = min(rank, *scores.shape)
    rows, columns = _alternate(values, known, *(np.zeros((n, 1)) for n in scores.shape))
    if rank:
        rest = (values - rows - columns.T) * known
        left, weights, right = np.linalg.svd(rest, full_matrices=False)
        root = np.sqrt(weights[:rank])
        rows, columns = _alternate(
            values,
            known,
            np.hstack([rows, left[:, :rank] * root]),
            np.hstack([columns, right[:rank].T * root]),
        )
    return mean + rows[:, :1] + columns[:, 0] + rows[:, 1:] @ columns[:, 1:].T


def _alternate(values: Array, known: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Solve rows (M, 1 + r) and columns (D, 1 + r) in turn: the effect, then the factors."""
    for _ in range(SWEEPS):
        columns = _solve(values.T, known.T, rows)
        rows = _solve(values, known, columns)
    return rows, columns


def _solve(values: Array, known: Array, other: Array) -> Array:
    """For each row of `values` (A, B) the effect and factors that fit its known cells.

    `other` (B, 1 + r) are the effects and factors of the columns. The ridge is worth `RIDGE`
    cells with average factors.
    """
    design = np.hstack([np.ones((len(other), 1)), other[:, 1:]])
    scale = (design**2).mean(axis=0) + 1e-12
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    gram = (known @ products).reshape(-1, *scale.shape * 2) + RIDGE * np.diag(scale)
    target = (values - other[:, 0]) * known
    return np.linalg.solve(gram, (target @ design)[..., None])[..., 0]


def _variance(known: Array, errors: Array) -> Array:
    """Expected squared error (M, D) of a filled cell.

    A column's own held-out error, shrunk to the overall one, times a factor for how few
    measurements the row and the column have (1 on average over the held-out cells).
    """
    used = ~np.isnan(errors)
    overall = float(errors[used].mean())
    count = used.sum(axis=0)
    column = (np.where(used, errors, 0.0).sum(axis=0) + 5 * overall) / (count + 5)
    factor = 1 + 1 / known.sum(axis=1)[:, None] + 1 / known.sum(axis=0)
    return column * factor / factor[used].mean()
