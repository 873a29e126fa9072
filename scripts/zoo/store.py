"""Write benchmark sets and pre-training pools to disk, each complete or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo.rows import SPLITS, Rows


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a temporary folder, then rename it into place."""
    temporary = folder.with_name(folder.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that diffs well."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def fingerprint(splits: dict[str, Rows]) -> str:
    """SHA-1 of the rows' hashes in order, split by split."""
    digest = hashlib.sha1()
    for split in SPLITS:
        digest.update(split.encode() + splits[split].hashes.astype(">u8").tobytes())
    return digest.hexdigest()


def save_dataset(folder: Path, splits: dict[str, Rows], *, columns: tuple[str, str]) -> None:
    """Save a DatasetDict with typed columns: an image or text, and a class or a rating."""
    import datasets
    from PIL import Image

    datasets.disable_progress_bars()
    item, target = columns
    names = splits["train"].names
    features = datasets.Features(
        {
            item: datasets.Image() if item == "image" else datasets.Value("string"),
            target: datasets.ClassLabel(names=list(names)) if names else datasets.Value("float32"),
        }
    )

    def table(rows: Rows) -> datasets.Dataset:
        items = [Image.fromarray(i) for i in rows.items] if item == "image" else list(rows.items)
        return datasets.Dataset.from_dict({item: items, target: rows.labels.tolist()}, features)

    saved = datasets.DatasetDict({split: table(splits[split]) for split in SPLITS})

    def write(temporary: Path) -> None:
        saved.save_to_disk(temporary)
        hashes = {split: splits[split].hashes for split in SPLITS}
        np.savez(temporary / "row_hashes.npz", **hashes)

    write_folder(folder, write)


def save_csv(path: Path, rows: Rows, *, columns: tuple[str, str]) -> None:
    """Write texts with their class names or ratings."""
    labels = [rows.names[i] for i in rows.labels] if rows.names else rows.labels.tolist()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(rows.items, labels, strict=True))


def save_pool(folder: Path, rows: Rows) -> None:
    """Save the rows that models are pre-trained on."""

    def write(temporary: Path) -> None:
        if isinstance(rows.items, np.ndarray):
            np.save(temporary / "items.npy", rows.items)
        else:
            write_json(temporary / "items.json", list(rows.items))
        np.savez(temporary / "rows.npz", labels=rows.labels, hashes=rows.hashes)
        write_json(temporary / "names.json", list(rows.names))

    write_folder(folder, write)


def load_pool(folder: Path) -> Rows:
    """Read a pool back; its groups have done their work."""
    arrays = np.load(folder / "rows.npz")
    if (folder / "items.npy").exists():
        items = np.load(folder / "items.npy")
    else:
        items = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    return Rows(items, arrays["labels"], names, ("",) * len(arrays["labels"]), arrays["hashes"])
