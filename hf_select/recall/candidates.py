"""From a method's scores to the candidates, with the evidence for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.clustering.scores import no_skill_hint, performance
from hf_select.errors import InputError
from hf_select.recall.hybrid import OWN, PRIOR, Outlook
from hf_select.recall.hybrid import outlook as hybrid_outlook
from hf_select.recall.methods import (
    NAN,
    RECALL_METHODS,
    ColdStart,
    Evidence,
    Scored,
    check_method,
    needs_proxy,
)
from hf_select.recall.sets import enough
from hf_select.records import (
    Candidate,
    Clustering,
    Expectation,
    Novelty,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
    Rejected,
)

Array = NDArray[np.float64]


MOST, MOST_NOVEL = 10, 15
"""Candidates at most where their number isn't given, and where the target is novel."""
DELTA = 0.05
"""Chance that the best model is outside at which no more candidates are taken."""
NEAREST_SHOWN, MATES_SHOWN = 5, 5


@dataclass(frozen=True, eq=False)
class ProxyEvidence:
    """Scores of several proxies: `target`, proxy -> scores on the target, of models that were
    looked at; `recorded`, (proxy, benchmark) -> scores on that benchmark. `twins`: benchmark -> the
    others with the same content, which must not vouch for each other."""

    target: Mapping[str, ProxyScores] = field(default_factory=dict)
    recorded: Mapping[tuple[str, str], ProxyScores] = field(default_factory=dict)
    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)


