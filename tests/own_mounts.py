"""Mounts that only one command sees: a disk that is full, a folder that can only be read.

They are those of a mount namespace and end with its command, so nothing has to be cleaned up.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # of linux/sched.h


def with_mounts(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of sh, which may mount; skips the test where nobody may."""
    check_mounts()
    return [*_found(), "sh", "-euc", script, "sh", *arguments]


def check_mounts() -> None:
    """Skip the test where nobody may mount."""
    if not _found():
        pytest.skip("this system lets nobody mount anything")


def mount_here(folder: Path, size: int) -> None:
    """A disk of so many bytes that only this process, which has no threads, sees."""
    user, group = os.getuid(), os.getgid()
    mine = 0 if user == 0 else NEW_USERS
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | mine):
        raise OSError(ctypes.get_errno(), "unshare")
    if mine:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    for arguments in (
        ["--make-rprivate", "/"],
        ["-t", "tmpfs", "-o", f"size={size}", "none", str(folder)],
    ):
        subprocess.run(["mount", *arguments], check=True)


@cache
def _found() -> tuple[str, ...]:
    if shutil.which("unshare") is None:
        return ()
    trial = 'd=$(mktemp -d) && mount -t tmpfs -o size=4k none "$d"'
    for prefix in (("unshare", "-m"), ("unshare", "-rm")):  # as root, and as somebody else
        done = subprocess.run([*prefix, "sh", "-c", trial], capture_output=True, timeout=30)
        if done.returncode == 0:
            return prefix
    return ()
