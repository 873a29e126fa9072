"""Where the models and data of a record lie: a catalog, what `benchmark` kept, or the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.catalog import Catalog, check_model_folder, folder_revision, local_model
from hf_select.errors import (
    AccessError,
    HfSelectError,
    HubError,
    InputError,
    MissingError,
    ModelError,
    SetupError,
)
from hf_select.files import exclusive
from hf_select.records import DatasetEntry, ModelEntry, check_task_name
from hf_select.results.foreign import IMPORTED
from hf_select.results.matrix import dataset_name

if TYPE_CHECKING:
    from hf_select.hub.client import Hub
    from hf_select.tasks.hubdata import HubData

PATIENCE = 3
"""Times that the Hub is asked for a target: a few seconds, if it doesn't answer."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?", re.ASCII)
"""OWNER/NAME: what a model is taken for that isn't a folder. The oldest have no owner."""


def demo_folder() -> Path:
    """Where the starter zoo, its record and its targets lie inside the package."""
    return Path(__file__).parent / "demo"


def find_catalog(catalog: str | Path | None, results: str | Path) -> Catalog:
    """The catalog that was named; else the shipped zoo's for `demo`, else what `benchmark` kept.

    Without any, models come from the Hub by the names and commits of the record.
    """
    if catalog is not None:
        return Catalog.load(catalog)
    if str(results) == "demo":
        return Catalog.load(demo_folder())
    kept = kept_catalog(results)
    return Catalog.load(kept) if kept.is_file() else Catalog()


def kept_catalog(results: str | Path) -> Path:
    """Where `benchmark` notes which local models it used; not a part of the record."""
    return Path(results) / ".work" / "catalog.json"


def keep_catalog(catalog: Catalog, results: str | Path) -> None:
    """Note where the local models of a benchmark lie, beside those of earlier ones."""
    path = kept_catalog(results)
    with exclusive(path.with_suffix(".lock"), wait=60):  # shards run side by side
        known = Catalog.load(path) if path.is_file() else Catalog()
        models = {e.repo_id: e for e in (*known.models, *catalog.models)}
        datasets = {(e.repo_id, e.config): e for e in (*known.datasets, *catalog.datasets)}
        locations = {**known.locations, **catalog.locations}
        Catalog(tuple(models.values()), tuple(datasets.values()), (), locations).save(path)


def folders_as_catalog(models: Iterable[str], datasets: Iterable[str], task: str | None) -> Catalog:
    """The catalog of models and data that were named one by one: folders, files, or Hub ids."""
    from hf_select.tasks.data import dataset_entry, load_target

    if task is None:
        raise InputError("the task of what is in no catalog must be named", hint="add --task")
    check_task_name(task)
    entries: list[ModelEntry] = []
    tables: list[DatasetEntry] = []
    locations: dict[str, Path] = {}
    for name in models:
        if HUB_ID.fullmatch(name) and not Path(name).exists():
            entries.append(hub_model(name, task))  # named as the Hub names it now
        else:
            entries.append(local_model(name, task))
            locations[entries[-1].repo_id] = Path(name).absolute()
    for source in datasets:
        tables.append(dataset_entry(load_target(find_data(source), task=task)))
        if Path(source).exists():
            locations[tables[-1].repo_id] = Path(source).absolute()
    names = [entry.repo_id for entry in entries]
    names += [dataset_name(entry.repo_id, entry.config) for entry in tables]
    if len(set(names)) < len(names):
        raise InputError("two models or data sets have the same name", hint="rename one of them")
    return Catalog(tuple(entries), tuple(tables), (), locations)


def find_data(source: str | Path, *, config: str | None = None) -> str | Path | HubData:
    """What is read of a target: a path as it is, a Hub data set at a commit (main's newest).

    Offline a Hub id stays as it is: what the cache has of it is read. Raises `DataError` if
    the Hub doesn't give the data set, and `HubError` if it can't be reached.
    """
    from huggingface_hub import constants

    from hf_select.tasks.hubdata import HubData
    from hf_select.tasks.sources import named_on_hub, not_here_either

    found = named_on_hub(source)
    if found is None or constants.is_offline_mode():
        return source
    from hf_select.hub.client import Hub
    from hf_select.hub.pins import pin_dataset
    from hf_select.hub.record.contents import of_another_type

    # Somebody waits, and may just have mistyped the name of a file.
    hub = Hub(attempts=PATIENCE)
    try:
        pin = pin_dataset(hub, found.repo_id, found.revision or None)
    except HfSelectError as error:
        gone = isinstance(error, MissingError) and error.missing == "repository"
        other = of_another_type(hub, found.repo_id, "target") if gone else None
        raise not_here_either(source, other or error) from error
    return HubData(pin.repo_id, config or found.config, pin.commit, call=hub.call)


