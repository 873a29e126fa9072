"""F1 of spans as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class SeqevalF1(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"seqeval_f1": float}."""

    def _info(self) -> Any:
        return described("seqeval_f1")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("seqeval_f1", predictions, references)
