"""What a training takes in memory: counted by hand for a small network, and as models go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
from datasets import Features, List, Value
from tiny import tiny_image_folder, tiny_image_model, tiny_text_csv, tiny_text_model

from hf_select.errors import ModelError
from hf_select.launched import Place
from hf_select.records import Recipe
from hf_select.tasks.base import get_task
from hf_select.tasks.data import load_target
from hf_select.training import footprint as module
from hf_select.training.footprint import footprint, kept_for_backward, longest_rows

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


LONG = "a text of many letters"
SPLIT = {  # task -> a split of four rows, of which the last two are the longest
    "text-classification": (
        {
            "text": ["a", "b", LONG, "c"],
            "text_pair": ["", "no", "", LONG * 2],
            "label": [0, 1, 0, 1],
            "note": [LONG * 9, "", "", ""],  # nothing that a model sees
        },
        {"text": Value("large_string"), "text_pair": Value("string")},
    ),
    "token-classification": (
        {
            "tokens": [list("abcdef"), list("abcdefg"), [LONG], [LONG, "b"]],
            "tags": [[0] * 6, [0] * 7, [0], [0, 1]],
            "label": [0, 0, 0, 1],
        },
        {"tokens": List(Value("string")), "tags": List(Value("int64"))},
    ),
    "multiple-choice": (
        {
            "text": ["why", "who", "a", "b"],
            "choices": [["a", "b", "c"], ["a", "b", "c"], [LONG, "b", "c"], [LONG, LONG, "c"]],
            "label": [0, 1, 2, 0],
        },
        {"text": Value("string"), "choices": List(Value("large_string"))},
    ),
}


@pytest.mark.parametrize("task", SPLIT)
def test_the_longest_rows_are_those_whose_input_has_most_letters(task: str) -> None:
    rows, features = SPLIT[task]
    kinds = {n: features.get(n, Value("string" if n == "note" else "int64")) for n in rows}
    split = datasets.Dataset.from_dict(rows, features=Features(kinds))
    assert longest_rows(get_task(task), split) == [3, 2]


def test_a_process_that_trains_alone_has_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_text_model(tmp_path / "model")
    target = load_target(tiny_text_csv(tmp_path / "rows.csv", 60))
    found = []
    for here in (Place(), Place(world=2, apart=True), Place(world=2)):
        monkeypatch.setattr(module, "place", lambda here=here: here)
        found.append(footprint(model, target, RECIPE).activations)
    alone, apart, together = found
    assert apart == alone
    assert together == pytest.approx(alone / 2, abs=2)


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
