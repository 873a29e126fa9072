"""Replay on a made-up record: by hand on a small one, and nothing of the target leaks."""

import dataclasses
import json

import numpy as np
import pytest
from synthetic import curve_set, expected_of, make_curves

from hf_select.errors import InputError, TrialError
from hf_select.records import CurveSet
from hf_select.selection.policies import POLICIES, get_policy
from hf_select.selection.replay import (
    Opening,
    ReplayTrial,
    replay_one,
    replay_selection,
    replicates,
)

POLICY = {name: get_policy(name) for name in POLICIES}


def two_by_two():
    """Two models, two datasets, two seeds, two epochs; seconds 10 an epoch for a, 20 for b."""
    val = np.array(
        [
            [[[0.5, 0.60], [0.5, 0.70]], [[0.5, 0.8], [0.5, 0.8]]],
            [[[0.4, 0.65], [0.6, 0.65]], [[0.4, 0.7], [0.4, 0.7]]],
        ]
    )
    test = np.array([[[0.61, 0.69], [0.8, 0.8]], [[0.66, 0.64], [0.7, 0.7]]])
    seconds = np.broadcast_to(np.array([10.0, 20.0])[:, None, None, None], val.shape)
    return CurveSet(
        val=val,
        test=test,
        seconds=seconds * np.array([1.0, 2.0]),
        epochs=np.array([1.0, 2.0]),
        models=("a", "b"),
        datasets=("x", "y"),
        seeds=(0, 1),
        metrics=("accuracy", "accuracy"),
        baselines=np.array([0.2, 0.2]),
    )


def test_regret_and_price_by_hand():
    document = replay_selection(two_by_two(), {"brute-force": POLICY["brute-force"]})
    x = document["targets"]["x"]["brute-force"]
    # Seed 0: b looks best (.65 > .60); judged by seed 1: a .69, b .64 -> 5 points, rank 2.
    # Seed 1: a looks best (.70 > .65); judged by seed 0: a .61, b .66 -> 5 points, rank 2.
    assert x["winners"] == ["b", "a"]
    assert x["regret"] == pytest.approx(5.0)
    assert x["winner_rank"] == 2
    assert (x["epochs"], x["price"], x["seconds"]) == (4, 2, 60)
    y = document["targets"]["y"]["brute-force"]
    assert (y["regret"], y["winner_rank"], y["winners"]) == (0, 1, ["a", "a"])
    summary = document["summary"]["brute-force"]
    assert summary["regret"] == pytest.approx(2.5)
    assert summary["regret_max"] == pytest.approx(5.0)
    low, high = summary["regret_ci"]
    assert low == pytest.approx(0.0)
    assert high == pytest.approx(5.0)
    assert document["judged_by_same_seed"] == []
    assert document["phase"] == "selection"


def test_price_in_seconds_is_that_over_the_winners_own():
    document = replay_selection(
        two_by_two(),
        {"brute-force": POLICY["brute-force"]},
        cost="seconds",
        openings=lambda dataset: Opening(("a", "b"), 0.5),
    )
    # All train 60 s; b alone 40, a alone 20; the proxies cost half an epoch of two.
    assert document["targets"]["x"]["brute-force"]["price"] == pytest.approx(
        (60 / 40 + 60 / 20) / 2 + 0.25
    )
    assert document["targets"]["x"]["brute-force"]["epochs"] == 4.5


def test_regret_counts_the_best_of_all_models_not_of_the_recalled():
    document = replay_selection(
        two_by_two(),
        {"halving": POLICY["halving"]},
        openings=lambda dataset: Opening(("b", "unknown"), 1.0),
    )
    y = document["targets"]["y"]["halving"]
    assert (y["winners"], y["regret"], y["winner_rank"]) == (["b", "b"], pytest.approx(10.0), 2)
    assert y["price"] == (2 + 1) / 2


def test_regret_of_an_error_is_what_could_have_been_saved():
    curves = curve_set(
        [[[1.0, 0.9]], [[0.8, 0.7]]], [[0.8], [1.1]], epochs=(1.0, 2.0), metric="rmse", baselines=2
    )
    document = replay_selection(curves, {"brute-force": POLICY["brute-force"]})
    row = document["targets"]["d0"]["brute-force"]
    assert row["winners"] == ["b"]  # the lower validation error
    assert row["regret"] == pytest.approx(15.0)  # .3 more error, 2 that of the mean
    assert document["judged_by_same_seed"] == ["d0"]


