"""Matthews correlation as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class MatthewsCorrelation(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"matthews_correlation": float}."""

    def _info(self) -> Any:
        return described("matthews_correlation")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("matthews_correlation", predictions, references)
