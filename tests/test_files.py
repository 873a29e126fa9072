"""Whole files or none: atomic writes, what a kill leaves, and the lock."""

import os
import signal
import subprocess
import sys

import pytest
from results.victims import CONTEXT, die_before_rename

from hf_select import files
from hf_select.errors import RecordError


def test_write_replaces_the_old_content(tmp_path):
    path = tmp_path / "deep" / "file"
    files.write_atomic(path, b"old")
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_create_never_replaces(tmp_path):
    path = tmp_path / "file"
    assert files.create_atomic(path, b"first")
    assert not files.create_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_kill_before_the_rename_keeps_the_old_file_and_is_swept(tmp_path):
    path = tmp_path / "file"
    files.write_atomic(path, b"old")
    process = CONTEXT.Process(target=die_before_rename, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    assert files.sweep(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_sweep_spares_a_living_writer(tmp_path):
    mine = tmp_path / f"{files.TEMPORARY}{files._host()}-{os.getpid()}-12345678"
    other_host = tmp_path / f"{files.TEMPORARY}00000000-1-12345678"
    old = tmp_path / f"{files.TEMPORARY}00000000-2-12345678"
    for path in (mine, other_host, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    assert files.sweep(tmp_path) == 1
    assert mine.exists()
    assert other_host.exists()
    assert not old.exists()


def test_a_second_holder_of_the_lock_is_refused(tmp_path):
    path = tmp_path / "results" / ".work" / "lock"
    with files.exclusive(path), pytest.raises(RecordError, match="another process"):  # noqa: SIM117
        with files.exclusive(path):
            pass
    with files.exclusive(path):
        pass


def test_a_killed_holder_lets_go_of_the_lock(tmp_path):
    path = tmp_path / ".work" / "lock"
    code = (
        "import os, signal, sys; from pathlib import Path; from hf_select import files\n"
        "with files.exclusive(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    with files.exclusive(path):
        pass
