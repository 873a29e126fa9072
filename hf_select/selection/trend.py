"""Recorded learning curves -> what a validation score so far says about the final test score.

The paper's trend mining (arXiv 2404.00069, fine selection): for one model, K-means of its
validation scores at this epoch over the benchmarks; a group's mean final test score is the
forecast of that trend.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.metrics import LOWEST_SKILL, get_metric
from hf_select.records import NAN, Array, CurveSet

GROUPS = 4
"""The paper's number of trends per model."""


@dataclass(frozen=True, eq=False)
class Trends:
    """The trends of one model at one epoch, G of them; none where nothing was recorded.

    centres (G,): mean validation score of each group, rising; forecasts (G,): mean final test
    score of each group; sizes (G,): recorded curves in each.
    """

    centres: Array
    forecasts: Array
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.centres)

    def forecast(self, val: float) -> float:
        """The final test score that goes with a validation score; NaN without any trend.

        The trend is the one with the nearest centre, the lower one of two equally near.
        """
        if not len(self) or not np.isfinite(val):
            return NAN
        return float(self.forecasts[np.argmin(np.abs(self.centres - val))])


def trends(curves: CurveSet, model: str, epoch: float, *, groups: int = GROUPS) -> Trends:
    """Mine the trends of one model from its own benchmark curves at one evaluation point.

    Every recorded curve counts, each seed for itself. Cells that lack a validation score at
    `epoch` or a test score are left out; fewer curves than `groups` give fewer trends, and a
    model or an epoch that was never recorded gives none. Scores may be raw or skill, higher is
    better either way (see `as_skill`).

        >>> curves = CurveSet(
        ...     val=np.array([0.2, 0.3, 0.8, 0.9]).reshape(1, 4, 1, 1),
        ...     test=np.array([0.4, 0.6, 0.9, 0.9]).reshape(1, 4, 1),
        ...     seconds=np.zeros((1, 4, 1, 1)), epochs=np.array([1.0]), models=("m",),
        ...     datasets=("a", "b", "c", "d"), seeds=(0,), metrics=("accuracy",) * 4,
        ...     baselines=np.zeros(4))
        >>> found = trends(curves, "m", 1.0, groups=2)
        >>> found.centres.round(2).tolist(), found.forecasts.round(2).tolist()
        ([0.25, 0.85], [0.5, 0.9])
    """
    at = np.flatnonzero(np.abs(curves.epochs - epoch) < 1e-9)
    if model not in curves.models or not len(at):
        return Trends(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    row = curves.models.index(model)
    val, test = curves.val[row, :, :, at[0]].ravel(), curves.test[row].ravel()
    have = np.isfinite(val) & np.isfinite(test)
    val, test = val[have], test[have]
    labels = kmeans_1d(val, groups)
    names = range(labels.max() + 1 if len(labels) else 0)
    return Trends(
        np.array([val[labels == g].mean() for g in names]),
        np.array([test[labels == g].mean() for g in names]),
        np.array([int(np.sum(labels == g)) for g in names], dtype=np.int64),
    )


def kmeans_1d(values: Array, groups: int) -> NDArray[np.int64]:
    """The best K-means partition of numbers: labels (N,), 0 for the lowest group.

    In one dimension the groups are stretches of the sorted values, so dynamic programming finds
    the optimum that Lloyd's iterations only approach: no seed, no restarts. Equal values share
    a group; there are at most as many groups as distinct values.
    """
    values = np.asarray(values, dtype=np.float64)
    points, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    n = len(points)
    groups = min(groups, n)
    if n == 0:
        return np.empty(0, dtype=np.int64)
    centred = points - values.mean()  # sums of squares of small numbers lose fewer digits
    weight, total, square = (
        np.concatenate([[0.0], np.cumsum(counts * centred**power)]) for power in (0, 1, 2)
    )
    # spread[i, j]: sum of squares around the mean of points i..j-1
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (square[None, :] - square[:, None]) - (total[None, :] - total[:, None]) ** 2 / (
            weight[None, :] - weight[:, None]
        )
    spread[np.tril_indices(n + 1)] = np.inf  # a group has at least one point
    best = spread[0].copy()  # best[j]: the first j points in as many groups as so far
    cuts = []
    for _ in range(groups - 1):
        cost = best[:, None] + spread
        cuts.append(np.argmin(cost, axis=0))
        best = np.min(cost, axis=0)
    labels = np.empty(n, dtype=np.int64)
    end = n
    for group in range(groups - 1, -1, -1):
        start = int(cuts[group - 1][end]) if group else 0
        labels[start:end] = group
        end = start
    return labels[inverse]


def as_skill(curves: CurveSet, *, raw: bool = False) -> CurveSet:
    """The same curves with val and test as skill, so that unlike metrics can stand together.

    `raw=True` keeps the recorded units (the paper's preset) and only turns the scores of
    lower-is-better metrics round. Where skill is undefined (no baseline of an RMSE) it is NaN.
    """
    val, test = np.empty(curves.val.shape), np.empty(curves.test.shape)
    for j, name in enumerate(curves.metrics):
        metric = get_metric(name)
        for source, scores in ((curves.val, val), (curves.test, test)):
            scores[:, j] = (
                metric.direction * source[:, j]
                if raw
                else np.maximum(metric.skill(source[:, j], curves.baselines[j]), LOWEST_SKILL)
            )
    baselines = np.zeros(len(curves.metrics)) if raw else curves.baselines
    return replace(curves, val=val, test=test, baselines=baselines)
