"""Progress bars with the time to go, of stages that take longer than two seconds.

The command line shows them on stderr, and a notebook that asked for progress below its cell.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hf_select.progress import Step, listening

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID

PATIENCE = 2.0
"""Seconds for which a stage may run before a bar is worth it."""
SHOWN_AT_ONCE = 4
"""Bars at a time; stages within stages within stages tell nothing more."""


class Bars:
    """Listens to stages and draws those that take long, on one console.

    While `busy`, something else is drawn there, and no new bar appears.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.busy = False
        self._lock = threading.RLock()
        self._steps: dict[int, Step] = {}
        self._timers: dict[int, threading.Timer] = {}
        self._tasks: dict[int, TaskID] = {}
        self._drawn: Progress | None = None

    def __call__(self, step: Step) -> None:
        """Take a step of a stage into account."""
        with self._lock:
            if step.ended:
                self._end(step.stage)
                return
            new = step.stage not in self._steps
            self._steps[step.stage] = step
            if new:
                timer = threading.Timer(PATIENCE, self._show, [step.stage])
                timer.daemon = True
                self._timers[step.stage] = timer
                timer.start()
            elif step.stage in self._tasks and self._drawn is not None:
                self._drawn.update(
                    self._tasks[step.stage],
                    completed=step.done,
                    total=step.total,
                    detail=step.detail,
                )

    def give_way(self) -> None:
        """Something else is drawn from now on: take away what is, and draw no more."""
        with self._lock:
            self.busy = True
            self.close()

    def close(self) -> None:
        """Take away whatever is drawn."""
        with self._lock:
            for number in list(self._steps):
                self._end(number)

    def _show(self, number: int) -> None:
        """The stage has taken long: draw it."""
        with self._lock:
            step = self._steps.get(number)
            if step is None or self.busy or len(self._tasks) >= SHOWN_AT_ONCE:
                return
            if self._drawn is None:
                self._drawn = _progress(self.console)
                self._drawn.start()
            self._tasks[number] = self._drawn.add_task(
                step.what, total=step.total, unit=step.unit, detail=step.detail
            )
            self._drawn.update(self._tasks[number], completed=step.done)

    def _end(self, number: int) -> None:
        self._steps.pop(number, None)
        timer = self._timers.pop(number, None)
        if timer is not None:
            timer.cancel()
        task = self._tasks.pop(number, None)
        if task is None or self._drawn is None:
            return
        self._drawn.remove_task(task)
        if not self._tasks:
            self._drawn.stop()
            self._drawn = None


@contextmanager
def bars(console: Console) -> Iterator[Bars]:
    """Bars on that console for every stage that begins inside; none is left at the end."""
    shown = Bars(console)
    try:
        with listening(shown):
            yield shown
    finally:
        shown.close()


def _progress(console: Console) -> Progress:
    """What, the bar, how much of how much, the time spent and to go; then what it is at."""
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Amount(ProgressColumn):
        """Done, of how much, in the stage's own unit; and the time to go where it is known."""

        def render(self, task: Task) -> Text:
            done = amount(task.completed, task.total, task.fields["unit"])
            left = task.time_remaining
            to_go = "" if left is None or task.total is None else f", {in_time(left)} to go"
            return Text(f"{done}{to_go}")

    one_line = Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=one_line),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        Amount(table_column=Column(no_wrap=True)),
        TextColumn(
            "{task.fields[detail]}",
            style="dim",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=console,
        transient=True,
        expand=True,
    )


def in_time(seconds: float) -> str:
    """A time to go, as long as it matters.

    >>> in_time(42), in_time(600), in_time(8000)
    ('42 s', '10 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def amount(done: float, total: float | None, unit: str) -> str:
    """How much of how much.

    >>> amount(3, 26, "models"), amount(0.25, 1, "epochs"), amount(1200, None, "models")
    ('3/26 models', '0.25/1 epochs', '1,200 models')
    >>> amount(1_200_000, 5_000_000, "bytes")
    '1.2/5.0 MB'
    """
    if unit == "bytes":
        return f"{done / 1e6:.1f}" + ("" if total is None else f"/{total / 1e6:.1f}") + " MB"
    if total is None:
        return f"{_short(done)} {unit}".strip() if done else ""
    return f"{_short(done)}/{_short(total)} {unit}".strip()


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:.2f}"
