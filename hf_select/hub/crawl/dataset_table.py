"""`datasets.parquet`: every config that a crawl of datasets decided about, a row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_select.errors import InputError
from hf_select.hub.crawl.dataset_rows import Candidate
from hf_select.records import NAN
from hf_select.results.files import write_atomic

FILE = "datasets.parquet"
SCHEMA_VERSION = 1
META_VERSION = b"hf_select.schema_version"

_TEXT, _TEXTS, _COUNT = pa.string(), pa.list_(pa.string()), pa.int64()
SCHEMA = pa.schema(
    {
        "task": _TEXT,
        "repo_id": _TEXT,
        "config": _TEXT,  # "": its only one
        "commit": _TEXT,
        "decision": _TEXT,  # accepted | rejected
        "reason": _TEXT,  # a code of REASONS
        "detail": _TEXT,
        "license": _TEXT,
        "languages": _TEXTS,
        "downloads": _COUNT,
        "modified": _TEXT,
        "train": _COUNT,  # rows; 0: not known
        "validation": _COUNT,
        "test": _COUNT,
        "num_labels": _COUNT,
        "bytes": _COUNT,
        "input_columns": _TEXTS,
        "label_column": _TEXT,
        "label_names": _TEXTS,
        "metric": _TEXT,
        "baseline": pa.float64(),
        "fingerprint": _TEXT,  # of the rows; "": they weren't read
    },
    metadata={META_VERSION: str(SCHEMA_VERSION).encode()},
)


def write_decisions(path: Path, task: str, decisions: Iterable[Candidate]) -> None:
    """Put decisions in the place of earlier ones about the same configs; others stay."""
    rows = [_row(task, found) for found in decisions]
    new = {(row["repo_id"], row["config"]) for row in rows}
    kept = [
        row
        for row in read_decisions(path)
        if row["task"] != task or (row["repo_id"], row["config"]) not in new
    ]
    table = pa.Table.from_pylist([*kept, *rows], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def read_decisions(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the file; none where there is no file.

    Raises `InputError` for a file that isn't one, or is of a newer version.
    """
    if not path.exists():
        return
    try:
        table = pq.read_table(path)
        version = int((table.schema.metadata or {}).get(META_VERSION, b"0"))
    except (pa.ArrowException, ValueError) as error:
        raise InputError(
            f"{path} can't be read: {error}", hint="remove it and crawl again"
        ) from error
    if not 1 <= version <= SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, but this is version {SCHEMA_VERSION}",
            hint="update hf-select, or crawl into another folder",
        )
    yield from table.to_pylist()


def _row(task: str, found: Candidate) -> dict[str, Any]:
    entry = found.entry
    return {
        "task": task,
        "repo_id": found.repo_id,
        "config": found.config,
        "commit": found.commit,
        "decision": "rejected" if found.reason else "accepted",
        "reason": found.reason,
        "detail": found.detail,
        "license": found.license,
        "languages": list(found.languages),
        "downloads": found.downloads,
        "modified": found.modified,
        **{split: found.rows.get(split, 0) for split in ("train", "validation", "test")},
        "num_labels": found.num_labels,
        "bytes": found.bytes,
        "input_columns": list(entry.input_columns) if entry else [],
        "label_column": entry.label_column if entry else "",
        "label_names": list(entry.label_names) if entry else [],
        "metric": entry.metric if entry else "",
        "baseline": entry.baseline if entry else NAN,
        "fingerprint": found.fingerprint,
    }
