"""`train.py` of a finished selection, run on its own: it repeats the winner's test score."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinyzoo
from safetensors.torch import load_file
from tiny import (
    NEUTRAL,
    SIGNS,
    tiny_byte_level_model,
    tiny_image_folder,
    tiny_image_model,
    tiny_text_csv,
    tiny_text_model,
)
from tinyzoo import tiny_catalog

from hf_select import pipeline
from hf_select.catalog import Catalog, local_model

SAID = re.compile(r"test (\w+) (-?[\d.]+); the selection's winner had (-?[\d.]+)")


def run_script(folder: Path, *arguments: str) -> tuple[float, float]:
    """The test score that it comes to, and the one that it was told."""
    done = subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = SAID.search(done.stdout)
    assert found is not None, done.stdout
    return float(found[2]), float(found[3])


def run_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, float]:
    """Metric and test score that the script comes to, in this process."""
    before = sys.argv
    try:
        sys.argv = ["train.py"]
        runpy.run_path(str(folder / "train.py"), run_name="__main__")
    finally:
        sys.argv = before
    found = SAID.search(capsys.readouterr().out)
    assert found is not None
    return found[1], float(found[2])


def selected(folder: Path, **options: object) -> dict:
    """A selection among two tiny models for pairs of texts with ratings."""
    catalog = tiny_catalog(folder, regression=True)
    recipe = replace(tinyzoo.RECIPE, learning_rate=1e-2, warmup=0.1, max_train_samples=40)
    pipeline.benchmark(
        folder / "record", catalog, recipe=recipe, models=["tiny/ant", "tiny/bee"],
        datasets=["tiny/reviews"], jobs=1,
    )  # fmt: skip
    tiny_text_csv(folder / "target.csv", 90, regression=True, seed=3)
    found = pipeline.select(
        folder / "target.csv",
        folder / "record",
        folder / "out",
        catalog=catalog,
        recipe=recipe,
        policy="halving",
        top=2,
        seed=5,
        **options,  # type: ignore[arg-type]
    )
    return found.document


@pytest.mark.slow
def test_a_regression_is_repeated_on_its_own(tmp_path: Path) -> None:
    document = selected(tmp_path)
    out = tmp_path / "out"
    again, told = run_script(out)
    assert told == pytest.approx(document["winner"]["test"], abs=1e-4)
    assert again == pytest.approx(told, abs=2e-4)  # printed with four digits
    # what it saved answers in the label's units, as the winner itself does
    ours, theirs = (json.loads((out / d / "config.json").read_text()) for d in (".", "reproduced"))
    assert ours["problem_type"] == theirs["problem_type"] == "regression"
    mine = load_file(out / "model.safetensors")
    other = load_file(out / "reproduced" / "model.safetensors")
    assert mine.keys() == other.keys()
    assert max(float((mine[k] - other[k]).abs().max()) for k in mine) < 1e-4


def rows_of(task: str, folder: Path) -> Path:
    """A few rows for a task, with something to learn."""
    rng = np.random.default_rng(4)
    if task == "text-classification":
        return tiny_text_csv(folder / "pairs.csv", 90, pair=True)
    if task == "image-classification":
        return tiny_image_folder(folder / "pictures", 40)
    if task == "image-regression":
        tiny_image_folder(folder / "pictures", 40)
        files = sorted((folder / "pictures").rglob("*.png"))
        lines = [f"{file},{(file.parent.name == 'good') + rng.uniform(0, 0.2)}" for file in files]
        (folder / "ages.csv").write_text("\n".join(["image,score", *lines]))
        return folder / "ages.csv"
    words = np.array([*NEUTRAL, *SIGNS[0], *SIGNS[1]])
    rows = []
    for _ in range(90):
        picked = words[rng.integers(0, len(words), rng.integers(2, 40))].tolist()
        if task == "token-classification":
            kinds = {**dict.fromkeys(SIGNS[0], "B-P"), **dict.fromkeys(SIGNS[1], "B-N")}
            rows.append({"tokens": picked, "ner_tags": [kinds.get(w, "O") for w in picked]})
        else:
            label = int(rng.integers(0, 3))
            choices = [" ".join(words[rng.integers(0, 10, 3)]) for _ in range(3)]
            choices[label] += " good"
            rows.append({"text": " ".join(picked[:9]), "choices": choices, "label": label})
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("task", ["text-classification", "token-classification", "multiple-choice"])
def test_texts_are_trained_as_a_trial_trains_them(
    task: str, architecture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_text_model(tmp_path / "model", architecture=architecture)
    same_score(task, model, tmp_path, capsys)


def test_words_of_a_byte_level_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_byte_level_model(tmp_path / "model")
    same_score("token-classification", model, tmp_path, capsys)


def test_greys_of_16_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dark and bright differ only above what eight bits can hold."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, level in (("dark", 2_000), ("bright", 40_000)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(level, level + 9_000, (16, 16)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    model = tiny_image_model(tmp_path / "model")
    same_score("image-classification", model, tmp_path, capsys, rows=tmp_path / "pictures")


@pytest.mark.parametrize("architecture", ["resnet", "convnext"])
@pytest.mark.parametrize("task", ["image-classification", "image-regression"])
def test_images_are_trained_as_a_trial_trains_them(
    task: str, architecture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_image_model(tmp_path / "model", architecture=architecture)
    same_score(task, model, tmp_path, capsys)


def same_score(
    task: str,
    model: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    rows: Path | None = None,
) -> None:
    """Train by a trial, stopped early, and by the script that is written of it, in this process."""
    from hf_select.pipeline.handing_over import write_script
    from hf_select.tasks.data import load_target
    from hf_select.training.trial import AccelerateTrial

    target = load_target(rows or rows_of(task, folder), task=task)
    recipe = replace(
        tinyzoo.RECIPE,
        learning_rate=5e-3,
        epochs=4,
        warmup=0.2,
        max_train_samples=33,
        max_length=20,
    )
    trial = AccelerateTrial("tiny", model, target, recipe, seed=2)
    trial.advance(2.5)
    entry = replace(local_model(model, task), repo_id="tiny/model")
    written = write_script(
        folder, entry, target, recipe, locations=Catalog((entry,), (), (), {entry.repo_id: model}),
        seed=2, epochs=2.5, test=trial.test(),
    )  # fmt: skip
    assert written
    metric, score = run_here(folder, capsys)
    assert metric == target.metric
    assert score == pytest.approx(trial.test(), abs=2e-4)
    trial.save_pretrained(folder / "ours")
    ours, theirs = (load_file(folder / d / "model.safetensors") for d in ("ours", "reproduced"))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[k].float() - theirs[k].float()).abs().max()) for k in ours) < 1e-3
    trial.close()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "text"])
def test_the_demos_winner_is_repeated(task: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hf_select", "demo", "--task", task, "--out", "d", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    document = json.loads(done.stdout)
    again, told = run_script(tmp_path / "d")
    assert told == pytest.approx(document["winner"]["test"], abs=1e-4)
    assert again == pytest.approx(told, abs=2e-3)
    # another seed: another head and order, and a score within a fine-tuning's noise
    other, _ = run_script(tmp_path / "d", "--seed", "1", "--out", "other")
    assert other == pytest.approx(told, abs=0.08)
    script = (tmp_path / "d" / "train.py").read_text()
    ast.parse(script)


def test_images_in_files_are_named_not_copied(tmp_path: Path) -> None:
    import datasets
    import numpy as np
    from PIL import Image

    from hf_select.tasks.data import load_target
    from hf_select.tasks.kept import keep_rows

    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = np.full((4, 4, 3), i + 100 * (name == "b"), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    target = load_target(tmp_path / "pictures")
    kept = keep_rows(target, tmp_path / "kept", train_rows=np.arange(5))
    train, _, test = (datasets.Dataset.from_parquet(str(path)) for path in kept)
    assert train.features["label"].names == ["a", "b"]
    assert len(train) == 5
    cell = test.cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert cell["bytes"] is None
    assert Path(cell["path"]).is_absolute()
    assert np.array_equal(np.asarray(test[0]["image"]), np.asarray(target.test[0]["image"]))
