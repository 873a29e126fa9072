"""Encoded splits on the disk, shared by all processes that train on one record.

One file a split, named by a digest: a line of JSON that says what is in it, then its arrays. A file
is mapped into memory, so processes that use the same split share its pages. It is read through
once before it is used: one that isn't whole is made anew.
"""

from __future__ import annotations

import json
import mmap
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hf_select.files import claimed, sweep, written
from hf_select.records import digest
from hf_select.tasks.base import ENCODED
from hf_select.tasks.encoded import Plain
from hf_select.training.trial import EncodingCache

if TYPE_CHECKING:
    from hf_select.tasks.encoded import Encoded

FORMAT = 1
"""Part of a file's name: raise it whenever the same rows would be encoded or written otherwise."""
LIBRARIES = ("transformers", "tokenizers", "numpy", "pillow")
"""Whose versions decide what a processor gives."""
MOST_BYTES, OF_DISK = 10 * 2**30, 0.1
"""What all files may take: so much, and so much of what would be free without them."""
PATIENCE = 900.0
"""Seconds after which a split that another process is encoding is encoded here as well."""
ALIGNED = 64
CHUNK = 2**24
UNFIT = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What reading a file raises that is no encoded split."""


class DiskEncodings(EncodingCache):
    """Encoded splits that stay in `folder`, up to `max_bytes`; the least recently used go first.

    Of several processes that ask for the same split, one encodes it and the others wait. Splits
    that don't consist of arrays, and those that find no room, are shared within this process only.
    What is in use isn't removed. The disk is a help: what goes wrong there is no error.
    """

    def __init__(self, folder: Path, *, max_bytes: int | None = None) -> None:
        super().__init__()
        self.folder, self._max_bytes = folder, max_bytes

    def get(self, key: str, make: Callable[[], Encoded]) -> Encoded:
        """The encoded split of that key, made if it is neither in memory nor on the disk."""
        path = self.folder / digest([key, FORMAT, _versions()])
        return super().get(key, lambda: self._get(path, make))

    def _get(self, path: Path, make: Callable[[], Encoded]) -> Encoded:
        deadline = time.monotonic() + PATIENCE
        while True:
            with ExitStack() as held:
                found = _read(path)
                if found is not None:
                    return found
                mine = True
                with suppress(OSError):  # a disk without locks, or that can't be written
                    mine = held.enter_context(claimed(path.with_suffix(".lock")))
                if mine or time.monotonic() > deadline:
                    return _read(path) or self._kept(path, make())
            time.sleep(0.05)

    def _kept(self, path: Path, made: Encoded) -> Encoded:
        """The same split as the disk has it now, or as it was made."""
        plain = made.plain()
        if plain is None:
            return made
        head = _head(plain)
        try:
            if not self._make_room(len(head) + _size(plain)):
                return made
            with written(path) as file:
                file.write(head)
                for part in _parts(plain):
                    file.write(part)
        except OSError:
            return made
        return _read(path) or made

    def _make_room(self, needed: int) -> bool:
        """Remove files until `needed` bytes fit; False if they can't."""
        sweep(self.folder)
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        most = self._max_bytes
        if most is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            most = min(MOST_BYTES, int(OF_DISK * (disk_usage(self.folder).free + held)))
        if needed > most:
            return False
        for _, size, path in files:
            if held + needed <= most:
                break
            if _remove(path):
                held -= size
        return held + needed <= most

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was last asked for, and its bytes."""
        for path in self.folder.glob("*"):
            if path.suffix == "" and not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    yield found.st_mtime, found.st_size, path


# --------------------------------------------------------------------------------------- a file


def _read(path: Path) -> Encoded | None:
    """The split in that file, mapped into memory; None if there is none, or it isn't whole."""
    with suppress(*UNFIT), path.open("rb") as file:
        if not _lock(file, shared=True) or not os.fstat(file.fileno()).st_nlink:
            return None  # it is just being removed, or it has been
        header = json.loads(file.readline(CHUNK))
        start = file.tell()
        # it has the lock as well, as long as any array of it is in use
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if header.pop("crc32") != _checksum(header, _chunks(mapped, start)):
            return None
        arrays = {
            row["name"]: np.frombuffer(
                mapped, np.dtype(row["dtype"]), int(np.prod(row["shape"])), start + row["offset"]
            ).reshape(row["shape"])
            for row in header["arrays"]
        }
        encoded = ENCODED[header["kind"]](Plain(header["kind"], arrays, header["settings"]))
        with suppress(OSError):
            os.utime(path)  # it was used
        return encoded
    return None


def _head(plain: Plain) -> bytes:
    """The line that says what is in a file and by which its content is checked."""
    header = {
        "kind": plain.kind,
        "settings": dict(plain.settings),
        "arrays": [
            {"name": name, "dtype": array.dtype.str, "shape": array.shape, "offset": offset}
            for name, offset, array in _placed(plain)
        ],
    }
    crc = _checksum(header, _parts(plain))
    line = json.dumps({**header, "crc32": crc}).encode()
    return line.ljust(_aligned(len(line) + 1) - 1) + b"\n"


def _placed(plain: Plain) -> Iterator[tuple[str, int, NDArray]]:
    """Each array with its name and its place behind the header."""
    offset = 0
    for name, array in plain.arrays.items():
        yield name, offset, np.ascontiguousarray(array)
        offset += _aligned(array.nbytes)


def _parts(plain: Plain) -> Iterator[memoryview | bytes]:
    """What stands behind the header."""
    for _, _, array in _placed(plain):
        yield array.reshape(-1).view(np.uint8).data
        yield bytes(_aligned(array.nbytes) - array.nbytes)


def _size(plain: Plain) -> int:
    return sum(_aligned(array.nbytes) for array in plain.arrays.values())


def _aligned(place: int) -> int:
    return -(-place // ALIGNED) * ALIGNED


def _checksum(header: Mapping[str, Any], parts: Iterable[memoryview | bytes]) -> int:
    """Of header and arrays, so that nothing is missing and nothing else than it was."""
    crc = zlib.crc32(json.dumps(header).encode())
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def _chunks(mapped: mmap.mmap, start: int) -> Iterator[memoryview]:
    with memoryview(mapped) as view:
        for place in range(start, len(view), CHUNK):
            with view[place : place + CHUNK] as part:
                yield part


def _remove(path: Path) -> bool:
    """Remove a file, unless somebody uses it."""
    try:
        with path.open("r+b") as file:
            if not _lock(file, shared=False):
                return False
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _lock(file: BinaryIO, *, shared: bool) -> bool:
    """Lock an open file until it and all that is mapped of it are closed; False if it can't be."""
    try:
        import fcntl
    except ImportError:  # not POSIX: there a file that is in use can't be removed anyway
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@cache
def _versions() -> list[Any]:
    return [version(name) for name in LIBRARIES]
