"""Keys of a document that other rooms write: limits, efficiency, checks of the data; by hand."""

from __future__ import annotations

import copy
from typing import Any


def with_everything(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what limits, measurements and the data checks put into it."""
    full = copy.deepcopy(document)
    full["limits"] = {
        "max_params": 100_000_000,
        "max_memory": None,
        "license": ["apache-2.0", "mit"],
        "language": [],
        "architecture": [],
        "exclude": ["zoo/secret"],
    }
    full["excluded"] = [
        {
            "model": f"big/giant-{k}",
            "limit": "max-params",
            "reason": f"{k}.1B parameters, over 100M",
        }
        for k in range(1, 5)
    ] + [{"model": "zoo/secret", "limit": "exclude", "reason": "excluded by name"}]
    full["funnel"] |= {"catalog": 6, "excluded": 5}
    full["efficiency"] = {
        "device": "cpu (2 cores)",
        "batch_size": 32,
        "rows": 128,
        "models": [_measured(row, k) for k, row in enumerate(full["ranking"][:8])],
        "alternatives": [
            {
                "candidate": full["ranking"][2]["model"],
                "model": full["ranking"][2]["model"],
                "text": "24.3 points less, 15 times smaller, 9 times faster",
            }
        ],
    }
    full["data"]["checks"] = [
        {"check": "duplicates", "level": "ok", "text": "No row is in two splits."},
        {
            "check": "class-balance",
            "level": "note",
            "text": "The rarest class has 9 of 1,078 rows.",
        },
        {
            "check": "leakage",
            "level": "warning",
            "text": "12 test rows are also in the train split; their scores say little.",
        },
    ]
    full["recall"]["candidates"][1]["tuned_on_target"] = "Its card says that it was tuned on this."
    full["replayed"] = {
        "trend": {"regret": 0.3, "regret_ci": [0.1, 0.5], "price": 1.8},
        "halving": {"regret": 0.4, "regret_ci": [0.1, 0.9], "price": 9.0},
        "brute-force": {"regret": 0.1, "regret_ci": None, "price": 24.0},
        "paper": {"regret": 1.2, "regret_ci": [0.2, 2.5], "price": 3.1},
    }
    full["command"] = "hf-select select reviews.csv --results me/results --max-params 100M --out o"
    return full


def _measured(row: dict[str, Any], k: int) -> dict[str, Any]:
    size = (66, 110, 4.4, 14.5, 29, 82, 33, 11)[k] * 1e6
    score = row["val"] if row["val"] is not None else row["predicted"] or 0.5
    return {
        "candidate": row.get("candidate", row["model"]),
        "model": row["model"],
        "num_parameters": int(size),
        "size_bytes": int(4 * size),
        "latency_ms": (18.2, 31.0, 2.1, 5.5, 8.0, 24.0, 9.9, 4.0)[k],
        "rows_per_second": 900 / (k + 1),
        "score": score,
        "score_is": "validation" if row["val"] is not None else "forecast",
        "skill": 0.9 - 0.04 * k,
        "pareto": k in (0, 2, 3),
        "dominated_by": None if k in (0, 2, 3) else row["model"],
    }
