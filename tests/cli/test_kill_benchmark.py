"""`hf-select benchmark` as a process of its own: signals, no room, and what can only be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from own_mounts import with_mounts
from results import made
from tiny import tiny_text_csv, tiny_text_model

from hf_select.catalog import Catalog, local_model
from hf_select.records import ModelEntry, Recipe
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import dataset_entry, load_target
from hf_select.training import checkpoint
from hf_select.training.benchmark import run_benchmark
from hf_select.training.cell_job import run_job
from hf_select.training.cells import missing_cells
from hf_select.training.events import BenchmarkEvent

pytestmark = pytest.mark.skipif(os.name == "nt", reason="real POSIX signals")
TASK = "text-classification"
ROWS = {"long": 2400, "short": 60}
EPOCHS = 3
RECIPE = Recipe(epochs=EPOCHS, global_batch_size=8, max_length=16)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and two data sets: one is there for seconds, the other for no time at all."""
    folder = tmp_path_factory.mktemp("zoo")
    locations = {"ant": tiny_text_model(folder / "ant")}
    for name, rows in ROWS.items():
        locations[name] = tiny_text_csv(folder / f"{name}.csv", rows)
    Catalog(
        models=(replace(local_model(locations["ant"], TASK), repo_id="ant"),),
        datasets=tuple(dataset_entry(load_target(locations[n]), repo_id=n) for n in ROWS),
        locations=locations,
    ).save(folder / "catalog.json")
    return folder / "catalog.json"


def command(catalog: Path, results: Path, data: str, *flags: str) -> list[str]:
    line = [sys.executable, "-m", "hf_select", "benchmark", "--catalog", str(catalog)]
    line += ["--results", str(results), "--datasets", data, "--epochs", str(EPOCHS)]
    return [*line, "--batch-size", "8", "--max-length", "16", "--jobs", "1", "--no-proxies", *flags]


