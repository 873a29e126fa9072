"""Jobs of a SLURM cluster, submitted as arrays by submitit; or processes here, as a try of it.

A job whose time is up, or that is preempted, gets SIGUSR2: it saves between two steps and is
queued again.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from hf_select.errors import InputError
from hf_select.launched import visible_devices
from hf_select.training.executors.base import (
    Interrupts,
    Job,
    JobFunction,
    Options,
    Outcome,
    cores,
    environment,
    last_line,
    whole_from_0,
    whole_from_1,
)
from hf_select.training.executors.board import LOOK_SECONDS, Board, BoardStop
from hf_select.training.executors.job import (
    RemoteJob,
    Requeued,
    cause_of_death,
    remote_job,
    variables,
)
from hf_select.training.executors.local import GRACE_SECONDS, TICK_SECONDS

CHUNK = 1000
"""Jobs an array: SLURM's usual MaxArraySize of 1001 allows no more."""

TIMEOUT_MIN = 240
"""Minutes that a job may run before it is queued again, if nothing else is said."""

REQUEUES = 20
"""How often a job may use up its time; each time it has saved."""

CANCEL_SECONDS = 90.0
"""How long SLURM may take to end a job (its KillWait is 30 seconds) before it isn't waited for."""

FORCED_SECONDS = 5.0
"""How often SLURM is asked about jobs that were cancelled; else submitit says how often."""

LAG_SECONDS = 15.0
"""How long a result may take to be seen here after SLURM says that the job is over."""

PREEMPTED_SECONDS = 900.0
"""How long a preempted job may take to be in the queue again."""

