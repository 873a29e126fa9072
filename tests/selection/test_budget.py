"""Budgets: what they refuse, what a purse pays for, and selections that end with one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import GRID, Bench, curve_set, expected_of, make_curves

from hf_select.errors import InputError, TrialError
from hf_select.metrics import get_metric
from hf_select.records import LearningCurve
from hf_select.selection.budget import STEP, Budget, Purse, parse_seconds
from hf_select.selection.policies import POLICIES, Decision, get_policy
from hf_select.selection.run import run_selection

ACCURACY = get_metric("accuracy")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 2H ", 7200),
        ("1d", 86400),
        ("1d2h3m4.5s", 86400 + 7200 + 180 + 4.5),
        ("0.5", 0.5),
    ],
)
def test_lengths_of_time(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "m", "30 m", "1h 30m", "-5", "-5m", "30ms", "1e3", "nan", "inf", "h1", "1,5h", "1h30"],
)
def test_what_is_no_length_of_time(text):
    with pytest.raises(InputError, match="no length of time") as error:
        parse_seconds(text)
    assert "30m" in error.value.hint


@pytest.mark.parametrize("name", ["seconds", "epochs", "price"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), -float("inf")])
def test_a_budget_is_above_zero(name, value):
    with pytest.raises(InputError, match=f"budget: {name} is .*above 0"):
        Budget(**{name: value})


def test_a_budget_as_values():
    assert Budget(epochs=3).to_dict() == {"seconds": None, "epochs": 3, "price": None}
    assert Budget() == Budget(None, None, None)


# --------------------------------------------------------------------------------- the purse


def curve(epochs, seconds_per_epoch=10.0):
    """A run that has come that far."""
    at = np.array([epochs], dtype=float)
    nothing = np.full(1, np.nan)
    return LearningCurve(at, np.array([0.5]), nothing, nothing, at * seconds_per_epoch)


def purse(budget, *, horizon=4.0, now=None, **more):
    return Purse(budget, horizon, clock=lambda: (now or [0.0])[0], **more)


def test_without_limits_everything_can_be_paid_for():
    free = purse(Budget())
    assert free.can_pay("a", 4.0, "b", {})
    assert (free.furthest("a", {}), free.why) == (4.0, "")


@pytest.mark.parametrize("budget", [Budget(epochs=6.0), Budget(price=1.5)])
def test_the_leaders_training_is_reserved(budget):
    """6 epochs, 1 + 1 spent, the leader needs 3 more: one is left for others."""
    seen = {"a": curve(1.0), "b": curve(1.0)}
    mine = purse(budget)
    assert mine.can_pay("b", 2.0, "a", seen)
    assert mine.why == ""
    assert not mine.can_pay("b", 2.125, "a", seen)
    words = "6 epochs" if budget.epochs else "a price of 1.5"
    assert mine.why == f"the rest of {words} pays for no further step"
    assert mine.can_pay("c", 1.0, "a", seen)
    assert not mine.can_pay("c", 2.0, "a", seen)
    assert mine.can_pay("a", 4.0, "a", seen)  # the leader's own


def test_proxy_passes_are_paid_for():
    seen = {"a": curve(1.0), "b": curve(1.0)}
    for looks, can in ((0.5, True), (1.5, False)):
        assert purse(Budget(epochs=6.0), proxy_epochs=looks).can_pay("b", 1.5, "a", seen) == can


def test_the_first_limit_that_is_reached_counts():
    both = purse(Budget(epochs=100, price=1.0))
    assert not both.can_pay("b", 1.0, "a", {"a": curve(1.0)})
    assert "a price of 1" in both.why


@pytest.mark.parametrize(
    ("epochs", "at", "end"),
    [
        (10.0, 0.0, 4.0),
        (4.0, 0.0, 4.0),
        (2.3, 0.0, 2.25),  # at a multiple of an eighth
        (2.3, 1.0, 2.25),
        (1.0, 1.0, 1.0),
        (0.5, 1.0, 1.0),  # spent already: no further, but not back either
        (0.01, 0.0, STEP),  # a first step is always made
    ],
)
def test_how_far_the_rest_goes(epochs, at, end):
    seen = {"a": curve(at)} if at else {}
    mine = purse(Budget(epochs=epochs))
    assert mine.furthest("a", seen) == pytest.approx(end)
    assert bool(mine.why) == (end < 4.0)


def test_a_first_step_is_no_longer_than_the_training():
    assert purse(Budget(epochs=0.01), horizon=0.1).furthest("a", {}) == 0.1


def test_seconds_by_a_fake_clock():
    """100 s, of which 30 went by while a was trained for 10 s and b for 20, an epoch each."""
    now = [1000.0]
    seen = {"a": curve(1.0, 10.0), "b": curve(1.0, 20.0)}
    mine = purse(Budget(seconds=100), now=now)
    resumed = purse(Budget(seconds=100), now=now)  # what was trained before is on no clock
    assert resumed.furthest("a", seen) == mine.furthest("a", seen) == 4.0
    assert not mine.can_pay("b", 3.1, "a", seen)
    now[0] += 30
    # a needs 30 s, of 70: 40 are left for b, two epochs.
    assert mine.can_pay("b", 3.0, "a", seen)
    assert not mine.can_pay("b", 3.1, "a", seen)
    assert mine.why == "the rest of 100 s pays for no further step"
    now[0] += 15  # 25 left for b
    assert mine.can_pay("b", 2.25, "a", seen)
    assert not mine.can_pay("b", 2.3, "a", seen)
    # Of one that was never trained, the mean pace of the others is what is known.
    assert mine.can_pay("c", 1.5, "a", seen)
    assert not mine.can_pay("c", 1.75, "a", seen)
    now[0] += 35  # 20 s left: two epochs of a
    assert mine.furthest("a", seen) == 3.0
    now[0] += 1000
    assert mine.furthest("a", seen) == 1.0


def test_before_anything_was_timed_nothing_is_known_to_be_too_slow():
    assert purse(Budget(seconds=1.0)).can_pay("a", 1.0, "b", {})


# ------------------------------------------------------------------------- whole selections


def select(curves, policy, budget, *, bench=None, **more):
    record = curves.without_dataset(curves.datasets[0])
    return run_selection(
        (bench or Bench(curves)).factories,
        get_policy(policy) if isinstance(policy, str) else policy,
        horizon=float(curves.epochs[-1]),
        metric=ACCURACY,
        val_trivial=float(curves.baselines[0]),
        record=record,
        expected=expected_of(record),
        budget=budget,
        **more,
    )


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    epochs=st.floats(0.01, 60),
    kind=st.sampled_from(["epochs", "price"]),
    looks=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 3),
)
def test_every_policy_respects_a_budget_and_hands_over_a_winner(name, epochs, kind, looks, seed):
    curves = make_curves(7, 5, 1, seed=seed)
    budget = Budget(epochs=epochs) if kind == "epochs" else Budget(price=epochs / 5)
    bench = Bench(curves)
    result = select(curves, name, budget, bench=bench, proxy_epochs=looks)
    # Scores are there at the steps of GRID only: the last step of the winner may be one too long.
    at = float(result.curves[result.winner].epochs[-1])
    before = max([0.0, *(e for e in GRID if e < at)])
    assert result.epochs + looks <= max(epochs, looks + STEP) + (at - before) + 1e-9
    assert result.epochs == pytest.approx(sum(bench.work.values()))
    assert result.winner in result.curves
    if result.rungs:
        assert result.rungs[-1].leader == result.winner
        assert result.winner in result.rungs[-1].live
    gone = [drop.model for rung in result.rungs for drop in rung.dropped]
    assert sorted([*gone, result.winner]) == sorted(curves.models)
    if at < 5:
        assert f"{result.winner} was trained for" in result.ended
    if result.ended:
        assert "pays for no further step" in result.ended
        assert all(
            trial.closed == (model != result.winner)
            for model, trials in bench.opened.items()
            for trial in trials
        )
    else:
        assert result.rungs == select(curves, name, None).rungs


@pytest.mark.parametrize("name", POLICIES)
def test_a_budget_that_is_large_enough_changes_nothing(name):
    curves = make_curves(7, 5, 1, seed=1)
    free = select(curves, name, None)
    paid = select(curves, name, Budget(epochs=35, price=7, seconds=1e6))
    assert (paid.rungs, paid.winner, paid.epochs, paid.ended) == (
        *(free.rungs, free.winner, free.epochs),
        "",
    )


@pytest.mark.parametrize("name", POLICIES)
def test_a_budget_below_one_step_still_answers(name):
    curves = make_curves(5, 4, 1)
    result = select(curves, name, Budget(epochs=0.01))
    assert result.epochs == STEP
    assert len(result.curves) == 1
    assert result.ended == (
        "the rest of 0.01 epochs pays for no further step; "
        f"{result.winner} was trained for 0.125 of 5 epochs"
    )


def test_what_is_dropped_at_the_end_of_the_budget_says_so():
    curves = make_curves(7, 5, 1)
    result = select(curves, "brute-force", Budget(price=2.1))
    last = result.rungs[-1]
    assert last.dropped
    for drop in last.dropped:
        assert drop.reason == (
            "The budget was used up: the rest of a price of 2.1 pays for no further step. "
            f"{result.winner} was ahead then."
        )
    assert last.note in result.ended


def test_the_best_of_an_unfinished_round_wins():
    """Halving's first round is cut off after three of six: the best of those three goes on."""
    curves = curve_set(
        [[[v] * 4] for v in (0.5, 0.8, 0.6, 0.9, 0.4, 0.3)],
        [[0.5]] * 6,
        epochs=(1.0, 2.0, 3.0, 4.0),
    )
    result = run_selection(
        Bench(curves).factories,
        get_policy("halving"),
        horizon=4.0,
        metric=ACCURACY,
        budget=Budget(epochs=6.0),
    )
    assert result.winner == "b"
    assert result.epochs == 6  # a, b and c for one, b for three more
    assert result.curves["b"].epochs[-1] == 4
    assert set(result.curves) == {"a", "b", "c"}


