"""Mean squared error as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Mse(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"mse": float}."""

    def _info(self) -> Any:
        return described("mse")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("mse", predictions, references)
