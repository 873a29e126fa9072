"""The driver: what is trained, closed, tested and counted; failures, stops and the journal."""

import contextlib
import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
from synthetic import Bench, curve_set, expected_of, make_curves

from hf_select.errors import InputError, ModelError, StoppedError, TrialError
from hf_select.metrics import get_metric
from hf_select.records import LearningCurve
from hf_select.selection.budget import Budget, Purse
from hf_select.selection.policies import Decision, get_policy
from hf_select.selection.run import Journal, Scale, run_selection, through

ACCURACY = get_metric("accuracy")


def select(bench, policy="halving", curves=None, **more):
    settings = {"horizon": 5.0, "metric": ACCURACY, "val_trivial": 0.2, **more}
    if curves is not None:
        settings["record"] = curves.without_dataset(curves.datasets[0])
    return run_selection(bench.factories, get_policy(policy), **settings)


@pytest.fixture
def curves():
    return make_curves(9, 4, 1, seed=2)


def test_cost_is_what_was_trained(curves):
    bench = Bench(curves)
    result = select(bench, curves=curves, proxy_epochs=0.7)
    assert result.epochs == sum(bench.work.values()) == 9 + 4 + 2 + 2  # 9, 4, 2, then one for two
    assert result.price == pytest.approx((17 + 0.7) / 5)
    assert result.seconds == pytest.approx(
        sum(curve.seconds[-1] for curve in result.curves.values())
    )
    assert {m: c.epochs[-1] for m, c in result.curves.items()} == bench.work


def test_only_the_winner_is_tested_once_and_left_open(curves):
    bench = Bench(curves)
    result = select(bench, curves=curves)
    for model, (trial,) in bench.opened.items():
        assert trial.tests == (model == result.winner)
        assert trial.closed == (model != result.winner)
    i = curves.models.index(result.winner)
    assert result.test == curves.test[i, 0, 0]
    assert result.val == result.curves[result.winner].val[-1]


def test_dropped_trials_are_closed_before_the_next_round(curves):
    bench, held = Bench(curves), []
    select(
        bench,
        curves=curves,
        on_advance=lambda model, curve: held.append(
            sum(not t.closed for trials in bench.opened.values() for t in trials)
        ),
    )
    assert held[:9] == list(range(1, 10))  # opened one by one, when first advanced
    assert held[9:13] == [4] * 4


def test_rungs_are_raw_and_told_as_they_happen():
    curves = make_curves(6, 3, 1, metric="rmse")
    told = []
    result = run_selection(
        Bench(curves).factories,
        get_policy("paper"),
        horizon=5.0,
        metric=get_metric("rmse"),
        val_trivial=1.6,
        record=curves.without_dataset("d0"),
        on_rung=told.append,
    )
    assert tuple(told) == result.rungs
    first = result.rungs[0]
    for i, model in enumerate(curves.models):
        assert first.val[model] == pytest.approx(curves.val[i, 0, 0, 3])
    # A forecast is a mean of recorded test errors of that model, in the user's units.
    recorded = curves.test[:, 1:, 0]
    for model, forecast in first.forecast.items():
        row = recorded[curves.models.index(model)]
        assert row.min() - 1e-9 <= forecast <= row.max() + 1e-9
    assert (
        result.winner
        == curves.models[
            int(np.argmin([c.val[-1] if len(c) == 8 else 9 for c in result.curves.values()]))
        ]
    )


def test_rungs_say_how_far_each_has_come_and_who_leads(curves):
    """One step at a time: candidates differ in their epoch."""
    result = select(Bench(curves), "asha", curves=curves)
    assert result.ended == ""
    for rung in result.rungs:
        assert set(rung.reached) == set(rung.live)
        assert rung.epoch == max(rung.reached.values())
        assert set(rung.val) == {model for model, epoch in rung.reached.items() if epoch}
        i = curves.models.index(rung.leader)
        at = curves.epochs.tolist().index(rung.reached[rung.leader])
        assert rung.val[rung.leader] == pytest.approx(curves.val[i, 0, 0, at])
    assert result.rungs[-1].leader == result.winner
    # Where the policy names nobody, the best score so far leads.
    for rung in select(Bench(curves), "halving", curves=curves).rungs:
        assert rung.val[rung.leader] == max(rung.val.values())


