"""How fast a trial trains, and what of its time goes elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Throughput:
    """Counted by one process since it opened the trial, whatever is trained on another one.

    `samples`: rows trained on; `tokens` of them, and `cells`, those tokens with padding (an image
    is 1 and 1). `training_seconds`: steps and the waiting for their batches, of which
    `waiting_seconds`; `evaluation_seconds`: validation and test. NaN where nothing was counted.
    """

    samples: int = 0
    tokens: int = 0
    cells: int = 0
    training_seconds: float = 0.0
    waiting_seconds: float = 0.0
    evaluation_seconds: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Rows trained on in a second of training, evaluation not counted."""
        return _ratio(self.samples, self.training_seconds)

    @property
    def padding_share(self) -> float:
        """Share of the cells that are padding, 0 to 1."""
        return _ratio(self.cells - self.tokens, self.cells)

    @property
    def overhead_share(self) -> float:
        """Share of the time that no step takes: waiting for batches, evaluating. 0 to 1."""
        whole = self.training_seconds + self.evaluation_seconds
        return _ratio(self.waiting_seconds + self.evaluation_seconds, whole)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
