"""`demo --hub`: every step is a command through the real client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hf_select", "demo", "--hub", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_over_http(tmp_path: Path) -> None:
    done = demo(tmp_path, "--top", "3", "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    steps = {step["name"]: step for step in document["steps"]}
    assert list(steps) == ["crawl", "publish", "publish again", "pull", "select", "push", "load"]
    assert "26 of 32 models accepted" in steps["crawl"]["output"]
    assert steps["publish"]["requests"]["commit"] == 2  # what is to be uploaded, and the commit
    assert "commit" not in steps["publish again"]["requests"]
    assert document["record"]["repo"] == "lab/fine-tunings"
    assert document["record"]["bytes"] < 300_000
    assert steps["push"]["bytes_up"] > 900_000
    assert document["winner"]["model"].startswith("hf-select/resnet")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = demo(tmp_path, "--out", str(tmp_path), "--json")
    assert refused.returncode == 2
    assert "is not empty" in json.loads(refused.stdout)["error"]["message"]
    assert demo(tmp_path, "--policy", "halving").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
