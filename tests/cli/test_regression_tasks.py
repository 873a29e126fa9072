"""Every regression task through the command line, on real data, judged by plain transformers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ratings import turned_digits, tweet_pairs, tweets_csv

from hf_select.cli.app import run
from hf_select.locations import demo_folder
from hf_select.metrics import METRICS

ZOO = demo_folder() / "models"
REGRESSION = {name for name, metric in METRICS.items() if metric.kind == "regression"}
Said = Any


@pytest.fixture
def hf_select(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command; its JSON document."""

    def said(*words: object) -> dict:
        assert run([*map(str, words), "--json", "--quiet"]) == 0
        return json.loads(capsys.readouterr().out)

    return said


def check(document: dict, task: str, share: float) -> None:
    """A winner far better than the mean, scored by every metric; its page and its script."""
    winner, trivial = document["winner"], document["trivial"]["test"]
    assert document["task"] == task
    assert document["metric"] == "rmse"
    assert set(winner["test_metrics"]) == REGRESSION
    assert winner["test"] == winner["test_metrics"]["rmse"] < share * trivial
    assert winner["test_metrics"]["r2"] == pytest.approx(1 - (winner["test"] / trivial) ** 2)
    assert winner["test_metrics"]["pearson"] > 0
    folder = Path(winner["checkpoint"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "the mean" in page
    assert "RMSE" in page
    assert (folder / "train.py").is_file()


def image_errors(folder: Path, table: Path, kept: list[str]) -> np.ndarray:
    """What a saved model says of some pictures of a table, less what is true (N,)."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    with table.open(encoding="utf-8") as file:
        truth = {row["file_name"]: float(row["angle"]) for row in csv.DictReader(file)}
    pictures = [Image.open(table.parent / name).convert("RGB") for name in kept]
    with torch.inference_mode():
        said = model(**processor(pictures, return_tensors="pt")).logits[:, 0].numpy()
    return said - np.array([truth[name] for name in kept])


@pytest.mark.parametrize(
    ("rows", "epochs", "share"),
    [(120, 2, 0.95), pytest.param(600, 5, 0.35, marks=pytest.mark.slow)],
)
def test_image_regression(
    tmp_path: Path, hf_select: Said, rows: int, epochs: int, share: float
) -> None:
    """By how many degrees a digit is turned; the record is about other digits."""
    sets = {"low": (0, 1), "middle": (5, 7), "high": (8, 9)}
    tables = [
        turned_digits(tmp_path / n, rows, classes=c, seed=i)
        for i, (n, c) in enumerate(sets.items())
    ]
    target = turned_digits(tmp_path / "turned", rows, classes=(2, 3, 4), seed=9)
    models = [ZOO / "resnet-rotation-1", ZOO / "convnext-rotation-2"]
    record = tmp_path / "record"
    benchmark = hf_select(
        *("benchmark", "--results", record, "--task", "image-regression", "--jobs", 1),
        *("--models", ",".join(map(str, models)), "--datasets", ",".join(map(str, tables))),
        *("--learning-rate", "1e-3", "--epochs", epochs, "--batch-size", 16),
    )
    assert (benchmark["done"], benchmark["failed"]) == (6, 0)
    shown = hf_select("inspect", target, "--task", "image-regression")
    assert (shown["label_column"], shown["metric"]) == ("angle", "rmse")
    document = hf_select(
        *("select", target, "--results", record, "--task", "image-regression"),
        *("--out", tmp_path / "out"),
    )
    check(document, "image-regression", share)
    import datasets

    test = datasets.load_dataset("parquet", data_files=str(tmp_path / "out/data/test.parquet"))
    names = [
        str(Path(cell["path"]).relative_to(target.parent))
        for cell in test["train"].cast_column("image", datasets.Image(decode=False))["image"]
    ]
    errors = image_errors(tmp_path / "out", target, names)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(document["winner"]["test"], rel=1e-3)


def test_text_regression_from_the_shipped_record(tmp_path: Path, hf_select: Said) -> None:
    target = tweets_csv(tmp_path / "tweets.csv", 500)
    recall = hf_select("recall", target, "--results", "demo", "--top", 3, "--looks", 4)
    assert recall["task"] == "text-regression"
    assert len(recall["candidates"]) == 3
    document = hf_select(
        *("select", target, "--results", "demo", "--top", 1, "--looks", 4),
        *("--out", tmp_path / "out"),
    )
    check(document, "text-regression", 0.97)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pairs_of_texts_with_a_score(tmp_path: Path, hf_select: Said) -> None:
    rows = {"train": 1200, "validation": 300, "test": 400}
    target = tweet_pairs(tmp_path / "pairs", rows)
    shown = hf_select("inspect", target)
    assert shown["task"] == "text-regression"
    assert shown["input_columns"] == ["sentence1", "sentence2"]
    document = hf_select(
        *("select", target, "--results", "demo", "--top", 2, "--max-length", 48),
        *("--out", tmp_path / "out"),
    )
    check(document, "text-regression", 0.9)
