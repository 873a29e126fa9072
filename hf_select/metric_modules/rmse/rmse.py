"""Root mean squared error as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Rmse(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"rmse": float}."""

    def _info(self) -> Any:
        return described("rmse")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("rmse", predictions, references)
