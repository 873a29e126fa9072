"""What a training takes in memory: counted by hand for a small network, and as models go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_image_folder, tiny_image_model, tiny_text_csv, tiny_text_model

from hf_select.errors import ModelError
from hf_select.records import Recipe
from hf_select.tasks.data import load_target
from hf_select.training.footprint import footprint, kept_for_backward

RECIPE = Recipe(global_batch_size=4, max_length=16)


class Square(torch.nn.Module):
    """Keeps its input (for the weight's gradient) and the layer's output (for the square's)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).pow(2).sum()


def test_what_is_kept_is_counted_once_and_weights_are_not() -> None:
    module = Square()
    own = list(module.parameters())
    for rows in (1, 7):
        x = torch.ones(rows, 3)
        assert kept_for_backward(module, {"x": x}, own) == 4 * rows * (3 + 5)


def test_batch_and_length_make_the_activations(tmp_path: Path) -> None:
    model = tiny_text_model(tmp_path / "model", architecture="bert")
    target = load_target(tiny_text_csv(tmp_path / "rows.csv", 60))
    small = footprint(model, target, RECIPE)
    assert small.total == small.weights + small.activations
    numbers = sum(t.numel() for t in _weights(model).values())
    assert small.weights >= 16 * numbers
    double = footprint(model, target, replace(RECIPE, global_batch_size=8))
    assert double.weights == small.weights
    assert double.activations == pytest.approx(2 * small.activations, abs=2)
    short = footprint(model, target, replace(RECIPE, max_length=4))
    assert short.activations < small.activations


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_the_longest_rows_count(tmp_path: Path) -> None:
    model = tiny_text_model(tmp_path / "model")
    path = tiny_text_csv(tmp_path / "rows.csv", 60)
    before = footprint(model, load_target(path), replace(RECIPE, max_length=64))
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if i > 30)
    text, label = lines[at].rsplit(",", 1)
    lines[at] = f"{text.strip()} {' '.join([text.strip()] * 4)},{label}"
    path.write_text("\n".join(lines * 3) + "\n")  # three times, so that it is among the train rows
    after = footprint(model, load_target(path), replace(RECIPE, max_length=64))
    assert after.activations > 1.5 * before.activations


def test_images_and_regressions(tmp_path: Path) -> None:
    images = load_target(tiny_image_folder(tmp_path / "images", 8))
    found = footprint(tiny_image_model(tmp_path / "image-model"), images, RECIPE)
    assert found.activations > 0
    rated = load_target(tiny_text_csv(tmp_path / "rated.csv", 60, regression=True))
    assert footprint(tiny_text_model(tmp_path / "model"), rated, RECIPE).activations > 0


def test_a_broken_model_is_said(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "rows.csv", 60))
    with pytest.raises(ModelError):
        footprint(tmp_path, target, RECIPE)
