"""The live table of a benchmark: cells done, running, failed; plain lines when not a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from hf_select.bars import in_time
from hf_select.cli.output import Output
from hf_select.cli.words import count

if TYPE_CHECKING:
    from hf_select.training.events import BenchmarkEvent

PLAIN_EVERY = 10.0
"""Seconds between two plain progress lines."""
FAILURES = ("failed", "unscored")
"""Events that are told one by one."""


class Progress:
    """Counts what has happened so far."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.looked = 0
        self.running: dict[str, float] = {}
        self.epochs: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self.started = time.time()

    def update(self, event: BenchmarkEvent) -> None:
        """Take one event into account."""
        name = _name(event)
        if event.kind in ("start", "look"):
            if event.kind == "start" and not (self.running or self.done or self.failed):
                self.started = event.time or time.time()  # an engine's start isn't the cells'
            self.running[name] = time.monotonic()
            self.epochs[name] = event.epoch
        elif event.kind == "point":
            self.epochs[name], self.memory[name] = event.epoch, event.memory
        elif event.kind in ("done", "failed", "stopped", "scored", "unscored", "undone"):
            self.running.pop(name, None)
            self.done += event.kind == "done"
            self.failed += event.kind == "failed"
            self.looked += event.kind in ("scored", "unscored")

    def line(self) -> str:
        """The state in one line: counts, rate, time to go; then what was looked at."""
        if self.looked:
            return f"{self.looked} model x dataset pairs looked at"
        ended = self.done + self.failed
        rate = ended / max(time.time() - self.started, 1e-9)
        left = (self.total - ended) / rate if rate > 0 else float("inf")
        eta = f", {in_time(left)} to go" if ended < self.total and 0 < left < 1e7 else ""
        return f"{ended}/{self.total} cells, {self.failed} failed, {rate * 60:.1f} a minute{eta}"

    def table(self) -> Table:
        """The state with the jobs that run now, and the GPU memory of each where it has one."""
        table = Table(title=self.line(), title_justify="left", box=None)
        table.add_column("running", no_wrap=True)
        table.add_column("epoch", justify="right")
        table.add_column("seconds", justify="right")
        if any(math.isfinite(self.memory.get(name, math.nan)) for name in self.running):
            table.add_column("GPU memory", justify="right")
        now = time.monotonic()
        for name, since in self.running.items():
            epoch, memory = self.epochs.get(name, math.nan), self.memory.get(name, math.nan)
            row = [name, f"{epoch:g}" if math.isfinite(epoch) else "-", f"{now - since:.0f}"]
            if len(table.columns) > 3:
                row.append(f"{memory / 2**30:.1f} GiB" if math.isfinite(memory) else "-")
            table.add_row(*row)
        return table


@contextmanager
def watch(
    output: Output,
) -> Iterator[tuple[Callable[[int], None], Callable[[BenchmarkEvent], None]]]:
    """Listeners for the plan and for the events of a benchmark, shown while the block runs."""
    progress = Progress()

    def on_plan(cells: int) -> None:
        progress.total = cells
        output.message(f"{count(cells, 'cell')} to run")

    bars = output.bars
    if bars is None:
        yield on_plan, _plain(progress, output)
        return
    live = Live(console=output.stderr, refresh_per_second=4, transient=True)

    def on_event(event: BenchmarkEvent) -> None:
        if not live.is_started:
            bars.give_way()  # two things can't be drawn at once
            live.start()
        progress.update(event)
        if event.kind in FAILURES:
            live.console.print(_failure(event), markup=False)
        if goes_on(event):
            live.console.print(_going_on(event), markup=False)
        live.update(progress.table())

    try:
        yield on_plan, on_event
    finally:
        if live.is_started:
            live.stop()


def _plain(progress: Progress, output: Output) -> Callable[[BenchmarkEvent], None]:
    last = [float("-inf")]

    def on_event(event: BenchmarkEvent) -> None:
        progress.update(event)
        if event.kind in FAILURES:
            output.message(_failure(event))
        if goes_on(event):
            output.message(_going_on(event))
        ended = progress.done + progress.failed
        now = time.monotonic()
        complete = not progress.looked and ended == progress.total
        if event.kind in ("done", "failed", "scored", "unscored") and (
            now - last[0] > PLAIN_EVERY or complete
        ):
            last[0] = now
            output.message(progress.line())

    return on_event


def goes_on(event: BenchmarkEvent) -> bool:
    """Whether a cell is gone on with that was cut off before."""
    return event.kind == "start" and event.epoch > 0


def _going_on(event: BenchmarkEvent) -> str:
    return f"going on: {_name(event)}, from epoch {event.epoch:.3g}"


def _failure(event: BenchmarkEvent) -> str:
    return f"failed: {_name(event)}: {event.reason}"


def _name(event: BenchmarkEvent) -> str:
    """A cell, or a pair that is scored: it has no seed."""
    what = "proxy scores" if event.seed is None else f"seed {event.seed}"
    return f"{event.model} on {event.dataset}, {what}"
