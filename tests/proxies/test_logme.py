import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from hf_select.proxies.logme import logme


def informative(rows, width, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    features = rng.normal(size=(rows, width)) + 0.7 * rng.normal(size=(classes, width))[labels]
    return features, labels


def targets_of(labels):
    return [(labels == c).astype(float) for c in np.unique(labels)]


def dense_evidence(features, target):
    """Maximum over alpha and beta of log N(target; 0, I / beta + X X^T / alpha), by a search."""
    rows = len(features)
    gram = features @ features.T

    def loss(logs):
        covariance = np.eye(rows) / np.exp(logs[1]) + gram / np.exp(logs[0])
        return -multivariate_normal.logpdf(target, np.zeros(rows), covariance) / rows

    starts = [(0.0, 0.0), (3.0, 1.0), (-3.0, 3.0)]
    return -min(minimize(loss, start, method="Nelder-Mead").fun for start in starts)


def published_evidence(features, target, steps=500):
    """The algorithm as You et al. print it (MacKay's fixed point), with an explicit inverse."""
    rows, width = features.shape
    alpha = beta = 1.0
    moment = features.T @ features
    for _ in range(steps):
        precision = alpha * np.eye(width) + beta * moment
        mean = beta * np.linalg.solve(precision, features.T @ target)
        eigenvalues = beta * np.linalg.eigvalsh(moment).clip(0)
        gamma = (eigenvalues / (alpha + eigenvalues)).sum()
        residual = ((features @ mean - target) ** 2).sum()
        alpha, beta = gamma / (mean @ mean), (rows - gamma) / residual
    precision = alpha * np.eye(width) + beta * moment
    mean = beta * np.linalg.solve(precision, features.T @ target)
    return (
        width * np.log(alpha)
        + rows * np.log(beta)
        - np.linalg.slogdet(precision)[1]
        - beta * ((features @ mean - target) ** 2).sum()
        - alpha * mean @ mean
        - rows * np.log(2 * np.pi)
    ) / (2 * rows)


def test_hand_worked():
    # One column of ones, y = (1, 2, 3, 2): the fixed point solves to alpha = 6/23, beta = 3/2,
    # and beta * residual + alpha * |m|^2 = (N - gamma) + gamma = 4.
    expected = (np.log(1 / 24) + 4 * np.log(1.5) - 4 - 4 * np.log(2 * np.pi)) / 8
    found = logme(np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 2.0]), regression=True)
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("rows", "width"), [(40, 5), (30, 30), (15, 40)])
def test_agrees_with_a_search_over_the_dense_evidence(rows, width):
    features, labels = informative(rows, width)
    expected = np.mean([dense_evidence(features, t) for t in targets_of(labels)])
    assert logme(features, labels) == pytest.approx(expected, abs=2e-5)
    target = features[:, 0] + np.random.default_rng(3).normal(size=rows)
    found = logme(features, target, regression=True)
    assert found == pytest.approx(dense_evidence(features, target), abs=2e-5)


@pytest.mark.parametrize(("rows", "width"), [(60, 8), (80, 60), (30, 50)])
def test_agrees_with_the_published_fixed_point(rows, width):
    features, labels = informative(rows, width, seed=2)
    expected = np.mean([published_evidence(features, t) for t in targets_of(labels)])
    assert logme(features, labels) == pytest.approx(expected, abs=1e-5)


def test_every_class_starts_afresh():
    features, labels = informative(60, 8, classes=4)
    alone = [logme(features, t, regression=True) for t in targets_of(labels)]
    assert logme(features, labels) == pytest.approx(np.mean(alone), abs=1e-12)


@pytest.mark.parametrize(("rows", "width"), [(60, 8), (30, 50)])
@pytest.mark.parametrize("shift", [0, 3])
def test_an_intercept_is_a_column_of_ones(rows, width, shift):
    features, labels = informative(rows, width)
    features += shift - features.mean(axis=0)
    ones = np.column_stack([features, np.ones(rows)])
    assert logme(features, labels, intercept=True) == pytest.approx(logme(ones, labels), abs=1e-9)
    found = logme(features, features[:, 0] + 1, regression=True, intercept=True)
    assert found == pytest.approx(logme(ones, features[:, 0] + 1, regression=True), abs=1e-7)


