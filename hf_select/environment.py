"""What this process runs in: library versions, and its place among launched processes."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def is_main_process() -> bool:
    """True in the one process that writes, of those that `accelerate launch` has started."""
    return int(os.environ.get("RANK", "0")) == 0


def launched_processes() -> int:
    """How many processes `accelerate launch` or torchrun has started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


LIBRARIES = ("hf-select", "torch", "transformers", "accelerate", "datasets", "numpy")


def library_versions() -> dict[str, str]:
    """Versions of what a result depends on; "not installed" for one that runs from its sources."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
