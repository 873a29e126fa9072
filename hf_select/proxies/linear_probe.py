"""Linear probe: what a linear model on frozen features reaches, in the user's units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.prepared import Array, Prepared, one_hot, prepare

RIDGES = 10.0 ** np.arange(-4, 5)
"""Ridge strengths that are tried, in units of the mean non-zero eigenvalue."""

BLOCK = 4_000_000  # numbers


def linear_probe(
    features: NDArray | Prepared, labels: NDArray, *, regression: bool = False
) -> float:
    """Leave-one-out skill of ridge regression on the features: 0 trivial, 1 perfect.

    features (N, d); labels (N,): classes of any kind, or numbers with `regression=True`. For
    classes the targets are one-hot, the largest prediction is the answer (equal ones share it), and
    the score is (accuracy - majority) / (1 - majority), majority being the share of the largest
    class; for numbers it is R2. Predictions for a row come from a fit without it, exactly and in
    closed form: one eigendecomposition serves all rows and ridge strengths. The strength is the one
    with the smallest leave-one-out squared error. The means of features and targets are not left
    out: otherwise balanced classes without a signal would predict each other.

    NaN where it is undefined: one class only, numbers that are all the same, no columns, values
    that aren't finite. Constant features score 0. Raises `ValueError` if the shapes don't fit.

    Papers: Alain and Bengio 2016, arXiv 1610.01644; as a proxy, Renggli et al. 2022, arXiv
    2010.06402.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]])
    >>> linear_probe(x, np.array([0, 0, 1, 1]))
    1.0
    """
    prepared, labels = prepare(features, labels)
    targets = labels.astype(np.float64)[:, None] if regression else one_hot(labels)
    if not prepared.usable or not np.isfinite(targets).all() or not np.ptp(targets, axis=0).all():
        return float("nan")
    mean = targets.mean(axis=0)
    apart = targets - mean
    predicted = mean + _left_out(prepared, apart)
    if regression:
        return float(1 - ((targets - predicted) ** 2).sum() / (apart**2).sum())
    chosen = predicted >= predicted.max(axis=1, keepdims=True) - 1e-9
    accuracy = float(((chosen & (targets > 0)).any(axis=1) / chosen.sum(axis=1)).mean())
    majority = float(mean.max())
    return (accuracy - majority) / (1 - majority)


def _left_out(prepared: Prepared, targets: Array) -> Array:
    """Leave-one-out predictions (N, C) of centred targets (N, C), with the best ridge strength."""
    spectrum = prepared.spectrum
    values = spectrum.values
    if len(values) == 0:
        return np.zeros_like(targets)
    left = prepared.left
    weights = values[:, None] / (values[:, None] + RIDGES * values.mean())
    leverage = np.empty((len(left), len(RIDGES)))
    step = max(1, BLOCK // left.shape[1])
    for start in range(0, len(left), step):
        leverage[start : start + step] = left[start : start + step] ** 2 @ weights
    along = left.T @ targets
    best, smallest = np.zeros_like(targets), np.inf
    for strength in range(len(RIDGES)):
        residual = targets - left @ (weights[:, strength, None] * along)
        residual /= np.maximum(1 - leverage[:, strength], 1e-9)[:, None]
        error = float((residual**2).sum())
        if error < smallest:
            best, smallest = targets - residual, error
    return best
