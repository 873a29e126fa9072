"""Price against regret of every policy, where the record was replayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, both_widths, cell, head
from hf_select.report.price import OURS, price_svg
from hf_select.report.svg import esc
from hf_select.report.words import amount, count, times

KEYS = "Hover, or tab to the figure and use the arrow keys, to read its points."


def replayed(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The plane of price and regret, and its numbers folded away."""
    found = document.get("replayed")
    if not found:
        return ""
    of = count((document.get("expected") or {}).get("replayed") or 0, "benchmark")
    words = (
        f"Policies with the same recall, replayed on {of} of the record, each left out in "
        "turn, one seed: what choosing cost, and how far the chosen model’s test score was from "
        "the best of all. So few targets tell prices, and regrets only roughly. "
        "Cheap and good is bottom left; on the dashed line are those that none beats on both "
        "counts."
    )
    return sheet.section(
        "replayed",
        "What choosing costs, policy by policy",
        f"<p>{esc(words)}</p>\n",
        plane(found, sheet, ours=str(document.get("policy", ""))),
    )


def record_replayed(part: Mapping[str, Any], sheet: Sheet) -> str:
    """The same of a record by itself."""
    found = part.get("replayed")
    if not found:
        return ""
    of = count(part.get("targets") or 0, "benchmark")
    words = (
        f"Policies with the same recall, replayed on {of} of this record, each left out in turn, "
        "one seed: what choosing would have cost, and how far the chosen model’s test score was "
        "from the best of all, in points. Cheap and good is bottom left; on the dashed line are "
        "those that none beats on both counts."
    )
    return sheet.section(
        "replayed",
        "What choosing costs, policy by policy",
        f"<p>{esc(words)}</p>\n",
        plane(found, sheet),
    )


def plane(found: Mapping[str, Any], sheet: Sheet, *, ours: str = OURS) -> str:
    """The figure with its numbers."""
    rows = "".join(
        f"<tr>{cell(str(policy), 'name')}{cell(amount(row.get('regret')), 'num')}"
        f"{cell(times(row.get('price')), 'num')}</tr>\n"
        for policy, row in found.items()
    )
    figure = both_widths(
        price_svg(found, ours=ours, width=960, height=470, standalone=False),
        price_svg(found, ours=ours, width=372, height=460, standalone=False),
    )
    return (
        f'<figure class="plane points" id="{sheet.id("plane")}">{figure}'
        f'<p class="keys">{KEYS}</p></figure>\n<details><summary>The numbers</summary>\n'
        f"<table>{head(['policy', 'regret, points', 'price'])}<tbody>{rows}</tbody></table>"
        "</details>\n"
    )
