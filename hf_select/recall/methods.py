"""The recall methods: a row each in RECALL_METHODS, from evidence to scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.algorithms import EXACT, distances_between, model_distances
from hf_select.clustering.scores import benchmark_means, performance, row_means
from hf_select.errors import UnknownNameError
from hf_select.proxies import get_proxy
from hf_select.recall.hybrid import LENT, NONE, Outlook
from hf_select.recall.hybrid import outlook as hybrid_outlook
from hf_select.recall.ranks import ranks
from hf_select.recall.sets import RecalledSet, expected_best
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
    looks: Mapping[str, Array] = field(default_factory=dict)  # proxy -> scores (M,) on the target
    recorded: Mapping[str, Array] = field(default_factory=dict)  # proxy -> scores (M, D)
    cold: ColdStart | None = None  # what is known of models without any run
    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)  # dataset -> its copies
    out: frozenset[str] = frozenset()  # models that teach the hybrid, but may not be taken

    @property
    def unit(self) -> str:
        """What benchmark scores are called in a sentence."""
        return "score" if self.raw else "skill"


@dataclass(frozen=True, eq=False)
class ColdStart:
    """Guesses for models that nobody has measured, from what is known of their kin.

    strength (M,): relative to the average model, in skill; variance (M,) of it; NaN for models
    that have a run. reasons: model -> which kin it leans on.
    """

    strength: Array
    variance: Array
    reasons: Mapping[str, str] = field(default_factory=dict)

    def only(self, models: Sequence[str], kept: Sequence[str]) -> ColdStart:
        """The guesses for some of the models (M,) that these are for."""
        row = {name: i for i, name in enumerate(models)}
        rows = [row[name] for name in kept]
        return replace(self, strength=self.strength[rows], variance=self.variance[rows])


@dataclass(frozen=True, eq=False)
class Scored:
    """What a method makes of the evidence.

    scores (M,), higher is better and NaN = can't be ranked; sentence(i) says why of model i. Where
    the method forecasts, its outlook, and the set in the order in which it would be taken.
    """

    scores: Array
    sentence: Callable[[int], str]
    outlook: Outlook | None = None
    taken: RecalledSet | None = None


# ------------------------------------------------------------------------------- the methods


def by_chance(evidence: Evidence) -> Scored:
    """A random order that depends on the seed and on the set of models, not on their order."""
    models = evidence.matrix.models
    place = {name: i for i, name in enumerate(sorted(models))}
    drawn = np.random.default_rng(evidence.seed).permutation(len(models)).astype(np.float64)
    scores = np.array([drawn[place[name]] for name in models])
    return Scored(scores, lambda i: f"drawn at random with seed {evidence.seed}")


def by_mean(evidence: Evidence) -> Scored:
    """Mean benchmark score, with no look at the target."""
    scores = benchmark_means(evidence.matrix, raw=evidence.raw)
    return Scored(scores, lambda i: f"mean benchmark {evidence.unit} {scores[i]:.3f}")


def by_rank(evidence: Evidence) -> Scored:
    """Mean share of the other models beaten per benchmark, which is mean rank that bears gaps."""
    columns = performance(evidence.matrix, raw=evidence.raw).T.copy()  # (D, M)
    beaten = np.full(columns.shape, NAN)
    for column, share in zip(columns, beaten, strict=True):
        have = np.isfinite(column)
        if have.sum() > 1:
            share[have] = (ranks(column[have]) - 1) / (have.sum() - 1)
    scores = row_means(np.ascontiguousarray(beaten.T))
    return Scored(
        scores, lambda i: f"beats {100 * scores[i]:.0f} % of the other models on a benchmark"
    )


def by_size(evidence: Evidence) -> Scored:
    """Most parameters first; a model of unknown size comes last."""
    scores = evidence.sizes.astype(np.float64)
    return Scored(
        scores,
        lambda i: f"{scores[i] / 1e6:.1f} million parameters" if scores[i] else "size unknown",
    )


def by_proxy(evidence: Evidence) -> Scored:
    """Each model's own proxy score on the target."""
    return Scored(evidence.own, lambda i: f"{evidence.proxy} {evidence.own[i]:.3f} on the target")


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
        return Scored(acc, lambda i: f"{plain[i]}; there are no clusters to tell more")
    index = {name: i for i, name in enumerate(clustering.models)}
    labels = clustering.labels[[index[name] for name in models]]
    row = {name: i for i, name in enumerate(models)}
    heads = {c: clustering.models[r] for c, r in clustering.representatives.items()}
    clusters = list(heads)
    values = np.array([evidence.own[row[heads[c]]] for c in clusters])
    have = np.isfinite(values)
    if not have.any():
        return Scored(acc, lambda i: f"{plain[i]}; no representative has a proxy score")
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
                f"the {evidence.proxy} of the {have.sum()} that represent a cluster, each times "
                "its similarity"
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
    return Scored(scores, sentences.__getitem__)


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


