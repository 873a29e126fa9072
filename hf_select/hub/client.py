"""The one client of the Hub: endpoint, token, user agent, retries, and errors in our own words.

`huggingface_hub` retries listings and downloads, but neither `model_info` nor `create_commit`, and
its HTTP client waits for ever. So every call of this package goes through `Hub`, which

- waits as long as the Hub asks for (`RateLimit`, `Retry-After`) plus some jitter, else
  exponentially longer, and gives up after a bounded number of attempts,
- makes no socket at all in offline mode (`HF_HUB_OFFLINE=1`),
- turns whatever goes wrong into `AccessError` (the user can mend it), `ConflictError` (somebody
  committed first) or `HubError` (the same command goes on later).
"""

from __future__ import annotations

import io
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from hf_select.errors import AccessError, ConflictError, HfSelectError, HubError, MissingError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
TIMEOUT = 60.0
"""Seconds without a byte after which a request has failed."""
RETRIED = frozenset([408, 425, 429, 500, 502, 503, 504])
URL_PREFIX = {"model": "", "dataset": "datasets/", "space": "spaces/"}


@dataclass(frozen=True)
class Page:
    """One page of a listing; `next` is the address of the one after it, None at the end."""

    rows: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True)
class FileInfo:
    """A file of a repository at a commit. `sha256` is known for big (LFS) files only."""

    path: str
    size: int
    oid: str
    sha256: str | None


