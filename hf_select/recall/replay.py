"""How good is a recall: its regret, and every method replayed on the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import InputError
from hf_select.metrics import get_metric
from hf_select.progress import stage
from hf_select.proxies import check_proxy
from hf_select.recall.candidates import ProxyEvidence, recall_models
from hf_select.recall.hybrid import learnable
from hf_select.recall.methods import NAN, check_method, needs_proxy, proxy_choice
from hf_select.recall.ranks import spearman
from hf_select.records import (
    TASK_KINDS,
    Clustering,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
)

Array = NDArray[np.float64]


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
    result["spearman"] = spearman(-np.arange(len(values), dtype=np.float64), values)
    return result


BOOTSTRAP = 2000
"""Draws of targets for an interval."""


def replay_recall(
    matrix: PerformanceMatrix,
    methods: Sequence[str],
    *,
    proxies: Mapping[tuple[str, str], ProxyScores] | None = None,
    threshold: float | None = None,
    raw: bool = False,
    sizes: Mapping[str, int] | None = None,
    twins: Mapping[str, Sequence[str]] | None = None,
    seeds: Sequence[int] = tuple(range(20)),
    ks: Sequence[int] = (1, 3, 5, 10),
) -> dict[str, Any]:
    """Compare recall methods on the record: each dataset in turn is the target, and hidden.

    `proxies` maps (proxy, dataset) to recorded proxy scores on that dataset. The target's column
    is taken out of the matrix before clusters and priors are made of it, and of what weights are
    learned from; it serves as the truth alone, raw, oriented by its metric. So are its `twins`:
    dataset -> others with the same content. `random` is the mean
    over `seeds`. For `paper` the proxy is LEEP where every representative has one on record, else
    LogME.

    Returns {"phase": "recall", "summary": {method: {...}}, "targets": {dataset: {method: {...}}}}
    with the numbers of `recall_regret`. A summary is the mean over the targets that the method
    could be run on, their number as "targets", the worst target as "regret@k_max", and the 95 %
    bootstrap interval over targets as "regret@k_ci"; where proxy scores are missing it says so in
    "note", which is "" otherwise. `hybrid` has "recalled", the number of models that it would
    recall by itself, "regret@recalled" and, per target, "novel". All summaries have the same keys.
    Raises `InputError` with fewer than two datasets, and where a method can rank no model.
    """
    for method in methods:
        check_method(method)
    if any(k < 1 for k in ks) or not ks:
        raise InputError(f"top is {list(ks)}, but must be numbers of at least 1")
    if len(matrix.datasets) < 2:
        raise InputError(
            f"replay leaves one dataset out, but the record holds {len(matrix.datasets)}",
            hint="benchmark or import at least two",
        )
    targets: dict[str, dict[str, dict[str, Any]]] = {}
    with stage("replaying", total=len(matrix.datasets), unit="benchmarks") as at:
        for j, dataset in enumerate(matrix.datasets):
            at.reach(j, detail=dataset)
            metric = get_metric(matrix.metrics[j])
            gain = metric.points(metric.direction * matrix.scores[:, j], matrix.baselines[j]) / 100
            truth = dict(zip(matrix.models, gain.tolist(), strict=True))
            if not np.isfinite(matrix.scores[:, j]).any():
                continue
            same = (twins or {}).get(dataset, ())
            hidden = matrix.without_dataset(dataset)
            for twin in same:
                hidden = hidden.without_dataset(twin)
            clustering = None
            if {"paper", "hybrid"} & set(methods) and len(hidden.models) > 1:
                clustering = _clusters(hidden, threshold, raw, needed="paper" in methods)
            targets[dataset] = {}
            for method in methods:
                found = None
                if method != "hybrid" and (wanted := needs_proxy(method, hidden, clustering)):
                    kind = TASK_KINDS[matrix.task] if metric.kind == "any" else metric.kind
                    found = recorded_scores(method, wanted, dataset, kind, proxies or {})
                    if found is None:
                        continue
                runs = [
                    recall_models(
                        method,
                        target=dataset,
                        task=matrix.task,
                        matrix=hidden,
                        clustering=clustering if method in ("paper", "hybrid") else None,
                        proxies=found,
                        looks=looks_without(dataset, proxies or {}, twins=twins or {})
                        if method == "hybrid"
                        else None,
                        sizes=sizes,
                        top=None if method == "hybrid" else 1,
                        raw=raw,
                        seed=seed,
                    )
                    for seed in (seeds if method == "random" else (0,))
                ]
                rows = [recall_regret(run.ranking, truth, ks) for run in runs]
                targets[dataset][method] = {key: _mean([r[key] for r in rows]) for key in rows[0]}
                if method == "hybrid":
                    targets[dataset][method] |= _by_itself(runs[0], truth)
    summary = {
        method: _summarise([of[method] for of in targets.values() if method in of], ks)
        | {"note": _missing(method, sum(method not in of for of in targets.values()), len(targets))}
        for method in methods
    }
    return {"phase": "recall", "summary": summary, "targets": targets}


def _clusters(
    matrix: PerformanceMatrix, threshold: float | None, raw: bool, *, needed: bool
) -> Clustering | None:
    """The clusters without the target; None where they can't be made and nobody insists."""
    try:
        return cluster_models(matrix, threshold=threshold, raw=raw)
    except InputError:
        if needed:
            raise
        return None