GOING_ON = (
    *("READY", "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED"),
    *("RESIZING", "SIGNALING", "STAGE_OUT", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"),
    *("PREEMPTED", "UNKNOWN"),
)
"""States of jobs that aren't over, as `sacct` has them; and what submitit says of no answer."""


def _word(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _size(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _cluster(text: str) -> str:
    if text not in ("slurm", "local"):
        raise ValueError(text)
    return text


class SlurmExecutor:
    """Runs jobs in SLURM's queue.

    The folder of results (`logs` lies in it) must be seen by all machines under the same path, on
    a file system whose locks work across machines, and so must this Python. Jobs have this
    process's environment, unless the cluster is told not to pass it on. They outlive this process:
    what they finish after it was killed is taken in by the next run.

    `jobs` is how many run at once (default: what SLURM gives). `timeout` is in seconds a job, from
    its start, and anew when it has been queued again. Options: `partition`, `account`, `qos`,
    `gpus_per_node` (default 1; with `cluster=local` 1 where there is any; 0 for CPUs),
    `cpus_per_task` (default 1; a job has as many threads), `mem_gb`, `timeout_min` (the time that
    SLURM is asked for, default 240 or what `timeout` needs; a job that needs more saves and is
    queued again, up to 20 times), and `cluster`: `slurm`, or `local` for processes on this
    machine, where up to `jobs` (default: the cores) run at once and share the devices.
    """

    OPTIONS: ClassVar[Options] = {
        "partition": (_word, "a name"),
        "account": (_word, "a name"),
        "qos": (_word, "a name"),
        "gpus_per_node": (whole_from_0, "a whole number, 0 or more"),
        "cpus_per_task": (whole_from_1, "a whole number, 1 or more"),
        "mem_gb": (_size, "a number above 0"),
        "timeout_min": (whole_from_1, "a whole number of minutes, 1 or more"),
        "cluster": (_cluster, "slurm or local"),
    }

    @staticmethod
    def check(options: Mapping[str, Any]) -> None:
        """Refuse where submitit isn't installed, or SLURM isn't here. Nothing heavy is loaded."""
        if find_spec("submitit") is None:
            raise InputError(
                "the executor slurm needs submitit", hint="pip install 'hf-select[slurm]'"
            )
        if options.get("cluster", "slurm") == "slurm":
            for program in ("sbatch", "srun"):
                if shutil.which(program) is None:
                    raise InputError(
                        f"SLURM is not here: no {program} on the PATH",
                        hint="run it on a login machine of the cluster; --executor-option "
                        "cluster=local tries it without SLURM",
                    )

    def __init__(
        self,
        function: JobFunction,
        *,
        logs: Path,
        jobs: int | None = None,
        timeout: float | None = None,
        preload: Iterable[str] = (),
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        gpus_per_node: int | None = None,
        cpus_per_task: int = 1,
        mem_gb: float | None = None,
        timeout_min: int | None = None,
        cluster: str = "slurm",
    ) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"value of `jobs` is {jobs}, but must be at least 1")
        if timeout is not None and not timeout > 0:
            raise InputError(f"value of `timeout` is {timeout}, but must be above 0 seconds")
        if timeout_min is None:
            timeout_min = max(TIMEOUT_MIN, math.ceil((timeout or 0.0) / 60) + 5)
        elif timeout is not None and 60 * timeout_min < timeout:
            raise InputError(
                f"the slurm option timeout_min is {timeout_min} minutes, but must be at least the "
                f"`timeout` of a job, {timeout:g} seconds",
                hint="SLURM would end a job before its time is up",
            )
        local = cluster == "local"
        if gpus_per_node is None:
            gpus_per_node = min(1, len(visible_devices())) if local else 1
        self._function, self._logs, self.timeout = function, logs, timeout
        self._cluster, self._threads, self._gpus = cluster, cpus_per_task, gpus_per_node
        self.slots = jobs or (cores() if local else CHUNK)
        self.timeout_min = timeout_min
        general = {
            "name": "hf-select",
            "timeout_min": timeout_min,
            "gpus_per_node": gpus_per_node or None,
            "cpus_per_task": cpus_per_task,
            "mem_gb": mem_gb,
        }
        own = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "array_parallelism": min(self.slots, CHUNK),
            # since SLURM 22.05 a step doesn't get the job's by itself
            "srun_args": [f"--cpus-per-task={cpus_per_task}"] if cpus_per_task > 1 else None,
        }
        self._parameters = general | {f"slurm_{name}": value for name, value in own.items()}
        self._interrupts = Interrupts()

    def run(
        self,
        jobs: Iterable[Job],
        *,
        on_end: Callable[[Outcome], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run them all, asking for up to a thousand jobs at a time, which are one array.

        `on_end` hears of every job that was queued, `on_tick` is called a few times a second.
        SIGINT or SIGTERM: jobs in the queue are cancelled, running ones are asked to stop, and
        when they have, `StoppedError` is raised. A second SIGINT cancels them and raises
        `KeyboardInterrupt`. Raises `InputError` if SLURM doesn't take the jobs.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        board = Board.beside(self._logs)
        try:
            board.make()
            queue = _Queue(self._cluster, board.folder / "submitit", self._parameters)
            with self._interrupts.listening():
                _Run(self, queue, board, self._interrupts, on_end).go(iter(jobs), on_tick)
        finally:
            board.remove()
        self._interrupts.raise_if_any()

    def room(self, live: int) -> int:
        """How many more jobs to queue. Arrays come one by one, as each has its own limit."""
        if self._cluster == "local":
            return self.slots - live
        return 0 if live else CHUNK

    def prepare(self, job: Job, board: Board) -> RemoteJob:
        """What is sent."""
        return remote_job(
            self._function,
            job,
            board=board,
            logs=self._logs,
            threads=self._threads,
            gpu=bool(self._gpus),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What must stand before a job's Python starts: submitit loads numpy first."""
        return variables(self._threads)


@dataclass
class _Running:
    sent: RemoteJob
    job: Any  # submitit's
    starts: int = 0
    since: float | None = None  # when it was seen to have started
    over: float | None = None  # when it was seen to be over without a result
    preempted: float | None = None
    late: bool = False
    cancelled: float | None = None


@dataclass
class _Run:
    """The jobs that are queued or running."""

    executor: SlurmExecutor
    queue: _Queue
    board: Board
    interrupts: Interrupts
    on_end: Callable[[Outcome], None]
    live: dict[str, _Running] = field(default_factory=dict)
    looked: float = float("-inf")
    asked: bool = False

    def go(self, waiting: Iterator[Job], on_tick: Callable[[], None]) -> None:
        """All of them."""
        exhausted = False
        try:
            while True:
                room = self.executor.room(len(self.live))
                if room and not (exhausted or self.interrupts):
                    batch = list(islice(waiting, room))
                    exhausted = len(batch) < room
                    self.submit(batch)
                if not self.live:
                    break
                self.look()
                on_tick()
                time.sleep(TICK_SECONDS)
        finally:
            self.queue.cancel([(r.job, self.board.starts(r.sent.id)) for r in self.live.values()])

    def submit(self, batch: list[Job]) -> None:
        """All at once."""
        sent = [self.executor.prepare(job, self.board) for job in batch]
        if sent:
            with environment(self.executor.environment):
                jobs = self.queue.submit(sent)
            self.live |= {s.id: _Running(s, job) for s, job in zip(sent, jobs, strict=True)}

    def look(self) -> None:
        """Once a second: who has started, who is over, who takes too long."""
        now = time.monotonic()
        if self.interrupts and not self.asked:
            self.board.ask_to_stop()
            self.asked = True
        elif now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        # states first: what is over by then has left its result
        states = {
            name: self.queue.state(r.job, now=r.cancelled is not None)
            for name, r in self.live.items()
        }
        results = self.queue.results()
        to_cancel = []
        for name, running in list(self.live.items()):
            starts = self.board.starts(name)
            if len(starts) > running.starts:
                running.starts, running.since = len(starts), now
            if self.queue.result_name(running.job) in results:
                self.report(running, *self.queue.result(running.job))
            elif self.is_over(running, states[name], now):
                # SLURM mustn't start it again once it is said how it has ended
                self.queue.cancel([(running.job, starts)])
                self.report(running, *self.fate(running, states[name]))
            elif running.cancelled is None and self.is_to_end(running, now):
                running.cancelled = now
                to_cancel.append((running.job, starts))
        self.queue.cancel(to_cancel)
        for running in list(self.live.values()):
            if running.cancelled == now and self.interrupts and not running.starts:
                self.report(running, "stopped", "")  # it was in the queue

    def is_over(self, running: _Running, state: str, now: float) -> bool:
        """Whether there is nothing more to come of a job that has no result yet."""
        if running.cancelled is not None and now - running.cancelled > CANCEL_SECONDS:
            return True
        if state == "PREEMPTED":
            running.preempted = running.preempted or now
            return now - running.preempted > PREEMPTED_SECONDS
        running.preempted = None
        if state in GOING_ON:
            running.over = None
            return False
        running.over = running.over or now
        return now - running.over >= (0.0 if self.queue.is_local else LAG_SECONDS)

    def is_to_end(self, running: _Running, now: float) -> bool:
        """Whether it is late, or the time for stopping is up, or it is in the queue then.

        The time that it is in the queue doesn't count, also when it is there again.
        """
        limit, since = self.executor.timeout, running.since
        over = limit is not None and since is not None and now - since > limit
        running.late = over and not self.board.is_paused(running.sent.id)
        stuck = bool(self.interrupts) and now - self.interrupts.since > GRACE_SECONDS
        return running.late or stuck or (bool(self.interrupts) and not running.starts)

    def fate(self, running: _Running, state: str) -> tuple[str, str]:
        """How a job has ended that has left no result."""
        if running.late:
            return "timeout", f"took longer than {self.executor.timeout:g} seconds"
        if self.interrupts:
            return "stopped", ""
        if state == "TIMEOUT":
            return "timeout", f"SLURM ended it after {self.executor.timeout_min} minutes"
        said = cause_of_death(running.sent.log) or last_line(Path(running.job.paths.stderr))
        died = "its process died" if self.queue.is_local else f"SLURM says {state}"
        return "failed", f"{died}: {said}" if said else died

    def report(self, running: _Running, status: str, reason: str) -> None:
        """Its outcome, once."""
        del self.live[running.sent.id]
        log = running.sent.log
        if status in ("ok", "stopped"):
            log.unlink(missing_ok=True)
        else:
            _append(log, Path(running.job.paths.stderr))
        seconds = 0.0 if running.since is None else time.monotonic() - running.since
        self.on_end(Outcome(running.sent.id, status, reason, seconds))


# ------------------------------------------------------------------------------ inside the job


@dataclass
class _Work:
    """What submitit runs: a job that saves and is queued again when SLURM takes its machine."""

    job: RemoteJob

    def __call__(self) -> tuple[str, str]:
        """How it ended. Doesn't return if it is to be queued again."""
        from submitit import JobEnvironment

        if JobEnvironment().cluster == "local" and hasattr(os, "setsid"):
            os.setsid()  # a Ctrl-C in the terminal is for the driver, a kill for all it has started
        number = signal.Signals["SIG" + JobEnvironment.USR_SIG]
        stop = BoardStop(self.job.board)
        requeue: Any = signal.signal(number, stop.on_signal)  # submitit's own, for between steps
        try:
            return self.job.run(stop)
        except Requeued:
            requeue(number, None)
            raise

    def checkpoint(self) -> Any:
        """What is queued again: the same, as the job's own checkpoint has all there is to know."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


# ------------------------------------------------------------------------------ the queue


class _Queue:
    """submitit's side of it."""

    def __init__(self, cluster: str, folder: Path, parameters: Mapping[str, Any]) -> None:
        import submitit

        logging.getLogger("submitit").setLevel(logging.CRITICAL)
        self.is_local = cluster == "local"
        self._folder = folder
        folder.mkdir(parents=True)
        self._executor: Any = submitit.AutoExecutor(
            folder=folder,
            cluster=cluster,
            slurm_max_num_timeout=REQUEUES,
            local_max_num_timeout=REQUEUES,
        )
        self._executor.update_parameters(**parameters)
        self._forced = float("-inf")

    def submit(self, sent: list[RemoteJob]) -> list[Any]:
        """As one array. Raises `InputError` with what sbatch says."""
        work = [_Work(job) for job in sent]
        try:
            with _sigint_blocked():  # a Ctrl-C is for the driver, not for sbatch or local jobs
                jobs: list[Any] = self._executor.submit_array(work)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise InputError(
                f"SLURM does not take the jobs: {_said(str(error))}",
                hint="see --executor-option partition, account, qos, gpus_per_node, timeout_min",
            ) from error
        return jobs

    def state(self, job: Any, *, now: bool) -> str:
        """In SLURM's words. Asked as often as submitit finds right, or soon where `now`."""
        if now and not self.is_local and time.monotonic() - self._forced > FORCED_SECONDS:
            self._forced = time.monotonic()
            job.get_info(mode="force")  # of all jobs
        return str(job.state).split(" ")[0].rstrip("+").upper()  # CANCELLED by 1000

    def results(self) -> set[str]:
        """The files that are there; to list a folder is one question, however many jobs."""
        return set(os.listdir(self._folder))  # noqa: PTH208

    @staticmethod
    def result_name(job: Any) -> str:
        """The file that a job leaves."""
        return str(job.paths.result_pickle.name)

    @staticmethod
    def result(job: Any) -> tuple[str, str]:
        """What it returned. An error is one outside of the function, such as a lack of modules."""
        from submitit.core.utils import pickle_load

        outcome, found = pickle_load(job.paths.result_pickle)
        if outcome == "success":
            return found[0], found[1]
        return "failed", _said(str(found))

    def cancel(self, jobs: list[tuple[Any, list[tuple[str, int]]]]) -> None:
        """End them, with all that they have started. `jobs` come with their starts."""
        if self.is_local:
            for job, starts in jobs:
                for host, pid in starts[-1:]:
                    if host == socket.gethostname():
                        _kill_group(pid)
                if job._process is not None and not starts:
                    job._process.kill()
        elif jobs:
            ids = [str(job.job_id) for job, _ in jobs]
            for i in range(0, len(ids), 100):
                subprocess.run(
                    ["scancel", *ids[i : i + 100]], capture_output=True, check=False, timeout=60
                )


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _append(log: Path, errors: Path) -> None:
    """What was printed outside of the function, at the end of what was printed in it."""
    try:
        said = errors.read_bytes()
    except OSError:
        return
    if said:
        with log.open("ab") as file:
            file.write(said)


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" -")]
    return lines[-1][:500] if lines else "it doesn't say why"


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
