"""A subprocess a job, one job per device or core: what kills a job costs that job only.

Jobs are forked from a server process that has imported the libraries already (and never touches
a device), so a job starts in a fraction of a second. Where there is no fork, jobs are spawned.

With GPUs, the next jobs are started ahead: a process for each slot loads what it needs and then
waits until a slot is free, so that the device doesn't. It sees no GPU until it has one.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any, ClassVar

from hf_select.errors import InputError, StoppedError
from hf_select.launched import LAUNCHER_VARIABLES, visible_devices
from hf_select.training.executors.base import (
    BEGAN,
    Interrupts,
    Job,
    JobFunction,
    Options,
    Outcome,
    Prepare,
    StopFlag,
    cores,
    environment,
    last_line,
    whole_from_1,
    yes_or_no,
)

GRACE_SECONDS = 30.0
"""How long a job may take to save and leave after it was asked to stop."""

RETRIES = 2
"""How often a job is started again that was killed by SIGKILL: it goes on from its checkpoint."""

SIGKILL = getattr(signal, "SIGKILL", 9)  # no such signal on Windows
TICK_SECONDS = 0.25
STOPPED_EXIT_CODE = StoppedError.exit_code
PRELOAD = "hf_select.training.executors.preload"
NO_DEVICE = {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Of a job that waits. A driver that was once asked keeps to the devices that it saw then; so torch
isn't to ask it, and if anything does all the same, it isn't another job's device that is used."""


