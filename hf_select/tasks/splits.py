"""Made splits: where a source has no validation or test rows, some are set apart from train."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHARE = 0.15
BINS = 5


def set_apart(
    labels: NDArray, groups: NDArray[np.int64], *, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers that stay and row numbers that are set apart, both rising.

    Stratified: each class (of float labels: each of five quantile bins) gives its share. Rows of
    one group (equal inputs) stay together, so no row has a copy on the other side. A class with
    one group stays; one with more gives at least one.
    labels (N,), groups (N,): any ids.
    """
    rng = np.random.default_rng(seed)
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    strata = _strata(labels)[first]  # a group counts for its first row's class
    away = np.zeros(len(first), dtype=bool)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        count = round(share * len(members))
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        away[members[:count]] = True
    apart = away[inverse]
    return np.flatnonzero(~apart), np.flatnonzero(apart)


def _strata(labels: NDArray) -> NDArray:
    if labels.dtype.kind != "f":
        return labels
    return np.digitize(labels, np.quantile(labels, np.linspace(0, 1, BINS + 1)[1:-1]))
