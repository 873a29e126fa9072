"""kNN: how often a row's nearest neighbours know its label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.prepared import EPS, Array, Prepared, prepare

BLOCK = 4_000_000  # distances held at a time
GROUP = 16
TIE = 1e-9  # squared distances this close, relatively, are the same


def knn(
    features: NDArray | Prepared, labels: NDArray, *, regression: bool = False, k: int = 5
) -> float:
    """Leave-one-out accuracy of k nearest neighbours, or R2 with `regression=True`.

    features (N, d), compared by Euclidean distance; labels (N,): classes of any kind, or numbers.
    The k nearest other rows (all others if there are fewer) have a vote each; the class with most
    votes is the answer, a number is predicted by their mean. What order there is in equals is
    nobody's: rows that tie for the last places share them, and classes that tie for most votes
    share the answer, so that the score is what a fair coin gives on average.

    NaN where it is undefined: one row, one class, numbers that are all the same, no columns, values
    that aren't finite. Raises `ValueError` if the shapes don't fit or k isn't positive.

    Paper: as a proxy, Renggli et al. 2022, arXiv 2010.06402.

    >>> knn(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1]), k=1)
    1.0
    """
    prepared, labels = prepare(features, labels)
    if k < 1:
        raise ValueError(f"k is {k}, but must be positive")
    rows = len(labels)
    numbers = labels.astype(np.float64) if regression else np.empty(0)
    if not prepared.usable or not np.isfinite(numbers).all() or len(np.unique(labels)) < 2:
        return float("nan")
    codes = np.unique(labels, return_inverse=True)[1]
    k = min(k, rows - 1)
    classes, missed = int(codes.max()) + 1, 0.0
    for own, local, near, votes in _neighbours(prepared, k):
        if regression:
            mean = np.bincount(local, votes * numbers[near], len(own)) / k
            missed += float(((numbers[own] - mean) ** 2).sum())
        else:
            table = np.bincount(local * classes + codes[near], votes, len(own) * classes)
            table = table.reshape(len(own), classes)
            most = table >= table.max(axis=1, keepdims=True) - 1e-9
            missed += float((1 - most[np.arange(len(own)), codes[own]] / most.sum(axis=1)).sum())
    return 1 - missed / (float(((numbers - numbers.mean()) ** 2).sum()) if regression else rows)


def _neighbours(prepared: Prepared, k: int) -> Iterator[tuple[NDArray, NDArray, NDArray, Array]]:
    """Block by block: rows (B,), and pairs (place in the block, neighbour, votes of that pair).

    Single precision, twice as fast, finds the rows that may be among the k nearest, allowing for
    all the rounding there can be; their distances are then taken anew in double precision.
    """
    x = prepared.centred
    size = float(np.abs(x).max())
    if size > 0 and not 1e-10 < size < 1e10:  # squares must neither vanish nor overflow
        x = x / size
    rows, width = x.shape
    narrow = x.astype(np.float32)
    lengths = np.einsum("nd,nd->n", x, x)
    narrow_lengths = lengths.astype(np.float32)
    reach = np.sqrt(lengths.max())
    slack = (width + 2) * float(np.finfo(np.float32).eps) * reach * (reach + 2 * np.sqrt(lengths))
    step = min(rows, max(1, BLOCK // rows))
    room = np.empty((step, rows), dtype=np.float32)
    for start in range(0, rows, step):
        own = np.arange(start, min(start + step, rows))
        apart = np.matmul(-2 * narrow[own], narrow.T, out=room[: len(own)])
        apart += narrow_lengths  # a row's own length is the same for all its neighbours
        apart[own - start, own] = np.inf
        limit = _at_least_kth(apart, k) + 2 * slack[own].astype(np.float32)
        local, near = np.divmod(np.flatnonzero(apart <= limit[:, None]), rows)
        if len(local) <= 20 * k * len(own):
            distance, noise = _distances(x, own[local], near), EPS
        else:  # many equals, or a row far out: single precision doesn't tell them apart
            exact = lengths[own, None] + lengths - 2 * x[own] @ x.T
            exact[own - start, own] = np.inf
            kth = np.partition(exact, k - 1, axis=1)[:, k - 1]
            noise = 4 * width * EPS
            far = kth + 2 * (TIE * np.abs(kth) + noise * lengths[own])
            close = np.flatnonzero(exact <= far[:, None])
            local, near = np.divmod(close, rows)
            distance = exact.flat[close]
        order = np.lexsort((distance, local))
        local, near, distance = local[order], near[order], distance[order]
        kth = distance[np.searchsorted(local, np.arange(len(own))) + k - 1]
        tie = TIE * np.abs(kth) + noise * lengths[own]
        closer = distance < (kth - tie)[local]
        tied = ~closer & (distance <= (kth + tie)[local])
        left = k - np.bincount(local, closer, len(own))
        votes = closer + tied * (left / np.bincount(local, tied, len(own)))[local]
        yield own, local, near, votes


def _at_least_kth(apart: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """For each row of `apart` (B, N) the k-th smallest entry, or a little more.

    The k-th smallest of the minima of groups has k entries at or below it, and a minimum is found
    far faster than an order.
    """
    groups = apart.shape[1] // GROUP
    if groups >= 8 * k:
        apart = apart[:, : groups * GROUP].reshape(len(apart), GROUP, groups).min(axis=1)
    return np.partition(apart, k - 1, axis=1)[:, k - 1]


def _distances(x: Array, a: NDArray, b: NDArray) -> Array:
    """Squared distances between rows `a` and rows `b` (P,)."""
    found, step = np.empty(len(a)), max(1, BLOCK // (4 * x.shape[1]))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        apart = x[a[part]] - x[b[part]]
        found[part] = np.einsum("pd,pd->p", apart, apart)
    return found
