"""The paper's trends by hand, and the exact K-means against scikit-learn's."""

import dataclasses
import itertools

import numpy as np
import pytest
from synthetic import curve_set, make_curves

from hf_select.selection.trend import as_skill, kmeans_1d, trends


def inertia(values, labels):
    return sum(
        float(np.sum((values[labels == g] - values[labels == g].mean()) ** 2))
        for g in np.unique(labels)
    )


def test_trends_by_hand():
    record = curve_set(
        [[[0.10], [0.20], [0.50], [0.52], [0.90], [0.70]]],
        [[0.30, 0.50, 0.60, 0.64, 0.95, 0.75]],
    )
    found = trends(record, "a", 1.0)
    # Two pairs and two alone: any other cut of the six into four stretches spreads more.
    np.testing.assert_allclose(found.centres, [0.15, 0.51, 0.70, 0.90])
    np.testing.assert_allclose(found.forecasts, [0.40, 0.62, 0.75, 0.95])
    assert found.sizes.tolist() == [2, 2, 1, 1]
    assert found.forecast(0.2) == pytest.approx(0.40)
    assert found.forecast(0.62) == pytest.approx(0.75)
    assert found.forecast(2.0) == pytest.approx(0.95)
    assert np.isnan(found.forecast(np.nan))


def test_missing_cells_are_left_out():
    record = curve_set([[[0.1], [np.nan], [0.5], [0.9]]], [[0.3, 0.4, np.nan, 0.8]])
    found = trends(record, "a", 1.0)
    np.testing.assert_allclose(found.centres, [0.1, 0.9])
    np.testing.assert_allclose(found.forecasts, [0.3, 0.8])


def test_no_curves_give_no_trend():
    record = curve_set([[[np.nan]]], [[0.4]])
    for found in (
        trends(record, "a", 1.0),
        trends(record, "unknown", 1.0),
        trends(record, "a", 0.5),
    ):
        assert len(found) == 0
        assert np.isnan(found.forecast(0.5))


def test_each_seed_is_a_curve_of_its_own():
    curves = make_curves(2, 3, 2)
    assert trends(curves, "m00", 1.0).sizes.sum() == 6
    assert trends(curves, "m00", 1.0, groups=10).sizes.tolist() == [1] * 6


def test_trends_ignore_the_order_of_datasets():
    curves = make_curves(3, 6, 1)
    order = [4, 2, 0, 5, 1, 3]
    shuffled = dataclasses.replace(
        curves,
        val=curves.val[:, order],
        test=curves.test[:, order],
        seconds=curves.seconds[:, order],
    )
    one, other = trends(curves, "m01", 2.0), trends(shuffled, "m01", 2.0)
    np.testing.assert_allclose(one.centres, other.centres)
    np.testing.assert_allclose(one.forecasts, other.forecasts)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_the_best_of_all_partitions(seed):
    values = np.random.default_rng(seed).normal(size=9).round(1)
    labels = kmeans_1d(values, 3)
    order = np.sort(values)
    best = min(
        inertia(order, np.repeat([0, 1, 2], [i, j - i, 9 - j]))
        for i, j in itertools.combinations(range(1, 9), 2)
    )
    assert inertia(values, labels) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_is_at_least_as_good_as_scikit_learns(seed):
    from sklearn.cluster import KMeans

    values = np.random.default_rng(seed).random(40)
    theirs = KMeans(4, n_init=10, random_state=0).fit(values[:, None]).inertia_
    assert inertia(values, kmeans_1d(values, 4)) <= theirs + 1e-12


def test_kmeans_of_little():
    assert kmeans_1d(np.array([]), 4).tolist() == []
    assert kmeans_1d(np.array([0.3]), 4).tolist() == [0]
    assert kmeans_1d(np.array([0.3, 0.3, 0.1]), 4).tolist() == [1, 1, 0]
    assert kmeans_1d(np.array([0.3, 0.2, 0.1]), 1).tolist() == [0, 0, 0]
    assert kmeans_1d(np.array([0.9, 0.1, 0.8, 0.2]), 2).tolist() == [1, 0, 1, 0]


def test_skill_of_curves():
    accuracy = curve_set([[[0.6]]], [[0.8]], baselines=0.5)
    skill = as_skill(accuracy)
    assert skill.val.item() == pytest.approx(0.2)
    assert skill.test.item() == pytest.approx(0.6)
    assert as_skill(accuracy, raw=True).val.item() == 0.6
    error = curve_set([[[1.5]]], [[0.5]], metric="rmse", baselines=2.0)
    assert as_skill(error).val.item() == pytest.approx(0.25)
    assert as_skill(error).test.item() == pytest.approx(0.75)
    assert as_skill(error, raw=True).test.item() == -0.5
    unknown = curve_set([[[1.5]]], [[0.5]], metric="rmse", baselines=np.nan)
    assert np.isnan(as_skill(unknown).val).all()
