"""A target's three splits as parquet files that `datasets` reads, for a script of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_select.tasks.splitnames import SPLITS

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from hf_select.tasks.data import TargetData


def keep_rows(target: TargetData, folder: Path, *, train_rows: NDArray[np.int64]) -> list[Path]:
    """Write train.parquet (those rows of it), validation.parquet and test.parquet; their paths.

    Columns are the normalised ones, with their features. Images that lie in files are kept as
    absolute paths. A file is there whole or not at all.
    """
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for split in SPLITS:
        rows = target.split(split)
        if split == "train" and len(train_rows) < len(rows):
            rows = rows.select(train_rows)
        path = folder / f"{split}.parquet"
        partial = path.with_suffix(".partial")
        # the schema's metadata tells `datasets` of classes and images
        parquet.write_table(_table(rows).cast(rows.features.arrow_schema), partial)
        partial.replace(path)
        written.append(path)
    return written


def _table(rows: datasets.Dataset) -> pa.Table:
    """The rows, with images in files named so that they are found from any folder."""
    import datasets
    import pyarrow as pa

    table: pa.Table = rows.with_format("arrow")[:]
    image = rows.features.get("image")
    if not isinstance(image, datasets.Image):
        return table
    column = table.column("image").combine_chunks()
    cells = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    held = cells.field("bytes")
    paths = [
        str(Path(path).absolute()) if path and not has else path
        for path, has in zip(
            cells.field("path").to_pylist(), held.is_valid().to_pylist(), strict=True
        )
    ]
    named = pa.StructArray.from_arrays(
        [held, pa.array(paths, pa.string())], fields=list(image.pa_type)
    )
    return table.set_column(table.column_names.index("image"), "image", named)
