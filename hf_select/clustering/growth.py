"""Clusters that live with a growing record: where a new model belongs, and ids that stay.

`assign` places models that were measured on a few benchmarks in clusters that are there.
`stable_ids` gives the clusters of a new grouping the ids of the old ones that they continue, and
says how much has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.scores import performance
from hf_select.metrics import get_metric
from hf_select.records import Clustering, PerformanceMatrix

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
NAN = float("nan")

PRIOR_CELLS = 2.0
"""How many cells the variance over all benchmarks counts for, in that of a single one."""
LEAST_SPREAD = 1e-3
"""Models of a cluster never lie closer together than this standard deviation, in score units."""
ALIKE = 0.25
"""Spread within clusters as a share of that of all models, where no cluster tells (variances)."""


# ---------------------------------------------------------------------- where a model belongs


@dataclass(frozen=True, eq=False)
class Assignment:
    """In which cluster each of N models belongs, and how sure that is.

    models (N,); cluster (N,): the likeliest one, -1 where a cluster of its own is likelier, or
    where nothing was measured that any other model was; clusters (C,): the ids that the columns of
    probabilities (N, C) stand for; alone (N,): the probability of a cluster of its own, the rest
    to 1; odds (N,): of the likeliest against the second likeliest, a cluster of its own being one
    of them, NaN where nothing was measured; measured (N,): on how many benchmarks it rests.
    """

    models: tuple[str, ...]
    cluster: Labels
    clusters: Labels
    probabilities: Array
    alone: Array
    odds: Array
    measured: Labels


def assign(
    scores: Array,
    known: Array,
    labels: Labels,
    *,
    noise: Array | None = None,
    models: tuple[str, ...] | None = None,
) -> Assignment:
    """Place models that were measured on a few benchmarks in the clusters of others.

    scores (N, D): the new models; known (M, D): the clustered ones, labels (M,) their clusters;
    NaN = not measured; noise (D,): standard deviation of a cell over seeds, NaN = unknown; models:
    the names of the new ones, "0", "1", ... if not given.

    Each cluster is a normal distribution. Its variance on a benchmark is the one within clusters,
    pooled over all of them, drawn to that over all benchmarks where few models tell, and never
    below the noise; its correlation between benchmarks is one number, the mean one within clusters
    (a model that is a little better than its cluster is so on all of them). A cluster's mean is
    drawn to that of all models where its members are few (the posterior mean of a normal model,
    whose own variance is added). The prior is the size of the cluster. Against all of them stands
    a cluster of its own: the spread and mean correlation of all models, with a prior as of as many
    models as are alone now, at least one (Good and Turing's estimate for what was never seen).

    Raises `ValueError` for arrays that don't fit.

    >>> known = np.array([[0.9, 0.1], [0.88, 0.12], [0.2, 0.8], [0.22, 0.78]])
    >>> found = assign(np.array([[0.21, np.nan]]), known, np.array([0, 0, 1, 1]))
    >>> int(found.cluster[0]), bool(found.odds[0] > 10)
    (1, True)
    """
    scores, known = np.asarray(scores, np.float64), np.asarray(known, np.float64)
    labels = np.asarray(labels)
    if scores.ndim != 2 or known.ndim != 2 or scores.shape[1] != known.shape[1]:
        raise ValueError(f"scores {scores.shape} and known {known.shape} must share benchmarks")
    if labels.shape != known.shape[:1] or not len(labels):
        raise ValueError(f"labels have shape {labels.shape}, but must be one or more a known model")
    names = tuple(map(str, range(len(scores)))) if models is None else tuple(models)
    if len(names) != len(scores):
        raise ValueError(f"{len(names)} names for {len(scores)} models")

    clusters, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    use = np.isfinite(known).any(axis=0)
    scores, known = scores[:, use], known[:, use]
    floor = np.full(use.sum(), LEAST_SPREAD)
    if noise is not None:
        floor = np.fmax(floor, np.asarray(noise, np.float64)[use])
    it = _moments(known, group, len(clusters), floor)

    have = np.isfinite(scores)
    moved = np.where(have, scores - it.centre, 0.0)  # from the centre: squares lose no digits
    zero = np.zeros((1, len(it.centre)))
    shared, wide = it.alike[0] * it.within, it.alike[1] * it.overall
    own = (it.overall - wide) + it.overall / np.isfinite(known).sum(axis=0)
    total = len(labels) + max(1, int((sizes == 1).sum()))
    logs = np.column_stack(
        [
            _log_density(moved, have, it.means, it.within - shared + it.unsure, shared),
            _log_density(moved, have, zero, own[None], wide),
        ]
    )
    logs += np.log(np.append(sizes, total - len(labels)) / total)
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    weights /= weights.sum(axis=1, keepdims=True)

    best = np.argmax(logs, axis=1)
    second = np.partition(logs, -2, axis=1)[:, -2]  # the best is 0
    measured = have.sum(axis=1)
    chosen = np.append(clusters, -1)[best]
    return Assignment(
        models=names,
        cluster=np.where(measured > 0, chosen, -1).astype(np.int64),
        clusters=clusters.astype(np.int64),
        probabilities=weights[:, :-1],
        alone=weights[:, -1],
        odds=np.where(measured > 0, np.exp(np.minimum(-second, 700.0)), NAN),
        measured=measured.astype(np.int64),
    )


def assign_new(
    matrix: PerformanceMatrix, clustering: Clustering, *, raw: bool = False
) -> Assignment:
    """Place the models of a matrix that an older clustering of it doesn't know.

    The noise of a benchmark is the root mean square of the matrix's spreads over seeds there. The
    clustered models that the matrix no longer holds are left out. Raises `ValueError` if none of
    the clustered models is left.
    """
    at = {name: i for i, name in enumerate(clustering.models)}
    old = [i for i, name in enumerate(matrix.models) if name in at]
    new = [i for i, name in enumerate(matrix.models) if name not in at]
    scores = performance(matrix, raw=raw)
    return assign(
        scores[new],
        scores[old],
        clustering.labels[[at[matrix.models[i]] for i in old]],
        noise=seed_noise(matrix, raw=raw),
        models=tuple(matrix.models[i] for i in new),
    )


def seed_noise(matrix: PerformanceMatrix, *, raw: bool = False) -> Array:
    """Standard deviation of a score from seed to seed (D,), in the unit of `performance`.

    The root mean square of the cells' spreads; NaN where no cell has several seeds.
    """
    known = np.isfinite(matrix.spread)
    square = np.where(known, matrix.spread, 0.0) ** 2
    count = known.sum(axis=0)
    mean = np.divide(square.sum(axis=0), count, out=np.full(len(count), NAN), where=count > 0)
    unit = [
        1.0 if raw else abs(float(metric.skill(1.0, base) - metric.skill(0.0, base)))
        for metric, base in zip(map(get_metric, matrix.metrics), matrix.baselines, strict=True)
    ]
    return np.sqrt(mean) * np.array(unit)


@dataclass(frozen=True, eq=False)
class _Moments:
    """What the clusters are like on each benchmark that any model was measured on.

    centre (D,); overall and within (D,): variance of all models and within clusters; means (C, D)
    from the centre, and unsure (C, D): the variance that they are known with; alike: the mean
    correlation of two benchmarks within clusters, and over all models.
    """

    centre: Array
    overall: Array
    within: Array
    means: Array
    unsure: Array
    alike: tuple[float, float]


def _moments(known: Array, group: Labels, clusters: int, floor: Array) -> _Moments:
    have = np.isfinite(known)
    count = have.sum(axis=0)
    centre = np.where(have, known, 0.0).sum(axis=0) / count
    moved = np.where(have, known - centre, 0.0)
    size, total = np.zeros((clusters, len(count))), np.zeros((clusters, len(count)))
    np.add.at(size, group, have)
    np.add.at(total, group, moved)
    mean = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
    left = np.where(have, moved - mean[group], 0.0)
    floor = floor**2
    overall = _drawn((moved**2).sum(axis=0), count - 1, floor, 4 * floor)
    freedom = count - (size > 0).sum(axis=0)
    within = _drawn((left**2).sum(axis=0), freedom, floor, ALIKE * overall)
    within = np.minimum(within, overall)
    between = np.maximum(overall - within, floor)
    keep = size / (size + within / between)  # posterior mean: 0 where nobody was measured
    return _Moments(
        centre=centre,
        overall=overall,
        within=within,
        means=keep * mean,
        unsure=between * (1 - keep),
        alike=(_correlation(left / np.sqrt(within)), _correlation(moved / np.sqrt(overall))),
    )


def _correlation(values: Array) -> float:
    """Mean correlation of two different columns of (M, D), 0 = not measured; between 0 and 0.9."""
    squares = (values**2).sum(axis=1)
    others = (values != 0).sum(axis=1) - 1
    most = float((squares * np.maximum(others, 0)).sum())
    both = float((values.sum(axis=1) ** 2 - squares).sum())
    return min(max(both / most, 0.0), 0.9) if most > 0 else 0.0


def _log_density(moved: Array, have: NDArray, means: Array, own: Array, shared: Array) -> Array:
    """Log density (N, C), without constants, of normal distributions on what was measured.

    moved (N, D) with 0 where have (N, D) is False; means (C, D); covariance diag(own (C, D)) plus
    the outer product of the root of shared (D,), which is inverted by Sherman and Morrison.
    """
    inverse, root = 1 / own, np.sqrt(shared)
    square = (
        moved**2 @ inverse.T
        - 2 * moved @ (means * inverse).T
        + have @ (means**2 * inverse + np.log(own)).T
    )
    common = moved @ (root * inverse).T - have @ (means * root * inverse).T
    scale = 1 + have @ (shared * inverse).T
    return -(square - common**2 / scale + np.log(scale)) / 2


def _drawn(squares: Array, freedom: Array, floor: Array, fallback: Array) -> Array:
    """Variances (D,) from sums of squares, each drawn to that over all benchmarks."""
    if freedom.sum() > 0:
        fallback = np.full(len(squares), squares.sum() / freedom.sum())
    return np.maximum((squares + PRIOR_CELLS * fallback) / (freedom + PRIOR_CELLS), floor)


# ------------------------------------------------------------------------------ ids that stay


@dataclass(frozen=True)
class Drift:
    """How the clusters of two groupings differ.

    `common` models are in both; `changed` of them are in another cluster now, once clusters that
    continue an old one bear its id; `share` = changed / common; `rand` is the adjusted Rand index
    of the common models' two groupings (1 = the same; Hubert and Arabie 1985). `share` and `rand`
    are NaN without a common model. `new` and `gone` count the other models, `opened` and `closed`
    the clusters without a predecessor and without a successor.
    """

    common: int
    changed: int
    share: float
    rand: float
    new: int
    gone: int
    opened: int
    closed: int


@dataclass(frozen=True, eq=False)
class Stable:
    """A grouping whose clusters bear the ids of the old ones that they continue, and the drift."""

    clustering: Clustering
    drift: Drift


def stable_ids(new: Clustering, old: Clustering) -> Stable:
    """Give the clusters of `new` the ids of the clusters of `old` that they continue.

    Clusters are paired so that as many models as possible keep their id (the Hungarian method on
    the overlaps); between pairings that are as good the one with more similar clusters (Jaccard)
    counts. A cluster without a predecessor gets an id above all of the old ones, the biggest
    first. Ids have gaps then, and say nothing about size.

    Paper of the pairing: Kuhn 1955, doi 10.1002/nav.3800020109.

    >>> from hf_select.records import Clustering
    >>> def of(labels):
    ...     return Clustering(tuple("abcd"), np.array(labels), None, {}, "average", 0.1, 0.5)
    >>> found = stable_ids(of([0, 0, 0, 1]), of([2, 1, 1, 5]))
    >>> found.clustering.labels.tolist(), found.drift.changed
    ([1, 1, 1, 5], 1)
    """
    at = {name: i for i, name in enumerate(old.models)}
    pairs = [(i, at[name]) for i, name in enumerate(new.models) if name in at]
    mine = np.array([i for i, _ in pairs], dtype=np.int64)
    theirs = np.array([j for _, j in pairs], dtype=np.int64)
    ids, group, sizes = np.unique(new.labels, return_inverse=True, return_counts=True)
    old_ids, old_group, old_sizes = np.unique(old.labels, return_inverse=True, return_counts=True)
    cells, overlap = np.unique(
        group[mine] * max(1, len(old_ids)) + old_group[theirs], return_counts=True
    )
    rows, columns = cells // max(1, len(old_ids)), cells % max(1, len(old_ids))

    renamed = np.full(len(ids), -1, dtype=np.int64)
    for row, column in _matching(rows, columns, overlap, sizes, old_sizes):
        renamed[row] = old_ids[column]
    fresh = np.flatnonzero(renamed < 0)
    fresh = fresh[np.lexsort((ids[fresh], -sizes[fresh]))]
    first = int(old_ids.max()) + 1 if len(old_ids) else 0
    renamed[fresh] = first + np.arange(len(fresh))

    labels = renamed[group].astype(np.int64)
    to = dict(zip(ids.tolist(), renamed.tolist(), strict=True))
    changed = int((labels[mine] != old.labels[theirs]).sum())
    drift = Drift(
        common=len(pairs),
        changed=changed,
        share=changed / len(pairs) if pairs else NAN,
        rand=_adjusted_rand(rows, columns, overlap),
        new=len(new.models) - len(pairs),
        gone=len(old.models) - len(pairs),
        opened=len(fresh),
        closed=len(old_ids) - (len(ids) - len(fresh)),
    )
    heads = dict(sorted((to[c], head) for c, head in new.representatives.items()))
    return Stable(replace(new, labels=labels, representatives=heads), drift)


def _matching(
    rows: Labels, columns: Labels, overlap: Labels, sizes: Labels, old_sizes: Labels
) -> list[tuple[int, int]]:
    """Pairs of a new and an old cluster, at most one a cluster, with the largest overlaps in sum.

    rows, columns and overlap (P,): the pairs that share models, and how many. Clusters that share
    no model even by way of others are paired apart, so that many clusters cost little.
    """
    if not len(rows):
        return []
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    news, olds = len(sizes), len(old_sizes)
    jaccard = overlap / (sizes[rows] + old_sizes[columns] - overlap)
    gain = overlap + jaccard / (2 * (min(news, olds) + 1))  # all of them together are below 1
    graph = coo_array((np.ones(len(rows)), (rows, news + columns)), shape=(news + olds,) * 2)
    part = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(part, kind="stable")
    pairs = []
    for mine in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        if len(mine) == 1:
            pairs.append((int(rows[mine[0]]), int(columns[mine[0]])))
            continue
        r, at_row = np.unique(rows[mine], return_inverse=True)
        c, at_column = np.unique(columns[mine], return_inverse=True)
        table = np.zeros((len(r), len(c)))
        table[at_row, at_column] = gain[mine]
        for i, j in zip(*linear_sum_assignment(table, maximize=True), strict=True):
            if table[i, j] > 0:
                pairs.append((int(r[i]), int(c[j])))
    return pairs


def _adjusted_rand(rows: Labels, columns: Labels, overlap: Labels) -> float:
    """Adjusted Rand index of two groupings from the cells of their contingency table."""
    total = int(overlap.sum())
    if total == 0:
        return NAN

    def pairs(counts: NDArray) -> float:
        counts = counts.astype(np.float64)
        return float((counts * (counts - 1) / 2).sum())

    both = pairs(overlap)
    mine = pairs(np.bincount(rows, weights=overlap))
    theirs = pairs(np.bincount(columns, weights=overlap))
    chance = mine * theirs / max(1.0, total * (total - 1) / 2)
    most = (mine + theirs) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)
