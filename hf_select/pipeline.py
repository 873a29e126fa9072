"""The only file that joins the rooms: one function a stage, for the CLI and for Python alike."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.catalog import (
    Catalog,
    verify_models,
)
from hf_select.environment import is_main_process, library_versions
from hf_select.errors import (
    DataError,
    HfSelectError,
    InputError,
    RecordError,
    StoppedError,
    UnknownNameError,
)
from hf_select.locations import (
    demo_folder,
    find_catalog,
    folders_as_catalog,
    keep_catalog,
    locate,
)
from hf_select.metrics import get_metric
from hf_select.records import (
    TASK_KINDS,
    Clustering,
    ModelEntry,
    PerformanceMatrix,
    ProxyRow,
    ProxyScores,
    RecallResult,
    Recipe,
    Rejected,
    Rung,
    RunRecord,
    SelectionResult,
    check_task_name,
)
from hf_select.report.document import selection_document
from hf_select.report.page import render, write_report
from hf_select.results.matrix import dataset_name
from hf_select.results.repo import ResultsRepo
from hf_select.selection.folder import DOCUMENT, SelectionFolder

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.benchmark import BenchmarkEvent, BenchmarkSummary
    from hf_select.training.live import LiveTrials

PRESETS = ("paper",)
Say = Callable[[str], None]
OnRung = Callable[[Rung, str], None]
"""What is told of every decision, with the name of the metric of its scores."""


def silent(_: str) -> None:
    """The listener of somebody who wants no messages."""


# ------------------------------------------------------------------------------ the record


def open_results(results: str | Path) -> ResultsRepo:
    """The results repository of that folder, or the shipped one for the word `demo`."""
    path = demo_folder() / "results" if str(results) == "demo" else Path(results)
    if not path.exists():
        raise RecordError(
            f"no results repository at {path}",
            hint="make one with `hf-select benchmark` or `hf-select import`, or use `demo`",
        )
    return ResultsRepo.open(path)


def check_own_results(results: str | Path) -> None:
    """Refuse to write to the shipped record, which `demo` stands for wherever it is read."""
    if str(results) == "demo":
        raise InputError(
            "the record `demo` ships with the package and can't be written to",
            hint="name a folder with --results",
        )


def check_preset(preset: str | None) -> bool:
    """True for the paper's preset; an unknown name is an error."""
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    return preset == "paper"


def check_task(repo: ResultsRepo, task: str) -> None:
    """Refuse a task that the record has no runs of."""
    check_task_name(task)
    have = repo.tasks()
    if task not in have:
        raise RecordError(
            f"{repo.path} holds no {task} runs", hint=f"it holds: {', '.join(have) or 'nothing'}"
        )


def benchmark(
    results: str | Path,
    catalog: str | Path | None = None,
    *,
    recipe: Recipe | None = None,
    task: str | None = None,
    models: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    seeds: Sequence[int] = (0,),
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    checkpoint_every: float = 60.0,
    on_plan: Callable[[int], None] | None = None,
    on_event: Callable[[BenchmarkEvent], None] | None = None,
) -> BenchmarkSummary:
    """Fine-tune every model of a catalog on every dataset of its task that the record lacks.

    Resumable: what is done is skipped, a cell that was cut off goes on from its checkpoint.
    `models` and `datasets` pick by name from the catalog; without one they are folders and files.
    `on_plan` is told how many cells there are to run, `on_event` what happens to each.
    """
    from hf_select.training.benchmark import check_arguments, missing_cells, run_benchmark

    check_own_results(results)
    check_arguments(
        seeds=seeds, jobs=jobs, timeout=timeout, shard=shard, checkpoint_every=checkpoint_every
    )
    if task is not None:
        check_task_name(task)
    if catalog is None:
        chosen = folders_as_catalog(models or (), datasets or (), task)
    else:
        chosen = find_catalog(catalog, "").only(task=task, models=models, datasets=datasets)
    if not chosen.models or not chosen.datasets:
        raise InputError(
            f"nothing to run: {len(chosen.models)} models, {len(chosen.datasets)} datasets chosen",
            hint="look at the catalog's tasks, and at --task, --models and --datasets",
        )
    verify_models(chosen)
    recipe = recipe or Recipe()
    repo = ResultsRepo.open_or_create(results)
    keep_catalog(chosen, results)
    if on_plan is not None:
        cells = missing_cells(chosen, repo, recipe, seeds, retry_failed=retry_failed, shard=shard)
        on_plan(len(cells))
    return run_benchmark(
        chosen,
        repo,
        recipe,
        seeds=seeds,
        jobs=jobs,
        timeout=timeout,
        shard=shard,
        retry_failed=retry_failed,
        checkpoint_every=checkpoint_every,
        on_event=on_event,
    )


