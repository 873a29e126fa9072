"""Files that are written whole or not at all: temporary file, fsync, rename."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hf_select.errors import RecordError

TEMPORARY = ".tmp-"
STALE_SECONDS = 24 * 3600.0
"""After that long a temporary file of another machine belongs to nobody."""


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when the block ends, if it ends well.

    A reader or a kill sees the old file or the new one. A disk that is full or a folder that can't
    be written raises `OSError`; no error leaves a temporary file behind. A kill leaves one, which
    `sweep` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path.parent)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, as `written` does."""
    with written(path) as file:
        file.write(data)


def create_atomic(path: Path, data: bytes) -> bool:
    """As `write_atomic`, but a file that is there stays as it is; returns if it was made."""
    source = _temporary(path.parent)
    write_atomic(source, data)
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    finally:
        source.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it isn't there yet."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal in that folder survive a power cut (where the system can)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> int:
    """Remove temporary files below `folder` whose writer is gone. Returns how many.

    One of this machine is stale when its process is dead, another machine's after a day.
    """
    removed = 0
    # os.walk takes no notice of folders that another process removes meanwhile; rglob raises.
    names = ((Path(where), name) for where, _, files in os.walk(folder) for name in files)
    for path in (where / name for where, name in names if name.startswith(TEMPORARY)):
        host, _, rest = path.name.removeprefix(TEMPORARY).partition("-")
        pid = rest.partition("-")[0]
        try:
            old = time.time() - path.stat().st_mtime > STALE_SECONDS
        except FileNotFoundError:  # renamed by its writer in this moment
            continue
        if old or (host == _host() and pid.isdigit() and not _alive(int(pid))):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


@contextmanager
def exclusive(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock file; `RecordError` if another process still has it after `wait` seconds.

    A killed holder lets go of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            import fcntl
        except ImportError:  # not POSIX: one compaction at a time is up to the user
            yield
            return
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise RecordError(
                        f"{path.parent.parent} is being compacted by another process",
                        hint="wait until it is done, then run the command again",
                    ) from error
                time.sleep(0.02)
        yield


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock file while doing what it names, then remove it; False if another process does.

    A killed holder lets go of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not POSIX: the same work twice is wasteful but harmless
        yield True
        return
    while True:
        with path.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if not _is_at(path, file):  # its last holder has removed it in between
                continue
            yield True
            path.unlink(missing_ok=True)
            return


def is_claimed(path: Path) -> bool:
    """Whether another process holds that lock file now (False where that can't be told)."""
    try:
        import fcntl

        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _is_at(path, file)
    except (ImportError, FileNotFoundError):
        pass
    return False


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether an open file is still the one at that path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _temporary(folder: Path) -> Path:
    """A name that nobody else uses, and that says who may be asked whether it is still needed."""
    return folder / f"{TEMPORARY}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _host() -> str:
    """This machine, in 8 hex digits (a host's name may hold anything)."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
