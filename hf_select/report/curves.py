"""Learning curves as an SVG string: a line a candidate, and what was expected of each.

`learning_curves_svg` gives a standalone file (own palette, light and dark) or, with
`standalone=False`, markup for a page that already has the palette in its style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_select.metrics import Metric, find_metric
from hf_select.report.document import (
    candidate_name,
    epochs_text,
    metric_text,
    own_pace,
    score_text,
)
from hf_select.report.forecasts import Forecast, fitting, forecasts, shown_range, strip, strip_axis
from hf_select.report.svg import (
    CHARACTER,
    Box,
    drawing,
    esc,
    nice_ticks,
    overlap,
    short_names,
    text_at,
)

_FRACTIONS = {0.125: "⅛", 0.25: "¼", 0.375: "⅜", 0.5: "½", 0.625: "⅝", 0.75: "¾", 0.875: "⅞"}
MAX_FINALISTS = 4
"""More than that at the last decision (brute force) aren't worth a colour of their own."""

WIDE_COLUMNS, NARROW_COLUMNS = 12, 6
"""Forecasts that are drawn beside the curves."""

MAX_AHEAD = 6
"""Curves up to which each is joined to its forecast; of more the finalists are."""

MAX_STACK = 14
"""Labels on top of each other at one epoch, best first; the legend has the rest."""

LABEL_GAP = 13.0
"""Px between two labels in a stack."""

MAX_LABEL_COST = 60.0
"""Px that a label may move; one sampled point of a line under a label counts as 3."""


