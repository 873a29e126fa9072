"""The two phases: recall from the record, then fine selection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.catalog import (
    Catalog,
)
from hf_select.environment import is_main_process, library_versions
from hf_select.errors import (
    HfSelectError,
    InputError,
    RecordError,
    StoppedError,
    UnknownNameError,
)
from hf_select.locations import (
    find_catalog,
    locate,
)
from hf_select.metrics import get_metric
from hf_select.pipeline.base import (
    OnRung,
    Say,
    as_target,
    check_preset,
    check_task,
    columns_of,
    open_results,
    record_recipe,
    silent,
)
from hf_select.records import (
    TASK_KINDS,
    Clustering,
    ModelEntry,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
    Recipe,
    Rejected,
    Rung,
    SelectionResult,
)
from hf_select.report.document import selection_document
from hf_select.report.page import render
from hf_select.results.repo import ResultsRepo
from hf_select.selection.folder import SelectionFolder

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.live import LiveTrials


@dataclass(frozen=True, eq=False)
class Recalled:
    """Phase one with what phase two needs from it."""

    result: RecallResult
    clustering: Clustering | None
    matrix: PerformanceMatrix
    entries: Mapping[str, ModelEntry]
    proxy: ProxyScores | None


def recall(
    target: str | Path | TargetData,
    results: str | Path,
    *,
    top: int = 10,
    method: str = "paper",
    proxy: str | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    catalog: str | Path | None = None,
    exclude: Iterable[str] = (),
    seed: int = 0,
    max_rows: int = 2000,
    cache: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = silent,
    **data_options: Any,
) -> Recalled:
    """Phase one: the `top` models of the record that look best for the target.

    `method` is a row of `recall.RECALL_METHODS`; `proxy` one of `proxies.PROXIES`, chosen by
    what the representatives offer when it isn't named. Only train rows of the target are used.
    """
    from hf_select.clustering.algorithms import cluster_models
    from hf_select.recall import needs_proxy, recall_models

    raw = check_preset(preset)
    repo = open_results(results)
    target = as_target(target, data_options)
    check_recall(
        repo,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        threshold=threshold,
        seed=seed,
        exclude=exclude,
    )
    started = time.perf_counter()
    entries = {entry.repo_id: entry for entry in repo.models(target.task)}
    locations = find_catalog(catalog, results)
    matrix = repo.matrix(target.task)
    for column in columns_of(target, repo):
        matrix = matrix.without_dataset(column)
    if not matrix.datasets:
        raise RecordError(
            f"the only benchmark of {repo.path} is the target itself, which is left out",
            hint="benchmark at least one other data set",
        )
    unwanted = set(exclude)
    usable = [m for m in matrix.models if m in entries and m not in unwanted]
    unknown = [
        Rejected(m, "the record has runs of it, but no entry that says what it is")
        for m in matrix.models
        if m not in entries and m not in unwanted
    ]
    matrix = matrix.only_models(usable)
    clustering = None
    if len(usable) > 1 and len(matrix.datasets) > 0:
        try:
            clustering = cluster_models(matrix, threshold=threshold, raw=raw)
        except InputError:
            if method == "paper":  # the others only show clusters as evidence
                raise
    wanted = needs_proxy(method, matrix, clustering)
    scores: ProxyScores | None = None
    skipped: tuple[Rejected, ...] = ()
    if wanted:
        scores, skipped = compute_proxies(
            wanted,
            entries,
            locations,
            target,
            proxy=proxy or (method.split(":", 1)[1] if method.startswith("proxy:") else None),
            max_rows=max_rows,
            max_length=record_recipe(repo, target.task).max_length,
            seed=seed,
            cache=cache,
            should_stop=should_stop,
            say=say,
        )
    result = recall_models(
        method,
        target=target.name,
        task=target.task,
        matrix=matrix,
        clustering=clustering,
        proxies=scores,
        revisions={name: entry.revision for name, entry in entries.items()},
        sizes={name: entry.num_parameters for name, entry in entries.items()},
        top=top,
        raw=raw,
        seed=seed,
        seconds=0.0,
    )
    result = replace(
        result,
        skipped=(*result.skipped, *skipped, *unknown),
        seconds=time.perf_counter() - started,
    )
    return Recalled(result, clustering, matrix, entries, scores)


def check_recall(
    repo: ResultsRepo,
    task: str,
    *,
    method: str,
    proxy: str | None,
    top: int,
    threshold: float | None,
    seed: int,
    exclude: Iterable[str],
) -> None:
    """Refuse what phase one can't do, before anything is computed or written."""
    from hf_select.proxies import check_proxy
    from hf_select.recall import check_method

    check_task(repo, task)
    fixed = check_method(method)
    if top < 1:
        raise InputError(f"top is {top}, but must be at least 1")
    if threshold is not None and not threshold >= 0:
        raise InputError(f"threshold is {threshold}, but must be 0 or more")
    if seed < 0:
        raise InputError(f"seed is {seed}, but must be 0 or more")
    for name in filter(None, (proxy, fixed)):
        check_proxy(name, TASK_KINDS[task])
    models = {entry.repo_id for entry in repo.models(task)}
    for name in exclude:
        if name not in models:
            raise UnknownNameError("model", name, models)


