"""What manifest.json says: the schema version, the generation, and each file of the snapshot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from hf_select.errors import RecordError
from hf_select.results.schema import SCHEMA_VERSION

MANIFEST = "manifest.json"


def manifest_bytes(generation: int, entries: Sequence[dict[str, Any]]) -> bytes:
    """The manifest of a generation; the same entries always give the same bytes.

    An entry has `path`, `kind`, `task`, `rows`, `bytes` and `sha256`; that of runs also `recipes`:
    digest -> number of successful runs.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "generation": generation,
        "snapshots": list(entries),
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def read_manifest(data: bytes, where: str) -> dict[str, Any]:
    """The manifest's document, checked; `where` names the repository in errors.

    Raises `RecordError` if it is none, of a newer schema version, or names a file outside of
    `snapshots/`. `bytes` and `recipes` may be missing.
    """
    try:
        manifest: dict[str, Any] = json.loads(data)
        version = int(manifest["schema_version"])
        if version <= SCHEMA_VERSION:  # a newer one may look different
            int(manifest["generation"])
            for entry in manifest["snapshots"]:
                _check(entry)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise RecordError(
            f"{where}/{MANIFEST} can't be read: {error!r}", hint="is this a results repository?"
        ) from error
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{where} has schema version {version}, newer than {SCHEMA_VERSION}",
            hint="upgrade hf-select to read it",
        )
    return manifest


def _check(entry: dict[str, Any]) -> None:
    path = PurePosixPath(entry["path"])
    if path.parts[0] != "snapshots" or ".." in path.parts:
        raise ValueError(f"path {entry['path']!r} leaves the repository")
    for name in ("sha256", "kind", "task"):
        if not isinstance(entry[name], str):
            raise TypeError(f"{name} of {entry['path']!r} is {entry[name]!r}")
    for recipe, count in entry.get("recipes", {}).items():
        if not isinstance(count, int):
            raise TypeError(f"recipe {recipe!r} of {entry['path']!r} has {count!r} runs")
