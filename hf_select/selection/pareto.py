"""The Pareto front: who isn't beaten on everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def beaten_by(gain: Array, costs: Array) -> NDArray[np.int64]:
    """For each of N models the one that beats it, -1 for those on the front.

    gain (N,): higher is better; costs (N, C): lower is better; NaN = unknown. One model beats
    another if it is no worse in anything and better in something. Of several the one with the
    highest gain is named, then the first. Of a model of which a cost is unknown the others count,
    and it beats nobody; one of unknown gain is neither beaten nor beats.

    >>> beaten_by(np.array([0.9, 0.8, 0.7]), np.array([[4.0], [1.0], [2.0]])).tolist()
    [-1, -1, 1]
    """
    gain, costs = np.asarray(gain, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if costs.ndim != 2 or gain.shape != costs.shape[:1]:
        raise ValueError(f"gain {gain.shape} and costs {costs.shape} don't fit")
    found = np.full(len(gain), -1)
    whole = np.isfinite(gain) & np.isfinite(costs).all(axis=1)
    for i in np.flatnonzero(np.isfinite(gain)):
        known = np.isfinite(costs[i])
        no_worse = (gain >= gain[i]) & (costs[:, known] <= costs[i, known]).all(axis=1)
        better = (gain > gain[i]) | (costs[:, known] < costs[i, known]).any(axis=1)
        beats = np.flatnonzero(whole & no_worse & better)
        if beats.size:
            found[i] = beats[np.argmax(gain[beats])]
    return found
