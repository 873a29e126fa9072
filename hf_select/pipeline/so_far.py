"""What a selection that is stopped hands over: the best candidate until then."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.errors import HfSelectError, StoppedError
from hf_select.files import write_atomic
from hf_select.launched import is_main_process, launched_processes
from hf_select.metrics import get_metric
from hf_select.pipeline.base import OnRung
from hf_select.records import LearningCurve, Rung
from hf_select.report.document import clean, epochs_text
from hf_select.selection.folder import SO_FAR, SelectionFolder
from hf_select.selection.state import EPS

if TYPE_CHECKING:
    from hf_select.pipeline.rates import Entrant
    from hf_select.training.live import LiveTrials
    from hf_select.training.shared import SharedTrials
    from hf_select.training.tracking import Tracking


class Told:
    """Listens to a selection: lets go of who was dropped, passes decisions on, and knows the last
    one and the curves (raw) so far."""

    def __init__(
        self,
        metric: str,
        trials: LiveTrials | SharedTrials,
        on_rung: OnRung | None,
        tracking: Tracking | None = None,
        config: Callable[[str], Mapping[str, Any]] = lambda model: {},
    ) -> None:
        self.metric, self.trials, self.on_rung = metric, trials, on_rung
        self._tracking, self._config = tracking, config
        self.last: Rung | None = None
        self.curves: dict[str, LearningCurve] = {}

    def __call__(self, rung: Rung) -> None:
        """A decision."""
        self.last = rung
        for drop in rung.dropped:
            self.trials.forget(drop.model)
            self.curves.pop(drop.model, None)
            if self._tracking is not None:
                self._tracking.finish(drop.model)
        if self.on_rung is not None and is_main_process():
            self.on_rung(rung, self.metric)

    def advanced(self, model: str, curve: LearningCurve) -> None:
        """A candidate has been trained on."""
        if self._tracking is not None:
            known = len(self.curves[model]) if model in self.curves else 0
            self._tracking.start(model, self._config(model))
            for i in range(known, len(curve)):
                self._tracking.log(
                    model,
                    float(curve.epochs[i]),
                    val=curve.val[i],
                    val_loss=curve.val_loss[i],
                    train_loss=curve.train_loss[i],
                )
        self.curves[model] = curve

    @property
    def best(self) -> str:
        """The best candidate of those trained: the leader, else by forecast, else by last score."""
        if not self.curves:
            return ""
        direction = get_metric(self.metric).direction
        said = self.last.forecast if self.last is not None else {}
        if self.last is not None and self.last.leader in self.curves:
            return self.last.leader
        known = [name for name in self.curves if name in said]
        if known:
            return max(known, key=lambda name: direction * said[name])
        scores = {name: direction * float(curve.val[-1]) for name, curve in self.curves.items()}
        return max(scores, key=lambda name: np.nan_to_num(scores[name], nan=-np.inf))


def hand_over_so_far(
    error: StoppedError,
    folder: SelectionFolder,
    trials: LiveTrials,
    told: Told,
    field: Mapping[str, Entrant],
) -> StoppedError:
    """The error with the best candidate so far, which is put into OUT/best-so-far.

    Nothing is put there where nobody was trained yet, where several processes train together, or
    where it fails: the selection can be gone on with all the same.
    """
    name = told.best
    if not name or launched_processes() > 1:
        return error
    answer = _answer(name, told, field)
    place = folder.path / SO_FAR
    try:
        trial = trials.open(name)
        answer["trained"] = trial.trial.epochs_trained
        if answer["trained"] < answer["epochs"] - EPS:
            raise OSError("its checkpoint is older than its score")
        trial.save_pretrained(place)
        trial.close()
        write_atomic(place / "so-far.json", json.dumps(clean(answer), indent=1).encode())
        where = f" It is in {place}, as it was after {epochs_text(answer['trained'])}."
    except (HfSelectError, OSError) as problem:
        where = f" It could not be saved: {problem}."
    found = StoppedError(
        error.message,
        hint=f"The best so far is {answer['model']}, validation {answer['val']:.4f} after "
        f"{epochs_text(answer['epochs'])}{_chance(answer)}.{where} The same command goes on.",
    )
    found.so_far = clean(answer)
    return found


def _answer(name: str, told: Told, field: Mapping[str, Entrant]) -> dict[str, Any]:
    """What is known of a candidate; `epochs` is where its last score was taken."""
    curve, rung = told.curves[name], told.last
    return {
        "model": field[name].model,
        "learning_rate": field[name].recipe.learning_rate,
        "epochs": float(curve.epochs[-1]),
        "val": float(curve.val[-1]),
        "predicted": rung.forecast.get(name) if rung else None,
        "interval": rung.interval.get(name) if rung else None,
        "p_best": rung.p_best.get(name) if rung else None,
    }


def _chance(answer: Mapping[str, Any]) -> str:
    chance = answer["p_best"]
    return "" if chance is None else f", the best of the candidates with {100 * chance:.0f} %"
