"""Comparing policies and recall methods on the record, without training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.errors import (
    HfSelectError,
    InputError,
    RecordError,
    UnknownNameError,
)
from hf_select.pipeline.base import (
    Record,
    Say,
    check_preset,
    check_task,
    open_results,
    record_facts,
    recorded_proxies,
    silent,
    tell_left_out,
    tell_reading,
    twin_columns,
    with_rows,
)
from hf_select.records import (
    TASK_KINDS,
    CurveSet,
)
from hf_select.results.matrix import dataset_name
from hf_select.selection.replay import Opening

if TYPE_CHECKING:
    from hf_select.pipeline.recalling import RecallSettings
    from hf_select.selection.policies import NamedPolicy


def replay(
    results: str | Path,
    task: str,
    *,
    phase: str = "selection",
    policies: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    candidates: str = "all",
    cost: str = "epochs",
    top: Sequence[int] = (1, 3, 5, 10),
    preset: str | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Compare policies or recall methods on the record, leaving each dataset out in turn.

    `methods` and `top`, the numbers of recalled models, are those of `phase="recall"`; `policies`,
    `candidates` and `cost` those of `phase="selection"`.
    """
    raw = check_preset(preset)
    if phase not in ("recall", "selection"):
        raise UnknownNameError("phase", phase, ("recall", "selection"))
    if cost not in ("epochs", "seconds"):
        raise UnknownNameError("cost", cost, ("epochs", "seconds"))
    repo = open_results(results)
    check_task(repo, task)
    tell_left_out(repo, repo.matrix(task), say)
    if phase == "recall":
        document = _replay_recall(repo, task, methods, top, raw)
    else:
        document = _replay_selection(repo, task, policies, candidates, cost, raw)
    tell_reading(repo, say)
    return {**document, "record": asdict(record_facts(repo))}


def _replay_recall(
    repo: Record, task: str, methods: Sequence[str] | None, top: Sequence[int], raw: bool
) -> dict[str, Any]:
    from hf_select.recall import check_method, replay_recall

    proxies = recorded_proxies(repo, task)
    recorded = {name for (name, _), found in proxies.items() if np.isfinite(found.values).any()}
    sizes = repo.sizes(task)
    if methods is None:
        methods = ["random", "mean", "rank"]
        methods += ["size"] if any(sizes.values()) else []
        methods += [f"proxy:{name}" for name in sorted(recorded)]
        methods += ["paper"] if {"leep", "logme"} & recorded else []
        methods += ["hybrid"]
    for name in methods:
        check_method(name)
    return replay_recall(
        repo.matrix(task),
        methods,
        proxies=proxies,
        raw=raw,
        sizes=sizes,
        twins=twin_columns(repo, task),
        ks=top,
    )


def _replay_selection(
    repo: Record,
    task: str,
    policies: Sequence[str] | None,
    candidates: str,
    cost: str,
    raw: bool,
) -> dict[str, Any]:
    from hf_select.selection.policies import POLICIES, get_policy
    from hf_select.selection.replay import replay_selection

    chosen = {name: get_policy(name) for name in policies or POLICIES}
    openings = None
    if candidates != "all":
        openings = _recaller(repo, task, *_candidates(candidates), raw)
    elif any(policy.forecasts for policy in chosen.values()):
        openings = _all_models(repo, task, raw)
    return replay_selection(
        with_rows(repo.curves(task), repo, task),
        chosen,
        openings=openings,
        twins=twin_columns(repo, task),
        cost=cost,
        raw=raw,
        task=task,
    )


BRIEFLY = ("brute-force", "constant-epoch:1", "halving", "fractional-halving", "paper")
"""What a selection's own policy is shown beside."""


