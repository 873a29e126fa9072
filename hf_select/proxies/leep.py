"""LEEP: how well the classes of a trained head predict the target's classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def leep(source_probs: Array, labels: NDArray) -> float:
    """Log expected empirical prediction, at most 0; higher is better.

    source_probs (N, Z): for each target row the probabilities of the Z classes that the model's
    *trained* head knows; labels (N,) of any kind. With P(y, z) the mean of the probability of z
    over rows of class y, the score is the mean log of sum_z P(y | z) source_probs[n, z]. It is NaN
    where it is undefined: no rows, no source classes, or probabilities that aren't finite. A head
    that says the same for every row gives minus the entropy of the labels, the least there is.

    Raises `ValueError` if the shapes don't fit or the rows aren't probabilities.

    Paper: Nguyen et al. 2020, arXiv 2002.12462.

    >>> round(leep(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])), 4)
    0.0
    """
    probs, labels = np.asarray(source_probs, dtype=np.float64), np.asarray(labels)
    if probs.ndim != 2 or labels.shape != probs.shape[:1]:
        raise ValueError(f"source_probs {probs.shape} must be (N, Z), labels {labels.shape} (N,)")
    if probs.size == 0 or not np.isfinite(probs).all():
        return float("nan")
    sums = probs.sum(axis=1)
    if probs.min() < -1e-6 or np.abs(sums - 1).max() > 1e-2:
        odd = sums[np.abs(sums - 1).argmax()]
        raise ValueError(f"source_probs must be probabilities, but a row sums to {odd}")
    probs = np.clip(probs, 0, None) / sums[:, None]  # half precision doesn't sum to 1 exactly
    classes, codes = np.unique(labels, return_inverse=True)
    joint = np.zeros((len(classes), probs.shape[1]))
    np.add.at(joint, codes, probs / len(probs))
    marginal = joint.sum(axis=0)
    # A source class that no row takes has no conditional, and nothing to contribute either.
    conditional = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    expected = np.einsum("nz,nz->n", probs, conditional[codes])
    return min(0.0, float(np.log(expected).mean()))
