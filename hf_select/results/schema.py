"""What a record looks like in parquet: one table schema a kind, rows to bytes and back.

Kinds: `runs`, `models`, `datasets`, `proxies`, `recipes`, and what a snapshot derives from them:
`matrix`, `clusters`, `sizes`. A file says its kind, the schema version and when it was written in
the parquet metadata. Validation scores and test scores are float64 and survive a round trip bit by
bit; losses and seconds are float32.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_select.errors import InputError
from hf_select.metrics import get_metric
from hf_select.records import (
    NAN,
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    ProxyRow,
    Recipe,
    RunKey,
    RunRecord,
)
from hf_select.redaction import redact

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
            "created": _TEXT,
            "epochs": _CURVE["epochs"],
            "val": _CURVE["val"],
            "curve_seconds": _CURVE["curve_seconds"],  # so far what `curve_runs` reads, in one go
            "val_loss": _CURVE["val_loss"],
            "train_loss": _CURVE["train_loss"],
            "reason": _TEXT,
            "seconds": pa.float32(),
            "hardware": _TEXT,
            "versions": _TEXT,  # JSON
            "submitter": _TEXT,
            "origin": _TEXT,
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
            "trained_datasets": _TEXTS,
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
            "fingerprint": _TEXT,
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
            "scoring_seconds": pa.float32(),
        }
    ),
    "recipes": pa.schema({"digest": _TEXT, "recipe": _TEXT}),  # recipe: JSON
    "matrix": pa.schema(  # derived from the runs; for readers without this package
        {
            "task": _TEXT,
            "recipe": _TEXT,
            "model": _TEXT,
            "dataset": _TEXT,
            "dataset_revision": _TEXT,
            "metric": _TEXT,
            "score": pa.float64(),
            "spread": pa.float64(),
            "seeds": pa.int64(),
            "baseline": pa.float64(),
        }
    ),
    "clusters": pa.schema(  # one row a model of the matrix that was clustered
        {
            "task": _TEXT,
            "recipe": _TEXT,
            "model": _TEXT,
            "cluster": pa.int64(),
            "representative": pa.bool_(),
            "algorithm": _TEXT,
            "threshold": pa.float64(),
            "silhouette": pa.float64(),
        }
    ),
    "sizes": pa.schema({"task": _TEXT, "model": _TEXT, "num_parameters": pa.int64()}),
}
STORED = ("runs", "models", "datasets", "proxies", "recipes")
"""The kinds that are the record."""
DERIVED = ("matrix", "clusters", "sizes")
"""The kinds that a compaction makes of the others."""

READ_FOR_CURVES = SCHEMAS["runs"].names[: SCHEMAS["runs"].names.index("val_loss")]
"""The columns of `runs` that a `CurveSet` is made of: the first ones, side by side in the file."""

_GROUP = {"runs": 1000, "models": 400}
"""Rows of a row group, at least: what has to be read to get at a single row of those kinds."""
_STATISTICS = {"runs": ["recipe", "model", "metric"], "models": ["repo_id"]}
"""The columns by which row groups are passed over; each costs about 100 bytes a group."""
_UNIQUE = {
    "runs": {"created"},
    "models": {"repo_id", "revision", "weights_sha256"},
    "clusters": {"model"},
    "sizes": {"model"},
}
"""Columns in which hardly a value repeats: a dictionary of them would be larger than they are."""
_REPEATED = {("matrix", "model")}
"""Columns of texts that come again all over a large table: worth a sorted dictionary."""

LATER: dict[str, dict[str, Any]] = {
    "models": {"trained_datasets": []},
    "datasets": {"fingerprint": ""},
    "proxies": {"scoring_seconds": 0.0},
}
"""Columns that came later, and what stands for them in a file without them."""

Row = RunRecord | ModelEntry | DatasetEntry | ProxyRow | Recipe


class ShardError(Exception):
    """A file that is not a whole table of a schema that this version reads."""


class NewerSchemaError(ShardError):
    """A file that a newer version of this package has written, and can read."""


@dataclass(frozen=True)
class Shard:
    """What one parquet file holds. `problems` are its rows that can't be used.

    `numbers` says which row of the file each of `rows` is, counted from 0.
    """

    kind: str
    created: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    numbers: tuple[int, ...] = ()


# ------------------------------------------------------------------------------ rows -> bytes


def encode(kind: str, rows: Sequence[Row], created: str = "") -> bytes:
    """Rows of one kind as a parquet file; the same rows and time always give the same bytes."""
    columns = _ENCODERS[kind](rows)
    return write_table(kind, columns, created)


def write_table(kind: str, columns: Mapping[str, Any], created: str = "") -> bytes:
    """Columns (sequences, or Arrow arrays) as a parquet file with this project's layout."""
    schema = SCHEMAS[kind]
    arrays = [
        _coded(columns[name]) if (kind, name) in _REPEATED else _array(columns[name], field.type)
        for name, field in zip(schema.names, schema, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, names=schema.names)
    leaves = {name: f"{name}.list.element" for name in schema.names if _is_list(kind, name)}
    single = [n for n in schema.names if _value_type(schema.field(n).type) == pa.float32()]
    sink = pa.BufferOutputStream()
    writer = pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=9,
        # Scores of one split have few different values. Losses and seconds are noise but for their
        # leading bytes, which compress once they stand together.
        use_dictionary=[
            leaves.get(name, name)
            for name in schema.names
            if name not in single and name not in _UNIQUE.get(kind, ())
        ],
        use_byte_stream_split=[leaves.get(name, name) for name in single],
        dictionary_pagesize_limit=2**24,
        write_statistics=_STATISTICS.get(kind, True),
        store_schema=False,  # as large as a small shard, and says nothing that parquet doesn't
    )
    with writer:
        writer.write_table(table, row_group_size=_group_rows(kind, len(table)))
        writer.add_key_value_metadata(
            {
                META_VERSION: str(SCHEMA_VERSION).encode(),
                META_KIND: kind.encode(),
                META_CREATED: created.encode(),
            }
        )
    return sink.getvalue().to_pybytes()


