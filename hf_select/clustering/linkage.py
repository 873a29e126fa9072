"""Trees of average linkage: made of points that stand for several models, and cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
NAN = float("nan")
SAME = 1e-9  # heights closer than this count as one: a threshold can't tell them apart


def average_tree(distance: Array, weights: Array) -> Array:
    """Average linkage (UPGMA) of points with weights: a tree as scipy's `linkage` (n - 1, 4).

    distance (n, n), weights (n,): how many models stand at each point. The distance of two clusters
    is the mean over all pairs of their models, as if all of them were there, so that points of
    weight 1 give what scipy gives. Chains of nearest neighbours: O(n^2) time and memory.
    """
    points = len(distance)
    distance = np.array(distance, dtype=np.float64)
    np.fill_diagonal(distance, np.inf)
    weights = np.array(weights, dtype=np.float64)
    merges = np.empty((max(0, points - 1), 3))
    chain: list[int] = []
    left = list(range(points))
    alive = np.ones(points, dtype=bool)
    for step in range(points - 1):
        if not chain:
            while not alive[left[-1]]:
                left.pop()
            chain = [left[-1]]
        while True:
            last = chain[-1]
            before = chain[-2] if len(chain) > 1 else -1
            near = int(np.argmin(distance[last]))
            # Of equally near ones the one that the chain came from, so that it ends.
            if before >= 0 and distance[last, before] <= distance[last, near]:
                near = before
            if near == before:
                break
            chain.append(near)
        one, two = sorted((chain.pop(), chain.pop()))
        merges[step] = one, two, distance[one, two]
        row = (weights[one] * distance[one] + weights[two] * distance[two]) / (
            weights[one] + weights[two]
        )
        row[[one, two]] = np.inf
        distance[one], distance[:, one] = row, row
        distance[two], distance[:, two] = np.inf, np.inf
        weights[one] += weights[two]
        alive[two] = False
    return _as_tree(merges[np.argsort(merges[:, 2], kind="stable")])


def _as_tree(merges: Array) -> Array:
    """Merges (n - 1, 3) by the points that stand for clusters, as scipy's tree (n - 1, 4)."""
    points = len(merges) + 1
    top, size = np.arange(points), np.ones(2 * points - 1)
    tree = np.empty((len(merges), 4))

    def root(point: int) -> int:
        while parent[point] != point:
            parent[point] = parent[parent[point]]
            point = parent[point]
        return point

    parent = list(range(points))
    for step, (one, two, height) in enumerate(merges):
        a, b = root(int(one)), root(int(two))
        children = sorted((int(top[a]), int(top[b])))
        parent[b], top[a] = a, points + step
        size[points + step] = size[children].sum()
        tree[step] = *children, height, size[points + step]
    return tree


def silhouette_of(inside: Array, total: Array, size: NDArray) -> tuple[float, int]:
    """The paper's silhouette, and the number of models that it is the mean of.

    Of each model (M,): the summed distance to its cluster, that to all models, and the number of
    models of its cluster.
    """
    models = len(size)
    use = (size >= 2) & (size < models)
    if not use.any():
        return NAN, 0
    a = inside[use] / (size[use] - 1)
    b = (total[use] - inside[use]) / (models - size[use])
    top = np.maximum(a, b)
    s = np.divide(b - a, top, out=np.zeros(len(a)), where=top > 0)
    return float(s.mean()), int(use.sum())


def cut_tree(tree: Array, merges: int) -> Labels:
    """Labels (M,) after the first `merges` merges of a linkage tree."""
    models = len(tree) + 1
    parent = np.arange(2 * models - 1)
    for step in range(merges):
        parent[tree[step, :2].astype(int)] = models + step
    for node in range(models + merges - 1, -1, -1):  # a parent's number is above its children's
        parent[node] = parent[parent[node]]
    return np.unique(parent[:models], return_inverse=True)[1].astype(np.int64)


def between(heights: Array, merges: int) -> float:
    """The threshold half-way between the last merge that is done and the first that isn't."""
    if merges == 0:
        return float(heights[0] / 2)
    if merges == len(heights):
        return float(heights[-1])
    return float((heights[merges - 1] + heights[merges]) / 2)


def best_cut(
    tree: Array, distance: Array, *, at: Labels | None = None, weights: Array | None = None
) -> int:
    """How many merges give the best silhouette over all models, singletons counted as 0.

    distance (M, M). The leaves of the tree are the models themselves, or points: at (M,) says at
    which of them a model stands, weights (n,) how many models do, those included that have no
    distances. Cuts with two or more clusters of two or more models come first, and among them
    those in which no cluster holds more than half of the models. Sums of distances are carried from
    cut to cut, so all cuts together cost O(M^2).
    """
    models, points = len(distance), len(tree) + 1
    at = np.arange(points) if at is None else at
    weights = np.ones(points) if weights is None else weights
    total = distance.sum(axis=1)
    inside, size = np.zeros(models), np.ones(models, dtype=np.int64)
    groups = dict(enumerate(np.split(np.argsort(at, kind="stable"), _ends(at, points))))
    for mine in groups.values():
        inside[mine] = distance[np.ix_(mine, mine)].sum(axis=1)
        size[mine] = len(mine)
    held = dict(enumerate(weights.tolist()))
    # clusters of two or more models, and models of the biggest
    clusters, largest, most = int((weights >= 2).sum()), float(weights.max()), weights.sum() / 2
    best, best_key = 0, (-1, -np.inf)
    if tree[-1, 2] <= SAME:
        return len(tree)  # all models are twins
    for step in range(len(tree) - 1):  # the last merge leaves one cluster and nothing outside
        one, two = (int(node) for node in tree[step, :2])
        left, right = groups.pop(one), groups.pop(two)
        apart = distance[np.ix_(left, right)]
        inside[left] += apart.sum(axis=1)
        inside[right] += apart.sum(axis=0)
        merged = groups[points + step] = np.concatenate([left, right])
        size[merged] = len(merged)
        clusters += 1 - (held[one] >= 2) - (held[two] >= 2)
        held[points + step] = held.pop(one) + held.pop(two)
        largest = max(largest, held[points + step])
        if tree[step + 1, 2] - tree[step, 2] <= SAME:
            continue
        value, members = silhouette_of(inside, total, size)
        tier = 0 if clusters < 2 else 1 if largest > most else 2
        key = (tier, value * members / models if members else 0.0)
        if key > best_key:
            best, best_key = step + 1, key
    return best


def _ends(at: Labels, points: int) -> Labels:
    """Where the models of one point end, once they are sorted by their point (n - 1,)."""
    return np.cumsum(np.bincount(at, minlength=points))[:-1]
