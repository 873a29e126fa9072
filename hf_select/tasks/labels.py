"""Labels: from whatever a column holds to class ids or values, with everything checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError
from hf_select.tasks.contents import DATE
from hf_select.tasks.numbers import MISSING, as_numbers, is_ambiguous

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

    `values` has an array for every split that has labels at all, and `rows` the places of those
    rows in it, from 0: rows without a label are left out.
    """

    values: dict[str, NDArray]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    rows: dict[str, NDArray[np.int64]] = field(default_factory=dict)

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
    numbers: Mapping[str, NDArray[np.int64]] | None = None,
) -> Labels:
    """Label columns by split, as classes or as values.

    `class_names`: ids are given and -1 stands for a missing one. numbers (N,): those of a split's
    rows in its source, for messages; 1 to N without them. `regression`: None to decide by
    what is found. Rows without a label are left out; a split that has no label at all (as
    published test sets) is left out as a whole, with a note. Raises `DataError` that names file,
    column and row.
    """
    if numbers is None:
        numbers = {split: np.arange(1, len(values) + 1) for split, values in columns.items()}
    found = _read(columns, column, where, class_names, regression, numbers)
    places = {split: np.searchsorted(numbers[split], rows) for split, rows in found.rows.items()}
    return replace(found, rows=places)


def _read(
    columns: Mapping[str, pa.ChunkedArray],
    column: str,
    where: Mapping[str, str],
    class_names: tuple[str, ...] | None,
    regression: bool | None,
    row_numbers: Mapping[str, NDArray[np.int64]],
) -> Labels:
    """As `read_labels`, but `rows` are the numbers of the rows in their source."""
    notes: list[str] = []
    cells: dict[str, pa.ChunkedArray] = {}
    rows: dict[str, NDArray[np.int64]] = {}
    for split, values in columns.items():
        values = _plain(values, column, where[split])
        missing = _missing(values, ids=class_names is not None)
        if len(values) and missing.all():
            if len(columns) > 1 and split not in ("train", "all"):
                notes.append(f"the {split} split has no labels, so it is not used")
                continue
            raise DataError(
                f"{where[split]}: column {column!r} has no label in any of its {len(values)} rows",
                hint="state another --label-column, or fill it",
            )
        rows[split] = row_numbers[split][~missing]
        cells[split] = values.filter(_mask(~missing)) if missing.any() else values
    if class_names is not None and not regression:
        ids = {split: np.asarray(values, dtype=np.int64) for split, values in cells.items()}
        for split, array in ids.items():
            wrong = (array < 0) | (array >= len(class_names))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise DataError(
                    f"{where[split]}: class {array[at]} in row {rows[split][at]}, column "
                    f"{column!r}, but there are {len(class_names)}"
                )
        return Labels(ids, class_names, tuple(notes), rows)
    if class_names is not None:  # ratings that were stored as classes: "1", "2", ...
        cells = {split: _names_of(values, class_names) for split, values in cells.items()}
    cells, rows, how = _without_missing_numbers(cells, rows)
    if how:
        notes.append(f"numbers in column {column!r}: {how}")
    numbers = _numbers(cells, rows, column, where, stated=regression)
    if regression is None:
        regression, why = _looks_like_values(numbers, column)
        notes.append(f"task: {'regression' if regression else 'classification'}, {why}")
        if numbers is None:
            _check_dates(cells, rows, column, where)
    if regression:
        assert numbers is not None  # `_numbers` raises where values were asked for
        values32 = {split: array.astype(np.float32) for split, array in numbers.items()}
        return Labels(values32, (), tuple(notes), rows)
    return _classes(cells, numbers, column, notes, rows)


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


def check_repeats(values: NDArray, *, what: str, column: str) -> None:
    """Classes that come more than once: with a class a row there is nothing to learn."""
    if len(values) > 2 and len(np.unique(values)) == len(values):
        raise DataError(
            f"{what}: column {column!r} has a value of its own in each of {len(values)} rows; that "
            "is no class label",
            hint="state another --label-column, or a task ending in -regression if these are "
            "numbers to predict",
        )


def check_known(
    values: Mapping[str, NDArray],
    names: tuple[str, ...],
    where: str,
    rows: Mapping[str, NDArray[np.int64]],
) -> None:
    """No class in validation or test that train has not; `rows`: their numbers in the source."""
    known = set(np.unique(values["train"]).tolist())
    for split in ("validation", "test"):
        strange = sorted(set(np.unique(values[split]).tolist()) - known)
        if strange:
            row = rows[split][int(np.argmax(values[split] == strange[0]))]
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
        f"{where}: column {column!r} holds {kind}, but a label is one class or one number",
        hint="state another --label-column, or write one label a row",
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


