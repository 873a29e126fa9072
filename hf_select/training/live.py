"""Live trials for a selection: opened when first needed, checkpointed, encodings shared."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import broadcast_object_list

from hf_select.errors import StoppedError
from hf_select.records import LearningCurve, Recipe, digest
from hf_select.training.trial import AccelerateTrial, EncodingCache

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData


class CheckpointedTrial:
    """An `AccelerateTrial` that goes on from its folder and saves itself there in time.

    One process saves between two steps, `every` seconds after the last time, so a killed
    selection loses at most that much; asked to stop, it saves and raises `StoppedError`. Several
    processes save together after an advance.
    """

    def __init__(
        self,
        open_trial: Callable[[Callable[[AccelerateTrial], None]], AccelerateTrial],
        folder: Path,
        *,
        every: float,
        should_stop: Callable[[], bool],
    ) -> None:
        self.folder, self.every, self.should_stop = folder, every, should_stop
        self.trial = open_trial(self._after_step)
        self.trial.load(folder)
        self._saved, self._saved_epochs = time.monotonic(), self.trial.epochs_trained

    @property
    def model(self) -> str:
        """The candidate's name."""
        return self.trial.model

    @property
    def horizon(self) -> float:
        """Epochs of a full fine-tuning."""
        return self.trial.horizon

    @property
    def curve(self) -> LearningCurve:
        """What has been seen so far."""
        return self.trial.curve

    def advance(self, to: float) -> LearningCurve:
        """Train to that many epochs; nothing is trained that the checkpoint holds already."""
        before = self.trial.epochs_trained
        curve = self.trial.advance(to)
        if self.trial.epochs_trained > before and self._due():
            self._save()
        return curve

    def test(self) -> float:
        """The raw score on the test split."""
        return self.trial.test()

    def close(self) -> None:
        """Free the memory; the checkpoint stays, and is brought up to date if all has to stop."""
        alone = self.trial.num_processes == 1
        if alone and self.should_stop() and self.trial.epochs_trained > self._saved_epochs:
            self._save()
        self.trial.close()

    def _after_step(self, trial: AccelerateTrial) -> None:
        if trial.num_processes > 1:  # saving is done together, and clocks and signals differ
            return
        if self.should_stop():
            self._save()
            raise StoppedError(
                f"stopped while training {self.model} at epoch {trial.epochs_trained:.2f}",
                hint="the same command goes on from there",
            )
        if time.monotonic() - self._saved >= self.every:
            self._save()

    def _due(self) -> bool:
        """Whether it is time to save; with several processes the first one decides."""
        due = [time.monotonic() - self._saved >= self.every]
        if self.trial.num_processes > 1:
            broadcast_object_list(due)
        return due[0]

    def _save(self) -> None:
        self.trial.save(self.folder)
        self._saved, self._saved_epochs = time.monotonic(), self.trial.epochs_trained


class LiveTrials:
    """One lazy factory per candidate. `locate(model) -> (folder, revision)`."""

    def __init__(
        self,
        target: TargetData,
        recipe: Recipe,
        folder: Path,
        locate: Callable[[str], tuple[Path, str]],
        *,
        seed: int,
        checkpoint_every: float,
        should_stop: Callable[[], bool],
    ) -> None:
        self.target, self.recipe, self.folder, self.locate = target, recipe, folder, locate
        self.seed, self.checkpoint_every = seed, checkpoint_every
        self.should_stop = should_stop
        self.opened: dict[str, CheckpointedTrial] = {}
        self._cache = EncodingCache()

    def open(self, model: str) -> CheckpointedTrial:
        """Load the candidate, and its checkpoint where there is one."""
        location, revision = self.locate(model)

        def open_trial(on_step: Callable[[AccelerateTrial], None]) -> AccelerateTrial:
            return AccelerateTrial(
                model,
                location,
                self.target,
                self.recipe,
                seed=self.seed,
                revision=revision,
                cache=self._cache,
                on_step=on_step,
            )

        self.opened[model] = CheckpointedTrial(
            open_trial,
            self._checkpoint(model),
            every=self.checkpoint_every,
            should_stop=self.should_stop,
        )
        return self.opened[model]

    def factories(self, models: list[str]) -> Mapping[str, Callable[[], CheckpointedTrial]]:
        """What `selection.run.run_selection` takes."""
        return {model: self._factory(model) for model in models}

    def forget(self, model: str) -> None:
        """Let go of a candidate that was dropped, its checkpoint included."""
        self.opened.pop(model, None)
        shutil.rmtree(self._checkpoint(model), ignore_errors=True)

    def _factory(self, model: str) -> Callable[[], CheckpointedTrial]:
        return lambda: self.open(model)

    def _checkpoint(self, model: str) -> Path:
        return self.folder / digest(model)
