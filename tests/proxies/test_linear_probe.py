from importlib import import_module

import numpy as np
import pytest

from hf_select.proxies.linear_probe import RIDGES, linear_probe


def informative(rows, width, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    return rng.normal(size=(rows, width)) + 0.8 * rng.normal(size=(classes, width))[labels], labels


def refitted(x, targets):
    """Leave-one-out predictions by as many fits as there are rows, for the best ridge strength."""
    x, mean = x - x.mean(axis=0), targets.mean(axis=0)
    targets = targets - mean
    values = np.linalg.svd(x, compute_uv=False) ** 2
    unit = values[values > 1e-9].mean()
    found = []
    for ridge in RIDGES * unit:
        predicted = np.empty_like(targets)
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            precision = x[rest].T @ x[rest] + ridge * np.eye(x.shape[1])
            predicted[i] = x[i] @ np.linalg.solve(precision, x[rest].T @ targets[rest])
        found.append(predicted)
    return mean + min(found, key=lambda p: ((p - targets) ** 2).sum())


def test_hand_worked_numbers():
    # x = y = -1, 0, 1; the least ridge strength is best: w = 1 / (1 + 1e-4), the leverage of the
    # outer rows is w / 2, and what their own fit leaves of them is (1 - w) / (1 - w / 2).
    x = np.array([-1.0, 0.0, 1.0])
    w = 1 / (1 + 1e-4)
    expected = 1 - ((1 - w) / (1 - w / 2)) ** 2
    assert linear_probe(x[:, None], x, regression=True) == pytest.approx(expected, abs=1e-12)


def test_hand_worked_classes():
    # Four of five are on the right side; the largest class has three: (4/5 - 3/5) / (1 - 3/5).
    x, labels = np.array([[-3.0], [-2.0], [2.0], [3.0], [2.5]]), np.array([0, 0, 1, 1, 0])
    assert linear_probe(x, labels) == pytest.approx(0.5)


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (25, 25), (20, 45)])
def test_agrees_with_a_fit_per_row(rows, width):
    x, labels = informative(rows, width)
    targets = (labels[:, None] == np.unique(labels)).astype(float)
    accuracy = (refitted(x, targets).argmax(axis=1) == labels).mean()
    majority = targets.mean(axis=0).max()
    expected = (accuracy - majority) / (1 - majority)
    assert linear_probe(x, labels) == pytest.approx(expected, abs=1e-12)
    numbers = x[:, 0] + np.random.default_rng(1).normal(size=rows)
    error = ((refitted(x, numbers[:, None])[:, 0] - numbers) ** 2).sum()
    expected = 1 - error / ((numbers - numbers.mean()) ** 2).sum()
    assert linear_probe(x, numbers, regression=True) == pytest.approx(expected, abs=1e-8)


def test_noise_is_near_0_and_signal_near_1():
    rng = np.random.default_rng(0)
    labels, noise = np.arange(300) % 3, rng.normal(size=(300, 10))
    assert abs(linear_probe(noise, labels)) < 0.12
    assert linear_probe(noise + 9 * np.eye(3, 10)[labels], labels) == 1
    assert abs(linear_probe(noise, rng.normal(size=300), regression=True)) < 0.05


def test_blocks_change_nothing(monkeypatch):
    x, labels = informative(40, 6)
    whole = linear_probe(x, labels)
    monkeypatch.setattr(import_module("hf_select.proxies.linear_probe"), "BLOCK", 20)
    assert linear_probe(x, labels) == whole


def test_constant_features_are_the_trivial_predictor():
    for labels in ([0, 0, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]):
        assert linear_probe(np.ones((4, 2)), np.array(labels)) == pytest.approx(0)
    numbers = np.array([1.0, 2.0, 4.0, 8.0])
    assert linear_probe(np.ones((4, 2)), numbers, regression=True) == 0


def test_undefined_and_refused():
    assert np.isnan(linear_probe(np.eye(4), np.zeros(4)))
    assert np.isnan(linear_probe(np.eye(4), np.ones(4), regression=True))
    assert np.isnan(linear_probe(np.eye(2), np.array([np.inf, 1]), regression=True))
    assert np.isnan(linear_probe(np.full((2, 2), np.nan), np.array([0, 1])))
    assert np.isnan(linear_probe(np.empty((2, 0)), np.array([0, 1])))
    with pytest.raises(ValueError, match="must be"):
        linear_probe(np.ones((3, 2)), np.array([0, 1]))