class Hub:
    """A client of one Hub as one user.

    `attempts` per call; `longest_wait` in seconds is the longest wait that is obeyed, a Hub that
    asks for more gets a `HubError`. `requests` and `bytes_read` count what this client has asked
    for and the bodies that it has read (`read`, `open`, `download`).

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
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        from huggingface_hub import HfApi, constants

        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self.api: HfApi = HfApi(
            endpoint=self.endpoint,
            token=token,
            library_name="hf-select",
            library_version=version("hf-select"),
        )
        self.attempts = attempts
        self.longest_wait = longest_wait
        self.requests = 0
        self.bytes_read = 0
        self._sleep = sleep
        self._random = random.Random(seed)
        self._user: str | None = None

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

        With `retry_server_errors=False` only a refusal that surely did nothing (429) is repeated:
        for a commit, which may have been applied although the answer was a 500.
        """
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session

        what = what or getattr(function, "__name__", "the call")
        for attempt in range(1, self.attempts + 1):
            if constants.HF_HUB_OFFLINE and not getattr(function, "works_offline", False):
                raise _offline(what)
            session = get_session()
            if session.timeout.read is None:
                session.timeout = TIMEOUT
            self.requests += 1
            try:
                return function(*args, **kwargs)
            except HfSelectError:
                raise
            except Exception as error:
                cause = _root(error)
                wait = self._wait(cause, attempt, retry_server_errors)
                if wait is None:
                    raise translate(cause, what) from error
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, error: BaseException, attempt: int, retry_server_errors: bool) -> float | None:
        """Seconds to wait before the next attempt; None if there is to be none."""
        status = _status(error)
        if status is None and not _is_transport(error):
            return None
        if status is not None and status not in RETRIED:
            return None
        if status != 429 and not retry_server_errors:
            return None
        if attempt >= self.attempts:
            return None
        asked = _asked_wait(error) if status is not None else None
        if asked is not None and asked > self.longest_wait:
            return None
        if asked is not None:
            return asked + self._random.uniform(0.0, max(1.0, 0.1 * asked))
        return min(self.longest_wait, 2.0 ** (attempt - 1)) * self._random.uniform(0.5, 1.0)

    def get_page(self, url: str, params: Mapping[str, Any] | None = None) -> Page:
        """One page of a JSON listing; `url` is a path (`/api/models`) or a page's `next`."""
        response = self._get(url, params=params, what="the listing")
        link = response.links.get("next", {}).get("url")
        return Page(response.json(), link and str(response.url.join(link)))

    def get_json(self, url: str, params: Mapping[str, Any] | None = None, *, what: str = "") -> Any:
        """What the API answers at that path."""
        return self._get(url, params=params, what=what or url).json()

    def _get(
        self,
        url: str,
        *,
        what: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        from huggingface_hub.utils import get_session, hf_raise_for_status

        address = f"{self.endpoint}{url}" if url.startswith("/") else url
        if not address.startswith(f"{self.endpoint}/"):
            raise HubError(f"{what}: {address} is not on {self.endpoint}; the token stays here")
        query = None if params is None else dict(params)

        def fetch() -> Any:
            response = get_session().get(
                address,
                params=query,
                headers={**self.api._build_hf_headers(), **(headers or {})},
                timeout=TIMEOUT,
            )
            hf_raise_for_status(response)
            return response

        return self.call(fetch, what=what)

    # --------------------------------------------------------------------------- questions

    def user(self) -> str:
        """The name of the token's owner; `AccessError` without a valid token."""
        if self._user is None:
            try:
                self._user = str(self.call(self.api.whoami, what="the token")["name"])
            except ValueError as error:  # LocalTokenNotFoundError and friends
                raise _no_token() from error
        return self._user

    def head_commit(self, repo_id: str, *, repo_type: str, revision: str | None = None) -> str:
        """The commit that a branch, a tag or a shortened hash stands for, 40 hex digits."""
        info = self.call(
            self.api.repo_info,
            repo_id,
            repo_type=repo_type,
            revision=revision,
            what=f"{repo_type} {repo_id}",
        )
        return str(info.sha)

    def tree(
        self, repo_id: str, *, repo_type: str, revision: str, path: str | None = None
    ) -> list[FileInfo]:
        """All files at a commit (below `path`); an empty list for a folder that isn't there."""
        where = f"/api/{repo_type}s/{repo_id}/tree/{quote(revision, safe='')}"
        url: str | None = where + (f"/{quote(path)}" if path else "")
        params: dict[str, Any] | None = {"recursive": "true"}
        found: list[FileInfo] = []
        while url:
            try:
                response = self._get(url, params=params, what=f"{repo_type} {repo_id}")
            except MissingError as error:
                if path is not None and error.missing == "file":
                    return []
                raise
            for row in response.json():
                if row["type"] == "file":
                    sha256 = (row.get("lfs") or {}).get("oid")
                    found.append(FileInfo(row["path"], row["size"], row["oid"], sha256))
            link = response.links.get("next", {}).get("url")
            url, params = (str(response.url.join(link)) if link else None), None
        return found

    # ------------------------------------------------------------------------------- bytes

    def read(self, repo_id: str, path: str, *, repo_type: str, revision: str) -> bytes:
        """A small file, whole."""
        response = self._get(
            self._address(repo_id, path, repo_type, revision), what=f"{path} of {repo_id}"
        )
        data: bytes = response.content
        self.bytes_read += len(data)
        return data

    def open(
        self, repo_id: str, path: str, *, repo_type: str, revision: str, size: int | None = None
    ) -> RemoteFile:
        """A big file of which only parts are read, a request each."""
        return RemoteFile(self, self._address(repo_id, path, repo_type, revision), path, size)

    def download(self, repo_id: str, path: str, *, repo_type: str, revision: str) -> Path:
        """The local path of a file in the Hub's cache; fetched, or resumed, if it isn't there."""
        from huggingface_hub import try_to_load_from_cache

        there = try_to_load_from_cache(repo_id, path, repo_type=repo_type, revision=revision)

        def fetch() -> str:
            return self.api.hf_hub_download(repo_id, path, repo_type=repo_type, revision=revision)

        fetch.works_offline = True  # type: ignore[attr-defined]
        with quiet_bars():
            found = Path(self.call(fetch, what=f"{path} of {repo_id}"))
        if not isinstance(there, str):
            self.bytes_read += found.stat().st_size
        return found

    def _address(self, repo_id: str, path: str, repo_type: str, revision: str) -> str:
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(repo_id)
        except ValueError as error:
            raise translate(error, repo_id) from error
        prefix = URL_PREFIX[repo_type]
        return f"/{prefix}{repo_id}/resolve/{quote(revision, safe='')}/{quote(path)}"


class RemoteFile(io.RawIOBase):
    """A file on the Hub as a seekable binary file; each `read` is one range request.

    `size` in bytes is asked for on first use where it isn't given.
    """

    def __init__(self, hub: Hub, url: str, name: str, size: int | None = None) -> None:
        super().__init__()
        self._hub, self._url, self._name, self._size = hub, url, name, size
        self._at = 0

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        if self._size is None:
            response = self._fetch(0, 1)
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            self._size = int(total) if total.isdigit() else len(response.content)
        return self._size

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: 0}[whence]
        self._at = max(0, offset + (self.size if whence == io.SEEK_END else base))
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes from here, all the rest with -1."""
        count = self.size - self._at
        if size is not None and size >= 0:
            count = min(count, size)
        if count <= 0:
            return b""
        start = self._at
        response = self._fetch(start, count)
        data: bytes = response.content
        if response.status_code != 206:  # a server that doesn't know ranges sends it all
            data = data[start : start + count]
        if len(data) != count:
            raise HubError(f"{self._name}: {count} bytes were asked for, {len(data)} came")
        self._at += count
        return data

    def readinto(self, buffer: Any, /) -> int:
        """As `read`, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read(-1)

    def _fetch(self, start: int, count: int) -> Any:
        response = self._hub._get(
            self._url,
            what=self._name,
            headers={"Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"},
        )
        self._hub.bytes_read += len(response.content)
        return response


