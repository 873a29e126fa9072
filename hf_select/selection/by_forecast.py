"""`trend`, our policy: train whatever is most likely to change the choice, and no more.

It starts from what recall expects of each candidate, trains one of them a little, and asks the
forecast (`forecast.Forecaster`) again. A candidate is dropped when it is hardly possible that it is
within the tolerance of the best. What is trained next is the step with the largest expected gain
for its cost; when no step is worth its cost, the one that is most worth finishing is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_select.records import Array, CurveSet, Drop
from hf_select.selection.forecast import LEVEL_LEAST, Finals, Forecaster, Seen, learn
from hf_select.selection.state import EPS, Decision, SelectionState, reached
from hf_select.selection.worth import chances, gain, hopeless

SURE = 1.96  # standard deviations either side of 95 %
HOPEFUL = 100
"""Candidates whose next steps are weighed, at most: those that could be the best at all."""
LEAST_POINTS = 0.01
"""A smaller tolerance makes a step no cheaper: otherwise none would ever be too dear."""
SHAPE = 0.07
"""Standard deviation, in skill, by which scores at a rung of candidates with another learning rate
lie off what their finals tell: .05 to .09 before epoch 1 on the shipped zoos, less later."""
LEAST_SHARE = 1e-3
"""Of a step's cost, what counts at least, however sure it is that it isn't wasted."""


def trend(
    state: SelectionState,
    *,
    tolerance: float = 0.5,
    confidence: float = 0.95,
    worth: float = 0.25,
    at_once: int = 1,
) -> Decision:
    """One step of the candidate whose score would tell most for its cost.

    tolerance: points that don't matter to the user. confidence: candidates are dropped when the
    chance is below 1 - confidence that one of them is within the tolerance of the best and all
    that are kept aren't, for each alone as for all together; and nothing but the leader is trained
    on once the leader is within it with `confidence`. worth: how much of a full
    training a gain of one tolerance is worth; a step must promise more than it costs. A candidate's
    training isn't wasted if it wins, so its cost counts by the chance that it doesn't. at_once:
    devices that train at a time; while one takes that step, the others take the next best ones that
    are worth their cost, each judged as if it were the only one.

    With too little on record to learn from it is successive halving, and says so; likewise on raw
    errors, which have no common scale.
    """
    record = state.record
    if not state.bounded:
        return _as_halving(state, "raw errors can't be forecast")
    learned = None if record is None else learn(record, state.expected)
    if learned is None or record is None:
        return _as_halving(state, "there is too little on record to forecast from")
    diverged = [model for model in state.live if _has_diverged(state, model)]
    if 0 < len(diverged) < len(state.live):
        rest = tuple(model for model in state.live if model not in diverged)
        state = replace(state, live=rest)
    else:
        diverged = []
    view = _View.of(state, learned.wider(state.doubt), record, tolerance, worth)
    dropped = [*(view.lost(model) for model in diverged), *view.hopeless(1 - confidence)]
    gone = {drop.model for drop in dropped}
    leader = view.leader
    said = view.said(leader)
    if reached(state, leader) >= state.horizon - EPS:
        others = [m for m in view.live if m != leader and m not in gone]
        return replace(
            said,
            dropped=(*dropped, *(view.outdone(model) for model in others)),
            winner=leader,
        )
    note, chosen = view.next_steps(gone, confidence, at_once)
    advance = {model: view.next_rung(model) for model in chosen}
    return replace(said, dropped=tuple(dropped), advance=advance, note=note)


def _as_halving(state: SelectionState, why: str) -> Decision:
    from hf_select.selection.policies import halving

    decision = halving(state)
    words = f"{why}, so as in successive halving it keeps"
    return replace(
        decision,
        dropped=tuple(
            Drop(d.model, d.reason.replace("halving keeps", words)) for d in decision.dropped
        ),
        note=f"{why}: this is successive halving",
    )


@dataclass(frozen=True, eq=False)
class _View:
    """A state as the forecast sees it: live models, their finals, and the chances of each."""

    state: SelectionState
    learned: Forecaster
    live: tuple[str, ...]
    finals: Finals
    p_best: Array
    p_within: Array
    tolerance: float  # in the units of scores
    points: float  # the tolerance as the user gave it
    price_of: Array  # (K,): cost of a full training, the leader's being about 1
    worth: float

    @classmethod
    def of(
        cls,
        state: SelectionState,
        learned: Forecaster,
        record: CurveSet,
        tolerance: float,
        worth: float,
    ) -> _View:
        live = state.live
        scale = state.horizon / learned.epochs[-1] if state.horizon > learned.epochs[-1] else 1.0
        learned = replace(learned, epochs=learned.epochs * scale)
        finals = _finals(state, learned)
        band = tolerance * state.point
        p_best, p_within = chances(finals.mean, finals.covariance, band)
        costs = _paces(state, record)
        return cls(state, learned, live, finals, p_best, p_within, band, tolerance, costs, worth)

    # ------------------------------------------------------------------------------- who leads

    @property
    def left(self) -> Array:
        """What it costs to finish each (K,), in full trainings."""
        done = np.array([reached(self.state, model) for model in self.live])
        return (1 - done / self.state.horizon) * self.price_of

    @property
    def per_training(self) -> float:
        """What a full training must bring, in the units of scores."""
        return max(self.tolerance, LEAST_POINTS * self.state.point) / self.worth

    @property
    def value(self) -> Array:
        """What each is worth now (K,): the expected final, less what finishing it costs."""
        return self.finals.mean - self.per_training * self.left

    @property
    def leader(self) -> str:
        """The one that is most worth finishing; of equals the one recalled first."""
        return self.live[int(np.argmax(self.value))]

    def said(self, leader: str) -> Decision:
        """The forecast in a decision."""
        low, high = self._interval()
        return Decision(
            forecast=dict(zip(self.live, self.finals.mean.tolist(), strict=True)),
            interval={
                model: (float(a), float(b))
                for model, a, b in zip(self.live, low, high, strict=True)
            },
            p_best=dict(zip(self.live, self.p_best.tolist(), strict=True)),
            leader=leader,
        )

    def _interval(self) -> tuple[Array, Array]:
        half = SURE * self.finals.deviation
        return self.finals.mean - half, self.finals.mean + half

    # ------------------------------------------------------------------------------- who goes

    def hopeless(self, delta: float) -> list[Drop]:
        """Those that are hardly ever within the tolerance of the best."""
        leader = self.live.index(self.leader)
        finals = self.finals
        gone = hopeless(finals.mean, finals.covariance, self.tolerance, delta, leader)
        return [Drop(self.live[i], self._why(i, self.leader)) for i in gone]

    def lost(self, model: str) -> Drop:
        """One that has diverged. It is no part of the forecast: it says nothing of the others."""
        return Drop(
            model,
            f"At epoch {reached(self.state, model):g}, its score was no number: its training has "
            f"diverged. {self.leader} is ahead.",
        )

    def outdone(self, model: str) -> Drop:
        """One that could have been the best still when the leader came to its end."""
        reason = self._why(self.live.index(model), self.leader)
        return Drop(model, f"{reason} That was not worth finding out.")

    def _why(self, i: int, leader: str) -> str:
        """The sentence of an elimination."""
        model, lead = self.live[i], self.live.index(leader)
        epoch, show = reached(self.state, model), self.state.show
        if epoch:
            score = show(float(self.state.curves[model].val[-1]))
            seen = f"At epoch {epoch:g}, with {score} so far"
        else:
            seen = (
                "Never trained: by recall"
                if self._known(model)
                else "Never trained, and unknown to recall"
            )
        return (
            f"{seen}, {show(self.finals.mean[i])} is expected in the end ({self._range(i)}): "
            f"the best with {_percent(self.p_best[i])}, within "
            f"{self.points:g} points of the best with {_percent(self.p_within[i])}. Lost to "
            f"{leader}, of which {show(self.finals.mean[lead])} is expected "
            f"({self._range(lead)})."
        )

    def _range(self, i: int) -> str:
        """The interval of a forecast in the metric's own units, the smaller end first."""
        ends = [self.state.show(float(bound[i])) for bound in self._interval()]
        return " to ".join(sorted(ends, key=float))

    def _known(self, model: str) -> bool:
        return self.state.expected is None or model in self.state.expected.models

    # ------------------------------------------------------------------------------- what next

    def next_rung(self, model: str) -> float:
        """The next recorded rung of a model, the horizon after the last one."""
        done = reached(self.state, model)
        ahead = [
            float(rung)
            for rung in self.learned.epochs
            if done + EPS < rung < self.state.horizon - EPS
        ]
        return ahead[0] if ahead else self.state.horizon

    def next_steps(
        self, gone: set[str], confidence: float, at_once: int = 1
    ) -> tuple[str, list[str]]:
        """What is said of the next step, and the candidates that it is taken with."""
        lead = self.live.index(self.leader)
        sure = f"{self.leader} is within {self.points:g} points of the best with "
        sure += _percent(self.p_within[lead])
        if self.p_within[lead] >= confidence:
            return f"{sure}: it is trained on", [self.leader]
        steps = [step for step in self._steps(lead, gone) if step[0] > 1.0]
        if not steps:
            return f"{sure}; no other step is worth its cost: it is trained on", [self.leader]
        promise, model, rung = steps[0]
        told = f"{sure}; {model} is trained on, since its score at epoch {rung:g} is worth "
        told += f"{promise:.1f} times its cost"
        others = [name for _, name, _ in steps[1:at_once]]
        if others:
            told += f", and beside it {', '.join(others)}"
        return told, [model, *others]

    def _steps(self, lead: int, gone: set[str]) -> list[tuple[float, str, float]]:
        """The best step of each candidate, the one that is worth most for its cost first: that
        ratio, the candidate, the rung."""
        found = []
        hopeful = [i for i in np.argsort(-self.p_within, kind="stable") if self.p_best[i] > 0]
        for i in hopeful[:HOPEFUL]:
            model = self.live[i]
            if model in gone:
                continue
            best = (0.0, model, 0.0)
            done = reached(self.state, model)
            wasted = max(1 - float(self.p_best[i]), LEAST_SHARE) * float(self.price_of[i])
            for rung, epoch in enumerate(self.learned.epochs):
                if not done + EPS < epoch <= self.state.horizon + EPS:
                    continue
                moved = self.finals.moved_by(int(i), rung)
                cost = (epoch - done) / self.state.horizon * wasted * self.per_training
                brings = gain(self.value, moved, lead, self.tolerance)
                promise = brings / cost if cost > 0 else (np.inf if brings > 0 else 0.0)
                if promise > best[0]:
                    best = (float(promise), model, float(epoch))
            found.append(best)
        return sorted(found, key=lambda step: -step[0])


