"""What final scores to expect of models that were trained a little, as one joint normal forecast.

On one dataset, what a model reaches at each rung and at the end is taken as

    (final, val at rung 1, ..., val at rung T) = level of the dataset
        + slope x the expected skill of the model + what is its own + noise,

with normal parts whose covariances are learned from the recorded curves. What is a model's own has
most room half-way between trivial and perfect, and little near either end (`room`). The level is
common to all models, so that it cancels in every comparison, and a model that is seen early can be
compared with one that is seen late. The noise is that of the rows that a score rests on, and of the
seed. Of a curve the last two rungs count: where it is, and how it has come there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hf_select.metrics import get_metric
from hf_select.records import NAN, TASK_KINDS, Array, CurveSet, Expectation

FEWEST_DATASETS = 3
"""Datasets with curves and expectations that it takes to learn from."""
LAST = 2
"""Rungs of a curve that count, from the last one back: where it is, and its slope."""
SEED_ROWS = 500.0
"""The noise of a seed, in rows, where a record has one seed only: a score of one run is as
uncertain as if it were measured on that many. Measured at the end of training on the shipped
record."""
LEVEL_SPREAD, LEVEL_TOGETHER, LEVEL_WEIGHT = 0.2, 0.97, 1.0
"""What is taken for granted of the levels of datasets, as if this many datasets had shown it: their
standard deviation in skill, and the correlation between rungs."""
LEVEL_LEAST = 0.1
"""Standard deviation with which a level is known at best, whatever recall says: of 19 benchmarks
left out, one was 0.5 off where 0.04 had been said."""
ODD = 0.03
"""Standard deviation of a dataset's level at a single rung that nothing else explains; that between
validation and test rows of the shipped record."""
FLOOR = -0.5
"""Below that a skill says no more. Of classes it is 0, for a score below the majority class's is a
chance matter; errors worse than those of the mean tell of a training that memorises."""
LEAST = 1e-6
LOWEST, HIGHEST = 0.1, 0.97
"""Skills below and above which the room for differences shrinks no further."""

Indices = NDArray[np.int64]
RowVariance = Callable[[Array], Array]


def room(skill: Array) -> Array:
    """How much models differ where that skill is expected, as a share of what they do half-way.

    2 sqrt(skill (1 - skill)), the shape of a binomial's standard deviation.
    """
    inside = np.clip(skill, LOWEST, HIGHEST)
    return 2 * np.sqrt(inside * (1 - inside))


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of one model: rungs (n,), rising from 0, and its scores there (n,)."""

    rungs: Indices
    scores: Array


@dataclass(frozen=True, eq=False)
class Forecaster:
    """What recorded curves teach. Of T + 1, index 0 is the final, t + 1 rung t of `epochs` (T,).

    slope (T + 1,): per unit of expected skill. own (T + 1, T + 1): covariance of what is a model's
    own, where there is full `room`. correlation (T + 1, T + 1) of noise between rungs, which the
    final has no part in.
    seed (T + 1,): noise of a seed, in units of a row's variance. level (T + 1,) with
    level_covariance. usual: variance of the recorded finals around what was expected of them, noise
    included and room as it came. cells, datasets: how many runs on how many datasets taught it.
    floor: no score counts as less.
    """

    epochs: Array
    slope: Array
    own: Array
    correlation: Array
    seed: Array
    level: Array
    level_covariance: Array
    usual: float
    cells: int
    datasets: int
    floor: float = 0.0

    def rung_of(self, epoch: float) -> int:
        """The recorded rung that is nearest to an epoch, by ratio."""
        return int(np.argmin(np.abs(np.log(self.epochs / epoch))))

    def wider(self, factor: float) -> Forecaster:
        """The same, with `factor` times the standard deviation in all that it learned."""
        return replace(
            self,
            own=self.own * factor**2,
            level_covariance=self.level_covariance * factor**2,
            usual=self.usual * factor**2,
        )

    def finals(
        self,
        mean: Array,
        deviation: Array,
        seen: Sequence[Seen],
        row_variance: RowVariance,
        rows: Array,
        *,
        level: float = NAN,
        level_deviation: float = NAN,
        effects: Array | None = None,
        effect_deviation: Array | None = None,
    ) -> Finals:
        """The joint forecast for K models of which expected skill and part of the curve are known.

        mean, deviation (K,): expected relative skill; seen (K,). row_variance(score) is the
        variance that one row has, rows (T,) what a score at each rung rests on (inf = no noise).
        level, level_deviation: what is expected of the finals' common level. effects (K, T + 1, B):
        how much of B unknown effects, with mean 0 and effect_deviation (B,), is in each final and
        score: what some of the models have in common.
        """
        precision = _inverse(self.level_covariance)
        pull = precision @ self.level
        if np.isfinite(level) and np.isfinite(level_deviation):
            # It takes the place of what the record says of the finals' level: what is expected of
            # it comes from the same finals, and must not count twice.
            told = max(level_deviation, LEVEL_LEAST) ** -2
            recorded = 1 / self.level_covariance[0, 0]
            precision[0, 0] += told - recorded
            pull[0] += level * told - self.level[0] * recorded
        excess = np.maximum(np.nan_to_num(deviation) ** 2 - self.usual, 0.0)
        levels = _inverse(precision) @ pull
        if effects is None or effect_deviation is None:
            effects = np.zeros((len(mean), len(levels), 0))
            effect_deviation = np.zeros(0)
        precision = _beside(precision, np.diag(effect_deviation**-2.0))
        pull = np.concatenate([pull, np.zeros(len(effect_deviation))])
        parts = []
        for mu, extra, one, shared in zip(mean, excess, seen, effects, strict=True):
            spread = room(levels + self.slope * mu)
            part = _Part(self, mu, extra, spread, one, row_variance, rows, shared)
            part.add_to(precision, pull)
            parts.append(part)
        common = _inverse(precision)
        centre = common @ pull
        loads = np.stack([part.load for part in parts])
        covariance = np.diag([part.variance for part in parts]) + loads @ common @ loads.T
        return Finals(
            mean=np.array([part.constant for part in parts]) + loads @ centre,
            covariance=(covariance + covariance.T) / 2,
            parts=tuple(parts),
            loads=loads,
            common=common,
        )


