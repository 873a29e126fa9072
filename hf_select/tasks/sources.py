"""Where a data set's rows come from: files, folders and the Hub, read into splits of columns.

Every reader is safe (no code of a data set is run), writes nothing and keeps cells as they are:
a CSV's cells stay text, so that `NA` or `007` in a text column is not taken for a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError, HfSelectError, HubError, InputError
from hf_select.tasks.contents import holds_paths
from hf_select.tasks.datafiles import EXPECTED, FILES, ONLY_BY_NAME, ending, read_file, stem
from hf_select.tasks.frames import Frame, Split
from hf_select.tasks.hubdata import HubData, hub_id, load_hub_data
from hf_select.tasks.pictures import file_at, has_metadata, read_pictures
from hf_select.tasks.splitnames import ALIASES, SPLITS, split_in, split_origins
from hf_select.tasks.textfile import FileRows, Reading

LIKE = 0.7
"""From which likeness on, 0 to 1, a name may be one that was meant, whatever it ends in."""


@dataclass(frozen=True, eq=False)
class Source:
    """The splits that a source has, as it has them. `where` names a split in messages.

    `folder` is what relative image paths in a file are relative to. `revision` is the commit of a
    Hub data set and `config` its config ("" if it has one only). `roles`: train, validation, test
    (or `all`) -> the split that is it.
    """

    name: str
    splits: dict[str, Split]
    where: dict[str, str]
    folder: Path
    notes: tuple[str, ...] = ()
    config: str = ""
    revision: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.roles:
            object.__setattr__(self, "roles", split_origins(self.splits))


def read_source(
    source: str | Path | HubData, *, config: str | None = None, reading: Reading | None = None
) -> Source:
    """Open a file, a folder or a Hub data set (for which `config` is).

    A text is a path where something lies at it, else a Hub id. Returns at least one split. Raises
    `DataError` with the file's name, and what `load_hub_data` raises.
    """
    if isinstance(source, HubData):
        return _read_hub(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path, reading)
    if path.is_file():
        return _from_tables(stem(path), {"all": [path]}, path.parent, reading)
    data = named_on_hub(source)
    if data is None:
        raise DataError(f"no file or folder at {source}", hint=_near(path) or EXPECTED)
    try:
        return _read_hub(replace(data, config=config or data.config))
    except HfSelectError as error:
        raise not_here_either(source, error) from error


def _near(path: Path) -> str:
    """What may have been meant by a path at which nothing lies."""
    parent = path.parent
    if not parent.is_dir():
        return f"there is no folder {parent} either"
    names = {child.name.lower(): child.name for child in parent.iterdir()}
    near = [
        name
        for name in get_close_matches(path.name.lower(), names, n=5)
        # that both end in .csv is no likeness
        if get_close_matches(stem(Path(name)), [stem(path).lower()], n=1, cutoff=LIKE)
    ]
    return f"did you mean {str(parent / names[near[0]])!r}?" if near else ""


def with_parts(
    source: Source, parts: Mapping[str, str | Path], reading: Reading | None = None
) -> Source:
    """The source with some splits stated: other files or folders, or other splits of its own.

    `parts`: train, validation or test -> a path or the name of a split. What was one split is the
    train split then. Raises `DataError`.
    """
    roles = dict(source.roles)
    if "all" in roles and not {"train", "all"} & set(parts):
        roles["train"] = roles.pop("all")
    splits, where, notes = dict(source.splits), dict(source.where), source.notes
    for role, part in parts.items():
        path = Path(part).expanduser()
        if str(part) in source.splits:
            key = str(part)
            roles = {name: split for name, split in roles.items() if split != key}
        elif path.exists():
            other = read_source(path, reading=reading)
            inner = other.roles.get(role) or other.roles.get("all")
            if inner is None:
                inner = other.roles.get("train") if len(other.splits) == 1 else None
            if inner is None:
                raise DataError(f"{path} has no {role} split", hint=f"splits: {_names(other)}")
            key = str(path)
            splits[key], where[key] = _absolute(other, inner), other.where[inner]
            notes = tuple(dict.fromkeys((*notes, *other.notes)))  # each is said once
        else:
            raise DataError(
                f"{part} is to be the {role} split, but it is neither a file or folder nor a split "
                f"of {source.name}",
                hint=_near(path) or f"splits: {_names(source)}",
            )
        roles[role] = key
    if "train" in roles:
        roles.pop("all", None)
    order = {role: roles[role] for role in (*SPLITS, "all") if role in roles}
    return replace(source, splits=splits, where=where, notes=notes, roles=order)


def _names(source: Source) -> str:
    return ", ".join(source.splits)


def _absolute(source: Source, split: str) -> Split:
    """A split whose image paths, if it has any as text, don't depend on its source's folder."""
    import pyarrow as pa

    rows = source.splits[split]
    if not isinstance(rows, Frame):
        return rows
    table = rows.data
    for place, name in enumerate(rows.column_names):
        if holds_paths(table.column(name)):
            paths = [
                None if path is None else str(file_at(source.folder.absolute(), path))
                for path in table.column(name).to_pylist()
            ]
            table = table.set_column(place, name, pa.array(paths, pa.string()))
    return Frame(table, rows.numbers)


def named_on_hub(source: str | Path) -> HubData | None:
    """The Hub data set that a text names where nothing lies at that path; None if it is none."""
    path = Path(source).expanduser()
    if isinstance(source, Path) or path.exists() or ending(path) in FILES:
        return None
    return hub_id(source)


def not_here_either(source: str | Path, error: HfSelectError) -> HfSelectError:
    """An error of the Hub's, for somebody who may have meant a file."""
    kind = DataError if isinstance(error, InputError) else HubError
    near = _near(Path(source).expanduser())
    return kind(
        f"no file or folder at {source}, and as a Hub data set it can't be loaded: {error.message}",
        hint=" ".join(filter(None, (near if near.startswith("did") else "", error.hint))),
    )


