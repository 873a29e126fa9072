"""A big file on the Hub, read in parts."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from hf_select.errors import HubError

Receive = Callable[[Callable[[bytes], object], int, int], None]
"""(write, start, stop): gives those bytes of the file to `write`."""


class RemoteFile(io.RawIOBase):
    """A file on the Hub as a seekable binary file; each `read` is one request. `size` in bytes."""

    def __init__(self, receive: Receive, *, name: str, size: int) -> None:
        super().__init__()
        self.name, self.size = name, size
        self._receive, self._at = receive, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes from here, all the rest with -1. Raises `HubError`."""
        left = max(0, self.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        data = bytearray()
        if count:
            self._receive(data.extend, self._at, self._at + count)
        if len(data) != count:
            raise HubError(f"{self.name}: {count} bytes were asked for, {len(data)} came")
        self._at += count
        return bytes(data)

    def readinto(self, buffer: Any, /) -> int:
        """As `read`, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read(-1)
