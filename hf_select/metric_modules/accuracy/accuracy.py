"""Accuracy as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Accuracy(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"accuracy": float}."""

    def _info(self) -> Any:
        return described("accuracy")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("accuracy", predictions, references)