def recall_models(
    method: str,
    *,
    target: str,
    task: str,
    matrix: PerformanceMatrix,
    clustering: Clustering | None = None,
    proxies: ProxyScores | None = None,
    looks: ProxyEvidence | None = None,
    cold: ColdStart | None = None,
    revisions: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    top: int | None = None,
    raw: bool = False,
    seed: int = 0,
    seconds: float = 0.0,
    out: Collection[str] = (),
) -> RecallResult:
    """The `top` models for a target by one method, with the evidence for each, best first.

    `matrix` must not hold the target. `raw=True` (the paper's preset) ranks by raw scores instead
    of skill. `proxies` are the scores of the models that `needs_proxy` named, by one proxy;
    `hybrid` takes `looks` instead, of as many models as there are, and `cold`. `revisions` and
    `sizes` (parameters) are by model. Without a `top` it is 10; `hybrid` then takes no more than
    are needed for the best model to be among them with 95 %, at most 10, or 15 for a novel target.
    A candidate's `prior` is its mean benchmark skill. `predicted` and `spread` are the forecast of
    `hybrid`; elsewhere the prior and its standard deviation over benchmarks, not calibrated to the
    target. Models that the method has no score for are in `skipped`. `out`: models of the matrix
    that teach the hybrid what evidence is worth, but are no candidates. Ties go by name.

    Raises `UnknownNameError` for an unknown method, `InputError` for a `top` below 1, no models,
    proxy scores of another proxy than the method names, or not one model that can be ranked.
    """
    wanted = check_method(method)
    if top is not None and top < 1:
        raise InputError(f"value of `top` is {top}, but must be at least 1")
    if not set(matrix.models) - set(out):
        raise InputError("there is no model to recall", hint="the record has none for this task")
    if proxies is None and method != "hybrid" and needs_proxy(method, matrix, clustering):
        raise InputError(f"recall method {method!r} needs proxy scores, got none")
    if wanted and proxies is not None and proxies.proxy != wanted:
        raise InputError(f"recall method {method!r} needs {wanted} scores, got {proxies.proxy}")
    if clustering is not None and method == "paper":
        missing = sorted(set(matrix.models) - set(clustering.models))
        if missing:
            raise InputError(f"model {missing[0]!r} is in no cluster: cluster the same matrix")
    if method == "hybrid" and not np.isfinite(performance(matrix, raw=raw)).any():
        raise InputError(
            f"recall method {method!r} could rank none of {len(matrix.models)} models: "
            + _why_not(matrix, 0, None),
            hint=no_skill_hint(matrix),
        )
    looks = looks or ProxyEvidence()
    given = dict(zip(proxies.models, proxies.values, strict=True)) if proxies else {}
    evidence = Evidence(
        matrix=matrix,
        clustering=clustering,
        proxy=proxies.proxy if proxies else "",
        own=_by_model(proxies, matrix.models),
        sizes=np.array([(sizes or {}).get(name) or 0 for name in matrix.models], dtype=np.int64),
        raw=raw,
        seed=seed,
        looks={name: _by_model(scores, matrix.models) for name, scores in looks.target.items()},
        recorded=recorded_arrays(looks.recorded, matrix),
        twins=looks.twins,
        cold=cold,
        out=frozenset(out),
    )
    scored = RECALL_METHODS["proxy:NAME" if wanted else method](evidence)
    order = _order(scored, matrix.models)
    if not order:
        raise InputError(
            f"recall method {method!r} could rank none of {len(matrix.models)} models: "
            + _why_not(matrix, 0, proxies if wanted else None),
            hint="" if wanted else no_skill_hint(matrix),
        )
    count, outside = _how_many(scored, top, order)
    labels = (
        dict(zip(clustering.models, clustering.labels.tolist(), strict=True)) if clustering else {}
    )
    mates = _members(clustering, [labels.get(matrix.models[i], -1) for i in order[:count]])
    candidates = []
    for i, row in zip(order[:count], _rows(matrix, order[:count]).skill, strict=True):
        name, have = matrix.models[i], row[np.isfinite(row)]
        cluster = labels.get(name, -1)
        prior = float(have.mean()) if have.size else NAN
        shown = {evidence.proxy: float(given[name])} if name in given else {}
        shown |= {p: float(v[i]) for p, v in evidence.looks.items() if np.isfinite(v[i])}
        candidate = Candidate(
            model=name,
            revision=(revisions or {}).get(name, ""),
            predicted=prior,
            spread=float(have.std(ddof=1)) if have.size > 1 else NAN,
            prior=prior,
            proxies=shown,
            cluster=cluster,
            reason=scored.sentence(i) + _gaps(matrix, i),
            score=float(scored.scores[i]),
            mates=tuple(mate for mate in mates.get(cluster, ()) if mate != name)[:MATES_SHOWN],
        )
        candidates.append(_forecast(candidate, scored, i))
    return RecallResult(
        target=target,
        task=task,
        method=method,
        candidates=tuple(candidates),
        ranking=tuple(matrix.models[i] for i in order),
        novelty=_novelty(scored.outlook, top, count),
        nearest_benchmarks=_nearest(scored.outlook, matrix.datasets),
        skipped=tuple(
            Rejected(matrix.models[i], _why_not(matrix, i, proxies if wanted else None))
            for i in np.flatnonzero(~np.isfinite(scored.scores)).tolist()
            if matrix.models[i] not in evidence.out
        ),
        seconds=seconds,
        outside=outside,
        p_best=_chances(scored, matrix.models),
        weights=scored.outlook.weights if scored.outlook else {},
        looked=_looked(proxies, looks),
        expected=_expected(scored.outlook, matrix),
    )


def _expected(found: Outlook | None, matrix: PerformanceMatrix) -> Expectation | None:
    if found is None:
        return None
    return Expectation(
        matrix.models,
        found.relative,
        found.deviation,
        matrix.datasets,
        found.benchmarks,
        found.level,
        found.level_deviation,
    )


def expected_by_record(matrix: PerformanceMatrix, *, raw: bool = False) -> Expectation | None:
    """What the benchmarks alone say of the models of `matrix`; None where they say nothing.

    The hybrid's expectation without any look at the target, for methods that don't forecast.
    """
    skill = performance(matrix, raw=raw)
    if not np.isfinite(skill).any():
        return None
    return _expected(hybrid_outlook(skill, {}, {}), matrix)


def _by_model(scores: ProxyScores | None, models: Sequence[str]) -> Array:
    """The scores of the models (M,), NaN where there is none."""
    given = dict(zip(scores.models, scores.values, strict=True)) if scores else {}
    return np.array([given.get(name, NAN) for name in models], dtype=np.float64)


