"""LocalHub: starts and stops the server, and lets a test or a demo arrange the world behind it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.server import ThreadingHTTPServer
from typing import Any, Self

from hf_select.demo.hub_server.community import add_event, merge_into_main
from hf_select.demo.hub_server.faults import Fault, Faults, Request, matches
from hf_select.demo.hub_server.handler import Handler
from hf_select.demo.hub_server.jobs import LocalJob, kill_all
from hf_select.demo.hub_server.store import Commit, Repo, Store, User, stamp


@dataclass(frozen=True)
class PullRequest:
    """A pull request as it is now; `status` is draft, open, closed or merged."""

    num: int
    status: str
    author: str
    ref: str


class LocalHub:
    """A Hub on 127.0.0.1, in memory. `with hub:` serves; after it, `with hub:` serves again.

    `page_size`: the longest page of a listing of repositories (1,000, as on the Hub, if None).
    `port`: 0 takes a free one, and keeps it when the server starts anew.

    Users at the start, by token: `hf_alice` (alice, of the organization lab), `hf_bob` (bob) and
    `hf_reader` (reader, whose token only reads).
    """

    def __init__(self, page_size: int | None = None, *, port: int = 0) -> None:
        self.store = Store(page_size=page_size)
        self.faults = Faults()
        self.log: list[Request] = []
        """Every request, in the order of the answers."""
        self.bugs: list[str] = []
        """Tracebacks of the server's own errors: there should be none."""
        self.closed = threading.Event()
        self._port = port
        self._server: Server | None = None
        self.user("hf_alice", "alice", orgs=("lab",))
        self.user("hf_bob", "bob")
        self.user("hf_reader", "reader", role="read")

    def __enter__(self) -> Self:
        self.closed.clear()
        self._server = Server(self, self._port)
        self._port = self._server.server_address[1]
        self.store.endpoint = self.endpoint
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed.set()
        if self._server is not None:
            self._server.close()
            self._server = None
        kill_all(self.store)

    @property
    def endpoint(self) -> str:
        """The address of the server; what HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._port}"

    def user(
        self, token: str, name: str, *, orgs: Collection[str] = (), role: str = "write"
    ) -> None:
        """Let a token be somebody's; `role` is read or write."""
        if role not in ("read", "write"):
            raise ValueError(f"a token's role is read or write, not {role!r}")
        self.store.users[token] = User(name, tuple(orgs), role)

    def add(
        self,
        type: str,
        id: str,
        files: Mapping[str, bytes | str] | None = None,
        *,
        commit: str | None = None,
        private: bool = False,
        gated: bool | str = False,
        disabled: bool = False,
        downloads: int = 0,
        likes: int = 0,
        modified: str | datetime | None = None,
        created: str | datetime | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """A new repository, whose first commit is returned; a .gitattributes is added to its files.

        `commit` gives that commit a hash of one's own (40 hex digits). Times are ISO texts or
        datetimes. `extra` sets or overrides properties of the API.
        """
        repo = self.store.create(
            type,
            id,
            files,
            commit=commit,
            private=private,
            gated="auto" if gated is True else gated,
            disabled=disabled,
            downloads=downloads,
            likes=likes,
            modified=_time(modified),
            created=_time(created),
            extra=dict(extra or {}),
        )
        return repo.head.sha

    def push(
        self,
        type: str,
        id: str,
        files: Mapping[str, bytes | str],
        *,
        message: str = "",
        commit: str | None = None,
        delete: Collection[str] = (),
    ) -> str:
        """A later commit on main, by the repository's owner; returns its hash."""
        title = message or "Update"
        repo = self.repo(type, id)
        return self.store.change(repo, files, title=title, delete=delete, commit=commit).sha

    def force_push(
        self,
        type: str,
        id: str,
        files: Mapping[str, bytes | str],
        *,
        message: str = "",
        commit: str | None = None,
        delete: Collection[str] = (),
    ) -> str:
        """The same without a parent: main loses its history; old commits stay, by hash."""
        title, repo = message or "Rewrite", self.repo(type, id)
        made = self.store.change(
            repo, files, title=title, delete=delete, commit=commit, orphan=True
        )
        return made.sha

    def rename(self, type: str, id: str, new: str) -> None:
        """Give a repository another name; whoever asks for the old one is sent on."""
        repo = self.repo(type, id)
        with self.store.lock:
            repo.id = new
            self.store.repos[type, new] = self.store.repos.pop((type, id))
            self.store.moved[type, id] = new

    def remove(self, type: str, id: str) -> None:
        """Delete a repository."""
        self.repo(type, id)
        with self.store.lock:
            del self.store.repos[type, id]

    def repo(self, type: str, id: str) -> Repo:
        """The repository itself; set `private`, `disabled`, `downloads`... on it to change them."""
        repo = self.store.repos.get((type, id))
        if repo is None:
            raise KeyError(f"this Hub has no {type} {id}")
        return repo

    def files(self, type: str, id: str, revision: str = "main") -> dict[str, bytes]:
        """Content of all files at a revision, .gitattributes included."""
        commit = self.repo(type, id).find(revision)
        if commit is None:
            raise KeyError(f"{id} has no revision {revision}")
        return {path: blob.data for path, blob in commit.files.items()}

    def commits(self, type: str, id: str, revision: str = "main") -> list[Commit]:
        """Commits of a revision, newest first."""
        repo = self.repo(type, id)
        commit = repo.find(revision)
        return [] if commit is None else list(repo.history(commit))

    def pull_requests(self, type: str, id: str) -> list[PullRequest]:
        """Pull requests, oldest first."""
        return [
            PullRequest(one.num, one.status, one.author, one.ref)
            for one in list(self.repo(type, id).discussions.values())
            if one.is_pull_request
        ]

    def merge(self, type: str, id: str, num: int) -> str:
        """Merge a pull request as the owner would; returns main's new commit."""
        repo = self.repo(type, id)
        with self.store.lock:
            return merge_into_main(repo, repo.discussions[num], repo.namespace).sha

    def close(self, type: str, id: str, num: int) -> None:
        """Close a pull request or discussion as the owner would."""
        repo = self.repo(type, id)
        with self.store.lock:
            one = repo.discussions[num]
            one.status = "closed"
            add_event(one, "status-change", repo.namespace, {"status": "closed"})

    def jobs(self) -> list[LocalJob]:
        """The jobs that were started, oldest first; they end with the server."""
        return list(self.store.jobs.values())

    def fault(
        self,
        method: str = "*",
        path: str = "*",
        *,
        times: float = 1,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        delay: float = 0,
        message: str = "",
        applied: bool = False,
        cut: int | None = None,
        after: int = 0,
    ) -> Fault:
        """Spoil the next requests that match (see `Fault`); its `struck` counts how many it did."""
        if applied and status is None and cut is None:
            raise ValueError("applied=True says what happens before an answer of `status` or `cut`")
        return self.faults.add(
            Fault(
                method=method,
                path=path,
                times=times,
                status=status,
                headers=dict(headers or {}),
                delay=delay,
                message=message,
                applied=applied,
                cut=cut,
                after=after,
            )
        )

    def requests(self, method: str = "*", path: str = "*") -> list[Request]:
        """The log, by method and by a glob over path, or path and query, as in `fault`."""
        return [
            request
            for request in list(self.log)
            if method in ("*", request.method) and matches(path, request.target)
        ]


class Server(ThreadingHTTPServer):
    """A thread a connection; on closing, open connections are dropped, as when a machine goes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: LocalHub, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub = hub
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection while it lives."""
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error of the server's; anything else is."""
        if not isinstance(sys.exception(), OSError):
            self.hub.bugs.append(traceback.format_exc())

    def close(self) -> None:
        """Stop, and drop the connections that are open."""
        self.shutdown()
        self.server_close()
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):  # it may end by itself right now
                    connection.shutdown(socket.SHUT_RDWR)


def _time(value: str | datetime | None) -> str | None:
    if value is None:
        return None
    return stamp(datetime.fromisoformat(value) if isinstance(value, str) else value)