def test_agrees_with_transformer_ranker():
    # LogME().fit of transformer-ranker 0.2.0 on the same numbers; it stops a little earlier.
    for classes, expected in ((2, -0.18892818), (5, -0.18280381)):
        found = logme(*informative(300, 20, classes=classes, seed=3))
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("width", [10, 90])
def test_invariances(width):
    features, labels = informative(60, width)
    score = logme(features, labels)
    rng = np.random.default_rng(4)
    order = rng.permutation(60)
    assert logme(features[order], labels[order]) == pytest.approx(score, abs=1e-9)
    assert logme(features, np.array(["z", "a", "k"])[labels]) == pytest.approx(score, abs=1e-9)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    assert logme(features @ rotation, labels) == pytest.approx(score, abs=1e-6)
    assert logme(features * 100, labels) == pytest.approx(score, abs=1e-5)


def test_unit_of_the_target_only_shifts():
    features, _ = informative(50, 6)
    target = features[:, 0] + 0.3
    target = target + np.random.default_rng(1).normal(size=50)
    metres, millimetres = (logme(features, target * u, regression=True) for u in (1, 1000))
    assert millimetres == pytest.approx(metres - np.log(1000), abs=1e-5)


def test_more_signal_scores_higher():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    centres, noise = rng.normal(size=(3, 10)), rng.normal(size=(90, 10))
    scores = [logme(noise + strength * centres[labels], labels) for strength in (0, 0.5, 1, 2, 4)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("width", [6, 100])
def test_columns_that_say_nothing_new(width):
    features, labels = informative(40, width)
    score = logme(features, labels)
    zeros = np.column_stack([features, np.zeros((40, 3))])
    assert logme(zeros, labels) == pytest.approx(score, abs=1e-9)
    # A column twice is the column times sqrt(2): the same directions, another scale of one.
    twice = np.column_stack([features, features[:, :1]])
    scaled = np.column_stack([features[:, :1] * np.sqrt(2), features[:, 1:]])
    assert logme(twice, labels) == pytest.approx(logme(scaled, labels), abs=1e-9)
    assert np.isfinite(logme(np.ones((40, width)), labels))


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((6, 3)),
        np.ones((6, 3)),
        np.eye(6),
        np.eye(3)[[0, 1, 2, 0, 1, 2]],
        np.eye(6) * 1e-20,
        np.eye(6) * 1e20,
        np.vander(np.arange(6.0), 12),
        np.tile(np.arange(6.0)[:, None], (1, 4)),
        np.ones((6, 1), dtype=np.float16) * 1000,
    ],
)
def test_degenerate_features_stay_finite(features):
    labels = np.array([0, 1, 2, 0, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(logme(features, labels))
        assert np.isfinite(logme(features, labels.astype(float) + 1, regression=True))


def test_no_signal_is_the_noise_model():
    labels = np.array([0, 1, 0, 1])
    assert logme(np.zeros((4, 2)), labels) == pytest.approx((np.log(2) - 1 - np.log(2 * np.pi)) / 2)


def test_undefined_and_refused():
    assert np.isnan(logme(np.empty((0, 3)), np.empty(0)))
    assert np.isnan(logme(np.empty((3, 0)), np.arange(3)))
    assert np.isnan(logme(np.array([[np.nan], [1.0]]), np.array([0, 1])))
    assert np.isnan(logme(np.ones((2, 1)), np.array([np.inf, 1.0]), regression=True))
    assert np.isnan(logme(np.ones((2, 1)), np.zeros(2), regression=True))
    with pytest.raises(ValueError, match="must be"):
        logme(np.ones((3, 2)), np.array([0, 1]))