class _Part:
    """One model, given what is common, the level and then the effects:
    final = constant + load @ common + normal(variance)."""

    def __init__(
        self,
        learned: Forecaster,
        mu: float,
        extra: float,
        spread: Array,
        seen: Seen,
        row_variance: RowVariance,
        rows: Array,
        effects: Array,
    ) -> None:
        self.learned, self.row_variance, self.rows = learned, row_variance, rows
        self.design = np.hstack([np.eye(len(learned.level)), effects])  # (T + 1, T + 1 + B)
        self.rungs = seen.rungs[-LAST:] + 1
        scores = np.maximum(seen.scores[-LAST:], learned.floor)
        own = learned.own + extra * np.outer(learned.slope, learned.slope)
        self.own = own * np.outer(spread, spread)
        self.load = self.design[0].copy()
        self.constant, self.variance = float(mu), float(self.own[0, 0])
        self.noise = self._noise(self.rungs, scores)
        self.inverse = np.empty((0, 0))
        self.rest = scores - learned.slope[self.rungs] * mu
        if len(self.rungs):
            own = self.own[np.ix_(self.rungs, self.rungs)]
            root = np.sqrt(self.noise)
            together = learned.correlation[np.ix_(self.rungs, self.rungs)] * np.outer(root, root)
            self.inverse = _inverse(own + together + LEAST * np.eye(len(root)))
            gain = self.inverse @ self.own[self.rungs, 0]
            self.load -= gain @ self.design[self.rungs]
            self.constant += float(gain @ self.rest)
            self.variance -= float(gain @ self.own[self.rungs, 0])

    def _noise(self, rungs: Indices, scores: Array) -> Array:
        return self.row_variance(scores) * (1 / self.rows[rungs - 1] + self.learned.seed[rungs])

    def add_to(self, precision: Array, pull: Array) -> None:
        """What this model's curve says of what is common."""
        design = self.design[self.rungs]
        precision += design.T @ self.inverse @ design
        pull += design.T @ (self.inverse @ self.rest)

    def next_score(self, rung: int, final: float) -> tuple[Array, float, float]:
        """Of its score at a later rung: load on what is common, own covariance with the final, and
        variance given what is common. `final` is its expected final, which tells the noise."""
        at = rung + 1
        noise = float(self._noise(np.array([at]), np.array([max(final, 0.0)]))[0])
        load = self.design[at].copy()
        with_final, variance = float(self.own[at, 0]), float(self.own[at, at]) + noise
        if len(self.rungs):
            shared = self.learned.correlation[at, self.rungs] * np.sqrt(self.noise * noise)
            with_seen = self.own[self.rungs, at] + shared
            gain = self.inverse @ with_seen
            load -= gain @ self.design[self.rungs]
            variance -= float(gain @ with_seen)
            with_final -= float(gain @ self.own[self.rungs, 0])
        return load, with_final, max(variance, 0.0) + LEAST


