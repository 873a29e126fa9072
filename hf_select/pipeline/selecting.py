"""Both phases: recall from the record, then fine selection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.environment import library_versions
from hf_select.errors import InputError, StoppedError
from hf_select.hub.winner.cards import command
from hf_select.launched import (
    busy_cores,
    check_launch,
    check_precision,
    is_main_process,
    launched_processes,
    place,
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
    columns_of,
    curves_to_learn_from,
    open_results,
    record_facts,
    record_recipe,
    silent,
    tell_reading,
)
from hf_select.pipeline.choosing import choose_instead, named_candidate
from hf_select.pipeline.efficiency import measure_candidates
from hf_select.pipeline.handing_over import save_winner
from hf_select.pipeline.inspecting import tell_target, told_options
from hf_select.pipeline.limits import as_limits
from hf_select.pipeline.rates import (
    Entrant,
    curves_apply,
    curves_of_entrants,
    entrants,
    expected_of_entrants,
    main_recipe,
    with_rates,
)
from hf_select.pipeline.recalling import Recalled, check_names, check_recall, recall_with
from hf_select.pipeline.so_far import Told, hand_over_so_far
from hf_select.pipeline.spending import (
    Speed,
    affordable_looks,
    as_budget,
    check_affordable,
    choose_policy,
    expected_spending,
    spending_options,
    spending_settings,
    told_beforehand,
)
from hf_select.progress import stage
from hf_select.records import (
    CurveSet,
    Excluded,
    LearningCurve,
    ModelEntry,
    Recipe,
    SelectionResult,
    digest,
)
from hf_select.report.document import selection_document
from hf_select.report.page import render
from hf_select.selection.budget import parse_seconds
from hf_select.selection.folder import DOCUMENT, STATE, SelectionFolder
from hf_select.tasks.checks import as_dicts
from hf_select.training.sampling import EARLY_ROWS

if TYPE_CHECKING:
    from hf_select.selection.budget import Budget
    from hf_select.selection.policies import NamedPolicy
    from hf_select.tasks.data import TargetData
    from hf_select.training.live import LiveTrials
    from hf_select.training.shared import SharedTrials


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
    policy: str | None = None,
    tolerance: float | None = None,
    confidence: float | None = None,
    budget: str | float | None = None,
    max_epochs: float | None = None,
    max_cost: float | None = None,
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    looks: int | None = None,
    recipe: Recipe | None = None,
    learning_rates: Sequence[float] = (),
    catalog: str | Path | None = None,
    max_params: int | str | None = None,
    max_memory: int | str | None = None,
    license: str | Collection[str] = (),
    language: str | Collection[str] = (),
    architecture: str | Collection[str] = (),
    exclude: str | Collection[str] = (),
    seed: int = 0,
    checkpoint_every: float = 30.0,
    parallel: str | None = None,
    processes: int | None = None,
    log_with: str | None = None,
    choose: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_rung: OnRung | None = None,
    say: Say = silent,
    **data_options: Any,
) -> Selected:
    """Both phases: recall from the record, fine-tune a little at a time, hand over the winner.

    How to recall, and the limits on models, are said as for `recall`. `policy`: a row of
    `selection.policies.POLICIES`; without one `trend`, or `paper` with its preset. `tolerance`:
    points that don't matter, and `confidence` that a candidate must have lost before it is dropped,
    both of `trend`. Limits on the whole:
    `budget`, seconds by the clock or words such as "30m"; `max_epochs` of training; `max_cost` in
    full trainings. With several `learning_rates` every recalled model is a candidate with each of
    them, but for those that the record speaks against.

    Under `accelerate launch` or torchrun the processes share the looks at models, and then
    `parallel` says what each does: "jobs" (the default) trains candidates of its own, "data" trains
    each candidate together with the others. `processes`: how many there must be. `log_with`: a row
    of `training.tracking.TRACKERS`, which gets every candidate's curve as it grows.

    `choose`: hand over that candidate instead of the winner. Asked of a selection that is finished,
    with all else the same, it trains that one to the end and puts it in the winner's place.

    Leaves in `out`: the fine-tuned winner (`from_pretrained` loads it), `selection.json` and
    `report.html`. Everything is checked, and what is expected to be spent is said, before anything
    is fetched or written; a run that was cut off goes on with the same call. Raises `InputError` on
    bad input, `StoppedError` when stopped: then the best candidate so far is in
    `out`/best-so-far.
    """
    started = time.perf_counter()
    from hf_select.training.tracking import Tracking, check_tracker  # loads no torch

    parallel = check_launch(parallel, processes)
    check_tracker(log_with)
    apart = parallel == "jobs" and launched_processes() > 1
    limits = as_limits(max_params, max_memory, license, language, architecture, exclude)
    chosen_policy = choose_policy(
        policy,
        preset=preset,
        tolerance=tolerance,
        confidence=confidence,
        at_once=launched_processes() if apart else 1,
    )
    check_names(method, proxy, preset)
    if isinstance(budget, str):
        parse_seconds(budget)
    record = open_results(_as_begun(results, Path(out)))
    asked_for = str(target) if isinstance(target, str | Path) else "TARGET"
    target = as_target(target, data_options)
    locations = find_catalog(catalog, results)
    offered = locations.models if catalog is not None else ()
    recipe, rates = with_rates(recipe or record_recipe(record, target.task), learning_rates)
    check_precision(recipe.precision)
    may_spend = as_budget(budget, max_epochs, max_cost, recipe.epochs)
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
        limits=limits,
        strangers=offered,
        say=say,
    )
    speed = Speed.of(record, target, recipe)
    check_affordable(may_spend, speed, say)
    if settings.method == "hybrid":
        settings = replace(
            settings, looks=affordable_looks(may_spend, speed, recipe.epochs, settings.looks)
        )
    asked = {
        **told_options(data_options),
        **settings.to_dict(),
        **spending_options(may_spend, chosen_policy),
        "recipe": recipe.digest(),
        "learning_rate": ",".join(map(repr, rates)) if len(rates) > 1 else None,
    }
    facts = record_facts(record)
    folder = SelectionFolder(
        out,
        {
            "target": target.fingerprint,
            "task": target.task,
            "metric": target.metric,
            **spending_settings(may_spend, chosen_policy),
            **settings.to_dict(),
            **_ruled_out(settings.excluded),
            "recipe": recipe.digest(),
            "learning_rates": list(rates),
            "early_rows": EARLY_ROWS,
            "record": sorted(record.recipes(target.task).items()),
            **_looked_by(settings.method, record, target.task, offered),
            **({"repo": facts.repo, "revision": facts.revision} if facts.repo else {}),
        },
    )
    if choose is not None and launched_processes() > 1:
        raise InputError("--choose goes with one process", hint="run it without a launcher")

    def hand_over(document: dict[str, Any]) -> Selected:
        """The document, or that of the candidate that was chosen instead of its winner."""
        if choose is not None:
            document = choose_instead(
                document,
                choose,
                folder,
                target,
                record,
                locations,
                seed=seed,
                checkpoint_every=checkpoint_every,
                should_stop=should_stop,
                on_rung=on_rung,
                say=say,
            )
        return Selected(document, folder.path)

    done = folder.finished(to_replace=choose is not None)
    if done is not None:
        if choose is None:
            say(f"{folder.path} holds this very selection already: nothing was trained")
        return hand_over(done)
    tell_target(target, say)
    expected = expected_spending(
        record, target, chosen_policy, settings, float(recipe.epochs), speed, len(rates)
    )
    say(told_beforehand(expected, may_spend, recipe.epochs))
    busy = busy_cores()
    if busy:
        say(busy)
    from hf_select.training import agreement  # torch, once all that is bad is refused

    if launched_processes() > 1:
        agreement.part() if apart else agreement.gather()
    begun = folder.state.exists()
    folder.start()
    journal = folder.state / "journal.jsonl"
    if journal.exists():
        steps = len(journal.read_bytes().splitlines())
        say(f"going on: the {steps} steps that were taken before are not taken again")
    try:
        recalled = recall_with(
            settings,
            record,
            target,
            locations,
            strangers=catalog is not None,
            must_load=True,
            recipe=recipe,
            cache=folder.state / "features",
            should_stop=should_stop,
            say=say,
        )
    except InputError:  # no model can be had, or none is within the limits
        if not begun and is_main_process():
            folder.forget()
        raise
    field = entrants(recalled, record, target, recipe, rates, say)
    if choose is not None:
        named_candidate(choose, {name: one.model for name, one in field.items()})
    from hf_select.training.live import LiveTrials
    from hf_select.training.shared import SharedTrials

    trials = LiveTrials(
        target,
        recipe,
        folder.state / "trials",
        lambda name: (
            locate(recalled.entries[field[name].model], locations),
            recalled.entries[field[name].model].revision,
        ),
        recipe_of=lambda name: field[name].recipe,
        seed=seed,
        checkpoint_every=checkpoint_every,
        should_stop=should_stop,
    )
    shared = SharedTrials(trials, place()) if apart else None
    tracking = None
    if log_with is not None and is_main_process():
        if log_with == "tensorboard":
            say(f"curves: tensorboard --logdir {folder.path / 'tracking'}")
        agreement.processes()  # before a tracker makes it one without a device
        tracking = Tracking(log_with, folder.path / "tracking", say)
    told = Told(
        target.metric,
        shared or trials,
        on_rung,
        tracking,
        lambda name: {**field[name].recipe.to_dict(), "model": name, "target": target.name},
    )
    try:
        result = _fine_select(
            recalled,
            record,
            target,
            shared or trials,
            field,
            chosen_policy,
            may_spend,
            journal,
            spent=time.perf_counter() - started,
            raw=settings.raw,
            told=told,
            likely=None if expected is None else expected.trainings * recipe.epochs,
            should_stop=should_stop,
            say=say,
        )
    except StoppedError as error:
        raise hand_over_so_far(error, folder, trials, told, field) from error
    finally:
        if tracking is not None:
            tracking.close()
    winner = (shared or trials).opened[result.winner]
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
        recipe=field[result.winner].recipe,
        data_notes=target.notes,
        data_checks=as_dicts(target.checks),
        split_rows={name: len(getattr(target, name)) for name in ("train", "validation", "test")},
        trivial={name: target.trivial(name) for name in ("validation", "test")},
        num_models=len(recalled.considered),
        num_processes=winner.num_processes,
        seconds=time.perf_counter() - started,
        versions=library_versions(),
        revisions={name: entry.revision for name, entry in recalled.entries.items()},
        entrants={name: (one.model, one.recipe.learning_rate) for name, one in field.items()},
        expected=None if expected is None else expected.to_dict(),
        replayed=None if expected is None else expected.summary,
        early_rows=trials.val_rows(0.0),
        fingerprint=target.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        limits=settings.limits.to_dict(),
        excluded=recalled.excluded,
        from_catalog=None if catalog is None else _strangers(recalled, record, target.task),
        entries=recalled.entries,
        tuned=recalled.tuned,
        test_metrics=winner.test_scores,
    )
    entry = recalled.entries[field[result.winner].model]
    document = _with_origins(document, entry, record_facts(record), target, asked)
    document["command"] = command(document, target=asked_for, out=str(out))
    if is_main_process():
        document["efficiency"] = measure_candidates(
            document,
            recalled.entries,
            locations,
            target,
            max_length=recipe.max_length,
            untrained=not result.ended,  # what was allowed is spent
            should_stop=should_stop,
            say=say,
        )
        document["seconds"] = round(time.perf_counter() - started, 3)

        def save(path: Path) -> None:
            save_winner(
                path,
                winner,
                document,
                result,
                entry,
                target,
                field[result.winner].recipe,
                locations=locations,
                seed=seed,
                say=say,
            )

        document = folder.finish(document, save, render(document))
    else:
        winner.save_pretrained(folder.path)  # a step that all processes take together
    winner.close()
    return hand_over(document)


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


def _strangers(recalled: Recalled, record: Record, task: str) -> int:
    """How many of the models that were asked about the record doesn't know."""
    asked_about = {*recalled.considered, *(one.repo_id for one in recalled.excluded)}
    return len(asked_about - set(record.sizes(task)))


