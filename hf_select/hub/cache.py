"""The Hub's cache on this machine: a file comes in whole and with the right hash, or not at all.

The layout is the one that all of Hugging Face's libraries share: `blobs/<hash>` holds contents,
`snapshots/<commit>/<path>` links to them. huggingface_hub's own download is not used: it looks at
sizes, not at hashes, and starts anew after each broken connection.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.errors import HubError, SetupError
from hf_select.files import is_writable
from hf_select.hub.content import git_hash
from hf_select.progress import stage

if TYPE_CHECKING:
    from hf_select.hub.client import FileInfo

Receive = Callable[[Callable[[bytes], object], int], None]
"""(write, start): gives the bytes of the file from `start` on to `write`."""


class DamagedError(HubError):
    """What came is not what the Hub lists, twice."""


def folder(repo_id: str, repo_type: str) -> Path:
    """Where the cache keeps a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type=repo_type)


def check_writable() -> None:
    """`SetupError` where nothing can be kept."""
    from huggingface_hub import constants

    if not is_writable(Path(constants.HF_HUB_CACHE)):
        raise SetupError(
            f"the Hub's cache {constants.HF_HUB_CACHE} can't be written to",
            hint="set HF_HOME to a folder that can, or HF_HUB_OFFLINE=1 if all is in it",
        )


def keep(info: FileInfo, repository: Path, commit: str, receive: Receive, *, what: str) -> Path:
    """The path of a file in the snapshot of a commit, received if its content isn't there yet.

    Of several processes one receives, the others wait for it. Raises `DamagedError` if the
    content is wrong and wrong again when it is received anew, and `OSError` if it can't be kept.
    """
    from huggingface_hub.utils import WeakFileLock

    blob = repository / "blobs" / info.etag
    pointer = repository / "snapshots" / commit / info.path
    lock = repository.parent / ".locks" / repository.name / f"{info.etag}.lock"
    for path in (blob, pointer, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.is_file():
            _fill(blob, info, receive, what)
        if not pointer.is_file():
            _link(pointer, blob)
    return pointer


def _fill(blob: Path, info: FileInfo, receive: Receive, what: str) -> None:
    """Receive a content, from where an earlier process was cut off; once more if it is wrong."""
    # The second file has a name of its own: where locks don't work, two may write to the first.
    names = (f"{info.etag}.incomplete", f"{info.etag}.{uuid.uuid4().hex[:8]}.incomplete")
    for partial in (blob.with_name(name) for name in names):
        try:
            with (
                partial.open("ab") as file,
                stage(f"fetching {what}", total=info.size, unit="bytes") as at,
            ):
                at.reach(file.tell())
                receive(lambda data: at.advance(file.write(data)), file.tell())
        except OSError:  # a full disk: what is there takes up the room that is missing
            partial.unlink(missing_ok=True)
            raise
        wrong = difference(partial, info)
        if wrong is None:
            partial.replace(blob)
            return
        partial.unlink()
    raise DamagedError(f"{what} is corrupt: {wrong}", hint="its owner has to upload it again")


def _link(pointer: Path, blob: Path) -> None:
    """Let the snapshot's file be the content; a copy where links can't be made."""
    pointer.unlink(missing_ok=True)  # one that points to a content that was removed
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        shutil.copyfile(blob, pointer)


def remove(path: Path) -> None:
    """Take a file out of a snapshot, and its content out of the cache."""
    if path.is_symlink():
        (path.parent / path.readlink()).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def difference(path: Path, info: FileInfo) -> str | None:
    """How a file's content differs from what the Hub lists; None if it doesn't.

    Where no hash is known, only the size can tell.
    """
    size = path.stat().st_size
    if size != info.size:
        return f"{size} bytes, but it should have {info.size}"
    kind = "sha256" if info.sha256 else "git hash"
    with path.open("rb") as file:
        new = hashlib.sha256 if info.sha256 else lambda: git_hash(size)
        found = hashlib.file_digest(file, new).hexdigest()
    if info.etag and found != info.etag:
        return f"its {kind} is {found[:8]}, but it should be {info.etag[:8]}"
    return None
