"""LogME: the evidence that a linear model on a model's features has for the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 200
TINY = 1e-10  # noise or signal below this share of the target's power counts as none


def logme(features: NDArray, labels: NDArray, *, regression: bool = False) -> float:
    """Log maximum evidence of Bayesian linear regression per sample, higher is better.

    features (N, d); labels (N,): classes of any kind, or numbers with `regression=True`. Classes
    become one-hot targets and the score is the mean over them. For every target the weight
    precision alpha and the noise precision beta start at 1 and are raised to the fixed point of
    the evidence; one eigendecomposition serves all targets. d > N, constant and duplicated columns
    are fine: they add no direction, and only directions count. Neither features nor targets are
    centred, as in the paper; add a column of ones to have an intercept.

    NaN where it is undefined: no rows, no columns, numbers that aren't finite, a target that is 0
    everywhere. A target that the features fit exactly has its noise bounded from below, so the
    score stays finite. Raises `ValueError` if the shapes don't fit.

    Paper: You et al. 2021, arXiv 2102.11005.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]])
    >>> logme(x, np.array([0, 0, 1, 1])) > logme(x, np.array([0, 1, 0, 1]))
    True
    """
    x, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise ValueError(f"features {x.shape} must be (N, d), labels {labels.shape} (N,)")
    if x.size == 0 or not np.isfinite(x).all():
        return float("nan")
    if regression:
        targets = labels.astype(np.float64)[:, None]
    else:
        targets = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    power = (targets**2).sum(axis=0)
    if not np.isfinite(power).all() or not power.all():
        return float("nan")
    eigenvalues, projected = _spectrum(x, targets)
    evidence = [
        _max_evidence(eigenvalues, projected[:, c], power[c], *x.shape)
        for c in range(targets.shape[1])
    ]
    return float(np.mean(evidence))


def _spectrum(x: Array, targets: Array) -> tuple[Array, Array]:
    """Non-zero eigenvalues of x^T x (r,), and the squared parts of the targets along them (r, C).

    Taken from the smaller of x^T x and x x^T, several times faster than an SVD of x.
    """
    from scipy.linalg import eigh

    rows, width = x.shape
    scale = float(np.abs(x).max())
    if scale == 0:
        return np.empty(0), np.empty((0, targets.shape[1]))
    x = x / scale
    if width <= rows:
        values, vectors = eigh(x.T @ x, driver="evd")
        along = vectors.T @ (x.T @ targets)
    else:
        values, vectors = eigh(x @ x.T, driver="evd")
        along = vectors.T @ targets
    keep = values > values[-1] * max(rows, width) * np.finfo(np.float64).eps
    values, along = values[keep], along[keep] ** 2
    if width <= rows:
        along /= values[:, None]
    return values * scale**2, along


def _max_evidence(eigenvalues: Array, along: Array, power: float, rows: int, width: int) -> float:
    """Evidence per sample at the fixed point of alpha and beta, for one target.

    `power` is the target's squared length, `along` its squared parts in the features' directions;
    what is left of `power` is out of the features' reach.
    """
    outside = max(power - float(along.sum()), 0.0)
    alpha = beta = 1.0
    best = -np.inf
    # The empty model (no weights, all noise) is the limit alpha -> infinity; the fixed point runs
    # towards it without end where the features say nothing about the target.
    empty = 0.5 * rows * (np.log(rows / power) - 1 - np.log(2 * np.pi))
    if len(eigenvalues) == 0:
        return empty / rows
    for _ in range(STEPS):
        shrunk = alpha + beta * eigenvalues
        gamma = float((beta * eigenvalues / shrunk).sum())
        weights = float((beta**2 * eigenvalues * along / shrunk**2).sum())
        residual = float((alpha**2 * along / shrunk**2).sum()) + outside
        evidence = 0.5 * (
            width * np.log(alpha)
            + rows * np.log(beta)
            - float(np.log(shrunk).sum())
            - (width - len(eigenvalues)) * np.log(alpha)
            - beta * residual
            - alpha * weights
            - rows * np.log(2 * np.pi)
        )
        converged = abs(evidence - best) <= 1e-8 * rows
        best = evidence
        if converged:
            break
        if weights * eigenvalues[-1] <= TINY * power:
            break
        alpha = max(gamma, TINY) / weights
        beta = max(rows - gamma, TINY * rows) / max(residual, TINY * power)
    return max(best, empty) / rows