def test_forecasts_and_intervals_are_in_the_users_units():
    """Of an error, the interval rises although skill falls."""

    def policy(state):
        return dataclasses.replace(
            get_policy("brute-force")(state),
            forecast={"m00": 0.75},
            interval={"m00": (0.5, 0.9)},
            p_best={"m00": 0.7},
        )

    curves = make_curves(2, 3, 1, metric="rmse")
    result = run_selection(
        Bench(curves).factories,
        policy,
        horizon=5.0,
        metric=get_metric("rmse"),
        val_trivial=1.6,
    )
    last = result.rungs[-1]
    assert last.forecast["m00"] == pytest.approx(0.25 * 1.6)
    assert last.interval["m00"] == pytest.approx((0.1 * 1.6, 0.5 * 1.6))
    assert last.p_best == {"m00": 0.7}


@pytest.mark.parametrize(
    ("metric", "trivial", "raw", "point"),
    [
        ("accuracy", 0.2, False, 0.01 / 0.8),
        ("accuracy", 0.2, True, 0.01),
        ("accuracy", np.nan, False, 0.01),
        ("matthews_correlation", 0.0, False, 0.01),
        ("rmse", 1.6, False, 0.01),  # a hundredth of the way from trivial to perfect
        ("rmse", np.nan, False, 0.01),
    ],
)
def test_what_a_point_is(metric, trivial, raw, point):
    scale = Scale(get_metric(metric), trivial, raw)
    assert scale.point == pytest.approx(point)
    if metric == "accuracy":  # a point in the user's units is 0.01
        start = float(scale.to_policy(0.7))
        assert float(scale.to_raw(start + scale.point)) == pytest.approx(0.71)


def test_what_the_policy_is_told(curves):
    states = []

    def spy(state):
        states.append(state)
        return get_policy("brute-force")(state)

    expected = expected_of(curves)
    run_selection(
        Bench(curves).factories,
        spy,
        horizon=5.0,
        metric=ACCURACY,
        val_trivial=0.2,
        expected=expected,
        rows=lambda epoch: 20 if epoch < 1 else 400,
        doubt=1.5,
    )
    for state in states:
        assert state.expected is expected
        assert (state.rows(0.5), state.rows(1.0), state.doubt) == (20, 400, 1.5)
        # One row's variance as skill is that of the raw score over the square of its range.
        raw = 0.2 + 0.8 * 0.6
        assert state.row_variance(np.array(0.6)) == pytest.approx(raw * (1 - raw) / 0.8**2)


def test_raw_scores_reach_the_policy_under_the_preset(curves):
    seen = []

    def spy(state):
        seen.append(state)
        return get_policy("brute-force")(state)

    for raw in (False, True):
        run_selection(
            Bench(curves).factories,
            spy,
            horizon=5.0,
            metric=ACCURACY,
            val_trivial=0.2,
            record=curves.without_dataset("d0"),
            raw=raw,
        )
    skill, raw_state = seen[1], seen[3]
    expected = curves.val[0, 0, 0]
    np.testing.assert_allclose(raw_state.curves["m00"].val, expected)
    np.testing.assert_allclose(skill.curves["m00"].val, (expected - 0.2) / 0.8)
    np.testing.assert_array_equal(raw_state.record.val, curves.val[:, 1:])
    assert skill.show(0.5) == "0.6000"
    assert raw_state.show(0.5) == "0.5000"


def test_without_a_known_trivial_error_raw_errors_are_turned_round():
    scale = Scale(get_metric("rmse"))
    assert not scale.is_skill
    assert scale.to_policy(2.0) == -2.0
    assert scale.to_raw(-2.0) == 2.0
    assert scale.show(float("-inf")) == "no score"
    curves = make_curves(6, 3, 1, metric="rmse")
    result = run_selection(
        Bench(curves).factories,
        get_policy("paper"),
        horizon=5.0,
        metric=get_metric("rmse"),
        record=curves.without_dataset("d0"),
    )
    assert "no recorded curves" in result.rungs[0].dropped[0].reason


# ---------------------------------------------------------------------------------- failures