def compute_proxies(
    names: Sequence[str],
    entries: Mapping[str, ModelEntry],
    catalog: Catalog,
    target: TargetData,
    *,
    proxy: str | None,
    max_rows: int,
    max_length: int,
    seed: int,
    cache: Path | None,
    should_stop: Callable[[], bool],
    say: Say,
) -> tuple[ProxyScores, tuple[Rejected, ...]]:
    """One forward pass per named model, then its proxy score. A model that fails is reported."""
    import torch

    from hf_select.features import extract_features
    from hf_select.proxies import score_features
    from hf_select.recall import proxy_choice
    from hf_select.tasks import get_task

    task = get_task(target.task)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    features, skipped = {}, []
    for number, name in enumerate(names, 1):
        say(f"proxy pass {number}/{len(names)}: {name}")
        if should_stop():
            raise StoppedError(
                f"stopped before the proxy pass of {name}", hint="the same command goes on"
            )
        try:
            location, revision = locate(entries[name], catalog)
            features[name] = extract_features(
                task,
                location,
                target,
                revision=revision,
                max_rows=max_rows,
                max_length=max_length,
                seed=seed,
                device=device,
                cache=cache,
                key=entries[name].revision,
            )
        except HfSelectError as error:
            skipped.append(Rejected(name, error.message))
    if not features:
        raise RecordError(
            f"none of {len(names)} representatives could be loaded; the first: {skipped[0].reason}",
            hint="name a catalog with --catalog that says where the models are",
        )
    heads = {name: found.source_probs is not None for name, found in features.items()}
    chosen = proxy or proxy_choice(heads, task.kind)
    values = np.full(len(names), np.nan)
    reasons = {bad.repo_id: bad.reason for bad in skipped}
    for i, name in enumerate(names):
        if name in features:
            values[i] = score_features(chosen, features[name], task.kind)
            if np.isnan(values[i]):
                reasons[name] = f"{chosen} is undefined for it"
    seconds = float(sum(found.seconds for found in features.values()))
    return ProxyScores(chosen, tuple(names), values, reasons, seconds), tuple(skipped)


@dataclass(frozen=True, eq=False)
class Selected:
    """Both phases: the document that is `selection.json`, and the folder that it lies in."""

    document: dict[str, Any]
    out: Path


