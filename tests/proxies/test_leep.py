import numpy as np
import pytest

from hf_select.proxies.leep import leep

HAND = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
LABELS = np.array([0, 0, 1, 1])


def slow_leep(probs, labels):
    """Row by row, as the paper words it."""
    total = 0.0
    for theta, y in zip(probs, labels, strict=True):
        expected = 0.0
        for z in range(probs.shape[1]):
            marginal = sum(p[z] for p in probs)
            joint = sum(p[z] for p, label in zip(probs, labels, strict=True) if label == y)
            expected += joint / marginal * theta[z]
        total += np.log(expected)
    return total / len(probs)


def test_hand_worked():
    # P(y=0|z) = (7/9, 3/11), P(y=1|z) = (2/9, 8/11); the rows give 67/99, 57/99, 57/99, 67/99.
    expected = (np.log(67 / 99) + np.log(57 / 99)) / 2
    assert leep(HAND, LABELS) == pytest.approx(expected, abs=1e-12)


def test_agrees_with_the_definition():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(6), 50), rng.integers(0, 4, 50)
    assert leep(probs, labels) == pytest.approx(slow_leep(probs, labels), abs=1e-12)


def test_perfect_and_uninformative_heads():
    labels = np.array([0, 1, 2, 0])
    assert leep(np.eye(4)[[1, 0, 3, 1]], labels) == 0
    uniform = np.full((4, 5), 0.2)
    assert leep(uniform, labels) == pytest.approx((2 * np.log(0.5) + 2 * np.log(0.25)) / 4)


def test_invariances():
    rng = np.random.default_rng(1)
    probs, labels = rng.dirichlet(np.ones(5), 60), rng.integers(0, 3, 60)
    score, order = leep(probs, labels), rng.permutation(60)
    assert leep(probs[order], labels[order]) == pytest.approx(score, abs=1e-12)
    assert leep(probs[:, [3, 1, 0, 4, 2]], labels) == pytest.approx(score, abs=1e-12)
    assert leep(probs, np.array(["b", "c", "a"])[labels]) == pytest.approx(score, abs=1e-12)
    assert leep(np.repeat(probs, 2, 0), np.repeat(labels, 2)) == pytest.approx(score, abs=1e-12)
    unused = np.column_stack([probs, np.zeros(60)])
    assert leep(unused, labels) == pytest.approx(score, abs=1e-12)
    assert leep(probs.astype(np.float16), labels) == pytest.approx(score, abs=1e-3)


def test_undefined_and_refused():
    assert np.isnan(leep(np.empty((0, 3)), np.empty(0)))
    assert np.isnan(leep(np.full((2, 2), np.nan), np.array([0, 1])))
    with pytest.raises(ValueError, match="probabilities"):
        leep(np.array([[2.0, -1.0], [0.5, 0.5]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="probabilities"):
        leep(np.array([[3.0, 1.0], [0.5, 0.5]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="must be"):
        leep(HAND, np.array([0, 1]))
