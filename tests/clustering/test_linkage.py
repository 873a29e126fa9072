import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from hf_select.clustering.linkage import average_tree, best_cut, cut_tree


def same_partition(one, two):
    pairs = set(zip(one.tolist(), two.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(two.tolist()))


@pytest.mark.parametrize("seed", range(5))
def test_points_of_weight_one_give_scipys_tree(seed):
    apart = pdist(np.random.default_rng(seed).normal(size=(40, 3)))
    ours, theirs = average_tree(squareform(apart), np.ones(40)), linkage(apart, "average")
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_weight_is_that_many_models_at_one_place():
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(15, 2)), rng.integers(1, 6, 15)
    at = np.repeat(np.arange(15), weights)
    theirs = linkage(pdist(points[at]), "average")
    ours = average_tree(squareform(pdist(points)), weights)
    np.testing.assert_allclose(ours[:, 2], theirs[-14:, 2])  # the twins were merged before, at 0
    for merges in range(15):
        labels = fcluster(theirs, 15 - merges, criterion="maxclust")
        assert same_partition(cut_tree(ours, merges)[at], labels)


def test_by_hand():
    distance = np.array([[0, 1, 4], [1, 0, 6], [4, 6, 0]], dtype=float)
    np.testing.assert_allclose(average_tree(distance, np.ones(3)), [[0, 1, 1, 2], [2, 3, 5, 3]])
    heavy = average_tree(distance, np.array([3, 1, 1]))
    np.testing.assert_allclose(heavy[:, 2], [1, (3 * 4 + 6) / 4])
    assert average_tree(np.zeros((1, 1)), np.ones(1)).shape == (0, 4)


def test_ties_come_to_an_end():
    tree = average_tree(np.ones((12, 12)), np.ones(12))
    np.testing.assert_allclose(tree[:, 2], 1)
    assert tree[-1, 3] == 12


def test_the_cut_is_chosen_on_the_models_that_stand_at_the_points():
    """Twelve points in three places, five models around each; the models' distances decide."""
    rng = np.random.default_rng(1)
    centres = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], 4, axis=0)
    points = centres + rng.normal(0, 0.01, (12, 2))
    at = np.repeat(np.arange(12), 5)
    models = points[at] + rng.normal(0, 0.3, (60, 2))
    tree = average_tree(squareform(pdist(points)), np.full(12, 5.0))
    chosen = best_cut(tree, squareform(pdist(models)), at=at, weights=np.full(12, 5.0))
    assert 12 - chosen == 3
    drawn = rng.permutation(60)[:25]  # a sample will do, though some points have no model in it
    some = squareform(pdist(models[drawn]))
    assert 12 - best_cut(tree, some, at=at[drawn], weights=np.full(12, 5.0)) == 3
