"""Price against regret, a point a policy, as an SVG string: who is worth its price?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_select.files import write_atomic
from hf_select.report.labels import Label, along, around, named
from hf_select.report.svg import Box, drawing, esc, nice_ticks, shorten, text_at

OURS = "trend"
"""The policy that is drawn in colour unless another one is named."""

_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)  # of the price axis, in each power of ten
_TICK_ROOM = 34.0  # px between two numbers of the price axis
_DOT = 5.0


def price_svg(
    summary: Mapping[str, Mapping[str, Any]],
    *,
    ours: str = OURS,
    heading: str = "",
    width: int = 760,
    height: int = 460,
    standalone: bool = True,
) -> str:
    """Price of choosing (log axis) against mean regret in points, a point a policy.

    `summary` maps a policy to {"regret", "price", and, where known, "regret_ci": [low, high]}, as
    in the document of `replay --phase selection`; one without regret or price is left out. The
    dashed line is the Pareto front: its policies are beaten by none on both counts. `ours` is
    drawn in colour, with its parameters or without. `heading` says what was replayed.

        >>> svg = price_svg({"trend": {"price": 1.8, "regret": 0.3, "regret_ci": [0.1, 0.6]}})
        >>> svg.count("<circle")
        1
    """
    points = _points(summary, ours)
    title = "The price of choosing, and the regret"
    if not points:
        nothing = text_at(0, 24, "No policy to compare.")
        return drawing("hfs-price", 320, 40, title, nothing, standalone)
    top = 56.0 if heading else 34.0
    plane = _Plane.around(points, (46.0, top, width - 14.0, height - 52.0))
    front = pareto([(p.price, p.regret) for p in points])
    names = [points[i].name for i in front]
    body = [_axes(plane, heading), _front(plane, [points[i] for i in front])]
    body += [_whisker(plane, p) for p in points]
    body += [_dot(plane, p, p.name in names) for p in points]
    body += _labels(plane, points, names)
    about = f"{len(points)} policies; on the front: {', '.join(names)}."
    return drawing("hfs-price", width, height, title, "".join(body), standalone, about)


def write_price_svg(
    summary: Mapping[str, Mapping[str, Any]],
    path: str | Path,
    *,
    ours: str = OURS,
    heading: str = "",
) -> Path:
    """Write `price_svg` as a file that stands alone, in light colours."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, price_svg(summary, ours=ours, heading=heading).encode())
    return path


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (price, regret) are beaten by none, cheapest first; of equal ones the first.

    >>> pareto([(3.0, 0.2), (1.0, 0.9), (2.0, 1.0)])
    [1, 0]
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


# -------------------------------------------------------------------------------- the plane


@dataclass(frozen=True)
class _Point:
    name: str
    price: float
    regret: float
    low: float
    high: float
    ours: bool


def _points(summary: Mapping[str, Mapping[str, Any]], ours: str) -> list[_Point]:
    found = []
    for name, row in summary.items():
        price, regret = _number(row.get("price")), _number(row.get("regret"))
        if not (price > 0 and math.isfinite(price) and math.isfinite(regret)):
            continue
        low, high = map(_number, row.get("regret_ci") or (regret, regret))
        if not (math.isfinite(low) and math.isfinite(high)):
            low = high = regret
        mine = ours in (name, str(name).partition(":")[0])
        found.append(_Point(str(name), price, regret, low, high, mine))
    return sorted(found, key=lambda p: (p.price, p.regret))


def _number(value: Any) -> float:
    """The value as a number, NaN if it is none."""
    return float(value) if isinstance(value, int | float) else math.nan


@dataclass(frozen=True)
class _Plane:
    """A logarithmic x axis of prices and a linear y axis of regrets, in px."""

    box: Box
    x_range: tuple[float, float]  # log2 of the price
    y_range: tuple[float, float]

    @classmethod
    def around(cls, points: Sequence[_Point], box: Box) -> _Plane:
        prices = [math.log2(p.price) for p in points]
        low, high = min(0.0, *prices), max(prices)
        pad = 0.07 * max(high - low, 1.0)
        most = max(p.regret for p in points)
        reach = max(min(max(p.high for p in points), 1.6 * most), most, 0.1)
        least = min(0.0, *(p.regret for p in points), *(p.low for p in points))
        return cls(box, (low - pad, high + pad), (1.06 * least, 1.06 * reach))

    def x(self, price: float) -> float:
        left, _, right, _ = self.box
        low, high = self.x_range
        return left + (math.log2(price) - low) / (high - low) * (right - left)

    def y(self, regret: float) -> float:
        _, top, _, bottom = self.box
        low, high = self.y_range
        return bottom - (min(regret, high) - low) / (high - low) * (bottom - top)

    def at(self, point: _Point) -> tuple[float, float]:
        return self.x(point.price), self.y(point.regret)