# ----------------------------------------------------------------------------------- files


def _from_tables(
    name: str, files: dict[str, list[Path]], folder: Path, reading: Reading | None
) -> Source:
    """Splits from data files, the shards of a split one after the other."""
    opened = {split: [read_file(path, reading) for path in paths] for split, paths in files.items()}
    import pyarrow as pa

    splits: dict[str, Split] = {}
    where = {}
    notes: dict[str, None] = {}
    for split, paths in files.items():
        tables = [rows.table for rows in opened[split]]
        notes |= dict.fromkeys(note for rows in opened[split] for note in rows.notes)
        where[split] = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        try:
            table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
            frame = Frame(table, _numbers(opened[split]))
            _ = frame.features  # those that a file states may be damaged
        except (pa.ArrowInvalid, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{where[split]}: {error}") from error
        splits[split] = frame
    return Source(name, splits, where, folder, tuple(notes))


def _numbers(files: list[FileRows]) -> NDArray[np.int64] | None:
    """The numbers of the shards' rows (N,), counted through; None if no row was left out."""
    if not any(rows.left_out for rows in files):
        return None
    before = np.cumsum([0, *(rows.total for rows in files)])
    return np.concatenate([rows.numbers + n for rows, n in zip(files, before, strict=False)])


# --------------------------------------------------------------------------------- folders


def _read_folder(folder: Path, reading: Reading | None) -> Source:
    """Saved data set, images with a metadata file, data files, or folders of images."""
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _read_saved(folder)
    if not has_metadata(folder):
        files = _split_files(folder) or _split_files(folder / "data")
        if files:
            return _from_tables(folder.name, files, folder, reading)
    found = read_pictures(folder, reading)
    return Source(folder.name, found.splits, found.where, folder, found.notes)


def _read_saved(folder: Path) -> Source:
    import datasets
    import pyarrow as pa

    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        raise DataError(f"{folder} can't be read: {error}") from error
    splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}
    where = {split: str(folder / split) if len(splits) > 1 else str(folder) for split in splits}
    return Source(folder.name, splits, where, folder)


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """Data files by the split in their name (`train.csv`, `test-00000-of-00002.parquet`)."""
    found: dict[str, list[Path]] = {}
    if not folder.is_dir():
        return found
    files = sorted(
        path
        for path in folder.iterdir()
        if ending(path) in FILES and path.is_file() and not path.name.startswith(".")
    )
    for path in files:
        split = re.split(r"[-.]", path.name)[0].lower()
        if split in ALIASES:
            found.setdefault(ALIASES[split], []).append(path)
    if not found and len(files) > 1:  # reviews_train.csv, reviews_test.csv
        for path in files:
            named = split_in(path.name)
            if named is not None:
                found.setdefault(named, []).append(path)
        found = found if "train" in found else {}
    if not found and len(files) == 1 and ending(files[0]) not in ONLY_BY_NAME:
        return {"all": files}
    for split, paths in found.items():
        if len({ending(path) for path in paths}) > 1:
            raise DataError(f"{folder} has its {split} split in more than one format")
    return found


# ------------------------------------------------------------------------------------- Hub


def _read_hub(data: HubData) -> Source:
    """A data set of the Hub: none of its code is run, and its commit is known."""
    found = load_hub_data(data)
    name = replace(data, config=found.config).name
    where = {split: f"{name} ({split})" for split in found.splits}
    return Source(name, found.splits, where, Path(), config=found.config, revision=found.revision)
