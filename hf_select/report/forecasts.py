"""What was expected of each candidate in the end: intervals beside the learning curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_select.metrics import find_metric
from hf_select.report.document import candidate_name, metric_text, percent_text, score_text
from hf_select.report.svg import Box, esc, text_at

Height = Callable[[float], float]
"""A score -> its height in px."""


@dataclass(frozen=True)
class Forecast:
    """The last forecast of one candidate's final score. `rank` is its place in the ranking."""

    rank: int
    name: str
    role: str  # winner | finalist | dropped | finished | failed | untrained
    mean: float
    low: float
    high: float
    chance: float | None

    def said(self, metric: str) -> str:
        """The forecast as a sentence."""
        ends = f"{score_text(self.low, metric)} to {score_text(self.high, metric)}"
        likely = "" if self.chance is None else f", the best with {percent_text(self.chance)}"
        return (
            f"{self.rank}. {self.name}: {score_text(self.mean, metric)} expected ({ends}){likely}"
        )


def forecasts(document: Mapping[str, Any], roles: Mapping[int, str]) -> list[Forecast]:
    """The last forecasts, those of trained candidates (`roles`, by rank) before the others.

    What a metric can't reach is cut off the intervals.
    """
    how = find_metric(str(document.get("metric", "")))
    least, top = how.bounds if how is not None else (-math.inf, math.inf)
    found = []
    for rank, row in enumerate(document.get("ranking", []), 1):
        mean, ends = row.get("predicted"), row.get("interval")
        if mean is None or not ends or None in ends:
            continue
        mean, low, high = (min(top, max(least, float(v))) for v in (mean, *ends))
        role = roles.get(rank, "untrained")
        found.append(Forecast(rank, candidate_name(row), role, mean, low, high, row.get("p_best")))
    found.sort(key=lambda f: (f.role == "untrained", f.rank))
    return found


def fitting(found: Sequence[Forecast], shown: tuple[float, float], most: int) -> list[Forecast]:
    """Up to `most` of them; of the untrained those alone that were expected in the picture."""
    inside = [f for f in found if f.role != "untrained" or shown[0] <= f.mean <= shown[1]]
    return inside[:most]


def shown_range(found: Sequence[Forecast], low: float, high: float) -> tuple[float, float]:
    """The range of a score axis that shows the forecasts too.

    Those of trained candidates move its ends, each by half of the range at most, so that a wide
    interval doesn't flatten the curves; untrained ones are cut off there.
    """
    room = 0.5 * (high - low)
    trained = [f for f in found if f.role != "untrained"]
    bottom = min([low, *(f.low for f in trained)])
    top = max([high, *(f.high for f in trained)])
    return max(bottom, low - room), min(top, high + room)


def strip(
    found: Sequence[Forecast],
    y: Height,
    shown: tuple[float, float],
    left: float,
    step: float,
    metric: str,
    test: float | None,
) -> str:
    """The forecasts as columns from `left` on, `step` px apart, on the score axis of the curves."""
    out = []
    for k, forecast in enumerate(found):
        x = left + (k + 0.5) * step
        said = esc(forecast.said(metric))
        out.append(
            f'<g class="forecast {forecast.role}" data-i="{forecast.rank}" role="img" '
            f'aria-label="{said}"><title>{said}</title>{_column(forecast, x, y, shown)}</g>'
        )
        if forecast.role == "winner" and test is not None and shown[0] <= test <= shown[1]:
            out.append(_test_mark(x, y(test), f"test {metric_text(metric)}", test, metric))
    return "".join(out)


def _column(forecast: Forecast, x: float, y: Height, shown: tuple[float, float]) -> str:
    low, high = max(forecast.low, shown[0]), min(forecast.high, shown[1])
    if low > shown[1] or high < shown[0]:
        return ""
    caps = f"M{x - 3.5:.1f} {y(low):.1f}h7" if low == forecast.low else ""
    caps += f"M{x - 3.5:.1f} {y(high):.1f}h7" if high == forecast.high else ""
    line = f'<path class="reach" d="M{x:.1f} {y(low):.1f}V{y(high):.1f}{caps}"/>'
    hit = f'<path class="hit" d="M{x:.1f} {y(low):.1f}V{y(high):.1f}"/>'
    if not shown[0] <= forecast.mean <= shown[1]:
        return hit + line
    return f'{hit}{line}<circle class="mean" cx="{x:.1f}" cy="{y(forecast.mean):.1f}" r="3.5"/>'


def _test_mark(x: float, y: float, words: str, test: float, metric: str) -> str:
    """A diamond where the winner's test score came to lie."""
    said = esc(f"{words}: {score_text(test, metric)}")
    return (
        f'<path class="test" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" role="img" '
        f'aria-label="{said}"><title>{said}</title></path>'
    )


def strip_axis(
    found: Sequence[Forecast], box: Box, step: float, words: str, lines: Sequence[float]
) -> str:
    """What stands around the columns: the heading above, the ranks below, `lines` behind."""
    left, top, right, bottom = box
    out = [
        f'<path class="wash" d="M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"/>',
        *(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>' for y in lines),
        text_at(left, top - 14, words, "strong"),
        text_at(left, bottom + 38, "by rank"),
    ]
    for k, forecast in enumerate(found):
        kind = "mid strong" if forecast.role == "winner" else "mid"
        out.append(text_at(left + (k + 0.5) * step, bottom + 19, str(forecast.rank), kind))
    return f'<g aria-hidden="true">{"".join(out)}</g>'