def _group_rows(kind: str, rows: int) -> int:
    """Rows of a row group.

    Where single rows are read from afar so few that ten row groups and the footer, which grows
    with their number, are of about the same size.
    """
    return max(_GROUP[kind], isqrt(2 * rows)) if kind in _GROUP else max(1, rows)


def _coded(values: Sequence[str]) -> pa.Array:
    """Texts as codes into a sorted list of them: sorted, names that start alike compress well."""
    names = sorted(set(values))
    code = {name: number for number, name in enumerate(names)}
    codes = _array([code[value] for value in values], pa.int32())
    return pa.DictionaryArray.from_arrays(codes, _array(names, _TEXT))


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow array."""
    return _array(values, _TEXT)


def _array(values: Sequence[Any] | np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    """Values as an Arrow array. `pa.array` would do the same, but imports pandas (0.3 s) for it."""
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_list(kind):
        ends = np.cumsum([0, *(len(value) for value in values)])
        inside = _array([item for value in values for item in value], kind.value_type)
        return pa.ListArray.from_arrays(_array(ends, pa.int32()), inside)
    if pa.types.is_boolean(kind):
        bits = np.packbits(np.asarray(values, dtype=bool), bitorder="little")
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(bits)])
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
    columns["reason"] = [redact(row.reason) for row in rows]  # an exception may quote a token
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
    return rows_of(_read(data))


def rows_of(table: pa.Table) -> Shard:
    """As `decode`, of a table that was read already: all of a file's columns, any of its rows."""
    kind = check_header(table.schema)
    if kind not in STORED:
        raise ShardError(f"kind is {kind!r}, but must be one of {', '.join(STORED)}")
    columns = _cast(kind, table, SCHEMAS[kind].names)
    rows, numbers, problems = _read_rows(kind, columns, table.num_rows)
    created = (table.schema.metadata or {}).get(META_CREATED, b"").decode(errors="replace")
    return Shard(kind, created, tuple(rows), tuple(problems), tuple(numbers))


def derived(data: bytes, kind: str) -> pa.Table:
    """The table of a derived kind, its texts as dictionaries; `ShardError` as for `decode`."""
    table = _read(data)
    if check_header(table.schema) != kind:
        raise ShardError(f"it is no {kind} table")
    columns = _cast(kind, table, SCHEMAS[kind].names)
    for name, column in columns.items():
        if column.null_count:
            raise ShardError(f"{kind} table with a missing {name}")
        if SCHEMAS[kind].field(name).type == _TEXT:
            columns[name] = column.dictionary_encode()
    return pa.table(columns).unify_dictionaries().combine_chunks()


def curve_runs(table: pa.Table) -> list[RunRecord]:
    """Successful runs of which only `READ_FOR_CURVES` was read: all else of them is blank.

    Raises `ShardError` if a row can't be used.
    """
    check_header(table.schema)
    columns = _cast("runs", table, READ_FOR_CURVES)
    values = {
        name: _curves(column) if name in _CURVE else column.to_pylist()
        for name, column in columns.items()
    }
    runs = []
    for number in range(table.num_rows):
        row = {name: column[number] for name, column in values.items()}
        label, blank = _label("runs", row), np.full(len(row["epochs"]), np.nan)
        row |= {"val_loss": blank, "train_loss": blank, "versions": "{}"}
        try:
            runs.append(_decode_run(_filled("runs", row)))
            check(runs[-1])
        except (ValueError, TypeError, KeyError, InputError) as error:
            raise ShardError(f"the run of {label}: {error}") from error
    return runs


def check_header(schema: pa.Schema) -> str:
    """The kind that a file says it is of; `ShardError` for none and for a newer schema version."""
    metadata = schema.metadata or {}
    version = metadata.get(META_VERSION, b"").decode(errors="replace")
    if not version.isdigit():
        raise ShardError("no hf_select.schema_version in the parquet metadata")
    if int(version) > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"schema version {version} is newer than {SCHEMA_VERSION}, the newest known here"
        )
    return str(metadata.get(META_KIND, b"").decode(errors="replace"))


