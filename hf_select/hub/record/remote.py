"""A record on the Hub at one commit, read in parts: what a stage needs, and no copy of the rest."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from hf_select.errors import MissingError, RecordError, SetupError
from hf_select.files import sha256
from hf_select.hub import cache
from hf_select.hub.client import COMMIT, FileInfo, Hub
from hf_select.hub.content import Content
from hf_select.results.manifest import MANIFEST, read_manifest
from hf_select.results.snapshot import Snapshot

WHOLE = 512 * 1024
"""Bytes; a file that is no bigger is fetched whole, as parts of it would cost more requests."""
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """What has been read of a record so far: bytes of files, and requests for whatever it was."""

    repo_id: str
    revision: str
    bytes: int
    requests: int

    def __str__(self) -> str:
        where = f"{self.repo_id} at {self.revision[:7]}"
        if not self.bytes:
            return f"read {where} from the cache of this machine"
        size = f"{self.bytes / 1e6:.1f} MB" if self.bytes >= 1e5 else f"{self.bytes / 1e3:.0f} kB"
        return f"read {size} of {where} in {self.requests} request{'s' * (self.requests != 1)}"


def split_id(text: str) -> tuple[str, str | None] | None:
    """Repository and revision of OWNER/NAME[@REVISION]; None if the text is of another shape.

    >>> split_id("lab/record@v2"), split_id("./record")
    (('lab/record', 'v2'), None)
    """
    found = _HUB_ID.fullmatch(text)
    return None if found is None else (found[1], found[2])


class HubSource:
    """The files of a results dataset at a commit, as a `results.snapshot.Source`.

    Small ones come whole, through the Hub's cache on this machine, so that a second command at
    the same commit doesn't fetch them again; of big ones ranges are read. Either way a file whose
    sha256 on the Hub isn't the manifest's is a `RecordError`: of a range nothing else would tell.
    Offline, what the cache holds of the commit is served: all of it after a pull of that commit,
    and what was read whole before.
    """

    def __init__(self, hub: Hub, repo_id: str, revision: str) -> None:
        self.hub, self.repo_id, self.revision = hub, repo_id, revision
        self._manifest: bytes | None = None
        self._listed: dict[str, FileInfo] | None = None

    def read(self, path: str) -> bytes:
        """A whole small file."""
        if path == MANIFEST:
            return self._read_manifest()
        info = None if _offline() else self._info(path)
        data = self._download(path, info)
        self._check(path, sha256(data))
        return data

    def open(self, path: str) -> BinaryIO:
        """A seekable file; a big one is read by ranges, a request each."""
        if _offline():
            return io.BytesIO(self.read(path))
        info = self._info(path)
        if info.size <= WHOLE or info.sha256 is None:  # git's hash says nothing of a range either
            return io.BytesIO(self.read(path))
        self._check(path, info.sha256)
        remote = self.hub.open(
            self.repo_id, path, repo_type="dataset", revision=self.revision, size=info.size
        )
        return cast(BinaryIO, remote)

    def _read_manifest(self) -> bytes:
        if self._manifest is None and _offline():
            self._manifest = self._download(MANIFEST, None)
        elif self._manifest is None:
            data = self.hub.read(
                self.repo_id, MANIFEST, repo_type="dataset", revision=self.revision
            )
            self._manifest = data

            def copy(write: Callable[[bytes], object], start: int) -> None:
                write(data[start:])

            with suppress(OSError):  # kept for those who are offline; a full disk is no trouble
                cache.keep(
                    FileInfo(MANIFEST, len(data), Content.of(data).oid, None),
                    cache.folder(self.repo_id, "dataset"),
                    self.revision,
                    copy,
                    what=f"{MANIFEST} of {self.repo_id}",
                )
        return self._manifest

    def _download(self, path: str, info: FileInfo | None) -> bytes:
        """A whole file, through the cache; without `info` it has to be there."""
        try:
            return self.hub.download(
                self.repo_id, path, repo_type="dataset", revision=self.revision, info=info
            ).read_bytes()
        except SetupError as error:
            raise _pull_first(error, self.repo_id) from error

    def _info(self, path: str) -> FileInfo:
        """Size and hash of a file as the Hub lists it; one request for all of the snapshot."""
        if self._listed is None:
            folder = "/".join(path.split("/")[:2])  # snapshots/<generation>
            found = self.hub.tree(
                self.repo_id, repo_type="dataset", revision=self.revision, path=folder
            )
            self._listed = {info.path: info for info in found}
        if path not in self._listed:
            raise MissingError(f"{path} of {self.repo_id}: there is no such file", missing="file")
        return self._listed[path]

    def _check(self, path: str, found: str) -> None:
        entries = read_manifest(self._read_manifest(), self.repo_id)["snapshots"]
        expected = next((entry["sha256"] for entry in entries if entry["path"] == path), None)
        if found != expected:
            raise RecordError(
                f"{self.repo_id}: {path} was changed or damaged: its sha256 on the Hub is not the "
                "manifest's",
                hint="tell the owner; an earlier commit can be named: OWNER/NAME@COMMIT",
            )


class HubRecord(Snapshot):
    """The last snapshot of a results dataset, pinned to a commit; a `Snapshot` that counts.

    `repo_id` and `revision` (40 hex digits) say what is read; `reading` how much it was so far.
    Raises `MissingError` if there is no such dataset or revision, `RecordError` if it is no
    record, has no snapshot yet, or a newer schema.
    """

    def __init__(self, hub: Hub, repo_id: str, revision: str | None = None) -> None:
        self._hub = hub
        self._before = hub.requests, hub.bytes_read
        self.repo_id = repo_id
        self.revision = revision or ""
        if not COMMIT.fullmatch(self.revision):
            try:
                self.revision = hub.head_commit(repo_id, repo_type="dataset", revision=revision)
            except SetupError as error:
                raise _pull_first(error, repo_id) from error
        super().__init__(HubSource(hub, repo_id, self.revision), name=repo_id)

    @property
    def reading(self) -> Reading:
        """What has been read so far."""
        requests, read = self._before
        return Reading(
            self.repo_id,
            self.revision,
            self._hub.bytes_read - read,
            self._hub.requests - requests,
        )

    def waiting(self) -> tuple[int, bool]:
        """Shards in the inbox that no compaction has folded yet, and whether there are even more.

        One request: only the first page of the inbox is looked at; offline, none of it.
        """
        if _offline():
            return 0, False
        try:
            page = self._hub.get_page(
                f"/api/datasets/{self.repo_id}/tree/{self.revision}/inbox",
                {"recursive": "true"},
                what=f"the inbox of {self.repo_id}",
            )
        except MissingError:  # no inbox: all is folded
            return 0, False
        found = [row for row in page.rows if row["type"] == "file"]
        return sum(row["path"].endswith(".parquet") for row in found), page.next is not None


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode()


def _pull_first(error: SetupError, repo_id: str) -> SetupError:
    """The error of offline mode with the way to have a record there; another one as it is."""
    if not _offline():
        return error
    return SetupError(
        error.message,
        hint=f"unset HF_HUB_OFFLINE, or pull it first: `hf-select pull {repo_id} --results DIR`; "
        "what was read before at a commit is found as OWNER/NAME@COMMIT",
    )