def test_a_failed_trial_is_out_and_reported_and_paid_for(curves):
    best = select(Bench(curves), curves=curves).winner
    bench = Bench(curves, fails={best: 3.0})
    result = select(bench, curves=curves)
    assert result.winner != best
    assert [bad.repo_id for bad in result.failed] == [best]
    assert "oom" in result.failed[0].reason
    assert "out of memory" in result.failed[0].reason
    assert bench.opened[best][0].closed == 1
    assert result.curves[best].epochs[-1] == 2.0
    assert result.epochs == sum(bench.work.values())


@pytest.mark.parametrize("policy", ["halving", "trend", "asha", "brute-force", "paper"])
def test_where_the_last_one_fails_those_that_it_had_beaten_are_back(curves, policy):
    """It fails when the others have long been dropped: no reason to hand over nobody."""
    told = {"expected": expected_of(curves.without_dataset("d0"))}
    best = select(Bench(curves), policy, curves=curves, **told).winner
    bench = Bench(curves, fails={best: 5.0})
    result = select(bench, policy, curves=curves, **told)
    assert [bad.repo_id for bad in result.failed] == [best]
    assert result.winner != best
    assert result.curves[result.winner].epochs[-1] == 5
    assert result.winner in result.rungs[-1].live
    dropped = [drop.model for rung in result.rungs for drop in rung.dropped]
    assert sorted([*dropped, result.winner, best]) == sorted(curves.models)


def test_a_winner_that_cannot_be_tested_is_not_the_winner(curves):
    best = select(Bench(curves), curves=curves).winner
    bench = Bench(curves, disk={})
    opener = bench.factories[best]

    def broken():
        trial = opener()

        def test():
            raise TrialError("its outputs are not finite", status="diverged")

        trial.test = test
        return trial

    bench.factories[best] = broken
    result = select(bench, curves=curves)
    assert result.winner != best
    assert [bad.reason for bad in result.failed] == ["diverged: its outputs are not finite"]
    assert all(trial.closed for trial in bench.opened[best])


def test_a_model_that_cannot_be_opened_is_reported(curves):
    bench = Bench(curves)

    def broken():
        raise ModelError("m03 has no weights")

    bench.factories["m03"] = broken
    result = select(bench, curves=curves)
    assert [(bad.repo_id, bad.reason) for bad in result.failed] == [
        ("m03", "failed: m03 has no weights")
    ]
    assert "m03" not in result.curves


def test_a_trial_without_scores_has_failed(curves):
    bench = Bench(curves)
    opener = bench.factories["m03"]

    def mute():
        trial = opener()
        trial.advance = lambda to: LearningCurve.empty()
        return trial

    bench.factories["m03"] = mute
    result = select(bench, curves=curves)
    assert "no validation score at epoch 1" in result.failed[0].reason


def test_if_all_fail_so_does_the_selection(curves):
    bench = Bench(curves, fails=dict.fromkeys(curves.models, 1.0))
    with pytest.raises(TrialError, match=r"m00.*m08") as error:
        select(bench, curves=curves)
    assert error.value.status == "oom"
    assert all(trial.closed for trials in bench.opened.values() for trial in trials)


def test_no_candidate_and_no_horizon_are_refused(curves):
    with pytest.raises(InputError, match="no candidate"):
        run_selection({}, get_policy("halving"), horizon=5.0, metric=ACCURACY)
    with pytest.raises(InputError, match="horizon"):
        select(Bench(curves), horizon=0.0)


@pytest.mark.parametrize(
    "decision",
    [
        Decision(),
        Decision(winner="nobody"),
        Decision(advance={"m00": 9.0}),
        Decision(advance={"nobody": 1.0}),
        Decision(advance={"m00": 0.0}),
    ],
)
def test_a_policy_that_makes_no_progress_is_refused(curves, decision):
    with pytest.raises(ValueError, match="can't be carried out"):
        run_selection(Bench(curves).factories, lambda state: decision, horizon=5.0, metric=ACCURACY)


def test_a_run_that_ended_early_keeps_its_last_score():
    val = [[[0.5, 0.6, np.nan]], [[0.4, 0.5, 0.55]]]
    curves = curve_set(val, [[0.5]] * 2, epochs=(1.0, 2.0, 3.0))
    result = run_selection(
        Bench(curves).factories, get_policy("brute-force"), horizon=3.0, metric=ACCURACY
    )
    assert (result.winner, result.val, result.epochs) == ("a", 0.6, 5)


