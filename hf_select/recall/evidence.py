"""What can be said of each model on one dataset, as columns that a weight can be learned for.

A proxy score has no common scale: LogME's unit depends on the rows, a probe's on the classes. So a
column of scores is standardised over the models that were scored on the target, and given the
spread that a linear probe shows there. Each proxy speaks twice: by its score, and by how far that
score is above what it usually is for this model, which tells a fit to this very dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.recall.prior import Prior

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PROBE = "linear-probe"
"""The one proxy in units of skill: it gives the others their spread, and a target its level."""
SHARPNESS = 4.0
"""How fast a benchmark's weight falls with its likeness to the target: exp(SHARPNESS x it)."""
FEWEST = 4
"""Models that two datasets must have scores of, for a correlation to be worth the name."""


@dataclass(frozen=True, eq=False)
class Looks:
    """Proxy scores on the target and on the benchmarks, standardised over the models scored.

    names (P,) of the proxies; target (P, M) and benchmarks (P, D, M), in skill units, NaN = none.
    scored (M,): the models with all P scores on the target. level (D + 1,): mean linear probe of
    the scored models on each benchmark and, last, on the target; best: the best one on the target;
    NaN where there is none.
    """

    names: tuple[str, ...]
    target: Array
    benchmarks: Array
    scored: Mask
    level: Array
    best: float = float("nan")

    def only(self, rows: NDArray[np.int64]) -> Looks:
        """The same of some models."""
        return replace(
            self,
            target=self.target[:, rows],
            benchmarks=self.benchmarks[:, :, rows],
            scored=self.scored[rows],
        )

    def usual(self, without: int | None = None) -> Array:
        """Mean of every proxy over the benchmarks but one (P, M); NaN where there is none."""
        kept = [j for j in range(self.benchmarks.shape[1]) if j != without]
        return _nanmean(self.benchmarks[:, kept], axis=1)


def read_looks(
    own: Mapping[str, Array], recorded: Mapping[str, Array], *, names: tuple[str, ...]
) -> Looks:
    """The scores of the named proxies, `own` (M,) on the target, `recorded` (M, D)."""
    raw_own = np.stack([np.asarray(own[name], dtype=np.float64) for name in names])
    raw = np.stack([np.asarray(recorded[name], dtype=np.float64).T for name in names])  # (P, D, M)
    scored: Mask = np.asarray(np.isfinite(raw_own).all(axis=0))
    columns = np.concatenate([raw, raw_own[:, None]], axis=1)  # (P, D + 1, M)
    among = np.where(scored, columns, np.nan)
    centre, spread = _nanmean(among, axis=2), _nanstd(among, axis=2)
    level = np.full(columns.shape[1], np.nan)
    unit = np.ones(columns.shape[1])
    best = float("nan")
    if PROBE in names:
        at = names.index(PROBE)
        best = float(raw_own[at, scored].max(initial=-np.inf))
        level, unit = centre[at], spread[at]
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (columns - centre[..., None]) / spread[..., None]
    z = np.where((spread > 1e-9)[..., None], z, np.where(np.isfinite(columns), 0.0, np.nan))
    z = np.clip(z, -4, 4) * unit[None, :, None]
    return Looks(names, z[:, -1], z[:, :-1], scored, level, best)


def likeness(looks: Looks, column: Array, usual: Array, benchmarks: list[int]) -> Array:
    """How alike the models look on a dataset and on each of some benchmarks, in [-1, 1].

    `column` (P, M) are the looks on the dataset, `usual` (P, M) what is usual: both sides are taken
    as deviations from it. The mean over proxies of the correlation over the scored models, NaN
    with fewer than `FEWEST` of them in common.
    """
    mine = column - usual
    found = np.full(len(benchmarks), np.nan)
    for at, j in enumerate(benchmarks):
        other = looks.benchmarks[:, j] - usual
        both = looks.scored & np.isfinite(mine).all(axis=0) & np.isfinite(other).all(axis=0)
        if both.sum() >= FEWEST:
            found[at] = _correlation(mine[:, both], other[:, both])
    return found


def neighbours(prior: Prior, alike: Array, benchmarks: list[int]) -> Array:
    """How good each model was on the benchmarks that are alike (M,), relative to the average model.

    `alike` (len(benchmarks),) from `likeness` weighs the benchmarks; one of unknown likeness counts
    as unlike. The prior stands for what wasn't measured, and has the weight of one benchmark.
    """
    relative = prior.relative[:, benchmarks]
    have = np.isfinite(relative)
    known = np.where(np.isfinite(alike), alike, 0.0)
    weight = np.exp(SHARPNESS * (known - known.max(initial=0.0)))
    typical = float(weight.mean()) if weight.size else 1.0
    total = (np.where(have, relative, 0.0) * weight).sum(axis=1) + typical * prior.strength
    return total / ((have * weight).sum(axis=1) + typical)


def _correlation(a: Array, b: Array) -> float:
    """Mean correlation of the rows of a and b (P, n)."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(
        np.mean(np.divide((a * b).sum(axis=1), size, out=np.zeros(len(a)), where=size > 0))
    )


def _nanmean(values: Array, axis: int) -> Array:
    have = np.isfinite(values)
    count = have.sum(axis=axis)
    total = np.where(have, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _nanstd(values: Array, axis: int) -> Array:
    centre = np.expand_dims(_nanmean(values, axis), axis)
    return np.sqrt(_nanmean((values - centre) ** 2, axis))
