"""Repositories, commits, files, refs, users and jobs, in memory."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_select.demo.hub_server.jobs import LocalJob

TYPES = ("model", "dataset", "space")
MAIN = "refs/heads/main"
BIG = 10_000_000
"""Bytes from which a file is stored as a large file, whatever its name."""

_LARGE = """7z arrow bin bz2 ckpt ftz gguf gz h5 joblib mlmodel model msgpack npy npz onnx ot
    parquet pb pickle pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst"""
_LARGE_DATA = "bmp flac gif jpeg jpg mp3 mp4 ogg png tiff wav webp"
"""Endings of large files, in a dataset's repository too."""


@dataclass(frozen=True)
class User:
    """Whose token it is, the organizations they write to, and what the token allows."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def belongs_to(self, namespace: str) -> bool:
        """Whether the namespace is their own or one of their organizations."""
        return namespace == self.name or namespace in self.orgs


@dataclass(frozen=True)
class Blob:
    """The bytes of one version of one file."""

    data: bytes
    large: bool = False
    """Stored as a large file (LFS): known by its sha256, in git by a pointer."""
    oid: str = field(init=False)
    """Git's object id, 40 hex digits; of the pointer for a large file."""

    def __post_init__(self) -> None:
        content = self.pointer if self.large else self.data
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        object.__setattr__(self, "oid", oid)

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of a large file."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {len(self.data)}\n"
        ).encode()

    @property
    def etag(self) -> str:
        """What the client names a downloaded file after in its cache."""
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True, eq=False)
class Commit:
    """A state of all files."""

    sha: str
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Blob]
    parent: str | None

    def has_folder(self, path: str) -> bool:
        """Whether a file lies below that path."""
        return any(name.startswith(path.rstrip("/") + "/") for name in self.files)


@dataclass(eq=False)
class Discussion:
    """A discussion or a pull request, with its events as the Hub writes them."""

    num: int
    title: str
    author: str
    created: str
    base: str | None
    """The commit that a pull request was made from; None for a mere discussion."""
    status: str = "open"
    merge_commit: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_pull_request(self) -> bool:
        """Whether it carries commits."""
        return self.base is not None

    @property
    def ref(self) -> str:
        """Where the commits of a pull request go."""
        return f"refs/pr/{self.num}"


