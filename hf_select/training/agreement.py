"""What launched processes must have in common although each finds it for itself.

Every function here is called by all of them, in the same order.
"""

from __future__ import annotations

import atexit
import os
import time
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from hf_select.errors import DataError, HfSelectError, HubError, ModelError, TrialError
from hf_select.launched import go_apart, place, visible_devices
from hf_select.training.memory import PATIENCE, processes

T = TypeVar("T")

MEETING = timedelta(minutes=10)
"""How long processes wait for each other's start."""


def part() -> None:
    """From now on each process trains on its own, and they decide together (by gloo)."""
    if place().world > 1 and not place().apart:
        _join("gloo")
        go_apart()


def gather() -> None:
    """From now on the processes train together."""
    if place().world > 1 and not place().apart:
        _join("cpu:gloo,cuda:nccl" if visible_devices() else "gloo")
    processes()


def _join(backend: str) -> None:
    """Make the group of the launched processes.

    Not by torch's own way: after a restart torchrun's store still has the addresses of those that
    died, and one who reads them waits for ever (torch 2.13). So every attempt has its own names.
    """
    if dist.is_initialized():
        return
    here = place()
    hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        here.world,
        is_master=here.rank == 0 and not hosted,
        timeout=MEETING,
        multi_tenant=not hosted,
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(
        backend,
        store=dist.PrefixStore(f"hf-select-{attempt}", store),
        rank=here.rank,
        world_size=here.world,
        timeout=PATIENCE,
    )
    atexit.register(_leave)


def _leave() -> None:
    """Leave the others in good order: a group that is torn down at the very end can abort."""
    if dist.is_initialized():
        dist.destroy_process_group()


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


def agree_on_error(error: Exception | None) -> None:
    """Raise what one of the processes has met on its own, in all of them; the first one's counts.

    `HubError` before others: it says nothing about the model. Anything that isn't ours becomes a
    `TrialError`.
    """
    mine = None
    if error is not None:
        known = isinstance(error, HubError | ModelError | DataError | TrialError)
        said = (error.message, error.hint) if isinstance(error, HfSelectError) else None
        mine = (type(error).__name__ if known else "", *(said or (_in_words(error), "")))
    met = [one for one in exchanged(mine) if one is not None]
    if not met:
        return
    name, message, hint = min(met, key=lambda one: one[0] != "HubError")
    kinds: dict[str, type[HfSelectError]] = {
        kind.__name__: kind for kind in (HubError, ModelError, DataError)
    }
    raise kinds.get(name, TrialError)(message, hint=hint)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def agreed(value: float) -> float:
    """The first process's number, on all of them."""
    return float(first_ones(value))


def agreed_clock() -> float:
    """`time.monotonic` of the first process: decisions by the clock must be the same everywhere."""
    return agreed(time.monotonic())


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
