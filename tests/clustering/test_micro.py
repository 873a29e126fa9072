import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from hf_select.clustering import algorithms, micro
from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import InputError
from hf_select.records import PerformanceMatrix

NAN = np.nan


def matrix_of(scores, names=None):
    scores = np.asarray(scores, dtype=float)
    return PerformanceMatrix(
        scores,
        np.full(scores.shape, NAN),
        tuple(names or [f"m{i:05}" for i in range(len(scores))]),
        tuple(f"d{j}" for j in range(scores.shape[1])),
        ("accuracy",) * scores.shape[1],
        np.zeros(scores.shape[1]),
    )


def families(seed, models, count, datasets=8, missing=0.2):
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.2, 0.9, (count, datasets))
    group = rng.integers(0, count, models)
    scores = level[group] + rng.normal(0, 0.02, (models, datasets))
    scores[rng.uniform(size=scores.shape) < missing] = NAN
    return scores, group


@pytest.mark.parametrize("how", [{}, {"threshold": 0.1}, {"n_clusters": 7}])
def test_with_a_micro_cluster_a_model_it_is_average_linkage(how):
    matrix = matrix_of(families(0, 120, 9)[0])
    exact, ours = (cluster_models(matrix, algorithm=name, **how) for name in ("average", "micro"))
    np.testing.assert_array_equal(ours.labels, exact.labels)
    assert ours.threshold == pytest.approx(exact.threshold)
    assert ours.silhouette == pytest.approx(exact.silhouette)
    assert ours.representatives == exact.representatives
    assert ours.distance is None


def test_many_models_in_few_micro_clusters_come_together_again(monkeypatch):
    monkeypatch.setattr(micro, "MICRO", 150)
    monkeypatch.setattr(micro, "SAMPLE", 400)
    scores, group = families(1, 2500, 12)
    found = cluster_models(matrix_of(scores), algorithm="micro")
    exact = cluster_models(matrix_of(scores))
    assert adjusted_rand_score(group, found.labels) > 0.9
    assert adjusted_rand_score(exact.labels, found.labels) > 0.9
    assert found.silhouette == pytest.approx(exact.silhouette, abs=0.05)


def test_it_is_taken_above_the_limit_and_the_others_are_refused(monkeypatch):
    monkeypatch.setattr(algorithms, "EXACT", 50)
    matrix = matrix_of(families(2, 60, 4)[0])
    assert cluster_models(matrix).algorithm == "micro"
    assert cluster_models(matrix.only_models(list(matrix.models[:50]))).algorithm == "average"
    for name in ("average", "kmeans"):
        with pytest.raises(InputError, match="at most 50") as caught:
            cluster_models(matrix, algorithm=name)
        assert "`micro`" in caught.value.hint


def test_the_order_of_models_and_benchmarks_doesnt_matter(monkeypatch):
    monkeypatch.setattr(micro, "MICRO", 60)
    monkeypatch.setattr(micro, "SAMPLE", 200)
    scores, _ = families(3, 500, 6)
    matrix = matrix_of(scores)
    found = cluster_models(matrix, algorithm="micro")
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(500), rng.permutation(8)
    moved = PerformanceMatrix(
        scores[rows][:, columns],
        matrix.spread,
        tuple(matrix.models[i] for i in rows),
        tuple(matrix.datasets[j] for j in columns),
        matrix.metrics,
        matrix.baselines,
    )
    again = cluster_models(moved, algorithm="micro")
    np.testing.assert_array_equal(again.labels, found.labels[rows])
    assert again.silhouette == found.silhouette


def test_a_model_of_which_nothing_is_known_is_alone():
    scores, _ = families(4, 40, 3)
    scores[[3, 17]] = NAN
    found = cluster_models(matrix_of(scores), algorithm="micro")
    sizes = found.sizes
    assert [sizes[int(found.labels[i])] for i in (3, 17)] == [1, 1]
    with pytest.raises(InputError, match="must be 3 to"):
        cluster_models(matrix_of(scores), algorithm="micro", n_clusters=2)


def test_more_clusters_than_micro_clusters_are_refused(monkeypatch):
    monkeypatch.setattr(micro, "MICRO", 20)
    with pytest.raises(InputError, match="must be 1 to 20"):
        cluster_models(matrix_of(families(5, 100, 3)[0]), algorithm="micro", n_clusters=30)


def test_missing_cells_are_a_models_effect_and_a_benchmarks():
    rng = np.random.default_rng(0)
    full = 0.5 + np.add.outer(rng.normal(0, 0.1, 200), rng.normal(0, 0.1, 10))
    holes = np.where(rng.uniform(size=full.shape) < 0.3, NAN, full)
    filled = micro.fill(holes)
    np.testing.assert_array_equal(filled[np.isfinite(holes)], full[np.isfinite(holes)])
    assert np.sqrt(np.mean((filled - full)[np.isnan(holes)] ** 2)) < 0.02


def test_means_are_over_what_was_measured():
    vectors = np.array([[0.1, NAN, NAN], [0.3, 0.5, NAN], [0.9, NAN, NAN]])
    np.testing.assert_allclose(
        micro.group_means(vectors, np.array([1, 1, 0])), [[0.9, NAN, NAN], [0.2, 0.5, NAN]]
    )


@pytest.mark.slow
def test_a_hundred_thousand_models():
    scores, group = families(6, 100_000, 100, datasets=50, missing=0.3)
    found = cluster_models(matrix_of(scores))
    assert found.algorithm == "micro"
    assert adjusted_rand_score(group, found.labels) > 0.99
