"""A tiny zoo with a record, as files: what a selection needs, made in seconds."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import tiny_text_csv, tiny_text_model

from hf_select import pipeline
from hf_select.catalog import Catalog, local_model
from hf_select.files import exclusive
from hf_select.records import Recipe
from hf_select.tasks.data import dataset_entry, load_target

TASK = "text-classification"
RECIPE = Recipe(learning_rate=3e-2, epochs=2, global_batch_size=4, max_length=16, warmup=0.0)
MODELS = ("ant", "bee", "cat", "dog")
DATASETS = ("reviews", "news", "mail")


def tiny_catalog(folder: Path, *, regression: bool = False) -> Path:
    """Four text models and three sets of a task; returns the catalog file."""
    task = "text-regression" if regression else TASK
    models, datasets, locations = [], [], {}
    for seed, name in enumerate(MODELS):
        architecture = ("distilbert", "bert")[seed % 2]
        path = tiny_text_model(folder / "models" / name, architecture=architecture, seed=seed)
        models.append(replace(local_model(path, task), repo_id=f"tiny/{name}"))
        locations[f"tiny/{name}"] = path
    for seed, name in enumerate(DATASETS, 10):
        path = tiny_text_csv(folder / "data" / f"{name}.csv", 80, regression=regression, seed=seed)
        datasets.append(dataset_entry(load_target(path), repo_id=f"tiny/{name}"))
        locations[f"tiny/{name}"] = path
    file = folder / "catalog.json"
    Catalog(tuple(models), tuple(datasets), (), locations).save(file)
    return file


def benchmarked_zoo(factory: pytest.TempPathFactory) -> Path:
    """A folder of the caller's own with catalog.json, its `record` (one seed, looks too), and a
    target.csv of 90 rows. It is made once a test run, and copied for whoever asks."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of all workers
    made = root / "benchmarked-zoo"
    with exclusive(root / "benchmarked-zoo.lock", wait=280):
        if not made.exists():
            making = root / "benchmarked-zoo.making"
            shutil.rmtree(making, ignore_errors=True)
            pipeline.benchmark(making / "record", tiny_catalog(making), recipe=RECIPE, jobs=2)
            tiny_text_csv(making / "target.csv", 90, seed=3)
            making.rename(made)
    own = factory.mktemp("zoo")
    shutil.copytree(made, own, dirs_exist_ok=True)
    for file in (own / "catalog.json", own / "record" / ".work" / "catalog.json"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(str(root / "benchmarked-zoo.making"), str(own)), "utf-8")
    return own
