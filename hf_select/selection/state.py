"""What a policy sees and what it answers, and how it reads the curves so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hf_select.metrics import get_metric
from hf_select.records import Array, CurveSet, Drop, Expectation, LearningCurve

EPS = 1e-9
POINT = 0.01
"""A point of a score whose range is 0 to 1."""


def show_number(score: float) -> str:
    """How a score is written in a reason, unless the caller knows the user's units."""
    return f"{score:.4f}"


def _binomial(skill: Array) -> Array:
    return get_metric("accuracy").row_variance(skill, 0.0)


def _all_rows(epoch: float) -> float:
    return np.inf


@dataclass(frozen=True)
class SelectionState:
    """What a policy may look at. No test score of the target is in it.

    `models`: all candidates in recalled order; `live`: those not dropped yet. `curves`: what was
    seen so far, `val` as skill (0 trivial, 1 perfect) or raw under the paper's preset, higher is
    better. `horizon`: epochs of a full fine-tuning. `record`: recorded curves of other datasets,
    in the same units; None without any. `show` writes a score in the user's units.

    For policies that forecast: `expected` is what recall expects of the candidates; `rows(epoch)`
    how many validation rows a score at that epoch rests on (inf = no noise); `row_variance(score)`
    the variance that one row has; `point` how much of a score is one point for the user; `doubt` by
    what factor a record of another recipe counts as less certain; `bounded` whether scores go from
    about 0 (trivial) to 1 (perfect), which raw errors don't.
    """

    models: tuple[str, ...]
    live: tuple[str, ...]
    curves: Mapping[str, LearningCurve]
    horizon: float
    record: CurveSet | None = None
    show: Callable[[float], str] = field(default=show_number, compare=False)
    expected: Expectation | None = field(default=None, compare=False)
    rows: Callable[[float], float] = field(default=_all_rows, compare=False)
    row_variance: Callable[[Array], Array] = field(default=_binomial, compare=False)
    point: float = POINT
    doubt: float = 1.0
    bounded: bool = True


@dataclass(frozen=True)
class Decision:
    """Whom to drop, to which epoch to `advance` others, or the winner.

    Of a policy that forecasts: `forecast`, the final score that it expects of a model; `interval`,
    95 % of what it may be; `p_best`, the chance that it is the best candidate. `leader` is whom it
    would choose if it had to stop now ("": the best validation score); `note` a sentence on the
    next step.
    """

    dropped: tuple[Drop, ...] = ()
    advance: Mapping[str, float] = field(default_factory=dict)
    winner: str | None = None
    forecast: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    p_best: Mapping[str, float] = field(default_factory=dict)
    leader: str = ""
    note: str = ""


Policy = Callable[[SelectionState], Decision]


def reached(state: SelectionState, model: str) -> float:
    """The epoch that a model has reached, 0 before its first score."""
    curve = state.curves.get(model)
    return float(curve.epochs[-1]) if curve is not None and len(curve) else 0.0


def position(state: SelectionState) -> float:
    """The epoch that every live model has reached, 0 before the first round."""
    return min(reached(state, model) for model in state.live)


def score_at(state: SelectionState, model: str, epoch: float) -> float:
    """The first validation score at or after `epoch`; minus infinity if it isn't a number."""
    curve = state.curves[model]
    later = np.flatnonzero(curve.epochs >= epoch - EPS)
    value = float(curve.val[later[0]]) if len(later) else float("nan")
    return float("-inf") if np.isnan(value) else value


def ranking(state: SelectionState, epoch: float) -> list[str]:
    """The live models by validation score at `epoch`, best first, ties in recalled order."""
    order = {model: i for i, model in enumerate(state.models)}
    return sorted(state.live, key=lambda m: (-score_at(state, m, epoch), order[m]))


def best_so_far(state: SelectionState) -> str:
    """The live model with the best last validation score; the first one where none was trained."""
    order = {model: i for i, model in enumerate(state.models)}
    trained = [m for m in state.live if reached(state, m) > 0]
    return min(
        trained or state.live,
        key=lambda m: (-score_at(state, m, reached(state, m)) if trained else 0.0, order[m]),
    )
