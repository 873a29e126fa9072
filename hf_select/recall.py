"""Phase one: from the record, and a look at the target, to the few models worth fine-tuning.

RECALL_METHODS is the registry. `needs_proxy` says whose proxy a method wants, `recall_models`
ranks, `replay_recall` measures methods on the record with each dataset left out in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.algorithms import (
    benchmark_means,
    cluster_models,
    model_distances,
    no_skill_hint,
    performance,
    row_means,
)
from hf_select.errors import InputError, UnknownNameError
from hf_select.metrics import get_metric
from hf_select.proxies import check_proxy, get_proxy
from hf_select.records import (
    Candidate,
    Clustering,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
    Rejected,
)

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
            share[have] = (_ranks(column[have]) - 1) / (have.sum() - 1)
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
    if distance is None:  # as read from a record, whose clusters are of this very matrix
        whole = evidence.matrix.only_models(clustering.models)
        distance = model_distances(whole, raw=evidence.raw)
    similarity = np.clip(1 - distance[:, columns][:, have], 0, 1)
    alone = similarity @ strength[have] / have.sum()
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


def recall_models(
    method: str,
    *,
    target: str,
    task: str,
    matrix: PerformanceMatrix,
    clustering: Clustering | None = None,
    proxies: ProxyScores | None = None,
    revisions: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    top: int = 10,
    raw: bool = False,
    seed: int = 0,
    seconds: float = 0.0,
) -> RecallResult:
    """The `top` models for a target by one method, with the evidence for each, best first.

    `matrix` must not hold the target. `raw=True` (the paper's preset) ranks by raw scores instead
    of skill. `proxies` are the scores of the models that `needs_proxy` named; `revisions` and
    `sizes` (parameters) are by model. A candidate's `prior` and `predicted` are its mean benchmark
    skill and `spread` its standard deviation over benchmarks; nothing is calibrated to the target.
    Models that the method has no score for are in `skipped`. Ties go by name.

    Raises `UnknownNameError` for an unknown method, `InputError` for a `top` below 1, no models,
    proxy scores of another proxy than the method names, or not one model that can be ranked.
    """
    wanted = check_method(method)
    if top < 1:
        raise InputError(f"value of `top` is {top}, but must be at least 1")
    if not matrix.models:
        raise InputError("there is no model to recall", hint="the record has none for this task")
    if proxies is None and needs_proxy(method, matrix, clustering):
        raise InputError(f"recall method {method!r} needs proxy scores, got none")
    if wanted and proxies is not None and proxies.proxy != wanted:
        raise InputError(f"recall method {method!r} needs {wanted} scores, got {proxies.proxy}")
    if clustering is not None and not set(matrix.models) <= set(clustering.models):
        missing = sorted(set(matrix.models) - set(clustering.models))
        raise InputError(f"model {missing[0]!r} is in no cluster: cluster the same matrix")
    given = dict(zip(proxies.models, proxies.values, strict=True)) if proxies else {}
    evidence = Evidence(
        matrix=matrix,
        clustering=clustering,
        proxy=proxies.proxy if proxies else "",
        own=np.array([given.get(name, NAN) for name in matrix.models], dtype=np.float64),
        sizes=np.array([(sizes or {}).get(name) or 0 for name in matrix.models], dtype=np.int64),
        raw=raw,
        seed=seed,
    )
    scores, sentences = RECALL_METHODS["proxy:NAME" if wanted else method](evidence)
    by_name = np.array(sorted(range(len(scores)), key=matrix.models.__getitem__))
    ranked = by_name[np.isfinite(scores[by_name])]
    order = ranked[np.argsort(-scores[ranked], kind="stable")].tolist()
    if not order:
        raise InputError(
            f"recall method {method!r} could rank none of {len(matrix.models)} models: "
            + _why_not(matrix, 0, proxies if wanted else None),
            hint="" if wanted else no_skill_hint(matrix),
        )
    cluster = (
        dict(zip(clustering.models, clustering.labels.tolist(), strict=True)) if clustering else {}
    )
    candidates = []
    for i, row in zip(order[:top], _rows(matrix, order[:top]).skill, strict=True):
        name, have = matrix.models[i], row[np.isfinite(row)]
        prior = float(have.mean()) if have.size else NAN
        candidates.append(
            Candidate(
                model=name,
                revision=(revisions or {}).get(name, ""),
                predicted=prior,
                spread=float(have.std(ddof=1)) if have.size > 1 else NAN,
                prior=prior,
                proxies={evidence.proxy: float(given[name])} if name in given else {},
                cluster=cluster.get(name, -1),
                reason=sentences[i] + _gaps(matrix, i),
                score=float(scores[i]),
            )
        )
    return RecallResult(
        target=target,
        task=task,
        method=method,
        candidates=tuple(candidates),
        ranking=tuple(matrix.models[i] for i in order),
        skipped=tuple(
            Rejected(matrix.models[i], _why_not(matrix, i, proxies if wanted else None))
            for i in np.flatnonzero(~np.isfinite(scores)).tolist()
        ),
        seconds=seconds,
    )


def _rows(matrix: PerformanceMatrix, rows: Sequence[int]) -> PerformanceMatrix:
    """The matrix of some models, whatever their names (`only_models` looks through all)."""
    return replace(
        matrix,
        scores=matrix.scores[rows],
        spread=matrix.spread[rows],
        models=tuple(matrix.models[i] for i in rows),
    )


def _gaps(matrix: PerformanceMatrix, row: int) -> str:
    """A warning for a model that fewer than half of the benchmarks know."""
    have, of = int(np.isfinite(matrix.scores[row]).sum()), len(matrix.datasets)
    return f"; measured on only {have} of {of} benchmarks" if 2 * have < of else ""


def _why_not(matrix: PerformanceMatrix, row: int, proxies: ProxyScores | None) -> str:
    if proxies is None:
        if np.isfinite(matrix.scores[row]).any():
            return "its benchmark scores can't be compared without the trivial predictor's"
        return "no benchmark score in the record"
    name = matrix.models[row]
    return proxies.reasons.get(name) or f"no {proxies.proxy} score"


# ------------------------------------------------------------------------ how good is a recall


def recall_regret(
    ranking: Sequence[str], truth: Mapping[str, float], ks: Sequence[int] = (1, 3, 5, 10)
) -> dict[str, float]:
    """What a ranking loses, in points: {"regret@k": ..., "spearman": ...}.

    `truth` maps a model to its real score on the target, higher is better (so minus an error),
    NaN = not known. regret@k = 100 x (best of all - best of the first k). Models without a truth
    take no place in the ranking. `spearman` is the rank correlation over the ranked models. NaN
    where it is undefined: nothing to rank, or all truths equal.
    """
    known = {name: value for name, value in truth.items() if np.isfinite(value)}
    values = np.array([known[name] for name in ranking if name in known])
    best = max(known.values(), default=NAN)
    result = {
        f"regret@{k}": 100 * (best - float(values[:k].max())) if values.size else NAN for k in ks
    }
    result["spearman"] = _spearman(-np.arange(len(values), dtype=np.float64), values)
    return result


def _spearman(a: Array, b: Array) -> float:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return NAN
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Array) -> Array:
    """Rank of each value (N,), from 1; equal ones share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


def replay_recall(
    matrix: PerformanceMatrix,
    methods: Sequence[str],
    *,
    proxies: Mapping[tuple[str, str], ProxyScores] | None = None,
    threshold: float | None = None,
    raw: bool = False,
    sizes: Mapping[str, int] | None = None,
    seeds: Sequence[int] = tuple(range(20)),
    ks: Sequence[int] = (1, 3, 5, 10),
) -> dict[str, Any]:
    """Compare recall methods on the record: each dataset in turn is the target, and hidden.

    `proxies` maps (proxy, dataset) to recorded proxy scores on that dataset. The target's column
    is taken out of the matrix before clusters and priors are made of it; it serves as the truth
    alone, raw, oriented by its metric. `random` is the mean over `seeds`. For `paper` the proxy is
    LEEP where every representative has one on record, else LogME.

    Returns {"phase": "recall", "summary": {method: {...}}, "targets": {dataset: {method: {...}}}}
    with the numbers of `recall_regret`. A summary is the mean over the targets that the method
    could be run on, their number as "targets", and the worst target as "regret@k_max"; where proxy
    scores are missing it says so in "note", which is "" otherwise. All summaries have the same
    keys. Raises `InputError` with fewer than two datasets, and where a method can rank no model.
    """
    for method in methods:
        check_method(method)
    if len(matrix.datasets) < 2:
        raise InputError(
            f"replay leaves one dataset out, but the record holds {len(matrix.datasets)}",
            hint="benchmark or import at least two",
        )
    targets: dict[str, dict[str, dict[str, float]]] = {}
    for j, dataset in enumerate(matrix.datasets):
        metric = get_metric(matrix.metrics[j])
        truth = dict(zip(matrix.models, (metric.direction * matrix.scores[:, j]), strict=True))
        if not np.isfinite(matrix.scores[:, j]).any():
            continue
        hidden = matrix.without_dataset(dataset)
        clustering = None
        if "paper" in methods and len(hidden.models) > 1:
            clustering = cluster_models(hidden, threshold=threshold, raw=raw)
        targets[dataset] = {}
        for method in methods:
            wanted = needs_proxy(method, hidden, clustering)
            found = None
            if wanted:
                found = recorded_scores(method, wanted, dataset, metric.kind, proxies or {})
                if found is None:
                    continue
            runs = [
                recall_models(
                    method,
                    target=dataset,
                    task=matrix.task,
                    matrix=hidden,
                    clustering=clustering if method == "paper" else None,
                    proxies=found,
                    sizes=sizes,
                    top=1,
                    raw=raw,
                    seed=seed,
                )
                for seed in (seeds if method == "random" else (0,))
            ]
            rows = [recall_regret(run.ranking, truth, ks) for run in runs]
            targets[dataset][method] = {key: _mean([r[key] for r in rows]) for key in rows[0]}
    summary = {
        method: _summarise([of[method] for of in targets.values() if method in of], ks)
        | {"note": _missing(method, sum(method not in of for of in targets.values()), len(targets))}
        for method in methods
    }
    return {"phase": "recall", "summary": summary, "targets": targets}


def recorded_scores(
    method: str,
    wanted: tuple[str, ...],
    dataset: str,
    kind: str,
    proxies: Mapping[tuple[str, str], ProxyScores],
) -> ProxyScores | None:
    """The recorded proxy scores that a method would have computed, None if there are none."""
    name = check_method(method)
    if name:
        check_proxy(name, kind)
        return proxies.get((name, dataset))
    scores = proxies.get(("leep", dataset))
    heads = dict(zip(scores.models, np.isfinite(scores.values), strict=True)) if scores else {}
    chosen = proxy_choice({model: bool(heads.get(model)) for model in wanted}, kind)
    return proxies.get((chosen, dataset))


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else NAN


def _missing(method: str, without: int, targets: int) -> str:
    """What a summary says about the targets that a method could not be run on."""
    where = f" on {without} of {targets} targets" if without < targets else ""
    return f"no proxy scores on record for {method}{where}" if without else ""


def _summarise(rows: list[dict[str, float]], ks: Sequence[int]) -> dict[str, Any]:
    keys = [*(f"regret@{k}" for k in ks), "spearman"]
    summary: dict[str, Any] = {key: _mean([row[key] for row in rows]) for key in keys}
    for k in ks:
        worst = [row[f"regret@{k}"] for row in rows if np.isfinite(row[f"regret@{k}"])]
        summary[f"regret@{k}_max"] = max(worst, default=NAN)
    summary["targets"] = len(rows)
    return summary
