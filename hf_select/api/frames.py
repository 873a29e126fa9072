"""Results as pandas tables: a row an item, a column a field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, Any]], *, index: str | None = None) -> pd.DataFrame:
    """A table of those rows, with the columns of all of them in the order of the first."""
    import pandas as pd

    listed = [dict(row) for row in rows]
    columns = list(dict.fromkeys(name for row in listed for name in row))
    table = pd.DataFrame(listed, columns=columns)
    return table if index is None or not listed else table.set_index(index)
