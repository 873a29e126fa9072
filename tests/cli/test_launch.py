"""`select` under a launcher with two processes: one answer, trained by both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_text_csv
from tinyzoo import RECIPE, tiny_catalog

from hf_select import pipeline


@pytest.mark.slow
def test_select_with_two_processes(tmp_path: Path) -> None:
    pipeline.benchmark(tmp_path / "record", tiny_catalog(tmp_path), recipe=RECIPE, jobs=2)
    target = tiny_text_csv(tmp_path / "target.csv", 90, seed=3)
    arguments = ["select", str(target), "--results", str(tmp_path / "record"), "--json"]
    arguments += ["--catalog", str(tmp_path / "catalog.json"), "--top", "3", "--budget", "10m"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    documents = {}
    for processes, start in ((1, [sys.executable]), (2, [*launcher, "--nproc_per_node", "2"])):
        done = subprocess.run(
            [*start, "-m", "hf_select", *arguments, "--out", str(tmp_path / f"out{processes}")],
            env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr.decode()
        documents[processes] = json.loads(done.stdout)
        assert documents[processes]["num_processes"] == processes
        assert (tmp_path / f"out{processes}" / "model.safetensors").exists()
    one, two = (documents[n]["winner"] for n in (1, 2))
    assert two["test"] == pytest.approx(one["test"], abs=0.25)
