"""N-LEEP: LEEP with the clusters of a model's features in place of the classes of its head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.leep import leep
from hf_select.proxies.prepared import Array, Prepared, prepare

ENERGY = 0.8
COMPONENTS = 5
FLOOR = 1e-6
STEPS = 100
TOLERANCE = 1e-3


def nleep(features: NDArray | Prepared, labels: NDArray) -> float:
    """LEEP of the posteriors of a Gaussian mixture on the features, at most 0; higher is better.

    features (N, d), labels (N,) of any kind. The features are reduced to the principal components
    that hold 80 % of their variance, and a mixture of 5 C Gaussians for C classes, or N / 4 if that
    is less, is fitted without the labels. Its covariances are diagonal in those components: full
    ones, of more numbers than there are rows, can't be fitted to them. EM starts from a partition
    that involves no chance (Su and Dy 2007: the cluster with the largest squared error is split at
    the mean of its widest component), so the order of the rows is of no consequence.

    NaN where it is undefined: one class only, no columns, numbers that aren't finite. Constant
    features give minus the entropy of the labels. Raises `ValueError` if the shapes don't fit.

    Paper: Li et al. 2021, arXiv 2011.11200.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]] * 2)
    >>> nleep(x, np.array([0, 0, 1, 1] * 2)) > nleep(x, np.array([0, 1, 0, 1] * 2))
    True
    """
    prepared, labels = prepare(features, labels)
    classes = len(np.unique(labels))
    if not prepared.usable or classes < 2:
        return float("nan")
    values = prepared.spectrum.values[::-1]
    if len(values) == 0:
        return leep(np.ones((len(labels), 1)), labels)
    held = int(np.searchsorted(np.cumsum(values), ENERGY * values.sum())) + 1
    x = prepared.spectrum.coordinates(min(held, len(values)))
    x = x / np.sqrt(np.mean(x**2))
    count = min(COMPONENTS * classes, max(1, len(x) // 4))
    return leep(posteriors(x, partition(x, count)), labels)


def partition(x: Array, count: int) -> NDArray[np.int64]:
    """Groups (N,), at most `count`, of rows x (N, q): splits at means, the widest first."""
    groups = np.zeros(len(x), dtype=np.int64)
    spread = [((x - x.mean(axis=0)) ** 2).sum(axis=0)]  # of each group, by column
    smallest = 1e-12 * spread[0].sum()
    while len(spread) < count:
        widest = int(np.argmax([s.sum() for s in spread]))
        if spread[widest].sum() <= smallest:
            break
        members = np.flatnonzero(groups == widest)
        column = x[members, int(np.argmax(spread[widest]))]
        groups[members[column > column.mean()]] = len(spread)
        spread.append(spread[widest])
        for group in (widest, len(spread) - 1):
            rows = x[groups == group]
            spread[group] = ((rows - rows.mean(axis=0)) ** 2).sum(axis=0)
    return groups


def posteriors(x: Array, groups: NDArray[np.int64]) -> Array:
    """Posteriors (N, V) of a mixture of V diagonal Gaussians fitted to x (N, q) by EM.

    Starts from the groups 0 ... V - 1 (N,). `FLOOR` is added to every variance.
    """
    share = np.eye(int(groups.max()) + 1)[groups]
    squares, last = x**2, -np.inf
    for _ in range(STEPS):
        share, likelihood = _expect(x, squares, share)
        if abs(likelihood - last) < TOLERANCE:
            break
        last = likelihood
    return share


def _expect(x: Array, squares: Array, share: Array) -> tuple[Array, float]:
    """One round of EM: posteriors (N, V) -> the next ones, and the mean log likelihood per row."""
    weight = share.sum(axis=0) + 10 * np.finfo(np.float64).eps
    mean = share.T @ x / weight[:, None]
    variance = np.maximum(share.T @ squares / weight[:, None] - mean**2, 0.0) + FLOOR
    precision = 1 / variance
    log = x @ (mean * precision).T - 0.5 * (squares @ precision.T)
    log -= 0.5 * ((mean**2 * precision).sum(axis=1) + np.log(2 * np.pi * variance).sum(axis=1))
    log += np.log(weight / weight.sum())
    top = log.max(axis=1, keepdims=True)
    share = np.exp(log - top)
    total = share.sum(axis=1, keepdims=True)
    return share / total, float((np.log(total) + top).mean())
