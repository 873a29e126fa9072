"""What a selection may spend, and whether the next step can be paid for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_select.errors import InputError
from hf_select.records import LearningCurve

STEP = 0.125
"""Where a budget ends inside a training, it ends at a multiple of that many epochs."""
EPS = 1e-9


@dataclass(frozen=True)
class Budget:
    """Limits on the whole selection, proxy passes and the winner's training included.

    seconds: by the clock. epochs: of training, proxy passes by their time. price: the same as
    multiples of one full training. None = no limit. Raises `InputError` for what isn't above 0.
    """

    seconds: float | None = None
    epochs: float | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"budget: {name} is {value!r}, but must be above 0")

    def to_dict(self) -> dict[str, float | None]:
        """JSON-able values."""
        return dict(vars(self))


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_seconds(text: str) -> float:
    """Seconds in `90`, `90s`, `30m`, `1h30m` or `1.5h`; `InputError` for anything else.

    >>> parse_seconds("1h30m")
    5400.0
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InputError(f"{text!r} is no length of time", hint="for example 90s, 30m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Purse:
    """A budget while it is spent. `why` says which limit was in the way last.

    `proxy_epochs` and `spent_seconds` were spent before; the clock runs from now. `looks` are
    seconds of proxy passes, which count as the epochs of training that they would have bought: by
    the curves so far, and before there is one by `usual` seconds an epoch (0 = unknown). What is
    passed as `seen` holds all that was trained, failed candidates too; `workers` train side by
    side.
    """

    def __init__(
        self,
        budget: Budget,
        horizon: float,
        proxy_epochs: float = 0.0,
        spent_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        looks: float = 0.0,
        usual: float = 0.0,
        workers: int = 1,
    ) -> None:
        self.budget, self.horizon, self.why = budget, horizon, ""
        self._looks, self._usual, self._workers = looks, usual, workers
        self._proxy_epochs, self._spent_seconds = proxy_epochs, spent_seconds
        self._clock, self._began = clock, clock()

    def can_pay(
        self,
        model: str,
        to: float,
        leader: str,
        seen: Mapping[str, LearningCurve],
        planned: Mapping[str, float] | None = None,
    ) -> bool:
        """Whether a step can be paid for, and the leader's training after it.

        A step of the leader is always paid for, as far as `furthest` goes. `planned`: epochs that
        other models are to be trained to beside it, before it is known what they cost.
        """
        if model == leader:
            return self.furthest(leader, seen) >= min(to, self.horizon) - EPS
        reserve = self.horizon - _reached(leader, seen)
        beside = {**(planned or {}), model: to}
        steps = {m: end - _reached(m, seen) for m, end in beside.items() if m != leader}
        return self._fits({**steps, leader: reserve}, seen, tuple(steps))

    def furthest(self, model: str, seen: Mapping[str, LearningCurve]) -> float:
        """The epoch to which the rest of the budget can train a model, at most the horizon.

        Never below what it has reached, and a first step is always made: without a score there is
        no answer.
        """
        at = _reached(model, seen)
        if self._fits({model: self.horizon - at}, seen):
            return self.horizon
        end, steps = max(at, min(STEP, self.horizon)), int((self.horizon - at) / STEP)
        for count in range(steps, 0, -1):
            if self._fits({model: count * STEP}, seen):
                return max(end, at + count * STEP)
        return end

    def _fits(
        self,
        steps: Mapping[str, float],
        seen: Mapping[str, LearningCurve],
        beside: Sequence[str] = (),
    ) -> bool:
        """Whether the steps can be paid for; those `beside` each other share the workers."""
        budget = self.budget
        trained = sum(_reached(model, seen) for model in seen)
        epochs = self._looked(seen) + trained + sum(steps.values())
        for name, limit in (
            ("epochs", budget.epochs),
            ("price", None if budget.price is None else budget.price * self.horizon),
        ):
            if limit is not None and epochs > limit + EPS:
                words = f"{limit:g} epochs" if name == "epochs" else f"a price of {budget.price:g}"
                self.why = f"the rest of {words} pays for no further step"
                return False
        if budget.seconds is None:
            return True
        need = sum(
            length * _pace(model, seen) / (self._workers if model in beside else 1)
            for model, length in steps.items()
        )
        # what an earlier run has trained is in the curves, not on this clock
        trained_in = _seconds(seen) / self._workers
        spent = self._spent_seconds + max(self._clock() - self._began, trained_in)
        if spent + need > budget.seconds:
            self.why = f"the rest of {budget.seconds:g} s pays for no further step"
            return False
        return True

    def _looked(self, seen: Mapping[str, LearningCurve]) -> float:
        """The proxy passes, in epochs."""
        epochs, seconds = sum(_reached(model, seen) for model in seen), _seconds(seen)
        pace = seconds / epochs if seconds > 0 and epochs > 0 else self._usual
        return self._proxy_epochs + (self._looks / pace if pace > 0 else 0.0)


def _seconds(seen: Mapping[str, LearningCurve]) -> float:
    """Seconds of training so far."""
    return sum(float(np.nan_to_num(curve.seconds[-1])) for curve in seen.values() if len(curve))


def _reached(model: str, seen: Mapping[str, LearningCurve]) -> float:
    curve = seen.get(model)
    return float(curve.epochs[-1]) if curve is not None and len(curve) else 0.0


def _pace(model: str, seen: Mapping[str, LearningCurve]) -> float:
    """Seconds of an epoch, from this model's curve, else from the others' mean; 0 if unknown."""
    paces = {
        name: float(curve.seconds[-1] / curve.epochs[-1])
        for name, curve in seen.items()
        if len(curve) and curve.seconds[-1] > 0
    }
    return paces.get(model, sum(paces.values()) / len(paces) if paces else 0.0)
