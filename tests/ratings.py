"""Real data for the regression tasks: what the demo ships, and what scikit-learn does."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hf_select.demo.targets import shipped_target


def rated_tweets() -> list[tuple[str, float]]:
    """The shipped tweets with their ratings, train rows first."""
    rows: list[tuple[str, float]] = []
    for split in ("train", "validation", "test"):
        with (shipped_target("regression") / f"{split}.csv").open(encoding="utf-8") as file:
            rows += [(row["text"], float(row["rating"])) for row in csv.DictReader(file)]
    return rows


def write_table(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    """A CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def tweets_csv(path: Path, rows: int) -> Path:
    """`text,rating`: the first of the shipped tweets."""
    return write_table(path, ["text", "rating"], [list(row) for row in rated_tweets()[:rows]])


def pairs_csv(path: Path, rows: int, *, seed: int = 0, start: int = 0) -> Path:
    """`sentence1,sentence2,score`: tweets, their beginnings, and which share of the words it is."""
    rng = np.random.default_rng(seed)
    table: list[list[object]] = []
    for text, _ in rated_tweets()[start:]:
        words = text.split()
        if len(words) > 5 and len(table) < rows:
            kept = int(rng.integers(1, len(words) + 1))
            table.append([text, " ".join(words[:kept]), round(kept / len(words), 4)])
    return write_table(path, ["sentence1", "sentence2", "score"], table)


def turned_digits(folder: Path, rows: int, *, classes: tuple[int, ...], seed: int = 0) -> Path:
    """A folder with scikit-learn's digits, each turned by an angle, and `angles.csv` that says it.

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
    return write_table(folder / "angles.csv", ["file_name", "angle"], table)
