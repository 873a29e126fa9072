"""H-score: how much of the features' spread lies between the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.prepared import Prepared, one_hot, prepare


def hscore(features: NDArray | Prepared, labels: NDArray) -> float:
    """Shrinkage-regularised H-score, at least 0; higher is better.

    features (N, d), labels (N,) of any kind. The score is the trace of S^-1 (1 - a) B: B is the
    covariance of the class means, a row each, and S = (1 - a) cov + a mu I the covariance of the
    features, with mu their mean variance and `a` the Ledoit-Wolf shrinkage. As in the published
    code cov is divided by N and B by N - 1. Both are taken in the features' own directions, so
    d > N costs no more than N directions do.

    NaN where it is undefined: one class only, no columns, numbers that aren't finite. Constant
    features score 0. Raises `ValueError` if the shapes don't fit.

    Paper: Bao et al. 2019, doi 10.1109/ICIP.2019.8803726; shrinkage: Ibrahim et al. 2022, arXiv
    2110.06893.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]])
    >>> hscore(x, np.array([0, 0, 1, 1])) > hscore(x, np.array([0, 1, 0, 1]))
    True
    """
    prepared, labels = prepare(features, labels)
    if not prepared.usable or len(np.unique(labels)) < 2:
        return float("nan")
    spectrum = prepared.spectrum
    if len(spectrum.values) == 0:
        return 0.0
    rows, width = prepared.shape
    variances = spectrum.values / rows
    mean_variance = variances.sum() / width
    # Ledoit and Wolf 2004: how far cov is from mu I, and how much of that is sampling error.
    far = (variances**2).sum() - width * mean_variance**2
    error = (np.einsum("nd,nd->n", spectrum.x, spectrum.x) ** 2).sum() / rows**2
    error = min(max(error - (variances**2).sum() / rows, 0.0), far)
    shrinkage = error / far if far > 1e-12 * (variances**2).sum() else 0.0
    targets = one_hot(labels)
    between = spectrum.along(targets / np.sqrt(targets.sum(axis=0))).sum(axis=1)
    between *= spectrum.values / (rows - 1)
    shrunk = (1 - shrinkage) * variances + shrinkage * mean_variance
    return float(((1 - shrinkage) * between / shrunk).sum())