def replay_briefly(
    repo: Record, task: str, policy: NamedPolicy, settings: RecallSettings, *, most: int
) -> dict[str, Any]:
    """A selection with these settings, and others beside it, on up to `most` benchmarks as targets.

    The summary of a replay over the first seed of each; {} where the record can't be replayed.
    """
    from hf_select.selection.policies import get_policy
    from hf_select.selection.replay import replay_selection

    curves = with_rows(repo.curves(task), repo, task)
    chosen = {policy.name: policy, **{name: get_policy(name) for name in BRIEFLY}}
    try:
        document = replay_selection(
            curves,
            chosen,
            openings=_recaller(repo, task, settings.top, settings.method, settings.raw),
            twins=twin_columns(repo, task),
            raw=settings.raw,
            only=curves.datasets[:: -(-len(curves.datasets) // most)],
            one_seed=True,
        )
    except (HfSelectError, ValueError):  # it only informs
        return {}
    return document


def _candidates(words: str) -> tuple[int | None, str]:
    """`recall[:K][:METHOD]` as the number to recall (None: as many as it takes) and the method."""
    word, *rest = words.split(":", 1)
    count, _, method = rest[0].partition(":") if rest else ("", "", "")
    if rest and not count.isdigit():
        count, method = "", rest[0]
    if word != "recall" or (count and int(count) < 1) or (rest and not rest[0]):
        raise InputError(
            f"candidates is {words!r}, but must be `all`, `recall`, `recall:K`, `recall:METHOD` or "
            "`recall:K:METHOD`"
        )
    return int(count) if count else None, method or "hybrid"


def _all_models(repo: Record, task: str, raw: bool) -> Callable[[str], Opening]:
    """All models as candidates; a policy that forecasts looks at them first, and pays for that."""
    recall = _recaller(repo, task, None, "hybrid", raw)
    return lambda dataset: replace(recall(dataset), models=None, for_forecasts=True)


def _recaller(
    repo: Record, task: str, top: int | None, method: str, raw: bool
) -> Callable[[str], Opening]:
    """For a benchmark as target: the recall by a method without it, and what the proxies cost.

    The cost is in epochs: recorded seconds of the proxy passes over those of a training epoch.
    """
    from hf_select.clustering.algorithms import cluster_models
    from hf_select.recall import (
        check_method,
        expected_by_record,
        looks_without,
        needs_proxy,
        recall_models,
        recorded_scores,
    )

    check_method(method)
    matrix, curves = repo.matrix(task), repo.curves(task)
    proxies = recorded_proxies(repo, task)
    spent_on, sizes, twins = _spent(repo, task), repo.sizes(task), twin_columns(repo, task)

    def choose(dataset: str) -> Opening:
        same = twins.get(dataset, ())
        hidden = matrix.without_dataset(dataset)
        for twin in same:
            hidden = hidden.without_dataset(twin)
        clustering = cluster_models(hidden, raw=raw)
        wanted = needs_proxy(method, hidden, clustering)
        looks, scores = None, None
        used: set[str] = set()
        if method == "hybrid":
            looks = looks_without(dataset, proxies, twins=twins)
            used = set(looks.target)
        elif wanted:
            scores = recorded_scores(method, wanted, dataset, TASK_KINDS[task], proxies)
            if scores is None:
                raise RecordError(
                    f"{repo.name} holds no proxy scores for {method} on {dataset}",
                    hint="recall can't be replayed without them; use --candidates all",
                )
            used = {scores.proxy}
        seconds = sum(spent_on(model, dataset, used) for model in wanted)
        epoch = _epoch_seconds(curves, dataset)
        found = recall_models(
            method,
            target=dataset,
            task=task,
            matrix=hidden,
            clustering=clustering,
            proxies=scores,
            looks=looks,
            sizes=sizes,
            top=top,
            raw=raw,
        )
        expected = found.expected or expected_by_record(hidden, raw=raw)
        cost = seconds / epoch if epoch else 0.0
        return Opening(tuple(c.model for c in found.candidates), cost, expected)

    return choose


def _epoch_seconds(curves: CurveSet, dataset: str) -> float:
    """Mean seconds of a recorded epoch on a dataset, 0 where none was timed."""
    spent = curves.seconds[:, curves.datasets.index(dataset)]
    with np.errstate(invalid="ignore"):
        pace = spent / curves.epochs
    last = [row[np.isfinite(row)][-1:] for row in pace.reshape(-1, len(curves.epochs))]
    known = np.concatenate(last) if last else np.empty(0)
    return float(known.mean()) if known.size else 0.0


def _spent(repo: Record, task: str) -> Callable[[str, str, Collection[str]], float]:
    """Seconds that some proxies of a model on a dataset took: one pass, and each one's own time."""
    passes: dict[tuple[str, str], float] = {}
    scoring: dict[tuple[str, str], dict[str, float]] = {}
    for row in repo.proxies(task):
        key = (row.model, dataset_name(row.dataset, row.config))
        passes[key] = max(passes.get(key, 0.0), np.nan_to_num(row.seconds))
        scoring.setdefault(key, {})[row.proxy] = row.scoring_seconds

    def spent(model: str, dataset: str, proxies: Collection[str]) -> float:
        key = (model, dataset)
        own = sum(t for name, t in scoring.get(key, {}).items() if name in proxies)
        return (passes.get(key, 0.0) + own) if proxies else 0.0

    return spent
