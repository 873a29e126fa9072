"""How far a long stage has come, told to whoever listens: nobody, unless somebody asked.

A stage says what it does and how much there is of it; the command line draws bars of that, a
library user may get the steps as they are:

>>> seen = []
>>> with listening(seen.append), stage("looking at models", total=2, unit="models") as at:
...     at.advance(detail="bert-mini")
>>> [str(step) for step in seen]
['looking at models', 'looking at models: 1 of 2 models (bert-mini)', 'looking at models: ended']
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Step:
    """What a listener is told when a stage begins, gets on and ends.

    stage: a number that all steps of one stage share. what: what it does, in words. done and
    total: in `unit`s ("models", "bytes", ...); `total` is None where nobody knows. detail: what it
    is at now.
    """

    stage: int
    what: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    detail: str = ""
    ended: bool = False

    def __str__(self) -> str:
        if self.ended:
            return f"{self.what}: ended"
        amount = "" if self.total is None else f" of {self.total:g}"
        reached = f": {self.done:g}{amount}{' ' * bool(self.unit)}{self.unit}" if self.done else ""
        return f"{self.what}{reached}{f' ({self.detail})' if self.detail else ''}"


Listener = Callable[[Step], None]
"""Called from whichever thread the work is done in; it must be quick."""

_listener: ContextVar[Listener | None] = ContextVar("hf_select_progress", default=None)
_numbers = count(1)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Every stage that begins inside is told to `listener`; None: to nobody.

    It holds for this thread; threads that a stage starts are given the stage itself.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Stage:
    """One stage under way. Without a listener every call does nothing."""

    def __init__(
        self, listener: Listener | None, what: str, total: float | None, unit: str
    ) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._step = Step(next(_numbers), what, 0.0, total, unit)

    @property
    def heard(self) -> bool:
        """Whether anybody listens, so that no message has to say the same."""
        return self._listener is not None

    def advance(self, by: float = 1.0, *, detail: str = "") -> None:
        """So much more is done; may be called from several threads."""
        if self._listener is not None:
            with self._lock:
                self._tell(self._step.done + by, detail)

    def reach(self, done: float, *, detail: str = "") -> None:
        """So much is done in all."""
        if self._listener is not None:
            with self._lock:
                self._tell(done, detail)

    def _tell(self, done: float, detail: str, ended: bool = False) -> None:
        assert self._listener is not None
        last = self._step
        # What takes more than was expected has an end that nobody knows.
        total = None if last.total is not None and done > last.total * (1 + 1e-9) else last.total
        self._step = Step(last.stage, last.what, done, total, last.unit, detail, ended)
        self._listener(self._step)


@contextmanager
def stage(what: str, *, total: float | None = None, unit: str = "") -> Iterator[Stage]:
    """A stage that may take long: "looking at models", of `total` `unit`s if that is known."""
    at = Stage(_listener.get(), what, total, unit)
    if at._listener is None:
        yield at
        return
    at._listener(at._step)
    try:
        yield at
    finally:
        with at._lock:
            at._tell(at._step.done, "", ended=True)
