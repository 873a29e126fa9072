"""TransRate: how many bits the labels save when features are coded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies.prepared import Array, Prepared, prepare


def transrate(features: NDArray | Prepared, labels: NDArray, *, eps: float = 1e-4) -> float:
    """Coding rate of all rows less the mean coding rate within the classes; higher is better.

    features (N, d), labels (N,) of any kind. The rate of rows Z (n, d) at distortion `eps` is
    1/2 log det(I + Z^T Z / (n eps)); features are centred once, on all rows, and classes count by
    their share of the rows. The result depends on the unit of the features and, where classes have
    fewer rows than there are columns, more on how many directions a class can span than on signal.

    NaN where it is undefined: one class only, no columns, numbers that aren't finite. Constant
    features score 0. Raises `ValueError` if the shapes don't fit.

    Paper: Huang et al. 2022, arXiv 2106.09362.

    >>> x = np.array([[1.0, 0.2], [0.9, -0.1], [-1.0, 0.1], [-1.1, 0.0]])
    >>> transrate(x, np.array([0, 0, 1, 1])) > transrate(x, np.array([0, 1, 0, 1]))
    True
    """
    prepared, labels = prepare(features, labels)
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if not prepared.usable or len(classes) < 2:
        return float("nan")
    rows = len(labels)
    whole = 0.5 * float(np.log1p(prepared.spectrum.values / (rows * eps)).sum())
    parts = [
        count / rows * _coding_rate(prepared.centred[codes == c], eps)
        for c, count in enumerate(counts)
    ]
    return whole - float(sum(sorted(parts)))  # sorted: the same sum whatever the classes are called


def _coding_rate(z: Array, eps: float) -> float:
    """1/2 log det(I + z^T z / (n eps)), from the smaller of z^T z and z z^T."""
    moment = (z @ z.T if z.shape[1] > len(z) else z.T @ z) / (len(z) * eps)
    moment.flat[:: len(moment) + 1] += 1.0
    return float(np.log(np.diag(np.linalg.cholesky(moment))).sum())
