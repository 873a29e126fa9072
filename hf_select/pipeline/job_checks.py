"""What jobs on the Hub need, checked before anything is written or started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from hf_select import __version__
from hf_select.catalog import Catalog
from hf_select.errors import (
    AccessError,
    InputError,
    MissingError,
    RecordError,
    SetupError,
    UnknownNameError,
)
from hf_select.foreign_metrics import lies_here, plain_metric
from hf_select.pipeline.job_spec import PUBLISH_EVERY
from hf_select.records import DatasetEntry, ModelEntry, Recipe
from hf_select.results.repo import ResultsRepo
from hf_select.training.executors.engine import ON_THE_HUB

if TYPE_CHECKING:
    from hf_select.hub.client import Hub

NAME = ON_THE_HUB
"""What the executor is called."""
FLAVOR = "t4-small"
IMAGE = "python:3.12"
TIMEOUT = "2h"


@dataclass(frozen=True)
class JobOptions:
    """The executor's options, as `--executor-option NAME=VALUE` gives them.

    `to` is the results dataset on the Hub that the jobs publish to; it is made if there is none,
    `private` if so asked. `namespace`: whose jobs they are, and who pays (the token's owner).
    `flavor`, `image` and `timeout` (seconds) are those of a job, `setup` the shell command before
    the work. `accept_new_recipes`: publish even with a recipe that the dataset has no runs of.
    """

    to: str
    namespace: str = ""
    flavor: str = FLAVOR
    timeout: float = 0.0
    image: str = IMAGE
    setup: str = ""
    cells_per_job: int | None = None
    private: bool = False
    accept_new_recipes: bool = False
    publish_every: float = PUBLISH_EVERY

    @classmethod
    def read(cls, options: Mapping[str, str]) -> JobOptions:
        """Take the options as text. Raises `InputError` for an unknown one or a bad value."""
        from hf_select.hub.jobs import parse_time

        known = {f.name for f in fields(cls)}
        for name in options:
            if name not in known:
                raise UnknownNameError(f"option of the executor {NAME}", name, known)
        values: dict[str, Any] = dict(options)
        if not values.get("to"):
            raise InputError(
                f"the executor {NAME} needs a dataset on the Hub that its jobs publish to",
                hint="--executor-option to=OWNER/NAME",
            )
        if values["to"].count("/") != 1:
            raise InputError(f"to is {values['to']!r}, but a dataset on the Hub is OWNER/NAME")
        values["timeout"] = parse_time(values.get("timeout", TIMEOUT))
        if "publish_every" in values:
            values["publish_every"] = parse_time(values["publish_every"])
        if "cells_per_job" in values:
            text = values["cells_per_job"]
            if not (text.isdecimal() and int(text) >= 1):
                raise InputError(f"cells_per_job is {text!r}, but must be a number of at least 1")
            values["cells_per_job"] = int(text)
        for name in ("private", "accept_new_recipes"):
            if name in values:
                values[name] = _yes_or_no(name, values[name])
        values.setdefault("setup", f"pip install -q 'hf-select=={__version__}'")
        return cls(**values)


def _yes_or_no(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InputError(f"{name} is {text!r}, but must be true or false")
    return text.lower() == "true"


@dataclass(frozen=True)
class Checked:
    """Options that can be gone by: the namespace is known, and all of `catalog` is on the Hub."""

    options: JobOptions
    catalog: Catalog
    hub: Hub
    price: float | None = None  # dollars a minute


def check_jobs(
    options: Mapping[str, str],
    chosen: Catalog,
    *,
    recipe: Recipe | None = None,
    hub: Hub | None = None,
) -> Checked:
    """Refuse what no job could run, by `InputError`, before anything is written or started.

    Bad options; offline, no token, or one without the right to publish to `to`; an unknown flavor;
    models, data or metrics that are on this disk only; a `recipe` that `to` would refuse.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.jobs import flavors
    from hf_select.hub.record.rights import check_can_publish

    read = JobOptions.read(options)
    for entry in chosen.datasets:
        if lies_here(entry.metric):
            raise InputError(
                f"a job on the Hub can't see the metric of {entry.repo_id}, which is a folder on "
                f"this disk: {entry.metric}",
                hint="push it to the Hub as a Space and name it evaluate:OWNER/"
                f"{plain_metric(entry.metric)}",
            )
    hub = hub or Hub()
    check_can_publish(hub, read.to)
    read = replace(read, namespace=read.namespace or hub.user())
    machines = flavors(hub)
    if read.flavor not in machines:
        raise UnknownNameError("flavor", read.flavor, machines)
    if read.private:
        _check_private(hub, read.to)
    catalog = _all_on_hub(hub, chosen)
    if recipe is not None:
        check_recipe(hub, read, recipe, {entry.task for entry in chosen.models})
    return Checked(read, catalog, hub, machines[read.flavor])


def check_recipe(hub: Hub, options: JobOptions, recipe: Recipe, tasks: set[str]) -> None:
    """Refuse a recipe that the dataset, if there is one, has no runs of, unless it is accepted.

    Its rows would be set aside there, after all the work.
    """
    from hf_select.hub.record.remote import HubRecord

    if options.accept_new_recipes:
        return
    try:
        record = HubRecord(hub, options.to)
    except (MissingError, RecordError):  # none, or nothing in it yet
        return
    for task in sorted(tasks & set(record.tasks())):
        used = [name for name in record.recipes(task) if not name.startswith("imported-")]
        if used and recipe.digest() not in used:
            raise InputError(
                f"{options.to} has {task} runs of the recipe {used[0]}, and none of "
                f"{recipe.digest()}",
                hint="leave the recipe out, or add --executor-option accept_new_recipes=true",
            )


def check_time(
    checked: Checked,
    repo: ResultsRepo,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    max_cells: int | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    **_: Any,
) -> None:
    """Refuse a job's timeout in which a missing cell wouldn't get through an epoch."""
    from hf_select.training.cells import check_timeout, missing_cells

    cells = missing_cells(
        checked.catalog, repo, recipe, seeds, retry_failed=retry_failed, shard=shard, only=only
    )
    check_timeout(cells[:max_cells], repo.runs(), checked.options.timeout)


def _check_private(hub: Hub, to: str) -> None:
    try:
        info = hub.call(hub.api.dataset_info, to, what=to)
    except MissingError:
        return
    if not info.private:
        raise InputError(
            f"{to} exists and is public; private is for a new dataset",
            hint="leave private out, or make it private on its page first",
        )


def _all_on_hub(hub: Hub, chosen: Catalog) -> Catalog:
    """The catalog without locations; `InputError` if something is on this disk only."""
    every: list[ModelEntry | DatasetEntry] = [*chosen.models, *chosen.datasets]
    entries = [entry for entry in every if chosen.location(entry.repo_id) is not None]
    with ThreadPoolExecutor(4) as pool:
        there = list(pool.map(lambda entry: _is_there(hub, entry), entries))
    here = [entry.repo_id for entry, found in zip(entries, there, strict=True) if not found]
    if here:
        named = ", ".join(here[:5]) + (f" and {len(here) - 5} more" if len(here) > 5 else "")
        raise InputError(
            f"a job on the Hub can't see what is on this disk only: {named}",
            hint="push it to the Hub first and name it OWNER/NAME, or choose with --models and "
            "--datasets",
        )
    return replace(chosen, locations={})


def _is_there(hub: Hub, entry: ModelEntry | DatasetEntry) -> bool:
    kind = "model" if isinstance(entry, ModelEntry) else "dataset"
    try:
        hub.head_commit(entry.repo_id, repo_type=kind, revision=entry.revision)
    except SetupError:
        raise
    except AccessError:
        return False
    return True
