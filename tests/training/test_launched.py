"""A benchmark under a launcher: two processes that share the cells, or train each together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import launched_script
import numpy as np
import psutil
import pytest
import tinytrial

from hf_select.results.repo import ResultsRepo
from hf_select.training.benchmark import run_benchmark
from hf_select.training.events import BenchmarkEvent

SCRIPT = Path(launched_script.__file__)
RECIPE = replace(tinytrial.RECIPE, precision="no")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    made = tinytrial.make_catalog(folder, dropout=0.0)
    made.save(folder / "catalog.json")
    return made


@pytest.fixture(scope="module")
def alone(catalog, tmp_path_factory):
    """What one process makes of the cells."""
    repo = ResultsRepo.open_or_create(tmp_path_factory.mktemp("alone") / "results")
    run_benchmark(catalog, repo, RECIPE, jobs=2)
    return by_cell(repo.path)


def by_cell(results):
    runs = ResultsRepo.open(results).runs()
    return {(run.key.model, run.key.dataset, run.key.seed): run for run in runs}


def events(results):
    lines = (results / ".work" / "events.jsonl").read_text().splitlines()
    return [BenchmarkEvent.from_json(line) for line in lines]


def start(catalog, folder, *, trouble=None, launcher=(), recipe=RECIPE, **options):
    file = Path(catalog.locations["m0"]).parent / "catalog.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "--monitor-interval", "0.05", *launcher, str(SCRIPT)]
    command += [str(file), str(folder / "results"), json.dumps(recipe.to_dict())]
    command += [json.dumps(options), json.dumps(trouble or {})]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def launch(catalog, folder, *, ends_well=True, **options):
    process = start(catalog, folder, **options)
    _, error = process.communicate(timeout=250)
    assert (process.returncode == 0) == ends_well, error
    return error


def summaries(folder):
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def assert_same(run, other, tolerance):
    assert (run.status, other.status) == ("ok", "ok"), (run.reason, other.reason)
    for name in ("epochs", "val_loss", "train_loss"):
        mine, theirs = getattr(run.curve, name), getattr(other.curve, name)
        np.testing.assert_allclose(mine, theirs, rtol=tolerance)


def test_processes_with_jobs_of_their_own_train_each_cell_once(catalog, alone, tmp_path):
    launch(catalog, tmp_path, parallel="jobs")
    found = by_cell(tmp_path / "results")
    assert set(found) == set(alone)
    for cell, run in found.items():  # a process a cell, as without a launcher: bit by bit
        assert_same(run, alone[cell], 0)
        assert run.test == alone[cell].test
    starts = Counter(e.key for e in events(tmp_path / "results") if e.kind == "start")
    assert set(starts.values()) == {1}
    for summary in summaries(tmp_path):
        assert (summary["done"], summary["failed"], summary["skipped"]) == (4, 0, 0)


@pytest.mark.slow
def test_processes_that_train_together_come_to_the_same(catalog, alone, tmp_path):
    """The same order of rows, the same effective batch; sums of floats in another order."""
    launch(catalog, tmp_path, parallel="data")
    found = by_cell(tmp_path / "results")
    assert set(found) == set(alone)
    for cell, run in found.items():
        assert_same(run, alone[cell], 5e-3)
        assert run.test == pytest.approx(alone[cell].test, abs=2 / 23)
    assert [s["done"] for s in summaries(tmp_path)] == [4, 4]
    work = tmp_path / "results" / ".work"
    for name in ("attempts", "trials", "locks", "finished"):
        assert not list((work / name).iterdir())


@pytest.mark.slow
def test_where_one_dies_all_end_and_it_is_noted(catalog, tmp_path):
    trouble = {"kill": [1, "m0", 0.2, 1]}
    options = {"parallel": "data", "max_cells": 1}
    launch(catalog, tmp_path, trouble=trouble, ends_well=False, **options)
    assert not by_cell(tmp_path / "results")
    (noted,) = (tmp_path / "results" / ".work" / "attempts").iterdir()
    assert json.loads(noted.read_text())["begun"] == 1
    for process in psutil.process_iter(["cmdline"]):
        assert str(tmp_path) not in (process.info["cmdline"] or [])
    (started,) = [e for e in events(tmp_path / "results") if e.kind == "start"]
    assert started.epoch == 0


@pytest.mark.slow
def test_what_one_of_them_meets_alone_they_all_know_and_the_others_cells_go_on(catalog, tmp_path):
    """The Hub is away for one process, and only while it loads: none of them waits for another."""
    only = {"parallel": "data", "trouble": {"away": [1, "m1"]}}
    launch(catalog, tmp_path, **only)
    found = by_cell(tmp_path / "results")
    assert set(found) == {("m0", "d0", 0), ("m0", "d1", 0)}
    for summary in summaries(tmp_path):
        assert (summary["done"], summary["failed"]) == (2, 0)
    undone = summaries(tmp_path)[0]["undone"]
    assert [e["reason"] for e in undone] == ["the Hub can't be reached"] * 2


@pytest.mark.slow
def test_a_fault_in_a_models_own_code_is_recorded_with_its_words(catalog, tmp_path):
    restarts = ("--max-restarts", "5")
    options = {"parallel": "data", "trouble": {"raise": "m0"}, "max_cells": 1}
    launch(catalog, tmp_path, launcher=restarts, **options)
    (run,) = by_cell(tmp_path / "results").values()
    assert (run.status, run.reason) == (
        "failed",
        "its processes died 2 times: ValueError: 3.5 heads",
    )


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [{"slow": 0.3}, {"hang": [1, "m0"]}])
def test_one_that_takes_too_long_has_that_status(catalog, tmp_path, trouble):
    """Be it slow, or so that it never answers again."""
    restarts = ("--max-restarts", "5")
    options = {"parallel": "data", "trouble": trouble, "max_cells": 1, "timeout": 2.0}
    launch(catalog, tmp_path, launcher=restarts, **options)
    (run,) = by_cell(tmp_path / "results").values()
    assert (run.status, run.reason) == ("timeout", "took longer than 2 seconds")


@pytest.mark.slow
def test_where_one_dies_all_end_and_the_same_command_goes_on(catalog, alone, tmp_path):
    trouble = {"kill": [1, "m1", 1.0, 1]}
    launch(catalog, tmp_path, parallel="data", trouble=trouble, ends_well=False)
    killed_at = len(events(tmp_path / "results"))
    assert len(by_cell(tmp_path / "results")) < 4
    launch(catalog, tmp_path, parallel="data", trouble=trouble)
    found = by_cell(tmp_path / "results")
    assert set(found) == set(alone)
    for cell, run in found.items():
        assert_same(run, alone[cell], 5e-3)
    resumed = [e.epoch for e in events(tmp_path / "results")[killed_at:] if e.kind == "start"]
    assert resumed[0] >= 1.0


@pytest.mark.slow
def test_a_cell_whose_processes_die_twice_is_recorded_and_the_others_go_on(catalog, tmp_path):
    """By the launcher's own restarts: nobody has to call again."""
    trouble = {"kill": [1, "m1", 0.2, 99]}
    restarts = ("--max-restarts", "6")
    launch(catalog, tmp_path, parallel="data", trouble=trouble, launcher=restarts)
    found = by_cell(tmp_path / "results")
    assert {cell: run.status for cell, run in found.items()} == {
        ("m0", "d0", 0): "ok",
        ("m0", "d1", 0): "ok",
        ("m1", "d0", 0): "failed",
        ("m1", "d1", 0): "failed",
    }
    assert "its processes died 2 times" in found["m1", "d0", 0].reason
    assert (tmp_path / "kills").read_text() == "xxxx"


