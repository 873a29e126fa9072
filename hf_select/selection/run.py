"""Drives trials rung by rung as a policy decides, and keeps a journal to go on from.

The policy sees validation scores only. The winner alone is tested, once, at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from hf_select.errors import InputError, ModelError, StoppedError, TrialError
from hf_select.metrics import Metric
from hf_select.records import (
    NAN,
    Array,
    CurveSet,
    Drop,
    Expectation,
    LearningCurve,
    Rejected,
    Rung,
    SelectionResult,
)
from hf_select.selection.budget import Budget, Purse
from hf_select.selection.state import (
    EPS,
    Decision,
    Policy,
    SelectionState,
    best_so_far,
    reached,
)
from hf_select.selection.trend import as_skill


class Trial(Protocol):
    """One fine-tuning, live or replayed; a policy can't tell them apart.

    `advance(to)` trains on to that epoch and returns the raw curve so far; a trial that is there
    already returns at once. It raises `TrialError` if the run fails. `test()` is the raw score
    on the test split. `close()` frees memory and keeps what is needed to go on later.
    """

    @property
    def model(self) -> str:
        """The candidate's name."""

    @property
    def horizon(self) -> float:
        """Epochs of the full run."""

    @property
    def curve(self) -> LearningCurve:
        """What was seen so far, raw."""

    def advance(self, to: float) -> LearningCurve:
        """Train on to epoch `to`."""

    def test(self) -> float:
        """The raw score on the test split."""

    def close(self) -> None:
        """Free what the trial holds."""


@dataclass(frozen=True)
class Scale:
    """Between raw scores of a metric and the higher-is-better ones that a policy compares.

    Skill where it is defined and not `raw`; otherwise raw scores, turned round if lower is
    better.
    """

    metric: Metric
    trivial: float = NAN
    raw: bool = False

    @property
    def is_skill(self) -> bool:
        """Whether the policy sees skill."""
        return not self.raw and bool(
            np.isfinite(self.metric.skill(self.metric.perfect, self.trivial))
        )

    def to_policy(self, raw: float | Array) -> Array:
        """Raw scores as the policy sees them."""
        if self.is_skill:
            return self.metric.skill(raw, self.trivial)
        return self.metric.direction * np.asarray(raw, dtype=np.float64)

    def to_raw(self, score: float | Array) -> Array:
        """The inverse: back to the user's units."""
        if self.is_skill:
            return self.metric.unskill(score, self.trivial)
        return self.metric.direction * np.asarray(score, dtype=np.float64)

    def possible(self, score: float) -> float:
        """A policy's score in the user's units, within what the metric can be."""
        return float(np.clip(self.to_raw(score), *self.metric.bounds))

    @property
    def point(self) -> float:
        """How much of a policy's score is one point, as `Metric.points` counts them."""
        raw = 1.0 / float(self.metric.points(1.0, self.trivial))
        whole = abs(self.metric.perfect - self.trivial)
        if not self.is_skill or not np.isfinite(whole) or whole == 0:
            return raw
        return raw / whole

    @property
    def is_bounded(self) -> bool:
        """Whether the policy's scores go from about 0 to 1: skill, and raw ones that do."""
        return self.is_skill or (self.metric.higher_is_better and self.metric.perfect == 1.0)

    def row_variance(self, score: Array) -> Array:
        """The variance that one row has, for scores as the policy sees them."""
        if self.is_skill:
            return self.metric.skill_variance(score, self.trivial)
        return self.metric.row_variance(self.metric.direction * score, 0.0)

    def show(self, score: float) -> str:
        """A policy's score in the user's units."""
        return f"{self.possible(score):.4f}" if np.isfinite(score) else "no score"


def through(curve: LearningCurve, to: float) -> LearningCurve:
    """The part of a curve up to its first point at or after `to`, as `advance(to)` shows it."""
    later = curve.epochs[curve.epochs >= to - EPS]
    return curve.upto(float(later[0])) if len(later) else curve


