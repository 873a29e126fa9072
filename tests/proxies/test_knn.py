from importlib import import_module

import numpy as np
import pytest

from hf_select.proxies.knn import knn


def informative(rows, width, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    x = rng.normal(size=(rows, width)) + 0.5 * rng.normal(size=(classes, width))[labels]
    return x.astype(np.float32).astype(float), labels


def one_by_one(x, labels, k, regression=False):
    """Row by row; equals share votes and answers."""
    total, right = 0.0, 0.0
    for i in range(len(x)):
        rest = np.delete(np.arange(len(x)), i)
        apart = ((x[rest] - x[i]) ** 2).sum(axis=1)
        kth = np.sort(apart)[k - 1]
        votes = (apart < kth - 1e-9).astype(float)
        tied = np.abs(apart - kth) <= 1e-9
        votes[tied] = (k - votes.sum()) / tied.sum()
        if regression:
            total += (labels[i] - (votes * labels[rest]).sum() / k) ** 2
        else:
            count = {c: votes[labels[rest] == c].sum() for c in np.unique(labels)}
            most = [c for c in count if count[c] > max(count.values()) - 1e-9]
            right += (labels[i] in most) / len(most)
    if regression:
        return 1 - total / ((labels - labels.mean()) ** 2).sum()
    return right / len(x)


def test_hand_worked():
    line = np.array([[0.0], [1.0], [10.0], [11.0]])
    assert knn(line, np.array([0, 0, 1, 1]), k=1) == 1
    assert knn(line, np.array([0, 1, 0, 1]), k=1) == 0
    # Predicted 2, 0, 6, 4 for 0, 2, 4, 6: 1 - 16/20.
    assert knn(line, np.array([0.0, 2.0, 4.0, 6.0]), k=1, regression=True) == pytest.approx(0.2)


def test_equals_share():
    # The row in the middle is as far from an "a" as from a "b": half right. 0, 1/2 and 1.
    assert knn(np.array([[-1.0], [0.0], [1.0]]), np.array(list("abb")), k=1) == pytest.approx(0.5)


@pytest.mark.parametrize("k", [1, 3, 5, 24])
@pytest.mark.parametrize("width", [1, 4, 60])
def test_agrees_row_by_row(width, k):
    x, labels = informative(25, width)
    x[3] = x[17]
    assert knn(x, labels, k=k) == pytest.approx(one_by_one(x, labels, k), abs=1e-12)
    numbers = x[:, 0] + labels
    expected = one_by_one(x, numbers, k, regression=True)
    assert knn(x, numbers, k=k, regression=True) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rows", [699, 720])
def test_many_rows(rows):
    x, labels = informative(rows, 3)
    assert knn(x, labels) == pytest.approx(one_by_one(x, labels, 5), abs=1e-12)


@pytest.mark.parametrize("kinds", [3, 40])
def test_many_equal_rows(kinds):
    x, labels = informative(120, 5)
    x = x[np.arange(120) % kinds] + 1 / 3
    expected = one_by_one(x, labels, 5)
    assert knn(x, labels) == pytest.approx(expected, abs=1e-12)
    order = np.random.default_rng(0).permutation(120)
    assert knn(x[order], labels[order]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("far", [1e4, 1e6])
def test_a_row_far_out_blinds_nobody(far):
    x, labels = informative(60, 5)
    x[0] *= far
    assert knn(x, labels) == pytest.approx(one_by_one(x, labels, 5), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_scale_is_of_no_consequence(scale):
    x, labels = informative(60, 5)
    assert knn(x * scale, labels) == knn(x, labels)


def test_blocks_change_nothing(monkeypatch):
    x, labels = informative(60, 5)
    whole = knn(x, labels)
    monkeypatch.setattr(import_module("hf_select.proxies.knn"), "BLOCK", 400)
    assert knn(x, labels) == pytest.approx(whole, abs=1e-12)


def test_agrees_with_scikit_learn():
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    x, labels = informative(80, 6, classes=2)  # two classes, three votes: nothing is a tie
    expected = cross_val_score(KNeighborsClassifier(3), x, labels, cv=LeaveOneOut()).mean()
    assert knn(x, labels, k=3) == pytest.approx(expected)


def test_agrees_with_transformer_ranker():
    # NearestNeighbors(k=1).fit of transformer-ranker 0.2.0 on the same numbers. With one vote there
    # are no equals, which it gives to the smaller label; for two classes it gives their F1.
    assert knn(*informative(300, 20, seed=3), k=1) == pytest.approx(RANKER, abs=1e-6)


RANKER = 0.7799999713897705


def test_fewer_rows_than_neighbours():
    x = np.array([[0.0], [1.0], [5.0]])
    assert knn(x, np.array([0, 0, 1]), k=50) == knn(x, np.array([0, 0, 1]), k=2)


def test_undefined_and_refused():
    assert np.isnan(knn(np.eye(1), np.zeros(1)))
    assert np.isnan(knn(np.eye(4), np.zeros(4)))
    assert np.isnan(knn(np.eye(4), np.ones(4), regression=True))
    assert np.isnan(knn(np.eye(2), np.array([np.nan, 1]), regression=True))
    assert np.isnan(knn(np.full((2, 2), np.nan), np.array([0, 1])))
    assert np.isnan(knn(np.empty((2, 0)), np.array([0, 1])))
    with pytest.raises(ValueError, match="must be positive"):
        knn(np.ones((3, 2)), np.arange(3), k=0)
    with pytest.raises(ValueError, match="must be"):
        knn(np.ones((3, 2)), np.array([0, 1]))
