"""`datasets.parquet`: every config that a crawl of datasets decided about, a row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_select.files import write_atomic
from hf_select.hub.crawl.dataset_decide import Candidate
from hf_select.hub.crawl.parquet import check_version, reading, versioned
from hf_select.records import NAN

FILE = "datasets.parquet"
SCHEMA_VERSION = 1

_TEXT, _TEXTS, _COUNT = pa.string(), pa.list_(pa.string()), pa.int64()
_FIELDS = pa.schema(
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
    }
)
SCHEMA = versioned(_FIELDS, SCHEMA_VERSION)


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
    with reading(path):
        table = pq.read_table(path)
        check_version(path, table.schema, SCHEMA_VERSION)
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
