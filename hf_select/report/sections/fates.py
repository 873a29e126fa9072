"""What became of each candidate, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_select.metrics import find_metric
from hf_select.report import story
from hf_select.report.document import candidate_name, epochs_text, score_text
from hf_select.report.markup import Sheet, cell, head, name
from hf_select.report.svg import esc
from hf_select.report.words import millions


def fates(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The ranking in groups, each candidate with what is known of it and the reason."""
    ranking = document.get("ranking", [])
    metric = str(document.get("metric", ""))
    forecast = any(row.get("predicted") is not None for row in ranking)
    p_best = any(row.get("p_best") is not None for row in ranking)
    heads = ["", "model", "trained", "validation"]
    heads += ["forecast"] if forecast else []
    heads += ["P(best)"] if p_best else []
    heads += ["why"]
    body = ""
    for title, group in story.fates(document).items():
        lines = "".join(_fate(rank, row, metric, forecast, p_best) for rank, row in group)
        body += (
            f'<tbody><tr class="group"><th colspan="{len(heads)}" scope="rowgroup">{esc(title)}'
            f"</th></tr>\n{lines}</tbody>\n"
        )
    policy = esc(document.get("policy", ""))
    any_dropped = any(row.get("status", "dropped") == "dropped" for row in ranking)
    return sheet.section(
        "dropped",
        "Why each model was dropped" if any_dropped else "Why the others were not chosen",
        f"<p>Decided by the policy <b>{policy}</b>, from validation scores only.</p>\n",
        f'<table class="fates">{head(heads)}{body}</table>\n',
    )


def _fate(rank: int, row: Mapping[str, Any], metric: str, forecast: bool, p_best: bool) -> str:
    """A candidate's line in the table."""
    cells = [
        cell(str(rank), "rank"),
        f'<td class="name">{name(candidate_name(row))}{_facts(row)}</td>',
        cell(epochs_text(row["epochs"]) if row.get("epochs") else "–", "num", "trained"),
        cell(score_text(row.get("val"), metric), "num", "validation"),
    ]
    if forecast:
        cells.append(_forecast_cell(row, metric))
    if p_best:
        chance = row.get("p_best")
        cells.append(cell("–" if chance is None else f"{chance:.2f}", "num", "P(best)"))
    cells.append(cell(row.get("reason") or "–", "why"))
    return f'<tr class="{esc(row.get("status", ""))}">{chr(10).join(cells)}</tr>\n'


def _facts(row: Mapping[str, Any]) -> str:
    """Size and licence below the name, where they are known."""
    said = [f"{millions(row['num_parameters'])} parameters"] if row.get("num_parameters") else []
    said += [str(row["license"])] if row.get("license") else []
    return f" <small>{name(', '.join(said))}</small>" if said else ""


def _forecast_cell(row: Mapping[str, Any], metric: str) -> str:
    """The forecast with its interval, which ends where the metric does."""
    text, interval = esc(score_text(row.get("predicted"), metric)), row.get("interval")
    if interval and None not in interval:
        how = find_metric(metric)
        least, most = how.bounds if how is not None else (-math.inf, math.inf)
        low, high = (score_text(min(most, max(least, end)), metric) for end in interval)
        text += f" <small>({esc(low)} to {esc(high)})</small>"
    return f'<td class="num" data-label="forecast">{text}</td>'
