"""What models are compared by: the scores of a matrix, turned the same way round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.metrics import get_metric
from hf_select.records import PerformanceMatrix

Array = NDArray[np.float64]
NAN = float("nan")


def performance(matrix: PerformanceMatrix, *, raw: bool = False) -> Array:
    """The scores that models are compared by (M, D), higher is better, NaN = not measured.

    Skill, or the raw scores with `raw=True` (the paper's preset). A raw score has no place beside
    others where lower is better, so such a column is skill even then.
    """
    if not raw:
        return matrix.skill
    skill = matrix.skill
    falling = np.array([not get_metric(name).higher_is_better for name in matrix.metrics], bool)
    return np.where(falling[None, :], skill, matrix.scores)


def no_skill_hint(matrix: PerformanceMatrix) -> str:
    """What to do about the columns whose scores can't be turned into skill, "" if all can be."""
    missing = {
        name
        for name, baseline in zip(matrix.metrics, matrix.baselines, strict=True)
        if not get_metric(name).higher_is_better and np.isnan(baseline)
    }
    if not missing:
        return ""
    return (
        f"{' and '.join(sorted(missing))} need{'s' if len(missing) == 1 else ''} the trivial "
        "predictor's score: import it as a `baseline` column (long format)"
    )


def benchmark_means(matrix: PerformanceMatrix, *, raw: bool = False) -> Array:
    """Mean benchmark score of each model over what was measured (M,), NaN where nothing was."""
    return row_means(performance(matrix, raw=raw))


def row_means(scores: Array) -> Array:
    """Mean of each row (M, D) over its finite numbers (M,), NaN where there is none."""
    measured = np.isfinite(scores)
    count = measured.sum(axis=1)
    total = np.where(measured, scores, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(scores), NAN), where=count > 0)