def looks_without(
    dataset: str,
    proxies: Mapping[tuple[str, str], ProxyScores],
    *,
    twins: Mapping[str, Sequence[str]] | None = None,
    names: Sequence[str] | None = None,
) -> ProxyEvidence:
    """Recorded scores as the hybrid sees them with that dataset as its target.

    Of the proxies that it would look at by itself, or of `names`. `twins`: dataset -> others with
    the same content; those of the target are left out.
    """
    same = (twins or {}).get(dataset, ())
    proxies = {key: scores for key, scores in proxies.items() if key[1] not in same}
    if names is None:
        names = learnable(benchmarks_of(proxies, without=dataset))
    mine = {key: scores for key, scores in proxies.items() if key[0] in names}
    return ProxyEvidence(
        {name: scores for (name, where), scores in mine.items() if where == dataset},
        {key: scores for key, scores in mine.items() if key[1] != dataset},
        twins or {},
    )


def benchmarks_of(
    proxies: Mapping[tuple[str, str], ProxyScores], *, without: str = ""
) -> dict[str, int]:
    """Proxy -> number of benchmarks on which it gave any score, but one."""
    counts: dict[str, int] = {}
    for (name, dataset), scores in proxies.items():
        if dataset != without and np.isfinite(scores.values).any():
            counts[name] = counts.get(name, 0) + 1
    return counts


def _by_itself(run: RecallResult, truth: Mapping[str, float]) -> dict[str, Any]:
    """What the hybrid does when nobody says how many to recall."""
    count = len(run.candidates)
    regret = recall_regret(run.ranking, truth, (count,))[f"regret@{count}"]
    return {"recalled": count, "regret@recalled": regret, "novel": run.novel}


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


def _summarise(rows: list[dict[str, Any]], ks: Sequence[int]) -> dict[str, Any]:
    keys = [*(f"regret@{k}" for k in ks), "spearman"]
    summary: dict[str, Any] = {key: _mean([row[key] for row in rows]) for key in keys}
    for k in ks:
        found = np.array([row[f"regret@{k}"] for row in rows if np.isfinite(row[f"regret@{k}"])])
        summary[f"regret@{k}_max"] = float(found.max()) if found.size else NAN
        summary[f"regret@{k}_ci"] = _interval(found)
    for key in ("recalled", "regret@recalled"):
        summary[key] = _mean([row.get(key, NAN) for row in rows])
    summary["targets"] = len(rows)
    return summary


def _interval(values: Array) -> list[float]:
    """95 % bootstrap interval of a mean over targets (n,); NaN with fewer than two."""
    if len(values) < 2:
        return [NAN, NAN]
    draws = np.random.default_rng(0).integers(len(values), size=(BOOTSTRAP, len(values)))
    return [float(edge) for edge in np.percentile(values[draws].mean(axis=1), [2.5, 97.5])]
