"""Rows of a parquet file without reading all of it: the footer says where they can be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_select.results.schema import ShardError, text_array

Where = Mapping[str, Collection[str]]
"""Column -> the values that it may have in the rows that are wanted."""


class PartialTable:
    """A parquet file of which parts are read; it is opened for each reading, its footer kept.

    Everything raises `ShardError` if it is no readable parquet file, and what `open_file` raises.
    """

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        self._open_file = open_file
        self._footer: pq.FileMetaData | None = None

    def rows(self, where: Where, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in which every column named by `where` has one of its values.

        Only row groups whose statistics can contain them are read, and of those `columns` (all by
        default), as few ranges as neighbouring columns allow.
        """
        with self._opened() as file:
            groups = self._groups(file.metadata, where)
            table = file.read_row_groups(groups, columns=columns, use_threads=False)
            table.validate(full=True)
            mask: Any = None
            for column, values in where.items():
                found = pc.is_in(table[column], value_set=text_array(sorted(values)))
                mask = found if mask is None else pc.and_(mask, found)
            return table if mask is None else table.filter(mask)

    def values(self, column: str, where: Where) -> set[str] | None:
        """What a column holds wherever `where` can be true, as far as the footer tells.

        None if it can't tell: a row group has several values, or no statistics.
        """
        with self._opened() as file:
            ends = [
                _ends(file.metadata, group, column) for group in self._groups(file.metadata, where)
            ]
        if any(end is None or end[0] != end[1] for end in ends):
            return None
        return {end[0] for end in ends if end is not None}

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._open_file() as raw:
            try:
                with pq.ParquetFile(raw, metadata=self._footer, pre_buffer=True) as file:
                    self._footer = file.metadata
                    yield file
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                said = str(error).splitlines() or [repr(error)]
                raise ShardError(f"not a readable parquet file ({said[0]})") from error

    def _groups(self, footer: pq.FileMetaData, where: Where) -> list[int]:
        wanted = {column: sorted(values) for column, values in where.items()}
        return [
            group
            for group in range(footer.num_row_groups)
            if all(
                _can_hold(_ends(footer, group, column), values) for column, values in wanted.items()
            )
        ]


def _ends(footer: pq.FileMetaData, group: int, column: str) -> tuple[str, str] | None:
    """The least and the greatest value of a column in a row group, None if they aren't known."""
    at = footer.schema.names.index(column)
    statistics = footer.row_group(group).column(at).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return statistics.min, statistics.max


def _can_hold(ends: tuple[str, str] | None, values: Sequence[str]) -> bool:
    """Whether one of the sorted values lies between the ends."""
    if ends is None:
        return True
    first = bisect_left(values, ends[0])
    return first < len(values) and values[first] <= ends[1]
