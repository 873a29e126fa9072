"""The figures of a report, as SVG strings made from JSON documents; no plotting library.

Each function gives a standalone file (own palette, light and dark) or, with `standalone=False`,
markup for a page that already has the palette in its style sheet.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape as _escape
from importlib.resources import files
from typing import Any

import numpy as np

from hf_select.metrics import METRICS
from hf_select.report.document import epochs_text, metric_text, score_text

MAX_CELLS = 2000
"""A larger matrix is cut to its most telling rows and columns, so that the page stays small."""

SINGLETONS = "singletons"
_FRACTIONS = {0.125: "⅛", 0.25: "¼", 0.375: "⅜", 0.5: "½", 0.625: "⅝", 0.75: "¾", 0.875: "⅞"}
MAX_FINALISTS = 4
"""More than that at the last decision (brute force) aren't worth a colour of their own."""

MAX_STACK = 14
"""Labels on top of each other at one epoch, best first; the legend has the rest."""

LABEL_GAP = 13.0
"""Px between two labels in a stack."""

MAX_LABEL_COST = 60.0
"""Px that a label may move; one sampled point of a line under a label counts as 3."""

_Box = tuple[float, float, float, float]  # left, top, right, bottom, in px
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CHARACTER = 6.1  # width in px of a label's character at 11.5 px, on average


def asset(name: str) -> str:
    """The text of a file under `assets/`."""
    return (files("hf_select.report") / "assets" / name).read_text(encoding="utf-8")


def esc(text: object) -> str:
    """Text for HTML and XML alike: markup escaped, characters that XML forbids replaced."""
    return _escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def better_is_higher(document: Mapping[str, Any]) -> bool:
    """The direction of the document's metric."""
    known = METRICS.get(document.get("metric", ""))
    default = known.higher_is_better if known is not None else True
    return bool(document.get("higher_is_better", default))


def short_names(models: Sequence[str], limit: int = 26) -> dict[str, str]:
    """Labels for models: without the owner where that stays unique, cut in the middle."""
    tails = {model: model.rsplit("/", 1)[-1] or model for model in models}
    taken = Counter(tails.values())
    names = {m: tail if taken[tail] == 1 else m for m, tail in tails.items()}
    short = {m: shorten(name, limit) for m, name in names.items()}
    twins = Counter(short.values())
    for text in [text for text, times in twins.items() if times > 1]:
        alike = [m for m in names if short[m] == text]
        same = next(
            (
                i
                for i, c in enumerate(zip(*(names[m] for m in alike), strict=False))
                if len({*c}) > 1
            ),
            0,
        )
        for m in alike:
            rest = names[m][max(6, same - 4) :]
            tail = rest if len(rest) <= limit - 7 else f"{rest[: limit - 8]}…"
            short[m] = f"{names[m][:6]}…{tail}"
    return short


def shorten(text: str, limit: int) -> str:
    """The text in at most `limit` characters, its middle left out."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


# ---------------------------------------------------------------------------- learning curves


@dataclass(frozen=True)
class Series:
    """One candidate's curve as it is drawn. `rank` is its place in the ranking, from 1."""

    rank: int
    model: str
    label: str
    role: str  # winner | finalist | dropped | finished | failed
    epochs: list[float]
    val: list[float]
    seconds: list[float | None]
    end: str  # what became of it, in words


