"""Chances and gains against what can be worked out by hand."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from hf_select.selection.worth import DRAWS, chances, gain

ERROR = 4 * 0.5 / np.sqrt(DRAWS)
"""Four standard errors of a share of the draws."""


@pytest.mark.parametrize("ahead", [0.0, 0.01, 0.03, -0.02])
@pytest.mark.parametrize("together", [0.0, 0.9, -0.5])
def test_two_candidates(ahead, together):
    sd = np.array([0.02, 0.03])
    covariance = np.outer(sd, sd) * [[1, together], [together, 1]]
    spread = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    best, within = chances(np.array([0.5 + ahead, 0.5]), covariance, 0.01)
    assert best[0] == pytest.approx(norm.cdf(ahead / spread), abs=ERROR)
    assert within[0] == pytest.approx(norm.cdf((ahead + 0.01) / spread), abs=ERROR)
    assert within[1] == pytest.approx(norm.cdf((0.01 - ahead) / spread), abs=ERROR)
    assert best.sum() == 1


def test_three_candidates_against_the_integral():
    mean = np.array([0.52, 0.5, 0.51])
    covariance = 1e-4 * np.array([[4, 1, 0.5], [1, 9, 2], [0.5, 2, 3]])
    best, _ = chances(mean, covariance, 0.0)
    for i in range(3):
        others = [j for j in range(3) if j != i]
        behind = np.zeros((2, 3))
        behind[range(2), others], behind[:, i] = 1, -1
        exact = multivariate_normal(behind @ mean, behind @ covariance @ behind.T).cdf([0, 0])
        assert best[i] == pytest.approx(exact, abs=ERROR)


def test_equal_candidates_are_equally_likely():
    best, within = chances(np.full(5, 0.7), 0.01**2 * np.eye(5), 0.0)
    np.testing.assert_allclose(best, 0.2, atol=ERROR)
    np.testing.assert_array_equal(best, within)  # without a tolerance
    _, all_near = chances(np.full(5, 0.7), 0.01**2 * np.eye(5), 1.0)
    np.testing.assert_array_equal(all_near, 1.0)


def test_one_candidate_is_the_best():
    for variance in (0.0, 0.1):
        best, within = chances(np.array([0.3]), np.array([[variance]]), 0.0)
        assert (best.tolist(), within.tolist()) == ([1.0], [1.0])


def test_what_all_have_in_common_changes_no_chance():
    mean, own = np.array([0.5, 0.51, 0.49]), np.diag([1e-4, 2e-4, 4e-4])
    plain = chances(mean, own, 0.005)
    for common in (0.01, 1.0):
        shared = chances(mean + 0.2, own + common, 0.005)
        np.testing.assert_allclose(shared[0], plain[0], atol=2 * ERROR)
        np.testing.assert_allclose(shared[1], plain[1], atol=2 * ERROR)


@pytest.mark.parametrize(
    "covariance",
    [
        np.zeros((3, 3)),
        np.full((3, 3), 0.04),  # they differ in nothing
        np.outer([1, 2, 3], [1, 2, 3]) * 1e-4,  # one direction only
        np.full((3, 3), 0.04) - 1e-12 * np.eye(3),  # rounding has carried it below zero
    ],
)
def test_nearly_singular_covariances(covariance):
    best, within = chances(np.array([0.5, 0.6, 0.55]), covariance, 0.06)
    assert np.isfinite(best).all()
    assert best.sum() == pytest.approx(1)
    assert (within >= best).all()
    if np.ptp(np.diag(covariance)) == 0:  # nothing tells them apart but their means
        np.testing.assert_array_equal(best, [0, 1, 0])
        np.testing.assert_array_equal(within, [0, 1, 1])


def test_many_candidates_of_one_dataset():
    """Hundreds that share one level: the covariance is no problem."""
    size = 400
    best, within = chances(np.linspace(0.4, 0.6, size), 0.05 + 1e-4 * np.eye(size), 0.005)
    assert best.sum() == pytest.approx(1)
    assert best[-1] > best[0] == 0
    assert within[-1] > best[-1]


def test_the_same_forecast_gives_the_same_chances():
    mean, covariance = np.array([0.5, 0.51]), 1e-4 * np.eye(2)
    np.random.default_rng().standard_normal(3)
    np.testing.assert_array_equal(chances(mean, covariance, 0), chances(mean, covariance, 0))


# ------------------------------------------------------------------------------------- gains


def loss(behind, spread):
    """E max(0, N(-behind, spread^2))."""
    return spread * norm.pdf(behind / spread) - behind * norm.cdf(-behind / spread)


@pytest.mark.parametrize("behind", [0.0, 0.005, 0.02, 0.04, 0.06])
def test_the_gain_of_two_is_the_normal_loss(behind):
    value, spread = np.array([0.6, 0.6 - behind]), 0.02
    exact = loss(behind, spread)
    for moved in ([0.0, spread], [-spread, 0.0], [0.03, 0.03 + spread], [0.01, 0.01 - spread]):
        got = gain(value, np.array(moved), 0, 0.0)
        assert got == pytest.approx(exact, rel=0.01, abs=1e-4 * spread)
    # Only what is better by more than the tolerance counts.
    assert gain(value, np.array([0, spread]), 0, 0.01) == pytest.approx(
        loss(behind + 0.01, spread), rel=0.01, abs=1e-4 * spread
    )


def test_the_gain_of_a_remote_possibility_is_small_but_right():
    """A step that can be had for nearly nothing is weighed by it."""
    got = gain(np.array([0.6, 0.52]), np.array([0, 0.02]), 0, 0.0)
    assert got == pytest.approx(loss(0.08, 0.02), rel=0.05)


def test_three_candidates_whoever_is_ahead():
    value, moved = np.array([0.6, 0.59, 0.58]), np.array([0.0, 0.02, -0.03])
    z = np.linspace(-8, 8, 200_001)
    ahead = np.maximum(0, (value[1:, None] + moved[1:, None] * z).max(axis=0) - value[0])
    exact = np.sum(ahead * norm.pdf(z)) * (z[1] - z[0])
    assert gain(value, moved, 0, 0.0) == pytest.approx(exact, rel=0.01)


def test_no_gain_where_nothing_moves_or_all_move_alike():
    value = np.array([0.6, 0.59, 0.5])
    assert gain(value, np.zeros(3), 0, 0.0) == 0
    assert gain(value, np.full(3, 0.1), 0, 0.0) == pytest.approx(0, abs=1e-12)
    assert gain(value[:1], np.array([0.3]), 0, 0.0) == 0
    # Equal ones that move alike, too: nothing is better than the leader.
    assert gain(np.full(2, 0.6), np.full(2, 0.1), 1, 0.0) == pytest.approx(0, abs=1e-12)


def test_more_spread_gains_more_and_tolerance_less():
    value = np.array([0.6, 0.59])
    gains = [gain(value, np.array([0, s]), 0, 0.0) for s in (0.005, 0.01, 0.02, 0.04)]
    assert gains == sorted(gains)
    assert gains[0] > 0
    gains = [gain(value, np.array([0, 0.02]), 0, t) for t in (0.0, 0.005, 0.02)]
    assert gains == sorted(gains, reverse=True)