def locate(entry: ModelEntry, catalog: Catalog) -> Path:
    """The folder of a model: the catalog's, or one that was fetched from the Hub and checked.

    Raises `ModelError`: it can't be had, or the folder isn't the model that the record is about.
    """
    folder = catalog.location(entry.repo_id)
    if folder is not None:
        check_model_folder(folder)
        found = folder_revision(folder)
        if entry.revision not in (found, IMPORTED):
            raise ModelError(
                f"{folder} holds revision {found[:8]} of {entry.repo_id}, but the record is about "
                f"{entry.revision[:8]}",
                hint="benchmark the changed model first, or name another catalog",
            )
        return folder
    if entry.revision == IMPORTED:
        raise ModelError(
            f"{entry.repo_id} was imported, and nobody said which commit was measured",
            hint="name a --catalog that says where it is; --method mean recalls without loading it",
        )
    try:
        return fetch(entry)
    except MissingError as error:
        hint = "if it is a local model, name a --catalog that says where it is"
        raise ModelError(error.message, hint=hint) from error
    except (AccessError, HubError) as error:
        raise ModelError(error.message, hint=error.hint) from error


def check_cache(catalog: Catalog) -> None:
    """Refuse to begin where what has to come from the Hub can't be kept.

    A cache that can only be read will do if it has all of it, or if nobody asks the Hub.
    """
    from huggingface_hub import constants

    from hf_select.hub import cache
    from hf_select.hub.models import is_here

    models = [e for e in catalog.models if catalog.location(e.repo_id) is None]
    datasets = [e for e in catalog.datasets if catalog.location(e.repo_id) is None]
    if not (models or datasets) or constants.is_offline_mode():
        return
    there = all(is_here(entry) for entry in models) and all(
        (cache.folder(e.repo_id, "dataset") / "snapshots" / e.revision).is_dir() for e in datasets
    )
    if not there:
        cache.check_writable()


def fetch(entry: ModelEntry) -> Path:
    """The folder of a Hub model. A function that jobs in other processes can be given.

    Raises `ModelError` or `AccessError` for what is the model's: corrupt or unsafe, gone, gated.
    Raises `HubError` for what is not: the network, but also offline mode, a wrong token, and a
    cache that can't be written.
    """
    from huggingface_hub import constants

    from hf_select.hub import cache
    from hf_select.hub.models import fetch_model

    try:
        try:
            return fetch_model(_hub(constants.ENDPOINT), entry)
        except OSError:
            cache.check_writable()
            raise
    except SetupError as error:
        raise HubError(error.message, hint=error.hint) from error


def is_on_hub(entry: DatasetEntry) -> bool:
    """Whether the Hub has that commit of a data set and gives it to us. Raises `HubError`."""
    from huggingface_hub import constants

    try:
        _hub(constants.ENDPOINT).head_commit(
            entry.repo_id, repo_type="dataset", revision=entry.revision
        )
    except AccessError:
        return False
    return True


def hub_model(repo_id: str, task: str) -> ModelEntry:
    """The entry of a Hub model as it is now, pinned; none of its weights are downloaded.

    Raises `ModelError` with the first thing that speaks against it, `AccessError`, `HubError`.
    """
    from huggingface_hub import constants

    from hf_select.hub.client import Hub
    from hf_select.hub.models import inspect_model
    from hf_select.hub.pins import pin_model

    try:
        # Somebody waits, and may just have mistyped the name of a folder.
        pin = pin_model(Hub(endpoint=constants.ENDPOINT, attempts=PATIENCE), repo_id)
        found = inspect_model(_hub(constants.ENDPOINT), *pin)
    except (MissingError, SetupError) as error:
        raise InputError(
            f"no folder at {repo_id}, and on the Hub: {error.message}", hint=error.hint
        ) from error
    except HubError as error:
        raise HubError(
            f"no folder at {repo_id}, and the Hub can't be asked: {error.message}", hint=error.hint
        ) from error
    if found.problems:
        raise ModelError(f"{pin.repo_id}: {found.problems[0]}", hint="leave it out of the choice")
    return ModelEntry(
        repo_id=pin.repo_id,
        revision=pin.commit,
        task=task,
        architecture=found.architecture,
        num_parameters=found.num_parameters,
        weights_sha256=found.weights_sha256,
    )


@cache
def _hub(endpoint: str) -> Hub:
    """One client a process."""
    from hf_select.hub.client import Hub

    return Hub(endpoint=endpoint)