@dataclass(eq=False)
class Repo:
    """A repository. Whoever changes it holds the lock of its store."""

    type: str
    id: str
    private: bool = False
    gated: str | bool = False
    disabled: bool = False
    downloads: int = 0
    likes: int = 0
    created: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Properties of the API to set or override: tags, safetensors, securityRepoStatus..."""
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    discussions: dict[int, Discussion] = field(default_factory=dict)
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What follows from the files, by commit (see `properties.py`)."""

    @property
    def namespace(self) -> str:
        """The user or organization it belongs to."""
        return self.id.split("/")[0]

    @property
    def kind(self) -> str:
        """As it is spelt in URLs: models, datasets, spaces."""
        return f"{self.type}s"

    @property
    def page(self) -> str:
        """Path of its page: models have no prefix."""
        return f"/{self.id}" if self.type == "model" else f"/{self.kind}/{self.id}"

    @property
    def head(self) -> Commit:
        """The newest commit of main."""
        return self.commits[self.refs[MAIN]]

    def find(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag, a full ref, or a hash of at least 7 digits."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if revision in self.commits:
            return self.commits[revision]
        if re.fullmatch(r"[0-9a-f]{7,39}", revision):
            return next(
                (c for sha, c in list(self.commits.items()) if sha.startswith(revision)), None
            )
        return None

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        step: Commit | None = commit
        while step is not None:
            yield step
            step = self.commits.get(step.parent or "")

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The commit that gave a file, or a folder, the content it has at `commit`."""
        inside = path.rstrip("/") + "/"

        def content(step: Commit) -> list[tuple[str, Blob]]:
            return [
                (name, blob)
                for name, blob in step.files.items()
                if name == path or name.startswith(inside)
            ]

        wanted, last = content(commit), commit
        for step in self.history(commit):
            if content(step) != wanted:
                break
            last = step
        return last

    def commit(
        self,
        ref: str,
        files: Mapping[str, Blob],
        *,
        title: str,
        author: str,
        parent: str | None,
        message: str = "",
        sha: str | None = None,
        date: str | None = None,
    ) -> Commit:
        """Add a commit and move the ref to it; `sha` gives it a hash of one's own."""
        if sha is None:
            tree = [(path, blob.oid) for path, blob in sorted(files.items())]
            identity = (self.type, self.id, parent, author, title, message, tree, len(self.commits))
            sha = hashlib.sha1(repr(identity).encode()).hexdigest()
        if not re.fullmatch(r"[0-9a-f]{40}", sha) or sha in self.commits:
            raise ValueError(f"a commit needs a new hash of 40 hex digits, not {sha!r}")
        commit = Commit(sha, title, message, author, date or now(), dict(files), parent)
        self.commits[sha] = commit
        self.refs[ref] = sha
        return commit

    def is_large(self, path: str, size: int) -> bool:
        """Whether the repository's .gitattributes, or its size, makes a file a large one."""
        if size == 0:  # the Hub has no empty large files
            return False
        rules = self.head.files.get(".gitattributes") if MAIN in self.refs else None
        text = attributes(self.type) if rules is None else rules.data
        patterns = [line.split()[0] for line in text.decode().splitlines() if "filter=lfs" in line]
        name = path.rsplit("/", 1)[-1]
        return size >= BIG or any(fnmatchcase(name, pattern) for pattern in patterns)


class Store:
    """Everything that the Hub knows."""

    def __init__(self, *, page_size: int | None = None) -> None:
        self.endpoint = ""
        self.page_size = page_size
        self.lock = threading.RLock()
        """Held while repositories change, never while bytes are hashed, read or sent."""
        self.repos: dict[tuple[str, str], Repo] = {}
        self.moved: dict[tuple[str, str], str] = {}
        """Type and name that a repository had before -> its name now."""
        self.users: dict[str, User] = {}
        self.uploads: dict[str, Blob] = {}
        """Large files that arrived, by sha256."""
        self.jobs: dict[str, LocalJob] = {}
        """By id, oldest first."""

    def create(
        self,
        type: str,
        id: str,
        files: Mapping[str, bytes | str] | None = None,
        *,
        author: str | None = None,
        title: str = "initial commit",
        commit: str | None = None,
        created: str | None = None,
        modified: str | None = None,
        **properties: Any,
    ) -> Repo:
        """A new repository; its first commit holds `files` and a .gitattributes.

        Raises ValueError for a type or name the Hub doesn't allow, or one that is taken.
        """
        if type not in TYPES:
            raise ValueError(f"a repository is one of {', '.join(TYPES)}, not {type!r}")
        if not valid_id(id):
            raise ValueError(f"{id!r} is no name of a repository: expected owner/name")
        date = modified or created or now()
        repo = Repo(type, id, created=created or date, **properties)
        blobs = {
            ".gitattributes": Blob(attributes(type)),
            **{path: to_blob(repo, path, content) for path, content in (files or {}).items()},
        }
        repo.commit(
            MAIN,
            blobs,
            title=title,
            author=author or repo.namespace,
            parent=None,
            sha=commit,
            date=date,
        )
        with self.lock:
            if (type, id) in self.repos:
                raise ValueError(f"there is already a {type} {id}")
            self.repos[type, id] = repo
        return repo

    def change(
        self,
        repo: Repo,
        files: Mapping[str, bytes | str],
        *,
        title: str,
        delete: Collection[str] = (),
        commit: str | None = None,
        orphan: bool = False,
    ) -> Commit:
        """A commit on main; `orphan` gives it no parent, as a force push does."""
        blobs = {path: to_blob(repo, path, content) for path, content in files.items()}
        with self.lock:
            parent = repo.head
            missing = set(delete) - parent.files.keys()
            if missing:
                raise ValueError(f"{repo.id} has no file {', '.join(sorted(missing))}")
            kept = {path: blob for path, blob in parent.files.items() if path not in set(delete)}
            return repo.commit(
                MAIN,
                kept | blobs,
                title=title,
                author=repo.namespace,
                parent=None if orphan else parent.sha,
                sha=commit,
            )


def to_blob(repo: Repo, path: str, content: bytes | str) -> Blob:
    """The content as the repository would store it."""
    data = content.encode() if isinstance(content, str) else bytes(content)
    return Blob(data, large=repo.is_large(path, len(data)))


def attributes(type: str) -> bytes:
    """The .gitattributes of a new repository."""
    endings = _LARGE.split() + (_LARGE_DATA.split() if type == "dataset" else [])
    return "".join(f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in endings).encode()


def valid_id(id: str) -> bool:
    """Whether the Hub allows the name: `owner/name` of letters, digits, `-`, `_` and `.`."""
    part = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
    return bool(re.fullmatch(rf"{part}/{part}", id)) and not re.search(r"--|\.\.|\.git$", id)


def now() -> str:
    """The time as the Hub writes it, UTC with milliseconds."""
    return stamp(datetime.now(UTC))


def stamp(time: datetime) -> str:
    """A time as the Hub writes it; without a zone it is UTC."""
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