def _read(data: bytes) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:  # pq.read_table imports pandas
            table = file.read(use_threads=False)
        table.validate(full=True)  # text that is no UTF-8 would only fail when it is used
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"not a readable parquet file ({str(error).splitlines()[0]})") from error
    return table


def _with_later_columns(kind: str, table: pa.Table) -> pa.Table:
    """The table with the columns that files of earlier writers don't have."""
    for name, blank in LATER.get(kind, {}).items():
        if name not in table.column_names:
            values = _array([blank] * len(table), SCHEMAS[kind].field(name).type)
            table = table.append_column(name, values)
    return table


def _cast(kind: str, table: pa.Table, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """The named columns in the schema's types; a `ShardError` if the table has other columns."""
    schema = SCHEMAS[kind]
    table = _with_later_columns(kind, table)
    missing = [name for name in names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise ShardError(
            f"{kind} table with unknown column {unknown[0]!r}"
            if unknown
            else f"{kind} table without column {missing[0]!r}"
        )
    try:
        return {name: table[name].cast(schema.field(name).type) for name in names}
    except pa.ArrowException as error:
        raise ShardError(f"{kind} table with a column of another type ({error})") from error


def _read_rows(
    kind: str, columns: dict[str, Any], count: int
) -> tuple[list[Row], list[int], list[str]]:
    """The rows that can be used, their numbers, and what is wrong with the others."""
    values = {
        name: _curves(column) if name in _CURVE else column.to_pylist()
        for name, column in columns.items()
    }
    rows: list[Row] = []
    numbers: list[int] = []
    problems: list[str] = []
    for number in range(count):
        row = {name: column[number] for name, column in values.items()}
        label = _label(kind, row)
        try:
            rows.append(check(_DECODERS[kind](_filled(kind, row))))
            numbers.append(number)
        except (ValueError, TypeError, KeyError, InputError, RecursionError) as error:
            problems.append(f"row {number}: {label}: {error}")
    return rows, numbers, problems


_NAMED_BY = {
    "runs": ("model", "dataset"),
    "models": ("repo_id",),
    "datasets": ("repo_id",),
    "proxies": ("proxy", "model", "dataset"),
    "recipes": ("digest",),
}
_MAY_LACK = {"base_model", "relation", "weights_sha256"}


def _label(kind: str, row: Mapping[str, Any]) -> str:
    """What a row is about, in printable words, before anything of it is believed."""
    names = (str(row[name])[:100] for name in _NAMED_BY[kind])
    return " on ".join(name if name.isprintable() else repr(name) for name in names)


def _filled(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """A missing number as NaN (which pandas writes so); any other missing value is an error."""
    for name, value in row.items():
        if value is None and pa.types.is_floating(SCHEMAS[kind].field(name).type):
            row[name] = NAN
        elif value is None and name not in _MAY_LACK and not _is_list(kind, name):
            raise ValueError(f"{name} is missing")
    return row


def _is_list(kind: str, name: str) -> bool:
    return pa.types.is_list(SCHEMAS[kind].field(name).type)


def _curves(column: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of lists as one float64 array a row; a missing number is NaN."""
    return [np.array(values or (), dtype=np.float64) for values in column.to_pylist()]


def _decode_run(row: dict[str, Any]) -> RunRecord:
    key = RunKey(**{f.name: row.pop(f.name) for f in fields(RunKey)})
    curve = LearningCurve(*(row.pop(name) for name in _CURVE))
    return RunRecord(key=key, curve=curve, **{**row, "versions": _read_json(row, "versions", str)})


def _decode_dataset(row: dict[str, Any]) -> DatasetEntry:
    for name in ("input_columns", "label_names"):
        row[name] = _texts(row, name)
    return DatasetEntry(**{**row, "splits": _read_json(row, "splits", int)})


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = tuple(row[name] or ())
    if None in values:
        raise ValueError(f"{name} holds a missing value")
    return values


def _read_json(row: Mapping[str, Any], name: str, of: type) -> dict[str, Any]:
    """The JSON object in a column, whose values must all be of one type."""
    found = json.loads(row[name])
    if not isinstance(found, dict) or not all(type(value) is of for value in found.values()):
        raise ValueError(f"{name} is not a JSON object of {of.__name__} values")
    return found


def _decode_recipe(row: dict[str, Any]) -> Recipe:
    recipe = Recipe.from_dict(json.loads(row["recipe"]))
    if recipe.digest() != row["digest"]:
        raise ValueError(f"recipe has digest {recipe.digest()}, the row says {row['digest']}")
    return recipe


_DECODERS: dict[str, Callable[[dict[str, Any]], Row]] = {
    "runs": _decode_run,
    "models": lambda row: ModelEntry(
        **{**row, **{name: _texts(row, name) for name in ("languages", "trained_datasets")}}
    ),
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
