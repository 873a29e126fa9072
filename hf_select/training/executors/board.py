"""Files through which a driver and its jobs on other machines speak: both see one folder.

Network file systems remember for up to a minute that a file isn't there, and what a folder holds;
what stands in a file is asked for anew each time it is opened (NFS calls it close-to-open). So the
driver makes every file before it is needed, and both only look inside.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

PAUSED = "paused"

LOOK_SECONDS = 1.0
"""How long a job goes on with what it has last read."""


@dataclass(frozen=True)
class Board:
    """A folder of one run: whether to stop, and which job has started, how often and where."""

    folder: Path

    @classmethod
    def beside(cls, logs: Path) -> Board:
        """A new one; its name is used by nobody else."""
        return cls(logs.absolute().parent / "jobs" / uuid.uuid4().hex)

    @property
    def _stop(self) -> Path:
        return self.folder / "stop"

    def _starts(self, job: str) -> Path:
        return self.folder / f"{job}.starts"

    # ------------------------------------------------------------------------- the driver's side

    def make(self) -> None:
        """Jobs aren't asked to stop."""
        self.folder.mkdir(parents=True)
        self._stop.write_bytes(b"")

    def add(self, job: str) -> None:
        """A job that hasn't started."""
        self._starts(job).write_bytes(b"")

    def starts(self, job: str) -> list[tuple[str, int]]:
        """The machine and process of each of its starts."""
        try:
            lines = self._starts(job).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        found = (line.partition(" ") for line in lines if line != PAUSED)
        return [(host, int(pid)) for host, _, pid in found]

    def is_paused(self, job: str) -> bool:
        """Whether it has saved and waits to be started again."""
        try:
            return self._starts(job).read_text(encoding="utf-8").endswith(f"{PAUSED}\n")
        except OSError:
            return False

    def ask_to_stop(self) -> None:
        """All jobs, also those that start later."""
        self._stop.write_bytes(b"stop")

    def remove(self) -> None:
        """Jobs that still run are to stop then."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------------------- the job's side

    def is_seen(self) -> bool:
        """Whether this machine sees the folder."""
        return self._stop.exists()

    def note_start(self, job: str) -> None:
        """This process starts on it."""
        with self._starts(job).open("a", encoding="utf-8") as file:
            file.write(f"{socket.gethostname()} {os.getpid()}\n")

    def note_pause(self, job: str) -> None:
        """This process has saved; another one will go on."""
        with self._starts(job).open("a", encoding="utf-8") as file:
            file.write(f"{PAUSED}\n")

    def is_stop_asked(self) -> bool:
        """By the driver, or by there being none any more."""
        try:
            return self._stop.read_bytes() != b""
        except FileNotFoundError:
            return True
        except OSError:  # a file system that is away for a moment
            return False


class BoardStop:
    """A job's `stop`: the driver asks on the board, a machine that is taken away by a signal."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._looked = float("-inf")
        self._asked = False
        self.signalled = False

    def __call__(self) -> bool:
        """True from the first request on; looks at the board once a second."""
        now = time.monotonic()
        if not self._asked and now - self._looked >= LOOK_SECONDS:
            self._looked, self._asked = now, self._board.is_stop_asked()
        return self._asked or self.signalled

    def on_signal(self, *_: object) -> None:
        """A signal handler."""
        self.signalled = True
