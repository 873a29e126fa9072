"""The tree of the models: who is joined to whom, at which distance, and where it is cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_select.report.likeness import Likeness, likeness
from hf_select.report.shapes import mark
from hf_select.report.svg import CHARACTER, drawing, esc, nice_ticks, short_names, text_at

MAX_LEAVES = 48
"""Of more models the lowest branches are folded into leaves that stand for several."""

ROW = 16.0
"""Px for a leaf."""

Axis = Callable[[float], float]
"""A distance -> its place, in px."""


@dataclass(frozen=True)
class _Node:
    """A leaf (no children) or a merge; `height` is its distance, `members` index models.

    `step` counts merges from the lowest to the root.
    """

    members: tuple[int, ...]
    height: float
    step: int = -1
    children: tuple[_Node, ...] = ()


def dendrogram_svg(
    document: Mapping[str, Any],
    *,
    width: int = 560,
    standalone: bool = True,
    alike: Likeness | None = None,
) -> str:
    """Average linkage over the paper's distance, leaves on the left, the root on the right.

    The dashed line is where the clusters of the document were cut, if average linkage made them.
    Of more than 48 models the lowest merges are folded: a leaf then stands for several.
    """
    alike = alike or likeness(document)
    if alike is None:
        nothing = text_at(0, 24, "Too few models to compare.")
        return drawing("hfs-tree", 320, 40, "Tree of the models", nothing, standalone)
    tree = _ordered(_folded(_grown(alike), MAX_LEAVES), alike)
    leaves = _leaves(tree)
    labels = _labels(leaves, alike, 30 if width > 480 else 21)
    left = 14 + max(len(words) for words in labels) * CHARACTER * 1.06
    bottom = 10 + len(leaves) * ROW
    top_height = max(tree.height, 1e-9)

    def x(height: float) -> float:
        return left + 10 + height / (1.03 * top_height) * (width - left - 22)

    rows = {id(leaf): 10 + (k + 0.5) * ROW for k, leaf in enumerate(leaves)}
    out = [_axis(x, top_height, bottom, left)]
    out += _branches(tree, rows, x, alike)[0]
    out += [_cut(document, x, top_height, bottom)]
    for leaf, words in zip(leaves, labels, strict=True):
        out.append(_leaf(leaf, words, rows[id(leaf)], left, alike))
    about = f"{len(alike.models)} models in {len(leaves)} leaves."
    high = int(bottom + 44)
    return drawing("hfs-tree", width, high, "Tree of the models", "".join(out), standalone, about)


def _grown(alike: Likeness) -> _Node:
    """The tree of all models."""
    nodes = [_Node((i,), 0.0) for i in range(len(alike.models))]
    for step, (one, other, height, _) in enumerate(alike.tree):
        a, b = nodes[int(one)], nodes[int(other)]
        nodes.append(_Node((*a.members, *b.members), float(height), step, (a, b)))
    return nodes[-1]


def _folded(root: _Node, most: int) -> _Node:
    """The tree with its lowest merges folded, so that at most `most` leaves are left."""
    first = len(root.members) - most  # of the merges that stay, the lowest

    def fold(node: _Node) -> _Node:
        kept = tuple(fold(child) for child in node.children) if node.step >= first else ()
        return _Node(node.members, node.height, node.step, kept)

    return fold(root)


def _ordered(root: _Node, alike: Likeness) -> _Node:
    """The same tree with the better branch above the other one at each merge."""
    if not root.children:
        return root
    children = [_ordered(child, alike) for child in root.children]
    children.sort(key=lambda node: -float(np.mean(alike.mean[list(node.members)])))
    return _Node(root.members, root.height, root.step, tuple(children))


def _leaves(root: _Node) -> list[_Node]:
    if not root.children:
        return [root]
    return [leaf for child in root.children for leaf in _leaves(child)]


def _head(leaf: _Node, alike: Likeness) -> int:
    """The model that a leaf is named after: the winner, a recalled one, else the best."""
    first = {alike.winner: 0} | {m: 1 for m in alike.recalled if m != alike.winner}
    return min(leaf.members, key=lambda i: (first.get(alike.models[i], 2), -alike.mean[i]))


def _labels(leaves: Sequence[_Node], alike: Likeness, limit: int) -> list[str]:
    heads = [alike.models[_head(leaf, alike)] for leaf in leaves]
    names = short_names(heads, limit)
    return [
        names[head] + (f" +{len(leaf.members) - 1}" if len(leaf.members) > 1 else "")
        for leaf, head in zip(leaves, heads, strict=True)
    ]


def _branches(
    node: _Node, rows: Mapping[int, float], x: Axis, alike: Likeness
) -> tuple[list[str], float]:
    """The lines of a subtree, and the height on the page at which it goes on."""
    if not node.children:
        return [], rows[id(node)]
    out: list[str] = []
    ends = []
    for child in node.children:
        inner, y = _branches(child, rows, x, alike)
        out += inner
        ends.append((y, x(child.height) if child.children else x(0.0)))
    (y1, x1), (y2, x2) = ends
    kind = _kind(node, alike)
    far = x(node.height)
    out.append(f'<path class="branch {kind}" d="M{x1:.1f} {y1:.1f}H{far:.1f}V{y2:.1f}H{x2:.1f}"/>')
    return out, (y1 + y2) / 2


def _kind(node: _Node, alike: Likeness) -> str:
    """The cluster's class where all members are of one cluster."""
    kinds = {(alike.kind[i], alike.cluster[i]) for i in node.members}
    kind, cluster = next(iter(kinds))
    return kind if len(kinds) == 1 and cluster and kind.startswith("k") else ""


def _leaf(leaf: _Node, words: str, y: float, left: float, alike: Likeness) -> str:
    head = _head(leaf, alike)
    model = alike.models[head]
    kind = "end"
    if model == alike.winner:
        kind = "end chosen"
    elif model in alike.recalled:
        kind = "end strong"
    shape = alike.kind[head]
    said = f"{model}: {alike.cluster[head] or 'no cluster'}, mean skill {alike.mean[head]:.2f}"
    if len(leaf.members) > 1:
        said += f", with {len(leaf.members) - 1:,} others in this leaf"
    return (
        f"{text_at(left - 2, y + 4, words, kind)}"
        f'<path class="pt model {shape}" d="{mark(shape, left + 10, y, 4)}" role="img" '
        f'aria-label="{esc(said)}"><title>{esc(said)}</title></path>'
    )


def _axis(x: Axis, top: float, bottom: float, left: float) -> str:
    out = []
    for tick in nice_ticks(0.0, top, 5):
        at = x(tick)
        out.append(f'<path class="grid" d="M{at:.1f} 6V{bottom + 4:.1f}"/>')
        out.append(text_at(at, bottom + 19, f"{100 * tick:.4g}", "mid"))
    middle = (x(0.0) + x(top)) / 2
    out.append(text_at(middle, bottom + 38, "distance, in points of skill", "mid"))
    return f'<g aria-hidden="true">{"".join(out)}</g>'


def _cut(document: Mapping[str, Any], x: Axis, top: float, bottom: float) -> str:
    """Where the tree was cut, if it was this tree."""
    clusters = document.get("clusters") or {}
    at, paper = clusters.get("threshold"), (document.get("settings") or {}).get("preset")
    if at is None or clusters.get("algorithm") != "average" or paper or not 0 <= at <= top:
        return ""
    return f'<path class="cut" d="M{x(at):.1f} 4V{bottom + 4:.1f}"/>'
