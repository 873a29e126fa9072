"""Why these were recalled: the evidence, and the benchmarks that the target is most like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_select.report.document import metric_text, score_text
from hf_select.report.markup import Sheet, bar, cell, head, name, region
from hf_select.report.story import recalled_of, winner_of
from hf_select.report.svg import esc
from hf_select.report.words import count, fixed, listed

MAX_NEAREST = 8
"""Benchmarks whose likeness is drawn."""


def recalled(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The evidence for each recalled model as a table, and the nearest benchmarks."""
    recall = document.get("recall") or {}
    rows = recalled_of(document)
    if not rows:
        return ""
    metric = str(document.get("metric", ""))
    winner = winner_of(document).get("model")
    proxies = list(recall.get("proxy", []))
    in_units = any(c.get("predicted_score") is not None for c in rows)
    chances = any(c.get("p_best") is not None for c in rows)
    heads = ["", "model", "prior", *proxies, "cluster", "P(best)" if chances else "score"]
    heads += [f"predicted {metric_text(metric)}"] if in_units else ["predicted skill"]
    best = {p: max((c["proxies"].get(p) or -1e300 for c in rows), default=None) for p in proxies}
    scale = _range([c for c in rows if c.get("predicted_score") is not None])
    body = []
    for rank, c in enumerate(rows, 1):
        why = f"<small>{name(c.get('reason', ''))}</small>"
        if c.get("tuned_on_target"):
            why += f'<small class="warn">{name(c["tuned_on_target"])}</small>'
        cells = [
            cell(str(rank), "rank"),
            f'<th scope="row" class="name">{name(c["model"])}{why}</th>',
            cell(fixed(c.get("prior")), "num"),
        ]
        for p in proxies:
            value = c["proxies"].get(p)
            top = "num top" if value is not None and value == best[p] else "num"
            cells.append(cell(fixed(value), top))
        cells.append(cell(_cluster_text(c), "cluster"))
        cells.append(cell(fixed(c.get("p_best" if chances else "score")), "num"))
        if in_units:
            cells.append(f'<td class="num">{_interval(c, scale, metric)}</td>')
        else:
            cells.append(cell(fixed(c.get("predicted")), "num"))
        kind = ' class="winner"' if c["model"] == winner else ""
        body.append(f"<tr{kind}>{''.join(cells)}</tr>\n")
    table = f'<table class="evidence">{head(heads)}<tbody>{"".join(body)}</tbody></table>'
    return sheet.section(
        "recall",
        f"Why these {len(rows)} were recalled" if len(rows) > 1 else "Why this one was recalled",
        f"<p>{_words(document)}</p>\n",
        region("Evidence of the recall", table),
        '<p class="note">Prior: mean skill on the benchmarks of the record (0 trivial, 1 perfect). '
        "Proxies need one look at the target and no training. A star marks a cluster's "
        "representative.</p>\n",
        _nearest(recall, sheet),
    )


def _words(document: Mapping[str, Any]) -> str:
    recall = document["recall"]
    record = (document.get("funnel") or {}).get("record")
    among = f" of {count(record, 'model')}" if record else ""
    said = [f"Recalled by the method <b>{esc(recall.get('method', ''))}</b>{among}"]
    if recall.get("proxy"):
        said.append(f", with {esc(listed(recall['proxy']))} on the target's training rows")
    said.append(".")
    if recall.get("outside") is not None:
        said.append(
            " The chance that the best model of the record is not among these is "
            f"{100 * recall['outside']:.0f} %."
        )
    if recall.get("novel"):
        novelty = recall.get("novelty") or {}
        said.append(
            " <b>The target looks unlike the benchmarks of the record</b>: "
            f"{esc(novelty.get('why', ''))}. Because of that, {esc(novelty.get('changed', ''))}."
        )
    return "".join(said)


def _nearest(recall: Mapping[str, Any], sheet: Sheet) -> str:
    """The benchmarks that the target is most like, as bars."""
    near = [row for row in recall.get("nearest_benchmarks") or [] if row["similarity"] is not None]
    if not near:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{name(row["dataset"])}</th>'
        f'<td class="bar">{bar(max(0.0, row["similarity"]))}</td>'
        f'<td class="num">{fixed(row["similarity"])}</td></tr>\n'
        for row in near[:MAX_NEAREST]
    )
    novelty = recall.get("novelty") or {}
    usual = novelty.get("usual_similarity")
    scale = "" if usual is None else f" Between benchmarks of the record it is {usual:.2f} on mean."
    return (
        f'{sheet.heading("The nearest benchmarks")}<p class="note">Likeness by how models look on '
        f"them, from −1 to 1: how much the record says of this target.{scale}</p>\n"
        f'<table class="bars nearest">{head(["benchmark", "likeness", ""])}'
        f"<tbody>{lines}</tbody></table>\n"
    )


def _cluster_text(candidate: Mapping[str, Any]) -> str:
    cluster = candidate.get("cluster")
    if cluster is None:
        return "–"
    if candidate.get("cluster_size") == 1:
        return "alone"
    return f"{cluster} ★" if candidate.get("representative") else str(cluster)


def _range(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    if not rows:
        return 0.0, 1.0
    ends = []
    for c in rows:
        spread = c.get("predicted_spread") or 0.0
        ends += [c["predicted_score"] - spread, c["predicted_score"] + spread]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _interval(c: Mapping[str, Any], scale: tuple[float, float], metric: str) -> str:
    """The predicted score with its spread, as a number and as a small range."""
    value, spread = c.get("predicted_score"), c.get("predicted_spread")
    if value is None:
        return "–"
    low, high = scale

    def x(v: float) -> float:
        return 4 + 92 * (v - low) / (high - low)

    line, text = "", score_text(value, metric)
    if spread is not None:
        line = f'<path class="span" d="M{x(value - spread):.1f} 7H{x(value + spread):.1f}"/>'
        text += f" ± {score_text(spread, metric)}"
    return (
        f'{esc(text)}<svg class="range" viewBox="0 0 100 14" width="100" height="14" '
        f'aria-hidden="true"><path class="base" d="M4 7H96"/>{line}'
        f'<circle cx="{x(value):.1f}" cy="7" r="3.5"/></svg>'
    )
