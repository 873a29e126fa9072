import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import job_functions
import numpy as np
import pytest
import tinytrial
import torch

from hf_select.errors import HubError, InputError, RecordError, StoppedError
from hf_select.files import claimed
from hf_select.foreign_metrics import ALLOW, FROM
from hf_select.records import LearningCurve, Recipe, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark, cell_job, machine
from hf_select.training.benchmark import run_benchmark
from hf_select.training.cell_job import record_from_dict, record_to_dict, run_cell
from hf_select.training.cells import Cell, check_arguments, check_timeout, missing_cells
from hf_select.training.events import BenchmarkEvent, EventTail
from hf_select.training.executors.base import Job
from hf_select.training.executors.board import Board
from hf_select.training.executors.engine import Engine
from hf_select.training.executors.job import remote_job

SCRIPT = Path(__file__).with_name("benchmark_script.py")
RECIPE = tinytrial.RECIPE
WAIT = 400.0  # seconds; a few are enough on a machine that is not overloaded


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return tinytrial.make_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def repo(tmp_path):
    return ResultsRepo.open_or_create(tmp_path / "results")


def events(results):
    lines = (Path(results) / ".work" / "events.jsonl").read_text().splitlines()
    return [BenchmarkEvent.from_json(line) for line in lines]


def curves(results):
    """What must be the same however often the work was interrupted."""
    found = {}
    for run in ResultsRepo.open(results).runs():
        c = run.curve
        numbers = [c.epochs, c.val, c.val_loss, c.train_loss]
        found[run.key] = (run.status, repr(run.test), [np.float64(n).tolist() for n in numbers])
    return found


# ------------------------------------------------------------------------------------- cells


def test_every_model_meets_every_dataset_of_its_task_once_per_seed(catalog, repo):
    cells = missing_cells(catalog, repo, RECIPE, (0, 1))
    assert len(cells) == len({cell.key.id for cell in cells}) == 2 * 2 * 2
    assert [(c.model.repo_id, c.dataset.repo_id) for c in cells[:4]] == [
        ("m0", "d0"),
        ("m1", "d1"),
        ("m0", "d1"),
        ("m1", "d0"),
    ]
    other = replace(catalog.models[0], repo_id="picture", task="image-classification")
    more = replace(catalog, models=(*catalog.models, other))
    assert len(missing_cells(more, repo, RECIPE, (0, 1))) == 8


def test_shards_split_the_cells(catalog, repo):
    whole = {cell.key.id for cell in missing_cells(catalog, repo, RECIPE, range(5))}
    parts = [
        {cell.key.id for cell in missing_cells(catalog, repo, RECIPE, range(5), shard=(i, 3))}
        for i in range(3)
    ]
    assert set().union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)
    with pytest.raises(InputError, match="shard is 3/3"):
        missing_cells(catalog, repo, RECIPE, shard=(3, 3))


def test_a_cell_goes_through_json(catalog, repo):
    for cell in missing_cells(catalog, repo, RECIPE, (3,), submitter="me"):
        again = Cell.from_dict(json.loads(json.dumps(cell.to_dict())))
        assert again == cell
        assert again.key == cell.key


def test_recorded_cells_are_not_missing_and_failed_ones_can_be_retried(catalog, repo):
    cells = missing_cells(catalog, repo, RECIPE)
    record = run_cell(cells[0])
    nan = float("nan")
    failed = [
        replace(record, key=cell.key, status=status, test=nan, reason="x")
        for cell, status in zip(cells[1:], ("timeout", "diverged"), strict=False)
    ]
    repo.append([record, *failed])
    assert missing_cells(catalog, repo, RECIPE) == cells[3:]
    assert missing_cells(catalog, repo, RECIPE, retry_failed=True) == [cells[1], cells[3]]
    other = replace(RECIPE, learning_rate=1e-4)
    assert len(missing_cells(catalog, repo, other)) == 4


# --------------------------------------------------------------------------------- arguments

