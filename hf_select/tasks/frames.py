"""Rows of a data file before `datasets` is needed.

Importing that library takes most of the time that a refusal of bad input may take, so what can be
found wrong without it is found before.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


class Split(Protocol):
    """What is read of a split: of a `datasets.Dataset`, or of a `Frame`."""

    @property
    def column_names(self) -> list[str]: ...  # noqa: D102
    @property
    def features(self) -> Any: ...  # noqa: D102
    @property
    def data(self) -> Any: ...  # noqa: D102
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Plain:
    """The feature of a column of texts or numbers; `dtype` as that of `datasets.Value`."""

    dtype: str


class Frame:
    """A table as a split. Its features are those of `datasets` where they say more than a type.

    numbers (N,): those of its rows in the source, from 1, where some were left out.
    """

    def __init__(self, table: pa.Table, numbers: NDArray[np.int64] | None = None) -> None:
        self.data = table
        self.numbers = numbers

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def column_names(self) -> list[str]:
        """The columns, in their order."""
        names: list[str] = self.data.column_names
        return names

    @cached_property
    def features(self) -> Mapping[str, Any]:
        """Column -> its feature."""
        import pyarrow as pa

        schema = self.data.schema
        if b"huggingface" in (schema.metadata or {}) or any(map(pa.types.is_nested, schema.types)):
            import datasets

            return datasets.Features.from_arrow_schema(schema)
        return {field.name: Plain(str(field.type)) for field in schema}


def row_numbers(split: Split) -> NDArray[np.int64]:
    """The number of each row (N,) of a split in its source, from 1, for messages."""
    numbers = split.numbers if isinstance(split, Frame) else None
    return np.arange(1, len(split) + 1) if numbers is None else numbers


def is_a(feature: Any, *kinds: str) -> bool:
    """Whether a feature is of one of those classes of `datasets`, without importing it for that."""
    library = sys.modules.get("datasets")
    return library is not None and isinstance(feature, tuple(getattr(library, k) for k in kinds))
