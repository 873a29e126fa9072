"""The models of a record that are best on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, bar, head, name
from hf_select.report.words import millions

SHOWN = 12
"""Models that the page lists; the heat map has all of them."""
HIDDEN = ("benchmarks", "best on")
"""Columns that a narrow page has no room for."""


def leaders(part: Mapping[str, Any], sheet: Sheet) -> str:
    """The best models with their mean skill, and on how many benchmarks each is the best."""
    rows = part["leaders"][:SHOWN]
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row" class="name">{name(row["model"])}</th>'
        f'<td class="bar">{bar(max(0.0, row["mean"]))}</td>'
        f'<td class="num">{100 * row["mean"]:.1f}</td>'
        f'<td class="num extra">{row["benchmarks"]:,}</td>'
        f'<td class="num extra">{row["wins"]:,}</td>'
        f'<td class="num">{millions(row["num_parameters"])}</td>'
        "</tr>\n"
        for row in rows
    )
    heads = ["model", "mean skill, in points", "", "benchmarks", "best on", "parameters"]
    few = any(row["benchmarks"] < part["counts"]["datasets"] for row in rows)
    note = "A mean is over the benchmarks that a model was measured on. " * few
    return sheet.section(
        "leaders",
        "The best models on average",
        f'<table class="bars leaders">{head(heads, extra=HIDDEN)}<tbody>{body}</tbody></table>\n',
        f'<p class="note">{note}Which one is best for a target is another question: on average '
        "says little where models differ in what they are good at.</p>\n",
    )
