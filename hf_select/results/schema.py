"""What a record looks like in parquet: one table schema a kind, rows to bytes and back.

Kinds: `runs`, `models`, `datasets`, `proxies`, `recipes`. A file says its kind, the schema
version and when it was written in the parquet schema metadata. Validation scores and test scores
are float64 and survive a round trip bit by bit; losses and seconds are float32.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_select.errors import InputError
from hf_select.metrics import get_metric
from hf_select.records import (
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    ProxyRow,
    Recipe,
    RunKey,
    RunRecord,
)

SCHEMA_VERSION = 1
META_VERSION, META_KIND, META_CREATED = (
    b"hf_select.schema_version",
    b"hf_select.kind",
    b"hf_select.created",
)
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""What a task's or submitter's name may look like: both become folder names."""

_TEXT = pa.string()
_TEXTS = pa.list_(pa.string())
_KEY = ("model", "model_revision", "dataset", "dataset_revision", "config")
_RUN = (
    *("task", "metric", "status", "test", "baseline", "reason", "seconds", "hardware"),
    *("submitter", "origin", "created"),
)
_CURVE = {
    "epochs": pa.list_(pa.float64()),
    "val": pa.list_(pa.float64()),
    "val_loss": pa.list_(pa.float32()),
    "train_loss": pa.list_(pa.float32()),
    "curve_seconds": pa.list_(pa.float32()),
}
SCHEMAS: dict[str, pa.Schema] = {
    "runs": pa.schema(
        {
            "task": _TEXT,
            **dict.fromkeys(_KEY, _TEXT),
            "recipe": _TEXT,
            "seed": pa.int64(),
            "metric": _TEXT,
            "status": _TEXT,
            "test": pa.float64(),
            "baseline": pa.float64(),
            **_CURVE,
            "reason": _TEXT,
            "seconds": pa.float32(),
            "hardware": _TEXT,
            "versions": _TEXT,  # JSON
            "submitter": _TEXT,
            "origin": _TEXT,
            "created": _TEXT,
        }
    ),
    "models": pa.schema(
        {
            "task": _TEXT,
            "repo_id": _TEXT,
            "revision": _TEXT,
            "architecture": _TEXT,
            "num_parameters": pa.int64(),
            "license": _TEXT,
            "languages": _TEXTS,
            "base_model": _TEXT,
            "relation": _TEXT,
            "weights_sha256": _TEXT,
        }
    ),
    "datasets": pa.schema(
        {
            "task": _TEXT,
            "repo_id": _TEXT,
            "revision": _TEXT,
            "config": _TEXT,
            "input_columns": _TEXTS,
            "label_column": _TEXT,
            "num_labels": pa.int64(),
            "label_names": _TEXTS,
            "metric": _TEXT,
            "splits": _TEXT,  # JSON: split -> rows
            "baseline": pa.float64(),
            "license": _TEXT,
        }
    ),
    "proxies": pa.schema(
        {
            "task": _TEXT,
            **dict.fromkeys(_KEY, _TEXT),
            "proxy": _TEXT,
            "value": pa.float64(),
            "seconds": pa.float32(),
            "rows": pa.int64(),
        }
    ),
    "recipes": pa.schema({"digest": _TEXT, "recipe": _TEXT}),  # recipe: JSON
    "matrix": pa.schema(  # derived from the runs; for readers without this package
        {
            "task": _TEXT,
            "recipe": _TEXT,
            "model": _TEXT,
            "dataset": _TEXT,
            "metric": _TEXT,
            "score": pa.float64(),
            "spread": pa.float64(),
            "seeds": pa.int64(),
            "baseline": pa.float64(),
        }
    ),
}
STORED = ("runs", "models", "datasets", "proxies", "recipes")
"""The kinds that are the record; `matrix` is made of them."""

Row = RunRecord | ModelEntry | DatasetEntry | ProxyRow | Recipe


class ShardError(Exception):
    """A file that is not a whole table of a schema that this version reads."""


@dataclass(frozen=True)
class Shard:
    """What one parquet file holds. `problems` are its rows that can't be used."""

    kind: str
    created: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...]


# ------------------------------------------------------------------------------ rows -> bytes


