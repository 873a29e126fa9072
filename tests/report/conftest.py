"""A selection of a realistic size, made up by formula: 24 models, 10 recalled, 8 rungs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report.stepwise import as_of_old, make_stepwise

from hf_select.records import (
    Candidate,
    Clustering,
    Drop,
    LearningCurve,
    PerformanceMatrix,
    RecallResult,
    Recipe,
    Rejected,
    Rung,
    SelectionResult,
)
from hf_select.report.document import selection_document

SOURCES = ("digits", "textures", "letters", "shapes", "faces", "satellite")
MODELS = tuple(f"zoo/{s}-{a}-s{k}" for s in SOURCES for a in ("vit", "cnn") for k in (0, 1))
DATASETS = (
    "mnist-small",
    "fashion",
    "leaves",
    "eurosat-mini",
    "coins",
    "glyphs",
    "flowers",
    "traffic",
    "cells",
    "kuzushiji",
)
RUNGS = np.array([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
TARGET = "optical-digits"


def make_document(
    *, metric: str = "accuracy", bare: bool = False, policy: str = "fractional-halving"
) -> dict[str, Any]:
    """A document; `bare` leaves matrix, clusters, forecasts and proxies out."""
    rng = np.random.default_rng(7)
    lower = metric == "rmse"
    trivial = 1.4321 if lower else 0.1013

    def raw(skill: float) -> float:
        return float(trivial * (1 - skill) if lower else trivial + (1 - trivial) * skill)

    quality = np.linspace(0.93, 0.62, len(MODELS))
    order = rng.permutation(len(MODELS))
    recalled = [MODELS[i] for i in order[:10]]
    sign = -1 if lower else 1
    curves: dict[str, LearningCurve] = {}
    rungs, live = [], list(recalled)
    ends = dict(zip(recalled, np.sort(quality[order[:10]])[::-1], strict=True))
    for t, epoch in enumerate(RUNGS):
        for name in live:
            growth = ends[name] * (1 - 0.55 * np.exp(-1.7 * RUNGS[: t + 1] ** 0.6))
            noise = np.random.default_rng(len(name) * 31 + recalled.index(name)).normal(
                0, 0.02, len(RUNGS)
            )[: t + 1] / np.sqrt(1 + RUNGS[: t + 1] * 4)
            curves[name] = LearningCurve(
                RUNGS[: t + 1],
                [raw(s) for s in growth + noise],
                np.linspace(2.2, 0.3, t + 1),
                np.linspace(2.3, 0.2, t + 1),
                RUNGS[: t + 1] * 1.9 + 0.4,
            )
        val = {name: float(curves[name].val[-1]) for name in live}
        ranked = sorted(live, key=lambda m: -sign * val[m])
        keep = max(1, len(ranked) // 2) if epoch <= 1 else len(ranked)
        if bare:
            keep = len(ranked)
        dropped = tuple(
            Drop(m, f"Validation {val[m]:.3f} is not among the best {keep} of {len(ranked)}.")
            for m in ranked[keep:]
        )
        forecast = {} if bare else {m: raw(ends[m]) for m in live}
        p_best = {} if bare else {m: 1 / len(live) for m in live}
        rungs.append(Rung(float(epoch), tuple(live), val, forecast, p_best, dropped))
        live = ranked[:keep]
    winner = live[0]
    skill = np.clip(
        quality[:, None] + rng.normal(0, 0.05, (24, 10)) - np.linspace(0, 0.5, 10), -0.1, 0.995
    )
    skill[3, 4] = skill[17, 2] = np.nan
    base = np.full(10, trivial)
    matrix = PerformanceMatrix(
        np.vectorize(raw)(skill), np.full((24, 10), 0.01), MODELS, DATASETS, (metric,) * 10, base
    )
    labels = np.repeat([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 4, 3, 1, 1])
    clustering = Clustering(
        MODELS, labels, np.zeros((24, 24)), {0: 0, 1: 7, 2: 12, 3: 16, 4: 20}, "average", 0.09, 0.41
    )
    candidates = tuple(
        Candidate(
            m,
            f"{i:040x}",
            predicted=0.92 - 0.025 * i,
            spread=0.03 + 0.004 * i,
            prior=0.71 - 0.011 * i,
            proxies={} if bare else {"logme": -0.2 - 0.13 * i, "knn": 0.9 - 0.02 * i},
            cluster=int(labels[MODELS.index(m)]),
            reason=f"Rank {i + 1} by prior and proxy together.",
            score=0.9 - 0.03 * i,
        )
        for i, m in enumerate(recalled)
    )
    recall = RecallResult(
        TARGET,
        "image-classification",
        "paper",
        candidates,
        tuple(recalled) + tuple(m for m in MODELS if m not in recalled),
        nearest_benchmarks=(("mnist-small", 0.91), ("kuzushiji", 0.44)),
        skipped=(Rejected("zoo/broken", "Has no weights."),),
        seconds=3.2,
    )
    result = SelectionResult(
        winner,
        float(curves[winner].val[-1]),
        raw(0.917),
        tuple(rungs),
        curves,
        epochs=float(sum(c.epochs[-1] for c in curves.values())),
        seconds=61.23456,
        proxy_epochs=0.6,
        horizon=5.0,
        policy="brute-force" if bare else policy,
        checkpoint="out/winner",
        failed=() if bare else (Rejected("zoo/diverged-cnn", "The loss became NaN at step 12."),),
    )
    return selection_document(
        target=TARGET,
        task="text-regression" if lower else "image-classification",
        metric=metric,
        result=result,
        recall=recall,
        clustering=None if bare else clustering,
        matrix=None if bare else matrix,
        recipe=Recipe(),
        data_notes=["12 rows are empty and were left out.", "No row is in two splits."],
        split_rows={"train": 1078, "validation": 359, "test": 360},
        trivial={"validation": trivial, "test": trivial},
        num_models=24,
        seconds=108.4,
        versions={"hf-select": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        revisions={m: f"{i:040x}" for i, m in enumerate(MODELS)},
        fingerprint="5f2c9a1b77e01d44",
    )


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    return make_document()


@pytest.fixture(scope="session")
def regression_document() -> dict[str, Any]:
    return make_document(metric="rmse")


@pytest.fixture(scope="session")
def bare_document() -> dict[str, Any]:
    return make_document(bare=True)


@pytest.fixture(scope="session")
def stepwise() -> dict[str, Any]:
    return make_stepwise()


@pytest.fixture(scope="session")
def old_document(document) -> dict[str, Any]:
    return as_of_old(document)
