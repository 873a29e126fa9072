"""Jobs as tasks of a Ray cluster: a job whose worker or machine dies goes on elsewhere.

The driver's Ray is connected when the executor is made, before any job, and left after `run`,
unless it was there before. What Ray says stays out of the user's terminal.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from hf_select.environment import version_of
from hf_select.errors import HfSelectError, InputError
from hf_select.training.executors.base import (
    Interrupts,
    Job,
    JobFunction,
    Options,
    Outcome,
    cores,
    whole_from_0,
)
from hf_select.training.executors.board import LOOK_SECONDS, Board, BoardStop
from hf_select.training.executors.job import (
    RemoteJob,
    Requeued,
    cause_of_death,
    remote_job,
)
from hf_select.training.executors.local import GRACE_SECONDS, TICK_SECONDS

CONNECT_SECONDS = 60.0
"""How long a cluster may take to answer; Ray itself tries for minutes."""

PROBE_SECONDS = 120.0
"""How long a machine may take to start a worker and look for the folder."""

NODES_SECONDS = 10.0
"""How often to ask whether the driver's own machine is still in the cluster."""

CANCEL_SECONDS = 30.0
"""How long Ray may take to end a worker before it is no longer waited for."""


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf") or (value > 1 and value != int(value)):
        raise ValueError(text)
    return value


def _share(text: str) -> float:
    value = _amount(text)
    if value == 0:
        raise ValueError(text)
    return value


def _address(text: str) -> str:
    if not text or text.startswith("ray://"):
        raise ValueError(text)
    return text


@dataclass
class _Running:
    job: Job
    sent: RemoteJob
    starts: int = 0
    since: float | None = None  # when it was seen to have started
    late: bool = False
    worn: bool = False  # started too often
    cancelled: float | None = None


@dataclass(frozen=True)
class _Node:
    id: str
    host: str
    name: str
    cpus: float
    gpus: float

    def room(self, cpus: float, gpus: float) -> int:
        """How many jobs fit."""
        fits = int(self.cpus / cpus + 1e-9)
        return min(fits, int(self.gpus / gpus + 1e-9)) if gpus else fits


