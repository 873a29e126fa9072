"""hf_select.report.document: the selection document holds what it promises, JSON-clean."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from report.stepwise import make_stepwise

from hf_select.metrics import get_metric
from hf_select.records import (
    Candidate,
    Clustering,
    Drop,
    LearningCurve,
    RecallResult,
    Recipe,
    Rejected,
    Rung,
    SelectionResult,
)
from hf_select.report.document import (
    clean,
    clusters_part,
    epochs_text,
    percent_text,
    score_text,
    selection_document,
)

PROMISED = {
    "target": str,
    "task": str,
    "metric": str,
    "winner": dict,
    "ranking": list,
    "cost": dict,
    "price": float,
    "rungs": list,
    "num_processes": int,
    "seconds": float,
}


def tiny(**changes):
    """Three models by hand: a wins, b is dropped after 1 epoch, c fails before any evaluation."""
    curves = {
        "a": LearningCurve.of([1.0, 2.0], [0.6, 0.8]),
        "b": LearningCurve.of([1.0], [0.5]),
    }
    values = {
        "winner": "a",
        "val": 0.8,
        "test": 1 / 3,
        "rungs": (
            Rung(1.0, ("a", "b"), {"a": 0.6, "b": 0.5}, dropped=(Drop("b", "It was worse."),)),
            Rung(2.0, ("a",), {"a": 0.8}),
        ),
        "curves": curves,
        "epochs": 3.0,
        "seconds": 1.23456,
        "proxy_epochs": 0.5,
        "horizon": 2.0,
        "policy": "halving",
        "failed": (Rejected("c", "Out of memory."),),
    }
    candidates = tuple(
        Candidate(m, m * 40, 0.5, 0.1, 0.4, {"leep": -1.0}, -1, "why") for m in ("b", "a", "c")
    )
    recall = RecallResult("t", "text-classification", "paper", candidates)
    return selection_document(
        target="t",
        task="text-classification",
        metric=changes.pop("metric", "accuracy"),
        result=SelectionResult(**{**values, **changes}),
        recall=recall,
        clustering=None,
        matrix=None,
        recipe=Recipe(epochs=2),
        data_notes=(),
        split_rows={"test": 9},
        trivial={"test": 0.2},
        num_models=9,
        seconds=2.0,
        versions={},
        revisions={"a": "f" * 40},
    )


def test_every_promised_key_is_there(document):
    for key, kind in PROMISED.items():
        assert isinstance(document[key], kind), key
    assert set(document["winner"]) >= {"model", "revision", "val", "test", "checkpoint"}
    assert set(document["cost"]) == {"epochs", "seconds", "proxy_epochs"}
    for row in document["ranking"]:
        promised = {"model", "val", "predicted", "interval", "p_best", "dropped_at", "reason"}
        assert promised <= set(row)


@pytest.mark.parametrize("name", ["document", "regression_document", "bare_document", "stepwise"])
def test_it_is_plain_json_without_nan(name, request):
    document = request.getfixturevalue(name)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_by_hand():
    document = tiny()
    assert [row["model"] for row in document["ranking"]] == ["a", "b", "c"]
    assert [row["status"] for row in document["ranking"]] == ["winner", "dropped", "failed"]
    assert [row["dropped_at"] for row in document["ranking"]] == [None, 1.0, 0.0]
    assert [row["val"] for row in document["ranking"]] == [0.8, 0.5, None]
    assert [row["reason"] for row in document["ranking"][1:]] == ["It was worse.", "Out of memory."]
    assert "last one standing after 1 epoch" in document["ranking"][0]["reason"]
    assert document["winner"]["test"] == 1 / 3  # exact
    assert document["winner"]["revision"] == "f" * 40
    assert document["price"] == (3.0 + 0.5) / 2.0
    assert document["cost"]["seconds"] == 1.235
    funnel = {"excluded": 0, "catalog": None, "record": 9, "recalled": 3}
    funnel |= {"trained": 2, "finalists": 2, "winner": 1}
    assert document["funnel"] == funnel
    assert document["recall"]["candidates"][0]["cluster"] is None
    assert document["recall"]["candidates"][0]["predicted_score"] == pytest.approx(0.6)
    assert document["recall"]["candidates"][0]["predicted_spread"] == pytest.approx(0.08)


def test_baselines_by_hand():
    baselines = tiny()["baselines"]
    assert baselines["brute_force_all"] == {"epochs": 18.0, "price": 9.0}
    assert baselines["halving_all"] == {"epochs": 13.0, "price": 6.5}  # 9 + 4
    assert baselines["halving_recalled"] == {"epochs": 4.0, "price": 2.0}  # 3 + 1


def test_successive_halving_over_forty_models_costs_what_the_literature_says():
    from hf_select.report.document import _halving

    assert _halving(40, 5.0) / 5.0 == 15.4


def test_brute_force_ranks_by_the_last_score_in_the_metrics_direction(bare_document):
    values = [row["val"] for row in bare_document["ranking"]]
    assert values == sorted(values, reverse=True)
    assert {row["status"] for row in bare_document["ranking"][1:]} == {"finished"}
    assert all("behind the winner" in row["reason"] for row in bare_document["ranking"][1:])


def test_lower_is_better_ranks_upside_down(regression_document):
    ranking = regression_document["ranking"]
    first = [row["val"] for row in ranking if row["dropped_at"] == 0.125]
    assert len(first) == 5
    assert first == sorted(first)
    assert regression_document["higher_is_better"] is False
    metric = get_metric("rmse")
    candidate = regression_document["recall"]["candidates"][0]
    trivial = regression_document["trivial"]["test"]
    assert candidate["predicted_score"] == pytest.approx(
        float(metric.unskill(candidate["predicted"], trivial)), abs=1e-6
    )
    assert candidate["predicted_spread"] > 0


def test_the_reason_of_the_winner_is_true_when_another_had_a_better_score():
    rungs = (Rung(2.0, ("a", "b"), {"a": 0.8, "b": 0.9}, dropped=()),)
    curves = {m: LearningCurve.of([2.0], [v]) for m, v in (("a", 0.8), ("b", 0.9))}
    document = tiny(rungs=rungs, curves=curves, failed=())
    assert "best" not in document["ranking"][0]["reason"]
    assert "no worse than the winner's" in document["ranking"][1]["reason"]


def test_a_model_dropped_at_the_horizon_was_trained_to_the_end():
    end = Drop("b", "trained to the end: a is better")
    rungs = (Rung(2.0, ("a", "b"), {"a": 0.8, "b": 0.7}, dropped=(end,)),)
    curves = {m: LearningCurve.of([2.0], [v]) for m, v in (("a", 0.8), ("b", 0.7))}
    document = tiny(rungs=rungs, curves=curves, failed=())
    row = document["ranking"][1]
    assert (row["status"], row["dropped_at"], row["reason"]) == ("finished", 2.0, end.reason)
    assert document["ranking"][0]["reason"].startswith("The best validation score (0.800) of the 2")


def test_what_was_never_measured_is_none():
    document = tiny(test=math.nan, seconds=math.inf)
    assert document["winner"]["test"] is None
    assert document["cost"]["seconds"] is None


def test_untrained_candidates_follow_by_how_long_they_lasted(stepwise):
    rows = [(row["model"], row["status"]) for row in stepwise["ranking"]]
    assert rows == [
        ("zoo/c0", "winner"),
        ("zoo/c1", "dropped"),
        ("zoo/c2", "dropped"),
        ("zoo/c6", "failed"),
        ("zoo/c3", "untrained"),
        ("zoo/c4", "untrained"),
        ("zoo/c5", "untrained"),
    ]
    assert [row["dropped_at"] for row in stepwise["ranking"][1:3]] == [0.5, 0.125]
    assert stepwise["finalists"] == ["zoo/c0", "zoo/c2"]


def test_the_winner_of_a_forecast_won_by_it(stepwise):
    assert stepwise["ranking"][0]["reason"] == (
        "The best of the 3 still possible with 33 %, by the forecast; trained for 2 epochs, "
        "validation 0.900."
    )


def test_the_winner_of_a_budget_was_ahead():
    assert make_stepwise(ended="3 epochs")["ranking"][0]["reason"] == (
        "Ahead when the budget was used up, the best with 33 %; trained for 1 of 2 epochs, "
        "validation 0.850."
    )


@pytest.mark.parametrize(
    ("chance", "text"), [(0.0, "less than 1 %"), (0.426, "43 %"), (0.999, "more than 99 %")]
)
def test_percent_text(chance, text):
    assert percent_text(chance) == text


def test_clean():
    value = {1: (np.float64("nan"), np.int64(3), float("-inf")), "b": np.array([1.0, np.nan])}
    assert clean(value) == {"1": [None, 3, None], "b": [1.0, None]}


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        (0.125, "1/8 epoch"),
        (0.5, "1/2 epoch"),
        (1.0, "1 epoch"),
        (2.5, "2.5 epochs"),
        (0, "0 epochs"),
    ],
)
def test_epochs_text(epochs, text):
    assert epochs_text(epochs) == text


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.98765, "accuracy", "0.988"),
        (-0.25, "r2", "−0.250"),
        (0.012341, "rmse", "0.01234"),
        (None, "accuracy", "–"),
        (math.nan, "accuracy", "–"),
        (12345.6, "rmse", "12,346"),
        (12.3456, "unheard-of", "12.35"),
    ],
)
def test_score_text(value, metric, text):
    assert score_text(value, metric) == text


def test_ids_of_clusters_may_have_gaps_and_any_order():
    found = Clustering(tuple("abcd"), np.array([90, 4, 90, 7]), None, {90: 2}, "average", 0.1, 0.5)
    groups = clusters_part(found)["groups"]
    assert [(g["id"], g["models"], g["representative"]) for g in groups] == [
        (90, ["a", "c"], "c"),
        (4, ["b"], None),
        (7, ["d"], None),
    ]
