"""Cells that all launched processes train together, one after the other.

The processes are those of `accelerate launch` or torchrun: where one dies, the launcher ends all of
them, and starts them anew if it was told to (`--max_restarts`); the same command does so, too. So
what a cell has cost is noted before it is begun, in `<results>/.work/attempts/<key>.json`:

    {"begun": 1, "micro_batch": 0, "status": "failed", "error": ""}

A cell that has brought its processes down twice is recorded as failed. One that ran out of memory
is begun again with half of the micro-batch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.errors import HubError, LoneError, StoppedError
from hf_select.files import claimed, write_atomic
from hf_select.launched import is_main_process
from hf_select.training.agreement import first_ones
from hf_select.training.executors.base import Interrupts, Outcome

if TYPE_CHECKING:
    from hf_select.training.cells import Cell

ATTEMPTS = 2
"""How often a cell may bring its processes down before it is recorded as failed."""

HANGS_AFTER = 60.0
"""Seconds after its time is up in which a cell must have ended by itself."""


@dataclass(frozen=True)
class Attempts:
    """How often a cell was begun without an end; what to go on with, and what it died of."""

    begun: int = 0
    micro_batch: int = 0
    status: str = "failed"
    error: str = ""

    @staticmethod
    def path(cell: Cell) -> Path:
        """Where they are noted."""
        return cell.work / "attempts" / f"{cell.key.id}.json"

    @classmethod
    def of(cls, cell: Cell) -> Attempts:
        """Those noted, none if there is no note."""
        try:
            return cls(**json.loads(cls.path(cell).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return cls()

    def note(self, cell: Cell) -> None:
        """Keep them."""
        write_atomic(self.path(cell), json.dumps(asdict(self)).encode())

    @classmethod
    def forget(cls, cell: Cell) -> None:
        """The cell has come to an end."""
        cls.path(cell).unlink(missing_ok=True)


@dataclass(frozen=True)
class Hooks:
    """What the benchmark does around a cell.

    wanted(cell): whether it still lacks a record. train(cell, stop, micro_batch): train it, and in
    the main process leave its record. ended(outcome): take it in, or record why there is none.
    undone(cell, reason): it needs the Hub, which can't be reached.
    """

    wanted: Callable[[Cell], bool]
    train: Callable[[Cell, Callable[[], bool], int, float | None], None]
    ended: Callable[[Outcome], None]
    undone: Callable[[Cell, str], None]
    tick: Callable[[], None]


def train_together(cells: Sequence[Cell], hooks: Hooks, *, timeout: float | None) -> None:
    """Train the cells, all processes each of them; to be called by all in the same order.

    `timeout` is in seconds a cell. Raises `StoppedError`, with a checkpoint written, after SIGINT
    or SIGTERM in any of the processes; a second SIGINT raises `KeyboardInterrupt`.
    """
    interrupts = Interrupts()
    with interrupts.listening():
        for cell in cells:
            with _claimed_by_main(cell) as mine:
                if first_ones(is_main_process() and mine and hooks.wanted(cell)):
                    _train(cell, hooks, lambda: bool(interrupts), timeout)
            if is_main_process():
                hooks.tick()
            if first_ones(bool(interrupts)):
                interrupts.raise_if_any()
                raise StoppedError("stopped", hint="run the same command again to go on")


def _train(cell: Cell, hooks: Hooks, stop: Callable[[], bool], timeout: float | None) -> None:
    attempts = first_ones(Attempts.of(cell))
    if attempts.begun >= ATTEMPTS:
        if is_main_process():
            why = f": {attempts.error}" if attempts.error else ""
            reason = f"its processes died {attempts.begun} times{why}"
            if attempts.status != "failed":
                reason = attempts.error
            hooks.ended(Outcome(cell.key.id, attempts.status, reason))
            Attempts.forget(cell)
        return
    begun = replace(attempts, begun=attempts.begun + 1)
    if is_main_process():
        begun.note(cell)
    try:
        with _watched(cell, timeout):
            hooks.train(cell, stop, attempts.micro_batch, timeout)
    except LoneError as error:
        _leave_with(cell, attempts, error)
    except HubError as error:  # in all of them: they agree on what went wrong before a training
        if is_main_process():
            hooks.undone(cell, error.message)
            Attempts.forget(cell)
        return
    except StoppedError:
        if is_main_process():
            attempts.note(cell)
        raise
    except Exception as error:
        if Attempts.of(cell) == begun:  # else another one has noted why, and this one only lost it
            replace(begun, error=f"{type(error).__name__}: {error}"[:500]).note(cell)
        raise
    if is_main_process():
        hooks.ended(Outcome(cell.key.id, "ok"))
        Attempts.forget(cell)


def _leave_with(cell: Cell, attempts: Attempts, error: LoneError) -> None:
    """Note why, and end this process at once: the others wait for it in vain."""
    begun = attempts.begun + 1
    if error.status == "oom":  # with smaller parts it has a new chance, if there are any
        begun = attempts.begun if error.micro_batch else ATTEMPTS
    Attempts(begun, error.micro_batch, error.status, error.message).note(cell)
    sys.stderr.write(f"{error.message}; the same command goes on\n")
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def _claimed_by_main(cell: Cell) -> Iterator[bool]:
    """The main process holds the cell's lock; whether it does, in the others True."""
    if not is_main_process():
        yield True
        return
    with claimed(cell.work / "locks" / cell.key.id) as mine:
        yield mine


@contextmanager
def _watched(cell: Cell, timeout: float | None) -> Iterator[None]:
    """End this process if the block hangs well past its time; the launcher then ends the others."""
    if timeout is None:
        yield
        return
    timer = threading.Timer(timeout + HANGS_AFTER, _hangs, [cell, timeout])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hangs(cell: Cell, timeout: float) -> None:
    said = f"took longer than {timeout:g} seconds"
    Attempts(ATTEMPTS, status="timeout", error=said).note(cell)
    sys.stderr.write(f"{cell.model.repo_id} on {cell.dataset.repo_id} {said}, and doesn't stop\n")
    sys.stderr.flush()
    os._exit(1)
