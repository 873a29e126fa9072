"""Live trials for a selection: opened when first needed, checkpointed, encodings shared."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.records import LearningCurve, Recipe, digest
from hf_select.training.trial import AccelerateTrial

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData


class CheckpointedTrial:
    """An `AccelerateTrial` that goes on from its folder and saves itself there when it is time.

    A checkpoint is written after an advance if `every` seconds of training have passed since the
    last one, so a killed selection loses at most that much of each candidate.
    """

    def __init__(self, trial: AccelerateTrial, folder: Path, every: float) -> None:
        self.trial, self.folder, self.every = trial, folder, every
        if folder.exists():
            trial.load(folder)
        self._saved = time.monotonic()

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
        before = len(self.trial.curve)
        curve = self.trial.advance(to)
        if len(curve) > before and time.monotonic() - self._saved >= self.every:
            self.trial.save(self.folder)
            self._saved = time.monotonic()
        return curve

    def test(self) -> float:
        """The raw score on the test split."""
        return self.trial.test()

    def close(self) -> None:
        """Free the memory and the disk."""
        self.trial.close()
        if self.trial.is_main_process:
            shutil.rmtree(self.folder, ignore_errors=True)


class LiveTrials:
    """One lazy factory per candidate. `locate(model) -> (location, revision)`."""

    def __init__(
        self,
        target: TargetData,
        recipe: Recipe,
        folder: Path,
        locate: Callable[[str], tuple[str | Path, str | None]],
        *,
        seed: int,
        checkpoint_every: float,
    ) -> None:
        self.target, self.recipe, self.folder, self.locate = target, recipe, folder, locate
        self.seed, self.checkpoint_every = seed, checkpoint_every
        self.opened: dict[str, CheckpointedTrial] = {}
        self._encoded: dict[Any, Any] = {}

    def open(self, model: str) -> CheckpointedTrial:
        """Load the candidate, or its checkpoint where there is one."""
        location, revision = self.locate(model)
        trial = AccelerateTrial(
            model,
            location,
            self.target,
            self.recipe,
            seed=self.seed,
            revision=revision,
            encoded_cache=self._encoded,
        )
        self.opened[model] = CheckpointedTrial(
            trial, self.folder / digest(model), self.checkpoint_every
        )
        return self.opened[model]

    def factories(self, models: list[str]) -> Mapping[str, Callable[[], CheckpointedTrial]]:
        """What `selection.run.run_selection` takes."""
        return {model: lambda model=model: self.open(model) for model in models}  # type: ignore[misc]
