"""What launched processes must have in common although each measures it for itself."""

from __future__ import annotations

import time

from accelerate.utils import broadcast_object_list

from hf_select.training.memory import processes


def agreed(value: float) -> float:
    """The first process's value, on all of them: every process must call it."""
    found = [value]
    if processes().num_processes > 1:
        broadcast_object_list(found)
    return float(found[0])


def agreed_clock() -> float:
    """`time.monotonic` of the first process: decisions by the clock must be the same everywhere."""
    return agreed(time.monotonic())
