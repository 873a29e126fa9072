"""Which rows are the same, which wins, which disagree."""

from dataclasses import replace

import numpy as np
import pytest
from made import RECIPE, dataset, model, run

from hf_select.records import ProxyRow
from hf_select.results.state import State


def test_a_run_is_taken_in_once():
    state = State()
    assert state.add(run())
    assert not state.add(run(created="later"))
    assert len(list(state.best())) == 1


def test_an_ok_run_wins_over_a_failed_one_and_the_first_over_a_later_one():
    state = State()
    for row in (
        run(status="oom", created="2025-01-04"),
        run(test=0.6, created="2025-01-03"),
        run(test=0.7, created="2025-01-02"),
    ):
        assert state.add(row)
    (best,) = state.best()
    assert best.test == 0.7


def test_of_failures_the_last_is_shown():
    state = State()
    state.add(run(status="timeout", created="2025-01-02"))
    state.add(run(status="oom", created="2025-01-01"))
    assert [r.status for r in state.best()] == ["timeout"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (model(), model(license="mit")),
        (dataset(), dataset(baseline=0.6)),
        (dataset(baseline=float("nan")), dataset()),
        (
            ProxyRow("a", "0", "x", "0", "leep", -1.0, task="t"),
            ProxyRow("a", "0", "x", "0", "leep", -2.0, task="t"),
        ),
        (RECIPE, replace(RECIPE, fractions=())),
    ],
)
def test_a_later_entry_replaces_the_earlier_one(old, new):
    state = State()
    assert state.add(old)
    assert not state.add(old)
    assert state.add(new)
    assert not state.add(new)
    assert list(state.entries.values()) == [new]


def test_nan_is_the_same_as_nan():
    state = State()
    row = ProxyRow("a", "0", "x", "0", "leep", float("nan"), 0.1, task="t", scoring_seconds=0.1)
    assert state.add(row)
    assert not state.add(replace(row, value=float("nan")))
    assert state.add(dataset(baseline=float("nan")))
    assert not state.add(dataset(baseline=float("nan")))


def test_a_proxy_score_is_the_same_after_it_was_stored():
    state = State()
    row = ProxyRow("a", "0", "x", "0", "leep", 0.1, seconds=0.1, task="t", scoring_seconds=0.1)
    assert state.add(row)
    stored = float(np.float32(0.1))
    assert not state.add(replace(row, seconds=stored, scoring_seconds=stored))
    assert state.add(replace(row, value=stored))
    assert state.add(replace(row, scoring_seconds=0.2))


def test_of_two_revisions_the_one_added_last_comes_last():
    state = State()
    state.add(model(revision="f" * 40))
    state.add(model(revision="0" * 40))
    assert [m.revision[0] for m in state.models()] == ["f", "0"]


@pytest.mark.parametrize(
    ("scores", "rows", "flagged"),
    [
        # standard error of the difference at p = .75, n = 400: sqrt(2 * .75 * .25 / 400) = .0306
        ((0.72, 0.78), 400, False),
        ((0.70, 0.80), 400, True),
        ((0.72, 0.78), 0, True),  # size of the test split not known
    ],
)
def test_scores_far_apart_are_flagged(scores, rows, flagged):
    state = State()
    state.add(dataset(splits={"test": rows}))
    for score in scores:
        state.add(run(test=score))
    (clash,) = state.disagreements()
    assert [r.test for r in clash.runs] == list(scores)
    assert clash.flagged is flagged


def test_a_retry_is_no_disagreement():
    state = State()
    state.add(run(status="oom"))
    state.add(run(test=0.7))
    assert state.disagreements() == []


def test_all_rows_in_the_order_in_which_they_are_stored():
    rows = [run("b"), run("a", "y"), run("a", "x", 0.6), run("a", "x", 0.5), model("b"), model("a")]
    for order in (rows, rows[::-1]):
        state = State()
        for row in (*order, RECIPE, dataset()):
            state.add(row)
        found = state.rows()
        cells = [(r.key.model, r.key.dataset, r.test) for r in found.runs]
        assert cells == [("a", "x", 0.5), ("a", "x", 0.6), ("a", "y", 0.75), ("b", "x", 0.75)]
        assert [m.repo_id for m in found.models] == ["a", "b"]
        assert list(found.by_kind()) == ["recipes", "models", "datasets", "proxies", "runs"]
        assert len(found) == 8
        assert found


def test_what_one_has_and_another_lacks():
    """An entry of a commit that the other has an entry of is not among it, whatever it says."""
    mine, theirs = State(), State()
    proxy = ProxyRow("a", "0", "x", "0", "leep", float("nan"), task="t")
    entries = (model("a", license="mit"), model("b"), proxy, RECIPE)
    for row in (run("a", test=0.5), run("a", test=0.6), run("b"), *entries):
        mine.add(row)
    for row in (run("a", test=0.6, created="another"), model("a"), proxy):
        theirs.add(row)
    found = mine.missing_from(theirs).rows()
    assert [(r.key.model, r.test) for r in found.runs] == [("a", 0.5), ("b", 0.75)]
    assert found.models == (model("b"),)
    assert found.proxies == ()
    assert found.recipes == (RECIPE,)
    for kind in found.by_kind().values():
        for row in kind:
            assert theirs.add(row)
    assert not mine.missing_from(theirs).rows()
    assert not mine.missing_from(mine).rows()