def select(
    target: str | Path | TargetData,
    results: str | Path,
    out: str | Path,
    *,
    top: int = 10,
    policy: str = "paper",
    method: str = "paper",
    proxy: str | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    recipe: Recipe | None = None,
    catalog: str | Path | None = None,
    exclude: Iterable[str] = (),
    seed: int = 0,
    checkpoint_every: float = 30.0,
    should_stop: Callable[[], bool] = lambda: False,
    on_rung: OnRung | None = None,
    say: Say = silent,
    **data_options: Any,
) -> Selected:
    """Both phases: recall from the record, fine-tune a little at a time, hand over the winner.

    Leaves in `out`: the fine-tuned winner (`from_pretrained` loads it), `selection.json` and
    `report.html`. Everything is checked before anything is written; a run that was cut off goes
    on with the same call. Raises `InputError` on bad input, `StoppedError` when stopped.
    """
    from hf_select.selection.policies import get_policy

    raw = check_preset(preset)
    chosen_policy = get_policy(policy)
    repo = open_results(results)
    target = as_target(target, data_options)
    check_recall(
        repo,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        threshold=threshold,
        seed=seed,
        exclude=exclude,
    )
    recipe = recipe or record_recipe(repo, target.task)
    locations = find_catalog(catalog, results)
    started = time.perf_counter()
    folder = SelectionFolder(
        out,
        {
            "target": target.fingerprint,
            "task": target.task,
            "metric": target.metric,
            "policy": policy,
            "method": method,
            "proxy": proxy,
            "preset": preset,
            "threshold": threshold,
            "top": top,
            "recipe": recipe.digest(),
            "seed": seed,
            "exclude": sorted(exclude),
            "record": sorted(repo.recipes(target.task).items()),
        },
    )
    done = folder.finished()
    if done is not None:
        say(f"{folder.path} holds this very selection already: nothing was trained")
        return Selected(done, folder.path)
    folder.start()
    recalled = recall(
        target,
        results,
        top=top,
        method=method,
        proxy=proxy,
        preset=preset,
        threshold=threshold,
        catalog=catalog,
        exclude=exclude,
        seed=seed,
        cache=folder.state / "features",
        should_stop=should_stop,
        say=say,
    )
    from hf_select.training.live import LiveTrials  # torch, once all that is bad is refused

    trials = LiveTrials(
        target,
        recipe,
        folder.state / "trials",
        lambda model: locate(recalled.entries[model], locations),
        seed=seed,
        checkpoint_every=checkpoint_every,
        should_stop=should_stop,
    )
    result = _fine_select(
        recalled,
        repo,
        target,
        trials,
        chosen_policy,
        policy,
        folder.state / "journal.jsonl",
        raw=raw,
        on_rung=on_rung,
        should_stop=should_stop,
    )
    winner = trials.opened[result.winner]
    document = selection_document(
        target=target.name,
        task=target.task,
        metric=target.metric,
        result=replace(result, checkpoint=str(folder.path)),
        recall=recalled.result,
        clustering=recalled.clustering,
        matrix=recalled.matrix,
        recipe=recipe,
        data_notes=target.notes,
        split_rows={name: len(getattr(target, name)) for name in ("train", "validation", "test")},
        trivial={name: target.trivial(name) for name in ("validation", "test")},
        num_models=len(recalled.matrix.models),
        num_processes=winner.trial.num_processes,
        seconds=time.perf_counter() - started,
        versions=library_versions(),
        revisions={name: entry.revision for name, entry in recalled.entries.items()},
        fingerprint=target.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if is_main_process():
        document = folder.finish(document, winner.trial.save_pretrained, render(document))
    else:
        winner.trial.save_pretrained(folder.path)  # a step that all processes take together
    winner.trial.close()
    return Selected(document, folder.path)


def _fine_select(
    recalled: Recalled,
    repo: ResultsRepo,
    target: TargetData,
    trials: LiveTrials,
    policy: Any,
    policy_name: str,
    journal: Path,
    *,
    raw: bool,
    on_rung: OnRung | None,
    should_stop: Callable[[], bool],
) -> SelectionResult:
    """Phase two over live trials; the proxy passes are added to the bill."""
    from hf_select.selection.run import run_selection

    curves = repo.curves(target.task)
    for column in columns_of(target, repo):
        curves = curves.without_dataset(column)

    def noted(rung: Rung) -> None:
        for drop in rung.dropped:
            trials.forget(drop.model)
        if on_rung is not None and is_main_process():
            on_rung(rung, target.metric)

    result = run_selection(
        trials.factories([c.model for c in recalled.result.candidates]),
        policy,
        horizon=float(trials.recipe.epochs),
        metric=get_metric(target.metric),
        val_trivial=target.trivial("validation"),
        record=curves,
        raw=raw,
        policy_name=policy_name,
        journal=journal,
        write_journal=is_main_process(),
        on_rung=noted,
        should_stop=should_stop,
    )
    # A forward pass is counted in epochs of the training that the same seconds would have bought.
    seconds = recalled.proxy.seconds if recalled.proxy else 0.0
    epochs = seconds * result.epochs / result.seconds if result.seconds > 0 else 0.0
    return replace(result, proxy_epochs=epochs)
