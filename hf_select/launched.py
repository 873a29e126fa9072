"""The processes that `accelerate launch` or torchrun has started together, and this one's place.

`parallel="jobs"`: each trains what is its own. `parallel="data"`: all train one model together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from hf_select.errors import InputError

PARALLEL = ("jobs", "data")
"""What launched processes do: each its own fine-tunings, or all of them one together."""

BUSY = 0.75
"""Load a core from which threads get in each other's way."""

LAUNCHER_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "ROLE_NAME",
    "MASTER_ADDR",
    "MASTER_PORT",
)
"""By which a launcher tells a process its place."""

START = (
    "on GPUs: accelerate launch --num_processes N -m hf_select ...; on CPUs: "
    "ACCELERATE_USE_CPU=true torchrun --standalone --nproc_per_node N -m hf_select ... "
    "(`accelerate launch --cpu` starts one process only)"
)


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that were launched together; ranks count from 0.

    `apart`: it has left them to train on its own (`apart()`); they still write one output.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    apart: bool = False


_left: Place | None = None


def place() -> Place:
    """That of this process: what `accelerate launch` or torchrun has said, or the only one."""
    if _left is not None:
        return _left
    return Place(
        rank=int(os.environ.get("RANK", "0")),
        world=int(os.environ.get("WORLD_SIZE", "1")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        local_world=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def is_main_process() -> bool:
    """True in the one process that writes, of those that `accelerate launch` has started."""
    return place().rank == 0


def launched_processes() -> int:
    """How many processes `accelerate launch` or torchrun has started together."""
    return place().world


def check_launch(parallel: str | None = None, processes: int | None = None) -> str:
    """What the launched processes do: `parallel`, or "jobs". A word that is no way is refused.

    Raises `InputError` where another number than `processes` runs, where they should share a
    training and there is only one, and where a machine has fewer GPUs than processes.
    """
    here = place()
    if parallel is not None and parallel not in PARALLEL:
        raise InputError(f"parallel is {parallel!r}, but must be one of {', '.join(PARALLEL)}")
    if processes is not None and processes != here.world:
        raise InputError(
            f"{processes} process{'es were' if processes > 1 else ' was'} asked for, but "
            f"{here.world} {'is' if here.world == 1 else 'are'} running",
            hint=START,
        )
    if parallel == "data" and here.world == 1:
        raise InputError(
            "parallel=data trains one model in several processes, but only one is running",
            hint=START,
        )
    if here.world > 1:
        gpus = len(visible_devices())
        if gpus and here.local_world > gpus:
            raise InputError(
                f"{here.local_world} processes run on this machine, which has "
                f"{gpus} GPU{'s' * (gpus > 1)} for them",
                hint=f"start {gpus} of them, or set ACCELERATE_USE_CPU=true to train on the CPU",
            )
    return parallel or "jobs"


def visible_devices() -> tuple[str, ...]:
    """The ids of the GPUs that may be used, as `CUDA_VISIBLE_DEVICES` has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip() not in ("", "-1"))
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return ()
    import torch

    return tuple(str(i) for i in range(torch.cuda.device_count()))


def check_precision(precision: str) -> None:
    """Refuse what only a GPU can compute with, where there is none, by `InputError`."""
    if precision == "fp16" and not visible_devices():
        raise InputError("precision fp16 needs a GPU", hint="use bf16 or no")


def busy_cores() -> str:
    """A word of advice where others keep the cores busy, "" where there is none to give.

    Threads that wait for each other are far slower then than one.
    """
    here, cores = place(), os.cpu_count() or 1
    if here.world > 1 or cores == 1 or "OMP_NUM_THREADS" in os.environ or visible_devices():
        return ""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY * cores:
        return ""
    return (
        f"the machine is busy (a load of {load:.1f} on {cores} cores): with OMP_NUM_THREADS=1 "
        "small models may train several times faster"
    )


def go_apart() -> None:
    """From now on this process trains on its own, on the GPU of its local rank.

    The launcher's variables go, so that no library takes part in a training of all; `place` still
    says which one it is. To be called before torch has touched a GPU.
    """
    global _left
    here = place()
    if here.world == 1 or here.apart:
        return
    gpus = visible_devices()
    _left = Place(here.rank, here.world, here.local_rank, here.local_world, apart=True)
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[here.local_rank % len(gpus)]
