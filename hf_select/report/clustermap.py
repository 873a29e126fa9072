"""The models as a map: near each other if they did alike on the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_select.report.labels import Label, around, named
from hf_select.report.likeness import Likeness, likeness
from hf_select.report.shapes import mark
from hf_select.report.svg import Box, drawing, esc, short_names, text_at

MAX_LABELS = 16
"""Models that the map tries to name."""

CROWD = 300
"""Models above which names would cover points: only the winner and the recalled have theirs."""

BIG, SMALL, TINY = 5.0, 3.4, 2.4
"""Radius of a mark by how many there are, in px."""


def cluster_map_svg(
    document: Mapping[str, Any],
    *,
    width: int = 560,
    height: int = 440,
    standalone: bool = True,
    alike: Likeness | None = None,
) -> str:
    """A point a model, in the plane that keeps the distances best; colour and shape: its cluster.

    To the right the mean skill rises. The winner and the recalled models are ringed. `alike` saves
    computing the distances again.
    """
    alike = alike or likeness(document)
    if alike is None:
        nothing = text_at(0, 24, "Too few models to compare.")
        return drawing("hfs-map", 320, 40, "Map of the models", nothing, standalone)
    height = min(height, _high(alike, width))
    box = (18.0, 16.0, width - 18.0, height - 40.0)
    at = _places(alike, box)
    radius = BIG if len(at) <= 120 else SMALL if len(at) <= 500 else TINY
    points = [_point(alike, i, x, y, radius) for i, (x, y) in enumerate(at)]
    axis = text_at(width - 18, height - 10, "better on average →", "end")
    body = _rings(alike, at, radius) + "".join(points) + _names(alike, at, box, radius) + axis
    about = f"{len(at)} models; neighbours scored alike on the benchmarks."
    return drawing("hfs-map", width, height, "Map of the models", body, standalone, about)


def _high(alike: Likeness, width: int) -> int:
    """The height in px that a flat map needs: its own, and some room for names."""
    across, up = np.ptp(alike.plane[0], axis=0)
    return int(max(220.0, (width - 60.0) * up / max(float(across), 1e-12) + 110.0))


def _places(alike: Likeness, box: Box) -> list[tuple[float, float]]:
    """Where each model stands, in px; both axes have one scale."""
    points, _ = alike.plane
    left, top, right, bottom = box
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([right - left - 24, bottom - top - 24])
    with np.errstate(divide="ignore"):
        scale = float(np.min(room / np.maximum(high - low, 1e-12)))
    middle = (low + high) / 2
    x = (left + right) / 2 + scale * (points[:, 0] - middle[0])
    y = (top + bottom) / 2 - scale * (points[:, 1] - middle[1])
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _point(alike: Likeness, i: int, x: float, y: float, radius: float) -> str:
    model, mean = alike.models[i], alike.mean[i]
    said = f"{model}: {alike.cluster[i] or 'no cluster'}, mean skill {mean:.2f}".replace("-0", "−0")
    if model in alike.representatives:
        said += ", representative"
    if model == alike.winner:
        said += ", the winner"
    elif model in alike.recalled:
        said += ", recalled"
    title = f"<title>{esc(said)}</title>" if len(alike.models) <= CROWD else ""
    return (
        f'<path class="pt model {alike.kind[i]}" d="{mark(alike.kind[i], x, y, radius)}" '
        f'role="img" aria-label="{esc(said)}">{title}</path>'
    )


def _rings(alike: Likeness, at: list[tuple[float, float]], radius: float) -> str:
    out = []
    taken = set(alike.recalled)
    for model, (x, y) in zip(alike.models, at, strict=True):
        if model == alike.winner or model in taken:
            kind = "halo" if model == alike.winner else "halo taken"
            out.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius + 4}"/>')
    return "".join(out)


def _names(alike: Likeness, at: list[tuple[float, float]], box: Box, radius: float) -> str:
    """The winner's name, those of representatives and recalled ones, and of the best, with room."""
    place = {model: i for i, model in enumerate(alike.models)}
    best = sorted(place, key=lambda m: -_finite(float(alike.mean[place[m]])))
    heads = [m for m in best if m in alike.representatives]
    many = len(at) > CROWD
    others = [] if many else [*heads, *best[:3]]
    wanted = dict.fromkeys([alike.winner, *others[:7], *alike.recalled, *others])
    chosen = [m for m in wanted if m in place][:MAX_LABELS]
    names = short_names(chosen, 22)
    labels = []
    for model in chosen:
        here, gap = at[place[model]], radius + 4
        if model == alike.winner:
            labels.append(Label(here, names[model], "label winner", gap, 1.2))
        else:
            labels.append(Label(here, names[model], "label", gap, most=70.0))
    shown = [label.at for label in labels] if many else at
    return "".join(named(labels, box, [around(p, radius + 2) for p in shown], radius=radius))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
