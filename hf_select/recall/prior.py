"""The task-agnostic prior: how good is a model in general, from benchmarks that count unequally?

A plain mean lets one noisy benchmark with a wide spread speak as loudly as ten that agree, and
lets a model measured on the easy benchmarks alone look strong. A factor model does neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDS = 30
SHRINK = 0.5
"""How far a benchmark's own loading and noise are drawn to those of all: D of them are few."""


@dataclass(frozen=True, eq=False)
class Prior:
    """What the benchmarks say of each model before anybody looks at the target.

    strength (M,): the model's skill relative to the average model, on an average benchmark; 0 with
    no measurement. variance (M,): of that strength. level (D,), loading (D,), noise (D,): of the
    benchmarks: skill = level + loading x strength + something with variance `noise`. `total` is
    the variance of strengths among models.
    """

    strength: Array
    variance: Array
    level: Array
    loading: Array
    noise: Array
    total: float
    relative: Array  # (M, D): skill - level, NaN = not measured

    def only(self, rows: NDArray[np.int64]) -> Prior:
        """The same of some models."""
        return replace(
            self,
            strength=self.strength[rows],
            variance=self.variance[rows],
            relative=self.relative[rows],
        )

    def leave_out(self) -> tuple[Array, Array]:
        """Strength and variance (M, D) of every model without that one benchmark.

        Loadings stay as they are: what a single column adds to them is little.
        """
        have = np.isfinite(self.relative)
        pull = np.where(have, self.loading / self.noise * np.nan_to_num(self.relative), 0.0)
        weight = np.where(have, self.loading**2 / self.noise, 0.0)
        precision = 1 / self.total + weight.sum(axis=1, keepdims=True) - weight
        return (pull.sum(axis=1, keepdims=True) - pull) / precision, 1 / precision


def fit_prior(skill: Array) -> Prior:
    """A one-factor model of a matrix (M, D) with gaps, by alternating least squares.

    skill[m, d] = level[d] + loading[d] x strength[m] + noise. Benchmarks that agree with the
    others get a loading above their noise, and count more; a strength is shrunk to 0 the more,
    the less was measured. Loadings have mean 1, so strengths are in units of skill. Loadings and
    noise are drawn half-way to their means over benchmarks. The order of models and of
    benchmarks doesn't matter. Raises `ValueError` for no finite cell.

    >>> prior = fit_prior(np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4], [0.3, 0.2, np.nan]]))
    >>> bool(prior.strength[0] > prior.strength[1] > prior.strength[2])
    True
    """
    skill = np.asarray(skill, dtype=np.float64)
    have = np.isfinite(skill)
    if skill.ndim != 2 or not have.any():
        raise ValueError(f"a prior needs scores (M, D), got {skill.shape} without a finite one")
    models, sets = skill.shape
    row, column = np.nonzero(have)  # a large record has few of its cells
    value = skill[row, column]

    def by_row(cells: Array) -> Array:
        return np.bincount(row, cells, models).astype(np.float64)

    def by_column(cells: Array) -> Array:
        return np.bincount(column, cells, sets).astype(np.float64)

    measured, used = have.any(axis=1), have.any(axis=0)
    count = np.maximum(have.sum(axis=0), 1)
    level = by_column(value) / count
    relative = value - level[column]
    strength = by_row(relative) / np.maximum(have.sum(axis=1), 1)
    loading = np.ones(sets)
    floor = 1e-6 + 1e-3 * float((relative**2).mean())
    total = max(float((strength**2).mean()), floor)
    noise = np.full(sets, floor)
    variance = np.full(models, total)
    for _ in range(ROUNDS):
        along = by_column(strength[row] * relative)
        second = by_column((strength**2 + variance)[row])
        own = np.divide(along, second, out=np.ones(sets), where=used)
        loading = np.where(used, (1 - SHRINK) * own + SHRINK * own[used].mean(), 1.0)
        scale = loading[used].mean()
        if scale > 1e-9:  # strengths in units of skill
            loading, strength, variance = loading / scale, strength * scale, variance * scale**2
        left = relative - loading[column] * strength[row]
        spread = by_column(left**2 + variance[row] * loading[column] ** 2) / count
        noise = (1 - SHRINK) * spread + SHRINK * spread[used].mean() + floor
        total = max(float((strength**2 + variance)[measured].mean()), floor)
        precision = 1 / total + by_row((loading**2 / noise)[column])
        strength = by_row((loading / noise)[column] * relative) / precision
        variance = 1 / precision
        level = by_column(value - loading[column] * strength[row]) / count
        relative = value - level[column]
    centre = strength[measured].mean()  # 0 is the average model
    strength = np.where(measured, strength - centre, 0.0)
    level = np.where(used, level + loading * centre, np.nan)
    return Prior(strength, variance, level, loading, noise, total, skill - level)