def _finals(state: SelectionState, learned: Forecaster) -> Finals:
    """The joint forecast of the live models."""
    mean, deviation, level = _expected(state, state.live)
    rows = np.array([max(1.0, state.rows(float(epoch))) for epoch in learned.epochs])
    return learned.finals(
        mean,
        deviation * state.doubt,
        [_seen(state, learned, model) for model in state.live],
        state.row_variance,
        rows,
        level=level[0],
        level_deviation=max(level[1], LEVEL_LEAST) * state.doubt,
        **_in_common(state, learned),
    )


def _in_common(state: SelectionState, learned: Forecaster) -> dict[str, Array]:
    """What the members of a group have in common: their skill, and the shape of their curves."""
    if state.expected is None or not state.expected.groups:
        return {}
    groups, size = state.expected.groups, len(learned.level)
    names = sorted({groups[model] for model in state.live if model in groups})
    effects = np.zeros((len(state.live), size, size * len(names)))
    deviations = np.full((len(names), size), SHAPE)
    for at, name in enumerate(names):
        deviations[at, 0] = max(state.expected.group_deviation.get(name, 0.0), LEAST_SHARE)
        members = [i for i, model in enumerate(state.live) if groups.get(model) == name]
        effects[members, :, at * size] = learned.slope
        for rung in range(1, size):
            effects[members, rung, at * size + rung] = 1.0
    return {"effects": effects, "effect_deviation": deviations.ravel()}


