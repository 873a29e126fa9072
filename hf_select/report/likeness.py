"""How alike the models of a document are: distances, the plane, the tree, colours of clusters.

All of it is computed from the document's matrix, by the distance that clusters are made of, so
that an old document can be drawn too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.distances import paper_distance
from hf_select.clustering.embedding import embed
from hf_select.clustering.scores import row_means
from hf_select.report.story import recalled_of, winner_of

Array = NDArray[np.float64]

MOST = 1500
"""Models that map and tree are made of, at most: distances of all pairs are needed."""

COLOURS = 7
"""Clusters that have a colour and a shape of their own, the biggest first."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """The models that are drawn, and what is known of each.

    models (M,), skill (M, D) with NaN where nothing was measured, mean (M,) over what was; kind
    (M,): the class of a model's cluster in the style sheet, k0 to k6, `small` for a cluster without
    a colour or `alone`; cluster (M,): what the cluster is called, "" if nobody knows. `left_out`
    models of the document are not among them.
    """

    models: tuple[str, ...]
    skill: Array
    mean: Array
    kind: tuple[str, ...]
    cluster: tuple[str, ...]
    representatives: frozenset[str]
    recalled: tuple[str, ...]
    winner: str
    left_out: int

    @cached_property
    def distance(self) -> Array:
        """The paper's distance between models (M, M), on skill."""
        return paper_distance(self.skill)

    @cached_property
    def plane(self) -> tuple[Array, float]:
        """Places (M, 2), better models further right, and how well they tell the distances."""
        points, told = embed(self.distance)
        return _turned(points, self.mean), told

    @cached_property
    def tree(self) -> Array:
        """The tree of average linkage (M - 1, 4), as scipy's `linkage` gives it."""
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        return np.asarray(linkage(squareform(self.distance, checks=False), method="average"))


def skill_of(document: Mapping[str, Any]) -> Array:
    """The skill of a document's matrix (M, D), NaN where nothing was measured."""
    matrix = document.get("matrix") or {}
    return np.array(
        [[np.nan if v is None else v for v in row] for row in matrix.get("skill", [])],
        dtype=np.float64,
    ).reshape(len(matrix.get("models", [])), len(matrix.get("datasets", [])))


def likeness(document: Mapping[str, Any]) -> Likeness | None:
    """What the document says of its models; None where fewer than three have any score.

    Of more models than `MOST` the winner, the recalled, the representatives and the best of the
    others are taken.
    """
    skill = skill_of(document)
    known = np.flatnonzero(np.isfinite(skill).any(axis=1))
    if len(known) < 3:
        return None
    every = (document.get("matrix") or {})["models"]
    mean = row_means(skill)
    winner = str(winner_of(document).get("model", ""))
    recalled = tuple(str(c["model"]) for c in recalled_of(document))
    kinds, clusters, representatives = cluster_kinds(document)
    first = {winner, *recalled}
    order = sorted(
        known.tolist(),
        key=lambda i: (every[i] not in first, every[i] not in representatives, -mean[i]),
    )
    rows = sorted(order[:MOST])
    return Likeness(
        models=tuple(every[i] for i in rows),
        skill=skill[rows],
        mean=mean[rows],
        kind=tuple(kinds.get(every[i], "alone") for i in rows),
        cluster=tuple(clusters.get(every[i], "") for i in rows),
        representatives=frozenset(representatives),
        recalled=recalled,
        winner=winner,
        left_out=len(every) - len(rows),
    )


def cluster_kinds(
    document: Mapping[str, Any],
) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Model -> class of the style sheet, model -> what its cluster is called, representatives."""
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    representatives: set[str] = set()
    groups = (document.get("clusters") or {}).get("groups", [])
    many = [group for group in groups if len(group["models"]) > 1]
    for place, group in enumerate(many):
        kind = f"k{place}" if place < COLOURS else "small"
        for model in group["models"]:
            kinds[model], names[model] = kind, f"cluster {group['id']}"
        if group.get("representative"):
            representatives.add(group["representative"])
    for group in groups:
        if len(group["models"]) == 1:
            kinds[group["models"][0]], names[group["models"][0]] = "alone", "alone"
    return kinds, names, representatives


def _turned(points: Array, mean: Array) -> Array:
    """The same plane with the direction in which the mean skill rises pointing right."""
    slope = points.T @ (mean - mean.mean())
    length = float(np.hypot(*slope))
    if length > 1e-12:
        x, y = slope / length
        points = points @ np.array([[x, -y], [y, x]])
    lower = np.abs(points[:, 1]).argmax()
    return points * np.array([1.0, -1.0 if points[lower, 1] < 0 else 1.0])
