"""Where a data set's rows come from: files, folders and the Hub, read into splits of columns.

Every reader is safe (no code of a data set is run), writes nothing and keeps cells as they are:
a CSV's cells stay text, so that `NA` or `007` in a text column is not taken for a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import DataError, HfSelectError, HubError, InputError
from hf_select.tasks import conll
from hf_select.tasks.hubdata import HubData, hub_id, load_hub_data

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

SPLITS = ("train", "validation", "test")
ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "validation_matched": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "test_matched": "test",
}
PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"])
EXPECTED = (
    "a target is a CSV, TSV, JSONL, parquet or CoNLL file, a folder with train/validation/test "
    "files, a folder written by save_to_disk, a folder with one sub-folder of images a class, or a "
    "Hub id (owner/name)"
)


@dataclass(frozen=True, eq=False)
class Source:
    """The splits that a source has, as it has them. `where` names a split in messages.

    `folder` is what relative image paths in a file are relative to. `revision` is the commit of a
    Hub data set and `config` its config ("" if it has one only).
    """

    name: str
    splits: dict[str, datasets.Dataset]
    where: dict[str, str]
    folder: Path
    notes: tuple[str, ...] = ()
    config: str = ""
    revision: str = ""


def read_source(source: str | Path | HubData, *, config: str | None = None) -> Source:
    """Open a file, a folder or a Hub data set (for which `config` is).

    A text is a path where something lies at it, else a Hub id. Returns at least one split. Raises
    `DataError` with the file's name, and what `load_hub_data` raises.
    """
    if isinstance(source, HubData):
        return _read_hub(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        if path.suffix.lower() not in FILES:
            raise DataError(
                f"{path}: its ending {path.suffix!r} is not that of a data file", hint=EXPECTED
            )
        return _from_tables(path.stem, {"all": [path]}, path.parent)
    data = named_on_hub(source)
    if data is None:
        raise DataError(f"no file or folder at {source}", hint=EXPECTED)
    try:
        return _read_hub(replace(data, config=config or data.config))
    except HfSelectError as error:
        raise not_here_either(source, error) from error


def named_on_hub(source: str | Path) -> HubData | None:
    """The Hub data set that a text names where nothing lies at that path; None if it is none."""
    path = Path(source).expanduser()
    if isinstance(source, Path) or path.exists() or path.suffix.lower() in FILES:
        return None
    return hub_id(source)


def not_here_either(source: str | Path, error: HfSelectError) -> HfSelectError:
    """An error of the Hub's, for somebody who may have meant a file."""
    kind = DataError if isinstance(error, InputError) else HubError
    return kind(
        f"no file or folder at {source}, and as a Hub data set it can't be loaded: {error.message}",
        hint=error.hint,
    )


def split_origins(names: Iterable[str]) -> dict[str, str]:
    """train, validation, test -> which of a source's splits each of them is.

    The one split of a source that isn't split is `all`. Without `train` and `all` it has no rows
    to train on.

    >>> split_origins(["train", "dev", "extra"])
    {'train': 'train', 'validation': 'dev'}
    """
    names = list(names)
    if len(names) == 1 and names != ["train"]:
        return {"all": names[0]}
    found: dict[str, str] = {}
    for alias, split in ALIASES.items():  # in the order of preference
        for name in names:
            if name.lower() == alias:
                found.setdefault(split, name)
    return found


# ----------------------------------------------------------------------------------- files


def _decoded(path: Path) -> bytes:
    """The bytes of a text file that is UTF-8 throughout."""
    data = path.read_bytes()
    if not data.strip():
        raise DataError(f"{path} is empty")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}",
            hint="save it as UTF-8",
        ) from error
    return data


def _read_words(path: Path) -> pa.Table:
    return conll.read_conll(path, _decoded(path).decode("utf-8"))


def _read_tsv(path: Path) -> pa.Table:
    """A table, or a word and its tags a line."""
    if conll.looks_like(_decoded(path).decode("utf-8-sig")):
        return _read_words(path)
    return _read_csv(path)


