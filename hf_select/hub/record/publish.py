"""Rows of a local record -> the results dataset on the Hub: one commit, or one pull request.

What is sent is what the Hub's record lacks, read anew before every attempt: a second publish has
nothing to send, and one that is repeated after an error sends nothing twice. A record that exists
gets shards in its inbox, one a kind of row, named after their content, so that they conflict with
nobody's. An empty dataset gets a whole record, compacted, with its card.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hf_select.errors import AccessError, InputError, MissingError, RecordError, SetupError
from hf_select.files import write_atomic
from hf_select.hub.client import Hub, checked_id
from hf_select.hub.commit import TRIES, Change, Landed, commit
from hf_select.hub.record.compaction import fold
from hf_select.hub.record.contents import (
    Contents,
    copy_files,
    list_files,
    read_contents,
    scratch_copy,
)
from hf_select.hub.record.outgoing import LocalOnly, Place, prepare
from hf_select.hub.record.pull_requests import open_pull_requests, shards_of
from hf_select.results.card import CARD
from hf_select.results.foreign import IMPORTED
from hf_select.results.repo import ResultsRepo
from hf_select.results.state import Rows
from hf_select.results.tables import Cluster
from hf_select.results.validation import Refusal

DESCRIPTION = "Sent by `hf-select publish`."
AT_A_TIME = 4
"""Questions to the Hub, whether it has a model or a data set, that wait for their answers."""


@dataclass(frozen=True)
class Published:
    """What a publish did. `rows` counts what was sent by kind; empty when all was there already.

    `commit` is where it is all to be found, 40 hex digits (None if there is no such dataset and
    nothing to make one of), `url` its page; `pull_request` is set where rows wait in one,
    `created` where the dataset was made. `refused` are rows that the record can't take, `local`
    models and data sets that the Hub doesn't have and `problems` local files that can't be read:
    they stay behind.
    """

    repo_id: str
    url: str
    user: str
    commit: str | None
    rows: Mapping[str, int]
    pull_request: int | None
    created: bool
    refused: tuple[Refusal, ...]
    problems: tuple[str, ...]
    local: tuple[LocalOnly, ...] = ()


def publish(
    hub: Hub,
    local: ResultsRepo,
    repo_id: str,
    *,
    create_pr: bool = False,
    private: bool = False,
    accept_new_recipes: bool = False,
    allow_local: bool = False,
    message: str = "",
    cluster: Cluster | None = None,
) -> Published:
    """Send the rows of `local` that the dataset lacks; it is made if there is none.

    With `create_pr` they go into a pull request: into the open one of this user if there is one.
    Models and data sets that aren't on the Hub stay behind with their rows, unless `allow_local`.
    `cluster` groups models for the snapshot of a first publish. Raises `AccessError` where the
    token has not the right, `RecordError` for a dataset that isn't a record or of a newer schema,
    `HubError` if the Hub gave up; then the same call goes on, and nothing arrives twice.
    """
    user = hub.user()
    if repo_id.count("/") != 1:
        raise InputError(
            f"{repo_id!r} can't be published to: a dataset on the Hub is named OWNER/NAME",
            hint=f"one of yours would be {user}/{repo_id if repo_id.isidentifier() else 'NAME'}",
        )
    it = _Publication(
        hub=hub,
        local=local,
        repo_id=repo_id,
        user=user,
        create_pr=create_pr,
        private=private,
        accept_new_recipes=accept_new_recipes,
        allow_local=allow_local,
        message=message,
        cluster=cluster,
    )
    landed = it.send()
    request = (landed and landed.pull_request) or it.pull_request
    page = f"{hub.endpoint}/datasets/{repo_id}"
    return Published(
        repo_id,
        url=f"{page}/discussions/{request}" if request else page,
        user=user,
        commit=(landed and landed.commit) or it.head or None,
        rows={kind: len(r) for kind, r in it.sent.by_kind().items() if r} if landed else {},
        pull_request=request,
        created=it.created,
        refused=it.refused,
        problems=tuple(local.problems),
        local=it.left_out,
    )


@dataclass
class _Publication:
    """One publish: what it was asked for, and below what its last look at the Hub has shown."""

    hub: Hub
    local: ResultsRepo
    repo_id: str
    user: str
    create_pr: bool
    private: bool
    accept_new_recipes: bool
    allow_local: bool
    message: str
    cluster: Cluster | None

    head: str = ""
    pull_request: int | None = None
    created: bool = False
    sent: Rows = field(default_factory=Rows)
    refused: tuple[Refusal, ...] = ()
    left_out: tuple[LocalOnly, ...] = ()
    asked: dict[Place, bool] = field(default_factory=dict)

    def send(self) -> Landed | None:
        """Commit what is to be sent; again, if the pull request that it joins ends meanwhile."""
        landed = None
        for _ in range(TRIES):
            try:
                landed = commit(self.hub, self.repo_id, self.plan) or landed
            except AccessError:
                if self._is_open():
                    raise
                continue
            if self._is_open():  # else what came after its end would be seen by nobody
                break
        return landed

    def _is_open(self) -> bool:
        """Whether the pull request that rows were added to, if there was one, is open still."""
        if self.pull_request is None:
            return True
        mine = open_pull_requests(self.hub, self.repo_id, author=self.user)
        return self.pull_request in {request.num for request in mine}

    def plan(self) -> Change | None:
        """What is still to be sent, given what the Hub holds now."""
        contents = self._look()
        founding = contents.manifest is None
        with scratch_copy(self.hub, contents) as record:
            base = self._with_proposals(contents, record) if self.create_pr else contents
            outgoing = prepare(
                self.local,
                record,
                self.user,
                founding=founding,
                accept_new_recipes=self.accept_new_recipes,
                absent=self._absent,
            )
            self.head, self.refused = base.head, outgoing.refused
            self.left_out = outgoing.local
            if not outgoing.shards:
                return None
            self.sent = outgoing.rows
            add = self._found(record, outgoing.shards) if founding else outgoing.shards
        if not contents.head:
            base = self._create()
        return Change(
            base.head,
            self.message or summary(outgoing.rows),
            add,
            description=DESCRIPTION,
            pinned=founding,
            revision=f"refs/pr/{self.pull_request}" if self.pull_request else "main",
            pull_request=self.create_pr and self.pull_request is None,
        )

    def _absent(self, places: Collection[Place]) -> Collection[Place]:
        """Those that the Hub doesn't have; it is asked of each once, however often we plan."""
        if self.allow_local:
            return ()
        new = [place for place in places if place not in self.asked]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            self.asked.update(zip(new, pool.map(self._is_there, new), strict=True))
        return [place for place in places if not self.asked[place]]

    def _is_there(self, place: Place) -> bool:
        if place.revision == IMPORTED:  # a name from somebody's table
            return True
        try:
            checked_id(place.repo_id)
        except AccessError:  # no name of a repository: a path on somebody's machine
            return False
        try:
            self.hub.head_commit(place.repo_id, repo_type=place.kind, revision=place.revision)
        except MissingError:
            return False
        except SetupError:  # offline, or a wrong token: that is no answer
            raise
        except AccessError:  # gated, say: others may have been let in
            return True
        return True

    def _look(self) -> Contents:
        """The dataset as it is; without a commit if there is none and it may be made."""
        try:
            contents = read_contents(self.hub, self.repo_id)
        except MissingError as error:
            if error.missing != "repository" or self.create_pr:
                raise
            return Contents(self.repo_id, "", {}, None)
        if self.create_pr and contents.manifest is None:
            raise RecordError(
                f"{self.repo_id} is empty, and a pull request can't found a record",
                hint="its owner publishes first, without --create-pr",
            )
        if self.private and not self.created:
            self._check_private()
        return contents

    def _check_private(self) -> None:
        info = self.hub.call(self.hub.api.dataset_info, self.repo_id, what=self.repo_id)
        if not info.private:
            raise InputError(
                f"{self.repo_id} exists and is public; --private is for a new dataset",
                hint="leave --private out, or make it private on its page first",
            )

    def _with_proposals(self, contents: Contents, record: ResultsRepo) -> Contents:
        """Add this user's open pull requests to the scratch copy: what they hold was sent already.

        Returns where new rows are to go: the newest of them that has shards, or main.
        """
        self.pull_request, base = None, contents
        for request in open_pull_requests(self.hub, self.repo_id, author=self.user):
            there = list_files(self.hub, self.repo_id, revision=request.ref)
            mine = shards_of(set(there.files) - set(contents.files), self.user)
            copy_files(self.hub, there, mine, record.path)
            if mine and self.pull_request is None:
                self.pull_request, base = request.num, there
        return base

    def _found(self, record: ResultsRepo, shards: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The files of a new record with those rows; the card of the local one comes along."""
        for path, data in shards.items():
            write_atomic(record.path / path, data)
        card = self.local.path / CARD
        if card.is_file() and not (record.path / CARD).exists():
            write_atomic(record.path / CARD, card.read_bytes())
        return fold(record, self.repo_id, cluster=self.cluster)

    def _create(self) -> Contents:
        """Make the dataset."""
        try:
            self.hub.call(
                self.hub.api.create_repo,
                self.repo_id,
                repo_type="dataset",
                private=self.private or None,
                exist_ok=True,
                what=f"dataset {self.repo_id}",
            )
        except AccessError as error:
            raise AccessError(
                f"{self.repo_id} does not exist and can't be made: {error.message}",
                hint="publish under a name of your own, or of an organization that you write for",
            ) from error
        self.created = True
        return list_files(self.hub, self.repo_id)


def summary(rows: Rows) -> str:
    """What a commit of those rows is called."""
    if rows.runs:
        models = len({run.key.model for run in rows.runs})
        datasets = len({(run.key.dataset, run.key.config) for run in rows.runs})
        return (
            f"Add {_count(len(rows.runs), 'run')} of {_count(models, 'model')} "
            f"on {_count(datasets, 'dataset')}"
        )
    counts = [
        _count(len(mine), "proxy score" if kind == "proxies" else kind.removesuffix("s"))
        for kind, mine in rows.by_kind().items()
        if mine
    ]
    return f"Add {' and '.join(counts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