class Journal:
    """What every advance gave, one JSON line each, so that a run that was cut off goes on.

    A last line that was cut off is ignored. With `write=False` (all but one process of several)
    it is only read. `path=None` keeps it in memory.
    """

    def __init__(self, path: Path | None, *, write: bool = True) -> None:
        self.path = path
        self.write = write and path is not None
        self._reached: dict[str, tuple[float, LearningCurve]] = {}
        self._failed: dict[str, TrialError] = {}
        self.paid: dict[str, LearningCurve] = {}  # of those that failed
        if path is not None and path.exists():
            good = self._read(path.read_bytes())
            if self.write and good < path.stat().st_size:
                os.truncate(path, good)

    def _read(self, content: bytes) -> int:
        """Take in all whole lines; returns how many bytes they fill."""
        good = 0
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                break
            good += len(line)
        return good

    def _take(self, row: dict) -> None:
        if "failed" in row:
            self._failed[row["model"]] = TrialError(row["failed"], status=row["status"])
            if row.get("paid"):
                self.paid[row["model"]] = LearningCurve.from_dict(row["paid"])
        else:
            curve = LearningCurve.from_dict(row["curve"])
            self._reached[row["model"]] = (float(row["to"]), curve)

    def _add(self, row: dict) -> None:
        self._take(row)
        if self.write and self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(json.dumps(row).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def get(self, model: str, to: float) -> LearningCurve | None:
        """The curve that advancing to `to` gave, None if that hasn't been done.

        Raises the `TrialError` that ended the trial, if it is known to end before `to`.
        """
        reached, curve = self._reached.get(model, (0.0, LearningCurve.empty()))
        if reached >= to - EPS:
            return through(curve, to)
        if model in self._failed:
            raise self._failed[model]
        return None

    def add(self, model: str, to: float, curve: LearningCurve) -> None:
        """Keep what an advance gave."""
        self._add({"model": model, "to": to, "curve": curve.to_dict()})

    def fail(
        self, model: str, to: float, error: TrialError, curve: LearningCurve | None = None
    ) -> None:
        """Keep that the trial failed on the way to `to`, and what it had come to; it isn't tried
        again."""
        row = {"model": model, "to": to, "failed": error.message, "status": error.status}
        self._add({**row, "paid": curve.to_dict()} if curve is not None and len(curve) else row)


@dataclass
class _Field:
    """The trials of one selection: opened when first needed, each advance in the journal."""

    factories: Mapping[str, Callable[[], Trial]]
    journal: Journal
    opened: dict[str, Trial] = field(default_factory=dict)
    curves: dict[str, LearningCurve] = field(default_factory=dict)  # raw

    def open(self, model: str) -> Trial:
        if model not in self.opened:
            self.opened[model] = self.factories[model]()
        return self.opened[model]

    def knows(self, model: str, to: float) -> bool:
        """Whether the journal tells what advancing to `to` gives, be it a failure."""
        try:
            return self.journal.get(model, to) is not None
        except TrialError:
            return True

    def advance(self, model: str, to: float) -> LearningCurve:
        """The raw curve at `to`, from the journal or by training; raises `TrialError`."""
        try:
            known = self.journal.get(model, to)
        except TrialError:
            if model in self.journal.paid:
                self.curves[model] = self.journal.paid[model]
            raise
        if known is not None:
            self.curves[model] = known
            return known
        try:
            trial = self.open(model)
            curve = through(trial.advance(to), to)
            if not len(curve) or curve.epochs[-1] < min(to, trial.horizon) - EPS:
                raise TrialError(f"{model} gave no validation score at epoch {to:g}")
        except ModelError as error:
            # It can't be loaded now: a wrong catalog, no network. That says nothing about how its
            # training ends, so it isn't kept, and the same selection may try again.
            self.close(model)
            raise TrialError(error.message, hint=error.hint) from error
        except TrialError as error:
            curve = self.opened[model].curve if model in self.opened else LearningCurve.empty()
            self.journal.fail(model, to, error, curve)
            if len(curve):
                self.curves[model] = curve  # it was paid for
            self.close(model)
            raise
        self.journal.add(model, to, curve)
        self.curves[model] = curve
        return curve

    def close(self, model: str) -> None:
        trial = self.opened.pop(model, None)
        if trial is not None:
            trial.close()

    def close_all(self) -> None:
        for model in list(self.opened):
            self.close(model)


def run_selection(
    trials: Mapping[str, Callable[[], Trial]],
    policy: Policy,
    *,
    horizon: float,
    metric: Metric,
    val_trivial: float = NAN,
    record: CurveSet | None = None,
    expected: Expectation | None = None,
    rows: Callable[[float], float] | None = None,
    doubt: float = 1.0,
    raw: bool = False,
    proxy_epochs: float = 0.0,
    proxy_seconds: float = 0.0,
    usual_epoch: float = 0.0,
    budget: Budget | None = None,
    spent_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    policy_name: str = "",
    journal: Path | None = None,
    write_journal: bool = True,
    on_rung: Callable[[Rung], None] | None = None,
    on_advance: Callable[[str, LearningCurve], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    side_by_side: Callable[[Mapping[str, float]], None] | None = None,
    workers: int = 1,
) -> SelectionResult:
    """Choose among trials, in recalled order, and train the winner to `horizon` epochs.

    `trials` maps a model to what opens its trial; it is called when the model must first be
    trained. `val_trivial`: raw validation score of the trivial predictor. `record`: recorded raw
    curves of other datasets. `raw=True` keeps raw scores (the paper's preset). `expected`,
    `rows(epoch)` and `doubt` are what `SelectionState` says. `budget`: when it can pay no more than
    to finish the leader, that is what is done, as far as it can; `spent_seconds` and `proxy_epochs`
    were spent before; `proxy_seconds` are of proxy passes that are to be counted in epochs of this
    very training (before there is one: of `usual_epoch` seconds). `clock()`, in seconds, must tell
    several processes the same. `on_rung(rung)` is called after every decision, `on_advance(model,
    raw curve)` after every advance, `should_stop()` asked before each. `side_by_side(model ->
    epoch)` is told of all that a decision has trained, where that can be done at once: `advance`
    then finds it done; `workers` do so.

    A trial that raises `TrialError` or `ModelError` is out and listed in the result's `failed`.
    How a training failed is kept in the journal; a model that couldn't be loaded is tried again.
    Dropped trials are closed at once; the winner's is left open for the caller to save and
    close. With the same `journal` the same call goes on where it was cut off: what is in there
    is not trained again.

    Raises `InputError` without trials, `TrialError` if all have failed, `StoppedError` when
    stopped; no trial is left open then.
    """
    if not trials:
        raise InputError("there is no candidate to select from")
    if not horizon > 0:
        raise InputError(f"horizon is {horizon!r}, but must be above 0 epochs")
    scale = Scale(metric, val_trivial, raw)
    entrants = _Field(trials, Journal(journal, write=write_journal))
    try:
        run = _Run(
            entrants=entrants,
            policy=policy,
            horizon=horizon,
            scale=scale,
            # Recorded skill is of no use to scores that can't be turned into skill.
            record=as_skill(record, raw=raw)
            if record is not None and (raw or scale.is_skill)
            else None,
            expected=expected,
            rows=rows or (lambda epoch: np.inf),
            doubt=doubt,
            purse=Purse(
                budget or Budget(),
                horizon,
                proxy_epochs,
                spent_seconds,
                clock,
                looks=proxy_seconds,
                usual=usual_epoch,
                workers=workers,
            ),
            on_rung=on_rung or (lambda rung: None),
            on_advance=on_advance or (lambda model, curve: None),
            should_stop=should_stop or (lambda: False),
            side_by_side=side_by_side,
        )
        winner, _, test = run.to_the_end()
        for model in [m for m in entrants.opened if m != winner]:
            entrants.close(model)
    except BaseException:
        entrants.close_all()
        raise
    curves = {m: entrants.curves[m] for m in trials if m in entrants.curves}
    epochs = float(sum(c.epochs[-1] for c in curves.values() if len(c)))
    seconds = float(np.sum([c.seconds[-1] for c in curves.values() if len(c)]))
    looked = proxy_seconds * epochs / seconds if proxy_seconds and seconds > 0 else 0.0
    return SelectionResult(
        winner=winner,
        val=float(curves[winner].val[-1]),
        test=float(test),
        rungs=tuple(run.rungs),
        curves=curves,
        epochs=epochs,
        seconds=seconds,
        proxy_epochs=proxy_epochs + looked,
        horizon=float(horizon),
        policy=policy_name or getattr(policy, "name", getattr(policy, "__name__", "")),
        failed=tuple(run.failed),
        ended=run.ended,
    )


@dataclass
class _Run:
    """One selection on its way: asks the policy, carries out what it decides."""

    entrants: _Field
    policy: Policy
    horizon: float
    scale: Scale
    record: CurveSet | None
    expected: Expectation | None
    rows: Callable[[float], float]
    doubt: float
    purse: Purse
    on_rung: Callable[[Rung], None]
    on_advance: Callable[[str, LearningCurve], None]
    should_stop: Callable[[], bool]
    side_by_side: Callable[[Mapping[str, float]], None] | None = None
    seen: dict[str, LearningCurve] = field(default_factory=dict)  # as the policy sees them
    rungs: list[Rung] = field(default_factory=list)
    failed: list[Rejected] = field(default_factory=list)

    ended: str = ""
    out: set[str] = field(default_factory=set)  # failed

    def to_the_end(self) -> tuple[str, Trial, float]:
        """The winner, trained as far as it is to be, and its test score.

        One that fails on the last stretch is out, and the policy is asked again without it.
        """
        while True:
            winner = self.climb()
            try:
                end = self.finish(winner)
                trial = self.entrants.open(winner)
                trial.advance(end)  # a trial reopened from its checkpoint: at once
                return winner, trial, trial.test()
            except (TrialError, ModelError) as error:
                self._fail(winner, error)
                self.ended = ""
                self.entrants.close(winner)

    def _fail(self, model: str, error: TrialError | ModelError) -> None:
        status = error.status if isinstance(error, TrialError) else "failed"
        self.failed.append(Rejected(model, f"{status}: {error.message}"))
        self.out.add(model)

    def climb(self) -> str:
        """Round after round until the policy names a winner, or the budget is used up."""
        models = tuple(self.entrants.factories)
        gone_before = {drop.model for rung in self.rungs for drop in rung.dropped} | self.out
        live = self._or_again(tuple(m for m in models if m not in gone_before))
        while True:
            state = self._state(models, live)
            decision = self.policy(state)
            _check(decision, state)
            if self.seen or decision.dropped:
                leader = decision.winner or decision.leader or best_so_far(state)
                self._note(state, decision, leader)
            gone = {drop.model for drop in decision.dropped}
            for model in gone:
                self.entrants.close(model)
            live = tuple(m for m in live if m not in gone)
            if decision.winner is not None:
                return decision.winner
            done = self.train_side_by_side(decision, models, live)
            for model, to in decision.advance.items():
                # Where the policy names none, whoever is best by now: it may have come to lead in
                # this very round.
                leader = decision.leader
                if leader not in live:
                    leader = best_so_far(self._state(models, live))
                if model not in done and not self.purse.can_pay(
                    model, to, leader, self.entrants.curves
                ):
                    return self._end(self._finishable(leader, live, decision), live)
                try:
                    self.advance(model, to)
                except TrialError as error:
                    self._fail(model, error)
                    live = tuple(m for m in live if m != model)
            live = self._or_again(live)

    def train_side_by_side(
        self, decision: Decision, models: tuple[str, ...], live: tuple[str, ...]
    ) -> set[str]:
        """Have all that a decision asks for and that can be paid trained at once; returns what."""
        if self.side_by_side is None or len(decision.advance) < 2:
            return set()
        leader = decision.leader
        if leader not in live:
            leader = best_so_far(self._state(models, live))
        plan: dict[str, float] = {}
        for model, to in decision.advance.items():
            if self.entrants.knows(model, to):
                continue
            if not self.purse.can_pay(model, to, leader, self.entrants.curves, plan):
                break
            plan[model] = to
        if len(plan) < 2:
            return set()
        self._check_stop(f"training {', '.join(plan)}")
        self.side_by_side(plan)
        return set(plan)

    def _check_stop(self, what: str) -> None:
        if self.should_stop():
            raise StoppedError(f"stopped before {what}", hint="run the same command again to go on")

    def _finishable(self, leader: str, live: tuple[str, ...], decision: Decision) -> str:
        """The leader; where the budget can't finish it, the best that it can finish, if any."""
        curves = self.entrants.curves
        able = [m for m in live if self.purse.furthest(m, curves) >= self.horizon - EPS]
        if leader in able or not able:
            return leader
        forecast = [m for m in able if m in decision.forecast]
        if forecast:
            return max(forecast, key=lambda m: decision.forecast[m])
        trained = tuple(m for m in able if m in self.seen)
        models = tuple(self.entrants.factories)
        return best_so_far(self._state(models, trained)) if trained else leader

    def _or_again(self, live: tuple[str, ...]) -> tuple[str, ...]:
        """Who is live. Where all those have failed, whoever was dropped last is so again.

        Raises `TrialError` where nobody is left.
        """
        if live:
            return live
        for i, rung in reversed(list(enumerate(self.rungs))):
            if rung.dropped:
                self.rungs[i] = replace(rung, dropped=())
                return tuple(drop.model for drop in rung.dropped)
        reasons = "; ".join(f"{bad.repo_id} ({bad.reason})" for bad in self.failed)
        raise TrialError(f"every trial has failed: {reasons}", status=error_status(self.failed))

    def _state(self, models: tuple[str, ...], live: tuple[str, ...]) -> SelectionState:
        return SelectionState(
            models,
            live,
            dict(self.seen),
            self.horizon,
            self.record,
            self.scale.show,
            self.expected,
            self.rows,
            self.scale.row_variance,
            self.scale.point,
            self.doubt,
            self.scale.is_bounded,
        )

    def _end(self, leader: str, live: tuple[str, ...]) -> str:
        """The budget pays for no further step: whoever leads among the live is the winner."""
        self.ended = self.purse.why
        state = self._state(tuple(self.entrants.factories), live)
        winner = leader if leader in live else best_so_far(state)
        told = f"The budget was used up: {self.ended}. {winner} was ahead then."
        rest = tuple(Drop(model, told) for model in live if model != winner)
        self._note(state, Decision(rest, winner=winner, note=self.ended), winner)
        for drop in rest:
            self.entrants.close(drop.model)
        return winner

    def finish(self, winner: str) -> float:
        """Train the winner to the horizon, or as far as the budget goes; the epoch it came to."""
        end = self.purse.furthest(winner, self.entrants.curves)
        if end < self.horizon - EPS:
            self.ended = self.ended or self.purse.why
            self.ended += f"; {winner} was trained for {end:g} of {self.horizon:g} epochs"
        self.advance(winner, end)
        return end

    def advance(self, model: str, to: float) -> None:
        """One advance, shown to the listener and kept for the policy."""
        self._check_stop(f"training {model} to epoch {to:g}")
        curve = self.entrants.advance(model, to)
        self.on_advance(model, curve)
        if curve.epochs[-1] < to - EPS:  # its run is over: the last score stands
            curve = LearningCurve(
                np.append(curve.epochs, to),
                *(
                    np.append(part, part[-1])
                    for part in (curve.val, curve.val_loss, curve.train_loss, curve.seconds)
                ),
            )
        self.seen[model] = replace(curve, val=self.scale.to_policy(curve.val))

    def _note(self, state: SelectionState, decision: Decision, leader: str) -> None:
        at = {model: reached(state, model) for model in state.live}
        val = {}
        for model in state.live:
            if at[model]:
                val[model] = float(self.scale.to_raw(state.curves[model].val[-1]))
        rung = Rung(
            epoch=max(at.values()),
            live=state.live,
            val=val,
            forecast={m: self.scale.possible(f) for m, f in decision.forecast.items()},
            p_best=dict(decision.p_best),
            dropped=decision.dropped,
            interval={m: self._raw_interval(*ends) for m, ends in decision.interval.items()},
            reached=at,
            leader=leader,
            note=decision.note,
        )
        self.rungs.append(rung)
        self.on_rung(rung)

    def _raw_interval(self, low: float, high: float) -> tuple[float, float]:
        """An interval in the user's units, rising."""
        ends = (self.scale.possible(low), self.scale.possible(high))
        return min(ends), max(ends)


def error_status(failed: list[Rejected]) -> str:
    """The status that all failures share, `failed` if they differ."""
    kinds = {bad.reason.split(":", 1)[0] for bad in failed}
    return kinds.pop() if len(kinds) == 1 else "failed"


def _check(decision: Decision, state: SelectionState) -> None:
    """Refuse a decision that can't be carried out: a fault in a policy, not in the input."""
    gone = {drop.model for drop in decision.dropped}
    live = set(state.live) - gone
    if decision.winner is not None:
        good = decision.winner in live
    else:
        ends = {m: c.epochs[-1] for m, c in state.curves.items() if len(c)}
        ahead = [m for m, to in decision.advance.items() if to > ends.get(m, 0.0) + EPS]
        in_range = all(0 < to <= state.horizon + EPS for to in decision.advance.values())
        good = bool(ahead) and in_range and set(decision.advance) <= live
    if not (good and gone <= set(state.live)):
        raise ValueError(f"the policy's decision can't be carried out: {decision}")
