"""What `candidates.parquet` and `datasets.parquet` have in common: a schema version, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from hf_select.errors import InputError

META_VERSION = b"hf_select.schema_version"


def versioned(schema: pa.Schema, version: int) -> pa.Schema:
    """The schema with its version among the file's metadata."""
    return schema.with_metadata({META_VERSION: str(version).encode()})


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What goes wrong while that file is read is an `InputError` that names it."""
    try:
        yield
    except (pa.ArrowException, ValueError) as error:
        raise InputError(
            f"{path} can't be read: {error}", hint="remove it and crawl again"
        ) from error


def check_version(path: Path, schema: pa.Schema, newest: int) -> None:
    """Refuse a file of a newer version than is known here, or of none."""
    version = int((schema.metadata or {}).get(META_VERSION, b"0"))
    if not 1 <= version <= newest:
        raise InputError(
            f"{path} has schema version {version}, but this is version {newest}",
            hint="update hf-select, or crawl into another folder",
        )
