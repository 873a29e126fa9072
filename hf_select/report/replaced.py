"""A document whose winner gives way to another of its candidates, which somebody chose instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.metrics import get_metric
from hf_select.records import ModelEntry, Recipe, SelectionResult
from hf_select.report.document import (
    NAN,
    candidate_name,
    clean,
    epochs_text,
    score_text,
    standard_error,
)
from hf_select.report.tradeoff import Measured, efficiency


def with_other_winner(
    document: Mapping[str, Any],
    chosen: str,
    result: SelectionResult,
    entry: ModelEntry,
    recipe: Recipe,
    *,
    test_metrics: Mapping[str, float],
    seconds: float,
) -> dict[str, Any]:
    """The document with `chosen`, trained as `result` says, in the place of its winner.

    What its training took is added to cost, price and `seconds`; `chosen` says whom it took the
    place of. Decisions and forecasts stay as they were.
    """
    old, metric = document["winner"], document["metric"]
    trivial = document["trivial"].get("test")
    curve = result.curves[chosen]
    winner = {
        **old,
        "model": entry.repo_id,
        "learning_rate": recipe.learning_rate,
        "candidate": chosen,
        "revision": entry.revision,
        "epochs": float(curve.epochs[-1]),
        "val": result.val,
        "test": result.test,
        "test_error": standard_error(
            result.test,
            get_metric(metric),
            NAN if trivial is None else trivial,
            document["data"]["rows"].get("test", 0),
        ),
        "test_metrics": dict(test_metrics),
        "license": entry.license,
        "languages": list(entry.languages),
        "num_parameters": entry.num_parameters,
        "weights_sha256": entry.weights_sha256,
    }
    cost = {
        **document["cost"],
        "epochs": round(document["cost"]["epochs"] + result.epochs, 6),
        "seconds": round((document["cost"]["seconds"] or 0.0) + result.seconds, 3),
    }
    horizon = float(document["horizon"])
    changed = {
        **document,
        "winner": winner,
        "chosen": {
            "instead_of": old["candidate"],
            "val": old["val"],
            "test": old["test"],
            "epochs": result.epochs,
            "seconds": round(result.seconds, 3),
        },
        "cost": cost,
        "price": round((cost["epochs"] + cost["proxy_epochs"]) / horizon, 6),
        "ranking": _ranking(document, chosen, result),
        "curves": {**document["curves"], chosen: curve.to_dict()},
        "recipe": {**recipe.to_dict(), "digest": recipe.digest()},
        "seconds": round((document["seconds"] or 0.0) + seconds, 3),
        "settings": {**(document.get("settings") or {}), "choose": chosen},
    }
    changed["funnel"] = {
        **document["funnel"],
        "trained": len(
            {row["model"] for row in changed["ranking"] if row["epochs"] and row["status"]}
        ),
    }
    measured = document.get("efficiency")
    if measured:
        changed["efficiency"] = efficiency(
            changed,
            {row["model"]: _measured(row) for row in measured["models"] if row["latency_ms"]},
            device=measured["device"],
            batch_size=measured["batch_size"],
            rows=measured["rows"],
        )
    cleaned: dict[str, Any] = clean(changed)
    return cleaned


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(
        row["num_parameters"], row["size_bytes"], row["latency_ms"], row["rows_per_second"]
    )


def _ranking(
    document: Mapping[str, Any], chosen: str, result: SelectionResult
) -> list[dict[str, Any]]:
    """The rows with the chosen candidate first; the others keep their order."""
    metric, old = document["metric"], document["winner"]
    done = epochs_text(float(result.curves[chosen].epochs[-1]))
    rows = {candidate_name(row): dict(row) for row in document["ranking"]}
    first = rows.pop(chosen)
    first |= {
        "status": "winner",
        "dropped_at": None,
        "epochs": float(result.curves[chosen].epochs[-1]),
        "val": result.val,
        "cost_epochs": round(first.get("cost_epochs", 0.0) + result.epochs, 6),
        "cost_seconds": round((first.get("cost_seconds") or 0.0) + result.seconds, 3),
        "reason": f"Chosen by hand instead of {old['candidate']} (validation "
        f"{score_text(old['val'], metric)}); trained for {done}, validation "
        f"{score_text(result.val, metric)}.",
    }
    if old["candidate"] in rows:
        rows[old["candidate"]] |= {
            "status": "finished",
            "reason": f"Won the selection with validation {score_text(old['val'], metric)}, but "
            f"{chosen} was chosen instead.",
        }
    return [first, *rows.values()]
