"""hf_select.report.story: what is told of a selection is what happened, whichever policy ran."""

from __future__ import annotations

import copy

import pytest
from report.stepwise import as_of_old, make_stepwise

from hf_select.report import story
from hf_select.report.document import own_pace

BUDGET = "the rest of 3 epochs pays for no further step; zoo/c0 was trained for 1 of 2 epochs"


def test_the_pace_is_told_from_the_decisions(document, old_document, stepwise):
    assert own_pace(stepwise)
    assert not own_pace(document)
    assert not own_pace(old_document)
    assert not own_pace(as_of_old(stepwise))
    assert not own_pace({})


def test_the_funnel_counts_who_was_trained_at_all(stepwise, document):
    assert [(s.key, s.count) for s in story.stages(stepwise)] == [
        ("record", 24),
        ("recalled", 7),
        ("trained", 3),
        ("winner", 1),
    ]
    assert [s.key for s in story.stages(document)][2] == "finalists"
    assert story.stages({}) == []


def test_the_course_of_candidates_at_their_own_pace(stepwise):
    assert story.course(stepwise) == (
        "Of 7 candidates, 2 were dropped by recall’s word alone, without any training. zoo/c1 was "
        "dropped after 1/2 epoch. zoo/c6 failed. zoo/c0 was trained to the end; by the forecast it "
        "is the best with 33 %. 2 others could still have been better (zoo/c2, trained for 1/8 "
        "epoch; 1 never trained), which was not worth finding out."
    )


def test_the_course_of_one_that_the_budget_ended():
    told = story.course(make_stepwise(ended=BUDGET))
    assert "zoo/c0 was ahead when the budget was used up, and was trained for 1 of 2 epochs" in told
    assert "worth finding out" not in told


def test_the_course_without_forecasts():
    told = story.course(make_stepwise(forecasts=False))
    assert told.endswith("The 2 others had been trained for 0 to 1/8 epoch by then.")


def test_the_course_of_a_common_pace_is_counted_by_epochs(document, old_document):
    told = story.course(document)
    assert told.startswith("After 1/8 epoch, 5 of 10 candidates were let go, 3 more after 1/4")
    assert told.endswith("was trained to the end.")
    assert story.course(old_document) == told


def test_fates_go_by_their_own_epochs(stepwise):
    groups = {
        name: [row["model"] for _, row in rows] for name, rows in story.fates(stepwise).items()
    }
    assert groups == {
        "Winner": ["zoo/c0"],
        "Dropped after 1/2 epoch": ["zoo/c1"],
        "Dropped after 1/8 epoch": ["zoo/c2"],
        "Failed": ["zoo/c6"],
        "Still possible in the end, never trained": ["zoo/c3"],
        "Dropped by recall’s word alone": ["zoo/c4", "zoo/c5"],
    }
    ranks = [rank for rows in story.fates(stepwise).values() for rank, _ in rows]
    assert ranks == list(range(1, 8))


def test_fates_when_the_budget_ended():
    assert "Not yet trained when the budget was used up" in story.fates(make_stepwise(ended=BUDGET))


def test_every_step_says_who_was_trained_to_what(stepwise):
    found = story.steps(stepwise)
    assert [(s.number, s.trained, s.to, s.val) for s in found] == [
        (1, "nobody", "–", "–"),
        (2, "c0", "1/8 epoch", "0.500"),
        (3, "c1", "1/8 epoch", "0.480"),
        (4, "c1", "1/2 epoch", "0.680"),
        (5, "2 candidates", "1/2 epoch", "0.700 at best"),
        (6, "c0", "1 epoch", "0.850"),
        (7, "c0", "2 epochs", "0.900"),
    ]
    assert [s.dropped for s in found] == [2, 0, 0, 0, 1, 0, 2]
    assert {s.leader for s in found} == {"c0"}
    assert found[-1].chance == "33 %"


def test_steps_of_a_lower_is_better_metric_show_the_lowest():
    assert story.steps(make_stepwise(metric="rmse"))[4].val == "0.6 at best"


def test_old_documents_have_no_steps(old_document):
    assert story.steps(old_document) == []
    assert story.steps({}) == []


def test_rates_are_told_only_where_several_were_tried(stepwise, document):
    assert story.rates(stepwise) == []
    assert story.rates(document) == []
    assert story.rates(make_stepwise(rates=True)) == [1e-4, 5e-5]


@pytest.mark.parametrize("others", [0, 1, 2, 5])
def test_any_number_of_candidates_makes_a_sentence(stepwise, others):
    some = copy.deepcopy(stepwise)
    kept = {row["model"] for row in some["ranking"][: others + 1]}
    some["ranking"] = some["ranking"][: others + 1]
    for rung in some["rungs"]:
        rung["dropped"] = [d for d in rung["dropped"] if d["model"] in kept]
    told = story.course(some)
    assert "zoo/c0" in told
    assert "1 candidates" not in told
    assert "1 were" not in told