def curve_series(document: Mapping[str, Any]) -> list[Series]:
    """The curves that have a point to draw, in ranking order."""
    curves = document.get("curves", {})
    ranking = document.get("ranking", [])
    finalists = set(document.get("finalists", []))
    labels = short_names([row["model"] for row in ranking])
    found = []
    for rank, row in enumerate(ranking, 1):
        curve = curves.get(row["model"], {})
        times = curve.get("seconds") or [None] * len(curve.get("epochs", []))
        points = [
            (e, v, s)
            for e, v, s in zip(curve.get("epochs", []), curve.get("val", []), times, strict=True)
            if e is not None and v is not None and e > 0
        ]
        if not points:
            continue
        status = row.get("status", "dropped")
        if status not in ("winner", "finished", "failed"):
            status = "dropped"  # it becomes a class name, so nothing else may pass
        last_few = row["model"] in finalists and len(finalists) <= MAX_FINALISTS
        role = "finalist" if last_few and status != "winner" else status
        found.append(
            Series(
                rank,
                row["model"],
                labels[row["model"]],
                "failed" if status == "failed" else role,
                [p[0] for p in points],
                [p[1] for p in points],
                [p[2] for p in points],
                fate_text(row),
            )
        )
    return found


def fate_text(row: Mapping[str, Any]) -> str:
    """What became of a candidate, in a few words."""
    status = row.get("status", "dropped")
    if status == "dropped":
        return f"dropped after {epochs_text(row.get('dropped_at') or 0)}"
    if status == "failed":
        at = row.get("dropped_at") or 0
        return f"failed after {epochs_text(at)}" if at else "failed before its first evaluation"
    return {"winner": "winner", "finished": "trained to the end"}.get(status, "not trained")


def tick_text(epoch: float) -> str:
    """An evaluation point on the axis: ⅛, ¼, ½, 1, 2."""
    return _FRACTIONS.get(round(epoch, 4), f"{epoch:.3g}")


def learning_curves_svg(
    document: Mapping[str, Any],
    *,
    width: int = 960,
    height: int = 470,
    named: bool = True,
    standalone: bool = True,
) -> str:
    """Validation score against epochs trained, a line a candidate, ending where it was dropped.

    The epoch axis is logarithmic: each halving rung gets the same room, 1/8 epoch as much as
    4 epochs. `named` writes the models' names at the ends of their lines, else their ranks.
    """
    series = curve_series(document)
    metric = str(document.get("metric", "score"))
    target = str(document.get("target", ""))
    title = f"Learning curves on {target}"
    if not series:
        return _svg("hfs-curves", 320, 40, title, _text(0, 24, "No learning curve."), standalone)
    left, top, bottom = 52, 58, 46
    right = 24
    if named:
        reach = max(len(s.label) for s in series if s.epochs[-1] >= _last_epoch(series) - 1e-9)
        right = int(max(96, 26 + reach * 7.2))
    plot = _Plot.around(series, (left, top, width - right, height - bottom))
    out = [_curve_axes(plot, document, series, metric, width)]
    test = (document.get("winner") or {}).get("test")
    note = f"test {score_text(test, metric)}" if named and test is not None else ""
    labels = _place_labels(plot, series, named, width, note)
    for line in reversed(series):
        out.append(_curve(plot, line, metric))
    out.extend(labels)
    best = series[0]
    about = (
        f"{len(series)} candidates, {metric_text(metric)} on the validation split against epochs. "
        f"{best.model} ends at {score_text(best.val[-1], metric)}."
    )
    return _svg("hfs-curves", width, height, title, "".join(out), standalone, about)


def _last_epoch(series: Sequence[Series]) -> float:
    return max(s.epochs[-1] for s in series)


@dataclass(frozen=True)
class _Plot:
    """A logarithmic x axis (doublings of training) and a linear y axis, in px."""

    box: _Box  # left, top, right, bottom
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]

    @classmethod
    def around(cls, series: Sequence[Series], box: _Box) -> _Plot:
        epochs = sorted({e for s in series for e in s.epochs})
        low, high = epochs[0], epochs[-1]
        if high - low < 1e-9:
            low, high = low / 2, high * 2
        values = np.array([v for s in series for v in s.val])
        bottom, top = _robust_range(values, series[0].val)
        ticks = _nice_ticks(bottom, top)
        return cls(box, (low, high), (bottom, top), tuple(epochs), ticks)

    def x(self, epoch: float) -> float:
        low, high = (math.log2(e) for e in self.x_range)
        left, _, right, _ = self.box
        return left + 12 + (math.log2(epoch) - low) / (high - low) * (right - left - 24)

    def y(self, value: float) -> float:
        low, high = self.y_range
        _, top, _, bottom = self.box
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return bottom - share * (bottom - top)


