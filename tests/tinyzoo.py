"""A tiny zoo with a record, as files: what a selection needs, made in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny import tiny_text_csv, tiny_text_model

from hf_select.catalog import Catalog, local_model
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