def _read_csv(path: Path) -> pa.Table:
    """All cells as text. The delimiter is a tab in a .tsv, else a comma or a semicolon."""
    import csv
    import io

    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    data = _decoded(path)
    first = data.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    if delimiter == "," and "," not in first and ";" in first:
        delimiter = ";"
    header = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(f"{path} has two columns named {min(twice)!r}")
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            # One block, because a quoted cell must not be longer than a block.
            # One thread, because only then does an error say which row it is about.
            read_options=arrow_csv.ReadOptions(
                block_size=min(len(data) + 1, 2**31 - 1), use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {error}", hint="quote cells that hold the delimiter") from error


def _read_json(path: Path) -> pa.Table:
    """One object a line, or one list of objects."""
    import pyarrow as pa

    text = _decoded(path).decode("utf-8-sig")
    rows: list[Any] = []
    try:
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            # Not splitlines(): it also cuts at characters that a JSON string may hold.
            for line in text.split("\n"):
                if line.strip():
                    rows.append(json.loads(line))
    except ValueError as error:
        raise DataError(f"{path}: row {len(rows) + 1} is not JSON: {error}") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is {type(row).__name__}, but must be an object")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # mixed kinds: as they would be written
            columns[name] = pa.array([None if cell is None else str(cell) for cell in cells])
    return pa.table(columns)


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a parquet file: {error}") from error
    for i, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            plain = table.column(i).cast(column.type.value_type)
            table = table.set_column(i, column.name, plain)
    return table


FILES: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
    **dict.fromkeys(conll.ENDINGS, _read_words),
}
ONLY_BY_NAME = (".json", ".txt")
"""Files of these kinds are data only where their names say so: there are others in many folders."""


def _from_tables(name: str, files: dict[str, list[Path]], folder: Path) -> Source:
    """Splits from data files, the shards of a split one after the other."""
    import datasets
    import pyarrow as pa

    splits, where = {}, {}
    for split, paths in files.items():
        tables = [FILES[path.suffix.lower()](path) for path in paths]
        where[split] = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        try:
            table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
            splits[split] = datasets.Dataset(datasets.table.InMemoryTable(table), fingerprint=name)
        except (pa.ArrowInvalid, ValueError, TypeError) as error:
            raise DataError(f"{where[split]}: {error}") from error
    return Source(name, splits, where, folder)


# --------------------------------------------------------------------------------- folders


def _read_folder(folder: Path) -> Source:
    """Saved data set, data files named after splits, or folders of images."""
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _read_saved(folder)
    files = _split_files(folder) or _split_files(folder / "data")
    if files:
        return _from_tables(folder.name, files, folder)
    return _read_images(folder)


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
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in FILES and p.is_file())
    for path in files:
        split = re.split(r"[-.]", path.name)[0].lower()
        if split in ALIASES:
            found.setdefault(ALIASES[split], []).append(path)
    if not found and len(files) == 1 and files[0].suffix.lower() not in ONLY_BY_NAME:
        return {"all": files}
    for split, paths in found.items():
        if len({path.suffix for path in paths}) > 1:
            raise DataError(f"{folder} has its {split} split in more than one format")
    return found


def _read_images(folder: Path) -> Source:
    """`class/image`, or `split/class/image`."""
    import datasets
    import pyarrow as pa

    children = _folders(folder)
    if children and all(child.name.lower() in ALIASES for child in children):
        roots = {ALIASES[child.name.lower()]: child for child in children}
    else:
        roots = {"all": folder}
    pictures = {
        split: {
            child.name: sorted(p for p in child.iterdir() if p.suffix.lower() in PICTURES)
            for child in _folders(root)
        }
        for split, root in roots.items()
    }
    names = sorted({name for classes in pictures.values() for name, p in classes.items() if p})
    if not names:
        raise DataError(f"{folder} holds no data set", hint=EXPECTED)
    empty = sorted({name for classes in pictures.values() for name in classes} - set(names))
    splits = {}
    for split, classes in pictures.items():
        rows = [(path, names.index(name)) for name, paths in classes.items() for path in paths]
        image = datasets.Image()
        table = pa.table(
            {
                "image": image.cast_storage(pa.array([str(p) for p, _ in rows], pa.string())),
                "label": pa.array([label for _, label in rows], pa.int64()),
            }
        )
        features = datasets.Features({"image": image, "label": datasets.ClassLabel(names=names)})
        splits[split] = datasets.Dataset(
            datasets.table.InMemoryTable(table),
            info=datasets.DatasetInfo(features=features),
            fingerprint=folder.name,
        )
    notes = (f"folders without images left out: {', '.join(empty)}",) if empty else ()
    where = {split: str(root) for split, root in roots.items()}
    return Source(folder.name, splits, where, folder, notes)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


# ------------------------------------------------------------------------------------- Hub


def _read_hub(data: HubData) -> Source:
    """A data set of the Hub: none of its code is run, and its commit is known."""
    found = load_hub_data(data)
    name = replace(data, config=found.config).name
    where = {split: f"{name} ({split})" for split in found.splits}
    return Source(name, found.splits, where, Path(), config=found.config, revision=found.revision)
