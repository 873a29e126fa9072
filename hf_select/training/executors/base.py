"""What every executor has in common: jobs, how they end, and what runs them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hf_select.errors import StoppedError
from hf_select.launched import place

Options = Mapping[str, tuple[Callable[[str], Any], str]]
"""An executor's own options: name -> how to read its text (`ValueError` if it can't be), and what
it must be, in words."""

BEGAN = "HF_SELECT_JOB_BEGAN"
"""The variable that says when a job was started, or got its device: seconds since 1970."""


class StopFlag:
    """Whether a job was asked to stop; called between steps."""

    def __init__(self) -> None:
        self._set = False

    def __call__(self) -> bool:
        """True from the first request on."""
        return self._set

    def set(self, *_: Any) -> None:
        """Ask to stop; also fits as a signal handler."""
        self._set = True


class JobFunction(Protocol):
    """What a job runs. It has to be importable by name and leaves its result in a file."""

    def __call__(self, argument: Any, stop: Callable[[], bool]) -> None:
        """Do the job; raise `StoppedError` soon after `stop()` is True."""


Prepare = Callable[[Any], Any]
"""Does ahead, without a device, what a job's function would do itself: argument -> argument."""


@dataclass(frozen=True)
class Job:
    """One job: a name that is a good file name, and what the function gets (pickled)."""

    id: str
    argument: Any


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `ok`, `stopped`, `timeout`, or `failed` with the reason."""

    id: str
    status: str
    reason: str = ""
    seconds: float = 0.0


class Executor(Protocol):
    """What runs jobs. `slots` is how many run at once."""

    slots: int

    def run(
        self,
        jobs: Iterable[Job],
        *,
        on_end: Callable[[Outcome], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run them all, asking for the next job only when it can be started or queued.

        `on_end` hears of every job that was started, `on_tick` is called a few times a second.
        SIGINT or SIGTERM: running jobs are asked to stop, and when they have, `StoppedError` is
        raised. A second SIGINT ends them and raises `KeyboardInterrupt`.
        """


class Interrupts:
    """SIGINT and SIGTERM while jobs run: the first one is noted, a second SIGINT is raised."""

    def __init__(self) -> None:
        self.since = 0.0  # by `time.monotonic`
        self._seen: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._seen)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Our handlers while the block runs; only the main thread can have any."""
        self._seen, self.since = [], 0.0
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in old:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def raise_if_any(self) -> None:
        """`StoppedError` if there was one."""
        if self._seen:
            name = signal.Signals(self._seen[0]).name
            raise StoppedError(f"stopped by {name}", hint="run the same command again to go on")

    def _on_signal(self, number: int, _: Any) -> None:
        if self._seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._seen:
            self.since = time.monotonic()
        self._seen.append(number)


def job_began() -> float:
    """When this job began, in seconds since 1970: now, where its executor doesn't say."""
    try:
        return float(os.environ[BEGAN])
    except (KeyError, ValueError):
        return time.time()


def cores() -> int:
    """CPU cores that this process may use: its share, where several were launched together."""
    found = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    return max(1, found // place().local_world)


def last_line(log: Path) -> str:
    """The last line that was printed: of a traceback, the error itself."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")


def yes_or_no(text: str) -> bool:
    """A text as True or False; else a `ValueError`."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def whole_from_0(text: str) -> int:
    """A text as a number; else a `ValueError`."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def whole_from_1(text: str) -> int:
    """A text as a number; else a `ValueError`."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables while the block runs."""
    old = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
