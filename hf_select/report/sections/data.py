"""The target's rows, and what the checks of the data have to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, name, pairs
from hf_select.report.svg import esc

LEVELS = {"warning": "Warning", "note": "Note", "ok": "Fine"}
"""What a check can come to, worst first."""


def data(document: Mapping[str, Any], sheet: Sheet) -> str:
    """Rows, columns, notes and checks, the worst first."""
    found = document.get("data") or {}
    rows = [(f"{split} rows", f"{n:,}") for split, n in (found.get("rows") or {}).items()]
    early, full = found.get("early_rows"), (found.get("rows") or {}).get("validation")
    if early and full and early < full:
        rows.append(("validation rows before epoch 1", f"{early:,}"))
    if found.get("input_columns"):
        rows.append(("input columns", ", ".join(map(str, found["input_columns"]))))
    if found.get("label_column"):
        rows.append(("label column", str(found["label_column"])))
    if found.get("fingerprint"):
        rows.append(("fingerprint", str(found["fingerprint"])))
    checks = _checks(found.get("checks") or [])
    notes = found.get("notes") or []
    told = f'<ul class="notes">{"".join(f"<li>{name(n)}</li>" for n in notes)}</ul>'
    if not rows and not checks and not notes:
        return ""
    if not notes and not checks:
        told = '<p class="note">The data checks found nothing to say.</p>'
    return sheet.section(
        "data",
        "The data, checked",
        f'<div class="columns two"><div>{pairs(rows)}</div>\n',
        f"<div>{checks}{told if notes or not checks else ''}</div></div>\n",
    )


def _checks(checks: list[Mapping[str, Any]]) -> str:
    """The checks as a list, each with its level in words."""
    if not checks:
        return ""
    order = list(LEVELS)
    worst_first = sorted(
        checks, key=lambda c: order.index(c["level"]) if c.get("level") in order else len(order)
    )
    lines = "".join(
        f'<li class="{level}"><b>{esc(LEVELS[level])}</b> '
        f'<span class="what">{esc(str(check.get("check", "")).replace("-", " "))}</span> '
        f"<span>{name(check.get('text', ''))}{_example(check)}</span></li>"
        for check in worst_first
        for level in [check["level"] if check.get("level") in LEVELS else "note"]
    )
    return f'<ul class="checks">{lines}</ul>\n'


def _example(check: Mapping[str, Any]) -> str:
    """What a check quotes of the rows; a document that is for others has none."""
    return f"; for example {name(check['example'])}" if check.get("example") else ""
