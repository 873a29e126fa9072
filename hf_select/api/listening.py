"""What a library user hears: nothing, unless it was asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Union

from hf_select.progress import Listener, listening

Progress = Union[bool, Listener]  # noqa: UP007
"""`True`: messages, and bars with the time to go, on stderr (in a notebook below the cell). A
function: is told of every `Step` of a stage, and nothing is printed. `False`: nothing."""

LOGGER = "hf_select"
"""Messages always go to this logger, at INFO, which shows nothing by itself."""


@contextmanager
def heard(progress: Progress) -> Iterator[Callable[[str], None]]:
    """Tell of progress inside as was asked; gives the function that takes messages."""
    logger = logging.getLogger(LOGGER)
    if progress is not True:
        with listening(progress or None):
            yield logger.info
        return
    from rich.console import Console

    from hf_select.bars import bars

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        logger.info(text)
        console.print(text, markup=False)

    with bars(console):
        yield say
