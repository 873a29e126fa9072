"""The recall methods: a row each in RECALL_METHODS, from evidence to scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.algorithms import (
    EXACT,
    benchmark_means,
    distances_between,
    model_distances,
    performance,
    row_means,
)
from hf_select.errors import UnknownNameError
from hf_select.proxies import get_proxy
from hf_select.recall.ranks import ranks
from hf_select.records import Clustering, PerformanceMatrix

Array = NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a method may look at. `own` and `sizes` follow the order of `matrix.models`."""

    matrix: PerformanceMatrix
    clustering: Clustering | None
    proxy: str  # name of the proxy, "" where none was computed
    own: Array  # proxy score of each model (M,), NaN = none
    sizes: NDArray[np.int64]  # parameters (M,), 0 = unknown
    raw: bool
    seed: int

    @property
    def unit(self) -> str:
        """What benchmark scores are called in a sentence."""
        return "score" if self.raw else "skill"


Scored = tuple[Array, list[str]]
"""Scores (M,), higher is better and NaN = can't be ranked, and a sentence for each model."""


# ------------------------------------------------------------------------------- the methods


def by_chance(evidence: Evidence) -> Scored:
    """A random order that depends on the seed and on the set of models, not on their order."""
    models = evidence.matrix.models
    place = {name: i for i, name in enumerate(sorted(models))}
    drawn = np.random.default_rng(evidence.seed).permutation(len(models)).astype(np.float64)
    scores = np.array([drawn[place[name]] for name in models])
    return scores, [f"drawn at random with seed {evidence.seed}"] * len(models)


def by_mean(evidence: Evidence) -> Scored:
    """Mean benchmark score, with no look at the target."""
    scores = benchmark_means(evidence.matrix, raw=evidence.raw)
    return scores, [f"mean benchmark {evidence.unit} {score:.3f}" for score in scores]


def by_rank(evidence: Evidence) -> Scored:
    """Mean share of the other models beaten per benchmark, which is mean rank that bears gaps."""
    columns = performance(evidence.matrix, raw=evidence.raw).T.copy()  # (D, M)
    beaten = np.full(columns.shape, NAN)
    for column, share in zip(columns, beaten, strict=True):
        have = np.isfinite(column)
        if have.sum() > 1:
            share[have] = (ranks(column[have]) - 1) / (have.sum() - 1)
    scores = row_means(np.ascontiguousarray(beaten.T))
    return scores, [f"beats {100 * s:.0f} % of the other models on a benchmark" for s in scores]


def by_size(evidence: Evidence) -> Scored:
    """Most parameters first; a model of unknown size comes last."""
    scores = evidence.sizes.astype(np.float64)
    return scores, [f"{s / 1e6:.1f} million parameters" if s else "size unknown" for s in scores]


def by_proxy(evidence: Evidence) -> Scored:
    """Each model's own proxy score on the target."""
    return evidence.own, [f"{evidence.proxy} {score:.3f} on the target" for score in evidence.own]


