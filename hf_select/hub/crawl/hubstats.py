"""A daily table of all models on the Hub as a source: `cfahlgren1/hub-stats`, `models.parquet`.

Its columns carry the names of the API's properties (seen in programs that read it:
`safetensors` is a struct with `total`, `baseModels` one of `relation` and `models`, `tags` a list,
`cardData` JSON). They have changed over time, so every column that a decision needs may be missing,
and may be a struct or its JSON text. Only those columns are read, in ranges, a row group after the
other, and of the rows only the ones of the task's pipeline tags.

The table is up to a day old: whatever is shortlisted from it is asked for once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_select.errors import InputError, MissingError
from hf_select.hub.client import Hub
from hf_select.hub.crawl.facts import parse
from hf_select.hub.crawl.listing import Batch
from hf_select.hub.crawl.query import EXPAND, ModelQuery

DATASET = "cfahlgren1/hub-stats"
PATH = "models.parquet"
COLUMNS = ("id", *EXPAND, "baseModels")
STRUCTS = ("safetensors", "config", "transformersInfo", "baseModels")
NEEDED = {"sha": ("no_commit",), "config": ("no_config", "unsupported_architecture")}
"""Columns whose lack is no model's fault -> the reasons that then have to wait."""
ROWS_A_BATCH = 20_000
BUFFER = 4 * 2**20  # bytes of a column chunk that are fetched at a time


class HubStats:
    """The rows of the table that belong to the task.

    Raises `InputError` if the data set isn't there any more or has no such table.
    """

    def __init__(self, hub: Hub, query: ModelQuery, *, since: str = "") -> None:
        self._hub, self._query, self._since = hub, query, since

    def batches(self, cursor: Any) -> Iterator[Batch]:
        """As `Source` says; a cursor is [commit of the table, row group, batches done of it]."""
        commit, group, done = cursor or (None, 0, 0)
        try:
            commit = commit or self._hub.head_commit(DATASET, repo_type="dataset")
            remote = self._hub.open(DATASET, PATH, repo_type="dataset", revision=commit)
            # Column chunks are fetched in pieces, so that a row group of any size fits in memory.
            file = pq.ParquetFile(remote, buffer_size=BUFFER, pre_buffer=False)
        except MissingError as error:
            raise InputError(
                f"there is no table of all models: {error.message}",
                hint="leave --source hub-stats out: the Hub's own listing needs no table",
            ) from error
        except pa.ArrowException as error:
            raise InputError(
                f"{PATH} of {DATASET} isn't a parquet file: {error}",
                hint="leave --source hub-stats out",
            ) from error
        names = [name for name in COLUMNS if name in file.schema_arrow.names]
        if not {"id", "pipeline_tag", "tags"} <= set(names):
            raise InputError(
                f"{PATH} of {DATASET} has no columns id, pipeline_tag and tags",
                hint="leave --source hub-stats out: the Hub's own listing needs no table",
            )
        left_open = {code for name, codes in NEEDED.items() if name not in names for code in codes}
        for number in range(group, file.num_row_groups):
            skipped = done if number == group else 0
            pieces = file.iter_batches(ROWS_A_BATCH, row_groups=[number], columns=names)
            words = f"row group {number + 1} of {file.num_row_groups}"
            for i, piece in enumerate(pieces, 1):
                if i > skipped:
                    cursor = [commit, number, i]
                    yield Batch(self._rows(piece), cursor, words, left_open=frozenset(left_open))
            # So that nobody reads a row group again to see that it is at its end.
            yield Batch([], [commit, number + 1, 0], f"{words}, all of it")

    def _rows(self, piece: pa.RecordBatch) -> list[dict[str, Any]]:
        wanted = pc.is_in(piece["pipeline_tag"], pa.array(self._query.pipeline_tags))
        rows = [as_row(row) for row in piece.filter(wanted).to_pylist()]
        if self._since:
            rows = [row for row in rows if parse(row).modified >= self._since]
        return rows


def as_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table as the API would spell it."""
    for name in STRUCTS:
        if isinstance(row.get(name), str):
            try:
                row[name] = json.loads(row[name])
            except ValueError:
                row[name] = None
    config = row.get("config")
    if isinstance(config, dict):  # a struct has a field for everything any model has
        row["config"] = {key: value for key, value in config.items() if value is not None}
    bases = row.pop("baseModels", None)
    if isinstance(bases, dict) and isinstance(row.get("tags"), list):
        named = [base for base in bases.get("models") or [] if isinstance(base, dict)]
        new = [f"base_model:{bases.get('relation')}:{base.get('id')}" for base in named]
        row["tags"] = [*row["tags"], *(tag for tag in new if tag not in row["tags"])]
    return row
