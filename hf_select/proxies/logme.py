"""LogME: the evidence that a linear model on a model's features has for the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.prepared import Prepared, Spectrum, one_hot, prepare

Array = NDArray[np.float64]

STEPS = 200
TINY = 1e-10  # noise or signal below this share of the target's power counts as none
ROUNDING = 1e-12  # what is out of the features' reach is a difference: this share of it is rounding


def logme(
    features: NDArray | Prepared,
    labels: NDArray,
    *,
    regression: bool = False,
    intercept: bool = False,
) -> float:
    """Log maximum evidence of Bayesian linear regression per sample, higher is better.

    features (N, d); labels (N,): classes of any kind, or numbers with `regression=True`. Classes
    become one-hot targets and the score is the mean over them. For every target the weight
    precision alpha and the noise precision beta start at 1 and are raised to the fixed point of
    the evidence; one eigendecomposition serves all targets. d > N, constant and duplicated columns
    are fine: they add no direction, and only directions count. Neither features nor targets are
    centred, as in the paper; `intercept=True` is the same as a column of ones more.

    NaN where it is undefined: no rows, no columns, numbers that aren't finite, a target that is 0
    everywhere. A target that the features fit exactly has its noise bounded from below, so the
    score stays finite. Raises `ValueError` if the shapes don't fit.

    Paper: You et al. 2021, arXiv 2102.11005.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]])
    >>> logme(x, np.array([0, 0, 1, 1])) > logme(x, np.array([0, 1, 0, 1]))
    True
    """
    prepared, labels = prepare(features, labels)
    if not prepared.usable:
        return float("nan")
    targets = labels.astype(np.float64)[:, None] if regression else one_hot(labels)
    power = (targets**2).sum(axis=0)
    if not np.isfinite(power).all() or not power.all():
        return float("nan")
    rows, width = prepared.shape
    if prepared.is_centred:
        values, along = prepared.spectrum.values, prepared.spectrum.along(targets)
        if intercept:  # ones are at right angles to centred columns: one direction more
            values = np.append(values, float(rows))
            along = np.vstack([along, targets.sum(axis=0) ** 2 / rows])
    else:
        x = prepared.features
        spectrum = Spectrum.of(np.column_stack([x, np.ones(rows)]) if intercept else x)
        values, along = spectrum.values, spectrum.along(targets)
    return float(_max_evidence(values, along, power, rows, width + intercept).mean())


def _max_evidence(values: Array, along: Array, power: Array, rows: int, width: int) -> Array:
    """Evidence per sample (C,) at the fixed point of alpha and beta, each target on its own.

    values (r,) are the features' eigenvalues, `power` (C,) the targets' squared lengths, `along`
    (r, C) their squared parts in the features' directions; what is left of `power` is out of the
    features' reach.
    """
    # The empty model (no weights, all noise) is the limit alpha -> infinity; the fixed point runs
    # towards it without end where the features say nothing about the target.
    empty = 0.5 * rows * (np.log(rows / power) - 1 - np.log(2 * np.pi))
    if len(values) == 0:
        return empty / rows
    outside = power - along.sum(axis=0)
    outside[outside < ROUNDING * power] = 0.0
    alpha, beta, best = np.ones(len(power)), np.ones(len(power)), np.full(len(power), -np.inf)
    largest, column = values.max(), values[:, None]
    live = np.arange(len(power))
    for _ in range(STEPS):
        a, b, parts = alpha[live], beta[live], along[:, live]
        shrunk = a + b * column
        share = column / shrunk
        gamma = b * share.sum(axis=0)
        free = rows - len(values) + a * (1 / shrunk).sum(axis=0)  # rows - gamma, digits kept
        parts = parts / shrunk
        weights = b**2 * (share * parts).sum(axis=0)
        residual = a**2 * (parts / shrunk).sum(axis=0) + outside[live]
        evidence = 0.5 * (
            len(values) * np.log(a)
            + rows * np.log(b)
            - np.log(shrunk).sum(axis=0)
            - b * residual
            - a * weights
            - rows * np.log(2 * np.pi)
        )
        done = np.abs(evidence - best[live]) <= 1e-8 * rows
        done |= weights * largest <= TINY * power[live]
        best[live] = evidence
        go, live = ~done, live[~done]
        if len(live) == 0:
            break
        alpha[live] = np.maximum(gamma[go], TINY) / weights[go]
        beta[live] = np.maximum(free[go], TINY * rows) / np.maximum(
            residual[go], TINY * power[live]
        )
    return np.maximum(best, empty) / rows
