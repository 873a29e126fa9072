"""Smaller, faster: the Pareto front of skill against size and latency, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.document import metric_text, score_text
from hf_select.report.efficiency import charts, differ, efficiency_svg, front_of
from hf_select.report.markup import Sheet, both_widths, cell, head, name
from hf_select.report.story import winner_of
from hf_select.report.svg import esc
from hf_select.report.words import bytes_text, listed, millions, milliseconds

KEYS = "Hover, or tab to a figure and use the arrow keys, to read its points."
WHAT = {"size": "size", "parameters": "parameters", "latency": "latency"}


def efficiency(document: Mapping[str, Any], sheet: Sheet) -> str:
    """Two small charts and a table; "" where nothing was measured."""
    found = document.get("efficiency") or {}
    rows = found.get("models") or []
    if not rows:
        return ""
    metric = str(document.get("metric", ""))
    drawn = charts(document)
    figure = ""
    if drawn:
        pictures = "".join(
            "<div>"
            + both_widths(
                efficiency_svg(document, chart, standalone=False),
                efficiency_svg(document, chart, width=372, height=320, standalone=False),
            )
            + "</div>"
            for chart in drawn
        )
        figure = (
            f'<figure class="points pair" id="{sheet.id("efficiency-charts")}">'
            f'<div class="side">{pictures}</div>\n<p class="keys">{KEYS}</p>\n'
            f"<figcaption>{_caption(document, drawn)}</figcaption></figure>\n"
        )
    heads = ["model", metric_text(metric), "parameters", "size", "latency", "rows a second", ""]
    body = "".join(_row(row, document, metric) for row in rows)
    return sheet.section(
        "efficiency",
        "Smaller or faster ones",
        _trades(document),
        f"<p>{_words(document, drawn)}</p>\n",
        figure,
        f'<table class="fates sizes">{head(heads)}<tbody>{body}</tbody></table>\n',
    )


def _caption(document: Mapping[str, Any], drawn: list[str]) -> str:
    """How to read the charts: of what is drawn in them only."""
    said = ["Up is better, left is smaller or faster."]
    if any(len(front_of(document, chart)) > 1 for chart in drawn):  # one point is no line
        said.append("On the dashed line are those that no other model beats on both counts.")
    if any(row.get("score_is") == "forecast" for row in document["efficiency"]["models"]):
        said.append(
            "Hollow points were not trained to a validation score, theirs is forecast: the "
            "winner’s score and the gap to it that was expected when both were last looked at."
        )
    return " ".join(said)


def _words(document: Mapping[str, Any], drawn: list[str]) -> str:
    """How it was measured, and who is on the fronts beside the winner."""
    found, winner = document["efficiency"], winner_of(document)
    best = winner.get("candidate") or winner.get("model")
    said = []
    if any(row.get("latency_ms") for row in found["models"]):
        rows = found.get("rows")
        of = f"the median of {rows:,} rows, " if rows else ""
        said.append(
            f"Latency is {of}one at a time, on {esc(found.get('device') or 'this machine')}."
        )
    for chart in drawn:
        if not differ(document, chart):
            said.append(f"All are about alike in {WHAT[chart]}.")
            continue
        others = [m for m in front_of(document, chart) if m != best]
        if others:
            few = [f"<b>{name(m)}</b>" for m in others[:3]]
            more = [f"{len(others) - 3} more"] if len(others) > 3 else []
            said.append(
                f"On the front of {WHAT[chart]}, beside the winner: {listed([*few, *more])}."
                if best in front_of(document, chart)
                else f"On the front of {WHAT[chart]}: {listed([*few, *more])}."
            )
    return " ".join(said) or "What each finalist would cost to keep and to run."


def _trades(document: Mapping[str, Any]) -> str:
    """Those that are worth a thought instead of the winner, where the document names any."""
    found = document["efficiency"].get("alternatives") or []
    if not found:
        return ""
    lines = "".join(
        f"<li><b>{name(row.get('candidate') or row.get('model'))}</b> {name(row.get('text', ''))}"
        "</li>"
        for row in found
    )
    return f'<ul class="trades">{lines}</ul>\n'


def _row(row: Mapping[str, Any], document: Mapping[str, Any], metric: str) -> str:
    winner = winner_of(document)
    model = str(row.get("candidate") or row.get("model"))
    mine = model == (winner.get("candidate") or winner.get("model"))
    score = score_text(row.get("score"), metric)
    score += " (forecast)" if row.get("score_is") == "forecast" else ""
    speed = row.get("rows_per_second")
    beaten = row.get("dominated_by")
    verdict = "on the front" if row.get("pareto") else ""
    verdict = f"beaten by {beaten}" if beaten and not verdict else verdict
    cells = [
        cell(model, "name"),
        cell(score, "num", metric_text(metric)),
        cell(millions(row.get("num_parameters")), "num", "parameters"),
        cell(bytes_text(row.get("size_bytes")), "num", "size"),
        cell(milliseconds(row.get("latency_ms")), "num", "latency"),
        cell("–" if speed is None else f"{speed:,.0f}", "num", "rows a second"),
        cell(verdict, "why"),
    ]
    kind = ' class="winner"' if mine else ""
    return f"<tr{kind}>{''.join(cells)}</tr>\n"