@dataclass(frozen=True, eq=False)
class Finals:
    """Finals of K models: mean (K,), covariance (K, K); the rest is what `moved_by` needs."""

    mean: Array
    covariance: Array
    parts: tuple[_Part, ...]
    loads: Array
    common: Array

    @property
    def deviation(self) -> Array:
        """Standard deviations (K,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def moved_by(self, model: int, rung: int) -> Array:
        """How the means (K,) would move if that model's score at that rung came out one of its
        standard deviations higher than expected."""
        load, with_final, variance = self.parts[model].next_score(rung, float(self.mean[model]))
        moved = self.loads @ self.common @ load
        moved[model] += with_final
        return moved / np.sqrt(variance + load @ self.common @ load)


# ------------------------------------------------------------------------------------ learning


@lru_cache(maxsize=4)
def learn(record: CurveSet, expected: Expectation | None) -> Forecaster | None:
    """What the recorded curves teach; None where there are too few to learn from.

    `record`: val and test as skill (`trend.as_skill`). `expected`: what recall would have expected
    of its models on its datasets; of cells without an expectation nothing is learned. Without any,
    all models count as equally promising.
    """
    hoped = _hoped(record, expected)  # (M, D)
    floor = FLOOR if "regression" in _kinds(record) else 0.0
    everything = np.concatenate([_finals(record)[..., None], np.maximum(record.val, floor)], axis=3)
    good = np.isfinite(everything[..., 0]) & np.isfinite(hoped)[:, :, None]
    everything = np.where(good[..., None], everything, np.nan)
    several = np.isfinite(everything).sum(axis=0) >= 2  # (D, S, T + 1)
    usable = several.any(axis=1).sum(axis=0) >= FEWEST_DATASETS
    if not (usable[0] and usable[1:].any()):
        return None
    everything = everything[..., usable]
    epochs = record.epochs[usable[1:]]
    level = _mean(everything, 0)  # (D, S, T + 1)
    relative = everything - level
    known = np.isfinite(everything)
    hope = np.where(known, hoped[:, :, None, None], np.nan)
    hope = np.nan_to_num(hope - _mean(hope, 0))
    filled = np.nan_to_num(relative)
    strength = (hope**2).sum(axis=(0, 1, 2))
    along = (hope * filled).sum(axis=(0, 1, 2))
    slope = np.divide(along, strength, out=np.zeros(len(strength)), where=strength > 0)
    slope[0] = 1.0  # an expectation is one of the final
    left = np.where(known, filled - slope * hope, 0.0)
    usual = float((left[..., 0] ** 2).sum() / max(1, known[..., 0].sum()))
    spread = np.where(known, room(np.nan_to_num(level + slope * hope)), 1.0)
    left /= spread
    pairs = np.einsum("mdst,mdsu->dstu", known * 1.0, known * 1.0)
    freedom = np.maximum(pairs - 1, 0).sum(axis=(0, 1))
    # Where runs are missing, each entry rests on other runs, and together they may be impossible.
    total = _positive(np.einsum("mdst,mdsu->tu", left, left) / np.maximum(freedom, 1))
    size = np.sqrt(np.diag(total))
    correlation = total / np.outer(size, size)
    correlation[0, 1:] = correlation[1:, 0] = 0.0
    seed, noise = _noise(record, everything, usable, correlation, spread)
    return Forecaster(
        epochs=epochs,
        slope=slope,
        own=_positive(total - noise),
        correlation=correlation,
        seed=seed,
        **_levels(level),
        usual=usual,
        cells=int(known[..., 0].sum()),
        datasets=int(known[..., 0].any(axis=(0, 2)).sum()),
        floor=floor,
    )


def _kinds(record: CurveSet) -> set[str]:
    """Of a task's metrics some may fit any kind, so the task itself says it where it is known."""
    if record.task in TASK_KINDS:
        return {TASK_KINDS[record.task]}
    return {get_metric(name).kind for name in record.metrics}


