"""Macro F1 as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class F1(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"f1": float}."""

    def _info(self) -> Any:
        return described("f1")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("f1", predictions, references)
