"""The benchmarks of a record: hard and easy ones, who is best on each, noise between seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_select.report.document import metric_text, score_text
from hf_select.report.likeness import skill_of
from hf_select.report.markup import Sheet, both_widths, cell, head, name, region
from hf_select.report.strips import MAX_ONES, MAX_ROWS, Strip, strips_svg
from hf_select.report.svg import esc

KEYS = "Hover, or tab to the figure and use the arrow keys, to read its benchmarks."


def benchmarks(part: Mapping[str, Any], sheet: Sheet) -> str:
    """The strips of all benchmarks and a table of them."""
    rows = part["benchmarks"]
    if not rows:
        return ""
    strips = strips_of(part)
    figure = both_widths(
        strips_svg(strips, standalone=False), strips_svg(strips, width=372, standalone=False)
    )
    body = "".join(_row(row) for row in rows)
    heads = ["benchmark", "mean skill", "spread", "seed noise", "best model", "its score", "rows"]
    table = region(
        "The benchmarks", f'<table class="sets">{head(heads)}<tbody>{body}</tbody></table>'
    )
    return sheet.section(
        "benchmarks",
        "The benchmarks, from the easiest to the hardest",
        f"<p>{_words(rows)}</p>\n",
        f'<figure class="points" id="{sheet.id("strips")}">{figure}<p class="keys">{KEYS}</p>\n'
        f"<figcaption>{esc(_caption(part, strips))}</figcaption></figure>\n",
        f"<details><summary>The numbers</summary>\n{table}</details>\n",
    )


def strips_of(part: Mapping[str, Any]) -> list[Strip]:
    """The benchmarks as the figure wants them, easiest first."""
    skill = skill_of(part)
    place = {dataset: j for j, dataset in enumerate(part["matrix"]["datasets"])}
    found = []
    for row in part["benchmarks"]:
        column = skill[:, place[row["dataset"]]]
        noise = math.nan if row["noise"] is None else row["noise"]
        found.append(Strip(row["dataset"], column[np.isfinite(column)], row["best"], noise))
    return found


def _words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The easiest, the hardest, and which one tells models apart best."""
    easy, hard = rows[0], rows[-1]
    said = (
        f"The easiest is <b>{name(easy['dataset'])}</b> (mean skill {100 * easy['mean']:.0f} "
        f"points), the hardest <b>{name(hard['dataset'])}</b> ({100 * hard['mean']:.0f})."
    )
    told = [row for row in rows if row["noise"]]
    if told:
        sharp = max(told, key=lambda row: row["spread"] / row["noise"])
        said += (
            f" Models differ most, set against the noise between seeds, on "
            f"<b>{name(sharp['dataset'])}</b>: by {100 * sharp['spread']:.1f} points, where seeds "
            f"differ by {100 * sharp['noise']:.1f}."
        )
    return said.replace("(-", "(−").replace("skill -", "skill −")


def _caption(part: Mapping[str, Any], strips: Sequence[Strip]) -> str:
    many = part["counts"]["models"] > MAX_ONES
    said = "Each dot is a model" if not many else "The box holds the middle half of the models"
    said += ", the upright stroke their median, the blue dot the best one, which is named."
    if any(math.isfinite(strip.noise) for strip in strips):
        said += (
            " The bar below it is two standard deviations between seeds wide: what lies closer "
            "together than that, one run can't tell apart."
        )
    if len(strips) > MAX_ROWS:
        said += f" Of {len(strips):,} benchmarks every {-(-len(strips) // MAX_ROWS)}th is drawn."
    return said


def _row(row: Mapping[str, Any]) -> str:
    def points(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f}".replace("-", "−")

    splits = " / ".join(f"{n:,}" for n in row["rows"].values())
    cells = [
        cell(row["dataset"], "name"),
        cell(points(row["mean"]), "num"),
        cell(points(row["spread"]), "num"),
        cell(points(row["noise"]), "num"),
        cell(row["best"], "name"),
        cell(f"{score_text(row['best_score'], row['metric'])} {metric_text(row['metric'])}", "num"),
        cell(splits or "–", "num"),
    ]
    return f"<tr>{''.join(cells)}</tr>\n"