def _robust_range(values: np.ndarray, winner: Sequence[float]) -> tuple[float, float]:
    """What the y axis shows: all values, unless a few lie absurdly far off (a diverged run)."""
    quarter, three = np.percentile(values, [25, 75])
    reach = 5 * (three - quarter) + 1e-12
    kept = values[(values >= quarter - reach) & (values <= three + reach)]
    low = min(float(kept.min()), min(winner))
    high = max(float(kept.max()), max(winner))
    pad = 0.09 * (high - low) or max(abs(high), 1e-3) * 0.05
    return low - pad, high + pad


def _nice_ticks(low: float, high: float, count: int = 7) -> tuple[float, ...]:
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return tuple(float(f"{i * step:.10g}") for i in range(first, last + 1))


def _curve_axes(
    plot: _Plot,
    document: Mapping[str, Any],
    series: Sequence[Series],
    metric: str,
    width: int,
) -> str:
    left, top, right, bottom = plot.box
    out = []
    for value in plot.y_ticks:
        y = plot.y(value)
        out.append(f'<path class="grid" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(_text(left - 8, y + 4, f"{value:.6g}".replace("-", "−"), "end"))
    for epoch in _spread_ticks(plot):
        x = plot.x(epoch)
        out.append(f'<path class="grid" d="M{x:.1f} {bottom}v5"/>')
        out.append(_text(x, bottom + 19, tick_text(epoch), "mid tick"))
    out.append(_text((left + right) / 2, bottom + 38, "epochs trained (log scale)", "mid"))
    up = better_is_higher(document)
    hint = "" if up else ", lower is better"
    low, high = plot.y_range
    if any(not low <= v <= high for s in series for v in s.val):
        hint += "; what is off the scale stands at its edge"
    out.append(_text(2, top - 40, f"{metric_text(metric)} on the validation split{hint}", "strong"))
    trivial = (document.get("trivial") or {}).get("validation")
    if trivial is not None and plot.y_range[0] <= trivial <= plot.y_range[1]:
        y = plot.y(trivial)
        words = f"no model at all: {score_text(trivial, metric)}"
        out.append(f'<path class="trivial" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(_text(right, y - 5, words, "end label"))
    taken = left
    if document.get("rungs"):
        out.append(_text(left - 8, top - 14, "live", "end"))
    before = 0
    for rung in document.get("rungs", []):
        epoch, live, dropped = rung["epoch"], len(rung["live"]), len(rung["dropped"])
        if not plot.x_range[0] <= epoch <= plot.x_range[1]:
            continue
        x = plot.x(epoch)
        if dropped:
            out.append(f'<path class="grid" d="M{x:.1f} {top - 8}V{bottom}"/>')
        if live != before and x - 9 >= taken:
            out.append(_text(x, top - 14, str(live), "mid strong"))
            taken = x + 9
        before = live
    return f'<g aria-hidden="true">{"".join(out)}</g>'


def _spread_ticks(plot: _Plot, room: float = 15.0) -> list[float]:
    """The evaluation points that have room for a number, the last one always."""
    kept: list[float] = []
    for epoch in sorted(plot.x_ticks, reverse=True):
        if not kept or plot.x(kept[-1]) - plot.x(epoch) >= room:
            kept.append(epoch)
    return kept


def _curve(plot: _Plot, line: Series, metric: str) -> str:
    points = [(plot.x(e), plot.y(v)) for e, v in zip(line.epochs, line.val, strict=True)]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    x, y = points[-1]
    said = (
        f"{line.rank}. {line.model}: {line.end}, validation {score_text(line.val[-1], metric)} "
        f"at {epochs_text(line.epochs[-1])}"
    )
    dots = "".join(f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in points[:-1])
    if line.role == "dropped" or (line.role == "finalist" and "dropped" in line.end):
        mark = f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
    elif line.role == "failed":
        mark = f'<path class="ring" d="M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"/>'
    elif line.role == "winner":
        mark = f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    else:
        mark = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return (
        f'<g class="series {line.role}" data-i="{line.rank}" tabindex="0" role="img" '
        f'aria-label="{esc(said)}"><title>{esc(said)}</title>'
        f'<path class="hit" d="{path}"/><path class="curve" d="{path}"/>{dots}{mark}</g>'
    )


def _place_labels(
    plot: _Plot, series: Sequence[Series], named: bool, width: float, note: str
) -> list[str]:
    """Labels at the line ends, as near as they can be without covering each other or a line.

    Lines that end at the same epoch get one stack of labels in the order of their ends, so that
    no two leaders cross; the stack as a whole looks for room. What does not fit is left out,
    worst first: the legend has them all. `note` is a second line for the winner, if there's room.
    """
    samples = _sample(plot, series)
    boxes: list[_Box] = []
    second = (0.0, 0.0)
    out = []
    for epoch in sorted({s.epochs[-1] for s in series}, reverse=True):
        x = plot.x(epoch)
        stack = [s for s in series if s.epochs[-1] == epoch]
        stack = stack[:MAX_STACK]
        while stack:
            stack.sort(key=lambda s: plot.y(s.val[-1]))
            ends = [plot.y(s.val[-1]) for s in stack]
            texts = [s.label if named else str(s.rank) for s in stack]
            wide = [
                len(t) * _CHARACTER * (1.2 if s.role in ("winner", "finalist") else 1.0)
                for t, s in zip(texts, stack, strict=True)
            ]
            places = _free_places(plot, x, ends, wide, samples, boxes, width)
            if places is not None:
                break
            stack.remove(max(stack, key=lambda s: s.rank))
        else:
            continue
        for line, text, y, at, w in zip(stack, texts, ends, places, wide, strict=True):
            boxes.append(_label_box(x, at, w))
            leader = ""
            if abs(at - y) > 6:
                leader = f'<path class="leader" d="M{x + 6:.1f} {y:.1f}L{x + 11:.1f} {at:.1f}"/>'
            out.append(
                f'<g class="tag" data-i="{line.rank}" aria-hidden="true">{leader}'
                f"{_text(x + 13, at + 4, text, f'label {line.role}')}</g>"
            )
            if line.role == "winner":
                second = (x + 13, at + 19)
    box = (second[0], second[1] - 11, second[0] + len(note) * _CHARACTER, second[1] + 3)
    if note and second[0] > 0 and not any(_overlap(box, other) for other in boxes):
        out.append(_text(*second, note, "label"))
    return out


def _free_places(
    plot: _Plot,
    x: float,
    ends: Sequence[float],
    wide: Sequence[float],
    samples: np.ndarray,
    boxes: Sequence[_Box],
    width: float,
) -> list[float] | None:
    """The best heights for a stack of labels at `x`, None if it covers too much everywhere."""
    top, bottom = plot.box[1], plot.box[3]
    best: tuple[float, list[float]] | None = None
    for shift in range(-63, 64, 7):
        places = _spread([y + shift for y in ends], LABEL_GAP, top, bottom)
        cost = sum(abs(a - y) for a, y in zip(places, ends, strict=True)) / len(ends)
        for at, w in zip(places, wide, strict=True):
            box = _label_box(x, at, w)
            if box[2] > width + 2 or any(_overlap(box, other) for other in boxes):
                cost = math.inf
                break
            inside = (samples[:, 0] > box[0]) & (samples[:, 0] < box[2])
            inside &= (samples[:, 1] > box[1]) & (samples[:, 1] < box[3])
            cost += 3.0 * float(inside.sum())
        if cost < MAX_LABEL_COST * math.sqrt(len(ends)) and (best is None or cost < best[0]):
            best = (cost, places)
    return None if best is None else best[1]


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising heights at least `gap` apart, as near to the wanted ones as that allows."""
    groups: list[tuple[float, int]] = []  # (mean height, how many labels)
    for value in wanted:
        groups.append((value, 1))
        while len(groups) > 1:
            (a, n), (b, m) = groups[-2:]
            if b - a >= gap * (n + m) / 2:
                break
            groups[-2:] = [((a * n + b * m) / (n + m), n + m)]
    out: list[float] = []
    for mean, n in groups:
        half = gap * (n - 1) / 2
        mean = max(low + half, min(high - half, mean))
        out.extend(mean - half + gap * k for k in range(n))
    for k in range(len(out) - 1, 0, -1):
        out[k - 1] = min(out[k - 1], out[k] - gap)
    return out


def _label_box(x: float, y: float, wide: float) -> _Box:
    return (x + 10, y - 6.5, x + 14 + wide, y + 6.5)


def _sample(plot: _Plot, series: Sequence[Series]) -> np.ndarray:
    """Points along all lines (P, 2) in px, about 5 px apart, and more of them at the ends."""
    points = []
    for line in series:
        x = np.array([plot.x(e) for e in line.epochs])
        y = np.array([plot.y(v) for v in line.val])
        fine = np.linspace(x[0], x[-1], max(2, int((x[-1] - x[0]) / 5)))
        points.append(np.stack([fine, np.interp(fine, x, y)], axis=1))
        points.append(np.repeat([[x[-1], y[-1]]], 4, axis=0))
    return np.concatenate(points)


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# --------------------------------------------------------------------------------- the matrix


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
        return _svg("hfs-matrix", 320, 40, "The record", _text(0, 24, "No record."), standalone)
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
        style = ' style="fill:var(--accent)"' if name == winner else ""
        out.append(
            f'<text class="{kind}" x="{left - 26:.1f}" y="{y + high / 2 + 4:.1f}"{style}>'
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
    return _svg("hfs-matrix", width, size, "The record", "".join(out), standalone, about)


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
        gap = _text(x + (wide - 1) / 2, y + high / 2 + 3, "–", "mid")
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
        f"{cells}{_text(x, y + 24, '0 trivial')}"
        f"{_text(x + 144, y + 24, '100 perfect', 'end')}"
        f"{_text(x + 156, y + 9, 'skill, in points')}"
    )


# ------------------------------------------------------------------------------- price, regret


def price_svg(
    replay: Mapping[str, Any], *, width: int = 760, height: int = 460, standalone: bool = True
) -> str:
    """Price of choosing (log axis) against mean regret in points, a dot a policy.

    `replay` is the document of `replay --phase selection`: its `summary` maps a policy to
    {"regret", "price", and, where known, "regret_ci": [low, high]}. Policies on the dashed
    front are those that nothing else beats on both counts; bottom left is best.
    """
    found = []
    for name, row in replay.get("summary", {}).items():
        price, regret = row.get("price"), row.get("regret")
        if price is not None and regret is not None and price > 0:
            low, high = row.get("regret_ci") or (regret, regret)
            found.append((str(name), float(price), float(regret), float(low), float(high)))
    title = "The price of choosing, and the regret"
    if not found:
        return _svg("hfs-price", 320, 40, title, _text(0, 24, "No policy."), standalone)
    found.sort(key=lambda row: (row[1], row[2]))
    left, top, right, bottom = 52.0, 34.0, width - 30.0, height - 50.0
    low_x = math.log2(min(row[1] for row in found)) - 0.35
    high_x = math.log2(max(row[1] for row in found)) + 0.6
    high_y = max(max(row[4] for row in found), 0.1) * 1.1
    low_y = min(0.0, min(row[3] for row in found) * 1.1)

    def place(price: float, regret: float) -> tuple[float, float]:
        x = left + (math.log2(price) - low_x) / (high_x - low_x) * (right - left)
        return x, bottom - (regret - low_y) / (high_y - low_y) * (bottom - top)

    out = []
    for value in _nice_ticks(low_y, high_y):
        y = place(1.0, value)[1]
        out.append(f'<path class="grid" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(_text(left - 8, y + 4, f"{value:.6g}".replace("-", "−"), "end"))
    for power in range(math.ceil(low_x), math.floor(high_x) + 1):
        x = place(2.0**power, 0.0)[0]
        out.append(f'<path class="grid" d="M{x:.1f} {bottom}v5"/>')
        out.append(_text(x, bottom + 19, f"{2.0**power:g}×", "mid"))
    words = "price: cost of choosing, in full trainings of the winner (log scale)"
    out.append(_text((left + right) / 2, bottom + 40, words, "mid"))
    out.append(_text(2, 16, "regret against the best model, mean, points", "strong"))
    front: list[tuple[str, float, float, float, float]] = []
    for row in found:
        if not front or row[2] < front[-1][2]:
            front.append(row)
    path = "M" + "L".join("{:.1f} {:.1f}".format(*place(r[1], r[2])) for r in front)
    out.append(f'<path class="front" d="{path}"/>')
    boxes: list[_Box] = [
        (x - 6, y - 6, x + 6, y + 6) for x, y in (place(r[1], r[2]) for r in found)
    ]
    on_front = {row[0] for row in front}
    for name, price, regret, low, high in found:
        x, y = place(price, regret)
        if high > low:
            a, b = place(price, low)[1], place(price, high)[1]
            out.append(f'<path class="whisker" d="M{x:.1f} {a:.1f}V{b:.1f}"/>')
        said = f"{name}: price {price:.3g}, regret {regret:.2f} points"
        kind = "point on" if name in on_front else "point"
        out.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5.5">'
            f"<title>{esc(said)}</title></circle>"
        )
        out.append(_price_label(name, (x, y), boxes, (left, top, right, bottom), name in on_front))
    about = f"{len(found)} policies; on the front: {', '.join(row[0] for row in front)}."
    return _svg("hfs-price", width, height, title, "".join(out), standalone, about)


def _price_label(
    name: str,
    point: tuple[float, float],
    boxes: list[_Box],
    plot: _Box,
    bold: bool,
) -> str:
    """The name beside its dot, on the side where it fits; added to `boxes`."""
    x, y = point
    text = shorten(name, 40)
    wide = len(text) * _CHARACTER * (1.12 if bold else 1.0)
    spots = [(x + 10, y + 4, ""), (x - 10 - wide, y + 4, "")]
    for step in range(1, 9):
        for dy in (-14 * step, 14 * step):
            spots += [(x + 6, y + 4 + dy, ""), (x - 6 - wide, y + 4 + dy, "")]
    for a, b, _ in spots:
        box = (a - 2, b - 10, a + wide + 2, b + 3)
        inside = plot[0] <= box[0] and box[2] <= plot[2] + 28 and plot[1] <= box[1] <= plot[3]
        if inside and not any(_overlap(box, other) for other in boxes):
            boxes.append(box)
            return _text(a, b, text, "label strong" if bold else "label")
    return _text(x + 10, y + 4, text, "label")


# ------------------------------------------------------------------------------------- markup


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{esc(words)}</text>'


def _svg(
    name: str, width: float, height: float, title: str, body: str, standalone: bool, about: str = ""
) -> str:
    own, space = "", ""
    x, y = 0, 0
    if standalone:
        x, y, width, height = -18, -12, width + 36, height + 24
        space = ' xmlns="http://www.w3.org/2000/svg"'
        own = f"<style>{asset('figure.css')}</style>"
        own += (
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" style="fill:var(--paper)"/>'
        )
    return (
        f'<svg{space} class="hfs {name}" viewBox="{x} {y} {width} {height}" '
        f'width="{width}" height="{height}" role="group" aria-label="{esc(title)}">'
        f"<desc>{esc(about)}</desc>{own}{body}</svg>"
    )
