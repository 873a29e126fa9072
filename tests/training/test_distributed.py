"""Two processes train one model together (gloo on the CPU) as one process would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ddp_script
import numpy as np
import pytest
import tinytrial

SCRIPT = Path(ddp_script.__file__)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    model = tinytrial.make_model(folder / "model", dropout=0.0)
    return model, tinytrial.make_dataset(
        folder / "data", train=51
    )  # the last batch is 3 rows: 2 and 1


def alone(inputs, out, **options):
    out.mkdir()
    ddp_script.main(*inputs, out, **options)
    return json.loads((out / "rank0.json").read_text())


def together(inputs, out, **options):
    out.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", str(SCRIPT), *map(str, inputs), str(out)]
    command += [json.dumps({"processes": 2, **options})]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"rank{i}.json").read_text()) for i in range(2)]


@pytest.fixture(scope="module")
def two(inputs, tmp_path_factory):
    return together(inputs, tmp_path_factory.mktemp("two") / "out")


@pytest.fixture(scope="module")
def one(inputs, tmp_path_factory):
    return alone(inputs, tmp_path_factory.mktemp("one") / "out")


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


@pytest.mark.slow
def test_two_processes_train_as_one_with_rows_grouped_by_length(inputs, one, tmp_path):
    whole = alone(inputs, tmp_path / "one", group_by_length=True)
    shared = together(inputs, tmp_path / "two", group_by_length=True)
    assert whole["weights"] != one["weights"]
    for name in ("val", "val_loss", "train_loss"):
        np.testing.assert_allclose(shared[0]["curve"][name], whole["curve"][name], rtol=2e-3)
    np.testing.assert_allclose(shared[0]["logits"], whole["logits"], atol=2e-3)


def test_every_row_is_evaluated_once_over_the_processes(one, two):
    assert one["rows"] == two[0]["rows"] == two[1]["rows"] == list(range(21))


@pytest.mark.slow
def test_two_processes_resume_bit_by_bit(inputs, two, tmp_path):
    resumed = together(inputs, tmp_path / "out", pause_at=0.5)
    for rank in range(2):
        assert resumed[rank]["weights"] == two[rank]["weights"]
        assert resumed[rank]["curve"]["val_loss"] == two[rank]["curve"]["val_loss"]


@pytest.mark.slow
def test_a_process_without_a_row_changes_nothing(inputs, tmp_path):
    whole = alone(inputs, tmp_path / "one", batch_size=1)
    shared = together(inputs, tmp_path / "two", batch_size=1)
    np.testing.assert_allclose(
        shared[1]["curve"]["train_loss"], whole["curve"]["train_loss"], rtol=5e-3
    )
    np.testing.assert_allclose(shared[1]["weights"], whole["weights"], rtol=0.05, atol=0.05)