def run(line: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(line, capture_output=True, text=True, timeout=250, env=environment)


def events(results: Path) -> list[BenchmarkEvent]:
    log = results / ".work" / "events.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [BenchmarkEvent.from_json(line) for line in lines]


def in_the_middle(catalog: Path, results: Path, *flags: str) -> subprocess.Popen[str]:
    """The command in a group of its own, as a terminal has it, when an epoch of three is over."""
    process = subprocess.Popen(
        command(catalog, results, "long", *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 200
    while not any(event.epoch == 1 for event in events(results)):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def steps_saved(results: Path) -> list[int]:
    """The step of each checkpoint that can be gone on from."""
    cells = (results / ".work" / "trials").iterdir()
    return [meta["step"] for cell in cells for meta, _ in checkpoint.complete(cell)]


@pytest.mark.slow
def test_terminated_it_saves_and_says_that_it_can_go_on(catalog: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = in_the_middle(catalog, results, "--checkpoint-every", "1000", "--json")
    assert steps_saved(results) == []
    began = time.monotonic()
    process.terminate()
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 3, errors
    assert time.monotonic() - began < 25  # the jobs have 30 seconds of grace, and don't need them
    error = json.loads(output)["error"]
    assert error["type"] == "StoppedError"
    assert "stopped by SIGTERM" in error["message"]
    assert "run the same command again" in error["hint"]
    (step,) = steps_saved(results)
    assert step > max(e.epoch for e in events(results) if e.kind == "point") * 10
    assert events(results)[-1].kind == "stopped"
    assert len(ResultsRepo.open(results)) == 0


def test_ctrl_c_once_saves_and_the_same_command_goes_on(catalog: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = in_the_middle(catalog, results, "--checkpoint-every", "1000")
    os.killpg(process.pid, signal.SIGINT)  # all processes of the terminal get it
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 3, errors
    assert "stopped by SIGINT" in errors
    assert "run the same command again to go on" in errors
    assert len(steps_saved(results)) == 1
    assert ResultsRepo.open(results).verify() == []
    repo = ResultsRepo.open(results)
    only = Catalog.load(catalog).only(datasets=["long"])
    (cell,) = missing_cells(only, repo, RECIPE)
    run_job(cell.to_dict(), lambda: False)
    summary = run_benchmark(only, repo, RECIPE)
    assert (summary.done, summary.skipped) == (0, 1)
    first, second = (e.epoch for e in events(results) if e.kind == "start")
    assert first == 0
    assert second > 1
    points = Counter(e.epoch for e in events(results) if e.kind == "point")
    assert set(points.values()) == {1}
    (record,) = repo.runs(status="ok")
    assert record.curve.epochs[-1] == EPOCHS
    assert not list((results / ".work" / "trials").iterdir())


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once_and_the_record_is_whole(catalog: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    ResultsRepo.create(results).append([made.run()], recipes=[made.RECIPE])
    process = in_the_middle(catalog, results, "--checkpoint-every", "0")
    below = psutil.Process(process.pid).children(recursive=True)
    (job,) = [child for child in below if os.getpgid(child.pid) == child.pid]
    job.suspend()  # it can't save now: only the second Ctrl-C is left
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert time.monotonic() - began < 10
    assert "interrupted" in errors
    assert "the same command goes on" in errors
    assert not psutil.pid_exists(job.pid) or job.status() == psutil.STATUS_ZOMBIE
    repo = ResultsRepo.open(results)
    assert repo.verify() == []
    assert [record.key for record in repo.runs()] == [made.run().key]
    assert max(steps_saved(results)) > 0


# ------------------------------------------------------------------------------------- no room


@pytest.mark.slow
def test_a_full_disk_under_the_record_is_a_stop_that_can_be_gone_on_from(
    catalog: Path, tmp_path: Path
) -> None:
    """A real one, under the folder where new rows go: there is room for a shard, not for all."""
    results = tmp_path / "results"
    ResultsRepo.create(results)
    inbox, copy = results / "inbox", tmp_path / "copy"
    inbox.mkdir()
    script = """
inbox=$1; results=$2; copy=$3; shift 3
mount -t tmpfs -o size=8k none "$inbox"
code=0; "$@" || code=$?
cp -r "$results" "$copy"
exit $code
"""
    line = command(catalog, results, "short")
    done = run(with_mounts(script, str(inbox), str(results), str(copy), *line))
    assert done.returncode == 3, done.stderr
    assert "No space left" in done.stderr
    assert "run the same command again" in done.stderr
    assert len(list((copy / ".work" / "finished").glob("*.json"))) == 1
    assert not list(copy.rglob(".tmp-*"))
    repo = ResultsRepo.open(copy)
    assert repo.verify() == []
    assert len(repo) == 0
    assert list((copy / "inbox").rglob("*.parquet"))  # some shards have found room
    # where there is room, what was trained is only taken in
    run_benchmark(Catalog.load(catalog).only(datasets=["short"]), repo, RECIPE)
    assert [record.status for record in repo.runs()] == ["ok"]
    assert repo.verify() == []
    kinds = Counter(event.kind for event in events(copy))
    assert kinds["start"] == kinds["done"] == 1
    assert not list((copy / ".work" / "finished").iterdir())


@pytest.mark.slow
def test_a_full_disk_under_the_working_files_is_such_a_stop_too(
    catalog: Path, tmp_path: Path
) -> None:
    """The result of a cell that was trained finds no room: that isn't the model's failure."""
    results = tmp_path / "results"
    ResultsRepo.create(results)
    finished = results / ".work" / "finished"
    finished.mkdir(parents=True)
    script = """
finished=$1; shift
mount -t tmpfs -o size=4k none "$finished"
head -c 4096 /dev/zero > "$finished/full"
code=0; "$@" || code=$?
[ $code = 3 ]
rm "$finished/full"
"$@"
"""
    done = run(with_mounts(script, str(finished), *command(catalog, results, "short")))
    assert done.returncode == 0, done.stderr
    assert "run the same command again" in done.stderr
    repo = ResultsRepo.open(results)
    assert repo.verify() == []
    assert [run.status for run in repo.runs()] == ["ok"]


# -------------------------------------------------------------------------------- only to be read

READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "can't be written to" in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("there", [False, True])
def test_a_record_that_can_only_be_read_is_refused_before_any_training(
    catalog: Path, tmp_path: Path, there: bool
) -> None:
    folder = tmp_path / "disk"
    results = folder / "results"
    folder.mkdir()
    if there:
        ResultsRepo.create(results)
    done = run(with_mounts(READ_ONLY, str(folder), *command(catalog, results, "short")))
    refused(done, str(results), "--results")
    assert not (results / ".work").exists()


def test_a_file_in_place_of_the_working_folder_is_refused_too(
    catalog: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    ResultsRepo.create(results)
    (results / ".work").write_text("")
    refused(run(command(catalog, results, "short")), str(results / ".work"))


def test_a_selection_whose_folder_can_only_be_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    target = tiny_text_csv(tmp_path / "target.csv", 60)
    line = [sys.executable, "-m", "hf_select", "select", str(target), "--results", "demo"]
    line += ["--out", str(folder / "out")]
    refused(run(with_mounts(READ_ONLY, str(folder), *line)), str(folder / "out"), "--out")
    blocked = tmp_path / "file"
    blocked.write_text("")
    line[-1] = str(blocked / "out")
    refused(run(line), str(blocked))


@pytest.fixture
def from_hub(catalog: Path, tmp_path: Path) -> Path:
    """A catalog whose model nobody has here."""
    there = Catalog.load(catalog).only(datasets=["short"])
    model = ModelEntry("somebody/something", f"{7:040x}", TASK)
    locations = {"short": there.locations["short"]}
    Catalog((model,), there.datasets, (), locations).save(tmp_path / "catalog.json")
    return tmp_path / "catalog.json"


@pytest.mark.parametrize("how", ["mount", "file"])
def test_a_cache_that_can_not_be_written_is_refused_before_any_training(
    from_hub: Path, tmp_path: Path, how: str
) -> None:
    cache, results = tmp_path / "cache", tmp_path / "results"
    variables = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    line = command(from_hub, results, "short")
    if how == "mount":
        cache.mkdir()
        line = with_mounts(READ_ONLY, str(cache), *line)
    else:
        cache.write_text("")
    refused(run(line, **variables), str(cache), "HF_HOME")
    assert not results.exists()
