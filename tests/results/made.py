"""Made-up rows for the tests of the results repository."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_select.records import (
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    Recipe,
    RunKey,
    RunRecord,
)

TASK = "text-classification"
RECIPE = Recipe(epochs=2, fractions=(0.125, 0.5))


def revision(name: str) -> str:
    """40 hex digits that depend on the name."""
    return name.encode().hex().ljust(40, "0")[:40]


def run(
    model: str = "a",
    dataset: str = "x",
    test: float = 0.75,
    *,
    seed: int = 0,
    status: str = "ok",
    key: dict[str, Any] | None = None,
    **values: Any,
) -> RunRecord:
    """One run, all its details made up; `key` and `values` replace some."""
    names: dict[str, Any] = {
        "model": model,
        "model_revision": revision(model),
        "dataset": dataset,
        "dataset_revision": revision(dataset),
        "config": "",
        "recipe": RECIPE.digest(),
        "seed": seed,
    }
    rungs = RECIPE.rungs()
    curve = LearningCurve(
        rungs,
        np.linspace(0.3, 0.7, len(rungs)),
        np.linspace(1.5, 0.5, len(rungs)).astype(np.float32),
        np.linspace(1.25, 0.25, len(rungs)).astype(np.float32),
        np.arange(1.0, len(rungs) + 1),
    )
    details: dict[str, Any] = {
        "task": TASK,
        "metric": "accuracy",
        "curve": curve,
        "test": test if status == "ok" else float("nan"),
        "baseline": 0.5,
        "reason": "" if status == "ok" else "loss is not finite",
        "seconds": 12.5,
        "hardware": "cpu",
        "versions": {"torch": "2.13.0"},
        "submitter": "tester",
        "created": "2025-01-01T00:00:00+00:00",
    }
    return RunRecord(RunKey(**{**names, **(key or {})}), status=status, **{**details, **values})


def model(name: str = "a", **values: Any) -> ModelEntry:
    """A model entry."""
    return ModelEntry(
        **{"repo_id": name, "revision": revision(name), "task": TASK, "languages": ("en",)} | values
    )


def dataset(name: str = "x", **values: Any) -> DatasetEntry:
    """A dataset entry with 400 test rows."""
    details: dict[str, Any] = {
        "repo_id": name,
        "revision": revision(name),
        "task": TASK,
        "input_columns": ("text",),
        "label_column": "label",
        "num_labels": 2,
        "metric": "accuracy",
        "label_names": ("no", "yes"),
        "splits": {"train": 600, "test": 400},
        "baseline": 0.5,
    }
    return DatasetEntry(**details | values)
