"""What a file holds, by the hashes that the Hub lists: sha256 for big (LFS) files, else git's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_select.hub.client import FileInfo


@dataclass(frozen=True)
class Content:
    """Bytes, or a file here that holds them, under both names that the Hub may have for them."""

    data: bytes | Path
    size: int
    sha256: str
    oid: str

    @classmethod
    def of(cls, data: bytes | Path) -> Content:
        """Read once, in parts."""
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        sha256, oid = hashlib.sha256(), git_hash(size)
        for part in [data] if isinstance(data, bytes) else _parts(data):
            sha256.update(part)
            oid.update(part)
        return cls(data, size, sha256.hexdigest(), oid.hexdigest())

    def is_at(self, there: FileInfo | None) -> bool:
        """Whether the repository's file has this content."""
        if there is None or there.size != self.size:
            return False
        return there.sha256 == self.sha256 if there.sha256 else there.oid == self.oid


def git_hash(size: int) -> hashlib._Hash:
    """Git's hash of a file of so many bytes, before the first of them."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            yield part
