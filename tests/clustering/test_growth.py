import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from hf_select.clustering.algorithms import cluster_models
from hf_select.clustering.growth import (
    Drift,
    assign,
    assign_new,
    seed_noise,
    stable_ids,
)
from hf_select.records import Clustering, PerformanceMatrix

NAN = np.nan


def clustering(labels, models=None, heads=None):
    names = tuple(models or "abcdefghijklmnopqrstuvwxyz"[: len(labels)])
    return Clustering(names, np.array(labels), None, heads or {}, "average", 0.1, 0.5)


def matrix_of(scores, models=None, spread=NAN, baselines=NAN):
    scores = np.array(scores, dtype=float)
    rows, columns = scores.shape
    return PerformanceMatrix(
        scores,
        np.full(scores.shape, spread),
        tuple(models or "abcdefghijklmnopqrstuvwxyz"[:rows]),
        tuple(f"set{j}" for j in range(columns)),
        ("accuracy",) * columns,
        np.full(columns, baselines),
    )


# ------------------------------------------------------------------------------------- assign

PAIRS = np.array([[0.90, 0.10], [0.88, 0.12], [0.20, 0.80], [0.22, 0.78]])
TWO = np.array([5, 5, 2, 2])


def test_assign_by_hand():
    """One benchmark, two clusters of two: the formulas of the docstring, written out."""
    known, labels = np.array([[0.8], [0.9], [0.2], [0.3]]), np.array([0, 0, 1, 1])
    found = assign(np.array([[0.7]]), known, labels)
    # sums of squares: .01 within clusters on 2 degrees of freedom, .37 over all on 3
    within = 0.01 / 2
    overall = (0.25**2 + 0.35**2) * 2 / 3
    between = overall - within
    keep = 2 / (2 + within / between)
    means = 0.55 + keep * np.array([0.3, -0.3])
    spread = within + between * (1 - keep)

    def normal(x, mean, variance):
        return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    weights = [2 * normal(0.7, m, spread) for m in means] + [normal(0.7, 0.55, overall * 1.25)]
    expected = np.array(weights) / sum(weights)
    np.testing.assert_allclose(found.probabilities[0], expected[:2], rtol=1e-9)
    assert found.alone[0] == pytest.approx(expected[2])
    ranked = np.sort(expected)
    assert found.odds[0] == pytest.approx(ranked[-1] / ranked[-2])
    assert (found.cluster[0], found.measured[0]) == (0, 1)


def test_a_model_goes_to_its_like_by_id_and_an_outlier_to_none():
    found = assign(np.array([[0.21, NAN], [0.89, 0.11], [0.55, 0.45], [NAN, NAN]]), PAIRS, TWO)
    assert found.clusters.tolist() == [2, 5]
    assert found.cluster.tolist() == [2, 5, -1, -1]
    np.testing.assert_allclose(found.probabilities.sum(axis=1) + found.alone, 1)
    assert found.alone[2] > 0.9
    # nothing measured: the prior, 2 of 5 for each and 1 of 5 for a cluster of its own
    np.testing.assert_allclose(found.probabilities[3], [0.4, 0.4])
    assert np.isnan(found.odds[3])
    assert found.models == ("0", "1", "2", "3")


def test_more_measurements_make_it_surer():
    rng = np.random.default_rng(0)
    level = rng.uniform(0.3, 0.9, (3, 8))
    labels = np.repeat([0, 1, 2], 5)
    known = level[labels] + rng.normal(0, 0.05, (15, 8))
    new = level[1] + rng.normal(0, 0.05, 8)
    rows = np.array([[v if j < n else NAN for j, v in enumerate(new)] for n in (2, 4, 8)])
    found = assign(rows, known, labels)
    assert found.cluster.tolist() == [1, 1, 1]
    assert np.all(np.diff(found.probabilities[:, 1]) > 0)


def test_noise_is_a_floor_under_the_spread():
    sharp = assign(np.array([[0.7, 0.3]]), PAIRS, TWO)
    blunt = assign(np.array([[0.7, 0.3]]), PAIRS, TWO, noise=np.array([0.2, 0.2]))
    assert sharp.cluster[0] == -1
    assert blunt.cluster[0] == 5
    none = assign(np.array([[0.7, 0.3]]), PAIRS, TWO, noise=np.full(2, NAN))
    np.testing.assert_array_equal(none.probabilities, sharp.probabilities)


