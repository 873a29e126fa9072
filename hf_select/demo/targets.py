"""The demo's targets: scikit-learn's digits as images, and the text sets that ship here.

None is a benchmark of the record, and none shares a row with one or with pre-training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from hf_select.errors import UnknownNameError

DEMO_TASKS = {
    "image": "image-classification",
    "text": "text-classification",
    "regression": "text-regression",
}
SHIPPED = {"text": "wordnet-nouns", "regression": "rated-tweets"}
"""The folders of `data` that are targets."""
ROWS = {"train": 600, "validation": 400, "test": 600}


def check_demo_task(task: str) -> str:
    """A row of `DEMO_TASKS`; anything else is an error."""
    if task not in DEMO_TASKS:
        raise UnknownNameError("demo task", task, DEMO_TASKS)
    return task


def write_target(task: str, folder: Path) -> Path:
    """Write the demo's target as a `datasets` folder and return where; nothing is downloaded."""
    destination = folder / ("digits" if check_demo_task(task) == "image" else SHIPPED[task])
    if destination.exists():
        return destination
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{destination.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    if task == "image":
        _write_digits(temporary)
    else:
        shutil.copytree(shipped_target(task), temporary)
    temporary.replace(destination)
    return destination


def shipped_target(task: str) -> Path:
    """The folder of a target that ships as files."""
    return Path(__file__).parent / "data" / SHIPPED[task]


def _write_digits(folder: Path) -> None:
    """scikit-learn's 1,797 8x8 digits: 600 / 400 / 600 rows, stratified, seed 0."""
    import datasets
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from hf_select.tasks.hubdata import quiet_datasets

    digits = load_digits()
    pixels = (digits.images * (255 / 16)).astype(np.uint8)
    rest, splits = np.arange(len(pixels)), {}
    for name, rows in ROWS.items():
        splits[name], rest = train_test_split(
            rest, train_size=rows, stratify=digits.target[rest], random_state=0
        )
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=[str(i) for i in range(10)]),
        }
    )
    table = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict(
                {
                    "image": [Image.fromarray(pixels[i]).convert("RGB") for i in rows],
                    "label": digits.target[rows].tolist(),
                },
                features=features,
            )
            for name, rows in splits.items()
        }
    )
    with quiet_datasets():
        table.save_to_disk(str(folder))
