"""From runs to arrays: the performance matrix, the set of learning curves, and missing cells.

Only runs that ended as "ok" give a number. A matrix never mixes recipes, metrics within a
column, dataset revisions within a column, or model revisions within a row: of several dataset
revisions (or metrics) the one with most models counts, of several model revisions the newest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_select.errors import RecordError
from hf_select.records import NAN, CurveSet, PerformanceMatrix, RunRecord

Array = np.ndarray
Baselines = Mapping[tuple[str, str], float]
"""(dataset name, metric) -> raw score of the trivial predictor."""


def dataset_name(repo_id: str, config: str) -> str:
    """How a dataset is called in a matrix: `repo_id`, or `repo_id/config` where it has one."""
    return f"{repo_id}/{config}" if config else repo_id


# ------------------------------------------------------------------------- runs -> arrays


@dataclass(frozen=True)
class _Grid:
    """Runs of one recipe that may stand side by side, with their rows and columns."""

    runs: tuple[tuple[int, int, RunRecord], ...]
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    baselines: Array


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
    grid = _grid(runs, metric, baselines or {})
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    for i, j, run in grid.runs:
        cells[i, j].append(run.test)
    scores = np.full((len(grid.models), len(grid.datasets)), np.nan)
    spread = scores.copy()
    for cell, values in cells.items():
        scores[cell] = np.mean(values)
        if len(values) > 1:
            spread[cell] = np.std(values, ddof=1)
    return PerformanceMatrix(
        scores,
        spread,
        grid.models,
        grid.datasets,
        grid.metrics,
        grid.baselines,
        recipe=recipe,
        task=task,
    )


def curve_set(
    runs: Iterable[RunRecord],
    *,
    metric: str | None = None,
    baselines: Baselines | None = None,
) -> CurveSet:
    """All learning curves of one task and recipe on the union of their evaluation points.

    The models and datasets are those of `performance_matrix` of the same runs.
    """
    grid = _grid(runs, metric, baselines or {})
    points = {round(float(e), 9): float(e) for *_, run in grid.runs for e in run.curve.epochs}
    place = {point: t for t, point in enumerate(sorted(points))}
    seeds = tuple(sorted({run.key.seed for *_, run in grid.runs}))
    shape = (len(grid.models), len(grid.datasets), len(seeds))
    val = np.full((*shape, len(place)), np.nan)
    seconds, test = val.copy(), np.full(shape, np.nan)
    for i, j, run in grid.runs:
        s = seeds.index(run.key.seed)
        at = [place[round(float(e), 9)] for e in run.curve.epochs]
        val[i, j, s, at] = run.curve.val
        seconds[i, j, s, at] = run.curve.seconds
        test[i, j, s] = run.test
    epochs = np.array([points[p] for p in place], dtype=np.float64)
    return CurveSet(
        val,
        test,
        seconds,
        epochs,
        grid.models,
        grid.datasets,
        seeds,
        grid.metrics,
        grid.baselines,
    )


def long_table(
    runs: Sequence[RunRecord], *, task: str, baselines: Baselines | None = None
) -> dict[str, list[Any]]:
    """The performance matrices of every recipe of a task as columns, one row a measured cell."""
    names = ("task", "recipe", "model", "dataset", "metric", "score", "spread", "seeds", "baseline")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    by_recipe: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.status == "ok":
            by_recipe[run.key.recipe].append(run)
    for recipe, mine in sorted(by_recipe.items()):
        matrix = performance_matrix(mine, task=task, recipe=recipe, baselines=baselines)
        seeds = np.zeros(matrix.scores.shape, dtype=np.int64)
        for row, column, _ in _grid(mine, None, {}).runs:
            seeds[row, column] += 1
        for j, dataset in enumerate(matrix.datasets):
            for i in np.flatnonzero(~np.isnan(matrix.scores[:, j])):
                cell = (task, recipe, matrix.models[i], dataset, matrix.metrics[j])
                score = (matrix.scores[i, j], matrix.spread[i, j])
                values = (*cell, *score, seeds[i, j], matrix.baselines[j])
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value)
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
    models = sorted({run.key.model for run in good})
    by_column: dict[str, list[RunRecord]] = defaultdict(list)
    for run in good:
        by_column[dataset_name(run.key.dataset, run.key.config)].append(run)
    datasets = sorted(by_column)
    row = {model: i for i, model in enumerate(models)}
    metrics = tuple(by_column[name][0].metric for name in datasets)
    reported = [
        _baseline(by_column[name], baselines.get((name, metric), NAN))
        for name, metric in zip(datasets, metrics, strict=True)
    ]
    cells = tuple(
        (row[r.key.model], j, r) for j, name in enumerate(datasets) for r in by_column[name]
    )
    return _Grid(
        cells, tuple(models), tuple(datasets), metrics, np.array(reported, dtype=np.float64)
    )


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
