"""Whom to look at, where looking at all models would cost too much: a few at a time.

Those that stand for a cluster first, and those that look best by the prior; then, with what was
seen, those that are most likely to be the best of all, until hardly any of the others can be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hf_select.records import Clustering

Array = NDArray[np.float64]

LIMIT = 64
"""Models that are looked at where nobody says how many: all of a record up to that size."""
SHARE = 0.5
"""Share of the limit that is spent before anything was seen."""
BATCH = 8
DELTA = 0.05
"""Chance that one of the others is the best at which no more models are looked at."""


def first_wave(
    models: Sequence[str], strength: Array, clustering: Clustering | None, limit: int
) -> tuple[str, ...]:
    """All models, if the limit allows; else representatives and those with the best prior.

    strength (M,) is the prior's. Representatives come first, the best ones first, and take at most
    half of the wave. Ties go by name.
    """
    ranked = [
        models[i] for i in sorted(range(len(models)), key=lambda i: (-strength[i], models[i]))
    ]
    if len(models) <= limit:
        return tuple(ranked)
    heads: set[str] = set()
    if clustering is not None:
        heads = {clustering.models[i] for i in clustering.representatives.values()}
    size = max(1, round(SHARE * limit))
    wave = [name for name in ranked if name in heads][: max(1, size // 2)]
    wave += [name for name in ranked if name not in wave][: size - len(wave)]
    return tuple(wave)


def next_wave(p_best: Mapping[str, float], looked: Collection[str], limit: int) -> tuple[str, ...]:
    """The models to look at next; none where the limit is reached, or it is no longer worth it.

    p_best: model -> the chance that it is the best, by what was seen so far.
    """
    rest = {name: chance for name, chance in p_best.items() if name not in looked and chance > 0}
    if len(looked) >= limit or sum(rest.values()) <= DELTA:
        return ()
    ranked = sorted(rest, key=lambda name: (-rest[name], name))
    return tuple(ranked[: min(BATCH, limit - len(looked))])
