"""`candidates.parquet`: every model that a crawl has seen, a row each, accepted or rejected.

Rows come and go as arrow tables, a page at a time: a million models as Python objects would not
fit into the memory that a laptop can spare.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_select.files import written
from hf_select.hub.crawl.decide import REASONS, Loadable, decide
from hf_select.hub.crawl.facts import Facts, parse
from hf_select.hub.crawl.parquet import check_version, reading, versioned
from hf_select.hub.crawl.query import ModelQuery
from hf_select.records import Rejected

FILE = "candidates.parquet"
SCHEMA_VERSION = 1

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
_TYPES = {str: _TEXT, int: pa.int64(), bool: pa.bool_(), list[str]: _TEXTS}
PAGE_SCHEMA = pa.schema(
    {
        **{name: _TYPES[kind] for name, kind in get_type_hints(Facts).items()},
        "reason": _TEXT,  # a code of REASONS, "" for a candidate
    }
)
"""A page as it is kept while a crawl goes on: facts, and what they alone decide."""

_FIELDS = pa.schema(
    [
        ("task", _TEXT),
        *PAGE_SCHEMA.remove(PAGE_SCHEMA.get_field_index("reason")),
        ("decision", _TEXT),  # accepted | rejected
        ("reason", _TEXT),
        ("detail", _TEXT),
        ("flags", _TEXTS),
        ("inspected", pa.bool_()),
        ("security", _TEXT),
        ("weights_sha256", _TEXT),
        ("ancestors", _TEXTS),
        ("ancestor_licenses", _TEXTS),
        ("previous_commit", _TEXT),
    ]
)
SCHEMA = versioned(_FIELDS, SCHEMA_VERSION)
ROWS_A_GROUP = 50_000


@dataclass(frozen=True)
class Verdict:
    """What became of one candidate, and what was found out about it on the way.

    `reason` is a code of `REASONS`, "" if it was accepted. `num_parameters` 0: as its row says.
    `facts`: newer ones than its row's.
    """

    reason: str = ""
    detail: str = ""
    flags: tuple[str, ...] = ()
    inspected: bool = False
    security: str = ""
    weights_sha256: str = ""
    num_parameters: int = 0
    ancestors: tuple[str, ...] = ()
    ancestor_licenses: tuple[str, ...] = ()
    previous_commit: str = ""
    facts: Facts | None = None


def decide_page(
    rows: Iterable[Mapping[str, Any]],
    query: ModelQuery,
    loadable: Loadable = None,
    left_open: Container[str] = (),
) -> pa.Table:
    """The rows of a page as a table of `PAGE_SCHEMA`: parsed and decided, one after the other."""
    facts = [parse(row, query.languages) for row in rows]
    decisions = [decide(f, query, loadable, left_open) for f in facts]
    reasons = [d.reason if isinstance(d, Rejected) else "" for d in decisions]
    return page_table(facts, reasons)


def page_table(facts: list[Facts], reasons: list[str]) -> pa.Table:
    """Facts and reasons as columns."""
    columns = [*zip(*facts, strict=True)] if facts else [()] * len(Facts._fields)
    arrays = [
        pa.array(values, field.type)
        for values, field in zip([*columns, reasons], PAGE_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=PAGE_SCHEMA)


def judged(table: pa.Table, task: str, first: int, verdicts: Mapping[int, Verdict]) -> pa.Table:
    """A page as rows of `SCHEMA`. `verdicts` belong to rows, the page's first one is `first`."""
    rows = range(first, first + len(table))
    mine = {row - first: verdicts[row] for row in rows if row in verdicts}
    columns: dict[str, Any] = {name: table[name] for name in PAGE_SCHEMA.names}
    if mine:
        columns |= _corrected(table, mine)
    rejected = pc.not_equal(columns["reason"], "")
    columns["decision"] = pc.if_else(rejected, "rejected", "accepted")
    columns["task"] = pa.repeat(pa.scalar(task), len(table))
    for field in SCHEMA:
        if field.name not in columns:
            columns[field.name] = _extras(field, len(table), mine)
    return pa.Table.from_arrays([columns[f.name] for f in SCHEMA], schema=SCHEMA)


def _corrected(table: pa.Table, verdicts: Mapping[int, Verdict]) -> dict[str, pa.Array]:
    """The columns of a page in which a verdict knows better than the row."""
    changed: dict[str, dict[int, Any]] = {"reason": {}, "num_parameters": {}}
    for i, verdict in verdicts.items():
        changed["reason"][i] = verdict.reason
        for name, value in (verdict.facts._asdict() if verdict.facts else {}).items():
            changed.setdefault(name, {})[i] = value
        if verdict.num_parameters:
            changed["num_parameters"][i] = verdict.num_parameters
    columns = {}
    for name, values in changed.items():
        column = table[name].to_pylist()
        for i, value in values.items():
            column[i] = value
        columns[name] = pa.array(column, PAGE_SCHEMA.field(name).type)
    return columns


def _extras(field: pa.Field, length: int, verdicts: Mapping[int, Verdict]) -> pa.Array:
    """A column of what verdicts say; most rows of most pages have none."""
    default = getattr(Verdict(), field.name)
    if not verdicts and length:
        nothing = [] if isinstance(default, tuple) else default
        return pa.repeat(pa.scalar(nothing, field.type), length)
    values = [default] * length
    for i, verdict in verdicts.items():
        values[i] = getattr(verdict, field.name)
    return pa.array(values, field.type)


def write_candidates(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write the file whole or not at all, a row group at a time. Returns the number of rows."""
    rows = 0
    with written(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for table in _grouped(tables):
            writer.write_table(table, row_group_size=ROWS_A_GROUP)
            rows += len(table)
    return rows


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROWS_A_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def read_candidates(
    catalog: str | Path, *, task: str | None = None, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a catalog's `candidates.parquet`, in tables of up to a row group.

    Raises `InputError` for a file that isn't one or is of a newer version. No file: no tables.
    """
    path = Path(catalog) / FILE
    if not path.exists():
        return
    with reading(path), pq.ParquetFile(path) as file:
        check_version(path, file.schema_arrow, SCHEMA_VERSION)
        wanted = columns and list(dict.fromkeys([*columns, *(["task"] if task else [])]))
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=wanted)
            if task is not None:
                table = table.filter(pc.equal(table["task"], task))
            yield table.select(columns) if columns else table


def count_reasons(tables: Iterable[pa.Table]) -> dict[str, int]:
    """Reason -> models, the most frequent first; `accepted` counts under ""."""
    counts: dict[str, int] = {}
    for table in tables:
        for row in pc.value_counts(table["reason"]).to_pylist():
            counts[row["values"]] = counts.get(row["values"], 0) + row["counts"]
    order = {code: i for i, code in enumerate(REASONS)}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], order.get(item[0], -1))))
