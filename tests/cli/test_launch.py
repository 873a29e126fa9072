"""`select` under a launcher with two processes: one answer, whoever has trained what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_text_csv
from tinyzoo import MODELS, RECIPE, tiny_catalog

from hf_select import pipeline
from hf_select.tasks.data import load_target
from hf_select.training.footprint import footprint

LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    pipeline.benchmark(
        folder / "record", tiny_catalog(folder), recipe=RECIPE, jobs=2, max_cells=8, proxies=()
    )
    tiny_text_csv(folder / "target.csv", 90, seed=3)
    return folder


def select(record: Path, out: Path, *options: str, launcher: list[str] | None = None) -> dict:
    command = [*(launcher or [sys.executable]), "-m", "hf_select", "select"]
    command += [str(record / "target.csv"), "--results", str(record / "record"), "--json"]
    command += ["--catalog", str(record / "catalog.json"), "--top", "4", "--out", str(out)]
    done = subprocess.run(
        [*command, *options],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()
    document: dict = json.loads(done.stdout)
    return document


@pytest.mark.slow
def test_processes_that_share_the_candidates_choose_as_one_does(
    record: Path, tmp_path: Path
) -> None:
    """Each candidate is trained by one process, as without a launcher: bit by bit."""
    policy = ("--policy", "halving")
    one = select(record, tmp_path / "one", *policy)
    two = select(record, tmp_path / "two", *policy, launcher=LAUNCHER)
    assert (one["num_processes"], two["num_processes"]) == (1, 2)
    for key in ("model", "val", "test"):
        assert two["winner"][key] == one["winner"][key]
    seen = [[{**rung["val"]} for rung in document["rungs"]] for document in (one, two)]
    assert seen[0] == seen[1]
    weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("one", "two")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "two" / ".select").exists()


@pytest.mark.slow
def test_processes_that_train_each_candidate_together(record: Path, tmp_path: Path) -> None:
    limits = ("--budget", "10m", "--top", "3")
    one = select(record, tmp_path / "one", *limits)
    two = select(
        record,
        tmp_path / "two",
        *limits,
        "--parallel",
        "data",
        "--processes",
        "2",
        launcher=LAUNCHER,
    )
    assert two["num_processes"] == 2
    assert (tmp_path / "two" / "model.safetensors").exists()
    assert two["winner"]["test"] == pytest.approx(one["winner"]["test"], abs=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mean", "hybrid"])
def test_processes_rule_the_same_models_out_for_want_of_memory(
    record: Path, tmp_path: Path, method: str
) -> None:
    target = load_target(record / "target.csv")
    takes = [footprint(record / "models" / name, target, RECIPE).total for name in MODELS]
    limit = ("--method", method, "--max-memory", str((min(takes) + max(takes)) // 2))
    one = select(record, tmp_path / "one", *limit, "--policy", "halving")
    two = select(record, tmp_path / "two", *limit, "--policy", "halving", launcher=LAUNCHER)
    assert {row["limit"] for row in two["excluded"]} == {"max-memory"}
    for key in ("model", "val", "test"):
        assert two["winner"][key] == one["winner"][key]
    ruled_out = [sorted(row["model"] for row in document["excluded"]) for document in (one, two)]
    assert ruled_out[0] == ruled_out[1]


@pytest.mark.slow
def test_the_forecast_trains_as_many_at_once_as_there_are_processes(
    record: Path, tmp_path: Path
) -> None:
    two = select(record, tmp_path / "two", launcher=LAUNCHER)
    assert two["settings"]["policy"] == "trend"
    assert two["winner"]["test"] > 0


def test_another_number_of_processes_than_was_asked_for(record: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hf_select", "select", str(record / "target.csv")]
    command += ["--results", str(record / "record"), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        [*command, "--processes", "2"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "2 processes were asked for, but 1 is running" in error["message"]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["jobs", "data"])
def test_a_benchmark_whose_curves_are_logged_ends_as_well(
    record: Path, tmp_path: Path, way: str
) -> None:
    """The tracker wants a state of Accelerate's, which must not be another group of processes."""
    command = [*LAUNCHER, "-m", "hf_select", "benchmark", "--results", str(tmp_path / "record")]
    command += ["--catalog", str(record / "catalog.json"), "--epochs", "1", "--no-proxies"]
    command += ["--max-cells", "2", "--parallel", way, "--log-with", "tensorboard"]
    done = subprocess.run(
        command,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert len(list((tmp_path / "record" / ".work" / "tracking").iterdir())) == 2
