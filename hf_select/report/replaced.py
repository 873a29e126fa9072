"""A document whose winner gives way to another of its candidates, which somebody chose instead."""

from __future__ import annotations

import shlex
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

    What its training took is added to cost, price and `seconds`; `chosen` says who had won the
    selection, and is gone where that one is taken again; `tested` names all whose test score was
    made, in that order. Decisions and forecasts stay as they were.
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
    before = document.get("chosen") or {"instead_of": old["candidate"], **old}
    first = {key: before[key] for key in ("instead_of", "val", "test")}
    changed = {
        **document,
        "winner": winner,
        "chosen": {
            **first,
            "epochs": result.epochs,
            "seconds": round(result.seconds, 3),
        },
        "tested": [*(one for one in tested(document) if one != chosen), chosen],
        "cost": cost,
        "price": round((cost["epochs"] + cost["proxy_epochs"]) / horizon, 6),
        "ranking": _ranking(document, chosen, result, first),
        "curves": {**document["curves"], chosen: curve.to_dict()},
        "recipe": {**recipe.to_dict(), "digest": recipe.digest()},
        "seconds": round((document["seconds"] or 0.0) + seconds, 3),
        "settings": {**(document.get("settings") or {}), "choose": chosen},
    }
    if document.get("command"):
        plain = str(document["command"]).split(" --choose ")[0]
        changed["command"] = f"{plain} --choose {shlex.quote(chosen)}"
    if chosen == first["instead_of"]:
        if document.get("command"):
            changed["command"] = plain
        del changed["chosen"], changed["settings"]["choose"]
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


def tested(document: Mapping[str, Any]) -> list[str]:
    """The candidates that have looked at the test split, the one that lies there as the last."""
    if document.get("tested"):
        return list(document["tested"])
    before = [document["chosen"]["instead_of"]] if document.get("chosen") else []
    return [*before, document["winner"]["candidate"]]


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(
        row["num_parameters"], row["size_bytes"], row["latency_ms"], row["rows_per_second"]
    )


def _ranking(
    document: Mapping[str, Any], chosen: str, result: SelectionResult, won: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rows with the chosen candidate first; the others keep their order. `won`: who did."""
    metric, old = document["metric"], document["winner"]["candidate"]
    score, winner = score_text(won["val"], metric), won["instead_of"]
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
        "reason": f"Chosen by hand instead of {winner} (validation {score}); trained for {done}, "
        f"validation {score_text(result.val, metric)}.",
    }
    # What was forecast before it was trained on says nothing any more.
    first |= {"predicted": None, "interval": None, "p_best": None}
    if chosen == winner:
        after = "" if old == winner else f", after {old} had been chosen instead"
        first["reason"] = (
            f"Won the selection with validation {score}; trained again for {done}{after}."
        )
    if old in rows:
        rows[old] |= {
            "status": "finished",
            "reason": f"Was chosen by hand instead of {winner} for a while, but then {chosen} was.",
        }
    if winner in rows:
        rows[winner] |= {
            "status": "finished",
            "reason": f"Won the selection with validation {score}, but {chosen} was chosen "
            "instead.",
        }
    return [first, *rows.values()]
