"""Pearson correlation as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Pearson(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"pearson": float}."""

    def _info(self) -> Any:
        return described("pearson")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("pearson", predictions, references)
