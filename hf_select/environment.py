"""What this process runs in: library versions, and its place among launched processes."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def is_main_process() -> bool:
    """True in the one process that writes, of those that `accelerate launch` has started."""
    return int(os.environ.get("RANK", "0")) == 0


def library_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("hf-select", "torch", "transformers", "accelerate", "datasets", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
