"""Folders of images: a folder a class, or a metadata file beside the images, in splits or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.errors import DataError
from hf_select.tasks.datafiles import EXPECTED, FILES, ending, read_file
from hf_select.tasks.splitnames import ALIASES
from hf_select.tasks.textfile import Reading

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"])
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAMES = ("file_name", "image_file_name")
"""Columns that name the image of a row, as in the image folders of `datasets`."""

NOT_OURS = frozenset({"__MACOSX"})
"""Folders that an archive's packer leaves."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The splits of a folder of images; `where` names each in messages."""

    splits: dict[str, datasets.Dataset]
    where: dict[str, str]
    notes: tuple[str, ...] = ()


def read_pictures(folder: Path, reading: Reading | None = None) -> Pictures:
    """`class/image`, `split/class/image`, or images with a `metadata.csv` or `metadata.jsonl`.

    An image in a folder below a class's belongs to that class. Raises `DataError`.
    """
    roots, notes = _roots(folder)
    metadata = {split: _metadata(root) for split, root in roots.items()}
    listed = {split: path for split, path in metadata.items() if path is not None}
    if listed:
        if len(listed) < len(roots):
            lacks = next(root for split, root in roots.items() if split not in listed)
            raise DataError(
                f"{lacks} has no metadata file, but {next(iter(listed.values()))} is one"
            )
        return _listed(
            {split: _with_metadata(path, reading) for split, path in listed.items()}, notes
        )
    return _by_class(folder, roots, notes)


def file_at(folder: Path, name: str) -> Path:
    """The file that a table names, which may have been written on Windows."""
    path = folder / name.strip()
    return path if "\\" not in name or path.exists() else folder / name.strip().replace("\\", "/")


def has_metadata(folder: Path) -> bool:
    """Whether a metadata file lies in the folder, or in those of its splits."""
    return any(_metadata(root) is not None for root in _roots(folder)[0].values())


# --------------------------------------------------------------------------------- where it lies


