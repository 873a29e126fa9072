"""Compaction on the Hub: fold the inbox of the dataset into its next snapshot, in one commit.

The commit is pinned to what was read. If anybody has committed meanwhile, all of it is done again
from what is there then, so a shard that arrives during a compaction waits for the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hf_select.errors import AccessError
from hf_select.hub.client import Hub
from hf_select.hub.commit import Change, commit
from hf_select.hub.content import Content
from hf_select.hub.record.contents import Contents, read_record, scratch_copy
from hf_select.results.manifest import MANIFEST, read_manifest
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import Row
from hf_select.results.tables import Cluster
from hf_select.results.validation import Refusal, Refuser

if TYPE_CHECKING:
    from hf_select.clustering.growth import Drift

_SNAPSHOT = re.compile(r"snapshots/(\d+)/.+")


@dataclass(frozen=True)
class Compacted:
    """What a compaction did: `shards` left the inbox; `commit` is None if there was nothing to do.

    `refused` are rows that the record can't take. Their shards lie in `quarantine/` then; one of a
    newer schema waits in the inbox. `drift`: task -> how its clusters differ from those of the
    snapshot before, where they were made anew.
    """

    repo_id: str
    generation: int
    commit: str | None = None
    shards: int = 0
    refused: tuple[Refusal, ...] = ()
    drift: Mapping[str, Drift] = field(default_factory=dict)


def compact(
    hub: Hub,
    repo_id: str,
    *,
    cluster: Cluster | None = None,
    accept_new_recipes: bool = False,
    any_submitter: bool = False,
) -> Compacted:
    """Fold the inbox of the dataset into a new snapshot; the one before it stays for readers.

    `cluster` groups the models of each task; which rows are refused, `validation.validate` says.
    Raises `AccessError` where the token has not the right, `RecordError` for what isn't a record
    or has a card that can't be refreshed, `ConflictError` or `HubError` if the Hub gave up;
    nothing is lost then, and the same call goes on.
    """
    it = _Compaction(hub, repo_id, cluster, accept_new_recipes, any_submitter)
    try:
        landed = commit(hub, repo_id, it.plan)
    except AccessError as error:
        if type(error) is not AccessError:  # no such dataset, no token: its hint is the right one
            raise
        hint = "compaction is up to those who may write to the dataset"
        raise AccessError(error.message, hint=hint) from error
    if landed is None:
        return Compacted(repo_id, it.generation, refused=it.refused)
    return Compacted(repo_id, it.generation, landed.commit or it.head, it.shards, it.refused)


def fold(
    record: ResultsRepo,
    repo_id: str,
    *,
    cluster: Cluster | None,
    refuse: Callable[[Row], str | None] | None = None,
) -> dict[str, bytes]:
    """Compact a scratch copy of the dataset `repo_id`; returns all its files by path."""
    record.compact(cluster=cluster, refuse=refuse, published_as=repo_id)
    found = sorted(path for path in record.path.rglob("*") if path.is_file())
    names = {path: path.relative_to(record.path).as_posix() for path in found}
    return {n: path.read_bytes() for path, n in names.items() if not n.startswith(".")}


@dataclass
class _Compaction:
    """One compaction: what it was asked for, and below what its last attempt has made."""

    hub: Hub
    repo_id: str
    cluster: Cluster | None
    accept_new_recipes: bool
    any_submitter: bool

    head: str = ""
    generation: int = 0
    shards: int = 0
    refused: tuple[Refusal, ...] = ()

    def plan(self) -> Change | None:
        """The next snapshot of what the dataset holds now; None if its inbox says nothing new."""
        contents = read_record(self.hub, self.repo_id)
        self.head = contents.head
        with scratch_copy(self.hub, contents) as record:
            refuse = Refuser(
                record,
                accept_new_recipes=self.accept_new_recipes,
                any_submitter=self.any_submitter,
            )
            self.refused = refuse.validate().refused
            files = fold(record, self.repo_id, cluster=self.cluster, refuse=refuse)
        self.generation = int(read_manifest(files[MANIFEST], self.repo_id)["generation"])
        gone = [path for path in contents.shards if path not in files]
        if self.generation == contents.generation and not gone:
            return None
        self.shards = len(gone)
        return Change(
            contents.head,
            f"Compact the inbox into generation {self.generation}",
            {p: d for p, d in files.items() if not Content.of(d).is_at(contents.files.get(p))},
            delete=_as_folders([*gone, *_outdated(contents, self.generation)], contents.files),
            pinned=True,
        )


def _outdated(contents: Contents, generation: int) -> list[str]:
    """The files of generations older than the one before this."""
    found = ((path, _SNAPSHOT.fullmatch(path)) for path in contents.files)
    return [path for path, match in found if match and int(match[1]) < generation - 1]


def _as_folders(paths: Collection[str], everything: Iterable[str]) -> tuple[str, ...]:
    """The paths to be deleted, with folders of which nothing stays in place of their files."""
    kept = set()
    for path in set(everything) - set(paths):
        parts = path.split("/")
        kept |= {"/".join(parts[:n]) + "/" for n in range(1, len(parts))}
    found = set()
    for path in paths:
        parts = path.split("/")
        folders = ["/".join(parts[:n]) + "/" for n in range(1, len(parts))]
        found.add(next((folder for folder in folders if folder not in kept), path))
    return tuple(sorted(found))
