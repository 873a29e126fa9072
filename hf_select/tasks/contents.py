"""What a column holds, told from some of its cells: texts, words, numbers, dates, file names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hf_select.tasks.numbers import as_numbers

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2000
"""Cells that are looked at, evenly spread over the column."""

WORDY = 3.0
"""Words a cell, on average, from which on a column is one of texts."""

MOSTLY = 0.95
PICTURE = re.compile(r"[^\n]+\.(?:png|jpe?g|webp|bmp|gif|tiff?|ppm)", re.IGNORECASE)
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
)

Kind = Literal["texts", "words", "numbers", "dates", "image paths", "nothing", "other"]


@dataclass(frozen=True)
class Contents:
    """`distinct` and `rows` are those of the cells that were looked at; `words` a cell in them."""

    kind: Kind
    rows: int
    distinct: int
    words: float = 0.0

    @property
    def constant(self) -> bool:
        """One value only."""
        return self.rows > 1 and self.distinct == 1

    @property
    def unlike(self) -> bool:
        """A value of its own in nearly every row."""
        return self.rows > 1 and self.distinct > 0.9 * self.rows

    def __str__(self) -> str:
        if self.kind == "nothing":
            return "nothing"
        if self.constant:
            return "one value only"
        if self.kind == "texts":
            return f"{self.words:.0f} words a row"
        many = "a value of its own in each row" if self.unlike else f"{self.distinct} values"
        return many if self.kind in ("words", "other") else f"{self.kind}, {many}"


Look = Callable[[str], Contents]
"""Column -> what it holds."""


def look_at(cells: pa.ChunkedArray) -> Contents:
    """What a column holds."""
    import pyarrow as pa

    total = len(cells)
    if total > ROWS:
        cells = cells.take(pa.array(np.linspace(0, total - 1, ROWS).astype(np.int64)))
    if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
        return Contents("other", len(cells), len(cells))
    found = [cell for cell in cells.to_pylist() if cell is not None and cell != ""]
    distinct = len(set(found))
    if not found:
        return Contents("nothing", 0, 0)
    if pa.types.is_temporal(cells.type):
        return Contents("dates", len(found), distinct)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        kind: Kind = "words" if pa.types.is_boolean(cells.type) else "numbers"
        return Contents(kind, len(found), distinct)
    words = float(np.mean([len(cell.split()) for cell in found]))
    return Contents(_kind(found, words), len(found), distinct, words)


def _kind(found: list[str], words: float) -> Kind:
    def share(matches: int) -> bool:
        return matches >= MOSTLY * len(found)

    if share(sum(DATE.fullmatch(cell.strip()) is not None for cell in found)):
        return "dates"
    if share(sum(PICTURE.fullmatch(cell.strip()) is not None for cell in found)):
        return "image paths"
    numbers, _ = as_numbers(found)
    if share(int(np.isfinite(numbers).sum())):
        return "numbers"
    return "texts" if words >= WORDY else "words"


def holds_paths(cells: pa.ChunkedArray) -> bool:
    """Whether a column holds names of image files."""
    import pyarrow as pa

    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return False
    return look_at(cells).kind == "image paths"
