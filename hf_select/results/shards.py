"""Rows on their way in: the files that one append, or one publish, adds to the inbox."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hf_select.errors import InputError
from hf_select.files import sha256
from hf_select.records import RunRecord
from hf_select.results.schema import SAFE_NAME, encode
from hf_select.results.state import Rows

NOBODY = ("", "local")
"""What stands for the submitter of a run until it is published."""


def shards(rows: Rows, *, submitter: str, created: str) -> dict[str, bytes]:
    """The inbox files of some rows by path, `inbox/<yyyy-mm>/<submitter>/<sha256>.parquet`.

    One file a kind, in the order in which they must be written. The same rows, submitter and time
    (ISO 8601) always give the same paths and bytes, so whoever repeats an upload adds nothing.
    Runs that have no submitter but this machine get this one. Raises `InputError` for a submitter
    that can't name a folder.
    """
    check_submitter(submitter)
    moment = datetime.fromisoformat(created)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    found = {}
    for kind, mine in rows.by_kind().items():
        if mine:
            data = encode(kind, _claimed(mine, submitter), moment.isoformat())
            found[f"inbox/{moment:%Y-%m}/{submitter}/{sha256(data)}.parquet"] = data
    return found


def check_submitter(name: str) -> str:
    """The name itself if it can name a folder, else an `InputError`."""
    if not SAFE_NAME.fullmatch(name):
        raise InputError(
            f"submitter is {name!r}, but must be letters, digits, '.', '_' and '-'",
            hint=f"for example {re.sub('[^A-Za-z0-9._-]+', '-', name).strip('.-_') or 'jane'!r}",
        )
    return name


def _claimed(rows: Sequence[Any], submitter: str) -> list[Any]:
    return [
        replace(row, submitter=submitter)
        if isinstance(row, RunRecord) and row.submitter in NOBODY
        else row
        for row in rows
    ]
