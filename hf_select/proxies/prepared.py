"""Features of one model, and what several proxies need of them, each computed once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HUGE = 1e150
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The directions of x (N, d) in which it has any extent: x = left sqrt(values) right^T.

    values (r,), rising: the non-zero eigenvalues of x^T x. vectors: eigenvectors of the smaller of
    x^T x and x x^T, so (d, r) or, if `wide`, (N, r).
    """

    x: Array
    values: Array
    vectors: Array
    wide: bool

    @classmethod
    def of(cls, x: Array) -> Spectrum:
        """By an eigendecomposition, several times faster than an SVD of x."""
        from scipy.linalg import eigh

        rows, width = x.shape
        wide = width > rows
        scale = float(np.abs(x).max())
        if scale == 0:
            return cls(x, np.empty(0), np.empty((min(x.shape), 0)), wide)
        unit = x if 1e-50 < scale < 1e50 else x / scale  # squares must neither vanish nor overflow
        values, vectors = eigh(unit @ unit.T if wide else unit.T @ unit, driver="evd")
        keep = values > values[-1] * max(rows, width) * EPS
        values = values[keep] if unit is x else values[keep] * scale**2
        return cls(x, values, vectors[:, keep], wide)

    def coordinates(self, count: int) -> Array:
        """Principal coordinates (N, count) of the rows, the largest extent first."""
        order = np.arange(len(self.values))[::-1][:count]
        vectors = self.vectors[:, order]
        return vectors * np.sqrt(self.values[order]) if self.wide else self.x @ vectors

    def left(self) -> Array:
        """Left singular vectors (N, r), in the order of `values`."""
        if self.wide:
            return self.vectors
        return (self.x @ self.vectors) / np.sqrt(self.values)

    def along(self, targets: Array) -> Array:
        """Squared parts (r, C) of targets (N, C) along the left singular vectors."""
        if self.wide:
            return (self.vectors.T @ targets) ** 2
        return (self.vectors.T @ (self.x.T @ targets)) ** 2 / self.values[:, None]


class Prepared:
    """Features (N, d) as float64, with their shared parts; a proxy takes it in place of an array.

    A part is computed when it is first asked for. `costs` are the seconds of each part, `used` the
    parts asked for since it was last cleared.
    """

    def __init__(self, features: NDArray) -> None:
        self.features = np.asarray(features, dtype=np.float64)
        if self.features.ndim != 2:
            raise ValueError(f"features {self.features.shape} must be (N, d)")
        self.costs: dict[str, float] = {}
        self.used: set[str] = set()
        self._parts: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.features.shape[0], self.features.shape[1]

    @property
    def usable(self) -> bool:
        """There are rows and columns, and all numbers are finite, and so are their squares."""
        size = self._part("size", lambda: float(np.abs(self.features).max(initial=0.0)))
        return self.features.size > 0 and size < HUGE

    @property
    def is_centred(self) -> bool:
        """Every column's mean is 0, but for rounding."""

        size = self._part("size", lambda: float(np.abs(self.features).max(initial=0.0)))
        mean = self._part("mean", lambda: self.features.mean(axis=0))
        return bool(np.abs(mean).max(initial=0.0) <= 1e-12 * size)

    @property
    def centred(self) -> Array:
        """Features less their mean (N, d)."""
        if self.is_centred:
            return self.features
        mean = self._part("mean", lambda: self.features.mean(axis=0))
        return self._part("centred", lambda: self.features - mean)

    @property
    def spectrum(self) -> Spectrum:
        """Of the centred features."""
        centred = self.centred
        return self._part("spectrum", lambda: Spectrum.of(centred))

    @property
    def left(self) -> Array:
        """Left singular vectors (N, r) of the centred features."""
        spectrum = self.spectrum
        return self._part("left", spectrum.left)

    def _part(self, name: str, make: Callable[[], Any]) -> Any:
        self.used.add(name)
        if name not in self._parts:
            start = time.perf_counter()
            self._parts[name] = make()
            self.costs[name] = time.perf_counter() - start
        return self._parts[name]


def prepare(features: NDArray | Prepared, labels: NDArray) -> tuple[Prepared, NDArray]:
    """Both as a proxy wants them; `ValueError` if the shapes don't fit."""
    prepared = features if isinstance(features, Prepared) else Prepared(features)
    labels = np.asarray(labels)
    if labels.shape != prepared.shape[:1]:
        raise ValueError(f"features {prepared.shape} must be (N, d), labels {labels.shape} (N,)")
    return prepared, labels


def one_hot(labels: NDArray) -> Array:
    """Indicators (N, C) of the classes that occur, in sorted order."""
    classes, codes = np.unique(labels, return_inverse=True)
    return np.eye(len(classes))[codes]
