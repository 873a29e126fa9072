"""Labels: from whatever a column holds to class ids or values, with everything checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FEW = 20
"""Up to so many different whole numbers are classes without asking further."""

ROWS_A_CLASS = 5
"""More whole numbers than FEW are still classes where each has this many rows on average."""

MANY = 1000
"""Above this many different values a column is no class column."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Checked labels: int64 ids with `names`, or float32 values and no names.

    `values` has an array for every split that has labels at all.
    """

    values: dict[str, NDArray]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regression(self) -> bool:
        """Whether these are values, not classes."""
        return not self.names


def read_labels(
    columns: Mapping[str, pa.ChunkedArray],
    *,
    column: str,
    where: Mapping[str, str],
    class_names: tuple[str, ...] | None = None,
    regression: bool | None = None,
) -> Labels:
    """Label columns by split, as classes or as values.

    `class_names`: ids are given and -1 stands for a missing one. `regression`: None to decide by
    what is found. A split that has no label at all (as published test sets) is left out, with a
    note. Raises `DataError` that names file, column and row.
    """
    notes: list[str] = []
    cells: dict[str, pa.ChunkedArray] = {}
    for split, values in columns.items():
        values = _plain(values, column, where[split])
        missing = _missing(values, ids=class_names is not None)
        if len(values) and missing.all() and len(columns) > 1 and split not in ("train", "all"):
            notes.append(f"the {split} split has no labels, so it is not used")
            continue
        if missing.any():
            raise DataError(
                f"{where[split]}: no label in row {int(np.argmax(missing)) + 1}, column "
                f"{column!r} ({int(missing.sum())} of {len(missing)} rows)",
                hint="remove these rows or give them a label",
            )
        cells[split] = values
    if class_names is not None and not regression:
        ids = {split: np.asarray(values, dtype=np.int64) for split, values in cells.items()}
        for split, array in ids.items():
            wrong = (array < 0) | (array >= len(class_names))
            if wrong.any():
                row = int(np.argmax(wrong))
                raise DataError(
                    f"{where[split]}: class {array[row]} in row {row + 1}, column {column!r}, but "
                    f"there are {len(class_names)}"
                )
        return Labels(ids, class_names, tuple(notes))
    if class_names is not None:  # ratings that were stored as classes: "1", "2", ...
        cells = {split: _names_of(values, class_names) for split, values in cells.items()}
    numbers = _numbers(cells, column, where, stated=regression is True)
    if regression is None:
        regression, why = _looks_like_values(numbers, column)
        notes.append(f"task: {'regression' if regression else 'classification'}, {why}")
    if regression:
        assert numbers is not None  # `_numbers` raises where values were asked for
        values32 = {split: array.astype(np.float32) for split, array in numbers.items()}
        return Labels(values32, (), tuple(notes))
    return _classes(cells, numbers, column, notes)


def check_split(values: NDArray, *, names: tuple[str, ...], what: str, column: str) -> None:
    """A split that can be scored: not empty, more than one class, values that differ."""
    if len(values) == 0:
        raise DataError(f"{what} is empty", hint="it needs at least one row")
    if np.all(values == values[0]):
        kind = f"class ({names[values[0]]!r})" if names else f"value ({values[0]:g})"
        raise DataError(
            f"{what} has one {kind} only in column {column!r}",
            hint="at least two are needed, or there is nothing to learn or to score",
        )


def check_known(values: Mapping[str, NDArray], names: tuple[str, ...], where: str) -> None:
    """No class in validation or test that train has not."""
    known = set(np.unique(values["train"]).tolist())
    for split in ("validation", "test"):
        strange = sorted(set(np.unique(values[split]).tolist()) - known)
        if strange:
            row = int(np.argmax(values[split] == strange[0])) + 1
            raise DataError(
                f"{where}: class {names[strange[0]]!r} is in {split} (row {row}) but not in train",
                hint="move some of its rows to train, or remove it",
            )


def _plain(values: pa.ChunkedArray, column: str, where: str) -> pa.ChunkedArray:
    """Whole numbers as int64, decimals as float64, all else as text without outer blanks."""
    import pyarrow as pa
    from pyarrow import compute as pc

    kind = values.type
    if pa.types.is_integer(kind):
        return values.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return values.cast(pa.string())
    if pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.utf8_trim_whitespace(values)
    raise DataError(
        f"{where}: column {column!r} holds {kind}, but a label is one class or one number"
    )


def _missing(values: pa.ChunkedArray, *, ids: bool) -> NDArray[np.bool_]:
    """Which rows have no label: null, NaN, empty text, class id -1."""
    import pyarrow as pa
    from pyarrow import compute as pc

    missing = np.array(pc.is_null(values, nan_is_null=True))
    if pa.types.is_integer(values.type):
        empty = pc.equal(values, -1) if ids else None
    elif pa.types.is_floating(values.type):
        empty = None
    else:
        empty = pc.equal(values, "")
    return missing if empty is None else missing | np.array(pc.fill_null(empty, True))


def _names_of(values: pa.ChunkedArray, names: tuple[str, ...]) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([pa.array([names[i] for i in values.to_pylist()], pa.string())])


def _numbers(
    cells: Mapping[str, pa.ChunkedArray], column: str, where: Mapping[str, str], *, stated: bool
) -> dict[str, NDArray[np.float64]] | None:
    """All labels as numbers, None if some are words.

    A column of decimals with a few words in it is a mistake, not a column of classes.
    """
    found: dict[str, NDArray[np.float64]] = {}
    words: dict[str, NDArray[np.bool_]] = {}
    for split, values in cells.items():
        found[split] = _parsed(values)
        words[split] = np.isnan(found[split])
    for split, array in found.items():
        fits = np.isnan(array) | (np.abs(array) <= np.finfo(np.float32).max)
        if not fits.all():
            row = int(np.argmin(fits))
            raise DataError(
                f"{where[split]}: {array[row]} in row {row + 1}, column {column!r}, is no finite "
                "32-bit number"
            )
    total = sum(len(array) for array in words.values())
    bad = sum(int(array.sum()) for array in words.values())
    numeric = np.concatenate([array[~np.isnan(array)] for array in found.values()])
    mostly = bad * 10 < total and (np.any(numeric % 1 != 0) or len(np.unique(numeric)) > FEW)
    if bad and (stated or mostly):
        split = next(split for split, array in words.items() if array.any())
        row = int(np.argmax(words[split]))
        raise DataError(
            f"{where[split]}: {cells[split][row].as_py()!r} in row {row + 1}, column {column!r}, "
            f"is not a number ({bad} of {total} rows)",
        )
    if bad:
        return None
    return found


def _parsed(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Cells as numbers, NaN where a cell is a word."""
    import pyarrow as pa

    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return np.asarray(values, dtype=np.float64)
    return np.array([_number(cell) for cell in values.to_pylist()], dtype=np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell) if "_" not in cell else np.nan
    except ValueError:
        return np.nan


