"""The one client of the Hub: endpoint, token, user agent, retries, and errors in our own words.

`huggingface_hub` retries listings and downloads, but neither `model_info` nor `create_commit`; it
waits without a bound where the Hub says so, starts a download again from nothing when the
connection is reset, and its HTTP client waits for ever. So every call of this package goes through
`Hub`, which

- waits as long as the Hub asks for (`RateLimit`, `Retry-After`) plus some jitter, else
  exponentially longer, and gives up after a bounded number of attempts,
- goes on with a file where the connection broke,
- makes no socket at all in offline mode (`HF_HUB_OFFLINE=1`),
- turns whatever goes wrong into `AccessError` (the user can mend it), `ConflictError` (somebody
  committed first) or `HubError` (the same command goes on later).
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from hf_select.environment import version_of
from hf_select.errors import AccessError, HubError, MissingError, SetupError
from hf_select.hub import cache, wording
from hf_select.hub.remote_file import RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
TIMEOUT = 60.0
"""Seconds without a byte after which a request has failed."""
RETRIED = frozenset([408, 425, 429, 500, 502, 503, 504])
URL_PREFIX = {"model": "", "dataset": "datasets/", "space": "spaces/"}
COMMIT = re.compile(r"[0-9a-f]{40}")
SMALL = 100 * 2**20
"""Bytes; a file that is read into memory whole is no bigger."""
STEP = 2**20
"""Bytes of a file after which attempts to get the rest are counted anew."""


@dataclass(frozen=True)
class Page:
    """One page of a listing; `next` is the path of the one after it, None at the end."""

    rows: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True)
class FileInfo:
    """A file of a repository at a commit.

    `oid` is git's hash; `sha256` is known for big (LFS) files only. `security` is the status of
    the Hub's scan, such as safe or unsafe, where it was asked for.
    """

    path: str
    size: int
    oid: str
    sha256: str | None
    security: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> FileInfo:
        """From a row of the tree, as the API gives it."""
        scan = row.get("securityFileStatus") or {}
        sha256 = (row.get("lfs") or {}).get("oid")
        return cls(row["path"], row["size"], row["oid"], sha256, scan.get("status"))

    @property
    def etag(self) -> str:
        """What the file is called in the Hub's cache: its hash."""
        return self.sha256 or self.oid


