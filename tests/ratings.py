"""Real data for the regression tasks: what the demo ships, and what scikit-learn does."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hf_select.demo.targets import shipped_target


def rated_tweets() -> list[tuple[str, float]]:
    """The shipped tweets with their ratings, train rows first."""
    return [row for split in ("train", "validation", "test") for row in _split(split)]


def _split(split: str) -> list[tuple[str, float]]:
    with (shipped_target("regression") / f"{split}.csv").open(encoding="utf-8") as file:
        return [(row["text"], float(row["rating"])) for row in csv.DictReader(file)]


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    """A CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def tweets_csv(path: Path, rows: int) -> Path:
    """`text,rating`: the first of the shipped tweets."""
    return write_table(path, ["text", "rating"], [list(row) for row in rated_tweets()[:rows]])


def tweet_pairs(folder: Path, rows: dict[str, int], *, longest: int = 14) -> Path:
    """A folder with train, validation and test.csv of `sentence1,sentence2,score`.

    Two short tweets each, and the mean of their ratings: how positive the two are together. The
    tweets of a split stand in no other one.
    """
    rng = np.random.default_rng(0)
    for split, count in rows.items():
        tweets = [row for row in _split(split) if len(row[0].split()) <= longest]
        table: list[list[object]] = []
        for i, j in rng.integers(0, len(tweets), (count, 2)):
            (one, first), (other, second) = tweets[i], tweets[j]
            table.append([one, other, round((first + second) / 2, 3)])
        write_table(folder / f"{split}.csv", ["sentence1", "sentence2", "score"], table)
    return folder


def turned_digits(folder: Path, rows: int, *, classes: tuple[int, ...], seed: int = 0) -> Path:
    """A CSV named after its folder with scikit-learn's digits, each turned by an angle.

    `file_name,angle`, in degrees from -60 to 60, anticlockwise.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    data = load_digits()
    chosen = rng.permutation(np.flatnonzero(np.isin(data.target, classes)))[:rows]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    table: list[list[object]] = []
    for i in chosen:
        picture = Image.fromarray((data.images[i] * (255 / 16)).astype(np.uint8)).convert("RGB")
        angle = round(float(rng.uniform(-60, 60)), 1)
        name = f"pictures/{i:04d}.png"
        picture.resize((32, 32)).rotate(angle, Image.Resampling.BILINEAR).save(folder / name)
        table.append([name, angle])
    return write_table(folder / f"{folder.name}.csv", ["file_name", "angle"], table)
