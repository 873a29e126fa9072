"""Every policy by hand on small cases, and what holds for every row of POLICIES."""

import random

import numpy as np
import pytest
from synthetic import Bench, curve_set, expected_of, make_curves, state_curves

from hf_select.errors import InputError, UnknownNameError
from hf_select.metrics import get_metric
from hf_select.records import LearningCurve
from hf_select.selection.policies import (
    POLICIES,
    SelectionState,
    get_policy,
    ranking,
    whole_epochs,
)
from hf_select.selection.run import run_selection
from hf_select.selection.trend import as_skill

ACCURACY = get_metric("accuracy")


def drive(curves, name, **more):
    """A whole selection over all models of the first dataset, the rest as record."""
    record = curves.without_dataset(curves.datasets[0])
    return run_selection(
        Bench(curves).factories,
        get_policy(name),
        horizon=float(curves.epochs[-1]),
        metric=get_metric(curves.metrics[0]),
        val_trivial=float(curves.baselines[0]),
        record=record,
        expected=expected_of(record),
        **more,
    )


def straight(models, epochs=(1.0, 2.0, 3.0, 4.0)):
    """Models whose validation score is 0.9, 0.8, ... at every epoch, a being the best."""
    val = [[[0.9 - 0.1 * i] * len(epochs)] for i in range(models)]
    return curve_set(val, [[0.5]] * models, epochs=epochs)


def live_counts(result):
    return [(rung.epoch, len(rung.live)) for rung in result.rungs]


def test_halving_of_eight_models_and_four_epochs():
    result = drive(straight(8), "halving")
    assert live_counts(result) == [(1, 8), (2, 4), (3, 2), (4, 1)]
    assert result.epochs == 8 + 4 + 2 + 1
    assert result.winner == "a"
    assert result.price == 15 / 4
    dropped = [drop.model for rung in result.rungs for drop in rung.dropped]
    assert sorted(dropped) == list("bcdefgh")


def test_halving_of_forty_models_and_five_epochs_costs_seventy_seven():
    curves = make_curves(40, 2, 1)
    result = drive(curves, "halving")
    assert live_counts(result) == [(1, 40), (2, 20), (3, 10), (4, 5), (5, 2)]
    assert result.epochs == 77
    assert result.price == 15.4


def test_halving_by_three_and_rounding_down():
    assert live_counts(drive(straight(8), "halving:eta=3")) == [(1, 8), (2, 2), (4, 1)]
    # 5 -> 2 -> 1, and never 0
    assert live_counts(drive(straight(5), "halving")) == [(1, 5), (2, 2), (4, 1)]


