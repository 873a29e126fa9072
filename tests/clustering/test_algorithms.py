from pathlib import Path

import numpy as np
import pytest

from hf_select.clustering.algorithms import CLUSTERERS, cluster_models, paper_silhouette
from hf_select.clustering.scores import benchmark_means, performance
from hf_select.errors import InputError, UnknownNameError
from hf_select.records import PerformanceMatrix

NAN = np.nan
PAPER = Path(__file__).parents[2].parent / "shared" / "data" / "paper"

# Distances with k = 2, worked by hand in test_distances: ab .05, cd .15, all others .35 or more.
FIVE = [
    [0.9, 0.8, 0.7, 0.6],
    [0.8, 0.8, 0.7, 0.6],
    [0.5, 0.4, 0.9, 0.3],
    [0.5, 0.4, 0.8, 0.1],
    [0.1, 0.9, 0.1, 0.9],
]


def matrix_of(scores, models=None, metrics=None, baselines=None):
    scores = np.array(scores, dtype=float)
    rows, columns = scores.shape
    return PerformanceMatrix(
        scores=scores,
        spread=np.full(scores.shape, NAN),
        models=tuple(models or "abcdefghijklmnopqrstuvwxyz"[:rows]),
        datasets=tuple(f"set{j}" for j in range(columns)),
        metrics=tuple(metrics or ["accuracy"] * columns),
        baselines=np.array(baselines if baselines is not None else [NAN] * columns, dtype=float),
    )


def named(clustering):
    """Clusters as sets of names, in the order of their ids."""
    ids = range(int(clustering.labels.max()) + 1)
    return [{clustering.models[i] for i in clustering.members(c)} for c in ids]


def paper_matrix(kind):
    """First line model names, then one line of scores a dataset, all separated by tabs."""
    if not PAPER.is_dir():
        pytest.skip("the paper's matrices are not here")
    lines = (PAPER / f"{kind}_matrix.txt").read_text().rstrip("\n").split("\n")
    scores = np.array([[float(x) for x in line.split("\t")] for line in lines[1:]]).T
    metrics = ["matthews_correlation"] * scores.shape[1]  # one text score is negative
    return matrix_of(scores, models=lines[0].split("\t"), metrics=metrics)


# --------------------------------------------------------------------------------- by hand


def test_hand_worked():
    found = cluster_models(matrix_of(FIVE), threshold=0.2, k=2)
    assert named(found) == [{"a", "b"}, {"c", "d"}, {"e"}]
    assert found.representatives == {0: 0, 1: 2}  # means .75 > .725 and .525 > .45
    # s(a) = 1 - .05/(1.55/3), s(b) = 1 - .05/(1.45/3), s(c) = 1 - .15/(1.45/3), s(d) = 1 - .15/.55
    assert found.silhouette == pytest.approx(0.804176, abs=1e-6)
    assert (found.algorithm, found.threshold) == ("average", 0.2)


def test_threshold_is_inclusive():
    assert named(cluster_models(matrix_of(FIVE), threshold=0.15, k=2))[1] == {"c", "d"}
    assert len(named(cluster_models(matrix_of(FIVE), threshold=0.149, k=2))) == 4
    assert len(named(cluster_models(matrix_of(FIVE), threshold=0.4125, k=2))) == 2
    assert len(named(cluster_models(matrix_of(FIVE), threshold=0.0, k=2))) == 5


def test_chosen_threshold_reproduces_the_clusters():
    found = cluster_models(matrix_of(FIVE), k=2)
    assert named(found) == [{"a", "b"}, {"c", "d"}, {"e"}]
    assert found.threshold == pytest.approx((0.15 + 0.4125) / 2)
    again = cluster_models(matrix_of(FIVE), k=2, threshold=found.threshold)
    np.testing.assert_array_equal(again.labels, found.labels)


@pytest.mark.parametrize("seed", range(12))
def test_chosen_threshold_reproduces_the_clusters_with_tied_heights(seed):
    scores = np.random.default_rng(seed).integers(0, 6, (20, 3)) / 10
    found = cluster_models(matrix_of(scores))
    again = cluster_models(matrix_of(scores), threshold=found.threshold)
    np.testing.assert_array_equal(again.labels, found.labels)


