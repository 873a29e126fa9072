"""Do the benchmarks represent the target? Judged by how alike they are among themselves.

Every benchmark can be asked the same questions as the target, leaving itself out: how alike is the
nearest other one, and how well do prior and proxies agree? A target that answers worse than
nearly every further benchmark would is novel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_select.recall.ranks import spearman
from hf_select.records import Novelty

Array = NDArray[np.float64]

RARE = 0.05
"""Share of targets that are like the benchmarks and are called novel all the same."""
SIGNAL = 0.05
"""Skill of the best linear probe below which nothing was seen on the target at all."""
FEWEST = 4
"""Benchmarks that must answer before anything is called unusual."""


def judge(
    alike: Array,
    closeness: Sequence[Array],
    target: tuple[Array, Array],
    benchmarks: Sequence[tuple[Array, Array]],
    scored: NDArray[np.bool_],
    *,
    signal: float = float("nan"),
) -> Novelty | None:
    """Compare the target with the benchmarks; None where too little is known to judge.

    alike (D,): likeness of each benchmark to the target; closeness: the same of each benchmark to
    the others. `target` and `benchmarks`: prior and proxies (M,) each. `scored` (M,). `signal`: the
    best linear probe on the target, in skill, NaN without one.
    """
    near = _nearest(alike)
    usual = np.array([_nearest(row) for row in closeness])
    usual = usual[np.isfinite(usual)]
    if not np.isfinite(near) or len(usual) < FEWEST:
        return None
    agree = _agreement(*target, scored)
    others = np.array([_agreement(*pair, scored) for pair in benchmarks])
    others = others[np.isfinite(others)]
    least_near = _least(usual)
    least_agree = _least(others) if len(others) >= FEWEST else -np.inf
    reasons = []
    if near < least_near:
        reasons.append(
            f"the nearest benchmark is only {near:.2f} alike (benchmarks among themselves: "
            f"{usual.mean():.2f} on average, {usual.min():.2f} at least)"
        )
    if np.isfinite(agree) and agree < least_agree:
        reasons.append(
            f"prior and proxies agree by {agree:.2f} only (on benchmarks: {others.mean():.2f} on "
            f"average, {others.min():.2f} at least)"
        )
    if signal < SIGNAL:
        reasons.append(
            f"no model's features tell much of the labels (best linear probe: skill {signal:.2f})"
        )
    return Novelty(
        bool(reasons),
        near,
        float(usual.mean()),
        least_near,
        agree,
        float(others.mean()) if len(others) else float("nan"),
        float(least_agree),
        why="; ".join(reasons),
    )


def _nearest(alike: Array) -> float:
    known = alike[np.isfinite(alike)]
    return float(known.max()) if known.size else float("nan")


def _least(usual: Array) -> float:
    """What one more of the same kind would only rarely fall below (one-sided prediction bound).

    There are two questions, so each may cry wolf half as often.
    """
    from scipy.stats import t

    count = len(usual)
    quantile = float(t.ppf(1 - RARE / 2, count - 1)) * np.sqrt(1 + 1 / count)
    return float(usual.mean() - quantile * usual.std(ddof=1))


def _agreement(prior: Array, gist: Array, scored: NDArray[np.bool_]) -> float:
    both = scored & np.isfinite(prior) & np.isfinite(gist)
    return spearman(prior[both], gist[both])
