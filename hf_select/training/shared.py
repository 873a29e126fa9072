"""Live trials of a selection that launched processes share: each candidate is trained by one.

All processes take the same decisions from the same scores. Between two of them each trains its
candidates on its own device, and what came of it is exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_select.errors import HfSelectError, ModelError, StoppedError, TrialError
from hf_select.launched import Place
from hf_select.records import LearningCurve, Recipe
from hf_select.training.agreement import exchanged, first_ones
from hf_select.training.live import LiveTrials
from hf_select.training.sampling import CLOSE


@dataclass(frozen=True)
class _Failure:
    """An error on its way to another process, which raises one that says the same."""

    kind: str  # trial, model or stopped
    message: str
    hint: str
    status: str = "failed"

    @classmethod
    def of(cls, error: HfSelectError) -> _Failure:
        if isinstance(error, StoppedError):
            return cls("stopped", error.message, error.hint)
        if isinstance(error, TrialError):
            return cls("trial", error.message, error.hint, error.status)
        return cls("model", error.message, error.hint)

    def error(self) -> HfSelectError:
        if self.kind == "stopped":
            return StoppedError(self.message, hint=self.hint)
        if self.kind == "trial":
            return TrialError(self.message, status=self.status, hint=self.hint)
        return ModelError(self.message, hint=self.hint)


class SharedTrials:
    """What `LiveTrials` is to one process, for several: `own` has this one's candidates.

    Every method that trains, tests or saves is called by all processes, in the same order.
    """

    def __init__(self, own: LiveTrials, here: Place) -> None:
        self.own, self.here = own, here
        self.opened: dict[str, SharedTrial] = {}
        self._owner: dict[str, int] = {}

    @property
    def recipe(self) -> Recipe:
        """That of the selection."""
        return self.own.recipe

    def val_rows(self, epoch: float) -> int:
        """How many validation rows a score at that epoch rests on."""
        return self.own.val_rows(epoch)

    def factories(self, models: list[str]) -> Mapping[str, Callable[[], SharedTrial]]:
        """What `selection.run.run_selection` takes."""
        return {model: self._factory(model) for model in models}

    def open(self, model: str) -> SharedTrial:
        """The candidate, whoever trains it; nothing is loaded yet."""
        if model not in self.opened:
            horizon = float(self.own.recipe_of(model).epochs)
            self.opened[model] = SharedTrial(self, model, horizon)
        return self.opened[model]

    def train(self, plan: Mapping[str, float]) -> None:
        """Train candidates to their epochs side by side; `SharedTrial.advance` then has the curves.

        Raises `StoppedError` in all processes if one was asked to stop.
        """
        for model in plan:
            self._give(model, list(plan))
        mine: dict[str, LearningCurve | _Failure] = {}
        stopped: _Failure | None = None
        for model, to in plan.items():
            if self._owner[model] == self.here.rank and stopped is None:
                mine[model] = self._advanced(model, to)
                found = mine[model]
                if isinstance(found, _Failure) and found.kind == "stopped":
                    stopped = found
        everything = exchanged((mine, stopped))
        for _, halt in everything:
            if halt is not None:
                raise halt.error()
        for part, _ in everything:
            for model, result in part.items():
                self.open(model).take(plan[model], result)

    def forget(self, model: str) -> None:
        """Let go of a candidate that was dropped: its memory and its checkpoint."""
        self.opened.pop(model, None)
        if self._owner.pop(model, self.here.rank) == self.here.rank:
            self.own.forget(model)

    def ask(self, model: str, job: Callable[[], Any]) -> Any:
        """What `job` gives in the process that trains the model, in all; so are its errors."""
        self._give(model, [model])
        found: Any = None
        if self._owner[model] == self.here.rank:
            try:
                found = job()
            except (TrialError, ModelError, StoppedError) as error:
                found = _Failure.of(error)
        found = exchanged(found)[self._owner[model]]
        if isinstance(found, _Failure):
            raise found.error()
        return found

    def close(self, model: str) -> None:
        """Free what this process holds of it."""
        if model in self.own.opened and self._owner.get(model) == self.here.rank:
            self.own.opened[model].close()

    def _give(self, model: str, among: list[str]) -> None:
        """Give a candidate to the process with the fewest of those that are trained together."""
        if model not in self._owner:
            taken = [self._owner[other] for other in among if other in self._owner]
            self._owner[model] = min(range(self.here.world), key=lambda rank: taken.count(rank))

    def _advanced(self, model: str, to: float) -> LearningCurve | _Failure:
        try:
            trial = self.own.opened.get(model) or self.own.open(model)
            return trial.advance(to)
        except (TrialError, ModelError, StoppedError) as error:
            return _Failure.of(error)

    def _factory(self, model: str) -> Callable[[], SharedTrial]:
        return lambda: self.open(model)


class SharedTrial:
    """One candidate, trained by one of the processes; the others know its curve."""

    def __init__(self, trials: SharedTrials, model: str, horizon: float) -> None:
        self.model, self.horizon, self.curve = model, horizon, LearningCurve.empty()
        self.num_processes = trials.here.world
        self._trials = trials
        self._known: tuple[float, LearningCurve | _Failure] | None = None

    def take(self, to: float, result: LearningCurve | _Failure) -> None:
        """What training it to that epoch came to."""
        self._known = (to, result)
        if isinstance(result, LearningCurve):
            self.curve = result

    def advance(self, to: float) -> LearningCurve:
        """Train on to epoch `to`, if nobody has done so in `SharedTrials.train`."""
        if self._known is None or self._known[0] < min(to, self.horizon) - CLOSE:
            self._trials.train({self.model: to})
        assert self._known is not None
        _, result = self._known
        if isinstance(result, _Failure):
            self._known = None
            raise result.error()
        return result

    def test(self) -> float:
        """The raw score on the test split."""
        return float(self._trials.ask(self.model, lambda: self._own.test()))

    @property
    def test_scores(self) -> dict[str, float]:
        """What `test` found, by metric."""
        return dict(self._trials.ask(self.model, lambda: self._own.test_scores))

    def save_pretrained(self, folder: str | Path) -> None:
        """As that of `AccelerateTrial`; the first process says where to."""
        place = first_ones(str(folder))
        self._trials.ask(self.model, lambda: self._own.save_pretrained(place))

    def close(self) -> None:
        """Free what it holds; its checkpoint stays."""
        self._trials.close(self.model)

    @property
    def _own(self) -> Any:
        trials = self._trials.own
        return trials.opened.get(self.model) or trials.open(self.model)
