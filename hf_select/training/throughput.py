"""How fast a trial trains, and what of its time goes elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


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


@dataclass(frozen=True)
class Totals:
    """What jobs have done, and in what time: sums, so that those of several can be added.

    `samples`, `tokens` and `cells` as in `Throughput`. `step_seconds`: in optimizer steps, without
    the waiting for batches. `job_seconds`: from the start of each job's process, or the moment it
    got its device if it was loaded ahead, until its record was written.
    """

    jobs: int
    samples: int
    tokens: int
    cells: int
    step_seconds: float
    job_seconds: float

    @classmethod
    def of(cls, counted: Throughput, *, job_seconds: float) -> Totals:
        """Those of one job."""
        return cls(
            jobs=1,
            samples=counted.samples,
            tokens=counted.tokens,
            cells=counted.cells,
            step_seconds=counted.training_seconds - counted.waiting_seconds,
            job_seconds=job_seconds,
        )

    @property
    def samples_per_second(self) -> float:
        """Rows trained on in a second of a step; NaN without any."""
        return _ratio(self.samples, self.step_seconds)

    @property
    def padding_share(self) -> float:
        """Share of the cells that are padding, 0 to 1."""
        return _ratio(self.cells - self.tokens, self.cells)

    @property
    def outside_share(self) -> float:
        """Share of the jobs' time that is in no step, 0 to 1: loading, encoding, evaluation,
        waiting for batches, checkpoints."""
        return _ratio(self.job_seconds - self.step_seconds, self.job_seconds)

    def __add__(self, other: Totals) -> Totals:
        """Of both."""
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Totals | None:
        """The inverse of `to_dict`; None for what isn't, as another version may have written it."""
        if not isinstance(values, Mapping):
            return None
        known = {f.name: values.get(f.name) for f in fields(cls)}
        if not all(isinstance(value, int | float) for value in known.values()):
            return None
        return cls(**known)  # type: ignore[arg-type]


def added(one: Totals | None, other: Totals | None) -> Totals | None:
    """The sum of those that there are."""
    if one is None or other is None:
        return one or other
    return one + other


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
