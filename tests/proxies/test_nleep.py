from importlib import import_module

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from hf_select.proxies.nleep import FLOOR, nleep, partition, posteriors


def blobs(rows, width=3, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 4, rows)
    return 2 * rng.normal(size=(4, width))[places] + spread * rng.normal(size=(rows, width)), places


def literal(x, labels):
    """Loops over rows, components and classes; the start is the library's own partition."""
    rows, classes = len(x), len(np.unique(labels))
    x = x - x.mean(axis=0)
    _, s, axes = np.linalg.svd(x, full_matrices=False)
    held = next(h for h in range(1, len(s) + 1) if (s[:h] ** 2).sum() >= 0.8 * (s**2).sum())
    x = x @ axes[:held].T
    x = x / np.sqrt((x**2).mean())
    groups = partition(x, min(5 * classes, rows // 4))
    components = groups.max() + 1
    share = np.array([[float(g == v) for v in range(components)] for g in groups])
    last = -np.inf
    for _ in range(100):
        density = np.empty((rows, components))
        for v in range(components):
            mean = sum(share[i, v] * x[i] for i in range(rows)) / share[:, v].sum()
            variance = sum(share[i, v] * (x[i] - mean) ** 2 for i in range(rows))
            variance = variance / share[:, v].sum() + FLOOR
            normal = multivariate_normal(mean, np.diag(variance))
            density[:, v] = share[:, v].mean() * normal.pdf(x)
        share = density / density.sum(axis=1, keepdims=True)
        likelihood = np.log(density.sum(axis=1)).mean()
        if abs(likelihood - last) < 1e-3:
            break
        last = likelihood
    total = 0.0
    for i in range(rows):
        expected = 0.0
        for v in range(components):
            of_class = sum(share[j, v] for j in range(rows) if labels[j] == labels[i])
            expected += of_class / share[:, v].sum() * share[i, v]
        total += np.log(expected)
    return total / rows


def test_hand_worked():
    # Two heaps far apart are the two components (8 rows / 4); one is pure, the other half and half.
    x = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [9.2], [9.3]])
    labels = np.array([0, 0, 0, 0, 0, 1, 0, 1])
    assert nleep(x, labels) == pytest.approx(np.log(0.5) / 2, abs=1e-9)
    assert nleep(x, np.repeat([0, 1], 4)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("rows", "width"), [(60, 3), (40, 8), (24, 40)])
def test_agrees_with_the_definition(rows, width):
    x, labels = blobs(rows, width, spread=1.0)
    assert nleep(x, labels) == pytest.approx(literal(x, labels), abs=1e-7)


def test_em_agrees_with_scikit_learn(monkeypatch):
    from sklearn.mixture import GaussianMixture

    x, places = blobs(200, spread=1.2)
    share = np.eye(4)[places]
    weights, means = share.mean(axis=0), (share.T @ x) / share.sum(axis=0)[:, None]
    variances = (share.T @ x**2) / share.sum(axis=0)[:, None] - means**2 + FLOOR
    mixture = GaussianMixture(
        4,
        covariance_type="diag",
        tol=1e-10,
        max_iter=5000,
        weights_init=weights,
        means_init=means,
        precisions_init=1 / variances,
    ).fit(x)
    monkeypatch.setattr(import_module("hf_select.proxies.nleep"), "TOLERANCE", 1e-10)
    monkeypatch.setattr(import_module("hf_select.proxies.nleep"), "STEPS", 5000)
    found = posteriors(x, places)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, mixture.predict_proba(x), atol=1e-4)


def test_partition_splits_the_widest_at_its_mean():
    x = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [10.0, 3.0]])
    assert partition(x, 1).tolist() == [0, 0, 0, 0]
    assert partition(x, 2).tolist() == [0, 0, 1, 1]
    assert partition(x, 3).tolist() == [0, 0, 1, 2]
    assert partition(x, 9).tolist() == [0, 3, 1, 2]
    assert partition(np.ones((4, 2)), 3).tolist() == [0, 0, 0, 0]


def test_structure_scores_higher_than_none():
    x, places = blobs(200)
    rng = np.random.default_rng(5)
    assert nleep(x, places) > nleep(x, rng.permutation(places)) + 0.3
    assert nleep(x, places) <= 0


def test_undefined_and_refused():
    labels = np.array([0, 0, 1, 1])
    assert nleep(np.ones((4, 3)), labels) == pytest.approx(np.log(0.5))
    assert np.isfinite(nleep(np.eye(2), np.array([0, 1])))
    assert np.isnan(nleep(np.eye(4), np.zeros(4)))
    assert np.isnan(nleep(np.full((4, 3), np.inf), labels))
    assert np.isnan(nleep(np.empty((4, 0)), labels))
    with pytest.raises(ValueError, match="must be"):
        nleep(np.ones((3, 2)), np.array([0, 1]))
