"""The catalog: candidate models and benchmark datasets, pinned, and where each can be loaded.

A catalog is one JSON file. An entry's optional `location` is a folder or file, relative to the
catalog; without one the entry is a Hub repository. Locations stay here and never enter a record.

    {"models":   [{"repo_id", "revision", "task", ..., "location"}],
     "datasets": [{"repo_id", "revision", "task", "input_columns", "label_column", ...}],
     "rejected": [{"repo_id", "reason"}],
     "rejected_counts": {"models": {task: {reason: count}}, "datasets": ...}}

`rejected` is for a few that somebody looked at; a crawl sees up to millions, of which it counts the
reasons here and keeps the rows in `candidates.parquet` beside the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from hf_select.errors import InputError, ModelError, UnknownNameError
from hf_select.files import write_atomic
from hf_select.records import DatasetEntry, ModelEntry, Rejected
from hf_select.weights import count_parameters

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.bin",
    "model.pt",
    "model.pkl",
)
Entry = TypeVar("Entry", ModelEntry, DatasetEntry)


@dataclass(frozen=True)
class Catalog:
    """Candidates and benchmarks; `locations` maps a repo_id to a local path.

    `flags` maps a repo_id to what a crawl found worth a look; `rejected_counts` is `models` or
    `datasets` -> task -> reason -> how many. A name that has a location is that of a model or of a
    data set, or it is an `InputError`.
    """

    models: tuple[ModelEntry, ...] = ()
    datasets: tuple[DatasetEntry, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    locations: Mapping[str, Path] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rejected_counts: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        both = {e.repo_id for e in self.models} & {e.repo_id for e in self.datasets}
        for name in sorted(both.intersection(self.locations)):
            raise InputError(
                f"{name!r} is both a model and a data set, so its local path is ambiguous",
                hint="give one of them another name",
            )

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Read a catalog file, or the `catalog.json` of a folder."""
        path = Path(path)
        path = path / "catalog.json" if path.is_dir() else path
        if not path.is_file():
            raise InputError(
                f"no catalog at {path}",
                hint="a catalog is a folder that `hf-select crawl` makes, or a JSON file",
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            locations: dict[str, Path] = {}
            models = [_read(ModelEntry, row, path.parent, locations) for row in document["models"]]
            datasets = [
                _read(DatasetEntry, row, path.parent, locations)
                for row in document.get("datasets", [])
            ]
            rejected = [Rejected(**row) for row in document.get("rejected", [])]
            flags = {
                row["repo_id"]: tuple(row["flags"])
                for row in (*document["models"], *document.get("datasets", []))
                if row.get("flags")
            }
            counts = {kind: dict(of) for kind, of in document.get("rejected_counts", {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a catalog: {error!r}") from error
        return cls(tuple(models), tuple(datasets), tuple(rejected), locations, flags, counts)

    def save(self, path: str | Path) -> None:
        """Write it, locations relative to the file; a kill leaves the old file or the new one."""
        path = Path(path)
        document = {
            "models": [self._row(entry, path.parent) for entry in self.models],
            "datasets": [self._row(entry, path.parent) for entry in self.datasets],
            "rejected": [asdict(row) for row in self.rejected],
            **({"rejected_counts": self.rejected_counts} if self.rejected_counts else {}),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        write_atomic(path, text.encode())

    def _row(self, entry: ModelEntry | DatasetEntry, base: Path) -> dict[str, Any]:
        row = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(entry).items()
        }
        if entry.repo_id in self.locations:
            row["location"] = os.path.relpath(self.locations[entry.repo_id], base)
        if entry.repo_id in self.flags:
            row["flags"] = self.flags[entry.repo_id]
        return row

    def location(self, repo_id: str) -> Path | None:
        """The local path of an entry, None if it has to come from the Hub."""
        return self.locations.get(repo_id)

    def with_crawled(
        self,
        task: str,
        models: Iterable[ModelEntry],
        *,
        gone: Container[str] = (),
        flags: Mapping[str, tuple[str, ...]] | None = None,
        rejected_counts: Mapping[str, int] | None = None,
    ) -> Catalog:
        """The catalog with the models that a crawl of the Hub has accepted for a task.

        They take the place of the task's entries of the same name and of those in `gone`, which an
        earlier crawl accepted. Local models, other tasks and the datasets stay as they are. Sorted
        by name, so that what a later crawl changes can be read from a diff.
        """
        own = {e.repo_id for e in self.models if e.task == task and e.repo_id in self.locations}
        new = {entry.repo_id: entry for entry in models if entry.repo_id not in own}
        kept = [
            entry
            for entry in self.models
            if entry.task != task
            or entry.repo_id in own
            or not (entry.repo_id in new or entry.repo_id in gone)
        ]
        names = {e.repo_id for e in kept} | {e.repo_id for e in self.datasets}
        counts = {kind: dict(of) for kind, of in self.rejected_counts.items()}
        counts.setdefault("models", {})[task] = dict(rejected_counts or {})
        return replace(
            self,
            models=tuple(sorted((*kept, *new.values()), key=lambda e: (e.repo_id, e.task))),
            flags={n: f for n, f in self.flags.items() if n in names} | dict(flags or {}),
            rejected_counts=counts,
        )

    def only(
        self,
        *,
        task: str | None = None,
        models: Iterable[str] | None = None,
        datasets: Iterable[str] | None = None,
    ) -> Catalog:
        """The part for a task and for named models and datasets; unknown names are errors."""
        return replace(
            self,
            models=_pick("model", self.models, task, models),
            datasets=_pick("dataset", self.datasets, task, datasets),
        )


def _read(kind: type[Entry], row: dict[str, Any], base: Path, locations: dict[str, Path]) -> Entry:
    known = {f.name for f in fields(kind)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in row.items()
        if key in known and not (key == "baseline" and value is None)
    }
    if row.get("location"):
        location = base / row["location"]
        if locations.setdefault(row["repo_id"], location) != location:
            raise InputError(
                f"{row['repo_id']!r} has two locations, {locations[row['repo_id']]} and {location}",
                hint="give each of them a name of its own",
            )
    return kind(**values)


def _pick(
    kind: str, entries: tuple[Entry, ...], task: str | None, names: Iterable[str] | None
) -> tuple[Entry, ...]:
    entries = tuple(e for e in entries if task is None or e.task == task)
    if names is None:
        return entries
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.repo_id, []).append(entry)
        if isinstance(entry, DatasetEntry) and entry.config:
            by_name.setdefault(f"{entry.repo_id}/{entry.config}", []).append(entry)
    picked: list[Entry] = []
    for name in names:
        short = [e for e in entries if e.repo_id.rpartition("/")[2] == name]
        found = by_name.get(name, short)
        if not found:
            raise UnknownNameError(kind, name, by_name)
        owners = sorted({e.repo_id for e in found})
        if len(owners) > 1:
            raise InputError(
                f"{kind} {name!r} could be {' or '.join(owners)}", hint="give the whole name"
            )
        picked += [entry for entry in found if entry not in picked]
    return tuple(picked)


def check_model_folder(folder: str | Path) -> Path:
    """A local model folder that is safe to load, or a `ModelError`. Loads nothing.

    Refused: no config.json, no safetensors weights, only pickled weights, custom code.
    """
    folder = Path(folder)
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} is not a model folder: it has no config.json")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{config} is not valid JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{config} is not a model's settings: it holds no JSON object")
    if not any((folder / name).is_file() for name in WEIGHTS):
        pickled = [name for name in PICKLED if (folder / name).is_file()]
        if pickled:
            raise ModelError(
                f"{folder} has pickled weights only ({pickled[0]}); a pickle can run code",
                hint="convert it to safetensors: save_pretrained(..., safe_serialization=True)",
            )
        raise ModelError(f"{folder} has no weights", hint="expected model.safetensors")
    if "auto_map" in settings:
        raise ModelError(f"{folder} needs custom code (auto_map in config.json)")
    return folder


def verify_models(catalog: Catalog) -> None:
    """Refuse a catalog whose local model folders aren't safe to load or aren't what it pins.

    Reads every local model's files. Raises `ModelError`: the first bad one, and how many more.
    """
    bad = []
    for entry in catalog.models:
        folder = catalog.location(entry.repo_id)
        try:
            if folder is not None:
                _verify(entry, folder)
        except ModelError as error:
            bad.append(error)
    if bad:
        more = f" (and {len(bad) - 1} more such model{'s' * (len(bad) > 2)})" * (len(bad) > 1)
        raise ModelError(bad[0].message + more, hint=bad[0].hint or "leave it out of the choice")


def _verify(entry: ModelEntry, folder: Path) -> None:
    try:
        found = folder_revision(check_model_folder(folder))
    except ModelError as error:
        raise ModelError(f"model {entry.repo_id!r}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise ModelError(f"model {entry.repo_id!r}: {folder} can't be read: {error}") from error
    if found != entry.revision:
        raise ModelError(
            f"model {entry.repo_id!r}: the content of {folder} is {found[:8]}, but the catalog "
            f"says {entry.revision[:8]}",
            hint="the folder has changed since the catalog was written; write the catalog again",
        )


def folder_revision(folder: str | Path) -> str:
    """40 hex digits of a local folder's content: names and bytes of its files, sorted."""
    folder = Path(folder)
    state = hashlib.sha1(usedforsecurity=False)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if path.name == "README.md" or any(part.startswith(".") for part in name.parts):
            continue
        state.update(name.as_posix().encode() + b"\0")
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def local_model(folder: str | Path, task: str) -> ModelEntry:
    """The entry of a model folder on disk, named after the folder."""
    folder = check_model_folder(folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architectures = settings.get("architectures") or [settings.get("model_type", "")]
    return ModelEntry(
        repo_id=folder.name,
        revision=folder_revision(folder),
        task=task,
        architecture=architectures[0],
        num_parameters=_count_parameters(folder),
    )


def _count_parameters(folder: Path) -> int:
    """Numbers stored in the safetensors files, read from their headers."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            total += count_parameters(file, path.stat().st_size, str(path))
    return total