def import_results(
    file: str | Path,
    results: str | Path,
    *,
    task: str,
    metric: str | None = None,
    kind: str = "runs",
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    datasets_file: str | Path | None = None,
) -> dict[str, Any]:
    """Add somebody else's table of results to a record; rows that can't be used are named."""
    from hf_select.results.foreign import import_table

    check_own_results(results)
    check_task_name(task)
    table = import_table(
        file,
        task=task,
        metric=metric,
        kind=kind,
        format=format,
        mapping=dict(mapping or {}),
        datasets_file=datasets_file,
    )
    if not table.rows:
        reason = table.rejected[0].reason if table.rejected else "the file has no rows"
        raise DataError(f"{file}: no row can be used; the first: {reason}")
    repo = ResultsRepo.open_or_create(results)
    repo.append(
        [row for row in table.rows if isinstance(row, RunRecord)],
        proxies=[row for row in table.rows if isinstance(row, ProxyRow)],
        models=table.models,
        datasets=table.datasets,
    )
    repo.compact()
    return {
        "file": str(file),
        "results": str(results),
        "task": task,
        "kind": kind,
        "rows": len(table.rows),
        "models": len(table.models),
        "datasets": len(table.datasets),
        "rejected": [{"row": bad.repo_id, "reason": bad.reason} for bad in table.rejected],
    }


# ------------------------------------------------------------------------------- clustering


def cluster(
    results: str | Path,
    task: str,
    *,
    preset: str | None = None,
    threshold: float | None = None,
    algorithm: str = "average",
    n_clusters: int | None = None,
    recipe: str | None = None,
) -> Clustering:
    """Group the models of a record by how they do on its benchmarks.

    `preset="paper"`: raw scores, mean of the 5 largest differences, average linkage.
    """
    from hf_select.clustering.algorithms import cluster_models

    raw = check_preset(preset)
    repo = open_results(results)
    check_task(repo, task)
    return cluster_models(
        repo.matrix(task, recipe=recipe),
        algorithm=algorithm,
        threshold=threshold,
        n_clusters=n_clusters,
        raw=raw,
    )


# ----------------------------------------------------------------------------------- recall


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


def as_target(target: str | Path | TargetData, options: Mapping[str, Any]) -> TargetData:
    """A target that is loaded already, or the source loaded with the options."""
    from hf_select.tasks.data import TargetData, load_target

    if isinstance(target, TargetData):
        return target
    return load_target(target, **options)


def columns_of(target: TargetData, repo: ResultsRepo) -> list[str]:
    """The record's columns that are the target itself: by content, or by its Hub name."""
    return [
        dataset_name(entry.repo_id, entry.config)
        for entry in repo.datasets(target.task)
        if entry.revision == target.fingerprint
        or dataset_name(entry.repo_id, entry.config) == target.name
    ]


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


# -------------------------------------------------------------------------------- selection


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


# ------------------------------------------------------------------- the small things around


def choose_recipe(file: Path | None, values: Mapping[str, Any]) -> Recipe | None:
    """The recipe of a JSON file with single values replaced; None if neither was given.

    The keys of `values` are those of the command line (`batch_size` is the global one).
    """
    if file is None and not values:
        return None
    settings: dict[str, Any] = {}
    if file is not None:
        try:
            settings = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is not a recipe: {error}") from error
    Recipe.from_dict(settings)  # before anything is put on top of it
    names = {"batch_size": "global_batch_size"}
    return Recipe.from_dict(
        settings | {names.get(key, key): value for key, value in values.items()}
    )


def record_recipe(repo: ResultsRepo, task: str) -> Recipe:
    """The recipe that most runs of the record used, so that its curves say something here."""
    counts = repo.recipes(task)
    for found in sorted(counts, key=lambda name: -counts[name]):
        recipe = repo.recipe(found)
        if recipe is not None:
            return recipe
    return Recipe()


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
        return _replay_recall(repo, task, methods, raw)
    return _replay_selection(repo, task, policies, candidates, cost, raw)


def _recorded_proxies(repo: ResultsRepo, task: str) -> dict[tuple[str, str], ProxyScores]:
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
    repo: ResultsRepo, task: str, methods: Sequence[str] | None, raw: bool
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
        sizes={entry.repo_id: entry.num_parameters for entry in repo.models(task)},
    )


def _replay_selection(
    repo: ResultsRepo,
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
    repo: ResultsRepo, task: str, top: int, raw: bool, method: str
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
                f"{repo.path} holds no proxy scores for {method} on {dataset}",
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


def report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a finished selection from its document."""
    document = Path(folder) / DOCUMENT
    if not document.is_file():
        raise InputError(
            f"{folder} holds no finished selection (no {DOCUMENT})",
            hint="make one with `hf-select select` or `hf-select demo`",
        )
    path = Path(out) if out else Path(folder) / "report.html"
    try:
        return write_report(json.loads(document.read_text(encoding="utf-8")), path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{document} is not the document of a selection: {error!r}") from error


def doctor() -> dict[str, Any]:
    """Versions, devices, disk, cache, and whether the shipped record is whole."""
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    problems = ResultsRepo.open(demo_folder() / "results").verify()
    return {
        "versions": library_versions(),
        "devices": devices or [f"cpu ({os.cpu_count()} cores)"],
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "cache": HF_HUB_CACHE,
        "demo": "whole" if not problems else "; ".join(problems),
    }
