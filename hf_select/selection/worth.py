"""What a forecast says of a decision: who may be best, and what looking further is worth."""

from __future__ import annotations

import numpy as np

from hf_select.records import Array

DRAWS = 4000
# An even grid: what is gained has a kink, which Gauss's nodes miss by up to a tenth, and by more
# in the tail.
NODES = np.linspace(-6, 6, 81)
WEIGHTS = np.exp(-(NODES**2) / 2)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def chances(mean: Array, covariance: Array, tolerance: float) -> tuple[Array, Array]:
    """P(best) and P(within `tolerance` of the best) of each of K normal finals, (K,) each.

    From fixed draws, so the same forecast always gives the same answer.
    """
    futures = _futures(mean, covariance)
    best = futures.max(axis=0)
    first = np.bincount(futures.argmax(axis=0), minlength=len(mean)) / futures.shape[1]
    return first, (futures >= best - tolerance).mean(axis=1)


def hopeless(
    mean: Array, covariance: Array, tolerance: float, delta: float, leader: int
) -> list[int]:
    """Which of K normal finals can be given up, in rising order; never the leader.

    Each is within the tolerance of the best with less than `delta`, and so is the best of all that
    are given up together, measured against the best of those that are kept: among many that are
    alike nobody is likely to be the best, but one of them is.
    """
    futures = _futures(mean, covariance)
    best = futures.max(axis=0)
    within = (futures >= best - tolerance).mean(axis=1)
    worst_first = [int(i) for i in np.argsort(within, kind="stable") if i != leader]
    kept = futures[leader]
    tops = []  # the best of those kept when the first n + 1 are given up, from the last n on
    for i in reversed(worst_first):
        tops.append(kept)
        kept = np.maximum(kept, futures[i])
    gone = []
    for i, top in zip(worst_first, reversed(tops), strict=True):
        if within[i] >= delta or (top < best - tolerance).mean() > delta:
            break
        gone.append(i)
    return sorted(gone)


def _futures(mean: Array, covariance: Array) -> Array:
    """Draws (K, DRAWS) of the finals, the same ones for the same forecast."""
    size = len(mean)
    scale = float(np.trace(covariance)) / size
    root = np.linalg.cholesky(covariance + (1e-9 * scale + 1e-15) * np.eye(size))
    drawn = np.random.default_rng(0).standard_normal((size, DRAWS // 2))
    drawn = np.concatenate([drawn, -drawn], axis=1)  # the means come out exactly
    return mean[:, None] + np.asarray(root @ drawn, dtype=np.float64)


def gain(value: Array, moved: Array, leader: int, tolerance: float) -> float:
    """How much better the choice is expected to be once one more score is known.

    value (K,): what each final is worth now; moved (K,): by how much each moves with one standard
    deviation of the score. Another one is preferred only if it is better by more than `tolerance`,
    and only what it is better by beyond that counts (knowledge gradient: Frazier et al. 2008).
    """
    futures = value[:, None] + moved[:, None] * NODES
    others = np.delete(futures, leader, axis=0)
    if not len(others):
        return 0.0
    ahead = others.max(axis=0) - tolerance - futures[leader]
    return float(np.maximum(ahead, 0.0) @ WEIGHTS)
