import numpy as np
import pytest

from hf_select.proxies.hscore import hscore


def informative(rows, width, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    mix = rng.normal(size=(width, width)) / np.sqrt(width)
    x = rng.normal(size=(rows, width)) @ mix + 0.6 * rng.normal(size=(classes, width))[labels]
    return x + 1, labels


def published(x, labels):
    """As Ibrahim et al. compute it: scikit-learn's Ledoit-Wolf, and an explicit inverse."""
    from sklearn.covariance import LedoitWolf

    found = LedoitWolf().fit(x)
    means = np.empty_like(x)
    for c in np.unique(labels):
        means[labels == c] = x[labels == c].mean(axis=0)
    between = (1 - found.shrinkage_) * np.cov(means, rowvar=False)
    return np.trace(np.linalg.pinv(found.covariance_, rcond=1e-15) @ np.atleast_2d(between))


def test_hand_worked():
    # One column: cov is mu I already, so nothing is shrunk. cov = 1, B = 4/3.
    x, labels = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([0, 0, 1, 1])
    assert hscore(x, labels) == pytest.approx(4 / 3, abs=1e-12)
    # Two columns; cov = diag(1, 4), mu = 5/2, far = (1 + 16) - 2 * 25/4 = 9/2, and
    # error = (4 * 25) / 16 - 17 / 4 = 2, so a = 4/9. The classes differ in the first column only:
    # B = diag(4/3, 0), and (1 - a) cov + a mu = 5/9 + 10/9 there.
    x = np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    assert hscore(x, labels) == pytest.approx((5 / 9) * (4 / 3) / (15 / 9), abs=1e-12)


@pytest.mark.parametrize(("rows", "width"), [(200, 10), (60, 60), (40, 90), (50, 1)])
def test_agrees_with_the_published_computation(rows, width):
    x, labels = informative(rows, width)
    assert hscore(x, labels) == pytest.approx(published(x, labels), rel=1e-9)


def test_agrees_with_transformer_ranker():
    # HScore().fit of transformer-ranker 0.2.0 on the same numbers.
    for shape, expected in (((300, 20), TALL), ((60, 90), WIDE)):
        assert hscore(*informative(*shape, seed=3)) == pytest.approx(expected, rel=1e-7)


TALL, WIDE = 2.4713529076200684, 2.7008991476207322


def test_invariances():
    x, labels = informative(50, 12)
    score = hscore(x, labels)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    assert hscore(1000 * x @ rotation - 7, labels) == pytest.approx(score, abs=1e-9)
    assert hscore(x, np.array(list("dbca"))[labels]) == pytest.approx(score, abs=1e-12)


def test_undefined_and_refused():
    assert hscore(np.ones((4, 3)), np.array([0, 0, 1, 1])) == 0
    assert np.isnan(hscore(np.eye(4), np.zeros(4)))
    assert np.isnan(hscore(np.full((2, 2), np.nan), np.array([0, 1])))
    assert np.isnan(hscore(np.empty((2, 0)), np.array([0, 1])))
    with pytest.raises(ValueError, match="must be"):
        hscore(np.ones((3, 2)), np.array([0, 1]))
