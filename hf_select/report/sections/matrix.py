"""The performance matrix as a heat map that can be searched and sorted.

The table holds the first rows, for print and for a page without its script; the script has all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.scores import row_means
from hf_select.metrics import find_metric
from hf_select.report.document import metric_text, score_text
from hf_select.report.likeness import cluster_kinds, skill_of
from hf_select.report.markup import Sheet, name, region
from hf_select.report.story import recalled_of, winner_of
from hf_select.report.svg import esc
from hf_select.report.words import count

Array = NDArray[np.float64]

MAX_CELLS = 150_000
"""Cells that a page holds: about 0.7 MB."""

MAX_COLUMNS = 120
"""Benchmarks that a page holds; of more every n-th, from the easiest to the hardest."""

SHOWN = 60
"""Rows that are shown before one asks for more."""

KEYS = (
    "Press a heading to sort by it, again to turn the order round; in the table the arrow keys "
    "go from cell to cell."
)


def matrix(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The heat map with its controls; "" where the document has no matrix."""
    skill = skill_of(document)
    if not skill.size:
        return ""
    table = _Table(document, skill)
    here = sheet.id("heat")
    sheet.data[here] = table.payload()
    said = (
        "Skill of each model on each benchmark, in points: 0 is the trivial predictor, 100 is "
        "perfect. Benchmarks stand from the easiest to the hardest."
    )
    if table.marked:
        said += " Recalled models are bold, the winner is in colour."
    if table.left_out:
        said += f" {table.left_out}"
    controls = (
        '<div class="controls"><label>Find models <input type="search" class="find-models" '
        'autocomplete="off" spellcheck="false"></label>'
        '<label>Find benchmarks <input type="search" class="find-datasets" autocomplete="off" '
        'spellcheck="false"></label><span class="found" role="status"></span></div>\n'
    )
    return sheet.section(
        "matrix",
        "The record behind it" if winner_of(document) else "Every score",
        f"<p>{esc(said)}</p>\n",
        f'<div class="heat" id="{here}">{controls}'
        f"{region('Heat map of the record', table.html(), 'scroll')}"
        f'<p class="more"><button type="button" class="plain" hidden>Show more</button></p>\n'
        f'{_scale()}<p class="keys">{KEYS}</p></div>\n',
    )


def _scale() -> str:
    cells = "".join(f'<i class="h{k}"></i>' for k in range(9))
    return (
        f'<p class="scale" aria-hidden="true"><span>0 trivial</span><span class="ramp">{cells}'
        "</span><span>100 perfect</span></p>\n"
    )


