"""The `efficiency` part of a document: scores beside sizes and latencies, and who is a good trade.

Pure: it takes what was measured, and the rows of the ranking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_select.metrics import Metric, get_metric
from hf_select.report.document import candidate_name, score_text
from hf_select.selection.pareto import beaten_by

NAN = float("nan")
LOSS = 0.03
"""Skill that a smaller or faster model may lose to be named as a trade."""
WORTH = 1.5
"""By how much it must be smaller, or faster."""
TOLD = 1.2
"""By how much a model must differ for it to be said."""
MOST = 3


@dataclass(frozen=True)
class Measured:
    """One model as it runs: parameters and bytes with the target's head, in 32 bits; milliseconds
    of a forward pass of one row, and rows a second in batches. NaN: not measured."""

    num_parameters: int
    size_bytes: int
    latency_ms: float = NAN
    rows_per_second: float = NAN


def efficiency(
    document: Mapping[str, Any],
    measured: Mapping[str, Measured],
    *,
    device: str,
    batch_size: int,
    rows: int,
) -> dict[str, Any]:
    """What a document says of its candidates' sizes and latencies; `measured` is by model.

    A score is the validation's of a candidate that was trained to the end (or as far as the winner
    was), else a forecast: the winner's and the gap to it that was expected. `pareto`: no other has
    more skill, or as much, with no more bytes and no more latency; `dominated_by`: who has.
    `alternatives`: those on the front that are worth a thought instead of the winner, each with a
    sentence.
    """
    metric = get_metric(str(document["metric"]))
    models = [_row(row, document, measured, metric) for row in document["ranking"]]
    gain = np.array([NAN if row["skill"] is None else row["skill"] for row in models])
    costs = np.array(
        [
            [NAN if row[key] is None else row[key] for key in ("size_bytes", "latency_ms")]
            for row in models
        ]
    ).reshape(len(models), 2)
    for row, by in zip(models, beaten_by(gain, costs).tolist(), strict=True):
        row["pareto"] = bool(by < 0 and row["skill"] is not None)
        row["dominated_by"] = models[by]["candidate"] if by >= 0 else None
    return {
        "device": device,
        "batch_size": batch_size,
        "rows": rows,
        "models": models,
        "alternatives": alternatives(models, metric),
    }


def _row(
    row: Mapping[str, Any],
    document: Mapping[str, Any],
    measured: Mapping[str, Measured],
    metric: Metric,
) -> dict[str, Any]:
    score, is_what = _score(row, document)
    trivial = document["trivial"].get("validation")
    skill = float(
        metric.skill(NAN if score is None else score, NAN if trivial is None else trivial)
    )
    found = measured.get(row["model"])
    return {
        "candidate": candidate_name(row),
        "model": row["model"],
        "num_parameters": found.num_parameters if found else row.get("num_parameters"),
        "size_bytes": found.size_bytes if found else row.get("size_bytes"),
        "latency_ms": _finite(found.latency_ms if found else NAN, 4),
        "rows_per_second": _finite(found.rows_per_second if found else NAN, 2),
        "score": score,
        "score_is": is_what if score is not None else None,
        "skill": _finite(skill, 6),
    }


def _score(row: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[float | None, str]:
    """The score that stands for a candidate, and what it is.

    What was forecast of different candidates at different times can't be compared: how good all of
    them would be was less certain then. So a forecast is the winner's score and the gap to it that
    was expected when both were last looked at together.
    """
    winner = document["winner"]
    end = min(float(document["horizon"]), float(winner["epochs"]))
    done = row["status"] == "winner" or (row["epochs"] >= end - 1e-9 and row["status"] != "failed")
    if done and row["val"] is not None:
        return row["val"], "validation"
    if row["status"] == "failed":
        return None, "validation"
    gap = _expected_gap(row, document)
    if gap is None or winner["val"] is None:
        return row["val"], "validation"
    low, high = get_metric(str(document["metric"])).bounds
    return min(high, max(low, winner["val"] + gap)), "forecast"


def _expected_gap(row: Mapping[str, Any], document: Mapping[str, Any]) -> float | None:
    """By how much a candidate's score was expected to differ from the winner's, in raw units.

    Of one that was never trained it is what recall expected, which no bound of the metric has cut
    off; else what the last decision about both of them expected.
    """
    winner = document["winner"]
    recalled = {c["model"]: c.get("predicted_score") for c in document["recall"]["candidates"]}
    mine, best = recalled.get(row["model"]), recalled.get(winner["model"])
    if (
        document["recall"]["method"] == "hybrid"
        and not row["epochs"]
        and row["model"] != winner["model"]
        and mine is not None
        and best is not None
    ):
        return float(mine - best)
    name, other = candidate_name(row), candidate_name(winner)
    for rung in reversed(document.get("rungs") or ()):
        said = rung.get("forecast") or {}
        if said.get(name) is not None and said.get(other) is not None:
            return float(said[name] - said[other])
    return None


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


# ------------------------------------------------------------------------------- good trades


def alternatives(models: Sequence[Mapping[str, Any]], metric: Metric) -> list[dict[str, Any]]:
    """Those on the front that are much smaller or faster than the first, for little skill.

    The least loss first, each model once.
    """
    if not models or models[0]["skill"] is None:
        return []
    winner = models[0]
    found: dict[str, dict[str, Any]] = {}
    for row in models[1:]:
        if not row["pareto"] or row["model"] in (winner["model"], *found):
            continue
        smaller = _ratio(winner["size_bytes"], row["size_bytes"])
        faster = _ratio(winner["latency_ms"], row["latency_ms"])
        loss = winner["skill"] - row["skill"]
        if loss > LOSS or max(smaller or 0.0, faster or 0.0) < WORTH:
            continue
        found[row["model"]] = {
            "candidate": row["candidate"],
            "model": row["model"],
            "loss": round(loss, 6),
            "times_smaller": smaller,
            "times_faster": faster,
            "text": _sentence(winner, row, metric, smaller, faster),
        }
    return sorted(found.values(), key=lambda one: one["loss"])[:MOST]


def _ratio(mine: float | None, its: float | None) -> float | None:
    return round(mine / its, 3) if mine and its else None


def _sentence(
    winner: Mapping[str, Any],
    row: Mapping[str, Any],
    metric: Metric,
    smaller: float | None,
    faster: float | None,
) -> str:
    """As in "0.5 points less by the forecast, 9 times smaller, 4 times faster"."""
    gap = metric.direction * (winner["score"] - row["score"])
    if metric.perfect == 1.0:
        points = 100 * abs(gap)
        change = f"{points:.1f} points {'less' if gap >= 0 else 'more'}"
    else:
        more = (gap >= 0) != metric.higher_is_better
        change = f"{metric.name} {score_text(abs(gap), metric.name)} {'more' if more else 'less'}"
    if row["score_is"] == "forecast":
        change += " by the forecast"
    parts = [change]
    for ratio, better, worse in ((smaller, "smaller", "larger"), (faster, "faster", "slower")):
        if ratio is not None and ratio >= TOLD:
            parts.append(f"{_times(ratio)} times {better}")
        elif ratio is not None and ratio <= 1 / TOLD:
            parts.append(f"but {_times(1 / ratio)} times {worse}")
    return ", ".join(parts)


def _times(ratio: float) -> str:
    return f"{ratio:.1f}".removesuffix(".0") if ratio < 10 else f"{ratio:.0f}"
