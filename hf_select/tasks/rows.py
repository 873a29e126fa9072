"""Checked rows of a source, before missing splits are made: what every reader of lists gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError, InputError
from hf_select.tasks.frames import is_a

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Rows:
    """Splits of a task whose rows hold lists: words with tags, or choices.

    `tables` have the task's own columns and `label` (N,), by which rows are sampled. hashes (N,):
    20 bytes that name a row's input. `names` of the classes; `inputs` and `label` are the source's
    columns; `metric` is the one that fits if none was stated; `where` names a split in messages.
    numbers (N,): those of a split's rows in the source, from 1.
    """

    task: str
    tables: dict[str, datasets.Dataset]
    hashes: dict[str, NDArray[np.void]]
    names: tuple[str, ...]
    inputs: tuple[str, ...]
    label: str
    metric: str
    where: Mapping[str, str]
    notes: tuple[str, ...]
    numbers: Mapping[str, NDArray[np.int64]]


def check_named(features: datasets.Features, stated: Iterable[str | None], where: str) -> None:
    """Raise `DataError` for a stated column that isn't there."""
    names = list(features)
    for name in stated:
        if name is not None and name not in names:
            near = get_close_matches(name, names, n=1)
            raise DataError(
                f"{where} has no column {name!r}",
                hint=(f"did you mean {near[0]!r}? " if near else "") + listed(names),
            )


def check_untouched(task: str, **stated: Any) -> None:
    """Raise `InputError` for a column that was stated, but that the task has no use for."""
    for name, value in stated.items():
        if value is not None:
            raise InputError(f"{task} takes no {name.replace('_', ' ')}, but {value!r} was stated")


def list_of(feature: Any) -> Any:
    """What a column of lists holds in its lists; None if it is no such column."""
    return feature.feature if is_a(feature, "List", "LargeList") else None


def is_list_of_text(feature: Any) -> bool:
    """Whether a column holds lists of texts."""
    return getattr(list_of(feature), "dtype", None) in ("string", "large_string", "string_view")


def whole(cells: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    import pyarrow as pa

    found = cells.combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # a column without a row has no chunk
        found = pa.array([], cells.type)
    return found


def hashes_of(rows: Iterable[Iterable[str]]) -> NDArray[np.void]:
    """20 bytes a row (N,) that name its texts and their order."""
    found = []
    for row in rows:
        state = hashlib.sha1(b"list", usedforsecurity=False)
        for text in row:
            data = text.encode("utf-8", "surrogatepass")
            state.update(len(data).to_bytes(8, "little") + data)
        found.append(state.digest())
    return np.frombuffer(b"".join(found), dtype="V20")


def table_of(
    columns: Mapping[str, tuple[pa.Array, Any]], hashes: NDArray[np.void]
) -> datasets.Dataset:
    """A split of those columns, each with its feature."""
    import datasets
    import pyarrow as pa

    features = datasets.Features({name: feature for name, (_, feature) in columns.items()})
    table = pa.table({name: cells for name, (cells, _) in columns.items()})
    return datasets.Dataset(
        datasets.table.InMemoryTable(table.cast(features.arrow_schema)),
        info=datasets.DatasetInfo(features=features),
        # Its own way to find one hashes all that is in memory by pickling it.
        fingerprint=hashlib.sha1(hashes.tobytes(), usedforsecurity=False).hexdigest()[:16],
    )


def listed(names: Iterable[str]) -> str:
    """Columns, for a hint."""
    return f"columns: {', '.join(names)}"
