"""From the record to the winner: how many were left at each stage, and why the others weren't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report import story
from hf_select.report.markup import name, name_list
from hf_select.report.svg import esc
from hf_select.report.words import count

MAX_DOTS = 120
"""Above that many models the funnel counts in words only: dots would say nothing."""

MAX_REASONS = 40
"""Rows of reasons of one kind that are written out."""


def funnel(document: Mapping[str, Any]) -> str:
    """The stages side by side, and folded below them who fell out before recall, and why."""
    found = story.stages(document)
    if not found:
        return ""
    total = max(stage.count for stage in found)
    out = []
    for stage in found:
        dots = _dots(stage.count, total) if total <= MAX_DOTS else ""
        out.append(
            f'<li class="{stage.key}"><span class="count">{stage.count:,}</span> '
            f"<b>{esc(stage.label)}</b>{dots}<small>{esc(stage.more)}</small></li>"
        )
    return (
        f'<ol class="funnel of{len(found)}" aria-label="From the record to the winner">'
        f"{''.join(out)}</ol>\n{_reasons(document)}"
    )


def _dots(there: int, total: int) -> str:
    """The models as dots, those still there filled."""
    down = max(1, -(-total // 12))
    across = max(1, -(-total // down))
    on: list[str] = []
    off: list[str] = []
    for k in range(total):
        x, y = 5 + 11 * (k % across), 5 + 11 * (k // across)
        (on if k < there else off).append(f"M{x - 4} {y}a4 4 0 1 0 8 0a4 4 0 1 0-8 0")
    return (
        f'<svg class="dots" viewBox="0 0 {across * 11} {down * 11}" width="{across * 11}" '
        f'height="{down * 11}" aria-hidden="true">'
        f'<path class="gone" d="{"".join(off)}"/><path class="here" d="{"".join(on)}"/></svg>'
    )


def _reasons(document: Mapping[str, Any]) -> str:
    """Who fell out before any training: limits, what couldn't be ranked, what ranked too low."""
    recall = document.get("recall") or {}
    excluded = document.get("excluded") or []
    skipped = recall.get("skipped") or []
    taken = {c["model"] for c in recall.get("candidates", [])}
    lower = [m for m in recall.get("ranking", []) if m not in taken]
    said, parts = [], []
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in excluded:
        groups.setdefault(str(row.get("limit", "a limit")), []).append(row)
    for limit, rows in groups.items():
        said.append(f"{len(rows):,} by the limit {limit}")
        parts.append(_group(f"Ruled out by the limit {limit}", rows))
    if skipped:
        said.append(f"{len(skipped):,} could not be ranked")
        parts.append(_group("Could not be ranked", skipped))
    if lower:
        said.append(f"{len(lower):,} ranked lower")
        parts.append(
            f'<h3>Ranked lower, not recalled</h3><p class="note names">{name_list(lower)}.</p>\n'
        )
    if not said:
        return ""
    summary = f"Who fell out before any training, and why: {', '.join(said)}"
    return (
        f'<details class="reasons"><summary>{esc(summary)}</summary>\n{"".join(parts)}</details>\n'
    )


def _group(title: str, rows: list[Mapping[str, Any]]) -> str:
    """Models with their reasons; where all have the same one it is said once."""
    shown, reasons = rows[:MAX_REASONS], {str(row.get("reason", "")) for row in rows}
    if len(reasons) == 1 and len(rows) > 1:
        names = name_list([str(row["model"]) for row in rows])
        return f'<h3>{esc(title)}</h3><p class="note names">{name(reasons.pop())}: {names}.</p>\n'
    lines = "".join(
        f"<li><b>{name(row['model'])}</b> {name(row.get('reason', ''))}</li>" for row in shown
    )
    more = len(rows) - len(shown)
    rest = f'<p class="note">and {count(more, "model")} more.</p>\n' if more > 0 else ""
    return f'<h3>{esc(title)}</h3><ul class="note why-out">{lines}</ul>\n{rest}'