def recorded_arrays(
    recorded: Mapping[tuple[str, str], ProxyScores], matrix: PerformanceMatrix
) -> dict[str, Array]:
    """Proxy -> its recorded scores as an array over the matrix (M, D), NaN = not recorded."""
    arrays: dict[str, Array] = {}
    column = {name: j for j, name in enumerate(matrix.datasets)}
    row = {name: i for i, name in enumerate(matrix.models)}
    for (proxy, dataset), scores in recorded.items():
        if dataset in column:
            found = arrays.setdefault(proxy, np.full(matrix.scores.shape, NAN))
            known = [
                (row[m], v) for m, v in zip(scores.models, scores.values, strict=True) if m in row
            ]
            found[[i for i, _ in known], column[dataset]] = [v for _, v in known]
    return arrays


def _order(scored: Scored, models: Sequence[str]) -> list[int]:
    """Rows of the models that can be ranked: the set as it was taken, then by score."""
    by_name = np.array(sorted(range(len(models)), key=models.__getitem__))
    ranked = by_name[np.isfinite(scored.scores[by_name])]
    order = ranked[np.argsort(-scored.scores[ranked], kind="stable")].tolist()
    if scored.taken is None:
        return order
    first = list(scored.taken.order)
    chosen = set(first)
    return first + [i for i in order if i not in chosen]


def _how_many(scored: Scored, top: int | None, order: Sequence[int]) -> tuple[int, float]:
    """How many candidates to take, and the chance that the best model isn't among them."""
    if scored.taken is None or scored.outlook is None:
        return (MOST if top is None else top), NAN
    novel = scored.outlook.novelty is not None and scored.outlook.novelty.novel
    outside = scored.taken.outside
    most = MOST_NOVEL if novel else MOST
    if top is not None and top > len(outside):  # beyond the set
        return top, max(0.0, 1 - float(scored.taken.p_best[order[:top]].sum()))
    count = top or min(most, enough(outside, DELTA))
    return count, float(outside[count - 1])


def _forecast(candidate: Candidate, scored: Scored, i: int) -> Candidate:
    """The candidate with what the method expects of it, where it forecasts."""
    found, taken = scored.outlook, scored.taken
    if found is None or taken is None:
        return candidate
    return replace(
        candidate,
        predicted=float(found.predicted[i]),
        spread=float(found.spread[i]),
        deviation=float(found.deviation[i]),
        p_best=float(taken.p_best[i]),
        evidence={what: float(values[i]) for what, values in found.parts.items()},
    )


def _chances(scored: Scored, models: Sequence[str]) -> dict[str, float]:
    """Model -> the chance that it is the best, of those with any; none if nothing is forecast."""
    if scored.taken is None:
        return {}
    chances = scored.taken.p_best
    return {models[i]: float(chances[i]) for i in np.flatnonzero(chances).tolist()}


def _novelty(found: Outlook | None, top: int | None, count: int) -> Novelty | None:
    """The outlook's verdict, with a sentence on what it changed."""
    novelty = found.novelty if found else None
    if found is None or novelty is None or not novelty.novel:
        return novelty
    weights = found.weights.get(OWN, {})
    changed = (
        f"the weight of the prior fell to {weights.get(PRIOR, 0):.2f} (half of what it is for a "
        "target like the benchmarks), the spreads grew"
    )
    if top is None:
        changed += (
            f", and up to {MOST_NOVEL} candidates instead of {MOST} may be taken ({count} are)"
        )
    return replace(novelty, changed=changed)


def _nearest(found: Outlook | None, datasets: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """The benchmarks on which models look most as they do on the target, with their likeness."""
    if found is None:
        return ()
    known = [j for j in range(len(datasets)) if np.isfinite(found.alike[j])]
    known.sort(key=lambda j: (-found.alike[j], datasets[j]))
    return tuple((datasets[j], float(found.alike[j])) for j in known[:NEAREST_SHOWN])


def _members(clustering: Clustering | None, wanted: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Cluster -> its models, of the wanted ones."""
    if clustering is None:
        return {}
    return {
        cluster: tuple(clustering.models[i] for i in clustering.members(cluster))
        for cluster in set(wanted)
        if cluster >= 0
    }


def _looked(proxies: ProxyScores | None, looks: ProxyEvidence) -> int:
    """How many models have a score on the target."""
    every = [*looks.target.values(), *([proxies] if proxies else [])]
    known = (zip(scores.models, scores.values, strict=True) for scores in every)
    return len({name for pairs in known for name, value in pairs if np.isfinite(value)})


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