def test_singletons_and_twins_and_gaps_give_numbers():
    everyone_alone = assign(PAIRS[:2], PAIRS, np.arange(4))
    assert np.isfinite(everyone_alone.probabilities).all()
    twins = assign(np.array([[0.5, 0.5]]), np.full((3, 2), 0.5), np.zeros(3, int))
    assert twins.cluster[0] == 0
    one = assign(np.array([[0.5, NAN]]), np.array([[0.4, NAN]]), np.zeros(1, int))
    assert np.isfinite(one.odds[0])
    gaps = PAIRS.copy()
    gaps[0, 0] = gaps[2, 1] = NAN
    assert (
        assign(np.array([[0.21, 0.79, 0.5]]), np.column_stack([gaps, [NAN] * 4]), TWO).cluster[0]
        == 2
    )


def test_assign_doesnt_depend_on_any_order():
    rng = np.random.default_rng(3)
    known = rng.uniform(size=(12, 5))
    known[rng.uniform(size=known.shape) < 0.2] = NAN
    labels, new = rng.integers(0, 4, 12), rng.uniform(size=(6, 5))
    found = assign(new, known, labels)
    rows, columns, models = rng.permutation(12), rng.permutation(5), rng.permutation(6)
    other = assign(new[models][:, columns], known[rows][:, columns], labels[rows])
    np.testing.assert_allclose(other.probabilities, found.probabilities[models], atol=1e-12)
    np.testing.assert_array_equal(other.cluster, found.cluster[models])
    # one at a time is the same as all at once
    alone = [assign(new[i : i + 1], known, labels).probabilities[0] for i in range(6)]
    np.testing.assert_allclose(alone, found.probabilities, atol=1e-12)
    # another zero doesn't matter
    shifted = assign(new + 1000, known + 1000, labels)
    np.testing.assert_allclose(shifted.probabilities, found.probabilities, atol=1e-6)


def test_assign_refuses_what_doesnt_fit():
    with pytest.raises(ValueError, match="share benchmarks"):
        assign(np.zeros((1, 3)), PAIRS, TWO)
    with pytest.raises(ValueError, match="labels"):
        assign(np.zeros((1, 2)), PAIRS, TWO[:2])
    with pytest.raises(ValueError, match="labels"):
        assign(np.zeros((1, 2)), np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(ValueError, match="names"):
        assign(np.zeros((1, 2)), PAIRS, TWO, models=("a", "b"))


def test_the_models_that_a_clustering_doesnt_know():
    matrix = matrix_of([[0.91, NAN], *PAIRS, [0.19, NAN]], models="nabcdm")
    found = assign_new(matrix, clustering(TWO))
    assert found.models == ("n", "m")
    assert found.cluster.tolist() == [5, 2]
    rest = assign_new(matrix_of(PAIRS), clustering(TWO))
    assert rest.models == ()
    assert rest.probabilities.shape == (0, 2)


def test_seed_noise_is_in_skill():
    matrix = matrix_of(PAIRS, spread=0.03, baselines=0.5)
    np.testing.assert_allclose(seed_noise(matrix), 0.06)
    np.testing.assert_allclose(seed_noise(matrix, raw=True), 0.03)
    assert np.isnan(seed_noise(matrix_of(PAIRS))).all()


@pytest.mark.parametrize(("anchors", "least"), [(1, 0.3), (5, 0.6), (10, 0.95)])
def test_models_of_the_shipped_record_find_home(anchors, least):
    """Each in turn unknown, measured on benchmarks drawn at random; clusters of three or more."""
    from hf_select.pipeline import open_results

    matrix = open_results("demo").matrix("image-classification")
    found = cluster_models(matrix)
    skill, noise = matrix.skill, seed_noise(matrix)
    rng, right = np.random.default_rng(0), []
    for cluster, members in found.groups.items():
        for i in members * 5 if len(members) >= 3 else []:
            rest = np.arange(len(skill)) != i
            columns = rng.permutation(skill.shape[1])[:anchors]
            row = np.full((1, skill.shape[1]), NAN)
            row[0, columns] = skill[i, columns]
            one = assign(row, skill[rest], found.labels[rest], noise=noise)
            right.append(one.cluster[0] == cluster)
    assert np.mean(right) >= least


# --------------------------------------------------------------------------------- stable ids


def test_stable_ids_by_hand():
    old = clustering([4, 4, 4, 1, 1, 7], "abcdef")
    new = clustering([0, 0, 1, 1, 1, 2, 3, 3], "abcdegxy", {0: 1, 1: 2, 3: 6})
    found = stable_ids(new, old)
    # a, b keep 4; c moves to d's and e's 1; g and the pair x, y are new clusters, the pair first
    assert found.clustering.labels.tolist() == [4, 4, 1, 1, 1, 9, 8, 8]
    assert found.clustering.representatives == {1: 2, 4: 1, 8: 6}
    assert found.clustering.models == new.models
    rand = adjusted_rand_score([4, 4, 4, 1, 1], [4, 4, 1, 1, 1])
    assert found.drift == Drift(5, 1, 0.2, pytest.approx(rand), 3, 1, 2, 1)


def test_the_same_groups_keep_their_ids_whatever_they_are_called():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 26)
    old = clustering(labels * 3 + 2)
    order = rng.permutation(26)
    new = clustering(rng.permutation(6)[labels[order]], [old.models[i] for i in order])
    found = stable_ids(new, old)
    np.testing.assert_array_equal(found.clustering.labels, old.labels[order])
    assert (found.drift.changed, found.drift.share, found.drift.rand) == (0, 0, 1)
    assert (found.drift.opened, found.drift.closed) == (0, 0)


