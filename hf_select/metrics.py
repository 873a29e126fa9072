"""Metrics: how each is computed, which direction is better, and what score needs no model at all.

Scores are stored raw. Wherever datasets with different metrics meet (matrix, clusters, trends,
recall), a score is turned into **skill** here and nowhere else:

    skill = (score - trivial) / (perfect - trivial)

0 is the trivial predictor (majority class, mean target), 1 is perfect, below 0 is worse than
trivial. So accuracy, F1, Matthews correlation, Pearson, RMSE and MAE stand in one matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError, UnknownNameError
from hf_select.foreign_metrics import PREFIX, Foreign, parse_foreign
from hf_select.spans import span_f1

Array = NDArray[np.float64]

LOWEST_SKILL = -1.0
"""An error has no upper bound: one run that failed to learn must not outweigh all the others of a
model. As evidence, whatever is worse than twice the trivial predictor's error counts as that."""


@dataclass(frozen=True)
class Metric:
    """One metric. `function(predictions (N,), references (N,)) -> float`.

    `kind` is that of the tasks that it fits, "classification" or "regression"; "any" of an
    `evaluate` metric of which nothing is said. One of `sequences` takes the tags of words as text,
    "" between two sentences. `family`: the metric of ours whose noise it has, "" = its own name.
    """

    name: str
    kind: str
    higher_is_better: bool
    perfect: float
    bounds: tuple[float, float]
    function: Callable[[NDArray, NDArray], float]
    sequences: bool = False
    family: str = ""

    @property
    def direction(self) -> int:
        """+1 where higher is better, -1 where lower is."""
        return 1 if self.higher_is_better else -1

    @property
    def _family(self) -> str:
        return self.family or self.name

    def fits(self, kind: str) -> bool:
        """Whether it can score a task of that kind."""
        return self.kind in (kind, "any")

    def __call__(self, predictions: NDArray, references: NDArray) -> float:
        """The raw score of predictions (N,) against references (N,)."""
        predictions, references = np.asarray(predictions), np.asarray(references)
        if predictions.shape != references.shape or references.size == 0:
            raise ValueError(
                f"predictions {predictions.shape} and references {references.shape} "
                "must have the same, non-empty shape"
            )
        score = self.function(predictions, references)
        return float(np.clip(score, *self.bounds))  # rounding may carry a 1 past 1

    def trivial(self, references: NDArray) -> float:
        """The score of the predictor that always answers the majority class or the mean.

        Of spans it finds none: 0.
        """
        if self.sequences:
            return 0.0
        references = np.asarray(references)
        counts_classes = self.kind == "any" and references.dtype.kind != "f"
        if self.kind == "classification" or counts_classes:
            values, counts = np.unique(references, return_counts=True)
            constant = values[np.argmax(counts)]
        else:
            constant = references.astype(np.float64).mean()
        return self(np.full(references.shape, constant), references)

    def skill(self, score: float | Array, trivial: float | Array) -> Array:
        """Raw scores as skill; an unknown `trivial` (NaN) counts as the metric's own zero."""
        score = np.asarray(score, dtype=np.float64)
        fallback = 0.0 if self.higher_is_better else np.nan
        base = np.where(np.isnan(trivial), fallback, trivial)
        with np.errstate(divide="ignore", invalid="ignore"):
            skill = (score - base) / (self.perfect - base)
        return np.where(np.isfinite(skill), skill, np.nan)

    def unskill(self, skill: float | Array, trivial: float | Array) -> Array:
        """The inverse of `skill`: back to the user's units."""
        fallback = 0.0 if self.higher_is_better else np.nan
        base = np.where(np.isnan(trivial), fallback, trivial)
        return np.asarray(skill, dtype=np.float64) * (self.perfect - base) + base

    def points(self, gain: float | Array, trivial: float | Array) -> Array:
        """By how many points a raw score is better, the difference being `gain` (better > 0).

        Where a perfect score is 1, a point is a hundredth of the score. Errors have a unit of their
        own, so there it is a hundredth of the way from the trivial predictor to a perfect one: a
        point of RMSE is 1 % of the error of the mean. Where no trivial score is known (NaN), it is
        a hundredth of the metric's unit.
        """
        whole = np.abs(self.perfect - np.asarray(trivial, dtype=np.float64))
        own_unit = (self.perfect == 1.0) | ~np.isfinite(whole) | (whole == 0)
        return 100.0 * np.asarray(gain, dtype=np.float64) / np.where(own_unit, 1.0, whole)

    def row_variance(self, skill: float | Array, trivial: float) -> Array:
        """What one row adds to the sampling variance of a score, in units of skill squared.

        A score on n rows has about this variance / n. Binomial for classification, F1 and Matthews
        counted as an accuracy of the same skill; that of normal errors for regression. A skill so
        near 0 or 1 that it says nothing about its own noise counts as 3 % away from it.
        """
        skill = np.asarray(skill, dtype=np.float64)
        if self.kind == "classification" or (self.kind == "any" and self.bounds == (0.0, 1.0)):
            base = trivial if np.isfinite(trivial) and self._family == "accuracy" else 0.0
            share = np.clip(base + (1 - base) * skill, 0.03, 0.97)
            return share * (1 - share) / (1 - base) ** 2
        left = np.maximum(1 - skill, 0.03)
        if self._family in ("pearson", "spearman"):
            return np.maximum(left * (2 - left), 0.03) ** 2
        return left**2 * (0.5 if self._family in ("rmse", "mae") else 2.0)

    def skill_variance(self, skill: float | Array, trivial: float) -> Array:
        """The same of skill, where models are compared on the same rows.

        An error is set against the trivial predictor's then, and what makes rows hard for both
        cancels: the variance is that of R2 for normal errors, 4 R2 (1 - R2)^2 / n, hardly any where
        hardly anything is explained. Of other metrics it is `row_variance`.
        """
        if self.perfect != 0.0 and self._family != "r2":
            return self.row_variance(skill, trivial)
        left = np.maximum(1 - np.asarray(skill, dtype=np.float64), 0.03)
        root = self._family not in ("mse", "r2")
        unexplained = left**2 if root else left
        explained = np.maximum(np.abs(1 - unexplained), 0.03)
        of_r2 = 4 * explained * np.minimum(unexplained, 1.0) ** 2
        return of_r2 / (4 * unexplained) if root else of_r2

    def valid(self, score: float) -> bool:
        """Whether a raw score is possible at all."""
        low, high = self.bounds
        return bool(low <= score <= high)


