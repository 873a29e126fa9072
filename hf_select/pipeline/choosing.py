"""Another candidate instead of a selection's winner: trained to the end, and handed over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog
from hf_select.errors import InputError, ModelError, UnknownNameError
from hf_select.locations import locate
from hf_select.metrics import get_metric
from hf_select.pipeline.base import OnRung, Record, Say
from hf_select.pipeline.handing_over import save_winner
from hf_select.pipeline.limits import fill_gaps
from hf_select.records import ModelEntry, Recipe, Rung, digest
from hf_select.report.document import candidate_name
from hf_select.report.page import render
from hf_select.report.replaced import with_other_winner
from hf_select.selection.folder import SelectionFolder

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData


def named_candidate(name: str, candidates: Mapping[str, str]) -> str:
    """The candidate that a name means: its own, its model's, or what follows the owner in that.

    `candidates`: name -> model. Raises `UnknownNameError`, and `InputError` where it means several.
    """
    if name in candidates:
        return name
    found = [one for one, model in candidates.items() if name in (model, model.rpartition("/")[2])]
    if not found:
        raise UnknownNameError("candidate", name, candidates)
    if len(found) > 1:
        raise InputError(
            f"{name!r} could be {' or '.join(map(repr, found))}", hint="give the whole name"
        )
    return found[0]


def choose_instead(
    document: dict[str, Any],
    name: str,
    folder: SelectionFolder,
    target: TargetData,
    record: Record,
    locations: Catalog,
    *,
    seed: int,
    checkpoint_every: float,
    should_stop: Callable[[], bool],
    on_rung: OnRung | None,
    say: Say,
) -> dict[str, Any]:
    """Train a candidate of a finished selection to the end and put it in the winner's place.

    Returns the new document, as it was written. What the training takes is added to the bill. Cut
    off, the same call goes on. Raises what a training raises, and `StoppedError`: until the new
    winner is written the folder holds the first one.
    """
    started = time.perf_counter()
    rows = {candidate_name(row): row for row in document["ranking"]}
    chosen = named_candidate(name, {one: row["model"] for one, row in rows.items()})
    if chosen == document["winner"]["candidate"] and folder.is_whole():
        say(f"{chosen} is the winner already: nothing was trained")
        return document
    row = rows[chosen]
    entry = _entry(row, target.task, record, locations)
    settings = {key: value for key, value in document["recipe"].items() if key != "digest"}
    if row["learning_rate"] is not None:
        settings["learning_rate"] = row["learning_rate"]
    recipe = Recipe.from_dict(settings)
    say(f"{chosen} is trained instead of {document['winner']['candidate']}")
    from hf_select.hub.winner.files import model_files
    from hf_select.selection.policies import get_policy
    from hf_select.selection.run import run_selection
    from hf_select.training.live import LiveTrials

    folder.start()
    trials = LiveTrials(
        target,
        recipe,
        folder.state / "trials",
        lambda _: (locate(entry, locations), entry.revision),
        seed=seed,
        checkpoint_every=checkpoint_every,
        should_stop=should_stop,
    )

    def told(rung: Rung) -> None:
        if on_rung is not None:
            on_rung(rung, target.metric)

    result = run_selection(
        trials.factories([chosen]),
        get_policy("brute-force"),
        horizon=float(recipe.epochs),
        metric=get_metric(target.metric),
        val_trivial=target.trivial("validation"),
        rows=lambda at: float(trials.val_rows(at)),
        journal=folder.state / f"chosen-{digest(chosen)}.jsonl",
        on_rung=told,
        should_stop=should_stop,
    )
    winner = trials.opened[chosen]
    document = with_other_winner(
        document,
        chosen,
        result,
        entry,
        recipe,
        test_metrics=winner.test_scores,
        seconds=time.perf_counter() - started,
    )

    def save(path: Path) -> None:
        folder.make_way(model_files(path))
        save_winner(
            path,
            winner,
            document,
            result,
            entry,
            target,
            recipe,
            locations=locations,
            seed=seed,
            say=say,
        )

    document = folder.finish(document, save, render(document))
    winner.close()
    return document


def _entry(row: Mapping[str, Any], task: str, record: Record, locations: Catalog) -> ModelEntry:
    """The entry of a candidate at the commit that was looked at; `ModelError` if nobody has it."""
    known = [*record.models(task, [row["model"]]), *locations.models]
    for entry in fill_gaps(known, locations.models):
        if (entry.repo_id, entry.revision) == (row["model"], row["revision"]):
            return entry
    raise ModelError(
        f"{row['model']} at {row['revision'][:8]} is neither in the record nor in the catalog now",
        hint="name the record and the catalog of the selection",
    )
