"""Ctrl-C once: finish the step, save, say how to go on. Twice: leave at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from hf_select.cli.output import Output


@contextmanager
def stop_flag(output: Output) -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM has asked to stop.

    The second SIGINT raises `KeyboardInterrupt` wherever the program is.
    """
    asked: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)
        output.warning("stopping after this step; Ctrl-C again leaves at once")

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield lambda: bool(asked)
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
