"""Mean absolute error as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Mae(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"mae": float}."""

    def _info(self) -> Any:
        return described("mae")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("mae", predictions, references)