def threads_a_job(slots: int) -> int:
    """A job's share of the cores, or what `OMP_NUM_THREADS` allows if that is less."""
    share = max(1, cores() // slots)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) else share


@dataclass
class _Running:
    job: Job
    process: Any
    began: float
    slot: int | None = None  # None: it waits for its turn
    turn: Any = None  # the end of a pipe that tells it


class LocalExecutor:
    """Runs jobs on this machine.

    `jobs` is how many run at once: by default one per GPU (the first `gpus` of them), or one per
    core without GPUs. Each gets its own GPU (`CUDA_VISIBLE_DEVICES`) and its share of the cores.
    `timeout` is in seconds a job. `logs` is the folder for what jobs print; the log of a job that
    went well is removed. `preload` names more modules to import once. A job that was killed from
    outside, for memory say, is started again, `RETRIES` times.

    With `prepare` and GPUs, or if `ahead`, a job for each slot is started ahead: it makes
    `prepare(argument)`, without a device, waits for its turn, and the function gets that instead of
    the argument. `timeout` counts from there. A waiting job that is stopped has done nothing; one
    that dies has failed.
    """

    OPTIONS: ClassVar[Options] = {
        "ahead": (yes_or_no, "yes or no"),
        "gpus": (whole_from_1, "a whole number from 1"),
    }
    LOADS_AHEAD = True

    @staticmethod
    def check(options: Mapping[str, Any]) -> None:
        """Refuse more GPUs than there are."""
        wanted, found = options.get("gpus", 0), len(visible_devices()) if options else 0
        if wanted > found:
            raise InputError(
                f"{wanted} GPU{'s were' if wanted > 1 else ' was'} asked for, but "
                f"{found or 'none'} can be used",
                hint="look at `hf-select doctor` and at CUDA_VISIBLE_DEVICES",
            )

    def __init__(
        self,
        function: JobFunction,
        *,
        logs: Path,
        jobs: int | None = None,
        timeout: float | None = None,
        preload: Iterable[str] = (),
        prepare: Prepare | None = None,
        ahead: bool | None = None,
        gpus: int | None = None,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"value of `jobs` is {jobs}, but must be at least 1")
        if timeout is not None and not timeout > 0:
            raise InputError(f"value of `timeout` is {timeout}, but must be above 0 seconds")
        self._function, self._logs, self._timeout = function, logs, timeout
        self._devices = visible_devices()[:gpus]
        self.slots = jobs or len(self._devices) or cores()
        self._threads = threads_a_job(self.slots)
        self._preload = tuple(preload)
        wanted = bool(self._devices) if ahead is None else ahead
        self._prepare = prepare if wanted else None
        self._live: list[_Running] = []
        self._killed: dict[str, int] = {}  # how often
        self._again: list[Job] = []
        self._interrupts = Interrupts()

    def run(
        self,
        jobs: Iterable[Job],
        *,
        on_end: Callable[[Outcome], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run them all, asking for the next job only when a slot, or a place to wait, is free.

        `on_end` hears of every job that was started, `on_tick` is called a few times a second.
        SIGINT or SIGTERM: running jobs are asked to stop, and when they have, `StoppedError` is
        raised. A second SIGINT kills them and raises `KeyboardInterrupt`.
        """
        context = self._context()
        self._logs.mkdir(parents=True, exist_ok=True)
        waiting = iter(jobs)
        room = self.slots if self._prepare is None else 2 * self.slots
        with self._interrupts.listening():
            try:
                while True:
                    self._give_turns()
                    while not self._interrupts and len(self._live) < room:
                        job = self._again.pop(0) if self._again else next(waiting, None)
                        if job is None:
                            break
                        self._start(context, job)
                        self._give_turns()
                    if not self._live:
                        break
                    connection.wait([r.process.sentinel for r in self._live], TICK_SECONDS)
                    self._reap(on_end)
                    on_tick()
            finally:
                for running in self._live:
                    _kill(running.process)
                self._live.clear()
        self._interrupts.raise_if_any()

    # ---------------------------------------------------------------------------- start and end

    def _context(self) -> Any:
        if "forkserver" not in multiprocessing.get_all_start_methods():
            return multiprocessing.get_context("spawn")
        from multiprocessing import forkserver

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([PRELOAD, *self._preload])
        # The server inherits this: thread pools are sized when the libraries load, and a signal to
        # the whole process group must not take the server before its jobs have saved.
        with environment(self._variables()), _ignored(signal.SIGTERM, signal.SIGINT):
            forkserver.ensure_running()
        return context

    def _variables(self, slot: int | None = None) -> dict[str, str]:
        variables = {"OMP_NUM_THREADS": str(self._threads), "TOKENIZERS_PARALLELISM": "false"}
        if slot is not None:
            variables |= self._turn(slot)
        return variables

    def _turn(self, slot: int) -> dict[str, str]:
        """What is known of a job's place and time when its turn has come."""
        variables = {BEGAN: repr(time.time())}
        if self._devices:
            variables["CUDA_VISIBLE_DEVICES"] = self._devices[slot % len(self._devices)]
        return variables

    def _free_slot(self) -> int | None:
        return min(set(range(self.slots)) - {running.slot for running in self._live}, default=None)

    def _start(self, context: Any, job: Job) -> None:
        mine = theirs = slot = None
        if self._prepare is None:
            slot = self._free_slot()
        else:
            mine, theirs = context.Pipe(duplex=False)
        variables = self._variables(slot)
        if slot is None and self._devices:
            variables |= NO_DEVICE
        # all of it: the fork server has that of the time when it was started
        whole = {**os.environ, **variables}
        for name in LAUNCHER_VARIABLES:  # a job is one process, whoever started its parent
            whole.pop(name, None)
        process = context.Process(
            target=_child,
            name=job.id,
            args=(
                self._function,
                job,
                whole,
                self._threads,
                self._log(job),
                self._prepare,
                mine,
            ),
        )
        with environment(variables):  # a spawned job loads its libraries with it
            process.start()
        if mine is not None:
            mine.close()
        self._live.append(_Running(job, process, time.monotonic(), slot, theirs))

    def _give_turns(self) -> None:
        """Tell those that wait, the first that was started first, that a slot is theirs."""
        for running in self._live:
            slot = self._free_slot()
            if slot is None:
                return
            if running.slot is None and running.process.is_alive():
                running.slot, running.began = slot, time.monotonic()
                with suppress(OSError):  # it has just died: that is seen soon
                    running.turn.send(self._turn(slot))

    def _log(self, job: Job) -> Path:
        return self._logs / f"{job.id}.log"

    def _reap(self, on_end: Callable[[Outcome], None]) -> None:
        now = time.monotonic()
        for running in list(self._live):
            process, late = running.process, False
            if process.is_alive():
                late = self._timeout is not None and now - running.began > self._timeout
                stuck = self._interrupts and now - self._interrupts.since > GRACE_SECONDS
                if self._interrupts:  # again and again: the first may come before it listens
                    process.terminate()
                waits = running.slot is None
                late = late and not waits
                if not (late or stuck or (waits and self._interrupts)):
                    continue
                _kill(process)
            process.join()
            self._live.remove(running)
            if running.turn is not None:
                running.turn.close()
            outcome = self._outcome(running, process.exitcode, late, now - running.began)
            if outcome.status == "failed" and process.exitcode == -SIGKILL:
                times = self._killed[outcome.id] = self._killed.get(outcome.id, 0) + 1
                if times <= RETRIES:
                    self._again.append(running.job)
                    process.close()
                    continue
                outcome = replace(outcome, reason=f"{outcome.reason}, {times} times")
            on_end(outcome)
            process.close()

    def _outcome(self, running: _Running, exit_code: int, late: bool, seconds: float) -> Outcome:
        job, log = running.job, self._log(running.job)
        if late:
            reason = f"took longer than {self._timeout:g} seconds"
            return Outcome(job.id, "timeout", reason, seconds)
        if exit_code == 0 and running.slot is None:
            return Outcome(job.id, "failed", "it ended before its turn", seconds)
        if exit_code in (0, STOPPED_EXIT_CODE):
            log.unlink(missing_ok=True)
            return Outcome(job.id, "ok" if exit_code == 0 else "stopped", "", seconds)
        if exit_code < 0 and self._interrupts:
            return Outcome(job.id, "stopped", "", seconds)
        if exit_code < 0:
            return Outcome(job.id, "failed", f"killed by {_signal_name(-exit_code)}", seconds)
        return Outcome(job.id, "failed", last_line(log) or f"exit code {exit_code}", seconds)


# ----------------------------------------------------------------------------- inside the job


def _child(
    function: JobFunction,
    job: Job,
    environment: dict[str, str],
    threads: int,
    log: Path,
    prepare: Prepare | None,
    turn: Any,
) -> None:
    """The job's process: its own group, its own log, and it does not outlive the parent."""
    stop = StopFlag()
    if os.name == "posix":
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, stop.set)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    try:
        argument = job.argument
        if prepare is not None:
            argument = prepare(argument)
            _take(_await(turn, stop))
        function(argument, stop)
    except StoppedError:
        raise SystemExit(STOPPED_EXIT_CODE) from None


def _await(turn: Any, stop: StopFlag) -> dict[str, str]:
    """Wait for the job's turn: what its environment has from then on."""
    while not stop():
        if turn.poll(TICK_SECONDS):
            variables: dict[str, str] = turn.recv()
            return variables
    raise StoppedError("stopped before its turn")


def _take(variables: dict[str, str]) -> None:
    """Take the device that the job was given. `RuntimeError` if it can't be seen any more."""
    import torch

    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        for name in NO_DEVICE:
            os.environ.pop(name, None)
    os.environ.update(variables)
    # the first asks for what there is, the second what the driver lets this process use
    if torch.cuda.device_count() and not torch.cuda.is_available():
        raise RuntimeError("the GPUs were looked for before the job had one, so it can't have any")


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if os.name == "posix":
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


# ------------------------------------------------------------------------------------ helpers


def _kill(process: Any) -> None:
    """End a job and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):
        process.kill()  # no groups here, or it has not made its own yet
    process.join()


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({signal.strsignal(number)})"
    except ValueError:
        return f"signal {number}"


@contextmanager
def _ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Ignore signals for a moment, so that a process started in it ignores them for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