def _accuracy(predictions: NDArray, references: NDArray) -> float:
    return float(np.mean(predictions == references))


def _f1_macro(predictions: NDArray, references: NDArray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, average="macro", zero_division=0))


def _matthews(predictions: NDArray, references: NDArray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(references, predictions))


def _mse(predictions: NDArray, references: NDArray) -> float:
    return float(np.mean((predictions.astype(np.float64) - references.astype(np.float64)) ** 2))


def _rmse(predictions: NDArray, references: NDArray) -> float:
    return float(np.sqrt(_mse(predictions, references)))


def _mae(predictions: NDArray, references: NDArray) -> float:
    return float(np.mean(np.abs(predictions.astype(np.float64) - references.astype(np.float64))))


def _r2(predictions: NDArray, references: NDArray) -> float:
    variance = float(np.var(references.astype(np.float64)))
    return 1.0 - _mse(predictions, references) / variance if variance > 0 else float("nan")


def _pearson(predictions: NDArray, references: NDArray) -> float:
    """Pearson correlation; a constant prediction has none and counts as 0."""
    x, y = _direction(predictions), _direction(references)
    return 0.0 if x is None or y is None else float(x @ y)


def _direction(values: NDArray) -> NDArray | None:
    """Centred values (N,) at length 1; None if they differ by no more than rounding."""
    centred = values.astype(np.float64) - np.mean(values, dtype=np.float64)
    length = np.linalg.norm(centred)
    constant = length <= 1e-12 * np.sqrt(values.size) * np.abs(values).max()
    return None if constant else centred / length


def _spearman(predictions: NDArray, references: NDArray) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(predictions), rankdata(references))


_INF = float("inf")
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", "classification", True, 1.0, (0.0, 1.0), _accuracy),
        Metric("f1", "classification", True, 1.0, (0.0, 1.0), _f1_macro),
        Metric("matthews_correlation", "classification", True, 1.0, (-1.0, 1.0), _matthews),
        Metric("seqeval_f1", "classification", True, 1.0, (0.0, 1.0), span_f1, sequences=True),
        Metric("mse", "regression", False, 0.0, (0.0, _INF), _mse),
        Metric("rmse", "regression", False, 0.0, (0.0, _INF), _rmse),
        Metric("mae", "regression", False, 0.0, (0.0, _INF), _mae),
        Metric("r2", "regression", True, 1.0, (-_INF, 1.0), _r2),
        Metric("pearson", "regression", True, 1.0, (-1.0, 1.0), _pearson),
        Metric("spearman", "regression", True, 1.0, (-1.0, 1.0), _spearman),
    )
}


def get_metric(name: str) -> Metric:
    """The metric of that name; an unknown one is an `UnknownNameError` that lists the rest.

    `evaluate:...` names a metric of the library `evaluate` (see `foreign_metrics`). Here it has
    what records, forecasts and reports need of it; `tasks.scoring.scorer` can also compute it.
    """
    if name.startswith(PREFIX):
        return _foreign(parse_foreign(name))
    if name not in METRICS:
        raise UnknownNameError("metric", name, [*METRICS, f"{PREFIX}NAME"])
    return METRICS[name]


def find_metric(name: str) -> Metric | None:
    """The same, but None for a name that means nothing: documents of other versions hold such."""
    try:
        return get_metric(name)
    except InputError:
        return None


def module_path(name: str) -> str:
    """The folder of one of our metrics as an `evaluate` module: `evaluate.load(module_path("f1"))`.

    It works offline, and gives the very number that a trial reports.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return str(Path(__file__).parent / "metric_modules" / name)


def _foreign(said: Foreign) -> Metric:
    def compute(predictions: NDArray, references: NDArray) -> float:
        raise InputError(
            f"{said.name} can't be computed here", hint="hf_select.tasks.scoring.scorer loads it"
        )

    bounds = (said.low, said.perfect) if said.higher_is_better else (said.perfect, said.high)
    return Metric(
        said.name,
        said.kind,
        said.higher_is_better,
        said.perfect,
        bounds,
        compute,
        family=said.family,
    )
