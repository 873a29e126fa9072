"""Skill against size and against latency: which models are worth their room and their time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_select.report.curves import better_is_higher
from hf_select.report.document import metric_text, score_text
from hf_select.report.labels import Label, along, around, named
from hf_select.report.price import pareto
from hf_select.report.story import winner_of
from hf_select.report.svg import Box, drawing, esc, nice_ticks, short_names, text_at
from hf_select.report.words import bytes_text, millions, milliseconds

_DOT = 5.0
_TICKS = (1.0, 2.0, 5.0)  # of the cost axis, in each power of ten
_TICK_ROOM = 46.0  # px between two numbers of the cost axis

LEAST_SPAN = math.log10(2)
"""Decades that a cost axis shows at least: models of one size shall look like that."""

MAX_NAMED = 14
"""Points that get a name: the winner's, those of the front, the best of the others."""


@dataclass(frozen=True)
class Cost:
    """What a chart's x axis counts: a key of a row, what it is called, how a number is written."""

    key: str
    label: str
    words: Callable[[float | None], str]


COSTS = {
    "size": Cost("size_bytes", "size on disk (log scale)", bytes_text),
    "parameters": Cost("num_parameters", "parameters (log scale)", millions),
    "latency": Cost("latency_ms", "latency of one row (log scale)", milliseconds),
}


@dataclass(frozen=True)
class _Point:
    name: str
    cost: float
    score: float
    said: str
    guess: bool  # a forecast, not yet a validation score
    ours: bool


def charts(document: Mapping[str, Any]) -> list[str]:
    """The charts that have two points or more: size (else parameters), and latency."""
    size = "size" if len(_points(document, COSTS["size"])) > 1 else "parameters"
    return [name for name in (size, "latency") if len(_points(document, COSTS[name])) > 1]


def efficiency_svg(
    document: Mapping[str, Any],
    against: str,
    *,
    width: int = 470,
    height: int = 360,
    standalone: bool = True,
) -> str:
    """Score against a row of `COSTS`, a point a model; better is up, cheaper is left.

    The dashed line is the Pareto front of the two: no model of it is beaten on both counts. Filled
    points are measured on the validation split, hollow ones are forecast; the winner is in colour.
    """
    cost = COSTS[against]
    points = _points(document, cost)
    metric = str(document.get("metric", "score"))
    title = f"{metric_text(metric)} against {cost.label.partition(' (')[0]}"
    if not points:
        nothing = text_at(0, 24, "Nothing was measured.")
        return drawing("hfs-efficiency", 320, 40, title, nothing, standalone)
    up = better_is_higher(document)
    box = (50.0, 34.0, width - 16.0, height - 50.0)
    x, x_range = _log_axis([p.cost for p in points], box)
    y, shown = _linear_axis([p.score for p in points], box, up)
    sign = -1.0 if up else 1.0
    front = pareto([(p.cost, sign * p.score) for p in points])
    at = [(x(p.cost), y(p.score)) for p in points]
    body = [_axes(cost, metric, up, box, (x, x_range), (y, shown))]
    path = "L".join(f"{at[i][0]:.1f} {at[i][1]:.1f}" for i in front)
    body.append(f'<path class="front" d="M{path}"/>')
    body += [_dot(p, at[i], i in front) for i, p in enumerate(points)]
    body += _labels(points, at, front, box)
    about = f"{len(points)} models; on the front: {', '.join(points[i].name for i in front)}."
    return drawing("hfs-efficiency", width, height, title, "".join(body), standalone, about)


def differ(document: Mapping[str, Any], against: str) -> bool:
    """Whether the models differ in a cost at all, by more than a few percent."""
    costs = [p.cost for p in _points(document, COSTS[against])]
    return bool(costs) and max(costs) > 1.05 * min(costs)


def front_of(document: Mapping[str, Any], against: str) -> list[str]:
    """The candidates on the front of a chart, cheapest first."""
    points = _points(document, COSTS[against])
    sign = -1.0 if better_is_higher(document) else 1.0
    return [points[i].name for i in pareto([(p.cost, sign * p.score) for p in points])]