class RayExecutor:
    """Runs jobs on the machines of a Ray cluster, or as Ray tasks on this one.

    The folder of results (`logs` lies in it) must be seen by all machines under the same path, on
    a file system whose locks work across machines; hf-select must be installed on them in the same
    version. Both are looked at before the first job, on each machine that has room for one.

    `jobs` is how many run at once: by default as many as the cluster has room for now; more than
    that wait in Ray, which lets a cluster grow. `timeout` is in seconds a job, from its start, and
    anew when it is started again. A job has a process of its own. Options: `address` of a cluster
    (host:port; else `RAY_ADDRESS`, else one is started here), `num_gpus` a job (a part, such as
    0.5; default 1 where the cluster has any), `num_cpus` a job (default 1; it has as many
    threads), and `max_retries`: how often a job is started again when its worker has died
    (default 3).
    """

    OPTIONS: ClassVar[Options] = {
        "address": (_address, "host:port of a running cluster (not ray://)"),
        "num_gpus": (_amount, "a number from 0 to 1, or a whole number"),
        "num_cpus": (_share, "a number above 0 and up to 1, or a whole number"),
        "max_retries": (whole_from_0, "a whole number, 0 or more"),
    }

    @staticmethod
    def check(options: Mapping[str, Any]) -> None:
        """Refuse where Ray isn't installed. Nothing is connected and nothing heavy is loaded."""
        if find_spec("ray") is None:
            raise InputError("the executor ray needs Ray", hint="pip install 'hf-select[ray]'")

    def __init__(
        self,
        function: JobFunction,
        *,
        logs: Path,
        jobs: int | None = None,
        timeout: float | None = None,
        preload: Iterable[str] = (),
        address: str | None = None,
        num_gpus: float | None = None,
        num_cpus: float = 1.0,
        max_retries: int = 3,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"value of `jobs` is {jobs}, but must be at least 1")
        if timeout is not None and not timeout > 0:
            raise InputError(f"value of `timeout` is {timeout}, but must be above 0 seconds")
        self._function, self._logs, self._timeout = function, logs, timeout
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._max_retries, self._num_cpus = max_retries, num_cpus
        self._interrupts = Interrupts()
        self._cluster = _Cluster(self._address)
        self._cluster.connect()
        try:
            nodes = self._cluster.nodes()
            self._num_gpus = _default_gpus(nodes) if num_gpus is None else num_gpus
            room = sum(node.room(num_cpus, self._num_gpus) for node in nodes)
            if not room:
                raise _no_room(nodes, num_cpus, self._num_gpus)
        except BaseException:
            self._cluster.leave()
            raise
        self.slots = jobs or room

    def run(
        self,
        jobs: Iterable[Job],
        *,
        on_end: Callable[[Outcome], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run them all, asking for the next job only when fewer than `slots` are in Ray.

        `on_end` hears of every job that was started, `on_tick` is called a few times a second.
        SIGINT or SIGTERM: running jobs are asked to stop, and when they have, `StoppedError` is
        raised. A second SIGINT ends them and raises `KeyboardInterrupt`. Raises `InputError`
        before the first job if a machine doesn't see the results, and `HfSelectError` if the
        cluster is lost.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        board = Board.beside(self._logs)
        try:
            self._cluster.connect()
            board.make()
            self._look(board)
            with self._interrupts.listening():
                _Run(self, board, self._interrupts, on_end).go(iter(jobs), on_tick)
        finally:
            self._cluster.leave()
            board.remove()
        self._interrupts.raise_if_any()

    def _look(self, board: Board) -> None:
        """Each machine with room for a job must see the folder and have this hf-select."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ours = version_of("hf-select")
        looks: dict[Any, _Node] = {}
        probe = ray.remote(num_cpus=0, max_retries=0)(_probe)
        for node in self._cluster.nodes():
            if node.room(self._num_cpus, self._num_gpus):
                there = NodeAffinitySchedulingStrategy(node.id, soft=False)
                looks[probe.options(scheduling_strategy=there).remote(board)] = node
        _, silent = ray.wait(list(looks), num_returns=len(looks), timeout=PROBE_SECONDS)
        if silent:
            raise InputError(
                f"{looks[silent[0]].name} of the Ray cluster does not answer within "
                f"{PROBE_SECONDS:g} seconds"
            )
        for look, node in looks.items():
            try:
                seen, theirs = ray.get(look)
            except ray.exceptions.RayError as error:
                raise InputError(
                    f"{node.name} of the Ray cluster can't run hf-select: {_last(str(error))}",
                    hint=f"hf-select {ours} must be installed on every machine",
                ) from error
            if not seen:
                raise InputError(
                    f"{node.name} of the Ray cluster does not see "
                    f"{board.folder.parent.parent.parent}",
                    hint="the folder of results must be on a file system that all machines share",
                )
            if theirs != ours:
                raise InputError(
                    f"{node.name} of the Ray cluster has hf-select {theirs}, but must have {ours}"
                )

    def send(self, job: Job, board: Board) -> tuple[Any, RemoteJob]:
        """Its task, which has a worker of its own."""
        import ray

        sent = remote_job(
            self._function,
            job,
            board=board,
            logs=self._logs,
            threads=max(1, int(self._num_cpus)),
            gpu=bool(self._num_gpus),
        )
        task = ray.remote(
            num_cpus=self._num_cpus,
            num_gpus=self._num_gpus,
            max_retries=self._max_retries,
            retry_exceptions=False,
            max_calls=1,
        )(_work)
        return task.options(name=f"hf-select {job.id}").remote(sent), sent

    def raise_if_lost(self) -> None:
        """Without Ray on the driver's machine no job's end is ever heard of, and nothing says so.

        Raises `HfSelectError` then.
        """
        if not self._cluster.has_driver():
            raise _lost("Ray has died on this machine")

    def has_machine(self, host: str) -> bool:
        """Whether it is in the cluster now."""
        return any(node.host == host for node in self._cluster.nodes())

    @property
    def timeout(self) -> float | None:
        """Seconds a job."""
        return self._timeout

    @property
    def max_starts(self) -> int:
        """How often a job may start."""
        return self._max_retries + 1


@dataclass
class _Run:
    """The jobs that are in Ray."""

    executor: RayExecutor
    board: Board
    interrupts: Interrupts
    on_end: Callable[[Outcome], None]
    live: dict[Any, _Running] = field(default_factory=dict)
    looked: float = float("-inf")
    counted: float = float("-inf")
    asked: bool = False

    def go(self, waiting: Iterator[Job], on_tick: Callable[[], None]) -> None:
        """All of them."""
        import ray

        exhausted = False
        try:
            while True:
                while not (exhausted or self.interrupts) and len(self.live) < self.executor.slots:
                    job = next(waiting, None)
                    exhausted = job is None
                    if job is not None:
                        task, sent = self.executor.send(job, self.board)
                        self.live[task] = _Running(job, sent)
                if not self.live:
                    break
                ended, _ = ray.wait(list(self.live), timeout=TICK_SECONDS)
                self.watch()
                for task in ended:
                    self.end(task)
                on_tick()
        except ray.exceptions.RayError as error:
            raise _lost(_last(str(error))) from error
        finally:
            for task in self.live:
                ray.cancel(task, force=True)
            if self.live:
                ray.wait(list(self.live), num_returns=len(self.live), timeout=CANCEL_SECONDS)

    def watch(self) -> None:
        """Note which jobs have started; cancel those that take too long or don't stop."""
        import ray

        now = time.monotonic()
        if self.interrupts and not self.asked:
            self.board.ask_to_stop()
            self.asked = True
        elif now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        if now - self.counted >= NODES_SECONDS:
            self.counted = now
            self.executor.raise_if_lost()
        stuck = bool(self.interrupts) and now - self.interrupts.since > GRACE_SECONDS
        for task, running in list(self.live.items()):
            seen = self.board.starts(running.job.id)
            starts = len(seen)
            if starts > running.starts:
                running.starts, running.since = starts, now
            running.late |= self.is_late(running, seen, now)
            running.worn |= starts > self.executor.max_starts  # Ray's memory monitor retries freely
            waits = bool(self.interrupts) and not starts
            if running.cancelled is None and (running.late or running.worn or stuck or waits):
                ray.cancel(task, force=True)
                running.cancelled = now
            elif running.cancelled is not None and now - running.cancelled > CANCEL_SECONDS:
                self.report(task, *self.fate(running, "its worker can't be ended"))

    def is_late(self, running: _Running, seen: list[tuple[str, int]], now: float) -> bool:
        """Whether it has run for too long; to wait for another machine isn't to run."""
        limit, since = self.executor.timeout, running.since
        if limit is None or since is None or now - since <= limit:
            return False
        return not self.board.is_paused(running.job.id) and self.executor.has_machine(seen[-1][0])

    def end(self, task: Any) -> None:
        """A task is over: the function's own word, or why there is none."""
        import ray

        running = self.live.get(task)
        if running is None:
            return
        try:
            status, reason = ray.get(task)
        except ray.exceptions.RayTaskError as error:  # it couldn't be loaded there
            status, reason = "failed", _last(str(error))
        except ray.exceptions.RayError as error:
            status, reason = self.fate(running, self.death(running, error))
        self.report(task, status, reason)

    def fate(self, running: _Running, death: str) -> tuple[str, str]:
        """How a job without a result has ended."""
        if running.late:
            return "timeout", f"took longer than {self.executor.timeout:g} seconds"
        if self.interrupts:
            return "stopped", ""
        return "failed", death

    def death(self, running: _Running, error: Exception) -> str:
        """In words: how often, and what is known about the last time."""
        import ray

        starts = len(self.board.starts(running.job.id))
        times = {0: "its worker could not start", 1: "its worker died"}
        said = times.get(starts, f"its worker died {starts} times")
        cause = cause_of_death(running.sent.log)
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            cause = "the machine was out of memory"
        elif isinstance(error, ray.exceptions.NodeDiedError):
            cause = "the last time with its machine"
        elif not starts:
            cause = _last(str(error))
        return f"{said}: {cause}" if cause else said

    def report(self, task: Any, status: str, reason: str) -> None:
        """Its outcome, once."""
        running = self.live.pop(task)
        if status in ("ok", "stopped"):
            running.sent.log.unlink(missing_ok=True)
        seconds = 0.0 if running.since is None else time.monotonic() - running.since
        self.on_end(Outcome(running.job.id, status, reason, seconds))


# ------------------------------------------------------------------------------ in a worker


def _work(job: RemoteJob) -> tuple[str, str]:
    """One job. Its worker dies if its machine is taken away, so that Ray starts it again."""
    stop = BoardStop(job.board)
    signal.signal(signal.SIGTERM, stop.on_signal)
    try:
        return job.run(stop)
    except Requeued:
        os._exit(1)


def _probe(board: Board) -> tuple[bool, str]:
    """Whether this machine sees the folder, and its hf-select."""
    return board.is_seen(), version_of("hf-select")


# ------------------------------------------------------------------------------ the cluster


class _Cluster:
    """A connection to Ray: the one that is there, or one of our own, which `leave` ends."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ours = False
        self._folder: Path | None = None

    def connect(self) -> None:
        """Raises `InputError` if the cluster can't be reached within a minute or so."""
        with _set({"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}), _quiet():
            import ray

            if ray.is_initialized():
                return
            if self._address == "local":
                self._start()
            else:
                self._join()
        self._ours = True
        # There is no setting for this: it prints on stdout what befalls workers.
        ray._private.worker._worker_logs_enabled = False

    def _start(self) -> None:
        import ray

        # the paths of its sockets must be short, and no other cluster's are to be found there
        short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 30 else "/tmp"
        self._folder = Path(tempfile.mkdtemp(prefix="hfs-", dir=short))
        try:
            with _set({"RAY_USAGE_STATS_ENABLED": "0"}), _handlers_kept():
                ray.init(
                    address="local",
                    num_cpus=cores(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=str(self._folder),
                )
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            self.leave()
            raise HfSelectError(f"Ray can't be started here: {_last(str(error))}") from error

    def _join(self) -> None:
        import ray

        _answers(self._address)
        try:
            with _handlers_kept():
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise _unreachable(self._address, _last(str(error))) from error

    def nodes(self) -> list[_Node]:
        """The machines that are there now."""
        import ray

        return [
            _Node(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]

    def has_driver(self) -> bool:
        """Whether this process's machine is there."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        return any(node.id == here for node in self.nodes())

    def leave(self) -> None:
        """A cluster that we have started ends with it."""
        import ray

        if self._ours:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
            self._ours = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _answers(address: str) -> None:
    """Raises `InputError` if no cluster answers there.

    Ray gives up after minutes only, or ends the process, so another one tries it first.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from error
    code = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code, address],
            capture_output=True,
            text=True,
            timeout=CONNECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer within {CONNECT_SECONDS:g} seconds") from error
    if tried.returncode:
        raise _unreachable(address, _last(tried.stderr))


def _unreachable(address: str, why: str) -> InputError:
    return InputError(
        f"no Ray cluster can be reached at {address}: {why}",
        hint="the driver runs on a machine of the cluster; `ray status` shows if it is up",
    )


def _lost(why: str) -> HfSelectError:
    return HfSelectError(
        f"the Ray cluster is lost: {why}", hint="run the same command again to go on"
    )


def _default_gpus(nodes: Iterable[_Node]) -> float:
    return 1.0 if any(node.gpus for node in nodes) else 0.0


def _no_room(nodes: list[_Node], cpus: float, gpus: float) -> InputError:
    most_cpus = max((node.cpus for node in nodes), default=0.0)
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    return InputError(
        f"a job asks for {gpus:g} GPUs and {cpus:g} CPUs, but no machine of the Ray cluster has "
        f"both: the most are {most_gpus:g} GPUs and {most_cpus:g} CPUs",
        hint="--executor-option num_gpus=0 trains on CPUs",
    )


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it doesn't say why"


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that are the user's to set, set for a moment where they aren't."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's own remarks while it starts aren't for the user."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray puts a handler of its own in place of ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    old = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
