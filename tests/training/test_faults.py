"""Kills at named points, and what else can go wrong while a cell is trained: docs/faults.md."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fault_victims
import numpy as np
import pytest
import tinytrial
import torch
from fault_victims import CONTEXT, exit_code
from own_mounts import check_mounts

from hf_select.catalog import Catalog
from hf_select.errors import StoppedError
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark, cell_job, checkpoint
from hf_select.training.benchmark import run_benchmark
from hf_select.training.cell_job import run_cell
from hf_select.training.cells import missing_cells
from hf_select.training.events import BenchmarkEvent
from hf_select.training.trial import AccelerateTrial

KILLED = -signal.SIGKILL
RECIPE = tinytrial.RECIPE
SCRIPT = Path(__file__).with_name("benchmark_script.py")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """One model and one data set."""
    folder = tmp_path_factory.mktemp("catalog")
    tinytrial.make_catalog(folder, models=1, datasets=1).save(folder / "catalog.json")
    return folder / "catalog.json"


@pytest.fixture
def cell(catalog, tmp_path):
    repo = ResultsRepo.open_or_create(tmp_path / "results")
    benchmark.work_folder(repo)
    return missing_cells(Catalog.load(catalog), repo, RECIPE, checkpoint_every=0)[0]


def events(results, kind):
    lines = (Path(results) / ".work" / "events.jsonl").read_text().splitlines()
    return [e for e in map(BenchmarkEvent.from_json, lines) if e.kind == kind]


def go_on(catalog, cell):
    """The same command once more: the record has the cell, once."""
    repo = ResultsRepo.open(cell.results)
    summary = run_benchmark(Catalog.load(catalog), repo, RECIPE, checkpoint_every=0)
    assert [run.key for run in repo.runs(status="ok")] == [cell.key]
    assert repo.verify() == []
    assert repo.disagreements() == []
    assert not list((cell.work / "trials").iterdir())
    assert not list((cell.work / "finished").glob("*.json"))
    return summary


# ------------------------------------------------------------------ 1: in the middle of an epoch


def test_killed_in_the_middle_of_an_epoch_a_trial_goes_on_bit_by_bit(tmp_path):
    model = tinytrial.make_model(tmp_path / "model")  # with drop-out
    data = tinytrial.make_dataset(tmp_path / "data")
    ends = {}
    for name, dies_at in (("straight", 0), ("killed", 5)):
        folder = tmp_path / name
        folder.mkdir()
        code = exit_code(fault_victims.train, model, data, folder, dies_at)
        assert code == (KILLED if dies_at else 0)
    assert not (tmp_path / "killed" / "end.pt").exists()
    assert exit_code(fault_victims.train, model, data, tmp_path / "killed", 0) == 0
    for name in ("straight", "killed"):
        ends[name] = torch.load(tmp_path / name / "end.pt")
    assert [ends[name].pop("began") for name in ("straight", "killed")] == [0, 4]
    assert ends["killed"]["curve"] == ends["straight"]["curve"]
    assert ends["killed"]["test"] == ends["straight"]["test"]
    for name, weights in ends["straight"]["weights"].items():
        assert torch.equal(ends["killed"]["weights"][name], weights), name


# ---------------------------------------------------------------------------- 2: before the rename


@pytest.mark.parametrize(("point", "left"), [("state", [1]), ("rename", [1]), ("remove", [2, 1])])
def test_a_kill_while_a_checkpoint_is_written_leaves_a_whole_one(tmp_path, point, left):
    def steps():
        return [meta["step"] for meta, _ in checkpoint.complete(tmp_path)]

    checkpoint.write(tmp_path, meta={"step": 1}, state={})
    assert exit_code(fault_victims.write_checkpoint, tmp_path, point) == KILLED
    assert steps() == left
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.write(tmp_path, meta={"step": 3}, state={})
    assert steps() == [3]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_kill_before_a_result_is_in_its_place_costs_no_training(catalog, cell):
    assert exit_code(fault_victims.run_job, cell.to_dict(), "rename") == KILLED
    (left,) = (cell.work / "finished").iterdir()
    assert left.name.startswith(".tmp-")
    assert go_on(catalog, cell).done == 1
    assert [e.epoch for e in events(cell.results, "start")] == [0, 2]
    assert [e.epoch for e in events(cell.results, "point")] == [0.5, 1, 2]
    ResultsRepo.open(cell.results).compact()
    assert not left.exists()


# ------------------------------------------------------------------------- 3: the result is written


def test_a_kill_right_after_a_result_is_written_costs_nothing(catalog, cell):
    assert exit_code(fault_victims.run_job, cell.to_dict(), "written") == KILLED
    assert list((cell.work / "finished").glob("*.json"))
    assert go_on(catalog, cell).done == 0  # done by an earlier run
    assert len(events(cell.results, "start")) == len(events(cell.results, "done")) == 1


@pytest.mark.parametrize(("point", "taken_in"), [("append", 0), ("unlink", 1)])
def test_a_kill_while_a_result_is_taken_in_neither_loses_nor_doubles_it(
    catalog, cell, point, taken_in
):
    cell_job.run_job(cell.to_dict(), lambda: False)
    assert exit_code(fault_victims.take_in, catalog, cell.results, point) == KILLED
    assert list((cell.work / "finished").glob("*.json"))
    assert len(ResultsRepo.open(cell.results)) == taken_in
    go_on(catalog, cell)
    assert len(events(cell.results, "start")) == len(events(cell.results, "done")) == 1
    shards = list((cell.results / "inbox").rglob("*.parquet"))
    go_on(catalog, cell)
    assert len(shards) == len(list((cell.results / "inbox").rglob("*.parquet"))) == 4


# ------------------------------------------------------------------------------- 4: the same cell


def test_of_two_jobs_that_begin_the_same_cell_at_once_one_trains_it(catalog, cell):
    barrier = CONTEXT.Barrier(2)
    both = [
        CONTEXT.Process(target=fault_victims.run_job, args=(cell.to_dict(), "", barrier))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(events(cell.results, "start")) == 1
    assert go_on(catalog, cell).skipped == 1
    assert len(events(cell.results, "start")) == 1


def test_a_job_whose_cell_was_taken_in_meanwhile_does_nothing(catalog, cell):
    cell_job.run_job(cell.to_dict(), lambda: False)
    go_on(catalog, cell)
    cell_job.run_job(cell.to_dict(), lambda: False)
    assert len(events(cell.results, "start")) == 1
    assert not list((cell.work / "finished").iterdir())


def test_a_job_that_tries_again_what_failed_does_train_it(cell):
    repo = ResultsRepo.open(cell.results)
    repo.append([replace(run_cell(cell), status="failed", test=float("nan"), reason="x")])
    cell_job.run_job({**cell.to_dict(), "retry_failed": True}, lambda: False)
    assert list((cell.work / "finished").glob("*.json"))


@pytest.mark.slow
def test_two_commands_at_once_with_one_cell_make_one_result(catalog, cell):
    command = [sys.executable, str(SCRIPT), str(catalog), str(cell.results)]
    command += [json.dumps(RECIPE.to_dict()), json.dumps({"jobs": 1, "checkpoint_every": 0})]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    counts = [json.loads(output) for output, _ in outputs]
    assert sum(count["done"] for count in counts) == 1
    assert sum(count["failed"] for count in counts) == 0
    assert len(events(cell.results, "start")) == len(events(cell.results, "done")) == 1
    assert go_on(catalog, cell).skipped == 1


# ----------------------------------------------------------------------- 5: a loss that is none


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("after", "kept"), [(5, [0.5]), (7, [0.5]), (14, [0.5, 1.0])])
def test_a_loss_that_is_not_finite_is_a_record_without_a_score(
    cell, monkeypatch, value, after, kept
):
    """In the middle of the second interval, after its last step, and after the very last one."""
    steps = []

    def poison(self, trial, **how):
        steps.append(trial._step)
        if trial._step == after:
            with torch.no_grad():
                next(trial.module.parameters()).fill_(value)

    monkeypatch.setattr(cell_job._Checkpoints, "__call__", poison)
    record = run_cell(cell)
    assert record.status == "diverged"
    assert np.isnan(record.test)
    assert record.curve.epochs.tolist() == kept
    assert steps[-1] - after < 7  # steps of an epoch


# ------------------------------------------------------------------------------ 6: out of memory


def hungry(monkeypatch, rows):
    """Make a backward pass of more rows run out of memory; returns the sizes that were tried."""
    backward, sizes = AccelerateTrial._backward_parts, []

    def limited(self, parts):
        sizes.append(max(part.rows for part in parts))
        if sizes[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return backward(self, parts)

    monkeypatch.setattr(AccelerateTrial, "_backward_parts", limited)
    return sizes


def test_what_memory_has_made_of_the_batch_is_recorded(cell, monkeypatch):
    sizes = hungry(monkeypatch, 2)
    record = run_cell(cell)
    assert sizes[:4] == [8, 4, 2, 2]
    assert (record.status, record.reason) == ("ok", "in parts of 2 rows to fit memory")
    assert record.curve.epochs.tolist() == [0.5, 1, 2]


def test_a_row_that_does_not_fit_is_a_record_without_a_score(cell, monkeypatch):
    assert hungry(monkeypatch, 0) == []
    record = run_cell(cell)
    assert record.status == "oom"
    assert "a single row" in record.reason
    assert np.isnan(record.test)


# ------------------------------------------------------------------------------------ 12: no room


def test_a_full_disk_under_the_checkpoints_costs_the_cell_that_needs_it(tmp_path):
    """A real one: it takes one checkpoint of m0 and not another beside it, but two of m1."""
    check_mounts()
    catalog = tinytrial.make_catalog(tmp_path, datasets=1)
    shutil.rmtree(tmp_path / "m0")
    tinytrial.make_model(tmp_path / "m0", width=128)
    repo = ResultsRepo.create(tmp_path / "results")
    trials, kept = benchmark.work_folder(repo) / "trials", tmp_path / "kept"
    cells = missing_cells(catalog, repo, RECIPE, checkpoint_every=0)
    size = int(4.5 * (tmp_path / "m0" / "model.safetensors").stat().st_size)
    arguments = [cell.to_dict() for cell in cells]
    assert exit_code(fault_victims.run_jobs_on_a_small_disk, arguments, trials, size, kept) == 0
    assert run_benchmark(catalog, repo, RECIPE).skipped == 2
    runs = {run.key.model: run for run in repo.runs()}
    assert {name: run.status for name, run in runs.items()} == {"m0": "failed", "m1": "ok"}
    assert runs["m0"].reason.startswith("disk: ")
    assert "No space left" in runs["m0"].reason
    assert np.isnan(runs["m0"].test)
    assert [path.name for path in kept.iterdir()] == [runs["m0"].key.id]
    ((meta, _),) = checkpoint.complete(kept / runs["m0"].key.id)
    assert meta["step"] >= 1
    # where there is room again, it goes on from there
    shutil.copytree(kept, trials, dirs_exist_ok=True)
    begun = len(events(repo.path, "start"))
    cell_job.run_job({**arguments[0], "retry_failed": True}, lambda: False)
    assert [e.epoch > 0 for e in events(repo.path, "start")[begun:]] == [True]
    assert run_benchmark(catalog, repo, RECIPE).skipped == 2
    assert len(repo.keys("ok")) == 2
    assert not list(trials.iterdir())


def test_without_room_for_its_result_a_job_stops_and_can_be_gone_on_with(cell, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cell_job, "write_atomic", full)
        with pytest.raises(StoppedError, match="No space left"):
            cell_job.run_job(cell.to_dict(), lambda: False)
    cell_job.run_job(cell.to_dict(), lambda: False)
    assert [e.epoch for e in events(cell.results, "start")] == [0, 2]


def test_a_job_that_stops_unasked_is_no_failure_of_the_model(catalog, cell, monkeypatch):
    repo = ResultsRepo.open(cell.results)
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "run_job", fault_victims.stop)
        with pytest.raises(StoppedError, match="could not be written: 0 cells done, 1 left"):
            run_benchmark(Catalog.load(catalog), repo, RECIPE)
    assert len(repo) == 0
