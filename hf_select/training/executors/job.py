"""What a job on another machine does around its function, whichever engine started it."""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_select.errors import InputError, StoppedError
from hf_select.foreign_metrics import ALLOW, FROM
from hf_select.training.executors.base import Job, JobFunction
from hf_select.training.executors.board import Board, BoardStop

PASSED = (
    "ACCELERATE_USE_CPU",
    "HF_DATASETS_OFFLINE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    ALLOW,
    "TRANSFORMERS_OFFLINE",
)
"""The driver's variables that decide what a job does; tokens and folders are each machine's own."""


class Requeued(BaseException):
    """The machine is taken away: the job has saved and must be started again elsewhere."""


@dataclass(frozen=True)
class RemoteJob:
    """A job as it is sent. `pickled`: function and argument, which are loaded once it has a log."""

    id: str
    pickled: bytes
    board: Board
    log: Path
    environment: Mapping[str, str]
    paths: tuple[str, ...] = ()  # where the driver imports from

    def run(self, stop: BoardStop) -> tuple[str, str]:
        """Do it; how it ended, and the reason if it failed.

        Raises `Requeued` if it has stopped for a signal and not because the driver wants it.
        """
        os.environ.update(self.environment)
        sys.path += [path for path in self.paths if path not in sys.path]
        if not self.board.is_seen():
            folder = self.board.folder.parent.parent
            return "failed", f"{socket.gethostname()} does not see the folder {folder}"
        self.board.note_start(self.id)
        with _printing_to(self.log):
            try:
                function, argument = pickle.loads(self.pickled)
                function(argument, stop)
            except StoppedError:
                if stop.signalled and not self.board.is_stop_asked():
                    self.board.note_pause(self.id)
                    raise Requeued from None
                return "stopped", ""
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is this job's only
                traceback.print_exc()
                said = traceback.format_exception_only(error)
                return "failed", said[-1].strip()[:500]
        return "ok", ""


def remote_job(
    function: JobFunction, job: Job, *, board: Board, logs: Path, threads: int, gpu: bool
) -> RemoteJob:
    """A job to send. Raises `InputError` if another machine couldn't load it."""
    try:
        pickled = pickle.dumps((function, job.argument))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"a job can't be sent to another machine: {error}") from error
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment |= variables(threads)
    environment[FROM] = os.environ.get(FROM) or str(Path.cwd())
    if not gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    board.add(job.id)
    log = logs.absolute() / f"{job.id}.log"
    log.unlink(missing_ok=True)  # of an earlier run: several starts of this job write to one log
    paths = tuple(path for path in sys.path if path)
    return RemoteJob(job.id, pickled, board, log, environment, paths)


def variables(threads: int) -> dict[str, str]:
    """The settings of a job's libraries; they count when those are loaded."""
    return {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


def cause_of_death(log: Path) -> str:
    """What `faulthandler` has left in a log; nothing is left by a SIGKILL."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fatal = [line for line in lines if line.startswith("Fatal Python error: ")]
    return fatal[-1].removeprefix("Fatal Python error: ")[:500] if fatal else ""


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Whatever this process and those it starts print goes into the log."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept: tuple[Any, ...] = (os.dup(1), os.dup(2), sys.stdout, sys.stderr)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", write_through=True)
        sys.stdout = sys.stderr = text
        faulthandler.enable(file)
        try:
            yield
        finally:
            text.flush()
            faulthandler.disable()
            sys.stdout, sys.stderr = kept[2:]
            for number, copy in ((1, kept[0]), (2, kept[1])):
                os.dup2(copy, number)
                os.close(copy)
            text.detach()