# ------------------------------------------------------------------------- stopping, resuming


def test_stopping_closes_everything_and_the_same_call_goes_on(curves, tmp_path):
    whole = select(Bench(curves), curves=curves)
    disk, work, stops = {}, 0.0, 0
    result = None
    while result is None:
        done = itertools.count()
        bench = Bench(curves, disk=disk)
        stop = functools.partial(lambda done, limit: next(done) >= limit, done, stops + 2)
        with contextlib.suppress(StoppedError):
            result = select(
                bench, curves=curves, journal=tmp_path / "journal.jsonl", should_stop=stop
            )
        if result is None:
            assert all(t.closed for trials in bench.opened.values() for t in trials)
            stops += 1
        work += sum(bench.work.values())
    assert stops > 5
    assert same(result, whole)
    assert work == whole.epochs  # nothing was trained twice


def test_a_stop_says_how_to_go_on(curves):
    with pytest.raises(StoppedError, match="before training m00 to epoch 1") as error:
        select(Bench(curves), curves=curves, should_stop=lambda: True)
    assert (error.value.exit_code, "again" in error.value.hint) == (3, True)


def same(one, other):
    return (
        one.winner == other.winner
        and one.rungs == other.rungs
        and one.curves == other.curves
        and (one.test, one.val, one.epochs, one.seconds)
        == (other.test, other.val, other.epochs, other.seconds)
        and one.failed == other.failed
    )