def test_fractional_halving_starts_inside_the_first_epoch():
    grid = (0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
    result = drive(straight(8, grid), "fractional-halving")
    assert live_counts(result) == [(0.125, 8), (0.25, 4), (0.5, 2), (4, 1)]
    # 8 to 1/8, 4 to 1/4, 2 to 1/2, the last one to the end
    assert result.epochs == 8 / 8 + 4 / 8 + 2 / 4 + 3.5


def test_fractional_halving_of_forty_models_costs_seventeen_and_a_half():
    result = drive(make_curves(40, 2, 1), "fractional-halving")
    assert live_counts(result) == [(0.125, 40), (0.25, 20), (0.5, 10), (1, 5), (2, 2), (5, 1)]
    # 40/8 + 20/8 + 10/4 + 5/2 + 2 + 3
    assert result.epochs == 17.5


def test_fractional_halving_halves_once_per_score_where_fractions_were_not_evaluated():
    result = drive(straight(8), "fractional-halving")
    assert live_counts(result) == [(1, 8), (2, 4), (3, 2), (4, 1)]


def test_brute_force_trains_all_to_the_end_and_takes_the_last_score():
    val = [[[0.9, 0.5]], [[0.1, 0.8]], [[0.6, 0.7]]]
    result = drive(curve_set(val, [[0.5]] * 3, epochs=(1.0, 2.0)), "brute-force")
    assert (result.winner, result.val, result.epochs, result.price) == ("b", 0.8, 6, 3)
    reasons = {drop.model: drop.reason for drop in result.rungs[-1].dropped}
    assert reasons["a"] == "trained to the end (epoch 2): validation 0.5000, b has 0.8000"


def test_constant_epoch_trains_only_its_pick_on():
    val = [[[0.9, 0.5, 0.5]], [[0.1, 0.8, 0.9]], [[0.6, 0.7, 0.6]]]
    curves = curve_set(val, [[0.5]] * 3, epochs=(1.0, 2.0, 3.0))
    one, two = drive(curves, "constant-epoch"), drive(curves, "constant-epoch:2")
    assert (one.winner, one.epochs, one.val) == ("a", 3 * 1 + 2, 0.5)
    assert (two.winner, two.epochs, two.val) == ("b", 3 * 2 + 1, 0.9)


def test_constant_epoch_past_the_horizon_is_brute_force():
    assert drive(straight(3), "constant-epoch:9").epochs == 12


# -------------------------------------------------------------------------------- the paper


def paper_state(val, record_val, record_test, **more):
    """Four models after one of three epochs; their own benchmark curves as given (D each)."""
    record = curve_set(np.asarray(record_val)[:, :, None], record_test)
    models = record.models
    return SelectionState(
        models=models,
        live=models,
        curves=state_curves(**{m: [v] for m, v in zip(models, val, strict=True)}),
        horizon=3.0,
        record=record,
        **more,
    )


# Every model has two trends; the forecasts on the right go with the centres on the left.
RECORD_VAL = [[0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.1, 0.5]]
RECORD_TEST = [[0.5, 0.70], [0.4, 0.90], [0.6, 0.80], [0.3, 0.95]]


def test_the_papers_rule_on_four_models():
    # val       forecast
    # a 0.75 -> centre 0.8 -> 0.70
    # b 0.65 -> centre 0.7 -> 0.90
    # c 0.55 -> centre 0.6 -> 0.80: b is better now and forecast 0.10 higher -> dropped
    # d 0.45 -> centre 0.5 -> 0.95: nobody's forecast is higher -> stays by trend
    # then the worst until at most 2 remain: d goes.
    decision = get_policy("paper")(paper_state([0.75, 0.65, 0.55, 0.45], RECORD_VAL, RECORD_TEST))
    assert decision.forecast == {"a": 0.70, "b": 0.90, "c": 0.80, "d": 0.95}
    assert [drop.model for drop in decision.dropped] == ["c", "d"]
    assert decision.dropped[0].reason == (
        "At epoch 1, b is ahead with 0.6500 against 0.5500, and its record forecasts more: "
        "0.9000 against 0.8000."
    )
    assert decision.dropped[1].reason == (
        "At epoch 1, 0.4500 is number 3 of 3; the paper's halving keeps the best 2: "
        "a has 0.7500 and b, the last kept, 0.6500."
    )
    assert decision.advance == {"a": 2.0, "b": 2.0}


def test_the_papers_rule_can_leave_fewer_than_half():
    # b is forecast 0.40: a is better and forecast higher. c: 0.60 < 0.70. d: 0.30 < 0.70.
    decision = get_policy("paper")(paper_state([0.75, 0.45, 0.42, 0.12], RECORD_VAL, RECORD_TEST))
    assert [drop.model for drop in decision.dropped] == ["d", "c", "b"]
    assert decision.advance == {"a": 3.0}  # one left: trained to the end


def test_the_threshold_of_the_paper_saves_those_that_are_near():
    state = paper_state([0.75, 0.65, 0.55, 0.45], RECORD_VAL, RECORD_TEST)
    drops = get_policy("paper", threshold=0.11)(state).dropped
    # c is no longer dropped by its trend, but the halving takes it after d.
    assert [d.model for d in drops] == ["c", "d"]
    assert all("halving keeps" in drop.reason for drop in drops)


def test_a_model_with_a_worse_score_never_drops_a_better_one():
    # d has the highest forecast of all and the worst score; a has the lowest forecast and stays.
    decision = get_policy("paper")(paper_state([0.75, 0.65, 0.64, 0.45], RECORD_VAL, RECORD_TEST))
    assert "a" in decision.advance


def test_the_paper_without_curves_is_halving_and_says_so():
    state = paper_state([0.75, 0.65, 0.55, 0.45], RECORD_VAL, RECORD_TEST)
    for record in (None, curve_set([[[0.5]]], [[0.5]], models=("other",))):
        bare = SelectionState(state.models, state.live, state.curves, 3.0, record)
        decision = get_policy("paper")(bare)
        assert [drop.model for drop in decision.dropped] == ["c", "d"]
        assert all("no recorded curves" in drop.reason for drop in decision.dropped)
        assert decision.forecast == {}


def test_a_model_without_curves_is_only_halved():
    record = curve_set(np.asarray(RECORD_VAL[:2])[:, :, None], RECORD_TEST[:2], models=("b", "d"))
    state = SelectionState(
        tuple("abcd"), tuple("abcd"), state_curves(a=[0.9], b=[0.8], c=[0.7], d=[0.6]), 3.0, record
    )
    decision = get_policy("paper")(state)
    assert set(decision.forecast) == {"b", "d"}
    assert {drop.model for drop in decision.dropped} == {"c", "d"}


# ------------------------------------------------------------------------------- all of them

NAMES = [*POLICIES, "constant-epoch:2", "halving:eta=3", "paper:threshold=0.02"]
ONE_BY_ONE = ("asha", "trend")
"""Policies that take a step of one candidate at a time, so that live ones differ in their epoch."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
@pytest.mark.parametrize("models", [1, 2, 3, 11])
def test_every_policy_ends_with_a_live_winner_at_the_horizon(name, metric, models):
    curves = make_curves(models, 4, 2, metric=metric, seed=models)
    result = drive(curves, name)
    assert result.winner in result.rungs[-1].live
    assert result.curves[result.winner].epochs[-1] == result.horizon == 5
    assert result.epochs <= models * 5
    assert result.price >= 1
    gone = [drop.model for rung in result.rungs for drop in rung.dropped]
    assert sorted([*gone, result.winner]) == sorted(curves.models)  # each is accounted for, once
    for before, after in zip(result.rungs, result.rungs[1:], strict=False):
        if name not in ONE_BY_ONE:
            assert after.epoch > before.epoch
        assert sum(after.reached.values()) >= sum(before.reached[m] for m in after.live)
        assert set(after.live) == set(before.live) - {drop.model for drop in before.dropped}
        assert after.live
    for rung in result.rungs:
        for drop in rung.dropped:
            if drop.model not in rung.val:
                assert drop.reason.startswith("Never ")
                assert name in ONE_BY_ONE
                continue
            assert f"epoch {rung.reached[drop.model]:g}" in drop.reason
            assert f"{rung.val[drop.model]:.4f}" in drop.reason  # in the user's units
            assert drop.model not in drop.reason


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_ignores_the_order_of_candidates_with_distinct_scores(name):
    curves = make_curves(11, 4, 1, seed=3)
    first = drive(curves, name)
    factories = list(Bench(curves).factories.items())
    random.Random(1).shuffle(factories)
    again = run_selection(
        dict(factories),
        get_policy(name),
        horizon=5.0,
        metric=ACCURACY,
        val_trivial=0.2,
        record=curves.without_dataset("d0"),
        expected=expected_of(curves.without_dataset("d0")),
    )
    if name == "asha":  # starts the candidates in their order
        assert again.winner
        return
    assert (again.winner, again.epochs) == (first.winner, first.epochs)
    assert [sorted(r.live) for r in again.rungs] == [sorted(r.live) for r in first.rungs]


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_decides_the_same_on_raw_scores_of_an_error_metric(name):
    """Lower is better, turned round: as halving on the mirrored scores."""
    higher = make_curves(9, 3, 1, seed=5)
    lower = make_curves(9, 3, 1, seed=5, metric="rmse")
    assert drive(higher, name).winner == drive(lower, name).winner


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_is_a_pure_function(name):
    curves = as_skill(make_curves(6, 3, 1))
    seen = {m: curves.curve(m, "d0", 0).upto(1.0) for m in curves.models}
    state = SelectionState(curves.models, curves.models, seen, 5.0, curves.without_dataset("d0"))
    policy = get_policy(name)
    assert policy(state) == policy(state)


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_breaks_ties_in_recalled_order(name):
    curves = curve_set([[[0.5, 0.5]]] * 4, [[0.5]] * 4, epochs=(1.0, 2.0))
    assert drive(curves, name).winner == "a"


def test_a_score_that_is_no_number_ranks_last():
    curves = {
        "a": LearningCurve.of([1.0], [np.nan]),
        "b": LearningCurve.of([1.0], [-3.0]),
    }
    assert ranking(SelectionState(("a", "b"), ("a", "b"), curves, 2.0), 1.0) == ["b", "a"]


def test_whole_epochs_end_with_the_horizon():
    assert whole_epochs(3.0) == (1.0, 2.0, 3.0)
    assert whole_epochs(2.5) == (1.0, 2.0, 2.5)
    assert whole_epochs(0.25) == (0.25,)


# --------------------------------------------------------------------------------- the names


def test_an_unknown_policy_lists_the_names():
    with pytest.raises(UnknownNameError) as error:
        get_policy("halfing")
    assert "did you mean 'halving'" in error.value.hint
    assert all(name in error.value.hint for name in POLICIES)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("halving:beta=3", "no parameter 'beta'"),
        ("brute-force:3", "no parameter"),
        ("halving:eta=1", "above 1"),
        ("halving:eta=x", "above 1"),
        ("constant-epoch:0", "above 0"),
        ("constant-epoch:nan", "above 0"),
        ("paper:threshold=-1", "0 or more"),
        ("paper:groups=1.5", "whole number"),
    ],
)
def test_a_bad_parameter_is_named(name, says):
    with pytest.raises(InputError, match=says):
        get_policy(name)


def test_parameters_in_the_name_or_beside_it():
    assert get_policy("constant-epoch:2").parameters == {"epochs": 2.0}
    assert get_policy("paper:threshold=0.1,groups=3").parameters == {
        "threshold": 0.1,
        "groups": 3,
    }
    assert get_policy("halving", eta=3).parameters == {"eta": 3.0}
    assert get_policy("halving:eta=3").name == "halving:eta=3"
