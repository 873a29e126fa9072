"""ASHA by hand, one step at a time."""

import dataclasses

import numpy as np
import pytest
from synthetic import Bench, curve_set, make_curves

from hf_select.metrics import get_metric
from hf_select.selection.policies import get_policy
from hf_select.selection.run import run_selection

EIGHTHS = (0.125, 0.25, 0.5, 1.0)


def flat(scores, epochs=EIGHTHS):
    """Models a, b, c, ... whose score is the same at every epoch."""
    return curve_set([[[v] * len(epochs)] for v in scores], [[0.5]] * len(scores), epochs=epochs)


def run(curves, policy="asha", *, bench=None, **more):
    """The result, and the steps that were taken: `a1` is a, trained to the first rung."""
    steps = []

    def told(model, curve):
        steps.append(f"{model}{len(curve)}")

    result = run_selection(
        (bench or Bench(curves)).factories,
        get_policy(policy),
        horizon=float(curves.epochs[-1]),
        metric=get_metric("accuracy"),
        on_advance=told,
        **more,
    )
    return result, steps[:-1]  # the last one is the winner's, at the end already


BEST_FIRST = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


def test_eight_candidates_by_two_the_best_first():
    result, steps = run(flat(BEST_FIRST))
    # Of two, one is promoted: a when b is there, b when d is there (two of four), and so on.
    assert " ".join(steps) == "a1 b1 a2 c1 d1 b2 a3 e1 f1 c2 g1 h1 d2 b3 a4"
    assert result.epochs == 8 / 8 + 4 / 8 + 2 / 4 + 1 / 2
    assert result.winner == "a"


def test_eight_candidates_by_four():
    result, steps = run(flat(BEST_FIRST), "asha:eta=4")
    # Rungs at 1/8, 1/2 and 1; a2 and b2 can't be promoted, for a quarter of two is none.
    assert " ".join(steps) == "a1 b1 c1 d1 a3 e1 f1 g1 h1 b3 a4"
    assert result.epochs == 8 / 8 + 2 * 3 / 8 + 1 / 2
    assert result.winner == "a"


def test_the_best_is_found_though_it_comes_last():
    """Each newcomer is the best so far and goes up at once; nobody is left unstarted."""
    result, steps = run(flat(BEST_FIRST[::-1]))
    assert " ".join(steps[:10]) == "a1 b1 b2 c1 c2 c3 d1 d2 d3 d4"
    assert result.winner == "h"
    assert len(result.curves) == 8
    reasons = {drop.model: drop.reason for drop in result.rungs[-1].dropped}
    assert reasons["g"] == "At epoch 1, the end, it had 0.7000, and h 0.8000."
    assert reasons["a"] == (
        "At epoch 0.125, 0.1000 was not in the share of its rung that asha promotes: "
        "h had 0.8000 there and went on to the end."
    )


def test_the_end_is_judged_by_the_last_score():
    """Two come to the end; the one that was ahead before has fallen behind."""
    curves = flat(BEST_FIRST[::-1])
    val = curves.val.copy()
    val[7, 0, 0, -1] = 0.65  # h
    result, _ = run(dataclasses.replace(curves, val=val))
    assert result.winner == "g"


def test_one_candidate_and_a_horizon_below_the_first_rung():
    result, steps = run(flat([0.5]))
    assert (result.price, steps) == (1, ["a1", "a2", "a3", "a4"])
    result, steps = run(flat([0.4, 0.5], (0.1,)))
    assert (result.winner, steps) == ("b", ["a1", "b1"])


def test_rungs_that_were_not_evaluated():
    """Only whole epochs are there: each step shows the next score there is."""
    result, _ = run(flat(BEST_FIRST, (1.0, 2.0, 3.0)))
    assert result.winner == "a"
    assert result.epochs < 8 * 3


def test_who_fails_is_out_and_the_others_go_on():
    result, steps = run(flat(BEST_FIRST), bench=Bench(flat(BEST_FIRST), fails={"a": 0.5}))
    assert result.winner == "b"
    assert [bad.repo_id for bad in result.failed] == ["a"]
    assert "a3" not in steps


@pytest.mark.parametrize("policy", ["asha", "asha:eta=4", "asha:eta=1.5"])
@pytest.mark.parametrize("seed", range(4))
def test_never_more_than_brute_force_and_everybody_is_looked_at(policy, seed):
    curves = make_curves(9, 2, 1, seed=seed)
    if seed % 2:  # one was stopped after its first score
        val = curves.val.copy()
        val[3, 0, 0, 1:] = np.nan
        curves = dataclasses.replace(curves, val=val)
    bench = Bench(curves)
    result, _ = run(curves, policy, bench=bench)
    assert result.epochs == pytest.approx(sum(bench.work.values()))
    assert result.epochs <= 9 * 5
    assert set(result.curves) == set(curves.models)
    for rung in result.rungs[:-1]:
        assert rung.dropped == ()
        assert rung.leader in rung.live


def test_cut_off_after_any_step_it_goes_on_the_same(tmp_path):
    curves = make_curves(6, 2, 1, seed=3)
    path = tmp_path / "journal.jsonl"
    whole, _ = run(curves, journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        again, _ = run(curves, journal=path)
        assert (again.rungs, again.winner, again.epochs) == (
            *(whole.rungs, whole.winner, whole.epochs),
        )
        assert path.read_bytes() == b"".join(lines)