def encode(kind: str, rows: Sequence[Row], created: str = "") -> bytes:
    """Rows of one kind as a parquet file; the same rows and time always give the same bytes."""
    columns = _ENCODERS[kind](rows)
    return write_table(kind, columns, created)


def write_table(kind: str, columns: Mapping[str, Any], created: str = "") -> bytes:
    """Columns as a parquet file with this project's metadata and compression."""
    metadata = {
        META_VERSION: str(SCHEMA_VERSION).encode(),
        META_KIND: kind.encode(),
        META_CREATED: created.encode(),
    }
    schema = SCHEMAS[kind].with_metadata(metadata)
    arrays = [_array(columns[name], schema.field(name).type) for name in schema.names]
    table = pa.Table.from_arrays(arrays, schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=9, use_dictionary=True)
    return sink.getvalue().to_pybytes()


def _array(values: Sequence[Any] | np.ndarray, kind: pa.DataType) -> pa.Array:
    """Values as an Arrow array. `pa.array` would do the same, but imports pandas (0.3 s) for it."""
    if pa.types.is_list(kind):
        ends = np.cumsum([0, *(len(value) for value in values)])
        inside = _array([item for value in values for item in value], kind.value_type)
        return pa.ListArray.from_arrays(_array(ends, pa.int32()), inside)
    if not pa.types.is_string(kind):
        numbers = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
        return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
    parts = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, parts)], dtype=np.int32)
    known = np.array([value is not None for value in values], dtype=bool)
    buffers = [
        pa.py_buffer(np.packbits(known, bitorder="little")),
        pa.py_buffer(ends),
        pa.py_buffer(b"".join(parts)),
    ]
    return pa.Array.from_buffers(kind, len(parts), buffers)


def _encode_runs(rows: Sequence[RunRecord]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        f.name: [getattr(row.key, f.name) for row in rows] for f in fields(RunKey)
    }
    columns |= _encode_plain(_RUN)(rows)
    columns["versions"] = [_json(row.versions) for row in rows]
    for column in _CURVE:
        name = "seconds" if column == "curve_seconds" else column
        columns[column] = [getattr(row.curve, name) for row in rows]
    return columns


def _encode_plain(names: Iterable[str]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    return lambda rows: {name: [getattr(row, name) for row in rows] for name in names}


def _encode_datasets(rows: Sequence[DatasetEntry]) -> dict[str, Any]:
    columns = _encode_plain(SCHEMAS["datasets"].names)(rows)
    columns["splits"] = [_json(row.splits) for row in rows]
    return columns


def _encode_recipes(rows: Sequence[Recipe]) -> dict[str, Any]:
    return {
        "digest": [row.digest() for row in rows],
        "recipe": [_json(row.to_dict()) for row in rows],
    }


_ENCODERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "runs": _encode_runs,
    "models": _encode_plain(SCHEMAS["models"].names),
    "datasets": _encode_datasets,
    "proxies": _encode_plain(SCHEMAS["proxies"].names),
    "recipes": _encode_recipes,
}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"))


# ------------------------------------------------------------------------------ bytes -> rows


