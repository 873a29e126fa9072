"""Pull requests on a results dataset: which are open, and what one adds, changes or removes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hf_select.errors import InputError
from hf_select.hub.client import Hub
from hf_select.hub.record.contents import SHARD, Contents, list_files


@dataclass(frozen=True)
class PullRequest:
    """One pull request; `status` is draft, open, merged or closed."""

    num: int
    author: str
    status: str

    @property
    def ref(self) -> str:
        """The branch that its commits are on."""
        return f"refs/pr/{self.num}"


@dataclass(frozen=True)
class Proposal:
    """What a pull request does, since it left main, in the files that it has now.

    `added` are the paths of new files; `touched` of those that it changes or removes.
    """

    contents: Contents
    added: tuple[str, ...]
    touched: tuple[str, ...]


def open_pull_requests(
    hub: Hub, repo_id: str, *, author: str | None = None, repo_type: str = "dataset"
) -> list[PullRequest]:
    """The open pull requests (of an author), newest first."""

    def ask() -> list[PullRequest]:
        return [
            PullRequest(found.num, found.author, found.status)
            for found in hub.api.get_repo_discussions(
                repo_id,
                repo_type=repo_type,
                author=author,
                discussion_type="pull_request",
                discussion_status="open",
            )
            if found.is_pull_request and author in (None, found.author)
        ]

    found = hub.call(ask, what=f"the pull requests of {repo_id}")
    return sorted(found, key=lambda request: -request.num)


def find_pull_request(hub: Hub, repo_id: str, num: int) -> PullRequest:
    """The open pull request of that number; `InputError` lists the ones there are."""
    found = open_pull_requests(hub, repo_id)
    for request in found:
        if request.num == num:
            return request
    numbers = ", ".join(str(request.num) for request in reversed(found))
    raise InputError(
        f"{repo_id} has no open pull request {num}", hint=f"open ones: {numbers or 'none'}"
    )


def read_proposal(hub: Hub, repo_id: str, request: PullRequest, *, main: str) -> Proposal:
    """What the pull request does; `main` is the commit that it is looked at from."""
    there = list_files(hub, repo_id, revision=request.ref)
    base = _where_it_left(hub, repo_id, there.head, main)
    before = list_files(hub, repo_id, revision=base).files
    changed = (p for p, old in before.items() if p not in there.files or there.files[p] != old)
    added = sorted(set(there.files) - set(before))
    return Proposal(there, tuple(added), tuple(sorted(changed)))


def shards_of(paths: Iterable[str], author: str) -> list[str]:
    """Of those paths the shards in the author's own folder of the inbox."""
    matches = ((path, SHARD.fullmatch(path)) for path in paths)
    return sorted(path for path, match in matches if match and match["submitter"] == author)


def _where_it_left(hub: Hub, repo_id: str, head: str, main: str) -> str:
    """The newest commit that both have; both histories are read only as far as is needed."""
    theirs = _History(hub, repo_id, head)
    ours = _History(hub, repo_id, main)
    while True:
        known = set(ours.commits)
        for commit in theirs.commits:
            if commit in known:
                return commit
        if not (theirs.more() | ours.more()):
            raise InputError(
                f"{repo_id}: the commit {head[:8]} has no history in common with main",
                hint="such a pull request can't be merged; ask for a new one",
            )


class _History:
    """The commits of a revision, newest first, a page at a time."""

    def __init__(self, hub: Hub, repo_id: str, revision: str) -> None:
        self._hub = hub
        self._next: str | None = f"/api/datasets/{repo_id}/commits/{revision}"
        self.commits: list[str] = []

    def more(self) -> bool:
        """Read the next page; False if there is none."""
        if self._next is None:
            return False
        page = self._hub.get_page(self._next)
        self.commits += [row["id"] for row in page.rows]
        self._next = page.next
        return True
