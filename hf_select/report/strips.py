"""The benchmarks of a record side by side: how good models are on each, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.report.svg import CHARACTER, drawing, esc, nice_ticks, short_names, text_at

MAX_ONES = 60
"""Models up to which each is a dot; of more a box holds the middle half, a line the middle 90 %."""

MAX_ROWS = 60
"""Benchmarks that are drawn; of more every n-th, from the easiest to the hardest."""

ROW = 26.0
"""Px for a benchmark."""


@dataclass(frozen=True, eq=False)
class Strip:
    """A benchmark: the skill of its models (N,), the best one, and the noise between seeds.

    `noise` is the median standard deviation between seeds, in skill, NaN where there was one seed.
    """

    name: str
    skill: NDArray[np.float64]
    best: str
    noise: float


def strips_svg(strips: Sequence[Strip], *, width: int = 960, standalone: bool = True) -> str:
    """A line a benchmark, in the order that is given: its models by skill, and the best one's name.

    The bar beside the best is two standard deviations between seeds wide: models nearer to each
    other than that can't be told apart by one run.
    """
    title = "The benchmarks"
    if not strips:
        return drawing("hfs-strips", 320, 40, title, text_at(0, 24, "No benchmark."), standalone)
    shown = list(strips[:: -(-len(strips) // MAX_ROWS)])
    room = 26 if width > 480 else 15
    names = short_names([s.name for s in shown], room)
    left = 12 + max(len(name) for name in names.values()) * CHARACTER * 1.06
    right = width - (24.0 if width <= 480 else 190.0)
    low = min(0.0, *(float(np.min(s.skill)) for s in shown))
    low, high = max(low, -0.5), 1.0
    top, bottom = 12.0, 12.0 + ROW * len(shown)

    def x(value: float) -> float:
        return left + (min(high, max(low, value)) - low) / (high - low) * (right - left)

    out = []
    for tick in nice_ticks(low, high, 5):
        out.append(f'<path class="grid" d="M{x(tick):.1f} {top - 4}V{bottom:.1f}"/>')
        words = f"{100 * tick:.4g}".replace("-", "−")
        out.append(text_at(x(tick), bottom + 17, words, "mid"))
    words = "skill, in points: 0 trivial, 100 perfect"
    out.append(text_at((left + right) / 2, bottom + 36, words, "mid"))
    axis = f'<g aria-hidden="true">{"".join(out)}</g>'
    rows = "".join(
        _row(strip, names[strip.name], top + (k + 0.5) * ROW, (left, right), x, width > 480)
        for k, strip in enumerate(shown)
    )
    about = f"{len(shown)} benchmarks, from the easiest to the hardest."
    high_px = int(bottom + 42)
    return drawing("hfs-strips", width, high_px, title, axis + rows, standalone, about)


def _row(
    strip: Strip,
    name: str,
    y: float,
    ends: tuple[float, float],
    x: Callable[[float], float],
    named: bool,
) -> str:
    left, right = ends
    out = [text_at(left - 10, y + 4, name, "end")]
    skill = strip.skill
    best = float(skill.max())
    said = (
        f"{strip.name}: {len(skill)} models, mean skill {float(skill.mean()):.2f}, "
        f"the best is {strip.best} with {best:.2f}"
    )
    noise = ""
    if math.isfinite(strip.noise):
        said += f", {100 * strip.noise:.1f} points between seeds"
        half = strip.noise
        noise = f'<path class="noise" d="M{x(best - half):.1f} {y + 8:.1f}H{x(best + half):.1f}"/>'
    if len(skill) <= MAX_ONES:
        ones = "".join(
            f'<circle class="one" cx="{x(v):.1f}" cy="{y:.1f}" r="3"/>' for v in np.sort(skill)
        )
    else:
        five, quarter, three, most = np.percentile(skill, [5, 25, 75, 95])
        ones = (
            f'<path class="whisker" d="M{x(five):.1f} {y:.1f}H{x(most):.1f}"/>'
            f'<rect class="box" x="{x(quarter):.1f}" y="{y - 5:.1f}" '
            f'width="{max(1.0, x(three) - x(quarter)):.1f}" height="10"/>'
        )
    middle = f'<path class="middle" d="M{x(float(np.median(skill))):.1f} {y - 7:.1f}v14"/>'
    dot = f'<circle class="pt best" cx="{x(best):.1f}" cy="{y:.1f}" r="4.5" role="img" '
    dot += f'aria-label="{esc(said)}"><title>{esc(said)}</title></circle>'
    if named:
        short = short_names([strip.best], 26)[strip.best]
        out.append(text_at(right + 14, y + 4, f"{100 * best:.0f}  {short}"))
    return f"{''.join(out)}{ones}{middle}{noise}{dot}"