@pytest.mark.parametrize("algorithm", CLUSTERERS)
def test_number_of_clusters(algorithm):
    found = cluster_models(matrix_of(FIVE), algorithm=algorithm, n_clusters=3, k=2)
    assert named(found) == [{"a", "b"}, {"c", "d"}, {"e"}]
    assert found.representatives == {0: 0, 1: 2}


def test_kmeans_counts_clusters_by_linkage():
    found = cluster_models(matrix_of(FIVE), algorithm="kmeans", threshold=0.2, k=2)
    assert named(found) == [{"a", "b"}, {"c", "d"}, {"e"}]
    assert found.algorithm == "kmeans"
    assert found.threshold == 0.2


# ------------------------------------------------------------------------------ the paper's


@pytest.mark.parametrize(
    ("kind", "threshold", "clusters", "clustered", "single", "silhouette"),
    [("nlp", 0.09, 8, 31, 8, 0.5355), ("cv", 0.03, 5, 29, 1, 0.7777)],
)
def test_paper_parity(kind, threshold, clusters, clustered, single, silhouette):
    matrix = paper_matrix(kind)
    found = cluster_models(matrix, threshold=threshold, raw=True)
    sizes = np.bincount(found.labels)
    assert (sizes >= 2).sum() == clusters == len(found.representatives)
    assert sizes[sizes >= 2].sum() == clustered
    assert (sizes == 1).sum() == single
    assert round(found.silhouette, 4) == silhouette
    other = cluster_models(matrix, algorithm="kmeans", threshold=threshold, raw=True)
    assert named(other) != named(found)


def test_paper_counts_a_score_that_is_not_positive_as_unmeasured():
    scores = [[0.9, -0.4, 0.5], [0.9, 0.4, 0.4], [0.1, 0.3, 0.4]]
    matrix = matrix_of(scores, metrics=["matthews_correlation"] * 3, baselines=[0] * 3)
    assert cluster_models(matrix, threshold=1, k=1, raw=True).distance[0, 1] == pytest.approx(0.1)
    assert cluster_models(matrix, threshold=1, k=1).distance[0, 1] == pytest.approx(0.8)


# -------------------------------------------------------------------------------- silhouette


def test_silhouette_counts_everything_outside():
    distance = np.array([[0, 1, 4, 8], [1, 0, 4, 8], [4, 4, 0, 2], [8, 8, 2, 0]], dtype=float)
    # Both members of the pair: a = 1, b = (4 + 8) / 2 = 6. The two singletons have none.
    assert paper_silhouette(distance, np.array([0, 0, 1, 2])) == pytest.approx(5 / 6)
    # 2 and 3 as a pair: model 2 has a = 2, b = 4; model 3 has a = 2, b = 8.
    expected = (5 / 6 + 5 / 6 + 2 / 4 + 6 / 8) / 4
    assert paper_silhouette(distance, np.array([0, 0, 1, 1])) == pytest.approx(expected)
    assert paper_silhouette(distance, np.array([7, 7, 3, 3])) == pytest.approx(expected)


def test_silhouette_is_undefined_with_no_pair_or_no_outside():
    distance = np.ones((3, 3)) - np.eye(3)
    assert np.isnan(paper_silhouette(distance, np.array([0, 1, 2])))
    assert np.isnan(paper_silhouette(distance, np.array([0, 0, 0])))
    assert paper_silhouette(np.zeros((3, 3)), np.array([0, 0, 1])) == 0


# ------------------------------------------------------------------------------- what is compared