def test_whom_the_policy_names_leads_even_with_a_lower_score():
    """A forecast may say that another one will be better in the end."""
    curves = curve_set([[[0.9] * 4], [[0.5] * 4]], [[0.5]] * 2, epochs=(1.0, 2.0, 3.0, 4.0))

    def policy(state):
        steps = {"a": 1.0} if "a" not in state.curves else {"b": 1.0}
        steps = {"a": 4.0} if len(state.curves) == 2 else steps
        return Decision(advance=steps, leader="b")

    result = run_selection(
        Bench(curves).factories, policy, horizon=4.0, metric=ACCURACY, budget=Budget(epochs=5.0)
    )
    assert (result.winner, result.epochs) == ("b", 5)


def test_a_leader_that_fails_while_the_rest_is_spent_on_it():
    """Its training ends with an error: the next best is the winner, not a crash."""
    curves = curve_set(
        [[[v] * 4] for v in (0.9, 0.8, 0.1)], [[0.5]] * 3, epochs=(1.0, 2.0, 3.0, 4.0)
    )
    bench = Bench(curves, fails={"a": 2.5})
    result = run_selection(
        bench.factories,
        get_policy("brute-force"),
        horizon=4.0,
        metric=ACCURACY,
        budget=Budget(epochs=2.5),
    )
    # a, the best after the first epochs of a alone, is trained on for 2.5, and fails.
    assert (result.winner, [bad.repo_id for bad in result.failed]) == ("b", ["a"])
    assert "oom" in result.failed[0].reason
    assert [drop.model for drop in result.rungs[-1].dropped] == ["c"]
    assert "a was trained" not in result.ended
    with pytest.raises(TrialError, match="every trial has failed"):
        run_selection(
            Bench(curves, fails=dict.fromkeys("abc", 1.0)).factories,
            get_policy("brute-force"),
            horizon=4.0,
            metric=ACCURACY,
            budget=Budget(epochs=2.5),
        )


