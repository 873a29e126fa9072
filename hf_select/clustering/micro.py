"""Clustering of more models than have distances: many small groups first, then average linkage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.distances import paper_distance
from hf_select.clustering.linkage import (
    SAME,
    average_tree,
    best_cut,
    between,
    cut_tree,
    silhouette_of,
)
from hf_select.errors import InputError

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
NAN = float("nan")

MICRO = 2000
"""Micro-clusters, at most."""
BATCH = 8192
PASSES = 10
SWEEPS = 20
RIDGE = 0.5
"""How many cells of average score the effect of a model or a benchmark is drawn to."""
SAMPLE = 3000
"""Models that the silhouette of a cut is estimated on, and as many others that of the result."""


def micro(
    vectors: Array,
    distance: Array | None,
    threshold: float | None,
    n_clusters: int | None,
    seed: int,
    k: int,
) -> tuple[Labels, float]:
    """Micro-clusters, then average linkage of their means: labels (M,), threshold.

    vectors (M, D), NaN = not measured; distance isn't looked at. Mini-batch k-means (Sculley 2010)
    on the vectors with missing cells filled by a model's plus a benchmark's effect makes at most
    2,000 micro-clusters. Between their means, over what was measured, the distance is the paper's.
    A micro-cluster counts in the linkage as the models that it stands for, as if all of them were
    at its mean; so with as many micro-clusters as models this is average linkage itself. Without a
    threshold or a number the cut is chosen as `average_linkage` does, by the silhouette of 3,000
    models drawn at random (means lie closer together than models do, and would always be split to
    the last). A model of which nothing was measured is a cluster of its own.

    Raises `InputError` for more clusters than micro-clusters.
    """
    known = np.asarray(np.isfinite(vectors).any(axis=1))
    group = np.zeros(len(vectors), dtype=np.int64)
    group[known] = micro_clusters(vectors[known], seed)
    count = int(group.max()) + 1 if known.any() else 0
    alone = int((~known).sum())
    group[~known] = count + np.arange(alone)
    if n_clusters is not None and not alone + 1 <= n_clusters <= count + alone:
        raise InputError(
            f"value of `n_clusters` is {n_clusters}, but with {len(vectors)} models it must be "
            f"{alone + 1} to {count + alone}"
        )
    if count < 2:
        return group, NAN if threshold is None else threshold
    means = group_means(vectors[known], group[known])
    weights = np.bincount(group[known]).astype(np.float64)
    apart = paper_distance(means, k=k)
    tree = average_tree(apart, weights)
    heights = tree[:, 2]
    if n_clusters is not None:
        merges = count + alone - n_clusters
    elif threshold is not None:
        merges = int(np.searchsorted(heights, threshold + SAME, side="right"))
    else:
        drawn = _sample(len(vectors), known, seed)
        merges = best_cut(
            tree, paper_distance(vectors[drawn], k=k), at=group[drawn], weights=weights
        )
    if threshold is None or n_clusters is not None:
        threshold = between(heights, merges)
    labels = np.append(cut_tree(tree, merges), count + np.arange(alone))
    return labels[group], threshold


def micro_clusters(vectors: Array, seed: int) -> Labels:
    """Which micro-cluster each model is in (M,), counted from 0; nothing is left empty."""
    filled = fill(vectors)
    same, twins = np.unique(filled, axis=0, return_inverse=True)
    if len(same) <= MICRO:
        return twins.reshape(-1).astype(np.int64)
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(
        MICRO,
        batch_size=BATCH,
        max_iter=PASSES,
        n_init=1,
        init_size=3 * MICRO,
        reassignment_ratio=0.0,
        random_state=seed,
    ).fit(filled)
    return np.unique(found.labels_, return_inverse=True)[1].astype(np.int64)


def fill(vectors: Array) -> Array:
    """Vectors (M, D) with missing cells as the effect of the model plus that of the benchmark.

    Every row has a number. Effects are drawn to 0 where little was measured; found in turns.
    """
    have = np.isfinite(vectors)
    mean = float(vectors[have].mean())
    values = np.where(have, vectors - mean, 0.0)
    rows, columns = np.zeros(len(vectors)), np.zeros(vectors.shape[1])
    in_row, in_column = have.sum(axis=1), have.sum(axis=0)
    for _ in range(SWEEPS):
        columns = (values.sum(axis=0) - rows @ have) / (in_column + RIDGE)
        rows = (values.sum(axis=1) - have @ columns) / (in_row + RIDGE)
    filled = np.add.outer(rows + mean, columns)
    filled[have] = vectors[have]
    return filled


def group_means(vectors: Array, group: Labels) -> Array:
    """Mean of each group (G, D) over what was measured, NaN where nothing was."""
    from scipy.sparse import csr_array

    models = len(vectors)
    member = csr_array((np.ones(models), (group, np.arange(models))))
    have = np.isfinite(vectors)
    total = member @ np.where(have, vectors, 0.0)
    count = member @ have.astype(np.float64)
    return np.divide(total, count, out=np.full(total.shape, NAN), where=count > 0)


def _sample(models: int, among: NDArray[np.bool_], seed: int) -> Labels:
    """At most 3,000 models, all of them if there are no more."""
    drawn = np.flatnonzero(among)
    if len(drawn) > SAMPLE:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, SAMPLE, replace=False))
    return drawn.astype(np.int64)


def sampled_silhouette(vectors: Array, labels: Labels, seed: int, k: int) -> float:
    """The paper's silhouette coefficient, estimated on at most 3,000 models drawn at random.

    vectors (M, D), labels (M,). Of each drawn model of a cluster of two or more: the mean distance
    to the drawn ones of its cluster against that to all other drawn ones; if no other of its
    cluster was drawn it doesn't count. NaN where nothing counts.
    """
    drawn = _sample(len(vectors), np.ones(len(vectors), dtype=bool), seed + 1)
    distance = paper_distance(vectors[drawn], k=k)
    _, group, sizes = np.unique(labels[drawn], return_inverse=True, return_counts=True)
    member = np.zeros((len(drawn), len(sizes)))
    member[np.arange(len(drawn)), group] = 1.0
    inside = (distance @ member)[np.arange(len(drawn)), group]
    return silhouette_of(inside, distance.sum(axis=1), sizes[group])[0]
