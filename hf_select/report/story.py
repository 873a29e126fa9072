"""How a selection went, in words: the funnel, the course, the fates, every step. Plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_select.report.document import (
    candidate_name,
    epochs_text,
    number_text,
    own_pace,
    percent_text,
    score_text,
)
from hf_select.report.svg import short_names

NAMED = 3
"""Candidates that a sentence names before it only counts them."""


@dataclass(frozen=True)
class Stage:
    """A stage of the funnel: a key of the document, how many were there, and what that means."""

    key: str
    count: int
    label: str
    more: str


def winner_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the document says of the winner; empty where it says nothing."""
    winner: Mapping[str, Any] = document.get("winner") or {}
    return winner


def recalled_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recalled models with their evidence, best first."""
    return list((document.get("recall") or {}).get("candidates", []))


def stages(document: Mapping[str, Any]) -> list[Stage]:
    """From the record to the winner; empty where nothing is known of the record.

    The catalog and the limits are stages where the document has them. Its `record` counts whoever
    could be recalled; `excluded` were ruled out before, and `catalog` of both are a catalog's only.
    """
    funnel = document.get("funnel") or {}
    considered, own = funnel.get("record"), funnel.get("catalog") or 0
    if not considered:
        return []
    excluded = funnel.get("excluded") or 0
    everyone = considered + excluded
    between = ("finalists", "at the last decision", "still there when it was made")
    if own_pace(document):
        between = ("trained", "trained at all", "each as far as was worth its cost")
    counts = {"trained": len(document.get("curves") or {}), **funnel, "record": everyone - own}
    told = [("record", "in the record", "fine-tuned earlier, on other data")]
    if own:
        counts["catalog"] = everyone
        told.append(("catalog", "with the catalog's", f"{own:,} that nobody has fine-tuned yet"))
    if excluded:
        counts["limits"] = considered
        told.append(("limits", "within the limits", f"{excluded:,} ruled out by what was asked"))
    told += [
        ("recalled", "recalled", "worth a look, by record and proxy"),
        between,
        ("winner", "winner", f"{_trained(document)} and tested"),
    ]
    return [Stage(key, counts.get(key) or 0, label, more) for key, label, more in told]


def _trained(document: Mapping[str, Any]) -> str:
    """How far the winner was trained: "trained to the end", "trained for 2 of 5 epochs"."""
    done = (document.get("winner") or {}).get("epochs")
    horizon = document.get("horizon") or 0.0
    if done is None or done >= horizon - 1e-9:
        return "trained to the end"
    return f"trained for {number_text(done)} of {epochs_text(horizon)}"


# -------------------------------------------------------------------------------- the course


def course(document: Mapping[str, Any]) -> str:
    """What led to the winner, in a few sentences."""
    return _own_course(document) if own_pace(document) else _common_course(document)


def winner_name(document: Mapping[str, Any]) -> str:
    """The winning candidate."""
    winner = document.get("winner") or {}
    return candidate_name(winner) if winner.get("model") else "–"


def _common_course(document: Mapping[str, Any]) -> str:
    """Where all who were live were trained to the same epoch: how many went after which."""
    winner, horizon = winner_name(document), document.get("horizon") or 0.0
    steps = [r for r in document.get("rungs", []) if r["dropped"] and r["epoch"] < horizon - 1e-9]
    if not steps:
        return f"No candidate was dropped on the way; {winner} was the best at the end."
    first = steps[0]
    said = (
        f"After {epochs_text(first['epoch'])}, {len(first['dropped'])} of "
        f"{_count(len(first['live']), 'candidate')} were let go"
    )
    rest = [f"{len(r['dropped'])} more after {epochs_text(r['epoch'])}" for r in steps[1:]]
    if rest:
        said += ", " + ", ".join(rest[:3])
    if len(rest) > 3:
        said += f", and {sum(len(r['dropped']) for r in steps[4:])} later"
    return f"{said}. {winner} was {_trained(document)}."


def _own_course(document: Mapping[str, Any]) -> str:
    """Where each was trained as far as it was worth: who went untrained, who when, what decided."""
    rows = document.get("ranking", [])
    gone = {candidate_name(row): row for row in rows if row.get("status") != "winner"}
    last = len(document["rungs"]) - 1
    by_step: dict[int, list[Mapping[str, Any]]] = {}
    for step, rung in enumerate(document["rungs"]):
        found = [gone[drop["model"]] for drop in rung["dropped"] if drop["model"] in gone]
        by_step.setdefault(step, []).extend(found)
    early = [row for step, drops in by_step.items() if step < last for row in drops]
    unseen = [row for row in early if not row.get("epochs")]
    seen = [row for row in early if row.get("epochs")]
    failed = [row for row in rows if row.get("status") == "failed"]
    said = []
    if unseen:
        said.append(
            f"Of {_count(len(rows), 'candidate')}, {len(unseen)} {_were(unseen)} dropped by "
            "recall’s word alone, without any training."
        )
    else:
        many = _count(len(rows), "candidate")
        said.append(f"{many}, each trained only as far as that was worth its cost.")
    if seen:
        said.append(f"{_each_after(seen)}.")
    if failed:
        said.append(f"{_and([candidate_name(row) for row in failed[:NAMED]])} failed.")
    return " ".join([*said, _decision(document, by_step[last])])


def _each_after(rows: Sequence[Mapping[str, Any]]) -> str:
    """Who was dropped after which epoch of its own."""
    told = [
        f"{candidate_name(row)} {'' if i else 'was dropped '}after {epochs_text(row['epochs'])}"
        for i, row in enumerate(rows[:NAMED])
    ]
    more = len(rows) - NAMED
    if more > 0:
        told.append(f"{more} more later")
    return _and(told)


def _decision(document: Mapping[str, Any], open_still: Sequence[Mapping[str, Any]]) -> str:
    """What decided in the end, and who was still possible then."""
    winner, end = winner_name(document), _trained(document)
    rows = document["ranking"]
    chance = next((row.get("p_best") for row in rows if row.get("status") == "winner"), None)
    if not open_still:
        return f"With all others out, {winner} was {end}."
    if document.get("ended"):
        said = f"{winner} was ahead when the budget was used up, and was {end}"
    else:
        said = f"{winner} was {end}"
    if chance is not None:
        said += f"; by the forecast it is the best with {percent_text(chance)}"
    said += "."
    if chance is None:
        return f"{said} {_left(open_still)}"
    return f"{said} {_possible(open_still, bool(document.get('ended')))}"


def _left(rows: Sequence[Mapping[str, Any]]) -> str:
    """Those that were left where they were when it was over, where nothing was forecast."""
    who = "The other one" if len(rows) == 1 else f"The {len(rows)} others"
    ends = sorted({row.get("epochs") or 0.0 for row in rows})
    if ends[-1] <= 0:
        return f"{who} had not been trained by then."
    span = epochs_text(ends[-1])
    if len(ends) > 1:
        span = f"{number_text(ends[0])} to {span}"
    return f"{who} had been trained for {span} by then."


def _possible(rows: Sequence[Mapping[str, Any]], ended: bool) -> str:
    """Those that could have been the best still when it was over."""
    seen = [row for row in rows if row.get("epochs")]
    unseen = len(rows) - len(seen)
    who = "1 other" if len(rows) == 1 else f"{len(rows)} others"
    why = "" if ended else ", which was not worth finding out"
    could = "could still have been better"
    if not seen:
        return f"{who}, never trained, {could}{why}."
    few = [f"{candidate_name(r)}, trained for {epochs_text(r['epochs'])}" for r in seen]
    parts = few if len(seen) < NAMED else [f"{len(seen)} trained a little"]
    parts += [f"{unseen} never trained"] if unseen else []
    return f"{who} {could} ({'; '.join(parts)}){why}."


# --------------------------------------------------------------------------------- the fates


def fates(document: Mapping[str, Any]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    """The ranking in groups by what became of the candidates: name -> (rank, row)."""
    rungs = document.get("rungs", [])
    step = {drop["model"]: i for i, rung in enumerate(rungs) for drop in rung["dropped"]}
    groups: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for rank, row in enumerate(document.get("ranking", []), 1):
        at = step.get(candidate_name(row))
        groups.setdefault(_fate(document, row, at), []).append((rank, row))
    return groups


def _fate(document: Mapping[str, Any], row: Mapping[str, Any], step: int | None) -> str:
    status = row.get("status", "dropped")
    if status == "dropped":
        return f"Dropped after {epochs_text(row.get('dropped_at') or 0)}"
    if status == "untrained" and step is not None:
        if step < len(document["rungs"]) - 1:
            return "Dropped by recall’s word alone"
        return (
            "Not yet trained when the budget was used up"
            if document.get("ended")
            else "Still possible in the end, never trained"
        )
    names = {
        "winner": "Winner",
        "finished": "Trained to the end, not chosen",
        "failed": "Failed",
        "untrained": "Never trained",
    }
    return names.get(status, status)


# --------------------------------------------------------------------------------- the steps


@dataclass(frozen=True)
class Step:
    """One decision: what was trained before it and what that gave, who led, what came next."""

    number: int
    trained: str
    to: str
    val: str
    leader: str
    chance: str
    dropped: int
    note: str


def steps(document: Mapping[str, Any]) -> list[Step]:
    """Every decision in order; empty for documents that don't say how far each had got."""
    rungs, metric = document.get("rungs", []), str(document.get("metric", ""))
    higher = document.get("higher_is_better", True)
    if not rungs or not all(rung.get("reached") for rung in rungs):
        return []
    labels = short_names([candidate_name(row) for row in document.get("ranking", [])])
    found = []
    before: dict[str, float] = {}
    for number, rung in enumerate(rungs, 1):
        moved = {m: at for m, at in rung["reached"].items() if at > before.get(m, 0.0)}
        before.update(rung["reached"])
        leader = rung.get("leader") or ""
        found.append(
            Step(
                number,
                _moved(moved, labels),
                epochs_text(max(moved.values())) if moved else "–",
                _best_val([rung["val"].get(m) for m in moved], metric, higher),
                labels.get(leader, leader),
                _chance((rung.get("p_best") or {}).get(leader)),
                len(rung["dropped"]),
                rung.get("note") or "",
            )
        )
    return found


def _moved(moved: Mapping[str, float], labels: Mapping[str, str]) -> str:
    """Who was trained before a decision."""
    if len(moved) == 1:
        name = next(iter(moved))
        return labels.get(name, name)
    return f"{len(moved)} candidates" if moved else "nobody"


def _best_val(scores: Sequence[float | None], metric: str, higher: bool) -> str:
    known = [score for score in scores if score is not None]
    if not known:
        return "–"
    best = score_text(max(known) if higher else min(known), metric)
    return best if len(scores) == 1 else f"{best} at best"


def _chance(chance: float | None) -> str:
    return "" if chance is None else percent_text(chance)


# -------------------------------------------------------------------------------- small words


def rates(document: Mapping[str, Any]) -> list[float]:
    """The learning rates that were tried, if there were several, falling."""
    tried = {row.get("learning_rate") for row in document.get("ranking", [])} - {None}
    return sorted(tried, reverse=True) if len(tried) > 1 else []


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _were(rows: Sequence[object]) -> str:
    return "was" if len(rows) == 1 else "were"


def _and(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
