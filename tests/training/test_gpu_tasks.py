"""Words, choices, image regression on a real accelerator: scores, memory, latency, the script."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinyzoo
import torch
from accelerate.state import AcceleratorState
from test_train_script import rows_of, run_here
from tiny import tiny_image_model, tiny_text_csv, tiny_text_model

from hf_select.catalog import Catalog, local_model
from hf_select.pipeline.handing_over import write_script
from hf_select.records import Recipe
from hf_select.tasks.data import load_target
from hf_select.training.footprint import footprint
from hf_select.training.latency import measure_latency
from hf_select.training.trial import AccelerateTrial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
TASKS = ("token-classification", "multiple-choice", "image-regression")
RECIPE = replace(tinyzoo.RECIPE, learning_rate=5e-3, epochs=3, max_length=32)


@pytest.fixture(autouse=True)
def any_precision():
    """Accelerate keeps one precision and one device a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def model_for(task: str, folder: Path) -> Path:
    return tiny_image_model(folder) if task.startswith("image") else tiny_text_model(folder)


@pytest.mark.parametrize("task", TASKS)
def test_the_scores_are_those_of_a_cpu(task, tmp_path, monkeypatch):
    model, target = model_for(task, tmp_path / "m"), load_target(rows_of(task, tmp_path), task=task)

    def train() -> tuple[str, np.ndarray, float]:
        trial = AccelerateTrial("tiny", model, target, RECIPE)
        trial.advance(3)
        return trial._device.type, trial.curve.train_loss, trial.test()

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    here, losses, score = train()
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    AcceleratorState._reset_state(reset_partial_state=True)
    there, found, other = train()
    assert (here, there) == ("cpu", "cuda")
    np.testing.assert_allclose(found, losses, rtol=0.1)
    assert other == pytest.approx(score, abs=0.15 * max(1.0, abs(score)))


@pytest.mark.parametrize("task", TASKS)
def test_it_trains_in_bf16(task, tmp_path):
    model, target = model_for(task, tmp_path / "m"), load_target(rows_of(task, tmp_path), task=task)
    trial = AccelerateTrial("tiny", model, target, replace(RECIPE, precision="bf16"))
    curve = trial.advance(3)
    assert curve.train_loss[-1] < curve.train_loss[0]
    assert np.isfinite(trial.test())


@pytest.mark.parametrize("task", TASKS)
def test_the_script_comes_to_the_trials_score(task, tmp_path, capsys):
    model, target = model_for(task, tmp_path / "m"), load_target(rows_of(task, tmp_path), task=task)
    trial = AccelerateTrial("tiny", model, target, RECIPE, seed=2)
    trial.advance(3)
    entry = replace(local_model(model, task), repo_id="tiny/model")
    where = Catalog((entry,), (), (), {entry.repo_id: model})
    test = trial.test()
    write_script(tmp_path, entry, target, RECIPE, locations=where, seed=2, epochs=3.0, test=test)
    _, score = run_here(tmp_path, capsys)
    assert score == pytest.approx(test, abs=0.1 * max(1.0, abs(test)))


@pytest.mark.parametrize(
    ("width", "length", "batch"), [(256, 64, 32), (512, 128, 32), (512, 128, 8)]
)
def test_a_training_takes_about_what_was_counted(width, length, batch, tmp_path, record_property):
    model = tiny_text_model(
        tmp_path / "m", architecture="bert", layers=8, width=width, max_tokens=128
    )
    path = tiny_text_csv(tmp_path / "long.csv", 80)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(f"{'good film ' * 64}{line}" for line in lines[1:])]))
    target = load_target(path)
    recipe = Recipe(epochs=1, global_batch_size=batch, max_length=length)
    counted = footprint(model, target, recipe).total
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trial = AccelerateTrial("tiny", model, target, recipe)
    trial.advance(1)
    taken = torch.cuda.max_memory_allocated() - before
    said = f"counted {counted / 1e6:.0f} MB, taken {taken / 1e6:.0f} MB: {taken / counted:.2f}"
    sys.stderr.write(f"\n{said}\n")
    record_property("share", taken / counted)
    assert 0.5 < taken / counted < 1.3


def test_a_latency_is_that_of_the_gpu(tmp_path):
    small = tiny_text_model(tmp_path / "small", architecture="bert", layers=2, width=64)
    big = tiny_text_model(tmp_path / "big", architecture="bert", layers=24, width=512)
    target = load_target(tiny_text_csv(tmp_path / "t.csv", 80))
    found = [measure_latency(model, target, max_length=64, device="cuda") for model in (small, big)]
    assert found[1].latency_ms > 2 * found[0].latency_ms  # 12 times the layers
    assert found[1].num_parameters > 10 * found[0].num_parameters