def _hoped(record: CurveSet, expected: Expectation | None) -> Array:
    """What was expected of the record's cells (M, D), NaN where nothing was."""
    if expected is None or not np.isfinite(expected.benchmarks).any():
        return np.zeros((len(record.models), len(record.datasets)))
    row = {name: i for i, name in enumerate(expected.models)}
    column = {name: j for j, name in enumerate(expected.datasets)}
    found = np.full((len(record.models), len(record.datasets)), np.nan)
    for i, model in enumerate(record.models):
        for j, dataset in enumerate(record.datasets):
            if model in row and dataset in column:
                found[i, j] = expected.benchmarks[row[model], column[dataset]]
    return found


def _finals(record: CurveSet) -> Array:
    """Mean test score over the other seeds (M, D, S); over the same where there is no other."""
    have = np.isfinite(record.test)
    filled = np.where(have, record.test, 0.0)
    count = have.sum(axis=2, keepdims=True)
    total = filled.sum(axis=2, keepdims=True)
    others = (total - filled) / np.maximum(count - 1, 1)
    return np.where(have, np.where(count > 1, others, filled), np.nan)


def _noise(
    record: CurveSet,
    everything: Array,
    usable: NDArray[np.bool_],
    correlation: Array,
    spread: Array,
) -> tuple[Array, Array]:
    """The noise of a seed (T + 1,), per unit of a row's variance, and the mean noise covariance
    (of scores over their `spread`)."""
    variance = np.full(everything.shape, np.nan)
    rows = np.full((len(record.datasets), everything.shape[-1]), np.inf)
    for j, name in enumerate(record.datasets):
        metric, baseline = get_metric(record.metrics[j]), float(record.baselines[j])
        variance[:, j] = metric.skill_variance(everything[:, j], baseline)
        rows[j, 0] = record.test_rows.get(name, np.inf)
        rows[j, 1:] = record.val_rows.get(name, np.inf)
    variance = np.where(np.isfinite(everything), variance, np.nan)
    source = np.concatenate([record.test[..., None], record.val], axis=3)[..., usable]
    several = np.isfinite(source).sum(axis=2) >= 2  # (M, D, T + 1)
    between = np.where(several, _mean((source - _mean(source, 2, True)) ** 2, 2), np.nan)
    seeds = np.maximum(np.isfinite(source).sum(axis=2), 1)
    between *= seeds / np.maximum(seeds - 1, 1)
    within = np.where(several, _mean(variance, 2), np.nan)
    between = np.where(np.isfinite(within), between, np.nan)
    seed = np.full(everything.shape[-1], 1 / SEED_ROWS)
    for t in range(len(seed)):
        if np.isfinite(between[..., t]).sum() >= 10:
            seed[t] = np.nanmean(between[..., t]) / np.nanmean(within[..., t])
    own = seed.copy()
    own[0] /= max(1.0, float(np.median(seeds[..., 0])) - 1)  # finals are means over other seeds
    root = np.sqrt(np.nan_to_num(variance) * (1 / rows[:, None, :] + own)) / spread
    known = np.isfinite(variance) * 1.0
    pairs = np.einsum("mdst,mdsu->tu", known, known)
    noise = correlation * np.einsum("mdst,mdsu->tu", root, root) / np.maximum(pairs, 1)
    return seed, noise


def _levels(level: Array) -> dict[str, Array]:
    """Mean and covariance of the levels of datasets, from (D, S, T + 1)."""
    levels = _mean(level, 1)
    levels = levels[np.isfinite(levels[:, 0])]
    mean = _mean(levels, 0)
    off = np.nan_to_num(levels - mean)
    size = len(mean)
    usual = LEVEL_SPREAD**2 * (
        LEVEL_TOGETHER * np.ones((size, size)) + (1 - LEVEL_TOGETHER) * np.eye(size)
    )
    covariance = (off.T @ off + LEVEL_WEIGHT * usual) / (len(levels) - 1 + LEVEL_WEIGHT)
    return {"level": mean, "level_covariance": covariance + ODD**2 * np.eye(size)}


def _mean(values: Array, axis: int, keepdims: bool = False) -> Array:
    """Mean of what is there, NaN where nothing is."""
    have = np.isfinite(values)
    count = have.sum(axis=axis, keepdims=keepdims)
    total = np.where(have, values, 0.0).sum(axis=axis, keepdims=keepdims)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _beside(one: Array, other: Array) -> Array:
    """A block-diagonal matrix of two."""
    both = np.zeros((len(one) + len(other),) * 2)
    both[: len(one), : len(one)] = one
    both[len(one) :, len(one) :] = other
    return both


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _positive(covariance: Array) -> Array:
    """The nearest covariance matrix, with hardly less than no variance in any direction."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.maximum(values, LEAST)) @ vectors.T
