"""What was promised against what was so: by hand, and on selections whose truth is known."""

import functools

import numpy as np
import pytest
from scipy.stats import binom
from synthetic import FakeTrial, Planted, expectation

from hf_select.metrics import get_metric
from hf_select.records import Drop, LearningCurve, Rung, SelectionResult
from hf_select.selection.calibration import HOPELESS, binomial_interval, calibration
from hf_select.selection.policies import get_policy
from hf_select.selection.run import run_selection


def rung(p_best, *dropped):
    return Rung(
        1.0, tuple(p_best), {}, p_best=p_best, dropped=tuple(Drop(m, "why") for m in dropped)
    )


def selection(winner, *rungs):
    return SelectionResult(winner, 0.5, 0.5, rungs, {}, 1.0, 1.0, 0.0, 1.0, "trend")


def test_counts_by_hand():
    one = selection(
        "a",
        rung({"a": 0.5, "b": 0.46, "c": 0.04}, "c"),
        rung({"a": 0.8, "b": 0.2}, "b"),  # not hopeless
    )
    two = selection("a", rung({"a": 0.95, "b": 0.03, "c": 0.02}, "b", "c"))
    found = calibration(
        [
            (one, {"a": 0.7, "b": 0.6, "c": 0.65, "d": 0.9}),  # d was no candidate
            (two, {"a": 0.7, "b": 0.8, "c": 0.5}),  # b was the best
        ]
    )
    assert found["dropped"] == 3
    assert found["promised"] == pytest.approx((0.04 + 0.03 + 0.02) / 3)
    assert found["best"] == pytest.approx(1 / 3)
    assert found["interval"] == binomial_interval(1, 3)
    assert found["winner_promised"] == pytest.approx((0.8 + 0.95) / 2)
    assert found["winner_best"] == 0.5
    assert found["selections"] == 2


def test_the_limit_is_not_hopeless_itself():
    at = selection("a", rung({"a": 0.95, "b": HOPELESS}, "b"))
    assert calibration([(at, {"a": 0.7, "b": 0.6})])["dropped"] == 0


def test_nothing_dropped_is_no_share():
    found = calibration([(selection("a", rung({"a": 1.0})), {"a": 0.5})])
    assert (found["dropped"], found["promised"], found["best"], found["interval"]) == (
        *(0, None, None, None),
    )
    assert found["winner_best"] == 1


def test_policies_without_chances_have_none():
    silent = selection("a", rung({}, "b"))
    assert calibration([(silent, {"a": 0.7, "b": 0.6})]) == {}
    assert calibration([]) == {}
    # Beside one that has them they don't count.
    loud = selection("a", rung({"a": 0.96, "b": 0.04}, "b"))
    both = calibration([(silent, {"a": 0.7, "b": 0.9}), (loud, {"a": 0.7, "b": 0.6})])
    assert (both["selections"], both["dropped"], both["best"]) == (1, 1, 0)


def test_equally_good_ones_were_all_the_best():
    found = calibration([(selection("a", rung({"a": 0.96, "b": 0.04}, "b")), {"a": 0.7, "b": 0.7})])
    assert (found["best"], found["winner_best"]) == (1, 1)


def test_a_candidate_without_a_truth_was_not_the_best():
    found = calibration([(selection("a", rung({"a": 0.96, "b": 0.04}, "b")), {"a": 0.7})])
    assert (found["dropped"], found["best"], found["winner_best"]) == (1, 0, 1)


@pytest.mark.parametrize(("count", "of"), [(0, 10), (1, 20), (5, 9), (7, 7)])
def test_the_interval_is_the_exact_one(count, of):
    """At its ends, so few or so many would be seen with 2.5 % each."""
    low, high = binomial_interval(count, of)
    assert low <= count / of <= high
    if count:
        assert binom.sf(count - 1, of, low) == pytest.approx(0.025)
    else:
        assert low == 0
    if count < of:
        assert binom.cdf(count, of, high) == pytest.approx(0.025)
    else:
        assert high == 1


@pytest.mark.parametrize(("doubt", "count"), [(1.0, 36), (1.5, 18)])
def test_what_is_promised_is_so_where_the_assumptions_hold(doubt, count):
    """Targets that are drawn as the record was: of hundreds of drops as many were the best as was
    promised, within the binomial interval; so for the winners; fewer with doubt."""
    planted, rng = Planted(), np.random.default_rng(1)
    curves, _, hope = planted.draw(14, 24, 2, rng)
    judged, inside = [], []
    for _ in range(count):
        target, finals, hoped = planted.draw(14, 1, 1, rng)
        truth = dict(zip(target.models, finals[:, 0], strict=True))
        result = run_selection(
            {
                m: functools.partial(
                    FakeTrial, m, LearningCurve.of(planted.EPOCHS, target.val[i, 0, 0]), truth[m]
                )
                for i, m in enumerate(target.models)
            },
            get_policy("trend:worth=2"),
            horizon=4.0,
            metric=get_metric("accuracy"),
            val_trivial=0.0,
            record=curves,
            expected=expectation(curves, hope, target=hoped[:, 0], level=0.55, level_deviation=0.1),
            doubt=doubt,
        )
        judged.append((result, truth))
        inside += [
            low <= truth[m] <= high
            for rung in result.rungs
            for m, (low, high) in rung.interval.items()
        ]
    found = calibration(judged)
    low, high = found["interval"]
    assert found["dropped"] > 6 * count
    assert 0 < found["promised"] < HOPELESS
    if doubt > 1:
        assert found["best"] <= found["promised"]
        assert np.mean(inside) > 0.97
        return
    assert low <= found["promised"] <= high
    won = binomial_interval(round(found["winner_best"] * count), count)
    assert won[0] <= found["winner_promised"] <= won[1]
    # The intervals, too; those of one target go up and down together.
    assert 0.88 < np.mean(inside) < 0.995
