"""Checkpoint folders: written whole or not at all; the newest complete one wins."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

META, STATE, PREFIX = "trial.json", "state.pt", "checkpoint-"


def write(folder: Path, *, meta: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write a new numbered checkpoint, then remove older ones.

    The older checkpoint goes only when the new one is on the disk, so a full disk or a kill at any
    point leaves one that can be resumed from. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = (
        max((int(path.name[len(PREFIX) :]) for path in folder.glob(f"{PREFIX}*")), default=0) + 1
    )
    final, temporary = folder / f"{PREFIX}{number:09d}", folder / f".writing-{number:09d}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        with (temporary / STATE).open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        with (temporary / META).open("w", encoding="utf-8") as file:
            json.dump({**meta, "state_bytes": size}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(folder)
    for other in folder.iterdir():
        if other != final and other.name.startswith((PREFIX, ".writing-")):
            shutil.rmtree(other)
    return final


def complete(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Meta and state of the checkpoints that can be read whole, newest first."""
    paths = sorted(folder.glob(f"{PREFIX}*"), reverse=True) if folder.is_dir() else []
    for path in paths:
        try:
            meta = json.loads((path / META).read_text(encoding="utf-8"))
            whole = (path / STATE).stat().st_size == meta["state_bytes"]
        except (OSError, ValueError, KeyError):
            continue  # cut off: an older one may be whole
        if whole:
            yield meta, torch.load(path / STATE, map_location="cpu", weights_only=True)


def _sync(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
