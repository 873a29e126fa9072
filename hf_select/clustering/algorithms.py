"""Clustering of models by their benchmark scores: average linkage, and K-means to compare.

CLUSTERERS is the registry; `cluster_models` is the way in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.distances import paper_distance, paper_distance_to
from hf_select.clustering.linkage import SAME, best_cut, between, cut_tree, silhouette_of
from hf_select.clustering.micro import micro, sampled_silhouette
from hf_select.clustering.scores import no_skill_hint, performance, row_means
from hf_select.errors import InputError, UnknownNameError
from hf_select.records import Clustering, PerformanceMatrix

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
NAN = float("nan")

EXACT = 10_000
"""Models up to which distances of all pairs are made: it takes 40 s and 3 GB."""


# ------------------------------------------------------------------ what clusters are made of


def model_distances(matrix: PerformanceMatrix, *, raw: bool = False, k: int = 5) -> Array:
    """The distances between the models of a matrix (M, M) that `cluster_models` groups by."""
    return paper_distance(_compared(performance(matrix, raw=raw), raw), k=k)


def distances_between(
    matrix: PerformanceMatrix, rows: list[int], columns: list[int], *, raw: bool = False, k: int = 5
) -> Array:
    """The same distances, from some models of a matrix to others of it (rows, columns).

    For matrices with too many models for `model_distances`; where two models have no common
    benchmark, the largest distance of these stands for that of all.
    """
    scores = _compared(performance(matrix, raw=raw), raw)
    return paper_distance_to(scores[rows], scores[columns], k=k)


def _compared(scores: Array, raw: bool) -> Array:
    """In the paper's computation a score that isn't positive counts as not measured."""
    return np.where(scores > 0, scores, NAN) if raw else scores


def paper_silhouette(distance: Array, labels: Labels) -> float:
    """The paper's silhouette coefficient, in [-1, 1]; NaN where it is undefined.

    distance (M, M), labels (M,). For a member of a cluster of two or more: a = mean distance to
    the other members of its cluster, b = mean distance to all models outside it, singletons
    included (not only to the nearest cluster, as Rousseeuw's silhouette does), s = (b - a) /
    max(a, b). The coefficient is the mean of s over those members; singletons have no s.

    Paper: arXiv 2404.00069.

    >>> d = np.array([[0.0, 0.1, 0.4], [0.1, 0.0, 0.5], [0.4, 0.5, 0.0]])
    >>> round(paper_silhouette(d, np.array([0, 0, 1])), 4)
    0.775
    """
    labels = np.asarray(labels)
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    member = np.zeros((len(labels), len(sizes)))
    member[np.arange(len(labels)), group] = 1.0
    inside = (np.asarray(distance) @ member)[np.arange(len(labels)), group]
    return silhouette_of(inside, np.asarray(distance).sum(axis=1), sizes[group])[0]


# ------------------------------------------------------------------------------- algorithms


def average_linkage(
    vectors: Array,
    distance: Array | None,
    threshold: float | None,
    n_clusters: int | None,
    seed: int,
    k: int,
) -> tuple[Labels, float]:
    """Agglomerative clustering, average linkage, cut at a distance: labels (M,), threshold.

    Without a threshold or a number of clusters the cut is where the silhouette, counted over all
    models with singletons as 0, is best. (Over the clustered alone, the first few merges of near
    twins would always win.) Cuts with two or more clusters of two or more members come first, and
    among them those in which no cluster holds more than half of the models: splitting off a few
    outliers scores well, but leaves one representative to speak for nearly all. On the paper's two
    matrices that lands at 0.10 (text) and 0.026 (vision), near its own 0.09 and 0.03.
    """
    assert distance is not None
    models = len(distance)
    if models == 1:
        return np.zeros(1, dtype=np.int64), NAN if threshold is None else threshold
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(distance, checks=False), method="average")
    heights = tree[:, 2]
    if n_clusters is not None:
        merges = models - n_clusters
    elif threshold is not None:
        merges = int(np.searchsorted(heights, threshold + SAME, side="right"))
    else:
        merges = best_cut(tree, distance)
    if threshold is None or n_clusters is not None:
        threshold = between(heights, merges)
    return cut_tree(tree, merges), threshold


def kmeans(
    vectors: Array,
    distance: Array | None,
    threshold: float | None,
    n_clusters: int | None,
    seed: int,
    k: int,
) -> tuple[Labels, float]:
    """K-means on the performance vectors, the paper's comparison: labels (M,), threshold.

    Without a number of clusters it is given as many as average linkage finds (at the threshold).
    A missing cell is filled with the mean of its benchmark.
    """
    used = NAN
    if n_clusters is None:
        labels, used = average_linkage(vectors, distance, threshold, None, seed, k)
        n_clusters = len(np.unique(labels))
    from sklearn.cluster import KMeans

    column = row_means(vectors.T)
    filled = np.where(np.isfinite(vectors), vectors, np.nan_to_num(column)[None, :])
    n_clusters = min(n_clusters, len(np.unique(filled, axis=0)))  # twins can't be told apart
    found = KMeans(n_clusters, n_init=10, random_state=seed).fit(filled)
    return found.labels_.astype(np.int64), used


Clusterer = Callable[
    [Array, Array | None, float | None, int | None, int, int], tuple[Labels, float]
]

CLUSTERERS: dict[str, Clusterer] = {
    "average": average_linkage,
    "kmeans": kmeans,
    "micro": micro,
}
"""(vectors (M, D), distance (M, M), threshold, n_clusters, seed, k) -> (labels (M,), threshold).

`micro` is given no distance, which is what lets it have more than `EXACT` models."""


# ------------------------------------------------------------------------------- the way in


def cluster_models(
    matrix: PerformanceMatrix,
    old: Clustering | None = None,
    *,
    algorithm: str | None = None,
    threshold: float | None = None,
    n_clusters: int | None = None,
    raw: bool = False,
    k: int = 5,
    seed: int = 0,
) -> Clustering:
    """Group the models of a matrix by how they do on its benchmarks.

    Distances are the paper's, on skill, or on raw scores with `raw=True` (the paper's preset;
    there, as in the paper's computation, a score that isn't positive counts as not measured). The
    order of the models doesn't matter, nor does that of the benchmarks. Labels: biggest cluster
    first, singletons last, ties by name; with an `old` clustering a cluster that continues one of
    its clusters bears that one's id (`growth.stable_ids`). The representative of a cluster of two
    or more is the member with the highest mean benchmark score.

    `algorithm` is a row of `CLUSTERERS`: "average" if it isn't given, "micro" above 10,000 models,
    where there are no distances (`Clustering.distance` is None) and the silhouette is an estimate
    from 3,000 models. `threshold` is in score units (`algorithm="kmeans"` uses it to count
    clusters); with neither it nor `n_clusters` the cut is chosen by the silhouette. Raises
    `UnknownNameError` for an unknown algorithm and `InputError` where there is nothing to compare,
    or too much for the algorithm.

    Paper: arXiv 2404.00069.
    """
    algorithm = algorithm or ("average" if len(matrix.models) <= EXACT else "micro")
    if algorithm not in CLUSTERERS:
        raise UnknownNameError("clustering algorithm", algorithm, CLUSTERERS)
    if not matrix.models or not matrix.datasets:
        raise InputError(
            f"clustering needs scores, got {len(matrix.models)} models on "
            f"{len(matrix.datasets)} benchmarks",
            hint="run `hf-select benchmark` or `hf-select import` first",
        )
    if algorithm != "micro" and len(matrix.models) > EXACT:
        raise InputError(
            f"`{algorithm}` compares all pairs of models, at most {EXACT}, but there are "
            f"{len(matrix.models)}",
            hint="`micro`, which is taken where no algorithm is named",
        )
    if threshold is not None and not 0 <= threshold < np.inf:
        raise InputError(f"value of `threshold` is {threshold!r}, but must be 0 or more")
    if n_clusters is not None and not 1 <= n_clusters <= len(matrix.models):
        raise InputError(
            f"value of `n_clusters` is {n_clusters}, but must be 1 to {len(matrix.models)}, "
            "the number of models"
        )
    order = np.array(sorted(range(len(matrix.models)), key=matrix.models.__getitem__))
    columns = sorted(range(len(matrix.datasets)), key=matrix.datasets.__getitem__)
    scores = performance(matrix, raw=raw)
    vectors = _compared(scores, raw)[order][:, columns]
    # Without the error of the trivial predictor an error says nothing about how good a model is,
    # so a matrix may be full of scores and still tell nothing.
    known = int(np.isfinite(vectors).any(axis=1).sum())
    if known < 2 <= len(matrix.models):
        raise InputError(
            f"only {known} of {len(matrix.models)} models have a score that can be compared",
            hint=no_skill_hint(matrix)
            or ("the paper's preset leaves out scores that aren't above 0" if raw else ""),
        )
    distance = None if algorithm == "micro" else paper_distance(vectors, k=k)
    labels, used = CLUSTERERS[algorithm](vectors, distance, threshold, n_clusters, seed, k)
    labels = _rank_labels(labels)
    back = np.argsort(order)
    if distance is None:
        silhouette = sampled_silhouette(vectors, labels, seed, k)
        labels = labels[back]
    else:
        labels, distance = labels[back], distance[np.ix_(back, back)]
        silhouette = paper_silhouette(distance, labels)
    found = Clustering(
        models=matrix.models,
        labels=labels,
        distance=distance,
        representatives=_representatives(labels, row_means(scores), matrix.models),
        algorithm=algorithm,
        threshold=used,
        silhouette=silhouette,
    )
    if old is None:
        return found
    from hf_select.clustering.growth import stable_ids

    return stable_ids(found, old).clustering


def _rank_labels(labels: Labels) -> Labels:
    """Biggest cluster 0; equal sizes in the order of their first member (models by name)."""
    _, first, group, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[group]


def _representatives(labels: Labels, means: Array, models: tuple[str, ...]) -> dict[int, int]:
    place = np.empty(len(models), dtype=np.int64)
    place[sorted(range(len(models)), key=models.__getitem__)] = np.arange(len(models))
    order = np.lexsort((place, -np.where(np.isfinite(means), means, -np.inf), labels))
    ids, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    heads = zip(ids.tolist(), order[first].tolist(), strict=True)
    return {c: head for (c, head), size in zip(heads, sizes, strict=True) if size >= 2}
