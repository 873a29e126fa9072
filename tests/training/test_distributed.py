"""Two processes train one model together (gloo on the CPU) as one process would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny

SCRIPT = Path(__file__).with_name("ddp_script.py")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    # 41 rows in batches of 8: the last batch has the left-over row; with 50, two rows
    model = tiny.make_model(folder / "model", dropout=0.0)
    return model, tiny.make_dataset(folder / "data", train=50)


def run(inputs, out, processes, *, pause_at="", expected=None):
    out.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), str(SCRIPT), *map(str, inputs), str(out)]
    command += [pause_at, str(expected or processes)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    if done.returncode:
        return done
    return [json.loads((out / f"rank{i}.json").read_text()) for i in range(processes)]


@pytest.fixture(scope="module")
def two(inputs, tmp_path_factory):
    return run(inputs, tmp_path_factory.mktemp("two") / "out", 2)


@pytest.fixture(scope="module")
def one(inputs, tmp_path_factory):
    return run(inputs, tmp_path_factory.mktemp("one") / "out", 1)[0]


def test_two_processes_train_as_one(one, two):
    assert [r["processes"] for r in two] == [2, 2]
    assert one["processes"] == 1
    assert two[0]["weights"] == two[1]["weights"]
    assert two[0]["test"] == two[1]["test"]
    for name in ("epochs", "val", "val_loss", "train_loss"):
        assert two[0]["curve"][name] == two[1]["curve"][name]
        np.testing.assert_allclose(two[0]["curve"][name], one["curve"][name], rtol=2e-3)
    np.testing.assert_allclose(two[0]["logits"], one["logits"], atol=2e-3)
    assert two[0]["test"] == pytest.approx(one["test"], abs=0.05)


def test_every_row_is_evaluated_once_over_the_processes(one, two):
    assert one["rows"] == two[0]["rows"] == two[1]["rows"] == list(range(21))


@pytest.mark.slow
def test_two_processes_resume_bit_by_bit(inputs, two, tmp_path):
    resumed = run(inputs, tmp_path / "out", 2, pause_at="0.5")
    for rank in range(2):
        assert resumed[rank]["weights"] == two[rank]["weights"]
        assert resumed[rank]["curve"]["val_loss"] == two[rank]["curve"]["val_loss"]


@pytest.mark.slow
def test_a_launcher_that_starts_fewer_is_noticed(inputs, tmp_path):
    failed = run(inputs, tmp_path / "out", 1, expected=2)
    assert failed.returncode != 0
    assert "2 processes were asked for, but 1" in failed.stderr
