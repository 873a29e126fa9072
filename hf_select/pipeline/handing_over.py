"""The winner as a selection hands it over: weights, card, and a script that trains it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog, local_model
from hf_select.files import write_atomic
from hf_select.locations import locate
from hf_select.pipeline.base import Say
from hf_select.pipeline.limits import is_unknown_license
from hf_select.records import ModelEntry, Recipe, SelectionResult
from hf_select.report.script import DATA, SCRIPT, Facts, can_write, train_script
from hf_select.training.sampling import steps_in_epoch, stratified_rows

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.live import CheckpointedTrial
    from hf_select.training.shared import SharedTrial


def save_winner(
    folder: Path,
    winner: CheckpointedTrial | SharedTrial,
    document: Mapping[str, Any],
    result: SelectionResult,
    entry: ModelEntry,
    target: TargetData,
    recipe: Recipe,
    *,
    locations: Catalog,
    seed: int,
    say: Say,
) -> None:
    """Write the weights, the card and `train.py`; what can't be written of these is said."""
    winner.save_pretrained(folder)
    write_card(folder, document, entry, on_hub=locations.location(entry.repo_id) is None)
    written = write_script(
        folder,
        entry,
        target,
        recipe,
        locations=locations,
        seed=seed,
        epochs=float(result.curves[result.winner].epochs[-1]),
        test=result.test,
    )
    if not written:
        say(f"no {SCRIPT}: it can't be written for {target.task} by the metric {target.metric}")


def write_card(
    folder: Path, document: Mapping[str, Any], entry: ModelEntry, *, on_hub: bool
) -> None:
    """Write the winner's model card, README.md, into the folder that holds its weights.

    `on_hub`: the model came from there at its commit, so that the card may name it as the base. A
    push makes its own card, of the same document and what the Hub says then.
    """
    from hf_select.hub.winner.cards import CardFacts, winner_card
    from hf_select.hub.winner.files import CARD, class_names

    facts = CardFacts(
        folder.absolute().name,
        base_model=entry.repo_id if on_hub else "",
        base_commit=entry.revision if on_hub else "",
        license="" if is_unknown_license(entry.license) else entry.license,
        labels=class_names(folder),
        size=local_model(folder, document["task"]).num_parameters,
    )
    write_atomic(folder / CARD, winner_card(document, facts).encode())


def write_script(
    folder: Path,
    entry: ModelEntry,
    target: TargetData,
    recipe: Recipe,
    *,
    locations: Catalog,
    seed: int,
    epochs: float,
    test: float,
) -> bool:
    """Write `train.py` and the rows that it trains on into `folder`; False if none can be written.

    `epochs`: for how many the winner was trained; `test`: its score. Images that lie in files of
    their own are named, not copied. Raises `OSError` where there is no room.
    """
    if not can_write(target.task, target.metric):
        return False
    from hf_select.tasks.base import get_task
    from hf_select.tasks.kept import keep_rows

    rows = stratified_rows(target.labels("train"), recipe.max_train_samples, seed=seed)
    steps = steps_in_epoch(len(rows), recipe.global_batch_size)
    own = locations.location(entry.repo_id)
    task = get_task(target.task)
    processor = task.load_processor(locate(entry, locations))
    longest = getattr(processor, "model_max_length", recipe.max_length)
    facts = Facts(
        model=entry.repo_id,
        target=target.name,
        task=target.task,
        metric=target.metric,
        location=entry.repo_id if own is None else str(own.absolute()),
        revision=entry.revision if own is None else "",
        label_names=target.label_names,
        num_labels=target.num_labels,
        max_length=min(recipe.max_length, longest),
        steps=max(1, round(epochs * steps)),
        steps_per_epoch=steps,
        seed=seed,
        test=test,
        label_mean=target.label_mean,
        label_std=target.label_std if target.label_std > 0 else 1.0,
        commonest=target.majority,
        prefix_space=getattr(processor, "add_prefix_space", False) is True,
    )
    keep_rows(target, folder / DATA, train_rows=rows)
    write_atomic(folder / SCRIPT, train_script(facts, recipe).encode())
    return True
