"""Policies: whom to drop and how far to train the others, as pure functions of what was seen.

A policy is asked after every round. It keeps nothing between calls, so a selection that was cut
off is resumed by asking again with the same curves. Scores are higher-is-better here; `run.py`
turns raw ones round. Equal scores are decided by the recalled order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_select.errors import InputError, UnknownNameError
from hf_select.records import Drop
from hf_select.selection.asha import asha
from hf_select.selection.by_forecast import trend
from hf_select.selection.state import (
    EPS,
    Decision,
    Policy,
    SelectionState,
    position,
    ranking,
    score_at,
    show_number,
)
from hf_select.selection.trend import trends

__all__ = [
    "EPS",
    "POLICIES",
    "Decision",
    "NamedPolicy",
    "Policy",
    "SelectionState",
    "get_policy",
    "position",
    "ranking",
    "score_at",
    "show_number",
    "whole_epochs",
]

FRACTIONS = (0.125, 0.25, 0.5)
"""Rungs inside the first epoch, where a policy uses them."""

Cut = Callable[[Sequence[str], float], tuple[Sequence[Drop], Mapping[str, float]]]
"""(live models, best first; epoch) -> (dropped, forecast)."""


def whole_epochs(horizon: float) -> tuple[float, ...]:
    """1, 2, 3, ... up to the horizon, which is always the last."""
    return (*(float(e) for e in range(1, int(np.ceil(horizon - EPS)))), float(horizon))


# --------------------------------------------------------------------------- the common frame


def _climb(state: SelectionState, rungs: Sequence[float], cut: Cut) -> Decision:
    """Train everybody to the first rung, cut there, go on; the best at the horizon wins."""
    at = position(state)
    if at >= state.horizon - EPS:
        return _finish(state, at)
    dropped: Sequence[Drop] = ()
    forecast: Mapping[str, float] = {}
    if at > 0 and len(state.live) > 1:
        dropped, forecast = cut(ranking(state, at), at)
    gone = {drop.model for drop in dropped}
    live = [model for model in state.live if model not in gone]
    ahead = [rung for rung in rungs if at + EPS < rung < state.horizon - EPS]
    to = ahead[0] if ahead and len(live) > 1 else state.horizon
    return Decision(tuple(dropped), dict.fromkeys(live, to), forecast=forecast)


def _finish(state: SelectionState, at: float) -> Decision:
    winner, *others = ranking(state, at)
    best = state.show(score_at(state, winner, at))
    dropped = tuple(
        Drop(
            model,
            f"trained to the end (epoch {at:g}): validation "
            f"{state.show(score_at(state, model, at))}, {winner} has {best}",
        )
        for model in others
    )
    return Decision(dropped, winner=winner)


def _keep_best(
    state: SelectionState, order: Sequence[str], at: float, keep: int, why: str
) -> list[Drop]:
    """Drop all but the first `keep`, and tell each whom it lost to."""
    best, last = order[0], order[keep - 1]
    beaten_by = f"{best} has {state.show(score_at(state, best, at))}"
    if last != best:
        beaten_by += f" and {last}, the last kept, {state.show(score_at(state, last, at))}"
    return [
        Drop(
            model,
            f"At epoch {at:g}, {state.show(score_at(state, model, at))} is number {rank} of "
            f"{len(order)}; {why} the best {keep}: {beaten_by}.",
        )
        for rank, model in enumerate(order[keep:], keep + 1)
    ]


# ------------------------------------------------------------------------------- the policies


def brute_force(state: SelectionState) -> Decision:
    """Train every model to the horizon and take the best."""
    return _climb(state, (state.horizon,), lambda order, at: ((), {}))


def constant_epoch(state: SelectionState, *, epochs: float = 1.0) -> Decision:
    """Train every model for `epochs`, and only the best one on (arXiv 2404.04111)."""
    return _climb(
        state,
        (min(epochs, state.horizon),),
        lambda order, at: (_keep_best(state, order, at, 1, "constant-epoch keeps"), {}),
    )


def halving(state: SelectionState, *, eta: float = 2.0) -> Decision:
    """Successive halving, a rung per epoch: keep floor(n / eta), at least one."""
    return _halve(state, whole_epochs(state.horizon), eta, "halving keeps")


def fractional_halving(state: SelectionState, *, eta: float = 2.0) -> Decision:
    """Successive halving with the first rungs at 1/8, 1/4 and 1/2 epoch."""
    rungs = (*FRACTIONS, *whole_epochs(state.horizon))
    return _halve(state, rungs, eta, "fractional halving keeps")


def _halve(state: SelectionState, rungs: Sequence[float], eta: float, why: str) -> Decision:
    def cut(order: Sequence[str], at: float) -> tuple[list[Drop], dict[str, float]]:
        keep = max(1, int(len(order) / eta + EPS))
        return _keep_best(state, order, at, keep, why), {}

    return _climb(state, rungs, cut)


def paper(state: SelectionState, *, threshold: float = 0.0, groups: int = 4) -> Decision:
    """Fine selection by trends (arXiv 2404.00069), a rung per epoch.

    Going up from the worst, a model is dropped if one with a better validation score has a
    forecast that is higher by more than `threshold` (in the units of the state); then the worst
    are dropped until at most half remain. A model without recorded curves has no forecast and
    is only halved; without any this is successive halving, and the reasons say so.
    """

    def cut(order: Sequence[str], at: float) -> tuple[list[Drop], dict[str, float]]:
        val = {m: score_at(state, m, at) for m in order}
        forecast = {}
        if state.record is not None:
            found = {m: trends(state.record, m, at, groups=groups).forecast(val[m]) for m in order}
            forecast = {m: float(f) for m, f in found.items() if np.isfinite(f)}
        dropped, kept = [], list(order)
        for model in reversed(order):
            better = [m for m in order if val[m] > val[model] and m in forecast]
            if model not in forecast or not better:
                continue
            rival = max(better, key=lambda m: forecast[m])  # first of equals: best validation
            if forecast[rival] > forecast[model] + threshold:
                kept.remove(model)
                dropped.append(
                    Drop(
                        model,
                        f"At epoch {at:g}, {rival} is ahead with {state.show(val[rival])} against "
                        f"{state.show(val[model])}, and its record forecasts more: "
                        f"{state.show(forecast[rival])} against {state.show(forecast[model])}"
                        + (f", a gap above {threshold:g}." if threshold else "."),
                    )
                )
        keep = max(1, len(order) // 2)
        why = "the paper's halving keeps"
        if not forecast:
            why = "with no recorded curves to forecast from, as in successive halving, it keeps"
        if len(kept) > keep:
            dropped += _keep_best(state, kept, at, keep, why)
        return dropped, forecast

    return _climb(state, whole_epochs(state.horizon), cut)


# ------------------------------------------------------------------------------ the registry

POLICIES: dict[str, Callable[..., Decision]] = {
    "brute-force": brute_force,
    "constant-epoch": constant_epoch,
    "halving": halving,
    "fractional-halving": fractional_halving,
    "asha": asha,
    "paper": paper,
    "trend": trend,
}


FORECASTING = (trend,)
"""Those that start from what recall expects of the candidates."""


@dataclass(frozen=True)
class NamedPolicy:
    """A row of POLICIES with its parameters set; call it with a `SelectionState`."""

    name: str
    function: Callable[..., Decision]
    parameters: Mapping[str, float]

    @property
    def forecasts(self) -> bool:
        """Whether it uses what recall expects."""
        return self.function in FORECASTING

    def __call__(self, state: SelectionState) -> Decision:
        """The decision of the policy."""
        return self.function(state, **self.parameters)


LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "epochs": (lambda value: value > 0, "above 0"),
    "eta": (lambda value: value > 1, "above 1"),
    "threshold": (lambda value: value >= 0, "0 or more"),
    "tolerance": (lambda value: value >= 0, "0 or more points"),
    "confidence": (lambda value: 0 < value < 1, "between 0 and 1"),
    "worth": (lambda value: value > 0, "above 0 full trainings"),
    "groups": (lambda value: value >= 1 and value == int(value), "a whole number from 1"),
    "at_once": (lambda value: value >= 1 and value == int(value), "a whole number from 1"),
}
"""What each parameter of a policy must be."""


def get_policy(name: str, **parameters: float) -> NamedPolicy:
    """The policy of that name with its parameters.

    Parameters can be part of the name: `halving:eta=3`, or `constant-epoch:2` for the only or
    first one. Raises `UnknownNameError` with the valid names, `InputError` for a bad parameter.

        >>> get_policy("constant-epoch:2").parameters
        {'epochs': 2.0}
    """
    base, _, rest = name.partition(":")
    if base not in POLICIES:
        raise UnknownNameError("policy", base, POLICIES)
    known = list(inspect.signature(POLICIES[base]).parameters)[1:]
    given: dict[str, Any] = dict(parameters)
    for part in filter(None, rest.split(",")):
        key, has_key, value = part.partition("=")
        if not has_key:
            key, value = (known[0] if known else "value"), part
        given[key.strip()] = value
    checked = {}
    for key, value in given.items():
        if key not in known:
            hint = f"its parameters: {', '.join(known)}" if known else "it has no parameters"
            raise InputError(f"policy {base!r} has no parameter {key!r}", hint=hint)
        good, expected = LIMITS[key]
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not (np.isfinite(number) and good(number)):
            raise InputError(
                f"policy {base!r}: value of `{key}` is {value!r}, but must be {expected}"
            )
        checked[key] = int(number) if key in ("groups", "at_once") else number
    return NamedPolicy(name, POLICIES[base], checked)
