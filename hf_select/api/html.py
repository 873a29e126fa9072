"""What a notebook shows of a result: the answer, the page's figures, a table.

Figures are images within the markup: their style can't reach the notebook's, nor the other way
round. Every name is a stranger's text and is escaped. No script, and nothing is fetched.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.report.curves import learning_curves_svg
from hf_select.report.document import score_text
from hf_select.report.heatmap import matrix_svg
from hf_select.report.svg import esc

if TYPE_CHECKING:
    from hf_select.api.recalling import Recall

ROWS = 12
"""Rows of a table; the rest is counted."""


def selection_html(document: Mapping[str, Any], folder: Path) -> str:
    """The winner and its price, the learning curves, the ranking, and the record folded away."""
    won, metric = document["winner"], document["metric"]
    answer = (
        f"<p><b>{esc(won['candidate'])}</b> for {esc(document['target'])}: test "
        f"{esc(metric)} <b>{esc(score_text(won['test'], metric))}</b>, price of choosing "
        f"{document['price']:.2f} times its training. In <code>{esc(folder)}</code>: the "
        "fine-tuned model, selection.json, report.html</p>"
    )
    parts = [
        answer,
        _figure(learning_curves_svg(document), "Learning curves of the candidates"),
        _table(
            ("", "model", f"validation {metric}", "predicted", "P(best)", "why"),
            [
                (
                    rank,
                    row["candidate"],
                    score_text(row["val"], metric) if row["val"] is not None else "–",
                    _predicted(row, metric),
                    "–" if row["p_best"] is None else f"{100 * row['p_best']:.0f} %",
                    row["reason"],
                )
                for rank, row in enumerate(document["ranking"], 1)
            ],
        ),
    ]
    if document.get("matrix"):
        figure = _figure(matrix_svg(document), "The record as a heat map")
        parts.append(f"<details><summary>The record</summary>{figure}</details>")
    return f"<div>{''.join(parts)}</div>"


def recall_html(found: Recall) -> str:
    """The candidates with their evidence."""
    near = ", ".join(f"{esc(name)} ({alike:.2f})" for name, alike in [*found.nearest.items()][:3])
    said = f"<p><b>{len(found.candidates)}</b> models recalled for {esc(found.target)}"
    said += f"; nearest benchmarks: {near}" if near else ""
    if found.novelty is not None and found.novelty.novel:
        said += f". The target is unlike the benchmarks of the record: {esc(found.novelty.why)}"
    rows = [
        (
            c.rank,
            c.model,
            _number(c.predicted),
            f"{100 * c.p_best:.0f} %" if c.p_best == c.p_best else "–",
            c.reason,
        )
        for c in found.candidates
    ]
    table = _table(("", "model", "expected skill", "P(best)", "why"), rows)
    return f"<div>{said}</p>{table}</div>"


def _predicted(row: Mapping[str, Any], metric: str) -> str:
    if row["predicted"] is None:
        return "–"
    ends = row["interval"]
    middle = score_text(row["predicted"], metric)
    if not ends:
        return middle
    return f"{middle} ({score_text(ends[0], metric)} to {score_text(ends[1], metric)})"


def _number(value: float) -> str:
    return f"{value:.3f}" if value == value else "–"


def _figure(svg: str, words: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<img alt="{esc(words)}" style="max-width:100%;width:760px" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th style="text-align:left">{esc(name)}</th>' for name in heads)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="text-align:left">{esc(value)}</td>' for value in row)
        + "</tr>"
        for row in rows[:ROWS]
    )
    more = f"<p>and {len(rows) - ROWS} more</p>" if len(rows) > ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
