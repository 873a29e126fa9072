"""The one place that prints: data on stdout, messages on stderr; text, or one JSON document."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from hf_select.bars import Bars

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""


class Output:
    """Where a command's words go. `--json`: one document on stdout; `--quiet`: no messages.

    Of the processes that `accelerate launch` has started, only the first one speaks, and
    all of errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.rank = os.environ.get("RANK", "0")
        self.mute = self.rank != "0"
        self.quiet = quiet or self.mute
        # Piped output has no width of its own: don't break lines that a program may read.
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        self.stdout = Console(highlight=False, soft_wrap=True, width=width)
        self.stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self.bars: Bars | None = None

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Bars for what takes long inside, in a terminal and where somebody wants to read them."""
        if self.quiet or self.as_json or not self.stderr.is_terminal:
            yield
            return
        from hf_select.bars import bars

        with bars(self.stderr) as self.bars:
            yield

    def message(self, text: str, *, style: str = "") -> None:
        """A line for the person at the terminal."""
        if not self.quiet:
            self.stderr.print(escape(text), style=style or None)

    def warning(self, text: str) -> None:
        """A line that is shown even with `--quiet`."""
        if self.mute:
            return
        self.stderr.print(escape(text), style="yellow")

    def data(self, document: dict[str, Any], show: Callable[[Output], None]) -> None:
        """The answer: the JSON document, or what `show` prints."""
        if self.mute:
            return
        if self.as_json:
            print(json.dumps(clean(document), ensure_ascii=False, indent=1), flush=True)
        else:
            show(self)

    def line(self, text: str = "", *, style: str = "") -> None:
        """A line of the answer."""
        self.stdout.print(escape(text), style=style or None)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        wrap: str = "",
        right: Collection[str] = (),
    ) -> None:
        """A table of the answer; numbers, and the columns in `right`, stand right.

        The column named `wrap` may break lines; names of the Hub, where they are too long, after
        their owner.
        """
        if wrap:
            rows = self._broken(columns, rows, list(columns).index(wrap))
        table = Table(title=escape(title) if title else None, title_justify="left", box=None)
        numeric = [all(not isinstance(row[j], str) for row in rows) for j in range(len(columns))]
        for name, number in zip(columns, numeric, strict=True):
            table.add_column(
                name,
                justify="right" if number or name in right else "left",
                no_wrap=name != wrap,
                overflow="fold",
                header_style="bold",
            )
        for row in rows:
            table.add_row(*(escape(cell(value)) for value in row))
        self.stdout.print(table, soft_wrap=False)

    def _broken(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], at: int
    ) -> Sequence[Sequence[Any]]:
        """The rows, with OWNER/NAME in one column on two lines where the table is too wide."""
        widest = [
            max(len(cell(value)) for value in values) + 2
            for values in zip(columns, *rows, strict=True)
        ]
        names = [str(row[at]) for row in rows]
        if sum(widest) <= self.stdout.width or any(" " in name for name in names):
            return rows
        return [
            (*row[:at], name.replace("/", "/\n", 1), *row[at + 1 :])
            for row, name in zip(rows, names, strict=True)
        ]

    def error(self, document: dict[str, dict[str, str]]) -> None:
        """An error: the JSON document on stdout with `--json`, else two lines on stderr."""
        error = document["error"]
        if self.mute:  # it may have befallen this process alone, and then nobody else says it
            self.stderr.print(escape(f"rank {self.rank}: {error['message']}"))
            return
        if self.as_json:
            print(json.dumps(document, ensure_ascii=False), flush=True)
            return
        self.stderr.print(f"[bold red]Error:[/] {escape(error['message'])}")
        if error["hint"]:
            self.stderr.print(f"[dim]Hint:[/]  {escape(error['hint'])}")


def cell(value: Any) -> str:
    """A table cell: four significant digits for floats, a dash for what isn't there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)


def clean(value: Any) -> Any:
    """JSON has no NaN and no numpy: NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if hasattr(value, "tolist"):
        return clean(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
