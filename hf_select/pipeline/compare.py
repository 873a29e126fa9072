"""Comparing policies and recall methods on the record, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hf_select.errors import (
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
    silent,
    tell_reading,
)
from hf_select.records import (
    TASK_KINDS,
    ProxyScores,
)
from hf_select.results.matrix import dataset_name


def replay(
    results: str | Path,
    task: str,
    *,
    phase: str = "selection",
    policies: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    candidates: str = "all",
    cost: str = "epochs",
    preset: str | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Compare policies or recall methods on the record, leaving each dataset out in turn."""
    raw = check_preset(preset)
    if phase not in ("recall", "selection"):
        raise UnknownNameError("phase", phase, ("recall", "selection"))
    if cost not in ("epochs", "seconds"):
        raise UnknownNameError("cost", cost, ("epochs", "seconds"))
    repo = open_results(results)
    check_task(repo, task)
    if phase == "recall":
        document = _replay_recall(repo, task, methods, raw)
    else:
        document = _replay_selection(repo, task, policies, candidates, cost, raw)
    tell_reading(repo, say)
    return {**document, "record": asdict(record_facts(repo))}


def _recorded_proxies(repo: Record, task: str) -> dict[tuple[str, str], ProxyScores]:
    """(proxy, dataset) -> the proxy scores that the record holds."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in repo.proxies(task):
        column = dataset_name(row.dataset, row.config)
        rows.setdefault((row.proxy, column), {})[row.model] = row
    return {
        (proxy, dataset): ProxyScores(
            proxy,
            tuple(found),
            np.array([row.value for row in found.values()]),
            {},
            float(np.nansum([row.seconds for row in found.values()])),
        )
        for (proxy, dataset), found in rows.items()
    }


def _replay_recall(
    repo: Record, task: str, methods: Sequence[str] | None, raw: bool
) -> dict[str, Any]:
    from hf_select.recall import check_method, replay_recall

    proxies = _recorded_proxies(repo, task)
    recorded = {name for (name, _), found in proxies.items() if np.isfinite(found.values).any()}
    if methods is None:
        methods = [
            name
            for name in ("random", "mean", "rank", "size", "paper")
            if name != "paper" or recorded
        ] + [f"proxy:{name}" for name in sorted(recorded)]
    for name in methods:
        check_method(name)
    return replay_recall(
        repo.matrix(task),
        methods,
        proxies=proxies,
        raw=raw,
        sizes=repo.sizes(task),
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
    choose = None
    if candidates != "all":
        word, _, rest = candidates.partition(":")
        count, _, method = rest.partition(":")
        if word != "recall" or not count.isdigit() or int(count) < 1:
            raise InputError(
                f"candidates is {candidates!r}, but must be `all`, `recall:K` or `recall:K:METHOD`"
            )
        choose = _recaller(repo, task, int(count), raw, method or "paper")
    return replay_selection(
        repo.curves(task), chosen, candidates=choose, cost=cost, raw=raw, task=task
    )


def _recaller(
    repo: Record, task: str, top: int, raw: bool, method: str
) -> Callable[[str], tuple[tuple[str, ...], float]]:
    """For a benchmark as target: the recall by a method without it, and what the proxies cost.

    The cost is in epochs: recorded seconds of the proxy passes over those of a training epoch.
    """
    from hf_select.clustering.algorithms import cluster_models
    from hf_select.recall import check_method, needs_proxy, recall_models, recorded_scores

    check_method(method)
    matrix, curves = repo.matrix(task), repo.curves(task)
    proxies = _recorded_proxies(repo, task)
    spent_on = {
        (row.proxy, dataset_name(row.dataset, row.config), row.model): row.seconds
        for row in repo.proxies(task)
    }

    def choose(dataset: str) -> tuple[tuple[str, ...], float]:
        hidden = matrix.without_dataset(dataset)
        clustering = cluster_models(hidden, raw=raw)
        wanted = needs_proxy(method, hidden, clustering)
        scores = recorded_scores(method, wanted, dataset, TASK_KINDS[task], proxies)
        if wanted and scores is None:
            raise RecordError(
                f"{repo.name} holds no proxy scores for {method} on {dataset}",
                hint="recall can't be replayed without them; use --candidates all",
            )
        name = scores.proxy if scores else ""
        seconds = [spent_on.get((name, dataset, model), np.nan) for model in wanted]
        spent = curves.seconds[:, curves.datasets.index(dataset)]
        epoch = float(np.nanmean(spent[..., -1])) / float(curves.epochs[-1])
        found = recall_models(
            method,
            target=dataset,
            task=task,
            matrix=hidden,
            clustering=clustering,
            proxies=scores,
            top=top,
            raw=raw,
        )
        return tuple(c.model for c in found.candidates), float(np.nansum(seconds)) / epoch

    return choose
