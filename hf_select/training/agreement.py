"""What launched processes must have in common although each finds it for itself.

Every function here is called by all of them, in the same order.
"""

from __future__ import annotations

import time
from typing import TypeVar

import torch.distributed as dist

from hf_select.launched import go_apart, place
from hf_select.training.memory import PATIENCE, processes

T = TypeVar("T")


def part() -> None:
    """From now on each process trains on its own, and they decide together (by gloo)."""
    if place().world > 1 and not place().apart:
        dist.init_process_group("gloo", timeout=PATIENCE)
        go_apart()


def exchanged(value: T) -> list[T]:
    """What each process has given, by rank."""
    processes()
    if not _several():
        return [value]
    found: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def first_ones(value: T) -> T:
    """What the first process has given."""
    processes()
    if not _several():
        return value
    found = [value]
    dist.broadcast_object_list(found)
    return found[0]


def agreed(value: float) -> float:
    """The first process's number, on all of them."""
    return float(first_ones(value))


def agreed_clock() -> float:
    """`time.monotonic` of the first process: decisions by the clock must be the same everywhere."""
    return agreed(time.monotonic())


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
