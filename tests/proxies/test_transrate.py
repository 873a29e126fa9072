import numpy as np
import pytest

from hf_select.proxies.transrate import transrate


def literal(x, labels, eps):
    """Equation by equation: log det of d x d matrices, classes by their share of the rows."""

    def rate(z):
        return 0.5 * np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * eps))[1]

    x = x - x.mean(axis=0)
    parts = [x[labels == c] for c in np.unique(labels)]
    return rate(x) - sum(len(z) / len(x) * rate(z) for z in parts)


def test_hand_worked():
    # Centred: 3, -1, -1, -1. log(1 + 12/4) / 2, less 1/4 log(1 + 9) / 2 and 3/4 log(1 + 1) / 2.
    x, labels = np.array([[7.0], [3.0], [3.0], [3.0]]), np.array([0, 1, 1, 1])
    expected = (np.log(4) - np.log(10) / 4 - 3 * np.log(2) / 4) / 2
    assert transrate(x, labels, eps=1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("eps", [1e-4, 0.1])
@pytest.mark.parametrize(("rows", "width"), [(80, 6), (40, 15), (20, 50)])
def test_agrees_with_the_definition(rows, width, eps):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, rows)
    x = rng.normal(size=(rows, width)) + rng.normal(size=(3, width))[labels]
    assert transrate(x, labels, eps=eps) == pytest.approx(literal(x, labels, eps), rel=1e-8)


def test_balanced_classes_give_the_published_listing():
    # The listing in the paper divides by the number of classes: the same where they are balanced.
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    z = x - x.mean(axis=0)
    rates = [
        0.5 * np.linalg.slogdet(np.eye(5) + part.T @ part / (len(part) * 1e-4))[1]
        for part in (z, *(z[labels == c] for c in range(3)))
    ]
    assert transrate(x, labels) == pytest.approx(rates[0] - sum(rates[1:]) / 3, abs=1e-9)


def test_undefined_and_refused():
    assert transrate(np.ones((4, 3)), np.array([0, 0, 1, 1])) == 0
    assert np.isnan(transrate(np.eye(4), np.zeros(4)))
    assert np.isnan(transrate(np.full((2, 2), np.inf), np.array([0, 1])))
    assert np.isnan(transrate(np.empty((2, 0)), np.array([0, 1])))
    with pytest.raises(ValueError, match="must be"):
        transrate(np.ones((3, 2)), np.array([0, 1]))
