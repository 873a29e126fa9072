import errno
import json
import shutil
import subprocess
import sys

import pytest
import torch

from hf_select.training import checkpoint


def steps(folder):
    return [meta["step"] for meta, _ in checkpoint.complete(folder)]


def test_the_newest_wins_and_older_ones_go(tmp_path):
    for step in (3, 7):
        checkpoint.write(tmp_path, meta={"step": step}, state={"x": torch.arange(step)})
    assert steps(tmp_path) == [7]
    assert len(list(tmp_path.iterdir())) == 1
    _, state = next(checkpoint.complete(tmp_path))
    assert state["x"].tolist() == list(range(7))


@pytest.mark.parametrize("damage", ["no state", "cut state", "no meta", "cut meta"])
def test_a_cut_off_checkpoint_is_ignored(tmp_path, damage):
    first = checkpoint.write(tmp_path, meta={"step": 1}, state={"x": torch.zeros(9)})
    later = first.with_name("checkpoint-000000009")
    later.mkdir()
    for path in first.iterdir():
        (later / path.name).write_bytes(path.read_bytes())
    meta = json.loads((later / "trial.json").read_text())
    (later / "trial.json").write_text(json.dumps({**meta, "step": 9}))
    assert steps(tmp_path) == [9, 1]
    victim = later / ("state.pt" if "state" in damage else "trial.json")
    if damage.startswith("no"):
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-20])
    assert steps(tmp_path) == [1]


def test_a_kill_while_writing_leaves_the_older_one_and_is_swept(tmp_path):
    checkpoint.write(tmp_path, meta={"step": 1}, state={})
    (tmp_path / ".writing-000000002").mkdir()
    assert steps(tmp_path) == [1]
    checkpoint.write(tmp_path, meta={"step": 2}, state={})
    assert steps(tmp_path) == [2]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_older_one(tmp_path, monkeypatch):
    checkpoint.write(tmp_path, meta={"step": 1}, state={})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(tmp_path, meta={"step": 2}, state={})
    assert steps(tmp_path) == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_fills_while_a_state_is_written_is_an_os_error(tmp_path):
    """A real limit: torch answers a failed write with a `RuntimeError`."""
    code = """
import resource, signal, sys, torch
from pathlib import Path
from hf_select.training import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoint.write(Path(sys.argv[1]), meta={"step": 1}, state={})
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    checkpoint.write(Path(sys.argv[1]), meta={"step": 2}, state={"x": torch.zeros(4_000_000)})
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (0, f"{errno.EFBIG}\n"), done.stderr
    assert steps(tmp_path) == [1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_bit_is_noticed(tmp_path, where):
    first = checkpoint.write(tmp_path, meta={"step": 1}, state={"x": torch.arange(5000.0)})
    later = shutil.copytree(first, first.with_name("checkpoint-000000009"))
    content = bytearray((later / "state.pt").read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": len(content) - 1}[where]] ^= 4
    (later / "state.pt").write_bytes(content)
    assert steps(tmp_path) == [1]


def test_a_state_without_a_checksum_is_taken_if_torch_can_read_it(tmp_path):
    folder = checkpoint.write(tmp_path, meta={"step": 1}, state={"x": torch.zeros(9)})
    meta = json.loads((folder / "trial.json").read_text())
    del meta["state_crc32"]
    (folder / "trial.json").write_text(json.dumps(meta))
    assert steps(tmp_path) == [1]
    (folder / "state.pt").write_bytes(b"?" * meta["state_bytes"])
    assert steps(tmp_path) == []


def test_nothing_there_is_nothing(tmp_path):
    assert steps(tmp_path / "absent") == []
