"""What every stage starts with: open a record, check names, read a target, take a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import (
    InputError,
    RecordError,
    UnknownNameError,
)
from hf_select.locations import (
    demo_folder,
)
from hf_select.records import (
    Recipe,
    Rung,
    check_task_name,
)
from hf_select.results.matrix import dataset_name
from hf_select.results.repo import ResultsRepo

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData

PRESETS = ("paper",)
Say = Callable[[str], None]
OnRung = Callable[[Rung, str], None]
"""What is told of every decision, with the name of the metric of its scores."""


def silent(_: str) -> None:
    """The listener of somebody who wants no messages."""


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
