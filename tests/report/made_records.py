"""Records by formula: what a record's page is drawn from, of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_select.clustering.algorithms import cluster_models
from hf_select.records import (
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    PerformanceMatrix,
    Recipe,
    RunKey,
    RunRecord,
)
from hf_select.report.record_document import TaskRecord, record_document


def made_task(
    models: int = 12,
    datasets: int = 6,
    *,
    task: str = "text-classification",
    name: str = "org/model-{}",
    holes: float = 0.1,
) -> TaskRecord:
    """Models in three groups that are good at different benchmarks; some cells are missing."""
    rng = np.random.default_rng(models)
    group = np.arange(models) % 3
    taste = np.sort(rng.uniform(0.1, 0.9, (3, datasets)), axis=1)[:, ::-1]
    skill = np.clip(taste[group] + rng.normal(0, 0.03, (models, datasets)), -0.1, 0.99)
    trivial = np.full(datasets, 0.25)
    scores = trivial + skill * (1 - trivial)
    scores[rng.random(scores.shape) < holes] = np.nan
    scores[:3, :] = np.where(np.isnan(scores[:3]), 0.5, scores[:3])
    recipe = Recipe(epochs=3)
    names = tuple(name.format(k) for k in range(models))
    sets = tuple(f"org/set-{j}" for j in range(datasets))
    matrix = PerformanceMatrix(
        scores,
        np.where(np.isnan(scores), np.nan, 0.01),
        names,
        sets,
        ("accuracy",) * datasets,
        trivial,
        recipe.digest(),
        task,
    )
    runs = [
        RunRecord(
            RunKey(model, "a" * 40, sets[0], "b" * 40, "", recipe.digest(), 0),
            task,
            "accuracy",
            "failed" if k == 0 else "ok",
            LearningCurve.of([1.0], [0.5]),
            test=float("nan") if k == 0 else 0.5,
            reason="the loss became NaN" if k == 0 else "",
            seconds=60.0,
            created=f"2026-01-{k % 28 + 1:02d}T00:00:00Z",
        )
        for k, model in enumerate(names)
    ]
    entries = [
        ModelEntry(model, "a" * 40, task, num_parameters=1_000_000 * (k + 1), license="mit")
        for k, model in enumerate(names)
    ]
    data = [
        DatasetEntry(s, "b" * 40, task, ("text",), "label", 4, "accuracy", splits={"train": 900})
        for s in sets
    ]
    replayed = {
        "trend": {"regret": 0.3, "regret_ci": [0.1, 0.5], "price": 1.8},
        "halving": {"regret": 0.4, "regret_ci": [0.1, 0.9], "price": 9.0},
    }
    return TaskRecord(
        task, matrix, cluster_models(matrix), runs, entries, data, recipe,
        {recipe.digest(): len(runs)}, replayed, 4,
    )  # fmt: skip


def made_record(**options: Any) -> dict[str, Any]:
    """The document of a record with one task."""
    return record_document("owner/results", [made_task(**options)], version="0.1.0")