class quiet_bars:
    """No progress bars of the Hub's client inside; as it was after."""

    def __enter__(self) -> None:
        from huggingface_hub import utils

        self._were_off = utils.are_progress_bars_disabled()
        if not self._were_off:
            utils.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        from huggingface_hub import utils

        if not self._were_off:
            utils.enable_progress_bars()


# ----------------------------------------------------------------------------------- errors


def translate(error: BaseException, what: str) -> HfSelectError:
    """An error of the Hub's client in our words; `what` names what was asked for."""
    from huggingface_hub import errors

    status = _status(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _offline(what)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return _no_token()
    if isinstance(error, errors.HFValidationError):
        return AccessError(f"{_line(error)}", hint="a repository is named OWNER/NAME")
    if isinstance(error, errors.GatedRepoError):
        return AccessError(
            f"{what} is gated, and this token has not been let in",
            hint="accept its conditions on its page, or leave it out",
        )
    if isinstance(error, errors.DisabledRepoError):
        return AccessError(f"{what} was disabled by the Hub", hint="leave it out")
    if isinstance(error, errors.RevisionNotFoundError):
        return MissingError(f"{what}: there is no such commit, branch or tag", missing="revision")
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        return MissingError(f"{what}: there is no such file", missing="file")
    if status == 401 and "Invalid credentials" in str(error):
        return AccessError(
            "the Hub doesn't know this token", hint="`hf auth login`, or set HF_TOKEN"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return MissingError(
            f"{what}: there is no such repository, or it is private and this token can't see it",
            missing="repository",
            hint="look at the name; `hf auth login` for a private one",
        )
    if status == 401:
        return _no_token()
    if status == 403:
        return AccessError(
            f"{what}: this token has not the right to do that ({_said(error)})",
            hint="use a token with write access, or contribute by a pull request (--create-pr)",
        )
    if status in (409, 412):
        return ConflictError(
            f"{what}: somebody else committed first", hint="the same command goes on"
        )
    if status == 429:
        wait = _asked_wait(error)
        after = f" and asks to wait {wait:.0f} s" if wait is not None else ""
        return HubError(f"{what}: the Hub refuses more requests{after}", hint="try again later")
    if status is not None:
        return HubError(
            f"{what}: the Hub answered {status} ({_said(error)})", hint="try again later"
        )
    if _is_transport(error):
        return HubError(
            f"{what}: the Hub can't be reached ({type(error).__name__}: {_line(error)})",
            hint="is the network there? the same command goes on",
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return AccessError(f"{what} is not in the cache", hint="it needs the network once")
    return HubError(f"{what}: {type(error).__name__}: {_line(error)}")


def _offline(what: str) -> AccessError:
    return AccessError(f"{what} needs the Hub, but offline mode is on", hint="unset HF_HUB_OFFLINE")


def _no_token() -> AccessError:
    return AccessError("this needs a token of the Hub", hint="`hf auth login`, or set HF_TOKEN")


def _root(error: BaseException) -> BaseException:
    """What a wrapped error is about: a download says "not in the cache" whatever went wrong."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _root(error.__cause__)
    return error


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_transport(error: BaseException) -> bool:
    """A broken connection, a time-out, a name that isn't found: the next try may go through."""
    from huggingface_hub import errors
    from huggingface_hub.utils import get_session

    if isinstance(error, errors.OfflineModeIsEnabled):
        return False
    # huggingface_hub 1 speaks through httpx, 2 through httpx2: whichever it is, its own errors.
    library = sys.modules[type(get_session()).__module__.partition(".")[0]]
    return isinstance(error, library.TransportError | ConnectionError | TimeoutError)


def _asked_wait(error: BaseException) -> float | None:
    """Seconds that the Hub asks to wait: the rate limit's reset, else `Retry-After`."""
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = getattr(getattr(error, "response", None), "headers", {})
    limit = parse_ratelimit_headers(headers) if _status(error) == 429 else None
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = str(headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time()) if value else None
    except ValueError:
        return None


def _said(error: BaseException) -> str:
    said = getattr(error, "server_message", None)
    return str(said).splitlines()[0] if said else _line(error)


def _line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
