"""How the candidates learned: curves, what was expected of each, every decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report import story
from hf_select.report.curves import Series, curve_series, learning_curves_svg, tick_text
from hf_select.report.document import epochs_text, own_pace, score_text
from hf_select.report.markup import Sheet, both_widths, cell, head, name
from hf_select.report.svg import esc
from hf_select.report.words import count, seconds_text

KEYS = (
    "Hover, or tab to a line and use the arrow keys, to read its points; press a name to hide it."
)


def learning(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The curves with their legend, and every decision folded away below."""
    series = curve_series(document)
    if not series:
        return ""
    figure = both_widths(
        learning_curves_svg(document, standalone=False),
        learning_curves_svg(document, width=372, height=430, named=False, standalone=False),
    )
    legend = "".join(
        f'<li><button type="button" class="{s.role}" data-i="{s.rank}" aria-pressed="true">'
        f'<span class="swatch"></span><span class="rank">{s.rank}</span> '
        f'<span class="name">{name(s.model)} <small>{esc(_until(s))}</small></span></button></li>'
        for s in series
    )
    sheet.data[sheet.id("curves")] = _points(series, str(document.get("metric", "")))
    return sheet.section(
        "learning",
        "How they learned",
        f'<p class="lede">{esc(story.course(document))}</p>\n',
        f'<figure class="chart" id="{sheet.id("curves")}">\n{figure}'
        f'<ul class="legend">{legend}</ul>\n<p class="keys">{KEYS}</p>\n'
        f"<figcaption>{esc(_caption(document))}</figcaption>\n</figure>\n",
        _steps(document),
    )


def _points(series: list[Series], metric: str) -> dict[str, Any]:
    """What the script shows of each point: rank -> name, fate, [epochs, score, time]."""
    return {
        str(s.rank): {
            "name": s.model,
            "end": s.end,
            "points": [
                [epochs_text(e), score_text(v, metric), "" if t is None else seconds_text(t)]
                for e, v, t in zip(s.epochs, s.val, s.seconds, strict=True)
            ],
        }
        for s in series
    }


def _until(line: Series) -> str:
    """A candidate's fate in the few characters that the legend has room for."""
    if line.role == "winner":
        return "winner"
    if line.role == "failed":
        return "failed"
    return f"to {tick_text(line.epochs[-1])}"


def _caption(document: Mapping[str, Any]) -> str:
    said = ["Each line is one candidate; it ends where the candidate was let go (×)."]
    if not own_pace(document):
        said.append("The numbers on top count the candidates that were live at each decision.")
    said.append("Scores are on the validation split; the test split was used once, for the winner.")
    ranking = document.get("ranking", [])
    forecast = [row for row in ranking if row.get("interval") and row.get("predicted") is not None]
    if forecast:
        said.append(
            "On the right is what was last expected of each candidate’s test score when fully "
            "trained (dot) with its 95 % interval; the diamond is the winner’s test score."
        )
        if any(not row.get("epochs") for row in forecast):
            said.append(
                "Thin ones were never trained; of those, as many are drawn as there is room for."
            )
    return " ".join(said)


def _steps(document: Mapping[str, Any]) -> str:
    """Every decision of the policy, folded away."""
    found = story.steps(document)
    if not found:
        return ""
    chances, notes = any(step.chance for step in found), any(step.note for step in found)
    heads = ["step", "trained", "to", "validation", "ahead then"]
    heads += ["P(best)"] if chances else []
    heads += ["dropped"]
    heads += ["and next"] if notes else []
    body = "".join(_step(step, chances, notes) for step in found)
    return (
        f'<details class="steps"><summary>How it went, in {count(len(found), "step")}</summary>\n'
        f'<table class="fates">{head(heads)}<tbody>{body}</tbody></table></details>\n'
    )


def _step(step: story.Step, chances: bool, notes: bool) -> str:
    """A step's line in the table."""
    cells = [
        cell(str(step.number), "rank"),
        cell(step.trained, "name"),
        cell(step.to, "num", "to"),
        cell(step.val, "num", "validation"),
        cell(step.leader or "–", "num", "ahead then"),
    ]
    cells += [cell(step.chance or "–", "num", "P(best)")] if chances else []
    cells += [cell(str(step.dropped), "num", "dropped")]
    cells += [cell(step.note, "why")] if notes else []
    return f"<tr>{chr(10).join(cells)}</tr>\n"
