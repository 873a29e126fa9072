"""What a document says of sizes and latencies: which score counts, the front, good trades."""

from __future__ import annotations

from typing import Any

import pytest
from report.conftest import make_document

from hf_select.metrics import get_metric
from hf_select.report.tradeoff import Measured, alternatives, efficiency


def row(name: str, score: float, size: float, latency: float | None, **more: Any) -> dict[str, Any]:
    return {
        "candidate": name,
        "model": name,
        "size_bytes": size,
        "latency_ms": latency,
        "score": score,
        "score_is": "validation",
        "skill": score,
        "pareto": True,
        **more,
    }


def texts(*rows: dict[str, Any], metric: str = "accuracy") -> list[str]:
    return [one["text"] for one in alternatives(rows, get_metric(metric))]


def test_a_much_smaller_model_for_half_a_point_is_named() -> None:
    big = row("big", 0.9, 900e6, 40.0)
    small = row("small", 0.895, 100e6, 10.0)
    assert texts(big, small) == ["0.5 points less, 9 times smaller, 4 times faster"]
    guess = row("small", 0.895, 100e6, 10.0, score_is="forecast")
    assert texts(big, guess) == ["0.5 points less by the forecast, 9 times smaller, 4 times faster"]
    (found,) = alternatives([big, small], get_metric("accuracy"))
    assert (found["times_smaller"], found["times_faster"]) == (9, 4)
    assert found["loss"] == pytest.approx(0.005)


def test_what_is_no_trade_is_not_named() -> None:
    big = row("big", 0.9, 900e6, 40.0)
    assert texts(big, row("worse", 0.8, 100e6, 10.0)) == []  # ten points are too many
    assert texts(big, row("alike", 0.899, 800e6, 39.0)) == []
    assert texts(big, row("beaten", 0.899, 100e6, 10.0, pareto=False)) == []
    assert texts(big, row("big", 0.895, 100e6, 10.0)) == []  # the winner by another learning rate
    assert texts(row("failed", 0.9, 1, 1, skill=None), row("small", 0.9, 1, 1)) == []
    assert alternatives([], get_metric("accuracy")) == []


def test_what_is_worse_is_said_and_what_is_unknown_is_not() -> None:
    big = row("big", 0.9, 900e6, 10.0)
    assert texts(big, row("slow", 0.89, 100e6, 30.0)) == [
        "1.0 points less, 9 times smaller, but 3 times slower"
    ]
    assert texts(big, row("small", 0.89, 100e6, None)) == ["1.0 points less, 9 times smaller"]


def test_where_lower_is_better_the_words_turn_round() -> None:
    big, small = row("big", 2.0, 4e6, 4.0, skill=0.5), row("small", 2.05, 2e6, 2.0, skill=0.49)
    assert texts(big, small, metric="rmse") == ["rmse 0.05 more, 2 times smaller, 2 times faster"]


def test_the_least_loss_first_and_few() -> None:
    rows = [row("big", 0.9, 900.0, 40.0)]
    rows += [row(f"m{k}", 0.9 - 0.004 * k, 400.0 / k, 40.0) for k in (4, 2, 3, 1)]
    found = alternatives(rows, get_metric("accuracy"))
    assert [one["candidate"] for one in found] == ["m1", "m2", "m3"]


def test_of_a_document_the_score_that_can_be_compared_counts() -> None:
    document = make_document()
    ranking = document["ranking"]
    sizes = {
        one["model"]: Measured(1000 * (k + 1), 4000 * (k + 1), 1.0 + k, 100.0)
        for k, one in enumerate(ranking)
    }
    found = efficiency(document, sizes, device="cpu", batch_size=32, rows=32)
    assert [one["candidate"] for one in found["models"]] == [one["candidate"] for one in ranking]
    first = found["models"][0]
    assert (first["score"], first["score_is"]) == (document["winner"]["val"], "validation")
    assert first["pareto"]
    for one, shown in zip(ranking, found["models"], strict=True):
        if one["status"] == "failed":
            assert shown["score"] is None
            assert not shown["pareto"]
        elif one["epochs"] < document["horizon"]:
            assert shown["score_is"] == "forecast"
        assert shown["pareto"] == (shown["skill"] is not None and shown["dominated_by"] is None)
    # The winner is the best and the smallest here: it beats all that have a score.
    assert {one["dominated_by"] for one in found["models"][1:] if one["skill"] is not None} == {
        first["candidate"]
    }


def test_forecasts_of_different_times_are_compared_by_their_gap_to_the_winners() -> None:
    """One that was dropped while all looked perfect doesn't beat a winner that turned out worse."""
    document = make_document()
    first, dropped, untrained = (dict(document["ranking"][k]) for k in (0, 1, 2))
    dropped |= {"status": "dropped", "epochs": 0.5, "predicted": 1.0, "val": 0.6}
    untrained |= {"status": "untrained", "epochs": 0.0, "predicted": 1.0, "val": None}
    names = [one["model"] for one in (first, dropped, untrained)]
    document |= {
        "ranking": [first, dropped, untrained],
        "rungs": [
            {"forecast": dict(zip(names, (0.99, 1.0, 1.0), strict=True))},
            {"forecast": dict(zip(names, (0.97, 0.95, 1.0), strict=True))},
            {"forecast": {names[0]: 0.9}},
        ],
        "recall": {
            **document["recall"],
            "method": "hybrid",
            "candidates": [
                {"model": name, "predicted_score": score}
                for name, score in zip(names, (0.9, 0.99, 0.88), strict=True)
            ],
        },
    }
    found = efficiency(document, {}, device="cpu", batch_size=0, rows=0)["models"]
    val = document["winner"]["val"]
    assert found[0]["score"] == val
    assert found[1]["score"] == pytest.approx(val - 0.02)  # 0.97 and 0.95, when last compared
    assert found[2]["score"] == pytest.approx(val - 0.02)  # never trained: recall's 0.90 and 0.88


def test_what_was_not_measured_has_its_recorded_size() -> None:
    document = make_document()
    document["ranking"][0] |= {"num_parameters": 7, "size_bytes": 28}
    found = efficiency(document, {}, device="cpu", batch_size=0, rows=0)
    first = found["models"][0]
    assert (first["num_parameters"], first["size_bytes"], first["latency_ms"]) == (7, 28, None)