def _expected(state: SelectionState, models: Sequence[str]) -> tuple[Array, Array, Array]:
    """Relative skill expected of models (K,), its deviation (K,), level and its deviation.

    One that recall doesn't know counts as the least promising, which may well be wrong.
    """
    if state.expected is None:
        nothing = np.zeros(len(models))
        return nothing, nothing, np.full(2, np.nan)
    row = {name: i for i, name in enumerate(state.expected.models)}
    rows = [row.get(name, -1) for name in models]
    known = np.array([i >= 0 for i in rows])
    lowest = float(np.nanmin(state.expected.mean, initial=0.0))
    mean = np.where(known, state.expected.mean[rows], lowest)
    known &= np.isfinite(state.expected.mean[rows])
    least = np.hypot(np.nanmax(state.expected.deviation, initial=0.0), lowest)
    deviation = np.where(known, state.expected.deviation[rows], least)
    level = np.array([state.expected.level, state.expected.level_deviation])
    return np.nan_to_num(mean, nan=lowest), deviation, level


def _seen(state: SelectionState, learned: Forecaster, model: str) -> Seen:
    """The curve so far at the recorded rungs, one score a rung."""
    curve = state.curves.get(model)
    if curve is None:
        return Seen(np.empty(0, dtype=np.int64), np.empty(0))
    found: dict[int, float] = {}
    for epoch, score in zip(curve.epochs, curve.val, strict=True):
        if np.isfinite(score):
            found[learned.rung_of(float(epoch))] = float(score)
    rungs = sorted(found)
    return Seen(np.array(rungs, dtype=np.int64), np.array([found[r] for r in rungs]))


