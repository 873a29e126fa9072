"""What a results dataset on the Hub holds at one commit, and a copy of it in a folder.

Whoever writes to the Hub's record, or makes a local one of it, starts here. A file comes from the
cache of this machine, by its hash and without a request, where it is there already: a second look
at a record downloads only what is new.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_select.errors import AccessError, MissingError, RecordError
from hf_select.hub import cache
from hf_select.hub.client import FileInfo, Hub
from hf_select.progress import stage
from hf_select.results.card import CARD
from hf_select.results.manifest import MANIFEST, read_manifest
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import SAFE_NAME

SHARD = re.compile(
    r"inbox/\d{4}-\d{2}/(?P<submitter>" + SAFE_NAME.pattern + r")/(?P<sha256>[0-9a-f]{64})\.parquet"
)
"""What a shard is called. Nothing else that lies in the inbox is looked at."""
AT_ONCE = 4
"""Files that are fetched at the same time; most are small."""
_BESIDE = {CARD, "LICENSE", "NOTICE", ".gitattributes", ".gitignore"}
"""What may lie in a dataset that isn't a record yet."""


@dataclass(frozen=True)
class Contents:
    """The files of a results dataset at the commit `head`; `manifest` is None in an empty one."""

    repo_id: str
    head: str
    files: Mapping[str, FileInfo]
    manifest: Mapping[str, Any] | None

    @property
    def shards(self) -> list[str]:
        """The paths of the shards in its inbox."""
        return sorted(path for path in self.files if SHARD.fullmatch(path))

    @property
    def generation(self) -> int:
        """The number of the snapshot; 0 before the first."""
        return int(self.manifest["generation"]) if self.manifest else 0

    @property
    def snapshots(self) -> list[str]:
        """The paths of the files that the manifest names."""
        return [entry["path"] for entry in (self.manifest or {}).get("snapshots", ())]


def list_files(hub: Hub, repo_id: str, *, revision: str | None = None) -> Contents:
    """The files of a dataset at a revision (main if None), whatever they are.

    Raises `MissingError` if there is no such dataset; it says so if a model or a Space has that
    name.
    """
    try:
        head = hub.head_commit(repo_id, repo_type="dataset", revision=revision)
    except MissingError as error:
        if error.missing == "revision":
            raise MissingError(
                f"{repo_id} has no commit, branch or tag {revision!r}",
                missing="revision",
                hint="its history is on its page; main is what is read without a revision",
            ) from error
        raise (of_another_type(hub, repo_id) or error) from error
    found = hub.tree(repo_id, repo_type="dataset", revision=head)
    return Contents(repo_id, head, {info.path: info for info in found}, None)


def read_contents(
    hub: Hub,
    repo_id: str,
    *,
    revision: str | None = None,
    hint: str = "publish to a results dataset, or to a new or empty one",
) -> Contents:
    """What a results dataset holds at a revision, with its manifest; see `list_files`.

    Raises `RecordError` if it holds something else than a record (with `hint`), or one of a newer
    schema.
    """
    contents = list_files(hub, repo_id, revision=revision)
    if MANIFEST in contents.files:
        manifest = read_manifest(fetch(hub, contents, MANIFEST), repo_id)
        return replace(contents, manifest=manifest)
    other = sorted(path for path in contents.files if path not in _BESIDE)
    if other:
        raise RecordError(
            f"{repo_id} is not a results repository: it holds {other[0]!r} and no {MANIFEST}",
            hint=hint,
        )
    return contents


def read_record(hub: Hub, repo_id: str, *, revision: str | None = None) -> Contents:
    """As `read_contents`, but an empty dataset is a `RecordError` too."""
    hint = "name a results dataset: what `hf-select publish` has made"
    contents = read_contents(hub, repo_id, revision=revision, hint=hint)
    if contents.manifest is None:
        raise RecordError(
            f"{repo_id} is empty: nobody has published to it yet",
            hint=f"`hf-select publish --results DIR --to {repo_id}` does",
        )
    return contents


def of_another_type(hub: Hub, repo_id: str, wanted: str = "record") -> MissingError | None:
    """The better error where the name is not a dataset's, but a model's or a Space's."""
    for kind in ("model", "space"):
        try:
            hub.head_commit(repo_id, repo_type=kind)
        except AccessError:
            continue
        return MissingError(
            f"{repo_id} is a {kind}, but a {wanted} is a dataset",
            missing="type",
            hint=f"name the dataset that holds the {wanted}; for a new one choose another name",
        )
    return None


# ------------------------------------------------------------------------------------ copies


@contextmanager
def scratch_copy(hub: Hub, contents: Contents) -> Iterator[ResultsRepo]:
    """The record at that commit in a folder of its own, which goes when the block ends.

    An empty dataset gives an empty record, with the card if it has one. What is said about the
    folder inside the block is said about the dataset.
    """
    with tempfile.TemporaryDirectory(prefix="hf-select-") as name:
        folder = Path(name) / "record"
        folder.mkdir()
        card = [CARD] if CARD in contents.files else []
        copy_files(hub, contents, [*contents.snapshots, *contents.shards, *card], folder)
        if contents.manifest is not None:
            text = json.dumps(contents.manifest, indent=1) + "\n"
            (folder / MANIFEST).write_text(text, encoding="utf-8")
        try:
            yield ResultsRepo.open_or_create(folder)
        except RecordError as error:
            message = error.message.replace(str(folder), contents.repo_id)
            raise RecordError(message, hint=error.hint) from error


def copy_files(hub: Hub, contents: Contents, paths: Iterable[str], folder: Path) -> None:
    """Write those files below `folder`, which nobody reads yet; several are fetched at a time."""

    def copy(path: str) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(fetch(hub, contents, path))
        at.advance()

    wanted = list(paths)
    bar = stage(f"fetching {contents.repo_id}", total=len(wanted), unit="files")
    with ThreadPoolExecutor(AT_ONCE) as pool, bar as at:
        try:
            list(pool.map(copy, wanted))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # one that failed is enough
            raise


def fetch(hub: Hub, contents: Contents, path: str) -> bytes:
    """A file of the dataset, with the hash that the Hub lists; a damaged cache is filled anew.

    Raises `RecordError` if there is no such file.
    """
    info = contents.files.get(path)
    if info is None:
        raise RecordError(
            f"{contents.repo_id}: {path} is in the manifest but missing",
            hint="its owner can restore the file from the dataset's history",
        )

    def download() -> Path:
        return hub.download(
            contents.repo_id, path, repo_type="dataset", revision=contents.head, info=info
        )

    found = download()
    if cache.difference(found, info) is not None:
        cache.remove(found)
        found = download()
    return found.read_bytes()
