import numpy as np
import pytest

from hf_select.recall.sets import enough, expected_best


def test_equals_are_taken_in_the_order_of_their_means():
    mean = np.random.default_rng(0).normal(0, 0.01, 40)
    found = expected_best(mean, np.full(40, 0.05), most=10)
    assert list(found.order) == np.argsort(-mean)[:10].tolist()


def test_the_first_is_the_one_with_the_highest_mean_however_uncertain_others_are():
    found = expected_best(np.array([0.5, 0.6, 0.1]), np.array([0.01, 0.01, 2.0]), most=1)
    assert found.order == (1,)


def test_an_uncertain_model_gets_a_place_before_a_certain_one_that_is_worse_than_the_best():
    mean, deviation = np.array([0.9, 0.85, 0.8]), np.array([0.01, 0.01, 0.15])
    found = expected_best(mean, deviation, most=3)
    assert found.order == (0, 2, 1)
    # P(N(.8, .15) > N(.9, .01)) = Phi(-.1 / sqrt(.15^2 + .01^2)) = .253
    assert found.outside[0] == pytest.approx(0.253, abs=0.04)
    assert found.p_best[2] == pytest.approx(0.253, abs=0.04)


def test_copies_of_one_model_are_not_taken_twice():
    # three that share nearly all of what is unknown of them, and a worse one that shares nothing
    mean, deviation = np.array([0.80, 0.799, 0.798, 0.78]), np.full(4, 0.05)
    groups, shared = np.array([0, 0, 0, 1]), np.array([0.999, 0.999, 0.999, 0.0])
    assert expected_best(mean, deviation, most=2, groups=groups, shared=shared).order == (0, 3)
    assert expected_best(mean, deviation, most=2).order == (0, 1)


def test_chances_and_nesting():
    rng = np.random.default_rng(3)
    mean, deviation = rng.normal(0, 0.1, 25), rng.uniform(0.01, 0.2, 25)
    found = expected_best(mean, deviation, most=25)
    assert found.p_best.sum() == pytest.approx(1)
    assert (np.diff(found.outside) <= 0).all()
    assert found.outside[-1] == 0
    assert sorted(found.order) == list(range(25))
    for most in (1, 5, 12):
        assert expected_best(mean, deviation, most=most).order == found.order[:most]
    again = expected_best(mean, deviation, most=25)
    assert again.order == found.order
    np.testing.assert_array_equal(again.p_best, found.p_best)


def test_thousands_of_models_are_no_burden():
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 1, 50_000)
    found = expected_best(mean, np.full(50_000, 0.1), most=5)
    assert list(found.order) == np.argsort(-mean)[:5].tolist()
    assert found.p_best.shape == (50_000,)


def test_enough():
    outside = np.array([0.5, 0.2, 0.05, 0.01])
    assert enough(outside, 0.05) == 3
    assert enough(outside, 0.6) == 1
    assert enough(outside, 0.6, least=2) == 2
    assert enough(outside, 0.001) == 4


def test_models_that_add_nothing_are_taken_by_their_means():
    mean = np.array([0.1, 0.3, 0.9, 0.5])
    assert expected_best(mean, np.full(4, 1e-3), most=4).order == (2, 3, 1, 0)