@pytest.mark.slow
def test_out_of_memory_in_one_process_means_smaller_parts_for_all(catalog, alone, tmp_path):
    trouble = {"oom": [1, 1]}  # of 4 rows: 2 don't fit either
    restarts = ("--max-restarts", "20")
    options = {"parallel": "data", "max_cells": 1}
    launch(catalog, tmp_path, trouble=trouble, launcher=restarts, **options)
    for cell, run in by_cell(tmp_path / "results").items():
        assert_same(run, alone[cell], 5e-3)
        assert run.reason == "in parts of 1 rows to fit memory"


@pytest.mark.slow
def test_terminated_they_save_and_the_same_command_goes_on(catalog, alone, tmp_path):
    process = start(catalog, tmp_path, parallel="data", trouble={"slow": 0.15})
    results = tmp_path / "results"

    def one_is_done_and_another_begun():
        if not (results / ".work" / "events.jsonl").exists():
            return False
        seen = events(results)
        return seen[-1].kind == "point" and any(e.kind == "done" for e in seen)

    end = time.monotonic() + 200
    while not one_is_done_and_another_begun():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert any(e.kind == "stopped" for e in events(results))
    stopped_at = len(events(results))
    launch(catalog, tmp_path, parallel="data")
    found = by_cell(results)
    for cell, run in found.items():
        assert_same(run, alone[cell], 5e-3)
    assert next(e.epoch for e in events(results)[stopped_at:] if e.kind == "start") > 0
