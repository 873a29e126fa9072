"""What a stopped selection says of the best candidate until then."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hf_select.errors import StoppedError
from hf_select.pipeline.so_far import Told, hand_over_so_far
from hf_select.records import LearningCurve
from hf_select.selection.folder import SelectionFolder


class Trials:
    """One candidate, trained as far as it is told."""

    def __init__(self, epochs: float) -> None:
        self.trial = SimpleNamespace(epochs_trained=epochs)

    def open(self, name: str) -> Trials:
        return self

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("epochs", "words"), [(1.0, "after 1 epoch."), (0.125, "after 1/8 epoch."), (2.0, "2 epochs.")]
)
def test_epochs_are_told_as_everywhere(epochs: float, words: str, tmp_path: Path) -> None:
    trials: Any = Trials(epochs)
    told = Told("accuracy", trials, None)
    at, nothing = np.array([epochs]), np.array([np.nan])
    told.curves["m"] = LearningCurve(at, np.array([0.5]), nothing, nothing, nothing)
    field: Any = {"m": SimpleNamespace(model="m", recipe=SimpleNamespace(learning_rate=0.001))}
    folder = SelectionFolder(tmp_path / "out", {})
    hint = hand_over_so_far(StoppedError("stopped"), folder, trials, told, field).hint
    assert hint.count(words) == 2, hint