BAD = [
    ({"jobs": 0}, "`jobs` is 0, but must be at least 1"),
    ({"jobs": -2}, "`jobs` is -2"),
    ({"timeout": 0}, "`timeout` is 0, but must be above 0"),
    ({"timeout": -1.5}, "`timeout` is -1.5"),
    ({"timeout": float("nan")}, "`timeout` is nan"),
    ({"seeds": ()}, "no seeds"),
    ({"seeds": (0, -1)}, "seed is -1, but must be a whole number"),
    ({"seeds": (2**32,)}, "seed is 4294967296"),
    ({"seeds": (1, 0, 1)}, "seed 1 is there twice"),
    ({"checkpoint_every": -1}, "`checkpoint_every` is -1, but must be 0"),
    ({"shard": (2, 2)}, "shard is 2/2"),
    ({"shard": (-1, 2)}, "shard is -1/2"),
    ({"shard": (0, 0)}, "shard is 0/0"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_bad_arguments_are_refused_before_anything_is_written(catalog, repo, bad, words):
    before = sorted(repo.path.rglob("*"))
    with pytest.raises(InputError, match=words):
        check_arguments(**bad)
    with pytest.raises(InputError, match=words):
        run_benchmark(catalog, repo, RECIPE, **bad)
    assert sorted(repo.path.rglob("*")) == before


def test_good_arguments_pass():
    check_arguments()
    check_arguments(seeds=range(3), jobs=1, timeout=0.1, shard=(1, 2), checkpoint_every=0)


def test_arguments_are_checked_without_the_heavy_libraries():
    code = (
        "import sys; from hf_select.training.benchmark import check_arguments; check_arguments();"
        "sys.exit(', '.join({'torch', 'transformers', 'datasets', 'accelerate'} & {*sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == ""


# ---------------------------------------------------------------------------------- one cell


def test_a_cell_becomes_a_record_with_where_it_came_from(catalog, repo):
    seen = []
    cell = missing_cells(catalog, repo, RECIPE)[0]
    record = run_cell(cell, on_event=seen.append)
    assert (record.status, record.reason, record.key) == ("ok", "", cell.key)
    assert record.curve.epochs.tolist() == [0.5, 1.0, 2.0]
    assert 0 <= record.test <= 1
    assert record.baseline == pytest.approx(catalog.datasets[0].baseline)
    assert record.seconds > 0
    assert record.hardware
    assert set(record.versions) == {"torch", "transformers", "accelerate", "datasets", "hf-select"}
    assert record.created.endswith("+00:00")
    assert [(e.kind, e.epoch) for e in seen] == [
        ("start", 0.0),
        ("point", 0.5),
        ("point", 1.0),
        ("point", 2.0),
    ]
    again = record_from_dict(json.loads(json.dumps(record_to_dict(record))))
    assert (again.key, again.curve, again.test) == (record.key, record.curve, record.test)
    assert BenchmarkEvent.from_json(seen[1].to_json()).val == seen[1].val


def test_a_stopped_cell_goes_on_where_it_was(catalog, repo):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    straight = run_cell(cell)
    for steps in (3, 4, 2):
        left = iter([False] * steps)
        with pytest.raises(StoppedError):
            run_cell(cell, stop=lambda left=left: next(left, True))
    seen = []
    record = run_cell(cell, on_event=seen.append)
    assert seen[0].kind == "start"
    assert seen[0].epoch > 1
    assert record.test == straight.test
    for name in ("epochs", "val", "val_loss", "train_loss"):
        np.testing.assert_array_equal(getattr(record.curve, name), getattr(straight.curve, name))


def test_what_can_not_be_trained_is_a_record_with_the_reason(catalog, repo, tmp_path, monkeypatch):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    record = run_cell(replace(cell, model_location=empty))
    assert (record.status, len(record.curve)) == ("failed", 0)
    assert "config.json" in record.reason
    assert np.isnan(record.test)

    record = run_cell(replace(cell, dataset_location=tmp_path / "absent"))
    assert (record.status, np.isnan(record.baseline)) == ("failed", True)
    assert "absent" in record.reason

    hot = replace(RECIPE, learning_rate=1e30, max_grad_norm=0)
    assert run_cell(replace(cell, recipe=hot)).status == "diverged"

    def full(self, folder):
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr("hf_select.training.trial.AccelerateTrial.save", full)
    record = run_cell(replace(cell, checkpoint_every=0))
    assert record.status == "failed"
    assert record.reason.startswith("disk: ")
    assert "No space left" in record.reason


# ------------------------------------------------------------------------------- loaded ahead


def numbers(record):
    curve = [getattr(record.curve, n).tolist() for n in ("epochs", "val", "val_loss", "train_loss")]
    return (record.status, repr(record.test), record.reason, repr(record.baseline), curve)


def test_a_cell_that_was_loaded_ahead_gives_the_same_numbers(catalog, repo):
    for cell in missing_cells(catalog, repo, RECIPE, (0, 3))[:3]:
        plain = run_cell(cell)
        ready = cell_job.prepare_cell(cell.to_dict())["ready"]
        torch.rand(7)  # whatever else was drawn in between
        assert ready.error is None
        assert numbers(run_cell(cell, ready=ready)) == numbers(plain)


def test_loading_ahead_asks_for_no_device(catalog, repo, monkeypatch):
    def asked(*_):
        raise AssertionError("a device was looked for")

    for name in ("is_available", "device_count", "_lazy_init", "current_device"):
        monkeypatch.setattr(torch.cuda, name, asked)
    ready = cell_job.prepare_cell(missing_cells(catalog, repo, RECIPE)[0].to_dict())["ready"]
    assert ready.error is None
    assert not ready.prepared.train_rows.labels.flags.writeable  # mapped from the disk


def test_what_went_wrong_ahead_is_told_by_the_cell_as_ever(catalog, repo, tmp_path):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    (tmp_path / "empty").mkdir()
    broken = tinytrial.make_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\0" * 9)
    no_tokenizer = shutil.copytree(catalog.locations["m0"], tmp_path / "no_tokenizer")
    (no_tokenizer / "tokenizer.json").write_text("{")
    for change in (
        {"model_location": tmp_path / "empty"},
        {"model_location": broken},
        {"model_location": no_tokenizer},
        {"model_location": None},
        {"dataset_location": tmp_path / "absent"},
        {"recipe": replace(RECIPE, max_length=2)},
        {"recipe": replace(RECIPE, precision="fp16")},
    ):
        bad = replace(cell, **change)
        plain = run_cell(bad)
        ready = cell_job.prepare_cell(bad.to_dict())["ready"]
        assert plain.status == "failed"
        assert str(tmp_path) not in plain.reason or "dataset_location" in change
        assert numbers(run_cell(bad, ready=ready)) == numbers(plain)


class Unreached:
    """A Hub that can't be reached, or a bug in what fetches from it."""

    def __init__(self, error):
        self.error = error

    def __call__(self, model):
        raise self.error


def test_what_says_nothing_about_the_model_is_raised_when_it_was_ahead_too(catalog, repo):
    cell = replace(missing_cells(catalog, repo, RECIPE)[0], model_location=None)
    for error in (HubError("no network"), ZeroDivisionError("a bug")):
        argument = cell_job.prepare_cell({**cell.to_dict(), "fetch": Unreached(error)})
        with pytest.raises(type(error), match=str(error)):
            run_cell(cell, ready=argument["ready"])
        with pytest.raises(type(error), match=str(error)):
            run_cell(cell, fetch=Unreached(error))
    argument = cell_job.prepare_cell({**cell.to_dict(), "fetch": Unreached(HubError("no network"))})
    (repo.path / ".work").mkdir(exist_ok=True)
    cell_job.run_job(argument, lambda: False)
    assert [(e.kind, e.reason) for e in events(repo.path)] == [("undone", "no network")]


def test_a_cell_that_is_finished_is_not_loaded(catalog, repo):
    argument = missing_cells(catalog, repo, RECIPE)[0].to_dict()
    cell_job.run_job(argument, lambda: False)
    assert cell_job.prepare_cell(argument) is argument


@pytest.mark.slow
def test_a_benchmark_that_loads_ahead_gives_the_same_record(catalog, repo, tmp_path):
    run_benchmark(catalog, repo, RECIPE, jobs=2)
    other = ResultsRepo.open_or_create(tmp_path / "other")
    engine = Engine("local", {"ahead": "yes"})
    summary = run_benchmark(catalog, other, RECIPE, jobs=1, engine=engine)
    assert (summary.done, summary.failed, summary.skipped) == (4, 0, 0)
    assert curves(other.path) == curves(repo.path)
    for name in ("trials", "finished", "locks", "logs"):
        assert not list((other.path / ".work" / name).iterdir())


def test_engines_say_yes_or_no_to_loading_ahead():
    Engine("local", {"ahead": "no"}).check()
    with pytest.raises(InputError, match="ahead is 'maybe', but must be yes or no"):
        Engine("local", {"ahead": "maybe"}).check()


# ------------------------------------------------------------------------------- how fast it was


def test_jobs_tell_how_fast_they_were_and_the_summary_adds_it_up(catalog, repo):
    only = catalog.only(datasets=["d0"])
    seen = []
    summary = run_benchmark(only, repo, RECIPE, on_event=seen.append, jobs=2)
    whole = summary.throughput
    assert (whole.jobs, whole.samples) == (2, 2 * 2 * 52)
    assert 0 < whole.step_seconds < whole.job_seconds < 2 * summary.seconds
    assert 0 < whole.outside_share < 1
    assert 0 < whole.padding_share < 0.7
    told = [event.throughput for event in seen if event.kind == "done"]
    assert told[0] + told[1] == whole
    assert [e.throughput for e in events(repo.path) if e.kind == "done"] == told
    assert run_benchmark(only, repo, RECIPE).throughput is None


def test_a_finished_record_without_its_speed_is_taken_in(catalog, repo):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    leave_finished(cell, status="ok", test=0.5)
    run = collector(repo, [cell])
    assert (run.done, run.throughput) == (1, None)


def test_an_event_of_another_version_is_read(catalog):
    event = BenchmarkEvent("point", "k", "m", "d", epoch=1.0)
    more = {**json.loads(event.to_json()), "mood": "fine", "throughput": {"later": 1}}
    assert BenchmarkEvent.from_json(json.dumps(more)) == BenchmarkEvent.from_json(event.to_json())


def test_lines_that_can_not_be_read_are_left_out(tmp_path):
    tail = EventTail(tmp_path)
    good = BenchmarkEvent("undone", "k", "m", "d", reason="x")
    lines = [b'{"kind": "po{"kind": "point"', b"\xff\xfe", b"[1]", b'{"kind": "start"}', b"", b"7"]
    with (tmp_path / "events.jsonl").open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
        file.write((good.to_json() + "\n").encode())
        file.write(b'{"kind": "not ended yet')
    assert [e.reason for e in tail.read()] == ["x"]
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'", "key": "k", "model": "m", "dataset": "d"}\n')
    assert [e.kind for e in tail.read()] == ["not ended yet"]


def test_a_record_is_made_where_the_package_runs_from_its_sources(catalog, repo, monkeypatch):
    """As in a job on another machine that only has the code."""

    def only_others(name):
        if name == "hf-select":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("hf_select.environment.version", only_others)
    machine.versions.cache_clear()
    try:
        assert run_cell(missing_cells(catalog, repo, RECIPE)[0]).versions["hf-select"] == (
            "not installed"
        )
    finally:
        machine.versions.cache_clear()


# ---------------------------------------------------------------------------- all that are missing


def test_a_benchmark_fills_the_record_and_does_it_once(catalog, repo, tmp_path):
    broken = tinytrial.make_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\0" * 9)
    entry = replace(catalog.models[0], repo_id="broken")
    more = replace(
        catalog,
        models=(*catalog.models, entry),
        locations={**catalog.locations, "broken": broken},
    )
    seen = []
    summary = run_benchmark(more, repo, RECIPE, on_event=seen.append)
    assert (summary.done, summary.failed, summary.skipped) == (4, 2, 0)
    assert {run.status for run in repo.runs() if run.key.model == "broken"} == {"failed"}
    assert all(run.reason for run in repo.runs(status="failed"))
    assert len(repo.keys("ok")) == 4
    assert {e.repo_id for e in repo.models()} == {"m0", "m1", "broken"}
    assert not any(np.isnan(e.baseline) for e in repo.datasets())
    assert repo.recipe(RECIPE.digest()) == RECIPE
    assert Counter(e.kind for e in seen) == {"start": 4, "point": 12, "done": 4, "failed": 2}
    assert [e.to_json() for e in seen] == [e.to_json() for e in events(repo.path)]
    work = repo.path / ".work"
    for name in ("trials", "finished", "locks", "logs"):
        assert not list((work / name).iterdir())

    before = curves(repo.path)
    again = run_benchmark(more, repo, RECIPE)
    assert (again.done, again.failed, again.skipped) == (0, 0, 6)
    assert curves(repo.path) == before

    shutil.copy(catalog.locations["m0"] / "model.safetensors", broken)
    retried = run_benchmark(more, repo, RECIPE, retry_failed=True)
    assert (retried.done, retried.failed, retried.skipped) == (2, 0, 4)
    assert len(repo.keys("ok")) == 6


def test_a_cell_that_another_process_holds_is_left_alone(catalog, repo):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    with claimed(cell.lock_file) as mine:
        assert mine
        cell_job.run_job(cell.to_dict(), lambda: False)
    assert not (cell.work / "finished").exists()
    cell_job.run_job(cell.to_dict(), lambda: False)
    finished = cell.work / "finished" / f"{cell.key.id}.json"
    written = finished.stat().st_mtime_ns
    cell_job.run_job(cell.to_dict(), lambda: False)
    assert finished.stat().st_mtime_ns == written


def test_a_result_that_was_written_before_a_kill_is_taken_in_and_not_trained(catalog, repo):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    cell_job.run_job(cell.to_dict(), lambda: False)
    only = catalog.only(models=["m0"], datasets=["d0"])
    summary = run_benchmark(only, repo, RECIPE)
    assert (summary.done, summary.skipped, summary.throughput) == (0, 1, None)
    assert repo.keys("ok") == {cell.key.id}


def leave_finished(cell, **values):
    """A record that a job has left, and nobody has taken in yet."""
    nan = float("nan")
    values = {"status": "failed", "test": nan, "reason": "x", **values}
    record = RunRecord(
        key=cell.key,
        task=cell.dataset.task,
        metric=cell.dataset.metric,
        curve=LearningCurve.empty(),
        **values,
    )
    path = cell.work / "finished" / f"{cell.key.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record_to_dict(record)))
    return path


def collector(repo, cells):
    run = benchmark._Run(
        repo, repo.path / ".work", RECIPE, {c.key.id: c for c in cells}, False, lambda event: None
    )
    run.collect()
    return run


def test_what_another_shard_has_finished_is_left_to_it(catalog, repo):
    mine, other = missing_cells(catalog, repo, RECIPE)[:2]
    paths = [leave_finished(cell, status="ok", test=0.5) for cell in (mine, other)]
    run = collector(repo, [mine])
    assert (run.done, run.failed) == (1, 0)
    assert [path.exists() for path in paths] == [False, True]
    assert repo.keys() == {mine.key.id}
    run = collector(repo, [other])
    assert (run.done, run.failed) == (1, 0)
    assert repo.keys() == {mine.key.id, other.key.id}
    assert [e.repo_id for e in repo.models()] == ["m0", "m1"]
    assert [(e.kind, e.key) for e in events(repo.path)] == [
        ("done", mine.key.id),
        ("done", other.key.id),
    ]


def test_a_record_that_somebody_else_takes_in_at_that_moment_is_theirs(catalog, repo, monkeypatch):
    cells = missing_cells(catalog, repo, RECIPE)
    gone = leave_finished(cells[0])
    gone.unlink()
    gone.symlink_to("taken")  # listed, but not there to be read
    taken, mine = leave_finished(cells[1]), leave_finished(cells[2])
    append = repo.append

    def meanwhile(*values, **more):
        taken.unlink()
        return append(*values, **more)

    monkeypatch.setattr(repo, "append", meanwhile)
    run = collector(repo, cells)
    assert run.failed == 1
    assert not mine.exists()
    assert [e.key for e in events(repo.path)] == [cells[2].key.id]


def test_each_config_of_a_data_set_gets_its_own_baseline(catalog, repo):
    data = catalog.datasets[0]
    configs = tuple(replace(data, config=c, baseline=float("nan")) for c in ("a", "b", "c"))
    cells = missing_cells(replace(catalog, datasets=configs), repo, RECIPE)
    scores = {"a": 0.25, "b": 0.75}
    for cell in cells:
        if cell.dataset.config in scores:
            leave_finished(cell, baseline=scores[cell.dataset.config])
    collector(repo, cells)
    assert {e.config: e.baseline for e in repo.datasets()} == scores


def test_a_job_that_dies_or_hangs_is_recorded_and_the_others_go_on(catalog, repo, monkeypatch):
    monkeypatch.setattr(benchmark, "run_job", job_functions.die_for_m1)
    summary = run_benchmark(catalog, repo, RECIPE, timeout=20)
    assert (summary.done, summary.failed) == (2, 2)
    reasons = {run.key.model: run.reason for run in repo.runs(status="failed")}
    assert set(reasons) == {"m1"}
    assert "SIGSEGV" in reasons["m1"]


def test_a_job_that_hangs_is_recorded(catalog, repo, monkeypatch):
    monkeypatch.setattr(benchmark, "run_job", job_functions.hang)
    only = catalog.only(models=["m0"], datasets=["d0"])
    summary = run_benchmark(only, repo, RECIPE, timeout=0.5)
    assert (summary.done, summary.failed) == (0, 1)
    (run,) = repo.runs()
    assert (run.status, run.reason) == ("timeout", "took longer than 0.5 seconds")


def test_a_folder_that_can_not_be_written_is_an_error_before_any_training(catalog, repo):
    (repo.path / ".work").write_text("a file where the folder should be")
    with pytest.raises(RecordError, match="can't be written"):
        run_benchmark(catalog, repo, RECIPE)


def test_a_full_disk_under_the_store_stops_and_keeps_the_results(catalog, repo, monkeypatch):
    cell = missing_cells(catalog, repo, RECIPE)[0]
    cell_job.run_job(cell.to_dict(), lambda: False)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(repo, "append", full)
        with pytest.raises(StoppedError, match="No space left"):
            run_benchmark(catalog, repo, RECIPE)
    only = catalog.only(models=["m0"], datasets=["d0"])
    assert run_benchmark(only, repo, RECIPE).skipped == 1


# -------------------------------------------------------------------------------------- kills


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Cells of 80 steps, and what comes out of them undisturbed."""
    folder = tmp_path_factory.mktemp("long")
    catalog = tinytrial.make_catalog(folder, train=160)
    catalog.save(folder / "catalog.json")
    recipe = replace(RECIPE, epochs=4)
    undisturbed = ResultsRepo.open_or_create(folder / "undisturbed")
    run_benchmark(catalog, undisturbed, recipe)
    return folder / "catalog.json", recipe, curves(undisturbed.path)


def start(catalog: Path, results: Path, recipe: Recipe, *flags: str, **options):
    command = [sys.executable, str(SCRIPT), str(catalog), str(results)]
    command += [json.dumps(recipe.to_dict()), json.dumps({"checkpoint_every": 0, **options})]
    command += flags
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_until(condition, process):
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"not reached: {process.communicate()}")


def in_the_middle(results):
    """One cell is done and another one is half way."""

    def reached():
        if not (results / ".work" / "events.jsonl").exists():
            return False
        seen = events(results)
        done = any(e.kind == "done" for e in seen)
        trained = {e.key for e in seen if e.epoch == 4}
        return done and any(e.epoch == 1 and e.key not in trained for e in seen)

    return reached


def check_nothing_was_trained_twice(results, killed_at):
    seen = events(results)
    points = Counter((e.key, e.epoch) for e in seen if e.kind == "point")
    assert set(points.values()) == {1}
    assert all(count == 1 for count in Counter(e.key for e in seen if e.kind == "done").values())
    done_before = {e.key for e in seen[:killed_at] if e.kind == "done"}
    assert done_before
    assert not done_before & {e.key for e in seen[killed_at:]}
    resumed = [e.epoch for e in seen[killed_at:] if e.kind == "start"]
    assert any(epoch > 0 for epoch in resumed)


@pytest.mark.slow
@pytest.mark.timeout(3 * WAIT)
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_in_the_middle_the_same_command_goes_on(long, tmp_path):
    catalog, recipe, expected = long
    results = tmp_path / "results"
    process = start(catalog, results, recipe, "slowly", jobs=2)
    wait_until(in_the_middle(results), process)
    process.kill()
    process.communicate()
    time.sleep(1.0)  # the jobs notice within milliseconds; nothing may be written after that
    killed_at = len(events(results))
    before = curves(results)
    assert 0 < len(before) < 4
    time.sleep(0.5)
    assert len(events(results)) == killed_at
    again = start(catalog, results, recipe, jobs=2)
    _, error = again.communicate(timeout=WAIT)
    assert again.returncode == 0, error
    assert curves(results) == expected
    assert {key: value for key, value in curves(results).items() if key in before} == before
    check_nothing_was_trained_twice(results, killed_at)


@pytest.mark.slow
@pytest.mark.timeout(3 * WAIT)
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_terminated_it_saves_and_says_that_it_can_go_on(long, tmp_path):
    catalog, recipe, expected = long
    results = tmp_path / "results"
    process = start(catalog, results, recipe, "slowly", jobs=2, checkpoint_every=1000)
    wait_until(in_the_middle(results), process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=WAIT)
    assert process.returncode == 3
    assert "stopped by SIGTERM" in error
    assert "run the same command again" in error
    killed_at = len(events(results))
    again = start(catalog, results, recipe, jobs=2)
    _, error = again.communicate(timeout=WAIT)
    assert again.returncode == 0, error
    assert curves(results) == expected
    check_nothing_was_trained_twice(results, killed_at)


# ------------------------------------------------------------------------------------- shards


@pytest.mark.slow
@pytest.mark.timeout(3 * WAIT)
def test_two_processes_share_the_work_by_shards(catalog, repo, tmp_path):
    catalog.save(tmp_path / "catalog.json")
    parts = [
        {c.key.id for c in missing_cells(catalog, repo, RECIPE, (0, 1), shard=(i, 2))}
        for i in range(2)
    ]
    assert all(parts)
    both = [
        start(tmp_path / "catalog.json", repo.path, RECIPE, jobs=1, seeds=[0, 1], shard=[i, 2])
        for i in range(2)
    ]
    for process, part in zip(both, parts, strict=True):
        output, error = process.communicate(timeout=WAIT)
        assert process.returncode == 0, error
        summary = json.loads(output)
        assert (summary["done"], summary["failed"]) == (len(part), 0)
    whole = ResultsRepo.open(repo.path)
    assert whole.keys("ok") == parts[0] | parts[1]
    assert whole.verify() == []
    assert not whole.disagreements()
    assert [e.repo_id for e in whole.models()] == ["m0", "m1"]
    assert [e.repo_id for e in whole.datasets()] == ["d0", "d1"]
    assert whole.recipe(RECIPE.digest()) == RECIPE
    assert Counter(e.key for e in events(repo.path) if e.kind == "done") == Counter(whole.keys())
    assert not list((repo.path / ".work" / "finished").iterdir())


# ---------------------------------------------------------------------------------- time-outs


def test_a_time_out_in_which_no_epoch_fits_is_refused_by_what_is_known(catalog, repo):
    cells = missing_cells(catalog, repo, RECIPE)
    run = run_cell(cells[0])
    epoch = run.curve.seconds[-1] / run.curve.epochs[-1]
    check_timeout(cells, [], 1e-9)  # nothing is known
    check_timeout(cells, [run], 10 * epoch)
    with pytest.raises(InputError, match="shorter than an epoch of") as error:
        check_timeout(cells[:1], [run], epoch / 10)
    assert f"{cells[0].model.repo_id} on {cells[0].dataset.repo_id}" in error.value.message
    with pytest.raises(InputError, match="and 2 more such cells"):  # no less than what was run
        check_timeout(cells[1:], [run], epoch / 10)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_metric_that_may_not_run_or_is_not_there_is_no_failure_of_the_model(
    catalog, repo, allowed, monkeypatch, tmp_path
):
    if allowed:
        monkeypatch.setenv(ALLOW, "1")
    cell = missing_cells(catalog, repo, RECIPE)[0]
    entry = replace(cell.dataset, metric=f"evaluate:{tmp_path}/none:better=higher")
    (repo.path / ".work").mkdir(exist_ok=True)
    cell_job.run_job(replace(cell, dataset=entry).to_dict(), lambda: False)
    assert not cell.finished_file.exists()
    (event,) = events(repo.path)
    assert event.kind == "undone"
    assert ("there is no metric" if allowed else "a program that would be run") in event.reason


def test_jobs_on_other_machines_get_the_leave_and_the_place_of_metrics(tmp_path, monkeypatch):
    board = Board.beside(tmp_path / "logs")
    board.make()

    def sent():
        how = {"board": board, "logs": tmp_path, "threads": 1, "gpu": False}
        return remote_job(cell_job.run_job, Job("a", {}), **how).environment

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ALLOW, raising=False)
    assert ALLOW not in sent()
    monkeypatch.setenv(ALLOW, "1")
    assert (sent()[ALLOW], sent()[FROM]) == ("1", str(tmp_path))
    board.remove()