def _ruled_out(excluded: Sequence[Excluded]) -> dict[str, Any]:
    """The same of what the limits rule out: a catalog may know more of a model by then."""
    return {"excluded": digest(sorted(one.repo_id for one in excluded))} if excluded else {}


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


DOUBT = 1.5
"""By how much a forecast is widened that rests on curves of another recipe: nothing was measured
of that, so that it is a guess on the safe side."""


def _fine_select(
    recalled: Recalled,
    record: Record,
    target: TargetData,
    trials: LiveTrials | SharedTrials,
    field: Mapping[str, Entrant],
    policy: NamedPolicy,
    limits: Budget,
    journal: Path,
    *,
    spent: float,
    raw: bool,
    told: Told,
    likely: float | None,
    should_stop: Callable[[], bool],
    say: Say,
) -> SelectionResult:
    """Phase two over live trials; the proxy passes are added to the bill.

    `likely`: epochs that it may come to, as far as anybody knows.
    """
    from hf_select.recall import expected_by_record
    from hf_select.selection.run import run_selection
    from hf_select.training.agreement import agreed, agreed_clock, exchanged, first_ones

    candidates = [c.model for c in recalled.result.candidates]
    ruled_out = (one.repo_id for one in recalled.excluded)  # which teach a forecast all the same
    others = (*recalled.result.ranking, *ruled_out) if policy.forecasts else ()
    curves = curves_to_learn_from(record, target.task, candidates, others)
    for column in columns_of(target, record):
        curves = curves.without_dataset(column)
    rates = {one.recipe.learning_rate for one in field.values()}
    doubt = 1.0
    if np.isfinite(curves.val).any():
        doubt = _doubt(record, target.task, trials.recipe, rates, policy, say)
    expected = recalled.result.expected or expected_by_record(recalled.matrix, raw=raw)
    come_to: dict[str, float] = {}

    def advanced(model: str, curve: LearningCurve) -> None:
        told.advanced(model, curve)
        come_to[model] = float(curve.epochs[-1])
        at.reach(sum(come_to.values()), detail=f"{len(come_to)} tried")

    with stage("choosing", total=likely, unit="epochs") as at:
        return run_selection(
            trials.factories(list(field)),
            # ties may fall differently on other machines, and all must decide alike
            policy if place().world == 1 else lambda state: first_ones(policy(state)),
            horizon=float(trials.recipe.epochs),
            metric=get_metric(target.metric),
            val_trivial=target.trivial("validation"),
            record=curves_of_entrants(curves, field, main_recipe(record, target.task)),
            expected=None if expected is None else expected_of_entrants(expected, field),
            rows=lambda at: float(trials.val_rows(at)),
            doubt=doubt,
            raw=raw,
            proxy_seconds=agreed(recalled.proxy_seconds),
            usual_epoch=agreed(_epoch_seconds(curves)),
            budget=limits,
            spent_seconds=agreed(
                max(spent, recalled.proxy_seconds)
            ),  # looks of an earlier run, too
            clock=agreed_clock,
            policy_name=policy.name,
            journal=journal,
            write_journal=is_main_process(),
            on_rung=told,
            on_advance=advanced,
            should_stop=lambda: any(exchanged(should_stop())),
            side_by_side=getattr(trials, "train", None),
            workers=place().world if place().apart else 1,
        )


def _doubt(
    record: Record,
    task: str,
    recipe: Recipe,
    rates: Collection[float],
    policy: NamedPolicy,
    say: Say,
) -> float:
    """By what factor the forecast is widened: above 1 where the record used another recipe, but
    for learning rates that are on record, too."""
    if not policy.forecasts or curves_apply(record, task, recipe, rates):
        return 1.0
    say(
        "the record's curves were made with another recipe (or learning rate): what they say of "
        f"this one is taken as {DOUBT:g} times less certain"
    )
    return DOUBT


def _epoch_seconds(curves: CurveSet) -> float:
    """Seconds of a recorded epoch in the mean, 0 if unknown: what proxy passes are counted in until
    the target's own epochs are known."""
    with np.errstate(invalid="ignore"):
        pace = curves.seconds / curves.epochs
    known = pace[np.isfinite(pace) & (pace > 0)]
    return float(np.mean(known)) if known.size else 0.0
