"""Checkpoint folders: written whole or not at all; the newest complete one wins."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

META, STATE, PREFIX = "trial.json", "state.pt", "checkpoint-"
CHUNK = 2**24  # bytes read at once

UNREADABLE = (RuntimeError, pickle.UnpicklingError)
"""What torch raises for a state that isn't one."""


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
            summed = _Summed(file)
            summed.save(state)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        with (temporary / META).open("w", encoding="utf-8") as file:
            json.dump({**meta, "state_bytes": size, "state_crc32": summed.crc}, file)
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
            if not _is_whole(path / STATE, meta):
                continue
            state = torch.load(path / STATE, map_location="cpu", weights_only=True)
        except (OSError, ValueError, LookupError, TypeError, EOFError, *UNREADABLE):
            continue  # cut off or damaged: an older one may be whole
        yield meta, state


def _is_whole(file: Path, meta: Mapping[str, Any]) -> bool:
    """Whether a state has the size and, if its writer noted one, the checksum that it should."""
    if file.stat().st_size != meta["state_bytes"]:
        return False
    crc = 0
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc == meta.get("state_crc32", crc)


class _Summed:
    """A file that a state is written to, with the checksum of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.crc = 0

    def save(self, state: Mapping[str, Any]) -> None:
        """Raises `OSError`: torch turns that of a full disk into a `RuntimeError` of its own."""
        try:
            torch.save(dict(state), cast(IO[bytes], self))
        except RuntimeError:
            if self._error is not None:
                raise self._error from None
            raise

    def write(self, data: Any) -> int:
        """As that of the file."""
        try:
            written = self._file.write(data)
        except OSError as error:
            self._error = error
            raise
        self.crc = zlib.crc32(data, self.crc)
        return written

    def flush(self) -> None:
        """As that of the file."""
        self._file.flush()


def _sync(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
