"""SIGKILL and Ctrl-C in the middle of `select`: the same command goes on, with the same result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tinyzoo import benchmarked_zoo

pytestmark = pytest.mark.skipif(os.name == "nt", reason="real POSIX signals")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny zoo with a record of one seed and a target."""
    return benchmarked_zoo(tmp_path_factory)


def start(zoo: Path, out: Path) -> subprocess.Popen[bytes]:
    """`hf-select select` as a process of its own, a checkpoint after every step."""
    command = [sys.executable, "-m", "hf_select", "select", str(zoo / "target.csv"), "--json"]
    command += ["--results", str(zoo / "record"), "--catalog", str(zoo / "catalog.json")]
    command += ["--out", str(out), "--top", "4", "--policy", "fractional-halving"]
    command += ["--checkpoint-every", "0"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_lines(journal: Path, lines: int, process: subprocess.Popen[bytes]) -> None:
    """Until the journal has that many lines."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError(f"{journal} never had {lines} lines")


def outcome(document: dict) -> dict:
    """What must be identical: all but times and folders."""
    winner = {k: v for k, v in document["winner"].items() if k != "checkpoint"}
    curves = {
        model: {key: values for key, values in curve.items() if key != "seconds"}
        for model, curve in document["curves"].items()
    }
    return {"winner": winner, "curves": curves, "rungs": document["rungs"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_selection_goes_on_where_it_was(zoo: Path, tmp_path: Path, kind: signal.Signals) -> None:
    whole = start(zoo, tmp_path / "whole")
    out = tmp_path / "killed"
    journal = out / ".select" / "journal.jsonl"
    first = start(zoo, out)
    wait_for_lines(journal, 2, first)
    first.send_signal(kind)
    stdout, stderr = first.communicate(timeout=120)
    assert first.returncode == (-signal.SIGKILL if kind == signal.SIGKILL else 3), stderr
    if kind == signal.SIGINT:
        assert "same command" in json.loads(stdout)["error"]["hint"]
    assert not (out / "selection.json").exists()
    before = journal.read_bytes()
    before = before[: before.rfind(b"\n") + 1]  # a kill can cut the last line off
    second = start(zoo, out)
    wait_for_lines(journal, before.count(b"\n") + 1, second)
    # What the first process had finished isn't done again: its journal is only continued.
    assert journal.read_bytes().startswith(before)
    stdout, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    expected, stderr = whole.communicate(timeout=120)
    assert whole.returncode == 0, stderr
    assert outcome(json.loads(stdout)) == outcome(json.loads(expected))
    assert (out / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
