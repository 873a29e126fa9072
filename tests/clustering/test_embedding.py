"""hf_select.clustering.embedding: places that keep distances, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.clustering.distances import paper_distance
from hf_select.clustering.embedding import embed


def apart(points):
    return np.linalg.norm(points[:, None] - points[None, :], axis=-1)


def test_points_of_a_plane_keep_their_distances():
    truth = np.random.default_rng(0).normal(size=(30, 2))
    points, told = embed(apart(truth))
    assert apart(points) == pytest.approx(apart(truth), abs=1e-6)
    assert told == pytest.approx(1.0)
    assert points.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_refinement_never_makes_it_worse():
    scores = np.random.default_rng(1).uniform(size=(40, 8))
    distance = paper_distance(scores)
    from hf_select.clustering.embedding import _classical

    def stress(points):
        return ((apart(points) - distance) ** 2).sum()

    points, told = embed(distance)
    assert stress(points) < 0.95 * stress(_classical(distance))
    assert 0.5 < told <= 1.0


def test_the_order_of_the_models_does_not_matter():
    scores = np.random.default_rng(2).uniform(size=(25, 6))
    order = np.random.default_rng(3).permutation(25)
    one, _ = embed(paper_distance(scores))
    other, _ = embed(paper_distance(scores[order]))
    assert apart(other) == pytest.approx(apart(one)[np.ix_(order, order)], abs=1e-3)


def test_twins_stand_on_one_place():
    scores = np.random.default_rng(4).uniform(size=(10, 6))
    scores[7] = scores[2]
    points, _ = embed(paper_distance(scores))
    assert points[7] == pytest.approx(points[2], abs=1e-6)


@pytest.mark.parametrize("models", [0, 1, 2, 5])
def test_models_that_cannot_be_told_apart_and_few_ones(models):
    points, told = embed(np.zeros((models, models)))
    assert points.shape == (models, 2)
    assert not points.any()
    assert np.isnan(told)
    if models == 2:
        points, _ = embed(np.array([[0.0, 3.0], [3.0, 0.0]]))
        assert apart(points)[0, 1] == 3.0
