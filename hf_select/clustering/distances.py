"""How far apart two models are: the paper's distance between performance vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 2**17  # numbers in one block of the distance matrix: k + 2 such blocks fit a cache


def paper_distance(scores: Array, *, k: int = 5) -> Array:
    """Mean of the `k` largest score differences of every two models (M, M).

    scores (M, D), NaN = not measured. Only benchmarks that both models were measured on count;
    with fewer than `k` of them it is the mean over those there are. Two models without any common
    benchmark get the largest distance seen between any two models (1 when there is none): not
    knowing must never pull models together. Memory is O(M^2), whatever D is.

    Paper: arXiv 2404.00069.

    >>> paper_distance(np.array([[0.9, 0.5], [0.8, 0.1]]), k=1)
    array([[0. , 0.4],
           [0.4, 0. ]])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}, but must be (M, D)")
    if k < 1:
        raise ValueError(f"k is {k}, but must be at least 1")
    measured = np.isfinite(scores)
    common = measured.astype(np.float64) @ measured.T.astype(np.float64)
    columns = np.where(measured, scores, 0.0).T.copy()  # (D, M), one benchmark contiguous
    known = measured.T
    distance = np.zeros(common.shape)
    models = len(scores)
    start = 0
    while start < models:
        # Only the part right of the diagonal is computed, so blocks grow as rows get shorter.
        stop = min(models, start + max(1, BLOCK // (models - start)))
        distance[start:stop, start:] = _largest_sum(columns, known, start, stop, k)
        start = stop
    distance = np.triu(distance, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance /= np.minimum(common, k)  # 0 / 0 = NaN: no common benchmark
    upper = np.triu(np.ones(common.shape, dtype=bool), 1)
    unknown = upper & (common == 0)
    if unknown.any():
        finite = distance[upper & ~unknown]
        distance[unknown] = finite.max() if finite.size else 1.0
    distance[~upper] = 0.0
    return distance + distance.T


def paper_distance_to(scores: Array, others: Array, *, k: int = 5) -> Array:
    """The same distance from models to others (M, R), without that of all pairs.

    scores (M, D), others (R, D). Two models without any common benchmark get the largest distance
    seen between any of these.
    """
    scores, others = np.asarray(scores, np.float64), np.asarray(others, np.float64)
    if scores.ndim != 2 or others.ndim != 2 or scores.shape[1] != others.shape[1]:
        raise ValueError(f"scores {scores.shape} and others {others.shape} must share benchmarks")
    if k < 1:
        raise ValueError(f"k is {k}, but must be at least 1")
    measured, there = np.isfinite(scores), np.isfinite(others)
    columns, values = np.where(there, others, 0.0).T.copy(), np.where(measured, scores, 0.0)
    distance = np.zeros((len(scores), len(others)))
    step = max(1, BLOCK // max(1, len(others)))
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        largest = [np.zeros(distance[rows].shape) for _ in range(min(k, scores.shape[1]))]
        for j, column in enumerate(columns):
            difference = np.abs(values[rows, j, None] - column)
            difference *= measured[rows, j, None] & there[:, j]
            _sink(difference, largest)
        distance[rows] = np.sum(largest, axis=0) if largest else 0.0
    common = measured.astype(np.float64) @ there.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance /= np.minimum(common, k)
    known = common > 0
    return np.where(known, distance, distance[known].max() if known.any() else 1.0)


def _sink(difference: Array, largest: list[Array]) -> None:
    """Let the differences of one benchmark sink into the sorted list of the largest."""
    for held in largest:
        smaller = np.minimum(held, difference)
        np.maximum(held, difference, out=held)
        difference = smaller


def _largest_sum(columns: Array, known: NDArray[np.bool_], start: int, stop: int, k: int) -> Array:
    """Sum of the k largest differences between models start:stop and start:, missing ones as 0.

    Keeps a sorted list of k blocks and lets each benchmark's differences sink into it: 2k passes
    over a block that stays in the cache, instead of sorting an (M, M, D) array.
    """
    shape = (stop - start, columns.shape[1] - start)
    largest = [np.zeros(shape) for _ in range(min(k, len(columns)))]
    for values, have in zip(columns, known, strict=True):
        difference = np.abs(values[start:stop, None] - values[None, start:])
        if not have[start:].all():
            difference *= have[start:stop, None] & have[None, start:]
        _sink(difference, largest)
    return np.sum(largest, axis=0) if largest else np.zeros(shape)