def _roots(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Split -> its folder, `all` if there are no splits."""
    children = _folders(folder)
    splits = [child for child in children if child.name.lower() in ALIASES]
    # A class may be called "train": a split's folder has folders of classes or a metadata file.
    if any(ALIASES[child.name.lower()] == "train" and _holds_classes(child) for child in splits):
        found: dict[str, Path] = {}
        for child in splits:
            found.setdefault(ALIASES[child.name.lower()], child)
        other = [child.name for child in children if child not in found.values()]
        return found, ((f"folders that are not used: {', '.join(other)}",) if other else ())
    if splits and len(splits) == len(children) and not any(map(_holds_pictures, splits)):
        return {ALIASES[child.name.lower()]: child for child in splits}, ()
    if splits and len(splits) == len(children) and len(splits) > 1:
        raise DataError(
            f"{splits[0]} holds images, but neither a folder a class nor a metadata file",
            hint="put a metadata.csv (file_name,label) beside them, or one sub-folder a class",
        )
    if len(children) == 1 and len(_folders(children[0])) > 1 and _metadata(folder) is None:
        return _roots(children[0])  # an archive that was unpacked into a folder of its own name
    return {"all": folder}, ()


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in NOT_OURS
    )


def _holds_classes(folder: Path) -> bool:
    return _metadata(folder) is not None or any(map(_pictures, _folders(folder)))


def _holds_pictures(folder: Path) -> bool:
    return any(_is_picture(path) for path in folder.iterdir())


def _is_picture(path: Path) -> bool:
    """Hidden files are none: `._a.png` is what macOS keeps about `a.png`."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file()


def _pictures(folder: Path) -> list[Path]:
    """The images of a class, those in its own folder first."""
    found = sorted(path for path in folder.iterdir() if _is_picture(path))
    for child in _folders(folder):
        found += _pictures(child)
    return found


# ------------------------------------------------------------------------------ a folder a class


def _by_class(folder: Path, roots: Mapping[str, Path], notes: tuple[str, ...]) -> Pictures:
    import datasets
    import pyarrow as pa

    pictures = {
        split: {child.name: _pictures(child) for child in _folders(root)}
        for split, root in roots.items()
    }
    names = sorted({name for classes in pictures.values() for name, p in classes.items() if p})
    if not names:
        raise _no_data(folder)
    empty = sorted({name for classes in pictures.values() for name in classes} - set(names))
    if empty:
        notes += (f"folders without images left out: {', '.join(empty)}",)
    deep = sum(
        path.parent.name != name or path.parent.parent != roots[split]
        for split, classes in pictures.items()
        for name, paths in classes.items()
        for path in paths
    )
    if deep:
        notes += (f"images in folders below a class's folder belong to that class: {deep}",)
    beside = sum(_is_picture(path) for root in roots.values() for path in root.iterdir())
    if beside:
        notes += (f"images beside the classes' folders left out: {beside}",)
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
        splits[split] = _dataset(table, features, folder.name)
    return Pictures(splits, {split: str(root) for split, root in roots.items()}, notes)


def _no_data(folder: Path) -> DataError:
    files = sorted(p.name for p in folder.iterdir() if ending(p) in FILES and p.is_file())
    if len(files) > 1:
        return DataError(
            f"{folder} holds {len(files)} data files, none of which is named after a split: "
            f"{', '.join(files[:5])}{', ...' if len(files) > 5 else ''}",
            hint="name one of them, or call them train.csv, validation.csv and test.csv",
        )
    if _holds_pictures(folder):
        return DataError(
            f"{folder} holds images, but neither a folder a class nor a metadata file",
            hint="put a metadata.csv (file_name,label) beside them, or one sub-folder a class",
        )
    return DataError(f"{folder} holds no data set", hint=EXPECTED)


# ------------------------------------------------------------------------------- a metadata file


def _metadata(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


@dataclass(frozen=True, eq=False)
class _Metadata:
    path: Path
    table: pa.Table  # with a column `image` of paths, and without the one that names files
    notes: tuple[str, ...]


def _with_metadata(path: Path, reading: Reading | None) -> _Metadata:
    import pyarrow as pa

    rows = read_file(path, reading)
    names = rows.table.column_names
    column = next((name for name in FILE_NAMES if name in names), None)
    if column is None:
        raise DataError(
            f"{path} has no column 'file_name', which names the image of a row",
            hint=f"columns: {', '.join(names)}",
        )
    cells = rows.table.column(column).to_pylist()
    for number, cell in zip(rows.numbers, cells, strict=True):
        if not isinstance(cell, str) or not cell.strip():
            raise DataError(
                f"{path}: row {number} names no file in column {column!r}",
                hint="remove the row, or name its image",
            )
        if not file_at(path.parent, cell).is_file():
            raise DataError(
                f"{path}: row {number} names {cell!r}, but no such file lies in {path.parent}",
                hint="paths are relative to the metadata file",
            )
    files = [file_at(path.parent, cell) for cell in cells]
    present = set(_pictures(path.parent))
    unlisted = len(present - set(files))
    notes = rows.notes
    if unlisted:
        notes += (f"images of {path.parent} that {path.name} doesn't list: {unlisted}, left out",)
    table = rows.table.drop_columns([name for name in names if name in (column, "image")])
    image = pa.array([str(file) for file in files], pa.string())
    return _Metadata(path, table.add_column(0, "image", image), notes)


def _listed(found: Mapping[str, _Metadata], notes: tuple[str, ...]) -> Pictures:
    import datasets
    import pyarrow as pa

    splits, where = {}, {}
    for split, metadata in found.items():
        image = datasets.Image()
        paths = metadata.table.column("image").combine_chunks()
        table = metadata.table.set_column(0, "image", image.cast_storage(paths))
        features = datasets.Features.from_arrow_schema(table.schema)
        features["image"] = image
        folder = metadata.path.parent
        splits[split] = _dataset(
            pa.table(table.columns, names=table.column_names), features, folder.name
        )
        where[split] = str(metadata.path)
        notes += metadata.notes
    return Pictures(splits, where, notes)


def _dataset(table: pa.Table, features: datasets.Features, name: str) -> datasets.Dataset:
    import datasets

    return datasets.Dataset(
        datasets.table.InMemoryTable(table),
        info=datasets.DatasetInfo(features=features),
        fingerprint=name,
    )
