"""The document of a record by itself: what its page and its figures are drawn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_select.clustering.scores import row_means
from hf_select.metrics import find_metric
from hf_select.records import (
    Clustering,
    DatasetEntry,
    ModelEntry,
    PerformanceMatrix,
    Recipe,
    RunRecord,
)
from hf_select.report.document import clean, clusters_part, matrix_part
from hf_select.results.matrix import dataset_name

SCHEMA = 1
"""Version of the document's shape."""

LEADERS = 50
"""Models that the document lists by their mean skill; the matrix has all."""

FAILURES = 20
"""Reasons of failed runs that are listed, the most frequent first."""


@dataclass(frozen=True, eq=False)
class TaskRecord:
    """What a record holds of one task. `replayed` is the summary of a replay over `targets`.

    `recipes` maps the digest of each recipe to its number of runs; the matrix is of `recipe`.
    """

    task: str
    matrix: PerformanceMatrix
    clustering: Clustering | None
    runs: Sequence[RunRecord]
    models: Sequence[ModelEntry]
    datasets: Sequence[DatasetEntry]
    recipe: Recipe | None
    recipes: Mapping[str, int]
    replayed: Mapping[str, Any] = field(default_factory=dict)
    targets: int = 0


def record_document(
    name: str,
    tasks: Sequence[TaskRecord],
    *,
    repo: str | None = None,
    revision: str | None = None,
    version: str = "",
) -> dict[str, Any]:
    """The document of a record called `name`; `repo` and `revision` where it is on the Hub.

    The same record gives the same document, whenever it is made.
    """
    document: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "kind": "record",
            "name": name,
            "repo": repo,
            "revision": revision,
            "newest": max((run.created for part in tasks for run in part.runs), default=""),
            "version": version,
            "models": len({model for part in tasks for model in part.matrix.models}),
            "tasks": [_task(part) for part in tasks],
        }
    )
    return document


def _task(part: TaskRecord) -> dict[str, Any]:
    matrix, runs = part.matrix, part.runs
    skill = matrix.skill
    mine = [run for run in runs if run.key.recipe == matrix.recipe]
    measured = int(np.isfinite(matrix.scores).sum())
    return {
        "task": part.task,
        "counts": {
            "models": len(matrix.models),
            "datasets": len(matrix.datasets),
            "measured": measured,
            "cells": matrix.scores.size,
            "runs": len(runs),
            "failed": sum(run.status != "ok" for run in runs),
            "seeds": len({run.key.seed for run in mine}),
            "seconds": float(np.nansum([run.seconds for run in runs])),
            "submitters": len({run.submitter for run in runs if run.submitter}),
        },
        "failures": _failures(runs),
        "recipe": None
        if part.recipe is None
        else {**part.recipe.to_dict(), "digest": matrix.recipe},
        "recipes": dict(part.recipes),
        "benchmarks": _benchmarks(part, skill),
        "leaders": _leaders(part, skill),
        "matrix": matrix_part(matrix),
        "clusters": None if part.clustering is None else clusters_part(part.clustering),
        "replayed": dict(part.replayed),
        "targets": part.targets,
    }


def _failures(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Why runs failed, and how many of them did for that reason."""
    counted = Counter((run.status, run.reason) for run in runs if run.status != "ok")
    return [
        {"status": status, "reason": reason, "runs": number}
        for (status, reason), number in counted.most_common(FAILURES)
    ]


def _benchmarks(part: TaskRecord, skill: np.ndarray) -> list[dict[str, Any]]:
    """The benchmarks from the easiest to the hardest."""
    matrix = part.matrix
    entries = {dataset_name(entry.repo_id, entry.config): entry for entry in part.datasets}
    noise = _noise(matrix)
    rows = []
    for j, name in enumerate(matrix.datasets):
        column = skill[:, j]
        known = np.flatnonzero(np.isfinite(column))
        if not len(known):
            continue
        best = int(known[np.argmax(column[known])])
        entry = entries.get(name)
        rows.append(
            {
                "dataset": name,
                "metric": matrix.metrics[j],
                "trivial": matrix.baselines[j],
                "models": len(known),
                "mean": round(float(column[known].mean()), 4),
                "spread": round(float(column[known].std()), 4),
                "best": matrix.models[best],
                "best_score": matrix.scores[best, j],
                "best_skill": round(float(column[best]), 4),
                "noise": noise[j],
                "rows": dict(entry.splits) if entry else {},
                "license": entry.license if entry else "",
                "revision": entry.revision if entry else "",
            }
        )
    return sorted(rows, key=lambda row: -float(row["mean"]))


def _noise(matrix: PerformanceMatrix) -> list[float]:
    """Median standard deviation between seeds on each benchmark, in skill; NaN with one seed."""
    found = []
    for j, name in enumerate(matrix.metrics):
        spread = matrix.spread[:, j]
        spread = spread[np.isfinite(spread)]
        metric = find_metric(name)
        base = float(matrix.baselines[j])
        if not len(spread) or metric is None:
            found.append(math.nan)
            continue
        unit = abs(float(metric.unskill(1.0, base)) - float(metric.unskill(0.0, base)))
        found.append(round(float(np.median(spread)) / unit, 5) if unit else math.nan)
    return found


def _leaders(part: TaskRecord, skill: np.ndarray) -> list[dict[str, Any]]:
    """The models with the best mean skill, over what each was measured on."""
    matrix = part.matrix
    means = row_means(skill)
    entries = {entry.repo_id: entry for entry in part.models}
    known = np.isfinite(skill)
    top = np.full(skill.shape[1], -np.inf)
    for j in range(skill.shape[1]):
        if known[:, j].any():
            top[j] = np.nanmax(skill[:, j])
    wins = (known & (skill >= top[None, :])).sum(axis=1)
    order = sorted(np.flatnonzero(np.isfinite(means)).tolist(), key=lambda i: -means[i])
    rows = []
    for i in order[:LEADERS]:
        entry = entries.get(matrix.models[i])
        rows.append(
            {
                "model": matrix.models[i],
                "mean": round(float(means[i]), 4),
                "benchmarks": int(known[i].sum()),
                "wins": int(wins[i]),
                "num_parameters": entry.num_parameters or None if entry else None,
                "license": entry.license if entry else "",
                "revision": entry.revision if entry else "",
            }
        )
    return rows
