"""Names beside points: as near as they can be without covering a point or another name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hf_select.report.svg import CHARACTER, Box, overlap, text_at

Point = tuple[float, float]

NEAR = (20, 36, 60, 90, 130)
"""Px to the left or right of its point that a name may have to stand off."""


@dataclass(frozen=True)
class Label:
    """A name that looks for its place. `kind` are classes of the style sheet, `gap` px."""

    at: Point
    words: str
    kind: str = "label"
    gap: float = 9
    scale: float = 1.0  # of its width: bold or big letters
    most: float = math.inf  # px, about, that its place may cost before it's left out

    @property
    def wide(self) -> float:
        """About how wide it is, in px."""
        return len(self.words) * CHARACTER * self.scale


def named(
    labels: Iterable[Label],
    inside: Box,
    taken: Sequence[Box],
    *,
    soft: Sequence[Box] = (),
    radius: float = 5.0,
) -> list[str]:
    """The names as markup, the first ones having the first choice.

    `inside` is where they may stand, `taken` what they mustn't cover, `soft` what they rather
    shouldn't. One that stands off its point (of that `radius`) is joined to it.
    """
    out, full = [], list(taken)
    for label in labels:
        cost, box = _place(label, inside, full, soft)
        if cost > label.most:
            continue
        full.append(box)
        out.append(_leader(label.at, box, radius))
        out.append(text_at(box[0] + 2, box[3] - 4, label.words, label.kind))
    return out


def around(at: Point, reach: float) -> Box:
    """The box around a point."""
    return (at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach)


def along(points: Sequence[Point]) -> list[Box]:
    """A line through points, as small boxes."""
    boxes = []
    for one, other in pairwise(points):
        for k in range(1, 24):
            share = k / 24
            x, y = (a + share * (b - a) for a, b in zip(one, other, strict=True))
            boxes.append(around((x, y), 1.0))
    return boxes


def _place(
    label: Label, inside: Box, taken: Sequence[Box], soft: Sequence[Box]
) -> tuple[float, Box]:
    """The cheapest free box for a name, and what it costs: near, and not across lines.

    Without any free box it costs infinitely much, and stands at its point.
    """
    left, top, right, bottom = inside
    (x, y), wide = label.at, label.wide
    best = (math.inf, (x + label.gap, y - 8, x + label.gap + 4 + wide, y + 7))
    for dy in range(-210, 211, 7):
        for dx in (label.gap, *NEAR):
            for start in (x + dx, x - dx - wide - 4):
                far = math.hypot(dx - label.gap, 1.4 * dy) + (1.5 if start < x else 0.0)
                if far >= best[0]:
                    continue
                box = (start, y + dy - 8, start + wide + 4, y + dy + 7)
                if box[0] < left - 6 or box[2] > right + 8 or box[1] < top - 8 or box[3] > bottom:
                    continue
                if any(overlap(box, other) for other in taken):
                    continue
                cost = far + 9 * sum(overlap(box, other) for other in soft)
                if cost < best[0]:
                    best = (cost, box)
    return best


def _leader(at: Point, box: Box, radius: float) -> str:
    """A thin line from a point to its name, if they don't stand side by side."""
    x, y = at
    near_x = min(max(x, box[0] + 1), box[2] - 1)
    near_y = min(max(y, box[1] + 3), box[3] - 3)
    far = math.hypot(near_x - x, near_y - y)
    if far < 16:
        return ""
    start = (radius + 2) / far
    return (
        f'<path class="leader" d="M{x + start * (near_x - x):.1f} {y + start * (near_y - y):.1f}'
        f'L{near_x:.1f} {near_y:.1f}"/>'
    )