def test_skill_makes_metrics_comparable():
    # RMSE .5 of a trivial 1 is skill .5; accuracy .9 over a majority of .8 is skill .5 too.
    scores = [[0.5, 0.9], [0.6, 0.9], [1.0, 0.8]]
    matrix = matrix_of(scores, metrics=["rmse", "accuracy"], baselines=[1.0, 0.8])
    np.testing.assert_allclose(performance(matrix), [[0.5, 0.5], [0.4, 0.5], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(benchmark_means(matrix), [0.5, 0.45, 0], atol=1e-12)
    # Raw, a falling metric still enters as skill: an error can't be averaged with an accuracy.
    np.testing.assert_allclose(performance(matrix, raw=True)[:, 0], [0.5, 0.4, 0], atol=1e-12)
    np.testing.assert_allclose(performance(matrix, raw=True)[:, 1], [0.9, 0.9, 0.8])
    found = cluster_models(matrix, threshold=0.2)
    assert named(found) == [{"a", "b"}, {"c"}]
    assert found.representatives == {0: 0}  # the lower error represents


def test_means_over_what_is_measured():
    means = benchmark_means(matrix_of([[0.2, NAN], [0.4, 0.8], [NAN, NAN]]))
    np.testing.assert_allclose(means, [0.2, 0.6, NAN])


# --------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("algorithm", CLUSTERERS)
def test_order_of_models_and_benchmarks_does_not_matter(algorithm):
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 10, (24, 6)) / 10  # many ties on purpose
    scores[rng.uniform(size=scores.shape) < 0.1] = NAN
    names = [f"m{i:02d}" for i in range(24)]
    first = cluster_models(matrix_of(scores, names), algorithm=algorithm)
    for _ in range(5):
        rows = rng.permutation(24)
        moved = matrix_of(scores[rows], [names[i] for i in rows])
        again = cluster_models(moved, algorithm=algorithm)
        assert named(again) == named(first)
        assert {c: again.models[i] for c, i in again.representatives.items()} == {
            c: first.models[i] for c, i in first.representatives.items()
        }
        assert again.silhouette == pytest.approx(first.silhouette)
        if first.distance is not None:
            np.testing.assert_allclose(again.distance, first.distance[np.ix_(rows, rows)])


@pytest.mark.parametrize("algorithm", CLUSTERERS)
def test_labels_run_from_the_biggest_cluster_to_singletons(algorithm):
    scores = [[0.9], [0.1], [0.11], [0.5], [0.51], [0.52], [0.12], [0.3], [0.13]]
    found = cluster_models(matrix_of(scores), algorithm=algorithm, n_clusters=4)
    assert named(found) == [{"b", "c", "g", "i"}, {"d", "e", "f"}, {"a"}, {"h"}]
    assert set(found.representatives) == {0, 1}


def test_representative_ties_go_by_name():
    twins = matrix_of([[0.5, 0.5], [0.5, 0.5], [0.9, 0.9]], models=["z", "k", "b"])
    found = cluster_models(twins, threshold=0.1)
    assert [found.models[i] for i in found.representatives.values()] == ["k"]


def test_a_chosen_cut_never_lets_one_cluster_speak_for_nearly_all():
    rng = np.random.default_rng(0)
    crowd = 0.8 + 0.02 * rng.normal(size=(30, 8)) + 0.06 * rng.integers(0, 2, (30, 1))
    outliers = 0.2 + 0.02 * rng.normal(size=(2, 8))
    names = [f"m{i:02d}" for i in range(32)]
    found = cluster_models(matrix_of(np.vstack([crowd, outliers]), models=names))
    sizes = np.bincount(found.labels)
    assert sizes[0] <= 16
    assert (sizes >= 2).sum() >= 2


def test_best_cut_is_the_best_of_all_cuts():
    rng = np.random.default_rng(11)
    centres = rng.uniform(0.3, 0.9, (5, 6))
    scores = np.repeat(centres, 4, axis=0) + rng.normal(0, 0.01, (20, 6))
    matrix = matrix_of(scores)
    found = cluster_models(matrix)

    def worth(labels, distance):
        sizes = np.bincount(labels)
        good = (sizes >= 2).sum() >= 2 and sizes.max() <= len(labels) / 2
        share = sizes[sizes >= 2].sum() / len(labels)
        return paper_silhouette(distance, labels) * share if good else -1

    others = [cluster_models(matrix, n_clusters=n) for n in range(2, 20)]
    best = max(worth(o.labels, o.distance) for o in others)
    assert worth(found.labels, found.distance) == pytest.approx(best)


# ------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("algorithm", CLUSTERERS)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_models(algorithm, rows):
    found = cluster_models(matrix_of(FIVE[:rows]), algorithm=algorithm)
    assert len(found.labels) == rows
    assert set(found.labels) == set(range(len(set(found.labels))))


@pytest.mark.parametrize("algorithm", CLUSTERERS)
def test_twins_only(algorithm):
    found = cluster_models(matrix_of([[0.5, 0.6]] * 4), algorithm=algorithm)
    assert named(found) == [{"a", "b", "c", "d"}]
    assert np.isnan(found.silhouette)
    assert found.representatives == {0: 0}


@pytest.mark.parametrize("algorithm", CLUSTERERS)
def test_a_model_with_nothing_measured_stays_alone(algorithm):
    scores = [[0.9, 0.9], [0.88, 0.9], [0.1, 0.2], [0.12, 0.2], [NAN, NAN]]
    found = cluster_models(matrix_of(scores), threshold=0.1)
    assert named(found) == [{"a", "b"}, {"c", "d"}, {"e"}]
    cluster_models(matrix_of(scores), algorithm=algorithm)


def test_errors_without_the_trivial_predictors_say_nothing():
    """Not a table of singletons: nobody knows whether 0.9 is good."""
    errors = matrix_of(FIVE, metrics=["rmse"] * 4)
    for raw in (False, True):
        with pytest.raises(InputError, match="only 0 of 5 models") as error:
            cluster_models(errors, raw=raw)
        assert error.value.hint == (
            "rmse needs the trivial predictor's score: import it as a `baseline` column "
            "(long format)"
        )
    both = matrix_of(FIVE, metrics=["rmse", "mae", "rmse", "rmse"])
    with pytest.raises(InputError) as error:
        cluster_models(both)
    assert error.value.hint.startswith("mae and rmse need the")
    found = cluster_models(
        matrix_of(FIVE, metrics=["rmse"] * 4, baselines=[1.0] * 4), threshold=0.2
    )
    assert len(found.representatives) > 0


def test_one_model_with_a_known_scale_is_not_enough():
    scores = [[0.5, NAN], [NAN, 0.5], [NAN, 0.6]]
    mixed = matrix_of(scores, metrics=["rmse"] * 2, baselines=[1.0, NAN])
    with pytest.raises(InputError, match="only 1 of 3 models"):
        cluster_models(mixed)
    # A benchmark that everybody was measured on is enough, whatever else is unknown.
    scores = [[0.5, 0.4], [0.5, 0.5], [0.9, 0.6]]
    mixed = matrix_of(scores, metrics=["rmse"] * 2, baselines=[1.0, NAN])
    assert named(cluster_models(mixed, threshold=0.1)) == [{"a", "b"}, {"c"}]


def test_the_preset_needs_scores_above_zero():
    worse = matrix_of(FIVE, metrics=["rmse"] * 4, baselines=[0.05] * 4)
    with pytest.raises(InputError, match="only 0 of 5") as error:
        cluster_models(worse, raw=True)
    assert "above 0" in error.value.hint
    cluster_models(worse)  # worse than trivial, but by how much can be compared


def test_bad_input():
    with pytest.raises(UnknownNameError, match="kmean") as error:
        cluster_models(matrix_of(FIVE), algorithm="kmean")
    assert "average, kmeans" in error.value.hint
    with pytest.raises(InputError, match="threshold"):
        cluster_models(matrix_of(FIVE), threshold=-0.1)
    with pytest.raises(InputError, match="threshold"):
        cluster_models(matrix_of(FIVE), threshold=NAN)
    with pytest.raises(InputError, match="n_clusters"):
        cluster_models(matrix_of(FIVE), n_clusters=6)
    with pytest.raises(InputError, match="0 benchmarks"):
        cluster_models(matrix_of(np.empty((3, 0))))
