"""Library versions: what a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("hf-select", "torch", "transformers", "accelerate", "datasets", "numpy")


def library_versions() -> dict[str, str]:
    """Versions of what a result depends on; "not installed" for one that runs from its sources."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in LIBRARIES}}


def version_of(name: str) -> str:
    """The version of a package; "not installed" for one that runs from its sources."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
