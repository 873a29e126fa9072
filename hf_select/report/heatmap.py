"""The record as a heat map: models by cluster against benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_select.report.document import metric_text, score_text
from hf_select.report.svg import drawing, esc, short_names, text_at

MAX_CELLS = 2000
"""A larger matrix is cut to its most telling rows and columns, so that the page stays small."""

SINGLETONS = "singletons"


def matrix_svg(document: Mapping[str, Any], *, standalone: bool = True) -> str:
    """The record as a heat map: models by cluster (rows), benchmarks by mean skill (columns).

    A colour is the skill: 0 is the trivial predictor, 1 is perfect. Cells that were never
    measured are dashed. Of a large matrix only the recalled models, the representatives and the
    best of the rest are drawn, and as many benchmarks as fit.
    """
    matrix = document.get("matrix") or {}
    skill = np.array(
        [[np.nan if v is None else v for v in row] for row in matrix.get("skill", [])],
        dtype=np.float64,
    ).reshape(len(matrix.get("models", [])), len(matrix.get("datasets", [])))
    if not skill.size:
        return drawing(
            "hfs-matrix", 320, 40, "The record", text_at(0, 24, "No record."), standalone
        )
    rows, groups = _matrix_rows(document, skill)
    columns = np.argsort(-_mean(skill, 0), kind="stable")[: max(1, min(60, MAX_CELLS // 20))]
    rows = rows[: max(1, MAX_CELLS // len(columns))]
    models, datasets = matrix["models"], matrix["datasets"]
    names = short_names([models[i] for i in rows], 30)
    heads = short_names([datasets[j] for j in columns], 22)
    left = 46 + max(len(names[models[i]]) for i in rows) * 6.4
    wide = int(min(58, max(18, (960 - left) / len(columns))))
    high = 20 if wide >= 30 else 16
    top = 22 + max(len(heads[datasets[j]]) for j in columns) * 4.4
    winner = (document.get("winner") or {}).get("model")
    recalled = {c["model"] for c in (document.get("recall") or {}).get("candidates", [])}
    out = []
    for at, j in enumerate(columns):
        x, y = left + (at + 0.5) * wide, top - 8
        out.append(
            f'<text x="{x:.1f}" y="{y:.1f}" transform="rotate(-42 {x:.1f} {y:.1f})">'
            f"{esc(heads[datasets[j]])}</text>"
        )
    y = top
    marks: dict[Any, list[float]] = {}
    previous: Any = None
    for i in rows:
        group = groups[i]
        if previous is not None and group != previous:
            y += 5
        previous = group
        name = models[i]
        kind = "end strong" if name in recalled else "end"
        kind += " chosen" if name == winner else ""
        out.append(
            f'<text class="{kind}" x="{left - 26:.1f}" y="{y + high / 2 + 4:.1f}">'
            f"{esc(names[name])}</text>"
        )
        marks.setdefault(group, []).append(y)
        for at, j in enumerate(columns):
            out.append(_cell(matrix, skill, (i, int(j)), (left + at * wide, y), (wide, high)))
        y += high
    for group, tops in marks.items():
        if group not in (None, SINGLETONS) and len(tops) > 1:
            start, stop = min(tops) + 3, max(tops) + high - 3
            out.append(
                f'<path class="bracket" d="M{left - 6:.1f} {start}h-8V{stop}h8">'
                f"<title>cluster {esc(str(group))}</title></path>"
            )
    out.append(_scale(left, y + 16))
    width = int(left + len(columns) * wide + 60)
    about = f"Skill of {len(rows)} models on {len(columns)} benchmarks."
    size = int(y + 54)
    return drawing("hfs-matrix", width, size, "The record", "".join(out), standalone, about)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    have = np.isfinite(values)
    total = np.where(have, values, 0.0).sum(axis=axis)
    return np.where(have.any(axis=axis), total / np.maximum(1, have.sum(axis=axis)), -np.inf)


def _matrix_rows(
    document: Mapping[str, Any], skill: np.ndarray
) -> tuple[list[int], dict[int, Any]]:
    """Row order (cluster by cluster, better models first) and the cluster of each row."""
    matrix = document["matrix"]
    models = matrix["models"]
    mean = _mean(skill, 1)
    groups: dict[int, Any] = dict.fromkeys(range(len(models)))
    order: dict[int, int] = {}
    representatives = set()
    singles = 1_000_000
    for place, group in enumerate((document.get("clusters") or {}).get("groups", [])):
        representatives.add(group["representative"])
        for model in group["models"]:
            if model in models:
                i = models.index(model)
                alone = len(group["models"]) == 1
                groups[i] = SINGLETONS if alone else group["id"]
                order[i] = singles if alone else place
    rows = list(range(len(models)))
    limit = max(1, MAX_CELLS // max(1, min(skill.shape[1], 60)))
    if len(rows) > limit:
        recalled = {c["model"] for c in (document.get("recall") or {}).get("candidates", [])}
        rows.sort(
            key=lambda i: (models[i] not in recalled, models[i] not in representatives, -mean[i])
        )
        rows = rows[:limit]
    rows.sort(key=lambda i: (order.get(i, singles + 1), -mean[i], models[i]))
    return rows, groups


def _cell(
    matrix: Mapping[str, Any],
    skill: np.ndarray,
    index: tuple[int, int],
    place: tuple[float, float],
    size: tuple[int, int],
) -> str:
    i, j = index
    (x, y), (wide, high) = place, size
    box = f'x="{x:.1f}" y="{y:.1f}" width="{wide - 1}" height="{high - 1}"'
    where = f"{matrix['models'][i]} on {matrix['datasets'][j]}"
    value = skill[i, j]
    if not np.isfinite(value):
        gap = text_at(x + (wide - 1) / 2, y + high / 2 + 3, "–", "mid")
        return f'<rect class="none" {box}><title>{esc(where)}: not measured</title></rect>{gap}'
    level = int(min(8, max(0, math.floor(value * 9))))
    raw = score_text(matrix["scores"][i][j], matrix["metrics"][j])
    said = f"{where}: {raw} {metric_text(matrix['metrics'][j])}, skill {value:.2f}".replace(
        "-0.", "−0."
    )
    out = f'<rect class="h{level}" {box}><title>{esc(said)}</title></rect>'
    if wide >= 30:
        kind = "cell high" if level >= 6 else "cell"
        number = f"{100 * value:.0f}".replace("-", "−")
        out += (
            f'<text class="{kind}" x="{x + (wide - 1) / 2:.1f}" y="{y + high / 2 + 3:.1f}">'
            f"{number}</text>"
        )
    return out


def _scale(x: float, y: float) -> str:
    cells = "".join(
        f'<rect class="h{k}" x="{x + k * 16:.1f}" y="{y:.1f}" width="16" height="10"/>'
        for k in range(9)
    )
    return (
        f"{cells}{text_at(x, y + 24, '0 trivial')}"
        f"{text_at(x + 144, y + 24, '100 perfect', 'end')}"
        f"{text_at(x + 156, y + 9, 'skill, in points')}"
    )
