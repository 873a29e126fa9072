"""Both phases: recall from the record, then fine selection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.environment import is_main_process, library_versions
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
    columns_of,
    open_results,
    record_facts,
    record_recipe,
    silent,
    tell_reading,
)
from hf_select.pipeline.recalling import Recalled, check_recall, recall_with
from hf_select.records import (
    ModelEntry,
    Recipe,
    Rung,
    SelectionResult,
    digest,
)
from hf_select.report.document import selection_document
from hf_select.report.page import render
from hf_select.selection.folder import DOCUMENT, STATE, SelectionFolder

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.live import LiveTrials


SHOWN = 1000
"""Models of a record up to which a selection's document holds all of its scores and clusters."""


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
    top: int | None = None,
    policy: str = "paper",
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    looks: int | None = None,
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

    How to recall is said as for `recall`. Leaves in `out`: the fine-tuned winner
    (`from_pretrained` loads it), `selection.json` and `report.html`. Everything is checked before
    anything is written; a run that was cut off goes on with the same call. Raises `InputError` on
    bad input, `StoppedError` when stopped.
    """
    from hf_select.selection.policies import get_policy

    chosen_policy = get_policy(policy)
    record = open_results(_as_begun(results, Path(out)))
    target = as_target(target, data_options)
    locations = find_catalog(catalog, results)
    offered = locations.models if catalog is not None else ()
    settings = check_recall(
        record,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        preset=preset,
        threshold=threshold,
        looks=looks,
        seed=seed,
        exclude=exclude,
        strangers=offered,
    )
    asked = {
        **data_options,
        **settings.to_dict(),
        "policy": policy,
        "recipe": None if recipe is None else recipe.digest(),
    }
    recipe = recipe or record_recipe(record, target.task)
    started = time.perf_counter()
    facts = record_facts(record)
    folder = SelectionFolder(
        out,
        {
            "target": target.fingerprint,
            "task": target.task,
            "metric": target.metric,
            "policy": policy,
            **settings.to_dict(),
            "recipe": recipe.digest(),
            "record": sorted(record.recipes(target.task).items()),
            **_looked_by(settings.method, record, target.task, offered),
            **({"repo": facts.repo, "revision": facts.revision} if facts.repo else {}),
        },
    )
    done = folder.finished()
    if done is not None:
        say(f"{folder.path} holds this very selection already: nothing was trained")
        return Selected(done, folder.path)
    folder.start()
    recalled = recall_with(
        settings,
        record,
        target,
        locations,
        strangers=catalog is not None,
        must_load=True,
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
        raw=settings.raw,
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


def _looked_by(
    method: str, record: Record, task: str, offered: Sequence[ModelEntry]
) -> dict[str, Any]:
    """What else a recall rests on: one that goes on must come to the same."""
    if method != "hybrid":
        return {}
    return {
        "offered": digest(sorted([e.repo_id, e.revision] for e in offered if e.task == task)),
        "proxies": len(record.proxies(task)),
    }


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
    seconds = recalled.proxy_seconds
    epochs = seconds * result.epochs / result.seconds if result.seconds > 0 else 0.0
    return replace(result, proxy_epochs=epochs)
