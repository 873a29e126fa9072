"""Spearman correlation as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class Spearman(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"spearman": float}."""

    def _info(self) -> Any:
        return described("spearman")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("spearman", predictions, references)