def by_paper(evidence: Evidence) -> Scored:
    """The paper's recall score (arXiv 2404.00069): prior times the proxy of representatives.

    A member m of a cluster of two or more scores acc(m) x proxy(rep(m)); a singleton scores acc(m)
    x mean over representatives r of (1 - d(m, r)) x proxy(r), where acc is the mean benchmark
    score, d the clustering's distance and `proxy` is `positive`. A model's own proxy score never
    counts, unless it is a representative.

    Beyond the paper's text, where it is silent: a representative without a proxy score stands at
    the mean of those that have one, and if there is none at all the prior alone ranks. A
    similarity below 0 counts as 0. A mean below the trivial predictor stays as it is, because
    multiplying it would turn the proxy's sign round.
    """
    acc = benchmark_means(evidence.matrix, raw=evidence.raw)
    unit, models = evidence.unit, evidence.matrix.models
    plain = [f"mean benchmark {unit} {a:.3f}" for a in acc]
    clustering = evidence.clustering
    if clustering is None or not clustering.representatives:
        return acc, [f"{sentence}; there are no clusters to tell more" for sentence in plain]
    index = {name: i for i, name in enumerate(clustering.models)}
    labels = clustering.labels[[index[name] for name in models]]
    row = {name: i for i, name in enumerate(models)}
    heads = {c: clustering.models[r] for c, r in clustering.representatives.items()}
    clusters = list(heads)
    values = np.array([evidence.own[row[heads[c]]] for c in clusters])
    have = np.isfinite(values)
    if not have.any():
        return acc, [f"{sentence}; no representative has a proxy score" for sentence in plain]
    strength = positive(values)
    strength[~have] = strength[have].mean()
    columns = [clustering.representatives[c] for c in clusters]
    distance = clustering.distance
    single = [i for i, label in enumerate(clustering.labels.tolist()) if label not in heads]
    if distance is None:  # as read from a record, whose clusters are of this very matrix
        whole = evidence.matrix.only_models(clustering.models)
        if len(whole.models) <= EXACT:
            distance = model_distances(whole, raw=evidence.raw)[np.ix_(single, columns)]
        else:
            distance = distances_between(whole, single, columns, raw=evidence.raw)
    else:
        distance = distance[np.ix_(single, columns)]
    alone = np.full(len(clustering.models), NAN)
    alone[single] = np.clip(1 - distance[:, have], 0, 1) @ strength[have] / have.sum()
    counts = np.bincount(clustering.labels)
    scores, sentences = np.full(len(models), NAN), []
    for i, name in enumerate(models):
        cluster = int(labels[i])
        if cluster not in heads:
            weight = alone[index[name]]
            what = (
                f"the {evidence.proxy} of {have.sum()} representatives, each times its similarity"
            )
        elif not have[at := clusters.index(cluster)]:
            weight = strength[at]
            what = f"the other representatives' mean, because {heads[cluster]} has no score"
        elif heads[cluster] == name:
            weight = strength[at]
            what = f"its own {evidence.proxy}, as representative of cluster {cluster}"
        else:
            weight = strength[at]
            what = f"the {evidence.proxy} of {heads[cluster]}, which stands for cluster {cluster}"
            what += f" of {counts[cluster]} models"
        if acc[i] > 0:
            scores[i] = acc[i] * weight
            sentences.append(f"{plain[i]} x {weight:.3f} ({what})")
        else:
            scores[i] = acc[i]
            sentences.append(f"{plain[i]} is not above 0, so the proxy ({weight:.3f}) can't help")
    return scores, sentences


def positive(values: Array) -> Array:
    """Proxy scores scaled to positive ones, for the paper's product; NaN stays NaN.

    exp(value). LEEP and LogME are mean log likelihoods, so this is the likelihood per sample
    itself: LEEP lands in (0, 1]. It is strictly rising, and unlike min-max scaling it neither
    erases the cluster of the worst representative with a 0 nor depends on who else was scored. A
    shift of all logs (the unit of a regression target) becomes a common factor, which changes no
    ranking; so where the largest is above 0, it is made the unit, and nothing overflows.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return np.exp(values - max(0.0, float(finite.max()) if finite.size else 0.0))


RECALL_METHODS: dict[str, Callable[[Evidence], Scored]] = {
    "random": by_chance,
    "mean": by_mean,
    "rank": by_rank,
    "size": by_size,
    "proxy:NAME": by_proxy,
    "paper": by_paper,
}
"""Evidence -> scores. `proxy:NAME` stands for one method per row of `proxies.PROXIES`."""


def check_method(method: str) -> str:
    """The name of the proxy in `proxy:NAME`, "" for any other method; unknown is an error."""
    if method.startswith("proxy:"):
        return get_proxy(method.removeprefix("proxy:")).name
    if method not in RECALL_METHODS:
        raise UnknownNameError("recall method", method, RECALL_METHODS)
    return ""


def needs_proxy(
    method: str, matrix: PerformanceMatrix, clustering: Clustering | None
) -> tuple[str, ...]:
    """The models whose proxy score the method wants: representatives only for `paper`."""
    if check_method(method):
        return matrix.models
    if method == "paper" and clustering is not None:
        return tuple(clustering.models[i] for i in clustering.representatives.values())
    return ()


def proxy_choice(has_head: Mapping[str, bool], kind: str) -> str:
    """Which proxy the representatives are scored by: "leep" or "logme".

    LEEP, the paper's, needs source classes that a model was really trained on, and a target with
    classes. It is taken only if *every* representative has such a head: the scores of two proxies
    have no common scale, so one model without a head turns all to LogME, which needs features
    only. `has_head` maps a representative to whether it has one.
    """
    return "leep" if kind == "classification" and has_head and all(has_head.values()) else "logme"
