"""The two phases: recall from the record, then fine selection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
    Record,
    RecordFacts,
    Say,
    as_target,
    check_preset,
    check_task,
    columns_of,
    open_results,
    record_facts,
    record_recipe,
    silent,
    tell_reading,
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
from hf_select.selection.folder import DOCUMENT, STATE, SelectionFolder

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.live import LiveTrials


ROWS = 2000
"""Train rows of the target that a proxy score is computed on, at most."""
SHOWN = 1000
"""Models of a record up to which a selection's document holds all of its scores and clusters."""


@dataclass(frozen=True, eq=False)
class Recalled:
    """Phase one with what phase two needs from it.

    `entries` are those of the candidates and of the models whose proxy score was computed.
    """

    result: RecallResult
    clustering: Clustering | None
    matrix: PerformanceMatrix
    entries: Mapping[str, ModelEntry]
    proxy: ProxyScores | None
    record: RecordFacts


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
    exclude: Collection[str] = (),
    seed: int = 0,
    max_rows: int = ROWS,
    cache: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = silent,
    **data_options: Any,
) -> Recalled:
    """Phase one: the `top` models of the record that look best for the target.

    `method` is a row of `recall.RECALL_METHODS`; `proxy` one of `proxies.PROXIES`, chosen by
    what the representatives offer when it isn't named. Only train rows of the target are used.
    """
    raw = check_preset(preset)
    record = open_results(results)
    target = as_target(target, data_options)
    check_recall(
        record,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        threshold=threshold,
        seed=seed,
        exclude=exclude,
    )
    recalled = _recall(
        record,
        target,
        find_catalog(catalog, results),
        top=top,
        method=method,
        proxy=proxy,
        raw=raw,
        threshold=threshold,
        exclude=exclude,
        seed=seed,
        max_rows=max_rows,
        cache=cache,
        should_stop=should_stop,
        say=say,
    )
    tell_reading(record, say)
    return replace(recalled, record=record_facts(record))


def _recall(
    record: Record,
    target: TargetData,
    locations: Catalog,
    *,
    top: int,
    method: str,
    proxy: str | None,
    raw: bool,
    threshold: float | None,
    exclude: Collection[str],
    seed: int,
    max_rows: int,
    cache: Path | None,
    should_stop: Callable[[], bool],
    say: Say,
) -> Recalled:
    """Phase one on a record that is open; of its models only those that matter are looked up."""
    from hf_select.recall import needs_proxy, recall_models

    started = time.perf_counter()
    sizes = record.sizes(target.task)
    whole = record.matrix(target.task)
    matrix = whole
    for column in columns_of(target, record):
        matrix = matrix.without_dataset(column)
    if not matrix.datasets:
        raise RecordError(
            f"the only benchmark of {record.name} is the target itself, which is left out",
            hint="benchmark at least one other data set",
        )
    unwanted = set(exclude)
    usable = [m for m in matrix.models if m in sizes and m not in unwanted]
    unknown = [
        Rejected(m, "the record has runs of it, but no entry that says what it is")
        for m in matrix.models
        if m not in sizes and m not in unwanted
    ]
    matrix = matrix.only_models(usable)
    clustering = None
    unchanged = (matrix.models, matrix.datasets) == (whole.models, whole.datasets)
    if unchanged and not raw and threshold is None:
        clustering = record.clustering(target.task)
    if clustering is None and len(usable) > 1:
        clustering = _cluster(matrix, method, threshold=threshold, raw=raw, say=say)
    wanted = needs_proxy(method, matrix, clustering)
    entries = _entries(record, target.task, wanted)
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
            max_length=record_recipe(record, target.task).max_length,
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
        sizes=sizes,
        top=top,
        raw=raw,
        seed=seed,
    )
    entries |= _entries(
        record, target.task, [c.model for c in result.candidates if c.model not in entries]
    )
    result = replace(
        result,
        candidates=tuple(replace(c, revision=entries[c.model].revision) for c in result.candidates),
        skipped=(*result.skipped, *skipped, *unknown),
        seconds=time.perf_counter() - started,
    )
    return Recalled(result, clustering, matrix, entries, scores, record_facts(record))


def _cluster(
    matrix: PerformanceMatrix, method: str, *, threshold: float | None, raw: bool, say: Say
) -> Clustering | None:
    """The clusters of a matrix; None where it can't be grouped and the method can do without."""
    from hf_select.clustering.algorithms import EXACT, cluster_models

    if len(matrix.models) > EXACT:
        say(f"grouping {len(matrix.models)} models takes about half a minute")
    try:
        return cluster_models(matrix, threshold=threshold, raw=raw)
    except InputError:
        if method == "paper":  # the others only show clusters as evidence
            raise
        return None


def _entries(record: Record, task: str, names: Sequence[str]) -> dict[str, ModelEntry]:
    """The entries of those models; of several revisions the newest."""
    return {entry.repo_id: entry for entry in record.models(task, names)} if names else {}