def _mask(keep: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    return pa.array(keep)


def _is_text(values: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return pa.types.is_string(values.type) or pa.types.is_large_string(values.type)


def _without_missing_numbers(
    cells: Mapping[str, pa.ChunkedArray], rows: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[str, pa.ChunkedArray], dict[str, NDArray[np.int64]], str]:
    """Texts that are numbers as numbers, however they are written, and how that is.

    `n/a` and its like are no label where all others are numbers, and are left out. All of it stays
    as it is where some cells are words.
    """
    cells, rows = dict(cells), dict(rows)
    if not all(_is_text(values) for values in cells.values()):
        return cells, rows, ""
    texts = [cell for values in cells.values() for cell in values.to_pylist()]
    numbers, how = as_numbers(texts)
    no_number = np.isnan(numbers)
    if no_number.all() or any(
        texts[i].strip().lower() not in MISSING for i in np.flatnonzero(no_number)
    ):
        return cells, rows, ""
    import pyarrow as pa

    start = 0
    for split, values in cells.items():
        part = numbers[start : start + len(values)]
        start += len(values)
        there = ~np.isnan(part)
        if how:
            cells[split] = pa.chunked_array([pa.array(part[there])])
        elif not there.all():
            cells[split] = values.filter(_mask(there))
        rows[split] = rows[split][there]
    return cells, rows, how


def _numbers(
    cells: Mapping[str, pa.ChunkedArray],
    rows: Mapping[str, NDArray[np.int64]],
    column: str,
    where: Mapping[str, str],
    *,
    stated: bool | None,
) -> dict[str, NDArray[np.float64]] | None:
    """All labels as numbers, None if some are words. `stated`: whether a regression is, or not.

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
            at = int(np.argmin(fits))
            raise DataError(
                f"{where[split]}: {array[at]} in row {rows[split][at]}, column {column!r}, is "
                "no finite 32-bit number",
                hint="correct it, or leave the cell empty: rows without a label are left out",
            )
    total = sum(len(array) for array in words.values())
    bad = sum(int(array.sum()) for array in words.values())
    numeric = np.concatenate([array[~np.isnan(array)] for array in found.values()])
    mostly = bad * 10 < total and (np.any(numeric % 1 != 0) or len(np.unique(numeric)) > FEW)
    if bad and stated is not False:
        _check_commas(cells, rows, column, where)
    if bad and (stated or (mostly and stated is None)):
        split = next(split for split, array in words.items() if array.any())
        at = int(np.argmax(words[split]))
        raise DataError(
            f"{where[split]}: {cells[split][at].as_py()!r} in row {rows[split][at]}, column "
            f"{column!r}, is not a number ({bad} of {total} rows)",
            hint="write a number, or leave the cell empty: rows without a label are left out",
        )
    if bad:
        return None
    return found


def _check_commas(
    cells: Mapping[str, pa.ChunkedArray],
    rows: Mapping[str, NDArray[np.int64]],
    column: str,
    where: Mapping[str, str],
) -> None:
    """`1,234` in all rows may be either number; a guess would be wrong by a factor of 1000."""
    texts = {split: values.to_pylist() for split, values in cells.items() if _is_text(values)}
    if is_ambiguous([cell for part in texts.values() for cell in part]):
        split = next(split for split, part in texts.items() if any("," in c for c in part))
        at = next(i for i, cell in enumerate(texts[split]) if "," in cell)
        cell = texts[split][at]
        raise DataError(
            f"{where[split]}: {cell!r} in row {rows[split][at]}, column {column!r}, may be "
            f"{cell.replace(',', '')} or {cell.replace(',', '.')}",
            hint="write numbers with a decimal point, and nothing between thousands",
        )


def _check_dates(
    cells: Mapping[str, pa.ChunkedArray],
    rows: Mapping[str, NDArray[np.int64]],
    column: str,
    where: Mapping[str, str],
) -> None:
    """More than a few different dates are neither classes nor numbers."""
    every = [cell for values in cells.values() for cell in values.to_pylist()]
    if len(set(every)) > FEW and all(DATE.fullmatch(cell) for cell in every):
        split = next(iter(cells))
        raise DataError(
            f"{where[split]}: column {column!r} holds dates ({every[0]!r} in row "
            f"{rows[split][0]}), which are neither classes nor numbers",
            hint="state another --label-column, or --task text-classification",
        )


def _parsed(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Cells as numbers, NaN where a cell is a word."""
    if not _is_text(values):
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
    rows: dict[str, NDArray[np.int64]],
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
    return Labels({s: a.astype(np.int64) for s, a in ids.items()}, names, tuple(notes), rows)
