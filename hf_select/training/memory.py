"""How much memory the trials of a selection may hold together, and how much one will hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import gather_object, parse_flag_from_env

from hf_select.launched import place
from hf_select.training.trial import EncodingCache
from hf_select.weights import count_parameters

if TYPE_CHECKING:
    from hf_select.tasks.encoded import Encoded

OF_GPU, OF_RAM, OF_RAM_FOR_ROWS = 0.8, 0.5, 0.25
"""Shares of what is free: for trials on a GPU, for trials on a CPU, for encoded rows."""

PATIENCE = timedelta(days=7)
"""How long launched processes wait for each other, one of which may have far more to do: where one
has died, the launcher ends them all."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a container may take."""


def for_trials() -> int:
    """Bytes that the open trials may hold together on a device, by what is free now.

    All processes must call it; each gets the same: what the one with the least has.
    """
    device = processes().device
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        own = int(OF_GPU * free)
    else:
        own = int(OF_RAM * free_ram())
    return min(gather_object([own]))


def processes() -> PartialState:
    """The launched processes and this one's device, as an `Accelerator` will find them.

    It would take over what a bare `PartialState` has found, which doesn't look at that variable.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)


def for_rows() -> int:
    """Bytes that the encoded rows of trials that sleep may take."""
    return int(OF_RAM_FOR_ROWS * free_ram())


def free_ram() -> int:
    """Bytes of memory that are free for this process: its share of the machine's or container's."""
    free = min(psutil.virtual_memory().available, *_free_in_container())
    return free // place().local_world


def expected_bytes(location: str | Path) -> int:
    """Bytes that a trial of the model in that folder will hold, by the headers of its weights.

    Four times its weights in 32 bits: themselves, their gradients, two moments. Raises
    `ModelError` if a file is cut off.
    """
    numbers = 0
    for path in sorted(Path(location).glob("*.safetensors")):
        with path.open("rb") as file:
            numbers += count_parameters(file, path.stat().st_size, str(path))
    return 4 * 4 * numbers


def _free_in_container() -> list[int]:
    try:
        limit, used = (int((CGROUP / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # no such files, or no limit
        return [psutil.virtual_memory().available]
    return [max(0, limit - used)]


class KeptEncodings(EncodingCache):
    """Encoded splits that stay when no trial is awake to use them, up to `max_bytes` together.

    The least recently asked for go first. One that is bigger alone is shared while a trial uses it.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, Encoded] = OrderedDict()

    def get(self, key: str, make: Callable[[], Encoded]) -> Encoded:
        """The encoded split of that key, made if neither a trial nor the cache has it."""
        found = super().get(key, make)
        if found.num_bytes <= self.max_bytes:
            self._kept[key] = found
            self._kept.move_to_end(key)
        while self.num_bytes > self.max_bytes:
            self._kept.popitem(last=False)
        return found

    @property
    def num_bytes(self) -> int:
        """Bytes of what is kept."""
        return sum(encoded.num_bytes for encoded in self._kept.values())
