"""Failures on demand, and the log of what was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import unquote


@dataclass(frozen=True)
class Request:
    """One answered request."""

    method: str
    path: str
    """As it was sent, percent-encoded, without the query."""
    query: str
    status: int
    user: str | None
    """Name of the token's user; None without a token or with a wrong one."""
    ms: float
    """Milliseconds from the last byte of the request to the first of the answer."""
    bytes_out: int
    """Bytes of the body that were sent."""
    headers: Mapping[str, str]
    """As they were sent, names in lower case, less `authorization`: a log holds no token."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(eq=False)
class Fault:
    """What goes wrong with the requests it matches."""

    method: str = "*"
    path: str = "*"
    """A glob over path or path and query, percent-encoded or plain."""
    times: float = 1
    """How often it still strikes; `math.inf`: always."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    """Seconds before anything is done."""
    message: str = ""
    applied: bool = False
    """Do what was asked, then answer with `status` all the same."""
    cut: int | None = None
    """Announce the whole body, send so many bytes of it, then reset the connection."""
    after: int = 0
    """How many matching requests pass first."""
    struck: int = 0
    """How often it has struck."""

    def matches(self, method: str, target: str) -> bool:
        """Whether a request is of the kind it spoils."""
        return self.method in ("*", method) and matches(self.path, target)


class Faults:
    """The faults that are set, in order; the first that strikes takes the request."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Set a fault."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """From now on all goes well."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """The fault that strikes this request, if any."""
        with self._lock:
            for fault in self._faults:
                if fault.struck >= fault.times or not fault.matches(method, target):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.struck += 1
                return fault
        return None


def matches(glob: str, target: str) -> bool:
    """Whether a glob matches the path, or path and query, of a request; encoded or plain."""
    texts = (target, target.partition("?")[0])
    return any(fnmatchcase(form, glob) for text in texts for form in (text, unquote(text)))