@pytest.mark.parametrize("raw", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_test_score_of_the_target_reaches_a_policy(raw):
    """The target's test scores are replaced by noise: the same decisions at the same cost."""
    curves = make_curves(12, 5, 2, seed=4)
    rng = np.random.default_rng(0)
    for target in curves.datasets:
        poisoned = curves.test.copy()
        j = curves.datasets.index(target)
        poisoned[:, j] *= rng.uniform(0.1, 2.0, poisoned[:, j].shape)
        other = dataclasses.replace(curves, test=poisoned)
        for name, policy in POLICY.items():
            for case in replicates(curves, target):
                before = replay_one(curves, case, policy, name=name, raw=raw)
                after = replay_one(other, case, policy, name=name, raw=raw)
                assert before.winner == after.winner
                assert before.rungs == after.rungs  # forecasts and reasons too
                assert before.epochs == after.epochs


def test_no_other_seed_of_the_target_reaches_a_policy():
    curves = make_curves(12, 5, 2, seed=4)
    val = curves.val.copy()
    val[:, 0, 1] = 0.5
    other = dataclasses.replace(curves, val=val)
    case = replicates(curves, "d0")[0]
    assert case.seed == 0
    for policy in POLICY.values():
        assert replay_one(curves, case, policy).rungs == replay_one(other, case, policy).rungs


def from_recall(curves, looks=0.0, *, for_forecasts=False):
    """Openings whose expectations were made without the target, as recall makes them."""
    made = {}

    def opening(target):
        if target not in made:
            expected = expected_of(curves.without_dataset(target))
            made[target] = Opening(None, looks, expected, for_forecasts)
        return made[target]

    return opening


def test_nothing_of_the_target_reaches_the_forecaster():
    """The target's scores are spoiled: other seeds, and all tests. With what recall expects."""
    curves = make_curves(10, 6, 2, seed=4)
    rng = np.random.default_rng(0)
    policy = POLICY["trend"]
    openings = from_recall(curves)
    for j, target in enumerate(curves.datasets[:3]):
        test, val = curves.test.copy(), curves.val.copy()
        test[:, j] *= rng.uniform(0.1, 2.0, test[:, j].shape)
        val[:, j, 1] *= rng.uniform(0.1, 2.0, val[:, j, 1].shape)
        other = dataclasses.replace(curves, test=test, val=val)
        case = replicates(curves, target, openings=openings)[0]
        before, after = (replay_one(c, case, policy) for c in (curves, other))
        assert before.rungs
        assert before.rungs == after.rungs
        assert (before.winner, before.epochs) == (after.winner, after.epochs)
        # And spoiled benchmarks do reach it: the test isn't blind.
        seen = [j + 1 if j + 1 < 6 else 0]
        test[:, seen] = rng.permutation(test[:, seen])
        spoiled = replay_one(dataclasses.replace(curves, test=test), case, policy)
        assert spoiled.rungs != before.rungs


def test_a_policy_sees_no_target_no_twin_and_how_many_rows_there_are():
    curves = dataclasses.replace(
        make_curves(6, 5, 1), val_rows={"d1": 150, "d2": 700}, test_rows={"d1": 300}
    )
    states = []

    def spy(state):
        states.append(state)
        return POLICY["halving"](state)

    expected = expected_of(curves.without_dataset("d1"))
    openings = {"d1": Opening(None, 0.0, expected)}
    (case,) = replicates(curves, "d1", openings=lambda target: openings[target])
    replay_one(curves, case, spy, twins=("d3",))
    for state in states:
        assert state.record.datasets == ("d0", "d2", "d4")
        assert state.rows(0.125) == state.rows(5.0) == 150
        assert state.expected is expected
        assert state.doubt == 1.0
        assert state.point == pytest.approx(0.01 / 0.8)  # skill: accuracy above 0.2
        assert state.row_variance(np.array(0.5)) == pytest.approx(0.6 * 0.4 / 0.8**2)
    replay_one(curves, replicates(curves, "d0")[0], spy)
    assert states[-1].rows(1.0) == np.inf  # unknown


def test_only_those_that_forecast_pay_for_looks_at_all_candidates():
    curves = make_curves(6, 4, 1, seed=1)
    openings = from_recall(curves, 1.5, for_forecasts=True)
    policies = {name: POLICY[name] for name in ("halving", "asha", "paper", "trend")}
    free = replay_selection(curves, policies, openings=from_recall(curves))
    paid = replay_selection(curves, policies, openings=openings)
    for name in policies:
        more = 1.5 if name == "trend" else 0.0
        for target in curves.datasets:
            with_looks, without = paid["targets"][target][name], free["targets"][target][name]
            assert with_looks["epochs"] == pytest.approx(without["epochs"] + more)
            assert with_looks["price"] == pytest.approx(without["price"] + more / 5)
            assert with_looks["winners"] == without["winners"]
    # What was recalled by looks is paid for by everybody.
    recalled = replay_selection(curves, policies, openings=from_recall(curves, 1.5))
    for name in policies:
        assert recalled["summary"][name]["epochs"] == pytest.approx(
            free["summary"][name]["epochs"] + 1.5
        )


def test_who_does_not_forecast_gets_no_expectation_with_looks_for_those_who_do():
    expected = expected_of(make_curves(4, 4, 1))
    opening = Opening(("a",), 2.0, expected, for_forecasts=True)
    assert opening.for_policy(get_policy("trend:tolerance=1")) is opening
    for policy in (POLICY["halving"], POLICY["paper"], lambda state: None):
        theirs = opening.for_policy(policy)
        assert (theirs.models, theirs.proxy_epochs, theirs.expected) == (("a",), 0.0, None)
    shared = Opening(("a",), 2.0, expected)
    assert shared.for_policy(POLICY["halving"]) is shared


def test_calibration_is_counted_for_those_that_give_chances():
    curves = make_curves(9, 6, 2, seed=2)
    document = replay_selection(
        curves,
        {name: POLICY[name] for name in ("halving", "trend")},
        openings=from_recall(curves),
    )
    assert document["summary"]["halving"]["calibration"] == {}
    found = document["summary"]["trend"]["calibration"]
    assert found["selections"] == 6 * 2
    assert found["dropped"] > 20
    assert found["best"] <= 0.05
    # Judged by the mean of the other seeds, of the candidates alone.
    both = sum(row["trend"]["winner_rank"] == 1 for row in document["targets"].values())
    assert found["winner_best"] >= both / 6
    json.dumps(document, allow_nan=False)


def test_the_judging_seed_is_not_the_one_that_was_seen():
    curves = make_curves(4, 2, 3)
    for s, case in enumerate(replicates(curves, "d1")):
        others = [o for o in range(3) if o != s]
        np.testing.assert_allclose(case.truth, curves.test[:, 1, others].mean(axis=1))
        assert not case.same_seed


def test_missing_cells_and_unequal_lengths():
    curves = make_curves(6, 4, 2, seed=7)
    val, test = curves.val.copy(), curves.test.copy()
    val[0, 0], test[0, 0] = np.nan, np.nan  # m00 was never run on d0
    val[1, 1, :, -2:] = np.nan  # m01 was stopped at epoch 3 on d1
    val[2, 2, 0], test[2, 2, 0] = np.nan, np.nan  # m02 has one seed on d2
    val[:, 3], test[:, 3] = np.nan, np.nan  # nothing on d3
    curves = dataclasses.replace(curves, val=val, test=test)
    assert "m00" not in replicates(curves, "d0")[0].candidates
    assert all("m02" not in case.candidates for case in replicates(curves, "d2"))
    document = replay_selection(curves, POLICY)
    assert set(document["targets"]) == {"d0", "d1", "d2"}
    assert "d3" in document["skipped"]
    assert document["targets"]["d0"]["brute-force"]["epochs"] == 25
    assert document["targets"]["d1"]["brute-force"]["epochs"] == 5 * 5 + 3
    for rows in document["targets"].values():
        for row in rows.values():
            assert row["regret"] >= 0
    json.dumps(document, allow_nan=False)


def test_unrecorded_seconds_are_null_not_nan():
    curves = dataclasses.replace(two_by_two(), seconds=np.full((2, 2, 2, 2), np.nan))
    document = replay_selection(curves, {"halving": POLICY["halving"]}, cost="seconds")
    assert document["summary"]["halving"]["seconds"] is None
    assert document["summary"]["halving"]["price"] is None
    json.dumps(document, allow_nan=False)


def test_nothing_to_replay_and_unknown_cost():
    untested = curve_set([[[0.5]]], [[np.nan]])
    with pytest.raises(InputError, match="no dataset"):
        replay_selection(untested, POLICY)
    with pytest.raises(InputError, match="cost"):
        replay_selection(two_by_two(), POLICY, cost="euros")
    with pytest.raises(InputError, match="no policy"):
        replay_selection(two_by_two(), {})


@pytest.mark.parametrize("epochs", [(), (1.0,)])
def test_scores_without_curves_cannot_be_replayed(epochs):
    scores = curve_set(np.full((3, 2, len(epochs)), np.nan), np.full((3, 2), 0.5), epochs=epochs)
    with pytest.raises(InputError, match=r"^the record holds no learning curves$") as error:
        replay_selection(scores, POLICY)
    assert "`epoch` and `val`" in error.value.hint
    with pytest.raises(InputError, match="no learning curves of text-regression"):
        replay_selection(scores, POLICY, task="text-regression")
    assert replicates(scores, "d0") == []


def test_a_shorter_horizon_costs_less():
    curves = make_curves(8, 3, 2)
    document = replay_selection(curves, {"halving": POLICY["halving"]}, horizon=3.0)
    assert document["summary"]["halving"]["epochs"] == 8 + 4 + 2


def test_a_replayed_trial():
    curves = two_by_two()
    trial = ReplayTrial(curves, "a", "x", 1)
    assert trial.horizon == 2.0
    assert trial.advance(0.25).epochs.tolist() == [1.0]  # the next point that was evaluated
    with pytest.raises(ValueError, match="once, at the end"):
        trial.test()
    assert trial.advance(2.0).val.tolist() == [0.5, 0.7]
    assert len(trial.advance(1.0)) == 2  # what it was trained is not forgotten
    assert trial.test() == 0.69
    with pytest.raises(ValueError, match="once, at the end"):
        trial.test()
    trial.close()
    with pytest.raises(ValueError, match="closed"):
        trial.advance(2.0)


def test_a_trial_that_was_never_run():
    curves = curve_set([[[np.nan]]], [[np.nan]])
    with pytest.raises(TrialError, match="no recorded run of a on d0"):
        ReplayTrial(curves, "a", "d0", 0)


def test_the_same_replay_gives_the_same_document():
    curves = make_curves(10, 4, 2)
    assert replay_selection(curves, POLICY) == replay_selection(curves, POLICY)
