"""Mounts that only one command sees: a disk that is full, a folder that can only be read.

They are those of a mount namespace and end with its command, so nothing has to be cleaned up.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest


def with_mounts(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of sh, which may mount; skips the test where nobody may."""
    return [*_prefix(), "sh", "-euc", script, "sh", *arguments]


def _prefix() -> list[str]:
    found = _found()
    if found is None:
        pytest.skip("this system lets nobody mount anything")
    return list(found)


@cache
def _found() -> tuple[str, ...] | None:
    if shutil.which("unshare") is None:
        return None
    trial = 'd=$(mktemp -d) && mount -t tmpfs -o size=4k none "$d"'
    for prefix in (("unshare", "-m"), ("unshare", "-rm")):  # as root, and as somebody else
        done = subprocess.run([*prefix, "sh", "-c", trial], capture_output=True, timeout=30)
        if done.returncode == 0:
            return prefix
    return None
