"""Which models behave alike: the map, the tree, the clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_select.report.clustermap import cluster_map_svg
from hf_select.report.dendrogram import MAX_LEAVES, dendrogram_svg
from hf_select.report.likeness import COLOURS, Likeness, likeness
from hf_select.report.markup import Sheet, both_widths, name, name_list
from hf_select.report.shapes import mark
from hf_select.report.story import recalled_of
from hf_select.report.svg import esc
from hf_select.report.words import amount, count

KEYS = (
    "Hover, or tab to a figure and use the arrow keys, to read its models; press a cluster to "
    "hide it."
)

MAX_GROUPS = 24
"""Clusters that are listed with their models, the biggest first."""

FEW, MANY = 5, 120
"""Names of a cluster that are written where there are more than so `MANY` models in all."""

UNFOLDED = 12
"""Lines of clusters up to which all are shown; of more those with a colour, the rest folded."""


def alike(document: Mapping[str, Any], sheet: Sheet) -> str:
    """Map and tree side by side, and the clusters below; "" where there is nothing to compare."""
    clusters = document.get("clusters")
    found = likeness(document)
    if not clusters and found is None:
        return ""
    parts = []
    if clusters:
        parts.append(f"<p>{esc(_words(clusters))}</p>\n")
    listed = _groups(document, clusters) if clusters else ""
    if found is None:
        parts.append(listed)
        return sheet.section("alike", "Which models behave alike", *parts)
    pictures = (
        '<div class="side"><div>'
        + both_widths(
            cluster_map_svg(document, standalone=False, alike=found),
            cluster_map_svg(document, width=372, height=340, standalone=False, alike=found),
        )
        + "</div>\n<div>"
        + both_widths(
            dendrogram_svg(document, standalone=False, alike=found),
            dendrogram_svg(document, width=372, standalone=False, alike=found),
        )
        + "</div></div>\n"
    )
    parts.append(
        f'<figure class="points clustered" id="{sheet.id("models")}">{pictures}'
        f'{listed}<p class="keys">{KEYS}</p>\n'
        f"<figcaption>{esc(_caption(found, document))}</figcaption></figure>\n"
    )
    return sheet.section("alike", "Which models behave alike", *parts)


def _words(clusters: Mapping[str, Any]) -> str:
    groups = clusters.get("groups", [])
    many = [g for g in groups if len(g["models"]) > 1]
    alone = len(groups) - len(many)
    silhouette = clusters.get("silhouette")
    quality = "" if silhouette is None else f", silhouette {silhouette:.3f}".replace("-", "−")
    return (
        f"Models that scored alike on the benchmarks stand in one cluster: "
        f"{count(len(many), 'cluster')} of two or more, {count(alone, 'model')} alone "
        f"({clusters.get('algorithm', '')}, threshold {amount(clusters.get('threshold'))}"
        f"{quality})."
    )


def _caption(found: Likeness, document: Mapping[str, Any]) -> str:
    _, told = found.plane
    left = "Left, the models in the plane that keeps their distances best; right, whom average"
    right = (
        "linkage joins at which distance, which is the mean of the five largest differences in "
        "skill between two models."
    )
    said = [left, right]
    if math.isfinite(told):
        said.append(f"Distances in the plane correlate with the real ones by {told:.2f}.")
    if found.winner:
        said.append("Ringed: the winner in colour, the recalled ones thin.")
    if (document.get("clusters") or {}).get("algorithm") == "average":
        said.append("The dashed line is where the tree was cut into clusters.")
    if len(found.models) > MAX_LEAVES:
        said.append(
            f"Of the {len(found.models):,} models the lowest branches are folded: +5 after a name "
            "means 5 more like it."
        )
    if found.left_out:
        said.append(f"{found.left_out:,} models of the record are not drawn.")
    return " ".join(said)


def _groups(document: Mapping[str, Any], clusters: Mapping[str, Any]) -> str:
    """The clusters with their models; those with a colour can be switched off in the figures."""
    groups = clusters.get("groups", [])
    many = [g for g in groups if len(g["models"]) > 1]
    alone = [g["models"][0] for g in groups if len(g["models"]) == 1]
    recalled = [c["model"] for c in recalled_of(document)]
    most = FEW if sum(len(g["models"]) for g in groups) > MANY else MANY
    items = []
    for place, group in enumerate(many[:MAX_GROUPS]):
        names = name_list(group["models"], recalled, group.get("representative"), most=most)
        items.append(f'<li>{_key(place, group["id"])}<span class="names">{names}</span></li>')
    if len(many) > MAX_GROUPS:
        more = sum(len(g["models"]) for g in many[MAX_GROUPS:])
        items.append(
            f'<li><span class="id">more</span><span class="names">{len(many) - MAX_GROUPS:,} '
            f"clusters with {more:,} models</span></li>"
        )
    if alone:
        names = name_list(alone, recalled, most=most)
        items.append(f'<li><span class="id">alone</span><span class="names">{names}</span></li>')
    note = "★ is the representative" + ("; recalled models are bold." if recalled else ".")
    shown = len(items) if len(items) <= UNFOLDED else COLOURS
    out = f'<ul class="clusters">{"".join(items[:shown])}</ul>\n'
    if items[shown:]:
        rest = f"{len(many) - shown:,} smaller clusters, and those alone"
        out += f"<details><summary>{rest}</summary>"
        out += f'<ul class="clusters">{"".join(items[shown:])}</ul></details>\n'
    return f'{out}<p class="note">{note}</p>\n'


def _key(place: int, cluster: Any) -> str:
    """A cluster's id with its mark; a button where it has a colour."""
    if place >= COLOURS:
        return f'<span class="id">{name(cluster)}</span>'
    kind = f"k{place}"
    swatch = (
        f'<svg class="hfs key" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">'
        f'<path class="model {kind}" d="{mark(kind, 8, 8, 5)}"/></svg>'
    )
    return (
        f'<span class="id"><button type="button" data-kind="{kind}" aria-pressed="true" '
        f'aria-label="cluster {esc(cluster)}">{swatch}{name(cluster)}</button></span>'
    )
