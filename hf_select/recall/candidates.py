"""From a method's scores to the candidates, with the evidence for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hf_select.clustering.algorithms import no_skill_hint
from hf_select.errors import InputError
from hf_select.recall.methods import NAN, RECALL_METHODS, Evidence, check_method, needs_proxy
from hf_select.records import (
    Candidate,
    Clustering,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
    Rejected,
)


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