def test_whoever_can_be_finished_wins_over_a_leader_that_cannot():
    """b was trained to its end before a, for which too little is left, came to lead."""
    curves = curve_set([[[0.9] * 4], [[0.5] * 4]], [[0.5]] * 2, epochs=(1.0, 2.0, 3.0, 4.0))

    def policy(state):
        if "b" not in state.curves:
            return Decision(advance={"b": 4.0}, leader="b")
        if "a" in state.live:
            return Decision(advance={"a": 4.0}, leader="a")
        return Decision(winner="b")

    result = run_selection(
        Bench(curves, fails={"a": 1.0}).factories,
        policy,
        horizon=4.0,
        metric=ACCURACY,
        budget=Budget(epochs=5.0),
    )
    assert result.winner == "b"
    assert "was trained" not in result.ended


def test_a_selection_that_is_too_slow_ends_in_time():
    """Every advance takes its recorded seconds on a fake clock."""
    curves = make_curves(8, 4, 1)
    now = [0.0]
    spent = {}

    def clock(model, curve):
        now[0] += curve.seconds[-1] - spent.get(model, 0.0)
        spent[model] = curve.seconds[-1]

    whole = select(curves, "halving", None).seconds
    for limit in (whole / 4, whole / 2, whole * 0.9):
        now[0] = 0.0
        spent.clear()
        limited = {"budget": Budget(seconds=limit), "on_advance": clock, "clock": lambda: now[0]}
        result = select(curves, "halving", **limited)
        assert result.ended
        assert result.seconds == pytest.approx(now[0])
        # Paces differ by up to three: of one that is opened for the first time it is a guess.
        assert now[0] <= limit + 3 * 1.0
        assert result.curves[result.winner].epochs[-1] >= 1
        # What was spent before counts.
        now[0] = 0.0
        spent.clear()
        later = select(curves, "halving", **limited, spent_seconds=limit)
        assert now[0] <= 3.0
        assert later.epochs <= 1


@pytest.mark.parametrize("name", POLICIES)
def test_resumed_with_the_same_budget_it_ends_the_same(name, tmp_path):
    curves = make_curves(6, 5, 1, seed=4)
    path = tmp_path / "journal.jsonl"
    whole = select(curves, name, Budget(price=1.6), journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    for count in itertools.islice(range(len(lines)), 0, None, 3):
        path.write_bytes(b"".join(lines[:count]))
        again = select(curves, name, Budget(price=1.6), journal=path)
        assert (again.winner, again.rungs, again.ended) == (whole.winner, whole.rungs, whole.ended)
        assert path.read_bytes() == b"".join(lines)
