"""What goes wrong on the way to the Hub: what it means, in our words, and how long to wait."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from types import ModuleType

from hf_select.errors import (
    AccessError,
    ConflictError,
    HfSelectError,
    HubError,
    MissingError,
    SetupError,
)
from hf_select.redaction import BLOT, redact

_ID = re.compile(r"\((Request ID|Amzn Trace ID|Amz CF ID): [^)]*\)")


def offline(what: str) -> SetupError:
    """What is said instead of making a socket in offline mode."""
    return SetupError(f"{what} needs the Hub, but offline mode is on", hint="unset HF_HUB_OFFLINE")


def no_token() -> SetupError:
    """What is said where nothing can be done without a token."""
    return SetupError("this needs a token of the Hub", hint="`hf auth login`, or set HF_TOKEN")


def caught() -> tuple[type[Exception], ...]:
    """What the Hub's client raises on purpose; anything else is somebody's bug."""
    from huggingface_hub.errors import HFValidationError

    library = _library()
    return (library.HTTPError, library.InvalidURL, OSError, HFValidationError, json.JSONDecodeError)


def is_local(error: BaseException) -> bool:
    """Whether it is no trouble of the Hub's but of this machine: a full disk, a missing right."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    of_the_hub = HfHubHTTPError | LocalTokenNotFoundError | ConnectionError | TimeoutError
    if type(error).__module__ == "hf_xet":  # it calls a refused upload a PermissionError
        return False
    return isinstance(error, OSError) and not isinstance(error, of_the_hub)


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer; None if there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_broken_connection(error: BaseException) -> bool:
    """A connection that failed, broke or fell silent: the next try may go through."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    of_library = _library()
    broken = (
        of_library.NetworkError,
        of_library.TimeoutException,
        of_library.RemoteProtocolError,
        of_library.ProxyError,
    )
    return isinstance(error, (*broken, ConnectionError, TimeoutError))


def asked_wait(error: BaseException) -> float | None:
    """Seconds that the Hub asks to wait: `Retry-After`, or the reset of a used-up rate limit.

    The longer one where it names both; None where it names none.
    """
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = getattr(getattr(error, "response", None), "headers", {})
    waits = [_retry_after(str(headers.get("Retry-After", "")).strip())]
    limit = parse_ratelimit_headers(headers) if status_of(error) == 429 else None
    if limit is not None and limit.remaining == 0:
        waits.append(float(limit.reset_in_seconds))
    return max((wait for wait in waits if wait is not None), default=None)


def _retry_after(value: str) -> float | None:
    """Seconds, given as such or as a date; None for anything else."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time()) if value else None
    except ValueError:
        return None


def blot(error: BaseException, *secrets: str | None) -> None:
    """Take tokens and passwords out of an error and of those it came from, for good.

    They stay chained to ours, and whoever prints a traceback prints them all.
    """
    for one in _chain(error):
        one.args = tuple(
            _without(arg, secrets) if isinstance(arg, str) else arg for arg in one.args
        )
        said = getattr(one, "server_message", None)
        if said:
            one.server_message = _without(str(said), secrets)  # type: ignore[attr-defined]


def _without(text: str, secrets: tuple[str | None, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, BLOT)
    return redact(text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def translate(error: BaseException, what: str) -> HfSelectError:
    """An error of the Hub's client in our words; `what` names what was asked for."""
    from huggingface_hub import errors

    status = status_of(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return offline(what)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return no_token()
    if isinstance(error, errors.HFValidationError):
        return AccessError(
            f"{what} is no name of a repository", hint="a repository is named OWNER/NAME"
        )
    if isinstance(error, json.JSONDecodeError):
        return HubError(
            f"{what}: what came is not what a Hub answers", hint="look at HF_ENDPOINT and the proxy"
        )
    if status is not None:
        return _refusal(error, status, what)
    if is_broken_connection(error):
        return HubError(
            f"{what}: the Hub can't be reached ({type(error).__name__}: {_line(error)})",
            hint="is the network there? the same command goes on",
        )
    return HubError(f"{what}: {type(error).__name__}: {_line(error)}", hint="look at HF_ENDPOINT")


def _refusal(error: BaseException, status: int, what: str) -> HfSelectError:
    """An answer with an error status."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return AccessError(
            f"{what} is gated, and this token has not been let in",
            hint="accept its conditions on its page, or leave it out",
        )
    if isinstance(error, errors.DisabledRepoError):
        return AccessError(f"{what} was disabled by the Hub", hint="leave it out")
    if isinstance(error, errors.RevisionNotFoundError):
        return MissingError(f"{what}: there is no such commit, branch or tag", missing="revision")
    if isinstance(error, errors.EntryNotFoundError):
        return MissingError(f"{what}: there is no such file", missing="file")
    if status == 401 and "Invalid credentials" in str(error):
        return SetupError(
            "the Hub doesn't know this token", hint="`hf auth login`, or set HF_TOKEN"
        )
    if status == 401 and "is expired" in str(error):  # the client takes it for a missing repository
        return SetupError(
            "the Hub doesn't know this token any more: it is expired",
            hint="`hf auth login`, or set HF_TOKEN",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status in (404, 410):
        return MissingError(
            f"{what}: there is no such repository, or it is private and this token can't see it",
            missing="repository",
            hint="look at the name; `hf auth login` for a private one",
        )
    if status == 401:
        return no_token()
    if status == 403:
        # The error's own `request` may not be set, and raises then; its response knows it.
        sent = getattr(getattr(error, "response", None), "request", None)
        writing = getattr(sent, "method", "GET") not in ("GET", "HEAD")
        return AccessError(
            f"{what}: this token has not the right to do that ({_said(error)})",
            hint="use a token with write access, or contribute by a pull request (--create-pr)"
            if writing
            else "use a token that may read it",
        )
    if status in (409, 412):
        return ConflictError(
            f"{what}: somebody else committed first", hint="the same command goes on"
        )
    if status == 429:
        wait = asked_wait(error)
        after = f" and asks to wait {wait:.0f} s" if wait is not None else ""
        return HubError(f"{what}: the Hub refuses more requests{after}", hint="try again later")
    hint = "try again later" if status >= 500 else ""
    return HubError(f"{what}: the Hub answered {status} ({_said(error)})", hint=hint)


def _library() -> ModuleType:
    """The HTTP library below: huggingface_hub 1 speaks through httpx, 2 through httpx2."""
    from huggingface_hub.errors import HfHubHTTPError

    return sys.modules[HfHubHTTPError.__mro__[1].__module__.partition(".")[0]]


def _said(error: BaseException) -> str:
    said = getattr(error, "server_message", None)
    return str(said).splitlines()[0] if said else _line(error)


def _line(error: BaseException) -> str:
    """The first line of an error that says something; huggingface_hub may put an id before it."""
    lines = [_ID.sub("", line).strip() for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)
