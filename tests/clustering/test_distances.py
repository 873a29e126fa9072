import numpy as np
import pytest

from hf_select.clustering.distances import paper_distance, paper_distance_to

NAN = np.nan
FIVE = np.array(
    [
        [0.9, 0.8, 0.7, 0.6],
        [0.8, 0.8, 0.7, 0.6],
        [0.5, 0.4, 0.9, 0.3],
        [0.5, 0.4, 0.8, 0.1],
        [0.1, 0.9, 0.1, 0.9],
    ]
)


def slow_distance(scores, k):
    """Pair by pair, as the paper words it."""
    out = np.zeros((len(scores), len(scores)))
    for i, a in enumerate(scores):
        for j, b in enumerate(scores):
            gaps = sorted(abs(x - y) for x, y in zip(a, b, strict=True) if abs(x - y) >= 0)[-k:]
            out[i, j] = 0 if i == j else np.mean(gaps)
    return out


def test_hand_worked():
    expected = [
        [0, 0.05, 0.40, 0.45, 0.70],
        [0.05, 0, 0.35, 0.45, 0.65],
        [0.40, 0.35, 0, 0.15, 0.70],
        [0.45, 0.45, 0.15, 0, 0.75],
        [0.70, 0.65, 0.70, 0.75, 0],
    ]
    np.testing.assert_allclose(paper_distance(FIVE, k=2), expected, atol=1e-12)


def test_fewer_benchmarks_than_k_is_the_mean_over_all():
    assert paper_distance(FIVE, k=5)[0, 2] == pytest.approx((0.4 + 0.4 + 0.2 + 0.3) / 4)


@pytest.mark.parametrize("k", [1, 3, 5, 40])
def test_agrees_with_the_pairwise_definition(k):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 12))
    scores[:, 1:][rng.uniform(size=(40, 11)) < 0.4] = NAN
    np.testing.assert_allclose(paper_distance(scores, k=k), slow_distance(scores, k), atol=1e-12)


def test_only_common_benchmarks_count():
    scores = np.array([[0.9, NAN, 0.5, 0.2], [0.4, 0.1, NAN, 0.1]])
    assert paper_distance(scores, k=1)[0, 1] == pytest.approx(0.5)
    assert paper_distance(scores, k=5)[0, 1] == pytest.approx((0.5 + 0.1) / 2)


def test_no_common_benchmark_is_as_far_as_the_farthest_pair():
    scores = np.array([[0.9, NAN], [0.4, NAN], [NAN, 0.5], [0.8, 0.5]])
    distance = paper_distance(scores)
    assert distance[0, 2] == distance[1, 2] == pytest.approx(0.5)
    assert distance[2, 3] == 0
    nothing = paper_distance(np.array([[0.9, NAN], [NAN, 0.5]]))
    np.testing.assert_array_equal(nothing, [[0, 1], [1, 0]])


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(2)
    scores = rng.uniform(size=(57, 7))
    scores[3, 2:] = NAN
    whole = paper_distance(scores)
    monkeypatch.setattr("hf_select.clustering.distances.BLOCK", 100)
    np.testing.assert_array_equal(paper_distance(scores), whole)


def test_symmetric_and_order_free():
    rng = np.random.default_rng(3)
    scores = rng.uniform(size=(20, 9))
    rows, columns = rng.permutation(20), rng.permutation(9)
    distance = paper_distance(scores)
    np.testing.assert_array_equal(distance, distance.T)
    np.testing.assert_array_equal(np.diag(distance), np.zeros(20))
    shuffled = paper_distance(scores[rows][:, columns])
    np.testing.assert_allclose(shuffled, distance[np.ix_(rows, rows)], atol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be"):
        paper_distance(FIVE, k=0)
    with pytest.raises(ValueError, match="must be"):
        paper_distance(FIVE[0])
    assert paper_distance(np.empty((3, 0))).shape == (3, 3)


def test_distances_to_some_are_those_of_all():
    rng = np.random.default_rng(8)
    scores = rng.uniform(size=(30, 7))
    scores[rng.uniform(size=scores.shape) < 0.15] = np.nan
    whole = paper_distance(scores, k=3)
    rows, columns = rng.permutation(30)[:12], rng.permutation(30)[:9]
    some = paper_distance_to(scores[rows], scores[columns], k=3)
    np.testing.assert_allclose(some, whole[np.ix_(rows, columns)], atol=1e-12)


def test_distances_to_models_without_a_common_benchmark():
    scores = np.array([[0.5, np.nan], [0.1, np.nan], [np.nan, 0.3]])
    np.testing.assert_allclose(paper_distance_to(scores[:1], scores, k=1), [[0, 0.4, 0.4]])
    np.testing.assert_allclose(paper_distance_to(scores[:1], scores[2:], k=1), [[1]])
    with pytest.raises(ValueError, match="share benchmarks"):
        paper_distance_to(scores, scores[:, :1])
