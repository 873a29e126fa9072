"""What a run's record says of the machine: its device, the versions, the time."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from hf_select.environment import version_of

LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "hf-select")


@cache
def hardware() -> str:
    """The device that a run without further settings trains on."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """The versions of what decides a result."""
    return {name: version_of(name) for name in LIBRARIES}


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