def decode(data: bytes) -> Shard:
    """The rows of a parquet file; a row that can't be used becomes a problem, not an error.

    Raises `ShardError` for bytes that are cut off, of an unknown kind, of a newer schema
    version, or with columns that the schema doesn't have.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:  # pq.read_table imports pandas
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"not a readable parquet file ({str(error).splitlines()[0]})") from error
    metadata = table.schema.metadata or {}
    version = metadata.get(META_VERSION, b"").decode(errors="replace")
    kind = metadata.get(META_KIND, b"").decode(errors="replace")
    if not version.isdigit():
        raise ShardError("no hf_select.schema_version in the parquet metadata")
    if int(version) > SCHEMA_VERSION:
        raise ShardError(
            f"schema version {version} is newer than {SCHEMA_VERSION}, the newest known here"
        )
    if kind not in STORED:
        raise ShardError(f"kind is {kind!r}, but must be one of {', '.join(STORED)}")
    schema = SCHEMAS[kind]
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise ShardError(
            f"{kind} table with unknown column {unknown[0]!r}"
            if unknown
            else f"{kind} table without column {missing[0]!r}"
        )
    try:
        columns = {name: table[name].cast(schema.field(name).type) for name in schema.names}
    except pa.ArrowException as error:
        raise ShardError(f"{kind} table with a column of another type ({error})") from error
    rows, problems = _read_rows(kind, columns, table.num_rows)
    created = metadata.get(META_CREATED, b"").decode(errors="replace")
    return Shard(kind, created, tuple(rows), tuple(problems))


def _read_rows(kind: str, columns: dict[str, Any], count: int) -> tuple[list[Row], list[str]]:
    values = {
        name: _curves(column) if name in _CURVE else column.to_pylist()
        for name, column in columns.items()
    }
    rows: list[Row] = []
    problems: list[str] = []
    for number in range(count):
        row = {name: column[number] for name, column in values.items()}
        try:
            rows.append(check(_DECODERS[kind](row)))
        except (ValueError, TypeError, KeyError, InputError) as error:
            problems.append(f"row {number}: {error}")
    return rows, problems


def _curves(column: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of lists as one float64 array a row; a missing number is NaN."""
    return [np.array(values or (), dtype=np.float64) for values in column.to_pylist()]


def _decode_run(row: dict[str, Any]) -> RunRecord:
    key = RunKey(**{f.name: row.pop(f.name) for f in fields(RunKey)})
    curve = LearningCurve(*(row.pop(name) for name in _CURVE))
    return RunRecord(key=key, curve=curve, **{**row, "versions": json.loads(row["versions"])})


def _decode_dataset(row: dict[str, Any]) -> DatasetEntry:
    for name in ("input_columns", "label_names"):
        row[name] = tuple(row[name] or ())
    return DatasetEntry(**{**row, "splits": json.loads(row["splits"])})


def _decode_recipe(row: dict[str, Any]) -> Recipe:
    recipe = Recipe.from_dict(json.loads(row["recipe"]))
    if recipe.digest() != row["digest"]:
        raise ValueError(f"recipe has digest {recipe.digest()}, the row says {row['digest']}")
    return recipe


_DECODERS: dict[str, Callable[[dict[str, Any]], Row]] = {
    "runs": _decode_run,
    "models": lambda row: ModelEntry(**{**row, "languages": tuple(row["languages"] or ())}),
    "datasets": _decode_dataset,
    "proxies": lambda row: ProxyRow(**row),
    "recipes": _decode_recipe,
}


# ---------------------------------------------------------------------------------- checks


def check(row: Row) -> Row:
    """The row itself if it may enter the record; a `ValueError` names what is wrong with it."""
    if isinstance(row, Recipe):
        return row
    if not SAFE_NAME.fullmatch(row.task) or ".." in row.task:
        raise ValueError(f"task {row.task!r} is not a name like 'text-classification'")
    for name, value in _names(row):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{name} is {value!r}, but must be a name")
        if not value.isprintable() or value.startswith("/") or ".." in value.split("/"):
            raise ValueError(f"{name} is {value!r}, which is not a safe name")
    if isinstance(row, RunRecord):
        _check_run(row)
    if isinstance(row, DatasetEntry):
        get_metric(row.metric)
    return row


def _names(row: RunRecord | ModelEntry | DatasetEntry | ProxyRow) -> list[tuple[str, str]]:
    if isinstance(row, RunRecord):
        key = row.key
        return [("model", key.model), ("dataset", key.dataset), ("recipe", key.recipe)]
    if isinstance(row, ProxyRow):
        return [("model", row.model), ("dataset", row.dataset), ("proxy", row.proxy)]
    return [("repo_id", row.repo_id)]


def _check_run(row: RunRecord) -> None:
    """A run that an older or a foreign writer made is held to what ours would have written."""
    metric = get_metric(row.metric)
    bad = [v for v in row.curve.val[~np.isnan(row.curve.val)] if not metric.valid(float(v))]
    if bad:
        raise ValueError(f"validation score {bad[0]} is outside the range of {row.metric}")
    if row.status != "ok" and not row.reason:
        raise ValueError(f"a run that ended as {row.status!r} must say why (`reason` is empty)")