def better_is_higher(document: Mapping[str, Any]) -> bool:
    """The direction of the document's metric."""
    known = find_metric(document.get("metric", ""))
    default = known.higher_is_better if known is not None else True
    return bool(document.get("higher_is_better", default))


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
    labels = short_names([candidate_name(row) for row in ranking])
    found = []
    for rank, row in enumerate(ranking, 1):
        name = candidate_name(row)
        curve = curves.get(name, {})
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
        last_few = name in finalists and len(finalists) <= MAX_FINALISTS
        role = "finalist" if last_few and status != "winner" else status
        found.append(
            Series(
                rank,
                name,
                labels[name],
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
    4 epochs. `named` writes the models' names at the ends of their lines, else their ranks. Where
    the policy forecast final scores, its last forecasts stand right of the horizon, in columns.
    """
    series = curve_series(document)
    metric = str(document.get("metric", "score"))
    title = f"Learning curves on {document.get('target', '')}"
    if not series:
        nothing = text_at(0, 24, "No learning curve.")
        return drawing("hfs-curves", 320, 40, title, nothing, standalone)
    roles = {s.rank: s.role for s in series}
    expected = forecasts(document, roles)
    shown = _score_range(series, expected, find_metric(metric))
    expected = fitting(expected, shown, WIDE_COLUMNS if named else NARROW_COLUMNS)
    frame = _Frame.around(series, expected, (width, height), named)
    horizon = document.get("horizon") if expected else None
    plot = _Plot.around(series, frame.plot, shown, horizon)
    out = [_curve_axes(plot, document, series, metric)]
    test = (document.get("winner") or {}).get("test")
    if expected:
        words = "forecast, 95 %" if named else "forecast"
        lines = [plot.y(tick) for tick in plot.y_ticks]
        out.append(strip_axis(expected, frame.strip, frame.step, words, lines))
        out += _ahead(plot, series, expected, frame)
    note = ""
    if named and test is not None and not expected:
        note = f"test {score_text(test, metric)}"
    labels = _place_labels(plot, series, named, frame.limit, note)
    for line in reversed(series):
        out.append(_curve(plot, line, metric))
    if expected:
        left = frame.strip[0]
        out.append(strip(expected, plot.y, plot.y_range, left, frame.step, metric, test))
    out.extend(labels)
    best = series[0]
    about = (
        f"{_candidates(len(series))}, {metric_text(metric)} on the validation split against "
        f"epochs. {best.model} ends at {score_text(best.val[-1], metric)}."
    )
    return drawing("hfs-curves", width, height, title, "".join(out), standalone, about)


def _candidates(count: int) -> str:
    return f"{count} candidate{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class _Frame:
    """Where things lie, in px: the plot, the columns of forecasts, how far labels may reach."""

    plot: Box
    strip: Box
    step: float
    limit: float

    @classmethod
    def around(
        cls,
        series: Sequence[Series],
        expected: Sequence[Forecast],
        size: tuple[int, int],
        named: bool,
    ) -> _Frame:
        (width, height), left, top, bottom = size, 52.0, 58.0, 46.0
        if not expected:
            right = 24.0
            if named:
                last = _last_epoch(series) - 1e-9
                reach = max(len(s.label) for s in series if s.epochs[-1] >= last)
                right = float(int(max(96, 26 + reach * 7.2)))
            plot = (left, top, width - right, height - bottom)
            return cls(plot, (0.0, 0.0, 0.0, 0.0), 0.0, float(width))
        step, least, gap = (20.0, 100.0, 22) if named else (15.0, 54.0, 14)
        wide = max(least, len(expected) * step)
        step = min(wide / len(expected), 2 * step)
        edge = width - wide - 2
        plot = (left, top, edge - gap, height - bottom)
        return cls(plot, (edge, top, width - 2, height - bottom), step, edge - 2)


def _ahead(
    plot: _Plot, series: Sequence[Series], expected: Sequence[Forecast], frame: _Frame
) -> list[str]:
    """A dotted line from the last point of each curve to its forecast."""
    out = []
    ends = {s.rank: (plot.x(s.epochs[-1]), plot.y(s.val[-1])) for s in series}
    many = len(series) > MAX_AHEAD
    for k, forecast in enumerate(expected):
        low, high = plot.y_range
        if forecast.rank not in ends or not low <= forecast.mean <= high:
            continue
        if many and forecast.role not in ("winner", "finalist"):
            continue
        x, y = ends[forecast.rank]
        to = frame.strip[0] + (k + 0.5) * frame.step
        out.append(
            f'<path class="ahead {forecast.role}" data-i="{forecast.rank}" aria-hidden="true" '
            f'd="M{x:.1f} {y:.1f}L{to:.1f} {plot.y(forecast.mean):.1f}"/>'
        )
    return out


def _last_epoch(series: Sequence[Series]) -> float:
    return max(s.epochs[-1] for s in series)


@dataclass(frozen=True)
class _Plot:
    """A logarithmic x axis (doublings of training) and a linear y axis, in px."""

    box: Box  # left, top, right, bottom
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]

    @classmethod
    def around(
        cls,
        series: Sequence[Series],
        box: Box,
        shown: tuple[float, float],
        horizon: float | None = None,
    ) -> _Plot:
        epochs = {e for s in series for e in s.epochs} | ({horizon} if horizon else set())
        ticks = tuple(sorted(epochs))
        low, high = ticks[0], ticks[-1]
        if high - low < 1e-9:
            low, high = low / 2, high * 2
        return cls(box, (low, high), shown, ticks, nice_ticks(*shown))

    def x(self, epoch: float) -> float:
        low, high = (math.log2(e) for e in self.x_range)
        left, _, right, _ = self.box
        return left + 12 + (math.log2(epoch) - low) / (high - low) * (right - left - 24)

    def y(self, value: float) -> float:
        low, high = self.y_range
        _, top, _, bottom = self.box
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return bottom - share * (bottom - top)


def _score_range(
    series: Sequence[Series], expected: Sequence[Forecast], metric: Metric | None
) -> tuple[float, float]:
    """What the y axis shows of curves and forecasts, not beyond what the metric can reach."""
    low, high = _robust_range(np.array([v for s in series for v in s.val]), series[0].val)
    pad = 0.03 * (high - low)
    bottom, top = shown_range(expected, low, high)
    low, high = min(low, bottom - pad * (bottom < low)), max(high, top + pad * (top > high))
    if metric is None:
        return low, high
    least, most = (end + side for end, side in zip(metric.bounds, (-pad, pad), strict=True))
    return (max(low, least), min(high, most)) if least < high and low < most else (low, high)


def _robust_range(values: np.ndarray, winner: Sequence[float]) -> tuple[float, float]:
    """What the y axis shows: all values, unless a few lie absurdly far off (a diverged run)."""
    quarter, three = np.percentile(values, [25, 75])
    reach = 5 * (three - quarter) + 1e-12
    kept = values[(values >= quarter - reach) & (values <= three + reach)]
    low = min(float(kept.min()), min(winner))
    high = max(float(kept.max()), max(winner))
    pad = 0.09 * (high - low) or max(abs(high), 1e-3) * 0.05
    return low - pad, high + pad


def _curve_axes(
    plot: _Plot,
    document: Mapping[str, Any],
    series: Sequence[Series],
    metric: str,
) -> str:
    left, top, right, bottom = plot.box
    out = []
    for value in plot.y_ticks:
        y = plot.y(value)
        out.append(f'<path class="grid" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(text_at(left - 8, y + 4, f"{value:.6g}".replace("-", "−"), "end"))
    for epoch in _spread_ticks(plot):
        x = plot.x(epoch)
        out.append(f'<path class="grid" d="M{x:.1f} {bottom}v5"/>')
        out.append(text_at(x, bottom + 19, tick_text(epoch), "mid tick"))
    out.append(text_at((left + right) / 2, bottom + 38, "epochs trained (log scale)", "mid"))
    up = better_is_higher(document)
    hint = "" if up else ", lower is better"
    low, high = plot.y_range
    if any(not low <= v <= high for s in series for v in s.val):
        hint += "; what is off the scale stands at its edge"
    out.append(
        text_at(2, top - 40, f"{metric_text(metric)} on the validation split{hint}", "strong")
    )
    trivial = (document.get("trivial") or {}).get("validation")
    if trivial is not None and plot.y_range[0] <= trivial <= plot.y_range[1]:
        y = plot.y(trivial)
        words = f"no model at all: {score_text(trivial, metric)}"
        out.append(f'<path class="trivial" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(text_at(right, y - 5, words, "end label"))
    if not own_pace(document):
        out += _guides(plot, document)
    return f'<g aria-hidden="true">{"".join(out)}</g>'


def _guides(plot: _Plot, document: Mapping[str, Any]) -> list[str]:
    """How many were live at each decision, and a line where some were dropped."""
    left, top, _, bottom = plot.box
    taken, out = left, []
    if document.get("rungs"):
        out.append(text_at(left - 8, top - 14, "live", "end"))
    before = 0
    for rung in document.get("rungs", []):
        epoch, live, dropped = rung["epoch"], len(rung["live"]), len(rung["dropped"])
        if not plot.x_range[0] <= epoch <= plot.x_range[1]:
            continue
        x = plot.x(epoch)
        if dropped:
            out.append(f'<path class="grid" d="M{x:.1f} {top - 8}V{bottom}"/>')
        if live != before and x - 9 >= taken:
            out.append(text_at(x, top - 14, str(live), "mid strong"))
            taken = x + 9
        before = live
    return out


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
    plot: _Plot, series: Sequence[Series], named: bool, limit: float, note: str
) -> list[str]:
    """Labels at the line ends, as near as they can be without covering each other or a line.

    Lines that end at the same epoch get one stack of labels in the order of their ends, so that
    no two leaders cross; the stack as a whole looks for room, right of the ends and left of
    `limit`, else left of the ends. What does not fit is left out, worst first: the legend has them
    all. `note` is a second line for the winner, if there's room.
    """
    samples = _sample(plot, series)
    boxes: list[Box] = []
    second = (0.0, 0.0)
    out = []
    for epoch in sorted({s.epochs[-1] for s in series}, reverse=True):
        x = plot.x(epoch)
        stack = [s for s in series if s.epochs[-1] == epoch][:MAX_STACK]
        while stack:
            stack.sort(key=lambda s: plot.y(s.val[-1]))
            ends = [plot.y(s.val[-1]) for s in stack]
            texts = [s.label if named else str(s.rank) for s in stack]
            wide = [
                len(t) * CHARACTER * (1.2 if s.role in ("winner", "finalist") else 1.0)
                for t, s in zip(texts, stack, strict=True)
            ]
            places = _free_places(plot, x, ends, wide, samples, boxes, limit)
            if places is not None:
                break
            stack.remove(max(stack, key=lambda s: s.rank))
        else:
            continue
        side, heights = places
        for line, text, y, at, w in zip(stack, texts, ends, heights, wide, strict=True):
            boxes.append(_label_box(x, at, w, side))
            out.append(_tag(line, text, (x, y), at, side))
            if line.role == "winner" and side > 0:
                second = (x + 13, at + 19)
    box = (second[0], second[1] - 11, second[0] + len(note) * CHARACTER, second[1] + 3)
    if note and second[0] > 0 and not any(overlap(box, other) for other in boxes):
        out.append(text_at(*second, note, "label"))
    return out


def _tag(line: Series, text: str, end: tuple[float, float], at: float, side: int) -> str:
    """A label at the height `at`, joined to the end of its line if it stands off."""
    x, y = end
    leader = ""
    if abs(at - y) > 6 and side > 0:
        leader = f'<path class="leader" d="M{x + 6:.1f} {y:.1f}L{x + 11:.1f} {at:.1f}"/>'
    kind = f"label {line.role}" if side > 0 else f"label {line.role} end"
    start = x + 13 if side > 0 else x + 4
    return (
        f'<g class="tag" data-i="{line.rank}" aria-hidden="true">{leader}'
        f"{text_at(start, at + 4, text, kind)}</g>"
    )


def _free_places(
    plot: _Plot,
    x: float,
    ends: Sequence[float],
    wide: Sequence[float],
    samples: np.ndarray,
    boxes: Sequence[Box],
    limit: float,
) -> tuple[int, list[float]] | None:
    """The best side (1 right, -1 left) and heights for a stack of labels at `x`.

    None if it covers too much everywhere.
    """
    best: tuple[float, tuple[int, list[float]]] | None = None
    top, bottom = plot.box[1], plot.box[3]
    for side, shift in ((s, d) for s in (1, -1) for d in range(-63, 64, 7)):
        places = _spread([y + shift for y in ends], LABEL_GAP, top, bottom)
        cost = sum(abs(a - y) for a, y in zip(places, ends, strict=True)) / len(ends)
        for at, w in zip(places, wide, strict=True):
            box = _label_box(x, at, w, side)
            out = box[2] > limit + 2 or box[0] < plot.box[0]
            if out or any(overlap(box, other) for other in boxes):
                cost = math.inf
                break
            inside = (samples[:, 0] > box[0]) & (samples[:, 0] < box[2])
            inside &= (samples[:, 1] > box[1]) & (samples[:, 1] < box[3])
            cost += 3.0 * float(inside.sum())
        cost += 20.0 if side < 0 else 0.0
        if cost < MAX_LABEL_COST * math.sqrt(len(ends)) and (best is None or cost < best[0]):
            best = (cost, (side, places))
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


def _label_box(x: float, y: float, wide: float, side: int = 1) -> Box:
    if side < 0:
        return (x - wide, y - 12, x + 8, y + 11)  # clear of the line and its end
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
