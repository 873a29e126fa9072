"""Recall as a set: which K models together hold the best one, and how many are enough?

The best K by predicted skill are not the best set of K: one that is probably a bit worse but might
be far better (little measured, not looked at, its like unknown) can add more to the expected best
of the set than the next of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 2000
CHUNK = 64
CONSIDERED = 2000
"""Models that could be the best at all, at most: the others are far below."""


@dataclass(frozen=True, eq=False)
class RecalledSet:
    """Models in the order in which they were taken, and what that leaves.

    order (K,): row numbers; outside (K,): after each, the chance that the best model is not among
    those taken; p_best (M,): the chance that a model is the best of all.
    """

    order: tuple[int, ...]
    outside: Array
    p_best: Array


def expected_best(
    mean: Array,
    deviation: Array,
    *,
    most: int,
    groups: NDArray[np.int64] | None = None,
    shared: Array | None = None,
    seed: int = 0,
) -> RecalledSet:
    """Greedily the set whose best member is expected to be best: row numbers, nested in `most`.

    mean, deviation (M,) of normal predictions. groups (M,), shared (M,): models of one group have
    the share `shared` of their variance in common. The first is the one with the highest mean; each
    next adds most to the expected maximum (greedy is within 1 - 1/e of the best set, the maximum
    being submodular: Nemhauser et al. 1978). Models with equal deviations and nothing in common are
    taken in the order of their means, exactly. Ties go by mean, then by row number. `seed` draws
    the futures.
    """
    models = len(mean)
    shared = np.zeros(models) if shared is None else shared
    groups = np.arange(models) if groups is None else groups
    hopeful = np.sort(np.argsort(-(mean + 4 * deviation), kind="stable")[:CONSIDERED])
    mu, sd, part = mean[hopeful], np.maximum(deviation[hopeful], 1e-12), shared[hopeful]
    _, group = np.unique(groups[hopeful], return_inverse=True)
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((int(group.max()) + 1, DRAWS))[group]
    centre = mu[:, None] + (sd * np.sqrt(part))[:, None] * common
    own = (sd * np.sqrt(1 - part))[:, None]
    futures = centre + own * rng.standard_normal((len(mu), DRAWS))
    best = futures.max(axis=0)
    p_best = np.zeros(models)
    p_best[hopeful] = np.bincount(futures.argmax(axis=0), minlength=len(mu)) / DRAWS
    taken: list[int] = []
    held = np.full(DRAWS, -np.inf)
    outside = []
    bound = mu.copy()  # what a model can add, at most
    for _ in range(min(most, len(mu))):
        first = _most_added(mu, centre, own, held, bound) if taken else int(np.argmax(mu))
        bound = bound if taken else np.full(len(mu), np.inf)
        bound[first] = -np.inf
        taken.append(first)
        held = np.maximum(held, futures[first])
        outside.append(float(np.mean(best > held)))
    order = [int(hopeful[i]) for i in taken]
    return RecalledSet(tuple(order), np.array(outside), p_best)


def enough(outside: Array, delta: float, least: int = 1) -> int:
    """The fewest models, at least `least`, after which the best is outside with chance <= delta.

    All of them where no number is enough.
    """
    good = np.flatnonzero(outside <= delta)
    return max(least, int(good[0]) + 1) if good.size else len(outside)


def _most_added(mean: Array, centre: Array, own: Array, held: Array, bound: Array) -> int:
    """The model that adds most to the expected best; `bound` (M,) is brought up to date on the way.

    What a model adds only ever falls as the set grows, so one that could add less than another does
    add needn't be looked at (lazy greedy, Minoux 1978).
    """
    best, found = (-np.inf, -np.inf, 0), -np.inf  # best: gain, mean, minus the row
    order = np.argsort(-bound, kind="stable")
    for start in range(0, len(order), CHUNK):
        rows = np.sort(order[start : start + CHUNK])
        rows = rows[bound[rows] > -np.inf]
        if not rows.size or bound[order[start]] < found:
            break
        bound[rows] = gains = _gain(centre[rows], own[rows], held)
        top = int(np.lexsort((rows, -mean[rows], -gains))[0])
        best = max(best, (float(gains[top]), float(mean[rows[top]]), -int(rows[top])))
        found = best[0]
    return -best[2]


def _gain(centre: Array, own: Array, held: Array) -> Array:
    """What each model adds to the expected best (M,), its own noise integrated exactly."""
    from scipy.special import ndtr

    z = (centre - held) / own
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return ((centre - held) * ndtr(z) + own * density).mean(axis=1)
