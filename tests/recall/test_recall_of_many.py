"""The paper's recall where there are too many models for distances of all pairs."""

from dataclasses import replace

import numpy as np
import pytest

from hf_select.clustering.algorithms import cluster_models
from hf_select.recall import methods, recall_models
from hf_select.records import PerformanceMatrix, ProxyScores


def test_singletons_are_compared_with_representatives_alone(monkeypatch):
    rng = np.random.default_rng(0)
    scores = np.vstack([rng.uniform(0.3, 0.9, (4, 6))[[0, 0, 0, 1, 1]], rng.uniform(size=(5, 6))])
    scores += rng.normal(0, 0.01, scores.shape)
    matrix = PerformanceMatrix(
        scores,
        np.full(scores.shape, np.nan),
        tuple("abcdefghij"),
        tuple("uvwxyz"),
        ("f1",) * 6,
        np.zeros(6),
    )
    found = cluster_models(matrix, threshold=0.1)
    assert (found.labels >= 2).sum() == 5  # singletons
    proxies = ProxyScores("logme", matrix.models, rng.normal(size=10))
    given = {"target": "t", "task": "x", "matrix": matrix, "proxies": proxies}
    first = recall_models("paper", clustering=found, **given)
    monkeypatch.setattr(methods, "EXACT", 5)
    again = recall_models("paper", clustering=replace(found, distance=None), **given)
    assert [c.model for c in again.candidates] == [c.model for c in first.candidates]
    assert [c.score for c in again.candidates] == pytest.approx([c.score for c in first.candidates])
