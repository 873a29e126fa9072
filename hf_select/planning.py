"""Which cells to run next: what a measurement tells of a model's other cells, for what it costs.

Each model's skills on the benchmarks are one draw from a normal distribution that is learned from
the record. A cell that is measured tells of the others by the covariance, so what it is worth can
be computed before it is run.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError

Array = NDArray[np.float64]
NAN = float("nan")

PRIOR_ROWS = 5.0
"""How many models the prior of the covariance counts for."""
NOISE = 0.01
"""Standard deviation of a score from seed to seed where no benchmark tells, in skill."""
LEAST_NOISE = 1e-3
SWEEPS = 30
LEARNED = 1000
"""Models that the covariance is learned from, at most: those with most cells."""
NEAR = 0.25
"""Near the top: no further below the best than this, in standard deviations of the benchmark."""
HOPELESS = 0.02
"""Weight of what is not known about a model that has no chance of being near the top."""
WORTH = 2.5e-7
"""A cell that lowers the mean variance of its model by less isn't planned: (0.05 points)^2."""


# ------------------------------------------------------------------------------------- budget


@dataclass(frozen=True)
class Budget:
    """What may be spent: predicted seconds of training, or a number of cells; one is None."""

    seconds: float | None = None
    cells: int | None = None

    @property
    def amount(self) -> float:
        """The number, whatever its unit."""
        return float(self.cells if self.seconds is None else self.seconds)  # type: ignore[arg-type]


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_budget(text: str) -> Budget:
    """`90m`, `2h`, `45s`, `1.5h`, `1d`, or a number of cells; `InputError` for anything else.

    >>> parse_budget("90m"), parse_budget("20")
    (Budget(seconds=5400.0, cells=None), Budget(seconds=None, cells=20))
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(text))
    hint = "a time such as 45s, 90m, 2h or 1d, or a number of cells such as 20"
    if found is None:
        raise InputError(f"budget is {text!r}, but must be a time or a number of cells", hint=hint)
    number, unit = float(found[1]), found[2]
    if number <= 0 or not (unit or number.is_integer()):
        raise InputError(
            f"budget is {text!r}, but must be above 0, and whole if in cells", hint=hint
        )
    return Budget(seconds=number * UNITS[unit]) if unit else Budget(cells=int(number))


# ------------------------------------------------------------------------ what the record tells


@dataclass(frozen=True, eq=False)
class Skills:
    """How skills are distributed over models: mean (D,), covariance (D, D), noise (D,).

    `noise` is the variance of a single run's score around what many seeds would give.
    """

    mean: Array
    covariance: Array
    noise: Array


def learn_skills(scores: Array, seeds: NDArray[np.integer], noise: Array) -> Skills:
    """Learn mean and covariance of the benchmarks from a record with missing cells.

    scores (M, D): mean skill over seeds, NaN = not measured; seeds (M, D): runs in each cell; noise
    (D,): standard deviation from seed to seed, NaN = unknown (then the median of the others).

    Expectation-maximisation; the covariance is drawn towards one with equal correlations of all
    benchmarks, which counts as much as 5 models (the mode under an inverse Wishart prior). So a
    benchmark that nobody was measured on has the mean variance and the mean correlation.
    """
    scores, noise = np.asarray(scores, np.float64), np.asarray(noise, np.float64)
    known = noise[np.isfinite(noise) & (noise > 0)]
    usual = float(np.median(known)) if known.size else NOISE
    variance = (
        np.maximum(np.where(np.isfinite(noise) & (noise > 0), noise, usual), LEAST_NOISE) ** 2
    )
    have = np.isfinite(scores)
    count = have.sum(axis=1)
    rows = np.argsort(-count, kind="stable")[:LEARNED]
    rows = rows[count[rows] > 0]
    scores, have, seeds = scores[rows], have[rows], np.asarray(seeds)[rows]
    datasets = scores.shape[1]
    if not len(rows):
        prior = np.full((datasets, datasets), 0.02) + 0.02 * np.eye(datasets)
        return Skills(np.zeros(datasets), prior, variance)

    counts = have.sum(axis=0)
    total = np.where(have, scores, 0.0).sum(axis=0)
    mean = (total + total.sum() / counts.sum()) / (counts + 1)  # drawn to that of all by one cell
    moved = np.where(have, scores - mean, 0.0)
    squares, freedom = (moved**2).sum(axis=0), np.maximum(counts - 1, 0)
    overall = max(squares.sum() / max(freedom.sum(), 1), 4 * float(np.median(variance)))
    spread = np.maximum((squares + PRIOR_ROWS * overall) / (freedom + PRIOR_ROWS), variance)
    scaled = moved / np.sqrt(spread)
    both = (scaled.sum(axis=1) ** 2 - (scaled**2).sum(axis=1)).sum()
    most = ((scaled**2).sum(axis=1) * (have.sum(axis=1) - 1)).sum()
    alike = float(np.clip(both / most if most > 0 else 0.5, 0.05, 0.95))
    prior = np.sqrt(np.outer(spread, spread)) * (alike + (1 - alike) * np.eye(datasets))
    covariance = prior
    for _ in range(SWEEPS):
        means, spreads = posterior(Skills(mean, covariance, variance), scores, seeds)
        mean = (means.sum(axis=0) + mean) / (len(rows) + 1)
        around = means - mean
        new = (spreads.sum(axis=0) + around.T @ around + PRIOR_ROWS * prior) / (
            len(rows) + PRIOR_ROWS
        )
        moved_by = np.abs(new - covariance).max() / np.abs(new).max()
        covariance = new
        if moved_by < 1e-6:
            break
    return Skills(mean, covariance, variance)


def posterior(
    skills: Skills,
    scores: Array,
    seeds: NDArray[np.integer],
    *,
    effect: Array | None = None,
    spread: Array | None = None,
) -> tuple[Array, Array]:
    """What is known of each of N models: mean (N, D) and covariance (N, D, D) of its skills.

    scores (N, D), NaN = not measured, and seeds (N, D) as in `learn_skills`. effect and spread
    (N,): what is believed of the mean of a model's skills, from the mean of all models, before any
    run (see `recall.cold`), and its standard deviation; NaN, or a spread above that of all models,
    for nothing.
    """
    have = np.isfinite(scores)
    precision = np.where(have, np.maximum(seeds, 1), 0) / skills.noise
    inverse = np.linalg.inv(skills.covariance)
    datasets = scores.shape[1]
    information = inverse + precision[:, :, None] * np.eye(datasets)
    pull = precision * np.where(have, scores - skills.mean, 0.0)
    if effect is not None and spread is not None:
        usual = skills.covariance.mean()
        useful = np.isfinite(effect) & (spread**2 < usual)
        square = np.where(useful, np.maximum(spread**2, 1e-8), usual)
        weight = np.where(useful, 1 / square - 1 / usual, 0.0)  # of the mean, as a measurement
        # Seen with this weight, the mean of the skills has the variance spread^2, and so that it
        # then is the effect, it must have been seen a little further out.
        seen = np.where(
            useful, np.nan_to_num(effect) / np.where(useful, 1 - square / usual, 1.0), 0.0
        )
        information = information + weight[:, None, None] / datasets**2
        pull = pull + (weight * seen)[:, None] / datasets
    covariance = np.linalg.inv(information)
    means = skills.mean + np.einsum("njk,nk->nj", covariance, pull)
    return np.asarray(means, np.float64), np.asarray(covariance, np.float64)


def chances(means: Array, covariances: Array, skills: Skills, best: Array) -> Array:
    """Chance that a model is near the top on a benchmark (N, D). best (D,): of all models."""
    from scipy.special import ndtr

    deviation = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    line = best - NEAR * np.sqrt(np.diag(skills.covariance))
    return np.asarray(ndtr((means - line) / np.maximum(deviation, 1e-9)), dtype=np.float64)


# ------------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Step:
    """One cell of a plan: indices of model and benchmark, and what it is worth.

    gain: how much the run lowers the variance of the model's skills, mean over the benchmarks, each
    weighted with the chance of being near the top there, in points^2 (10,000 x skill^2); tells: the
    share of what isn't known of the model's other benchmarks that it tells; error: standard error
    of this cell before the run, in skill; chance: mean chance of being near the top; seeds: runs in
    the cell before; measured: benchmarks of the model that are measured or planned before.
    """

    model: int
    dataset: int
    gain: float
    seconds: float
    tells: float
    error: float
    chance: float
    seeds: int
    measured: int


def plan_cells(
    skills: Skills,
    scores: Array,
    seeds: NDArray[np.integer],
    means: Array,
    covariances: Array,
    best: Array,
    *,
    budget: float,
    cost: Array,
    seconds: Array | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[list[Step], float]:
    """Choose cells greedily by gain for their cost until the budget is spent: steps, what is left.

    scores and seeds (N, D): of the N models that may be measured; means (N, D) and covariances (N,
    D, D): what is known of them (see `posterior`); best (D,): of all models. budget and cost (N, D)
    have one unit, seconds (N, D) are for the steps. allowed (N, D): cells that can be run.

    Greedy A-optimal design: the gain of a cell is the drop of the trace of the model's covariance,
    each benchmark weighted by the chance that the model is near the top there, at least 2 %. A cell
    that was measured counts with a further seed. What a run will say isn't known, but how much it
    narrows is, so a whole plan can be made at once. Ties go to the first model, then benchmark.
    """
    models, datasets = scores.shape
    weights = np.maximum(chances(means, covariances, skills, best), HOPELESS)
    chance = weights.mean(axis=1)
    known, runs = np.isfinite(scores), np.array(seeds, dtype=np.int64)
    covariances = np.array(covariances)
    allowed = np.ones(scores.shape, dtype=bool) if allowed is None else allowed
    seconds = np.full(scores.shape, NAN) if seconds is None else seconds

    def best_cell(i: int, left: float) -> tuple[float, int, float] | None:
        """Of the best cell that can be paid for: gain for its cost, benchmark, gain."""
        spread = covariances[i]
        tells = spread**2 / (np.diag(spread) + skills.noise)  # (k, j): what j tells of k
        gain = weights[i] @ tells / datasets
        usable = allowed[i] & (cost[i] <= left) & (gain >= WORTH)
        if not usable.any():
            return None
        rate = np.where(usable, gain / cost[i], -np.inf)
        j = int(np.argmax(rate))
        return float(rate[j]), j, float(gain[j])

    steps: list[Step] = []
    left = float(budget)
    heap: list[tuple[float, int]] = []
    found: dict[int, tuple[float, int, float]] = {}

    def consider(i: int) -> None:
        cell = best_cell(i, left)
        if cell is not None:
            found[i] = cell
            heapq.heappush(heap, (-cell[0], i))

    for i in range(models):
        consider(i)
    while heap:
        _, i = heapq.heappop(heap)
        _, j, gain = found[i]
        if cost[i, j] > left:  # something else has used it up
            consider(i)
            continue
        spread = covariances[i]
        pull = spread[:, j] ** 2 / (spread[j, j] + skills.noise[j])
        others = np.arange(datasets) != j
        unknown = np.diag(spread)[others].sum()
        steps.append(
            Step(
                model=i,
                dataset=j,
                gain=1e4 * gain,
                seconds=float(seconds[i, j]),
                tells=float(pull[others].sum() / unknown) if unknown > 0 else 0.0,
                error=float(np.sqrt(spread[j, j])),
                chance=float(chance[i]),
                seeds=int(runs[i, j]),
                measured=int(known[i].sum()),
            )
        )
        covariances[i] = spread - np.outer(spread[:, j], spread[:, j]) / (
            spread[j, j] + skills.noise[j]
        )
        known[i, j], runs[i, j] = True, runs[i, j] + 1
        left -= float(cost[i, j])
        consider(i)
    return steps, left


# ------------------------------------------------------------------------------------- seconds


def predict_seconds(
    seconds: Array,
    kinds: Sequence[str],
    sizes: Sequence[int],
) -> Array:
    """What a cell takes, in seconds (N, D), for all models and benchmarks.

    seconds (N, D): of the runs of each cell, NaN = not known; kinds (N,): the architecture, sizes
    (N,): the number of parameters, 0 = unknown. A model's seconds are a factor of its own times one
    of the benchmark. The factor of a model without runs is the median one of its architecture, the
    nearest size first (within a factor of 2); else of the models of such a size; else of all. A
    benchmark without runs is like the median one. Where nothing is known at all it is NaN.
    """
    seconds = np.asarray(seconds, np.float64)
    logs = np.log(np.where(seconds > 0, seconds, NAN))
    have = np.isfinite(logs)
    if not have.any():
        return np.full(seconds.shape, NAN)
    column = _medians(logs.T)
    column = np.where(np.isfinite(column), column, np.nanmedian(column))
    for _ in range(10):  # medians in turn
        row = _medians(logs - column)
        new = _medians((logs - row[:, None]).T)
        column = np.where(np.isfinite(new), new, np.nanmedian(new))
    row = _medians(logs - column)
    timed = np.isfinite(row)
    size = np.log(np.maximum(np.asarray(sizes, np.float64), 1.0))
    like = np.asarray(sizes) > 0
    kind = np.array([str(k) for k in kinds])
    asked: dict[tuple[str, float], float] = {}
    for i in np.flatnonzero(~timed):
        key = str(kind[i]), float(size[i])
        if key not in asked:
            same = timed & (kind == kind[i]) & (kind[i] != "")
            close = timed & like & like[i] & (np.abs(size - size[i]) <= np.log(2) + 1e-9)
            pool = next(p for p in (same & close, same, close, timed) if p.any())
            asked[key] = float(np.median(row[pool]))
        row[i] = asked[key]
    return np.exp(row[:, None] + column)


def _medians(values: Array) -> Array:
    """Median of each row (N,) over its finite numbers, NaN where there is none."""
    ordered = np.sort(values, axis=1)  # NaN come last
    count = np.isfinite(values).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, np.maximum(count - 1, 0))
    rows = np.arange(len(values))
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, NAN)
