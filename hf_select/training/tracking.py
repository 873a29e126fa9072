"""Learning curves in an experiment tracker while they grow: a run a training.

The process that watches logs, not the ones that train, so it needs a tracker's login and network
here only, whatever the trainings run on. The trackers are those of Accelerate.
"""

from __future__ import annotations

import atexit
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from hf_select.records import Recipe
    from hf_select.training.events import BenchmarkEvent

TRACKERS = ("tensorboard", "trackio", "wandb")
PROJECT = "hf-select"
ENDS = ("done", "failed", "stopped", "undone")
PER_EPOCH = 1000
"""Steps of a tracker's axis in an epoch: it takes whole numbers only."""


def check_tracker(name: str | None) -> None:
    """Refuse a tracker that is unknown, or isn't installed, by `InputError`."""
    if name is None:
        return
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    if find_spec(name) is None:
        raise InputError(f"the tracker {name} isn't installed", hint=f"pip install {name}")


class Tracking:
    """Runs of one tracker, by name; to be closed. `folder` is where tensorboard's files go.

    A tracker that fails, for a login or the network say, is told of once by `say` and left alone:
    the trainings go on.
    """

    def __init__(
        self, tracker: str, folder: Path, say: Callable[[str], None] = lambda text: None
    ) -> None:
        check_tracker(tracker)
        self._name, self._say, self._off = tracker, say, False
        self._make = _MAKERS[tracker]
        self._folder = folder
        self._runs: dict[str, GeneralTracker] = {}
        self._state_is_ours = _ensure_state()

    def start(self, run: str, config: Mapping[str, Any]) -> None:
        """Begin a run, unless it goes on already; `config` is what it is trained by."""
        if run in self._runs or self._off:
            return
        with self._guarded():
            tracker = self._make(run, self._folder)
            tracker.main_process_only = False  # only the first process makes one
            tracker.start()
            self._runs[run] = tracker
            tracker.store_init_configuration(_plain(config))
        global _silenced
        if not _silenced:  # after the tracker's own, so before it at exit: trackio prints there
            _silenced = True
            atexit.register(_end_of_stdout)

    def log(self, run: str, epoch: float, **values: float) -> None:
        """Scores at an epoch, by name; those that weren't measured (NaN) are left out."""
        tracker = self._runs.get(run)
        known = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if tracker is not None and known and not self._off:
            with self._guarded():
                step = round(PER_EPOCH * epoch) if math.isfinite(epoch) else None
                tracker.log({"epoch": float(epoch), **known}, step=step)

    def follow(self, event: BenchmarkEvent, recipe: Recipe) -> None:
        """What happened to a cell; a run of its own, named after it."""
        if event.seed is None:  # a look at a model
            return
        run = f"{event.model} on {event.dataset}, seed {event.seed}"
        if event.kind == "start":
            facts = {"model": event.model, "dataset": event.dataset, "seed": event.seed}
            self.start(run, {**recipe.to_dict(), **facts})
        elif event.kind == "point":
            losses = {"val_loss": event.val_loss, "train_loss": event.train_loss}
            self.log(run, event.epoch, val=event.val, **losses)
        elif event.kind == "done":
            self.log(run, float(recipe.epochs), test=event.test)
        if event.kind in ENDS:
            self.finish(run)

    def finish(self, run: str) -> None:
        """The run is over."""
        tracker = self._runs.pop(run, None)
        if tracker is not None:
            with self._guarded():
                tracker.finish()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """The tracker's own words go to stderr, and its errors end nothing but itself."""
        try:
            with _quiet():
                yield
        except Exception as error:  # noqa: BLE001 - of any kind: it is somebody else's code
            self._off = True
            self._say(f"{self._name} has failed and is left alone: {error}")

    def close(self) -> None:
        """End all runs."""
        for run in list(self._runs):
            self.finish(run)
        if self._state_is_ours:
            from accelerate import PartialState

            PartialState._reset_state()


def _tensorboard(run: str, folder: Path) -> GeneralTracker:
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker(run.replace("/", "--").replace(" ", "_"), logging_dir=folder)


def _trackio(run: str, folder: Path) -> GeneralTracker:
    from accelerate.tracking import TrackioTracker

    return TrackioTracker(PROJECT, name=run)


def _wandb(run: str, folder: Path) -> GeneralTracker:
    from accelerate.tracking import WandBTracker

    return WandBTracker(PROJECT, name=run, reinit="create_new")


_MAKERS: Mapping[str, Callable[[str, Path], GeneralTracker]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}


def _ensure_state() -> bool:
    """Accelerate's trackers want its state. Whether it had to be made, here without a device."""
    from accelerate import PartialState

    if PartialState._shared_state:
        return False
    PartialState(cpu=True)
    return True


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values that every tracker takes."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in config.items()
    }


_silenced = False


def _end_of_stdout() -> None:
    sys.stdout.flush()
    sys.stdout = sys.stderr


@contextmanager
def _quiet() -> Iterator[None]:
    """What a tracker prints goes to stderr: stdout holds the command's answer."""
    with redirect_stdout(sys.stderr):
        yield