def _points(document: Mapping[str, Any], cost: Cost) -> list[_Point]:
    metric = str(document.get("metric", "score"))
    winner = winner_of(document)
    best = winner.get("candidate") or winner.get("model")
    found = []
    for row in (document.get("efficiency") or {}).get("models") or []:
        name = str(row.get("candidate") or row.get("model"))
        value, score = row.get(cost.key), row.get("score")
        if not _positive(value) or not _finite(score):
            continue
        guess = row.get("score_is") == "forecast"
        how = "forecast" if guess else "validation"
        said = (
            f"{name}: {how} {metric_text(metric)} {score_text(score, metric)}, "
            f"{millions(row.get('num_parameters'))} parameters, {bytes_text(row.get('size_bytes'))}"
        )
        if _positive(row.get("latency_ms")):
            said += f", {milliseconds(row['latency_ms'])} a row"
        found.append(_Point(name, float(value), float(score), said, guess, name == best))
    return sorted(found, key=lambda p: (p.cost, p.name))


def _positive(value: Any) -> bool:
    return _finite(value) and value > 0


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


Axis = Callable[[float], float]


def _log_axis(values: Sequence[float], box: Box) -> tuple[Axis, tuple[float, float]]:
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.08 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    low, high = low - pad, high + pad
    left, _, right, _ = box
    return (
        lambda value: left + (math.log10(value) - low) / (high - low) * (right - left),
        (10.0**low, 10.0**high),
    )


def _linear_axis(values: Sequence[float], box: Box, up: bool) -> tuple[Axis, tuple[float, float]]:
    low, high = min(values), max(values)
    pad = 0.12 * (high - low) or max(abs(high), 1e-3) * 0.05
    low, high = low - pad, high + pad
    _, top, _, bottom = box

    def y(value: float) -> float:
        share = (value - low) / (high - low)
        return bottom - (share if up else 1.0 - share) * (bottom - top)

    return y, (low, high)


def _axes(
    cost: Cost,
    metric: str,
    up: bool,
    box: Box,
    across: tuple[Axis, tuple[float, float]],
    along_y: tuple[Axis, tuple[float, float]],
) -> str:
    left, _, right, bottom = box
    (x, (least, most)), (y, shown) = across, along_y
    out = []
    for value in nice_ticks(*shown, count=5):
        out.append(f'<path class="grid" d="M{left} {y(value):.1f}H{right:.1f}"/>')
        words = f"{value:.6g}".replace("-", "−")
        out.append(text_at(left - 8, y(value) + 4, words, "end"))
    for value in _log_ticks(x, least, most):
        out.append(f'<path class="grid" d="M{x(value):.1f} {bottom}v5"/>')
        out.append(text_at(x(value), bottom + 19, cost.words(value), "mid"))
    out.append(text_at((left + right) / 2, bottom + 40, cost.label, "mid"))
    hint = "" if up else ", lower is better (drawn higher)"
    out.append(text_at(2, 14, f"{metric_text(metric)}{hint}", "strong"))
    return f'<g aria-hidden="true">{"".join(out)}</g>'


def _log_ticks(x: Axis, least: float, most: float) -> list[float]:
    """1, 2, 5, 10, ... as far as they have room, the powers of ten first; two at least."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    inside = [
        (rank, tick)
        for k in powers
        for rank, step in enumerate(_TICKS)
        if least <= (tick := float(f"{step * 10.0**k:.3g}")) <= most
    ]
    if len(inside) < 2:
        inside = [(0, tick) for tick in nice_ticks(least, most, 4)]
    kept: list[float] = []
    for _, tick in sorted(inside):
        if all(abs(x(tick) - x(other)) >= _TICK_ROOM for other in kept):
            kept.append(tick)
    return sorted(kept)


def _dot(point: _Point, at: tuple[float, float], on_front: bool) -> str:
    kind = "pt point" + (" on" if on_front else "") + (" ours" if point.ours else "")
    kind += " guess" if point.guess else ""
    radius = _DOT + 2 if point.ours else _DOT
    said = esc(point.said + (", on the front" if on_front else ""))
    return (
        f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}" role="img" '
        f'aria-label="{said}"><title>{said}</title></circle>'
    )


def _labels(
    points: Sequence[_Point],
    at: Sequence[tuple[float, float]],
    front: Sequence[int],
    box: Box,
) -> list[str]:
    names = short_names([p.name for p in points], 24)
    order = sorted(range(len(points)), key=lambda i: (not points[i].ours, i not in front))
    wanted = []
    for i in order[:MAX_NAMED]:
        words = names[points[i].name]
        if points[i].ours:
            wanted.append(Label(at[i], words, "label ours", 12, 1.2))
        else:
            kind = "label strong" if i in front else "label"
            wanted.append(Label(at[i], words, kind, most=math.inf if i in front else 110.0))
    taken = [around(p, _DOT + 3) for p in at]
    return named(wanted, box, taken, soft=along([at[i] for i in front]), radius=_DOT)