def _has_diverged(state: SelectionState, model: str) -> bool:
    curve = state.curves.get(model)
    return curve is not None and len(curve) > 0 and not np.isfinite(curve.val[-1])


def _paces(state: SelectionState, record: CurveSet) -> Array:
    """Seconds of an epoch of each live model (K,), over their mean; 1 where nothing is known."""
    with np.errstate(invalid="ignore"):
        pace = record.seconds / record.epochs
    known = np.isfinite(pace) & (pace > 0)
    usual = {}
    if known.any():
        each = np.where(known, pace, 0.0).sum(axis=(0, 2, 3)) / np.maximum(
            known.sum(axis=(0, 2, 3)), 1
        )
        for i, model in enumerate(record.models):
            shares = (pace[i] / each[:, None, None])[known[i]]
            if shares.size:
                usual[model] = float(np.median(shares))
    paces = np.array([usual.get(model, 1.0) for model in state.live])
    seen = np.array([_pace(state, model) for model in state.live])
    both = np.isfinite(seen)
    if both.any():
        paces[both] = seen[both] / np.median(seen[both] / paces[both])
    return paces / paces.mean()


def _pace(state: SelectionState, model: str) -> float:
    curve = state.curves.get(model)
    if curve is None or not len(curve) or not curve.seconds[-1] > 0:
        return float("nan")
    return float(curve.seconds[-1] / curve.epochs[-1])


def _percent(chance: float) -> str:
    """A chance in words that promise no more than the draws can tell."""
    if chance < 0.001:
        return "less than 0.1 %"
    if chance > 0.999:
        return "more than 99.9 %"
    return f"{100 * chance:.1f} %" if chance < 0.1 else f"{100 * chance:.0f} %"