def _looks_like_values(
    numbers: dict[str, NDArray[np.float64]] | None, column: str
) -> tuple[bool, str]:
    """Whether labels are to be predicted as values, and why it seems so."""
    if numbers is None:
        return False, f"because column {column!r} holds words"
    every = np.concatenate(list(numbers.values()))
    distinct = len(np.unique(every))
    if np.any(every % 1 != 0):
        return True, f"because column {column!r} holds decimals"
    kind = f"because column {column!r} holds {distinct} different whole numbers"
    graded = column.lower() in ("score", "similarity_score", "rating", "value")
    few = distinct <= FEW or (
        not graded and distinct <= MANY and len(every) >= ROWS_A_CLASS * distinct
    )
    return not few, kind


def _classes(
    cells: Mapping[str, pa.ChunkedArray],
    numbers: dict[str, NDArray[np.float64]] | None,
    column: str,
    notes: list[str],
) -> Labels:
    """Class ids in the order of the names: by number where all are numbers, else by letter."""
    arrays: dict[str, Any]
    if numbers is not None:
        arrays = dict(numbers)
    else:
        arrays = {
            split: np.asarray(values.to_pylist(), dtype=str) for split, values in cells.items()
        }
    distinct = np.unique(np.concatenate(list(arrays.values())))
    if len(distinct) > MANY:
        raise DataError(
            f"column {column!r} has {len(distinct)} different values; that is no class label",
            hint="state the label column, or a task such as text-regression if these are numbers",
        )
    names = tuple(str(int(v)) if numbers is not None and v % 1 == 0 else str(v) for v in distinct)
    ids = {split: np.searchsorted(distinct, array) for split, array in arrays.items()}
    return Labels({s: a.astype(np.int64) for s, a in ids.items()}, names, tuple(notes))