@pytest.mark.parametrize("policy", ["halving", "fractional-halving", "paper"])
def test_cut_off_anywhere_the_result_is_the_same(curves, tmp_path, policy):
    """Killed after any line of the journal, or in the middle of one."""
    fails = {"m04": 0.5}
    path = tmp_path / "journal.jsonl"
    bench = Bench(curves, fails=fails, disk={})
    whole = select(bench, policy, curves=curves, journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == sum(len(rung.live) for rung in whole.rungs) + len(whole.failed)
    for count in range(len(lines) + 1):
        for torn in (b"", lines[count][:-1] if count < len(lines) else b"", b'{"model": "m0'):
            path.write_bytes(b"".join(lines[:count]) + torn)
            known = {}  # what the journal's advances had left on disk
            for line in map(json.loads, lines[:count]):
                if "curve" in line:
                    known[line["model"]] = line["curve"]["epochs"][-1]
            before = sum(known.values())
            bench = Bench(curves, fails=fails, disk=dict(known))
            again = select(bench, policy, curves=curves, journal=path)
            assert same(again, whole)
            assert before + sum(bench.work.values()) == pytest.approx(whole.epochs)
            assert path.read_bytes() == b"".join(lines)


def test_dropped_trials_are_not_opened_again(curves, tmp_path):
    path = tmp_path / "journal.jsonl"
    whole = select(Bench(curves), curves=curves, journal=path)
    bench = Bench(curves)  # no checkpoint either: only the winner is trained anew
    again = select(bench, curves=curves, journal=path)
    assert same(again, whole)
    assert list(bench.opened) == [whole.winner]
    assert bench.work == {whole.winner: 5.0}


def test_the_test_score_is_not_in_the_journal(curves, tmp_path):
    path = tmp_path / "journal.jsonl"
    result = select(Bench(curves), curves=curves, journal=path)
    assert "test" not in path.read_text()
    assert repr(result.test) not in path.read_text()


def test_a_reader_of_the_journal_leaves_it_alone(curves, tmp_path):
    path = tmp_path / "journal.jsonl"
    select(Bench(curves), curves=curves, journal=path)
    content = path.read_bytes()[:-7]
    path.write_bytes(content)
    select(Bench(curves), curves=curves, journal=path, write_journal=False)
    assert path.read_bytes() == content


def test_a_failure_in_the_journal_is_not_tried_again(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add("a", 1.0, LearningCurve.of([0.5, 1.0], [0.1, 0.2]))
    journal.fail("a", 2.0, TrialError("too big", status="oom"))
    again = Journal(tmp_path / "journal.jsonl")
    assert again.get("a", 0.5) == LearningCurve.of([0.5], [0.1])
    assert len(again.get("a", 1.0)) == 2
    with pytest.raises(TrialError, match="too big") as error:
        again.get("a", 2.0)
    assert error.value.status == "oom"
    assert again.get("b", 0.5) is None


def test_a_model_that_could_not_be_loaded_is_tried_again(curves, tmp_path):
    """A wrong catalog or a network that was down must not cost a candidate for good."""
    path, broken, asked = tmp_path / "journal.jsonl", Bench(curves), [0]
    best = select(Bench(curves), curves=curves).winner

    def missing():
        raise ModelError(f"no model at {best}", hint="name a catalog")

    def soon():
        asked[0] += 1
        return asked[0] > 12

    broken.factories[best] = missing
    with pytest.raises(StoppedError):
        select(broken, curves=curves, journal=path, should_stop=soon)
    assert "failed" not in path.read_text()
    again = Bench(curves, disk=broken.disk)
    result = select(again, curves=curves, journal=path)
    assert result.winner == best
    assert result.failed == ()


def test_a_model_that_cannot_be_opened_again_was_paid_for(curves, tmp_path):
    path, best = tmp_path / "journal.jsonl", select(Bench(curves), curves=curves).winner
    asked = itertools.count()
    with pytest.raises(StoppedError):
        select(Bench(curves), curves=curves, journal=path, should_stop=lambda: next(asked) >= 9)
    again = Bench(curves)

    def missing():
        raise ModelError(f"no model at {best}")

    again.factories[best] = missing
    result = select(again, curves=curves, journal=path)
    assert [bad.repo_id for bad in result.failed] == [best]
    assert result.curves[best].epochs[-1] == 1.0


def test_the_future_of_a_trial_is_not_shown(curves):
    """A trial that is further than asked for, restored from a checkpoint, shows what was asked."""
    ahead = Bench(curves, disk=dict.fromkeys(curves.models, 5.0))
    assert same(select(ahead, curves=curves), select(Bench(curves), curves=curves))


def test_the_part_of_a_curve_that_an_advance_shows():
    curve = LearningCurve.of([0.5, 1.0, 2.0], [0.1, 0.2, 0.3])
    assert through(curve, 0.5).epochs.tolist() == [0.5]
    assert through(curve, 0.75).epochs.tolist() == [0.5, 1.0]
    assert through(curve, 3.0) == curve
    assert through(LearningCurve.empty(), 1.0) == LearningCurve.empty()


# ------------------------------------------------------------------------------- side by side


@pytest.mark.parametrize("limit", [{"epochs": 12.0}, {"epochs": 7.0}, {"price": 2.0}])
def test_a_round_that_is_trained_at_once_keeps_the_budget_as_one_by_one(curves, limit):
    """Each step is asked for beside those that are planned already, not as the only one."""
    found = []
    for at_once in (False, True):
        bench, rounds = Bench(curves), []
        result = select(
            bench,
            curves=curves,
            budget=Budget(**limit),
            side_by_side=rounds.append if at_once else None,
            workers=3 if at_once else 1,
        )
        found.append((result.winner, result.epochs, result.curves[result.winner].epochs[-1]))
        assert bool(rounds) == at_once
    assert found[0][1:] == found[1][1:]
    assert found[1][1] <= limit.get("epochs", 5 * limit.get("price", 0)) + 1e-9


def test_all_of_a_round_is_told_at_once_and_nothing_twice(curves):
    rounds = []
    result = select(Bench(curves), curves=curves, side_by_side=rounds.append, workers=2)
    told = [(model, to) for plan in rounds for model, to in plan.items()]
    assert len(told) == len(set(told))
    assert len(rounds[0]) == 9
    assert result.curves[result.winner].epochs[-1] == 5


def test_a_clock_counts_workers_side_by_side_once(curves):
    """Ten seconds of two workers are five by the clock."""
    purse = Purse(Budget(seconds=8.0), 5.0, clock=lambda: 0.0, workers=2)
    one = LearningCurve(*(np.array([x]) for x in (1.0, 0.5, 0.5, 0.5, 5.0)))
    assert purse.can_pay("a", 0.5, "b", {"a": one, "b": one}) is False
    assert purse.furthest("a", {"a": one, "b": one}) > 1.0
    alone = Purse(Budget(seconds=8.0), 5.0, clock=lambda: 0.0)
    assert alone.furthest("a", {"a": one, "b": one}) == 1.0
