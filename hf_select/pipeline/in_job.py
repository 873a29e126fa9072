"""Inside a job on the Hub: runs the cells that it was given, and publishes them as they come.

`python -m hf_select.pipeline.in_job` reads what to do from the variable `HF_SELECT_JOB`. The job's
disk goes with it, so what is finished is sent to the results dataset soon after, and nothing else
needs to be kept. What the dataset has already isn't run again.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.errors import HfSelectError, InputError, StoppedError
from hf_select.pipeline.job_spec import VARIABLE, Spec
from hf_select.redaction import redact

if TYPE_CHECKING:
    from hf_select.hub.client import Hub
    from hf_select.results.repo import ResultsRepo
    from hf_select.training.events import BenchmarkEvent, OnEvent

# ------------------------------------------------------------------------------- publishing


class Publisher:
    """Sends the record's new rows to the Hub, in a thread of its own: so training doesn't wait.

    After `note()` it is soon done, but no two commits are less than `every` seconds apart, unless
    `hurry()` says that the end is near. What can't be sent is tried again. `close()` sends the rest
    and raises what goes wrong then.
    """

    def __init__(self, send: Callable[[], None], every: float, say: Callable[[str], None]) -> None:
        self._send, self._every, self._say = send, every, say
        self._new, self._hurry = threading.Event(), threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def note(self) -> None:
        """There is something new."""
        self._new.set()

    def hurry(self) -> None:
        """Send what is there at once, and from now on without a wait."""
        self._new.set()
        self._hurry.set()

    def close(self) -> None:
        """Send what hasn't been, and end."""
        self._closed = True
        self.hurry()
        self._thread.join()
        self._send()

    def _run(self) -> None:
        while True:
            self._new.wait()
            if self._closed:
                return
            self._new.clear()
            try:
                self._send()
            except HfSelectError as error:
                self._say(f"not published yet: {error.message}")
                self._hurry.clear()
                self._new.set()
            self._hurry.wait(self._every)


@contextmanager
def _told_of_signals(listener: Callable[[], None]) -> Iterator[None]:
    """Call the listener, in a thread, when a signal comes that this process has a handler for.

    Whoever trains has handlers of its own and may wait for a cell for half a minute; a job that was
    sent a SIGTERM may not live that long.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while reader.recv(1):
            listener()

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()


def _publish(hub: Hub, folder: Path, spec: Spec, say: Callable[[str], None]) -> None:
    """Send the folder's rows that the dataset lacks; `InputError` if it doesn't take some."""
    from hf_select.hub.record.publish import publish
    from hf_select.pipeline.base import Grouping
    from hf_select.results.repo import ResultsRepo

    sent = publish(
        hub,
        ResultsRepo.open(folder),
        spec.to,
        private=spec.private,
        accept_new_recipes=spec.accept_new_recipes,
        cluster=Grouping(),
    )
    if sent.rows:
        rows = ", ".join(f"{number} {kind}" for kind, number in sent.rows.items())
        say(f"published to {spec.to}: {rows}")
    left = [one.reason for one in sent.refused]
    left += [f"{one.kind} {one.name} isn't on the Hub" for one in sent.local]
    if left:
        raise InputError(f"{spec.to} doesn't take {len(left)} rows: {left[0]}")


# ------------------------------------------------------------------------------------ the job


def run(spec: Spec, folder: Path, hub: Hub, say: Callable[[str], None]) -> int:
    """Do it all in that folder; how many cells and pairs were left undone.

    Raises `StoppedError` after a SIGTERM, with what is done published.
    """
    from hf_select.hub.record.pull import pull_if_any
    from hf_select.results.repo import ResultsRepo

    pull_if_any(hub, spec.to, folder)
    repo = ResultsRepo.open_or_create(folder)
    publisher = Publisher(lambda: _publish(hub, folder, spec, say), spec.publish_every, say)

    def on_event(event: BenchmarkEvent) -> None:
        if event.kind in ("done", "failed", "scored", "unscored", "undone"):
            what = "" if event.seed is None else f", seed {event.seed}"
            say(f"{event.kind}: {event.model} on {event.dataset}{what} {event.reason}")
            publisher.note()

    try:
        with _told_of_signals(publisher.hurry):
            return _train(spec, repo, on_event)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to stop but this
        publisher.close()


def _train(spec: Spec, repo: ResultsRepo, on_event: OnEvent) -> int:
    """The cells, then the looks; how many were left undone."""
    from hf_select.locations import fetch
    from hf_select.training.benchmark import run_benchmark
    from hf_select.training.scoring import run_scoring

    done = run_benchmark(
        spec.catalog,
        repo,
        spec.recipe,
        seeds=sorted({seed for _, _, seed in spec.cells}) or (0,),
        only=spec.cell_ids(),
        timeout=spec.timeout,
        retry_failed=spec.retry_failed,
        checkpoint_every=math.inf,  # nobody would find it
        fetch=fetch,
        on_event=on_event,
    )
    scored = run_scoring(
        spec.catalog,
        repo,
        spec.proxies,
        only=frozenset(spec.pair_ids()),
        rows=spec.proxy_rows,
        max_length=spec.recipe.max_length,
        timeout=spec.timeout,
        retry_failed=spec.retry_failed,
        without={(event.model, event.dataset) for event in done.undone},
        fetch=fetch,
        on_event=on_event,
    )
    return len(done.undone) + len(scored.undone)


def main() -> int:
    """The job itself; its exit code is 0 if everything was run."""
    from hf_select.hub.client import Hub

    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(redact(text).rstrip() + "\n")
        sys.stdout.flush()

    def stop(*_: object) -> None:
        raise StoppedError("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, stop)
    try:
        spec = Spec.decode(os.environ.pop(VARIABLE, ""))
        say(f"{len(spec.cells)} cells and {len(spec.pairs)} looks for {spec.to}")
        with tempfile.TemporaryDirectory(prefix="hf-select-") as name:
            undone = run(spec, Path(name) / "record", Hub(), say)
    except HfSelectError as error:
        say(f"{type(error).__name__}: {error.message}")
        return error.exit_code
    if undone:
        say(f"{undone} were left undone")
        return 1
    say(f"all is done and published, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