class _Table:
    """The rows and columns that the page holds, in the order in which they are first shown."""

    def __init__(self, document: Mapping[str, Any], skill: Array) -> None:
        matrix = document["matrix"]
        self.matrix = matrix
        self.skill = skill
        self.means = row_means(skill)
        winner = winner_of(document).get("model")
        recalled = {c["model"] for c in recalled_of(document)}
        kinds, clusters, representatives = cluster_kinds(document)
        models = matrix["models"]
        columns = _columns(skill)
        rows = _rows(models, skill, self.means, {winner, *recalled}, representatives, len(columns))
        place = {
            model: k
            for k, group in enumerate((document.get("clusters") or {}).get("groups", []))
            for model in group["models"]
        }
        last = len(place)
        rows.sort(
            key=lambda i: (place.get(models[i], last), -_finite(float(self.means[i])), models[i])
        )
        self.rows, self.columns = rows, columns
        self.kinds = [kinds.get(models[i], "") for i in rows]
        self.clusters = [clusters.get(models[i], "").removeprefix("cluster ") for i in rows]
        self.marks = [2 if models[i] == winner else int(models[i] in recalled) for i in rows]
        self.marked = any(self.marks)
        left = [
            count(n, what)
            for n, what in (
                (len(models) - len(rows), "model"),
                (len(matrix["datasets"]) - len(columns), "benchmark"),
            )
            if n
        ]
        self.left_out = f"Left out, so that the page stays small: {' and '.join(left)}." * bool(
            left
        )

    def payload(self) -> dict[str, Any]:
        """What the script draws from: names, skill in thousandths (null where not measured)."""
        thousandths = np.round(1000 * self.skill[np.ix_(self.rows, self.columns)])
        return {
            "models": [self.matrix["models"][i] for i in self.rows],
            "datasets": [self.matrix["datasets"][j] for j in self.columns],
            "skill": [
                [int(v) if math.isfinite(v) else None for v in row] for row in thousandths.tolist()
            ],
            "means": [
                round(1000 * self.means[i]) if math.isfinite(self.means[i]) else None
                for i in self.rows
            ],
            "clusters": self.clusters,
            "kinds": self.kinds,
            "marks": self.marks,
            "metrics": [_unit(self.matrix, j) for j in self.columns],
            "shown": SHOWN,
        }

    def html(self) -> str:
        """The table with its first rows."""
        heads = "".join(
            f'<th scope="col" class="set"><button type="button" data-column="{at}">'
            f"<span>{name(self.matrix['datasets'][j])}</span></button></th>"
            for at, j in enumerate(self.columns)
        )
        fixed = (
            '<th scope="col" class="model"><button type="button" data-column="model">model'
            '</button></th><th scope="col" class="group"><button type="button" '
            'data-column="cluster">cluster</button></th><th scope="col" class="mean">'
            '<button type="button" data-column="mean">mean</button></th>'
        )
        body = "".join(self._row(at) for at in range(min(SHOWN, len(self.rows))))
        return f"<table><thead><tr>{fixed}{heads}</tr></thead>\n<tbody>{body}</tbody></table>"

    def _row(self, at: int) -> str:
        i = self.rows[at]
        marked = ("", ' class="taken"', ' class="winner"')[self.marks[at]]
        cells = "".join(
            _cell(self.skill[i, j], self.matrix["scores"][i][j], self.matrix["metrics"][j])
            for j in self.columns
        )
        mean = self.means[i]
        points = _points(mean) if math.isfinite(mean) else "–"
        return (
            f'<tr{marked}><th scope="row"><span>{name(self.matrix["models"][i])}</span></th>'
            f'<td class="group">{name(self.clusters[at])}</td><td class="mean">{points}</td>'
            f"{cells}</tr>\n"
        )


def _columns(skill: Array) -> list[int]:
    """The benchmarks from the easiest to the hardest; every n-th where there are too many."""
    mean = row_means(skill.T)
    order = sorted(range(skill.shape[1]), key=lambda j: -_finite(float(mean[j])))
    return order[:: -(-len(order) // MAX_COLUMNS)]


def _rows(
    models: list[str],
    skill: Array,
    means: Array,
    first: set[Any],
    representatives: set[str],
    columns: int,
) -> list[int]:
    """The models that the page has room for: the chosen ones, representatives, then the best."""
    rows = list(range(skill.shape[0]))
    limit = max(1, MAX_CELLS // columns)
    if len(rows) <= limit:
        return rows
    rows.sort(
        key=lambda i: (
            models[i] not in first,
            models[i] not in representatives,
            -_finite(float(means[i])),
        )
    )
    return rows[:limit]


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else -1e9


def _points(skill: float) -> str:
    """Skill in whole points."""
    text = f"{100 * skill:.0f}".replace("-", "−")
    return "0" if text == "−0" else text


def _cell(skill: float, score: float | None, metric: str) -> str:
    if not math.isfinite(skill):
        return '<td class="none">–</td>'
    level = int(min(8, max(0, math.floor(skill * 9))))
    said = f"{score_text(score, metric)} {metric_text(metric)}"
    return f'<td class="h{level}" title="{esc(said)}">{_points(skill)}</td>'


def _unit(matrix: Mapping[str, Any], column: int) -> list[Any]:
    """A column's metric, its trivial and its perfect score, by which skill becomes a raw score."""
    metric = str(matrix["metrics"][column])
    known = find_metric(metric)
    trivial = matrix["baselines"][column]
    if known is None or (trivial is None and not known.higher_is_better):
        return [metric_text(metric), None, None]
    return [metric_text(metric), 0.0 if trivial is None else trivial, known.perfect]
