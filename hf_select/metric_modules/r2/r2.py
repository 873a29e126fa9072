"""R2 as a module of `evaluate`: what `hf_select.metrics` computes."""

from typing import Any

import evaluate

from hf_select.metric_modules import computed, described


class R2(evaluate.Metric):
    """`compute(predictions=..., references=...)` -> {"r2": float}."""

    def _info(self) -> Any:
        return described("r2")

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return computed("r2", predictions, references)