def test_a_split_leaves_the_id_to_the_larger_part_and_a_union_to_the_larger_one():
    split = stable_ids(clustering([0, 0, 1, 1, 1]), clustering([3] * 5))
    assert split.clustering.labels.tolist() == [4, 4, 3, 3, 3]
    union = stable_ids(clustering([0] * 5), clustering([8, 8, 9, 9, 9]))
    assert union.clustering.labels.tolist() == [9] * 5
    assert union.drift.closed == 1


def test_of_two_equal_overlaps_the_more_similar_cluster_counts():
    old = clustering([0, 0, 0, 0, 1, 1, 1], "abcdefg")
    new = clustering([0, 0, 0, 0], "abef")  # two of each: half of 0, two thirds of 1
    assert set(stable_ids(new, old).clustering.labels.tolist()) == {1}


def test_the_pairing_is_the_best_there_is():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one, two = rng.integers(0, 9, 26), rng.integers(0, 7, 26)
        found = stable_ids(clustering(one), clustering(two))
        table = np.zeros((9, 7))
        np.add.at(table, (one, two), 1)
        best = table[linear_sum_assignment(table, maximize=True)].sum()
        assert found.drift.common - found.drift.changed == best
        assert found.drift.rand == pytest.approx(adjusted_rand_score(one, two))
        ids = found.clustering.sizes
        assert len(ids) == len(np.unique(one))
        assert sum(i > two.max() for i in ids) == found.drift.opened


def test_without_a_common_model_all_ids_are_new():
    found = stable_ids(clustering([0, 0, 1], "abc"), clustering([3, 5], "xy"))
    assert found.clustering.labels.tolist() == [6, 6, 7]
    assert np.isnan([found.drift.share, found.drift.rand]).all()
    assert (found.drift.new, found.drift.gone, found.drift.opened, found.drift.closed) == (
        3,
        2,
        2,
        2,
    )


def test_many_clusters_are_paired_in_little_time():
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(60_000)]
    labels = rng.integers(0, 30_000, len(names))
    labels = np.unique(labels, return_inverse=True)[1]
    moved = labels.copy()
    moved[:300] = labels[rng.permutation(300)]
    found = stable_ids(clustering(moved, names), clustering(labels, names))
    assert found.drift.changed <= 300


def test_cluster_models_keeps_the_ids_of_an_old_clustering():
    matrix = matrix_of([*PAIRS, [0.21, 0.79]])
    fresh = cluster_models(matrix, threshold=0.1)
    assert fresh.labels.tolist() == [1, 1, 0, 0, 0]  # the biggest first
    found = cluster_models(matrix, clustering(TWO), threshold=0.1)
    assert found.labels.tolist() == [5, 5, 2, 2, 2]
    assert list(found.sizes.items()) == [(2, 3), (5, 2)]
    assert found.groups == {2: [2, 3, 4], 5: [0, 1]}
    assert found.representatives == {2: 2, 5: 0}