def check_recall(
    repo: Record,
    task: str,
    *,
    method: str,
    proxy: str | None,
    top: int,
    threshold: float | None,
    seed: int,
    exclude: Collection[str],
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
    models = repo.sizes(task) if exclude else {}
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
            features[name] = extract_features(
                task,
                locate(entries[name], catalog),
                target,
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
    exclude: Collection[str] = (),
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
    record = open_results(_as_begun(results, Path(out)))
    target = as_target(target, data_options)
    check_recall(
        record,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        threshold=threshold,
        seed=seed,
        exclude=exclude,
    )
    asked = {
        **data_options,
        "top": top,
        "policy": policy,
        "method": method,
        "proxy": proxy,
        "preset": preset,
        "threshold": threshold,
        "exclude": sorted(exclude),
        "seed": seed,
        "recipe": None if recipe is None else recipe.digest(),
    }
    recipe = recipe or record_recipe(record, target.task)
    locations = find_catalog(catalog, results)
    started = time.perf_counter()
    facts = record_facts(record)
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
            "record": sorted(record.recipes(target.task).items()),
            **({"repo": facts.repo, "revision": facts.revision} if facts.repo else {}),
        },
    )
    done = folder.finished()
    if done is not None:
        say(f"{folder.path} holds this very selection already: nothing was trained")
        return Selected(done, folder.path)
    folder.start()
    recalled = _recall(
        record,
        target,
        locations,
        top=top,
        method=method,
        proxy=proxy,
        raw=raw,
        threshold=threshold,
        exclude=exclude,
        seed=seed,
        max_rows=ROWS,
        cache=folder.state / "features",
        should_stop=should_stop,
        say=say,
    )
    from hf_select.training.live import LiveTrials  # torch, once all that is bad is refused

    trials = LiveTrials(
        target,
        recipe,
        folder.state / "trials",
        lambda model: (
            locate(recalled.entries[model], locations),
            recalled.entries[model].revision,
        ),
        seed=seed,
        checkpoint_every=checkpoint_every,
        should_stop=should_stop,
    )
    result = _fine_select(
        recalled,
        record,
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
    tell_reading(record, say)
    shown = recalled
    if len(recalled.matrix.models) > SHOWN:
        shown = replace(recalled, matrix=recalled.matrix.only_models(list(recalled.entries)))
    document = selection_document(
        target=target.name,
        task=target.task,
        metric=target.metric,
        result=replace(result, checkpoint=str(folder.path)),
        recall=recalled.result,
        clustering=recalled.clustering,
        matrix=shown.matrix,
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
    document = _with_origins(
        document, recalled.entries[result.winner], record_facts(record), target, asked
    )
    if is_main_process():
        document = folder.finish(document, winner.trial.save_pretrained, render(document))
    else:
        winner.trial.save_pretrained(folder.path)  # a step that all processes take together
    winner.trial.close()
    return Selected(document, folder.path)


def _as_begun(results: str | Path, out: Path) -> str | Path:
    """The record as the selection in `out` began with it: on the Hub it may have grown since."""
    from hf_select.hub.record.remote import split_id

    found = split_id(results) if isinstance(results, str) else None
    if found is None or found[1] is not None or Path(results).exists():
        return results
    for file, key in ((out / DOCUMENT, "record"), (out / STATE / "settings.json", "settings")):
        if file.is_file():
            try:
                begun = json.loads(file.read_text(encoding="utf-8")).get(key) or {}
            except (ValueError, AttributeError):
                break  # SelectionFolder says what is wrong with it
            if begun.get("repo") == found[0]:
                return f"{found[0]}@{begun['revision']}"
            break
    return results


def _with_origins(
    document: Mapping[str, Any],
    winner: ModelEntry,
    record: RecordFacts,
    target: TargetData,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """The document with where all came from, and what was asked for: what a card is made of."""
    on_hub = bool(target.revision)
    source = {
        "repo": target.name.removesuffix(f"/{target.config}") if on_hub else None,
        "config": target.config or None,
        "revision": target.revision or None,
        "splits": dict(target.origins),
    }
    if on_hub and target.config:
        asked = {"config": target.config, **asked}
    facts = {
        "license": winner.license,
        "languages": list(winner.languages),
        "num_parameters": winner.num_parameters,
        "weights_sha256": winner.weights_sha256,
    }
    columns = {"input_columns": list(target.input_columns), "label_column": target.label_column}
    found = {
        **document,
        "winner": {**document["winner"], **facts},
        "data": {**document["data"], **columns},
        "record": asdict(record),
        "source": source,
        "settings": dict(asked),
    }
    if len(document["recall"]["ranking"]) > SHOWN:
        found["clusters"] = None
        found["recall"] = {
            **document["recall"],
            "ranking": document["recall"]["ranking"][:SHOWN],
            "skipped": document["recall"]["skipped"][:SHOWN],
        }
    return found


def _fine_select(
    recalled: Recalled,
    record: Record,
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

    # Policies look at the curves of the candidates alone: each model's trends are its own.
    curves = record.curves(target.task, models=[c.model for c in recalled.result.candidates])
    for column in columns_of(target, record):
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