def by_hybrid(evidence: Evidence) -> Scored:
    """Prior, nearest benchmarks and proxies, weighted as they have earned it on the record.

    See `hybrid.outlook`. The order is that of `sets.expected_best`: by predicted skill, but for
    models of which less is known, which are taken where they might raise the best of the set.
    """
    matrix = evidence.matrix
    free = [i for i, name in enumerate(matrix.models) if name not in evidence.out]
    by_name = np.array(sorted(free, key=matrix.models.__getitem__))
    stand_in = _representatives(evidence)
    single = _one_of_each(matrix.datasets, evidence.twins)
    outlook = hybrid_outlook(
        performance(matrix, raw=evidence.raw)[:, single],
        evidence.looks,
        {name: scores[:, single] for name, scores in evidence.recorded.items()},
        stand_in=stand_in,
        cold=(evidence.cold.strength, evidence.cold.variance) if evidence.cold else None,
    )
    alike = np.full(len(matrix.datasets), NAN)
    alike[single] = outlook.alike
    benchmarks = np.full((len(matrix.models), len(matrix.datasets)), NAN)
    benchmarks[:, single] = outlook.benchmarks
    outlook = replace(outlook, alike=alike, benchmarks=benchmarks)
    groups = np.where(stand_in >= 0, stand_in, np.arange(len(stand_in)))
    found = expected_best(
        outlook.relative[by_name],
        outlook.deviation[by_name],
        most=MOST_TAKEN,
        groups=groups[by_name],
        shared=outlook.shared[by_name],
        seed=evidence.seed,
    )
    p_best = np.zeros(len(matrix.models))
    p_best[by_name] = found.p_best
    taken = RecalledSet(tuple(by_name[list(found.order)].tolist()), found.outside, p_best)
    scores = np.full(len(matrix.models), NAN)
    # `predicted` ends at 1, where all would be equal
    scores[by_name] = outlook.level + outlook.relative[by_name]
    return Scored(scores, lambda i: _hybrid_sentence(evidence, outlook, i), outlook, taken)


def _one_of_each(datasets: Sequence[str], twins: Mapping[str, Sequence[str]]) -> list[int]:
    """The columns, one of those with the same content: they would vouch for each other."""
    kept: set[str] = set()
    for name in sorted(datasets):
        if not kept & set(twins.get(name, ())):
            kept.add(name)
    return [j for j, name in enumerate(datasets) if name in kept]


def _representatives(evidence: Evidence) -> NDArray[np.int64]:
    """The row of the model that stands for each one's cluster (M,), -1 where none does."""
    clustering, models = evidence.clustering, evidence.matrix.models
    rows = np.full(len(models), -1)
    if clustering is None:
        return rows
    row = {name: i for i, name in enumerate(models)}
    heads = {c: row.get(clustering.models[i], -1) for c, i in clustering.representatives.items()}
    for name, cluster in zip(clustering.models, clustering.labels.tolist(), strict=True):
        if name in row:
            rows[row[name]] = heads.get(cluster, -1)
    return rows


MOST_TAKEN = 50
"""Models that are taken as a set; beyond it the order is that of predicted skill."""
SHOWN = 0.0005
"""Skill that a piece of evidence must add or take to be named in a sentence."""


def _hybrid_sentence(evidence: Evidence, outlook: Outlook, i: int) -> str:
    """Predicted score, and what each piece of evidence adds to that of the mean model."""
    parts = {what: float(values[i]) for what, values in outlook.parts.items()}
    shown = [
        f"{what} {value:+.3f}"
        for what, value in sorted(parts.items(), key=lambda item: -abs(item[1]))
        if abs(value) >= SHOWN
    ]
    text = f"{evidence.unit} {outlook.predicted[i]:.3f} ± {outlook.deviation[i]:.3f}"
    if shown:
        text += f" ({', '.join(shown)})"
    if outlook.source[i] == LENT:
        text += ", not looked at: its cluster's representative speaks for it"
    elif outlook.source[i] == NONE and outlook.proxies:
        text += ", not looked at"
    guess = evidence.cold.reasons.get(evidence.matrix.models[i]) if evidence.cold else None
    return f"{text}; nobody has measured it: {guess}" if guess else text


RECALL_METHODS: dict[str, Callable[[Evidence], Scored]] = {
    "random": by_chance,
    "mean": by_mean,
    "rank": by_rank,
    "size": by_size,
    "proxy:NAME": by_proxy,
    "paper": by_paper,
    "hybrid": by_hybrid,
}
"""Evidence -> scores. `proxy:NAME` stands for one method per row of `proxies.PROXIES`."""


def check_method(method: str) -> str:
    """The name of the proxy in `proxy:NAME`, "" for any other method; unknown is an error."""
    if method.startswith("proxy:"):
        return get_proxy(method.removeprefix("proxy:")).name
    if method not in RECALL_METHODS:
        raise UnknownNameError("recall method", method, RECALL_METHODS)
    return ""


def usual_method(method: str | None, *, raw: bool = False) -> str:
    """The method that was named; else the hybrid, or the paper's own in its preset (`raw`)."""
    return method or ("paper" if raw else "hybrid")


def needs_proxy(
    method: str, matrix: PerformanceMatrix, clustering: Clustering | None
) -> tuple[str, ...]:
    """The models whose proxy score the method wants: representatives only for `paper`.

    `hybrid` wants those of all, and gets along with those of some, or none.
    """
    if check_method(method) or method == "hybrid":
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