class Hub:
    """A client of one Hub as one user. Several threads may share one.

    `attempts` per call; `longest_wait` in seconds is the longest wait that is obeyed, a Hub that
    asks for more gets a `HubError`; `timeout` in seconds without a byte. `requests` and
    `bytes_read` count what this client has asked for and the bodies of files that it has read.
    Raises `SetupError` for an address with a password in it, or a token that can't be one.

    >>> Hub(endpoint="http://127.0.0.1:1/").endpoint
    'http://127.0.0.1:1'
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | bool | None = None,
        attempts: int = 8,
        longest_wait: float = 300.0,
        timeout: float = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        from huggingface_hub import HfApi, constants

        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        if "@" in urlsplit(self.endpoint).netloc:  # it would end up in every log and saved address
            raise SetupError(
                "the Hub's address holds a user or password",
                hint="take it out of HF_ENDPOINT; what says who you are is HF_TOKEN",
            )
        self.api: HfApi = HfApi(
            endpoint=self.endpoint,
            token=token,
            library_name="hf-select",
            library_version=version_of("hf-select"),
        )
        self.attempts = attempts
        self.longest_wait = longest_wait
        self.timeout = timeout
        self.requests = 0
        self.bytes_read = 0
        self._sleep = sleep
        self._random = random.Random(seed)
        self._counting = threading.Lock()
        self._user: str | None = None
        secret = self.secret()
        if secret and not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise SetupError(
                "the token holds a character that no token has, such as a space",
                hint="`hf auth login`, or set HF_TOKEN again",
            )

    # ------------------------------------------------------------------------------- calls

    def call(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        what: str = "",
        retry_server_errors: bool = True,
        **kwargs: Any,
    ) -> T:
        """`function(*args, **kwargs)`, with retries and our errors; `what` names its object.

        `function` does its requests before it returns: a listing goes through `get_page`. With
        `retry_server_errors=False` only a refusal that surely did nothing (429) is repeated: for
        a commit, which may have been applied although the answer was a 500. An `OSError` of this
        machine, such as a full disk, goes through as it is.
        """
        # those of HfApi that can be told a time-out wait for ever when they aren't
        if "timeout" in signature(function).parameters:
            kwargs.setdefault("timeout", self.timeout)
        return self._call(
            lambda: function(*args, **kwargs),
            what=what or getattr(function, "__name__", "the call"),
            retry_server_errors=retry_server_errors,
        )

    def _call(
        self,
        function: Callable[[], T],
        *,
        what: str,
        retry_server_errors: bool = True,
        progress: Callable[[], int] = lambda: 0,
    ) -> T:
        """As `call`; attempts are counted anew whenever `progress()` has grown."""
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session

        attempt, reached = 1, progress()
        while True:
            if constants.is_offline_mode():
                raise wording.offline(what)
            session = get_session()
            if session.timeout.read is None:  # what those of HfApi use that can't be told one
                session.timeout = self.timeout
            self._count(requests=1)
            try:
                return function()
            except wording.caught() as error:
                self.blot(error)
                if wording.is_local(error):
                    raise
                if progress() > reached:
                    attempt, reached = 1, progress()
                wait = self._wait(error, attempt, retry_server_errors)
                if wait is None:
                    raise wording.translate(error, what) from error
            self._sleep(wait)
            attempt += 1

    def pause(self, attempt: int, *, at_least: float = 0.0) -> None:
        """Wait before doing again what failed for the `attempt`-th time (1, 2, ...)."""
        self._sleep(at_least + self._backoff(attempt))

    def blot(self, error: BaseException) -> None:
        """Take the token, and whatever else is secret, out of an error that will be shown."""
        wording.blot(error, self.secret())

    def _wait(self, error: BaseException, attempt: int, retry_server_errors: bool) -> float | None:
        """Seconds to wait before the next attempt; None if there is to be none."""
        status = wording.status_of(error)
        if status is None and not wording.is_broken_connection(error):
            return None
        if status is not None and status not in RETRIED:
            return None
        if status != 429 and not retry_server_errors:
            return None
        if attempt >= self.attempts:
            return None
        asked = wording.asked_wait(error)
        if asked is None:
            return self._backoff(attempt)
        if asked > self.longest_wait:
            return None
        return asked + self._random.uniform(0.0, max(1.0, 0.1 * asked))

    def _backoff(self, attempt: int) -> float:
        """1, 2, 4... seconds, less up to a half, so that those who were refused together part."""
        return min(self.longest_wait, 2.0 ** (attempt - 1)) * self._random.uniform(0.5, 1.0)

    def get_page(
        self, url: str, params: Mapping[str, Any] | None = None, *, what: str = "the listing"
    ) -> Page:
        """One page of a JSON listing; `url` is a path (`/api/models`), or a page's `next`."""
        rows, response = self._get(url, params=params, what=what)
        link = response.links.get("next", {}).get("url")
        return Page(rows, link and self._path(str(response.url.join(link))))

    def get_json(self, url: str, params: Mapping[str, Any] | None = None, *, what: str = "") -> Any:
        """What the API answers at that path."""
        return self._get(url, params=params, what=what or url)[0]

    def _get(self, url: str, *, what: str, params: Mapping[str, Any] | None) -> tuple[Any, Any]:
        """The JSON that is answered, and the response that it came with."""
        from huggingface_hub.utils import get_session, hf_raise_for_status

        address = self._address(url, what)
        query = None if params is None else dict(params)

        def fetch() -> tuple[Any, Any]:
            response = get_session().get(
                address, params=query, headers=self._headers(), timeout=self.timeout
            )
            hf_raise_for_status(response)
            return response.json(), response

        return self._call(fetch, what=what)

    def _headers(self) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers

        return build_hf_headers(
            token=self.api.token,
            library_name=self.api.library_name,
            library_version=self.api.library_version,
        )

    def _address(self, url: str, what: str) -> str:
        """The whole address of a path; an address elsewhere is refused, as the token goes along."""
        address = f"{self.endpoint}{url}" if url.startswith("/") else url
        if not address.startswith(f"{self.endpoint}/"):
            raise HubError(f"{what}: {address} is not on {self.endpoint}; the token stays here")
        return address

    def _path(self, link: str) -> str:
        """A link of the Hub as a path on this endpoint: a mirror's links may name its original."""
        parts, own = urlsplit(link), urlsplit(self.endpoint).path
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return path.removeprefix(own) if own and path.startswith(f"{own}/") else path

    # --------------------------------------------------------------------------- questions

    def user(self) -> str:
        """The name of the token's owner; `SetupError` without a valid token."""
        if self._user is None:
            if not self.secret():
                raise wording.no_token()
            self._user = str(self.get_json("/api/whoami-v2", what="the token")["name"])
        return self._user

    def head_commit(self, repo_id: str, *, repo_type: str, revision: str | None = None) -> str:
        """The commit that a branch, a tag or a shortened hash stands for, 40 hex digits."""
        url = f"/api/{repo_type}s/{checked_id(repo_id)}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        row = self.get_json(url, {"expand": ["sha"]}, what=f"{repo_type} {repo_id}")
        return str(row["sha"])

    def tree(
        self, repo_id: str, *, repo_type: str, revision: str, path: str | None = None
    ) -> list[FileInfo]:
        """All files at a commit (below `path`); an empty list for a folder that isn't there."""
        where = f"/api/{repo_type}s/{checked_id(repo_id)}/tree/{quote(revision, safe='')}"
        url: str | None = where + (f"/{quote(path)}" if path else "")
        params: dict[str, Any] | None = {"recursive": "true"}
        found: list[FileInfo] = []
        while url:
            try:
                page = self.get_page(url, params, what=f"{repo_type} {repo_id}")
            except MissingError as error:
                if path is not None and error.missing == "file":
                    return []
                raise
            found += [FileInfo.from_row(row) for row in page.rows if row["type"] == "file"]
            url, params = page.next, None
        return found

    def info(self, repo_id: str, path: str, *, repo_type: str, revision: str) -> FileInfo:
        """Size and hashes of one file; `MissingError` if there is none."""
        from huggingface_hub.hf_api import RepoFile

        what = f"{path} of {repo_id}"
        rows = self.call(
            self.api.get_paths_info,
            checked_id(repo_id),
            [path],
            repo_type=repo_type,
            revision=revision,
            what=what,
        )
        for row in rows:
            if isinstance(row, RepoFile) and row.path == path:
                return FileInfo(path, row.size, row.blob_id, row.lfs.sha256 if row.lfs else None)
        raise MissingError(f"{what}: there is no such file", missing="file")

    # ------------------------------------------------------------------------------- bytes

    def read(self, repo_id: str, path: str, *, repo_type: str, revision: str) -> bytes:
        """A small file, whole; an `AccessError` if it isn't small."""
        what, data = f"{path} of {repo_id}", bytearray()
        url = file_url(repo_id, path, repo_type=repo_type, revision=revision)
        self.receive(url, data.extend, what=what, limit=SMALL + 1)
        if len(data) > SMALL:
            raise AccessError(f"{what} has more than {SMALL // 2**20} MB, which nobody expects")
        return bytes(data)

    def open(
        self, repo_id: str, path: str, *, repo_type: str, revision: str, size: int | None = None
    ) -> RemoteFile:
        """A big file of which only parts are read, a request each. Without `size` it is asked."""
        what = f"{path} of {repo_id}"
        if size is None:
            size = self.info(repo_id, path, repo_type=repo_type, revision=revision).size
        url = file_url(repo_id, path, repo_type=repo_type, revision=revision)
        return RemoteFile(
            lambda write, start, stop: self.receive(url, write, what=what, start=start, stop=stop),
            name=what,
            size=size,
        )

    def download(
        self,
        repo_id: str,
        path: str,
        *,
        repo_type: str,
        revision: str,
        info: FileInfo | None = None,
    ) -> Path:
        """The local path of a file in the Hub's cache; fetched, or resumed, if it isn't there.

        It is the cache that all of Hugging Face's libraries share. What is fetched has the hash
        that the Hub lists, or it is a `DamagedError`. `info`: what is known of it already.
        """
        from huggingface_hub import constants, try_to_load_from_cache

        what = f"{path} of {repo_id}"
        checked_path(path, what)
        commit = revision
        if not COMMIT.fullmatch(revision) and not constants.is_offline_mode():
            commit = self.head_commit(repo_id, repo_type=repo_type, revision=revision)
        there = try_to_load_from_cache(
            checked_id(repo_id), path, repo_type=repo_type, revision=commit
        )
        if isinstance(there, str):
            return Path(there)
        if constants.is_offline_mode():
            raise wording.offline(what)
        info = info or self.info(repo_id, path, repo_type=repo_type, revision=commit)
        url = file_url(repo_id, path, repo_type=repo_type, revision=commit)
        return cache.keep(
            info,
            cache.folder(repo_id, repo_type),
            commit,
            lambda write, start: self.receive(url, write, what=what, start=start, limit=info.size),
            what=what,
        )

    def receive(
        self,
        url: str,
        write: Callable[[bytes], object],
        *,
        what: str,
        start: int = 0,
        stop: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Give the bytes from `start` up to `stop` of a file to `write`, in order.

        After a broken connection it goes on where it was. A file that ends early ends it; of one
        without a `stop`, bytes from `limit` on aren't taken.
        """
        from huggingface_hub.utils import get_session, hf_raise_for_status

        address, at = self._address(url, what), start
        end = limit if stop is None else stop

        def fetch() -> None:
            nonlocal at
            headers = {**self._headers(), "Accept-Encoding": "identity"}
            if at or stop is not None:
                headers["Range"] = f"bytes={at}-{'' if stop is None else stop - 1}"
            with get_session().stream(
                "GET", address, headers=headers, timeout=self.timeout
            ) as response:
                if response.status_code == 416:  # nothing lies beyond
                    return
                hf_raise_for_status(response)
                skip = at  # a server that knows no ranges sends everything from the beginning
                if response.status_code == 206:
                    skip = 0
                    if not response.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                        raise HubError(f"{what}: bytes from {at} on were asked for, others came")
                for chunk in response.iter_bytes():
                    self._count(bytes_read=len(chunk))
                    part = chunk[skip:] if end is None else chunk[skip : skip + end - at]
                    skip = max(0, skip - len(chunk))
                    write(part)
                    at += len(part)
                    if at == end:
                        return

        if at != end:
            self._call(fetch, what=what, progress=lambda: at // STEP)

    def _count(self, *, requests: int = 0, bytes_read: int = 0) -> None:
        with self._counting:
            self.requests += requests
            self.bytes_read += bytes_read

    def secret(self) -> str | None:
        """The token itself, None if there is none.

        To take it out of messages, and for a job that acts for its owner. It belongs in no message,
        no file and no variable that anybody can see.
        """
        from huggingface_hub import get_token

        if isinstance(self.api.token, str):
            return self.api.token
        return None if self.api.token is False else get_token()


# ------------------------------------------------------------------------------------- names


def checked_id(repo_id: str) -> str:
    """A name of a repository that can stand in an address and in a path, or an `AccessError`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        if not repo_id.isprintable():  # huggingface_hub 1.31 lets a line break at the end through
            raise HFValidationError(f"no name: {repo_id!r}")
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise AccessError(
            f"{repo_id!r} is no name of a repository",
            hint="one is named OWNER/NAME: letters, digits and single `-`, `_` or `.` between them",
        ) from error
    return repo_id


def checked_path(path: str, what: str) -> str:
    """A file's path that stays inside its folder, or an `AccessError`."""
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise AccessError(f"{what!r} is no file that can be kept: its path leaves the folder")
    return path


def file_url(repo_id: str, path: str, *, repo_type: str, revision: str) -> str:
    """The path of an address at which a file's bytes are."""
    prefix = URL_PREFIX[repo_type]
    return f"/{prefix}{checked_id(repo_id)}/resolve/{quote(revision, safe='')}/{quote(path)}"