def _price_ticks(plane: _Plane) -> list[float]:
    """1, 1.5, 2, 3, 5, 7, 10, 15, ... as far as they have room, the powers of ten first."""
    low, high = (2.0**end for end in plane.x_range)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step * 10.0**k:.3g}") for k in powers for step in _STEPS[:-1]]
    inside = [tick for tick in ticks if low <= tick <= high]
    kept: list[float] = []
    for tick in sorted(inside, key=lambda t: (_rank(t), t)):
        if all(abs(plane.x(tick) - plane.x(other)) >= _TICK_ROOM for other in kept):
            kept.append(tick)
    return sorted(kept)


def _rank(tick: float) -> int:
    """Which numbers an axis can least do without: 1 and 10, then 2 and 5, then the rest."""
    leading = float(f"{tick / 10 ** math.floor(math.log10(tick)):.3g}")
    return {1.0: 0, 2.0: 1, 5.0: 1, 3.0: 2}.get(leading, 3)


def _axes(plane: _Plane, heading: str) -> str:
    left, top, right, bottom = plane.box
    out = []
    for value in nice_ticks(*plane.y_range, count=6):
        y = plane.y(value)
        out.append(f'<path class="grid" d="M{left} {y:.1f}H{right:.1f}"/>')
        out.append(text_at(left - 8, y + 4, f"{value:.6g}".replace("-", "−"), "end"))
    for price in _price_ticks(plane):
        x = plane.x(price)
        out.append(f'<path class="grid" d="M{x:.1f} {bottom}v5"/>')
        out.append(text_at(x, bottom + 19, f"{price:g}×", "mid"))
    words = "price of choosing, in trainings of one model (log scale)"
    out.append(text_at((left + right) / 2, bottom + 40, words, "mid"))
    if heading:
        out.append(text_at(2, 16, shorten(heading, int(right / 7.4)), "strong"))
    out.append(text_at(2, top - 18, "regret in points, with its 95 % interval", ""))
    return f'<g aria-hidden="true">{"".join(out)}</g>'


def _front(plane: _Plane, front: Sequence[_Point]) -> str:
    path = "L".join("{:.1f} {:.1f}".format(*plane.at(p)) for p in front)
    return f'<path class="front" d="M{path}"/>'


def _whisker(plane: _Plane, point: _Point) -> str:
    if point.high <= point.low:
        return ""
    x, (low, high) = plane.x(point.price), (plane.y(point.low), plane.y(point.high))
    caps = f"M{x - 3:.1f} {low:.1f}h6"
    if point.high <= plane.y_range[1]:
        caps += f"M{x - 3:.1f} {high:.1f}h6"
    kind = "whisker ours" if point.ours else "whisker"
    return f'<path class="{kind}" d="M{x:.1f} {low:.1f}V{high:.1f}{caps}"/>'


def _dot(plane: _Plane, point: _Point, on_front: bool) -> str:
    x, y = plane.at(point)
    said = f"{point.name}: price {point.price:.3g}, regret {point.regret:.2f} points"
    if point.high > point.low:
        said += f" ({point.low:.2f} to {point.high:.2f})"
    kind = "pt point" + (" on" if on_front else "") + (" ours" if point.ours else "")
    radius = _DOT + 2 if point.ours else _DOT
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" role="img" '
        f'aria-label="{esc(said)}"><title>{esc(said)}</title></circle>'
    )


# --------------------------------------------------------------------------------- the names


def _labels(plane: _Plane, points: Sequence[_Point], front: Sequence[str]) -> list[str]:
    """A name for each point. Ours looks for its place first, then the front, then the others."""
    whiskers = [
        (plane.x(p.price) - 1, plane.y(p.high), plane.x(p.price) + 1, plane.y(p.low))
        for p in points
        if p.high > p.low
    ]
    wanted = []
    for p in sorted(points, key=lambda p: (not p.ours, p.name not in front)):
        words = shorten(p.name, 34)
        if p.ours:
            wanted.append(Label(plane.at(p), words, "label ours", gap=12, scale=1.2))
        elif p.name in front:
            wanted.append(Label(plane.at(p), words, "label strong", scale=1.1))
        else:
            wanted.append(Label(plane.at(p), words))
    taken = [around(plane.at(p), _DOT + 4) for p in points]
    soft = [*whiskers, *along([plane.at(p) for p in points if p.name in front])]
    return named(wanted, plane.box, taken, soft=soft, radius=_DOT)
