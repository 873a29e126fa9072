"""Where the models and data of a record lie: a catalog, what `benchmark` kept, or the Hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hf_select.catalog import Catalog, check_model_folder, folder_revision, local_model
from hf_select.errors import InputError, ModelError
from hf_select.records import DatasetEntry, ModelEntry, check_task_name
from hf_select.results.files import exclusive
from hf_select.results.foreign import IMPORTED


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
    """The catalog of model folders and data files that were named one by one."""
    from hf_select.tasks.data import dataset_entry, load_target

    if task is None:
        raise InputError("without a catalog the task must be named", hint="add --task")
    check_task_name(task)
    entries: list[ModelEntry] = []
    tables: list[DatasetEntry] = []
    locations: dict[str, Path] = {}
    for folder in models:
        entries.append(local_model(folder, task))
        locations[entries[-1].repo_id] = Path(folder).absolute()
    for source in datasets:
        tables.append(dataset_entry(load_target(source, task=task)))
        if Path(source).exists():
            locations[tables[-1].repo_id] = Path(source).absolute()
    names = [entry.repo_id for entry in entries] + [entry.repo_id for entry in tables]
    if len(set(names)) < len(names):
        raise InputError("two models or data sets have the same name", hint="rename one of them")
    return Catalog(tuple(entries), tuple(tables), (), locations)


def locate(entry: ModelEntry, catalog: Catalog) -> tuple[str | Path, str | None]:
    """Where `from_pretrained` finds a model: a local folder, or a Hub id with its commit.

    Raises `ModelError` if the folder isn't the model that the record is about.
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
        return folder, None
    if entry.revision == IMPORTED:
        raise ModelError(
            f"{entry.repo_id} was imported, and nobody said which commit was measured",
            hint="name a --catalog that says where it is; --method mean recalls without loading it",
        )
    return entry.repo_id, entry.revision
