"""Cells that run as jobs on the Hub: each once, whatever ends early or is killed."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_metric import metric_module
from tiny import tiny_text_csv, tiny_text_model

from hf_select import pipeline
from hf_select.catalog import Catalog, local_model
from hf_select.demo.hub_server.jobs import _time_out
from hf_select.errors import AccessError, InputError, SetupError, StoppedError
from hf_select.foreign_metrics import ALLOW
from hf_select.pipeline import job_checks, remote
from hf_select.pipeline.in_job import Publisher
from hf_select.pipeline.job_spec import LIMIT, VARIABLE, Spec
from hf_select.records import LearningCurve, Recipe, RunKey, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import dataset_entry, load_target
from hf_select.training.cells import missing_cells
from hf_select.training.executors.local import GRACE_SECONDS

TASK = "text-classification"
RECIPE = Recipe(learning_rate=3e-2, epochs=1, global_batch_size=8, max_length=16, warmup=0.0)
TO = "lab/record"
TOKEN = "hf_alice"
MODELS = ("lab/m0", "lab/m1")
DATASETS = ("lab/reviews", "lab/news")


def stock(hub, folder: Path, epochs: int = 1) -> Path:
    """Two models and two data sets on the Hub, and the catalog that names them."""
    models, datasets = [], []
    for seed, name in enumerate(MODELS):
        made = tiny_text_model(folder / f"m{seed}", seed=seed, layers=1)
        entry = local_model(made, TASK)
        files = {path.name: path.read_bytes() for path in made.iterdir()}
        commit = hub.add("model", name, {**files, "README.md": "---\nlicense: mit\n---\n"})
        models.append(replace(entry, repo_id=name, revision=commit))
    for seed, name in enumerate(DATASETS):
        path = tiny_text_csv(folder / f"d{seed}.csv", 60, seed=seed)
        commit = hub.add("dataset", name, {"train.csv": path.read_bytes()})
        entry = dataset_entry(load_target(path), repo_id=name)
        datasets.append(replace(entry, revision=commit))
    Catalog(tuple(models), tuple(datasets)).save(folder / "catalog.json")
    return folder / "catalog.json"


@pytest.fixture
def world(hub, tmp_path, monkeypatch):
    """A stocked Hub, alice's token, and looks that follow each other closely."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(remote, "POLL", 0.2)
    monkeypatch.setattr(remote, "SLOWEST", 0.4)
    return hub, stock(hub, tmp_path), tmp_path / "record"


def benchmark(world, *, options=None, events=None, said=None, **kwargs):
    """The call that is tested; `events` and `said` are lists that fill."""
    _, catalog, results = world
    chosen = {"to": TO, "setup": "true", "flavor": "cpu-basic", "publish_every": "1s"}
    listeners = {
        "on_event": None if events is None else events.append,
        "say": (lambda text: None) if said is None else said.append,
    }
    kwargs = {"recipe": RECIPE, "proxies": (), **listeners, **kwargs}
    return pipeline.benchmark(
        results,
        catalog,
        executor=job_checks.NAME,
        executor_options={**chosen, **(options or {})},
        **kwargs,
    )


def cells_of(repo: ResultsRepo) -> Counter:
    return Counter((run.key.model, run.key.dataset, run.key.seed) for run in repo.runs())


def rows_on(hub) -> Counter:
    """How often each run is there, over the last snapshot and the inbox."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if ("dataset", TO) not in hub.store.repos:
        return Counter()
    files = hub.files("dataset", TO)
    if "manifest.json" not in files:
        return Counter()
    generation = json.loads(files["manifest.json"])["generation"]
    found: Counter = Counter()
    for path, data in files.items():
        if path.startswith("inbox/") or f"snapshots/{generation}/" in path:
            table = pq.ParquetFile(pa.BufferReader(data)).read()
            if {"test", "seed", "model"} <= set(table.column_names):
                for row in table.select(["model", "dataset", "seed"]).to_pylist():
                    found[row["model"], row["dataset"], row["seed"]] += 1
    return found


ALL = {(model, data, 0) for model in MODELS for data in DATASETS}


def test_cells_and_scores_arrive_once_here_and_there(world, tmp_path):
    hub, _, results = world
    events, said = [], []
    done = benchmark(world, events=events, said=said, proxies=("logme",), jobs=2)
    assert (done.done, done.failed, done.skipped, done.undone) == (4, 0, 0, ())
    assert (done.proxies.scored, done.proxies.failed) == (4, 0)
    assert cells_of(ResultsRepo.open(results)) == dict.fromkeys(ALL, 1)
    assert rows_on(hub) == dict.fromkeys(ALL, 1)
    points = {len(run.curve) for run in ResultsRepo.open(results).runs()}.pop()
    kinds = Counter(event.kind for event in events)
    assert kinds == {"start": 4, "point": 4 * points, "done": 4, "scored": 4}
    ends = [(e.kind, e.key) for e in events if e.kind in ("done", "scored")]
    assert len(set(ends)) == 8
    assert len(hub.jobs()) == 2
    assert [job.stage for job in hub.jobs()] == ["COMPLETED"] * 2
    assert len(hub.commits("dataset", TO)) <= 2 + 2 * 4
    # the same again: nothing is left, so nothing is started; nor from another folder
    again = benchmark(world, proxies=("logme",))
    assert (again.done, again.skipped, again.proxies.there) == (0, 4, 4)
    other = benchmark((hub, world[1], tmp_path / "other"), proxies=("logme",))
    assert (other.done, other.skipped) == (0, 4)
    assert len(hub.jobs()) == 2
    check_no_token(hub, tmp_path)


def check_no_token(hub, folder: Path) -> None:
    """The token is in no listing, log or file."""
    for job in hub.jobs():
        assert TOKEN not in json.dumps(job.row())
        assert TOKEN not in repr(job.log)
        assert TOKEN not in repr(Spec.decode(job.row()["environment"][VARIABLE]))
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            assert TOKEN.encode() not in path.read_bytes(), path
    for _, data in hub.files("dataset", TO).items():
        assert TOKEN.encode() not in data


# ------------------------------------------------------------------------ what ends too early


def hang(hub, model: str) -> None:
    """Nobody gets that model's files, until the faults are cleared."""
    hub.fault("GET", f"/{model}/resolve/*", times=math.inf, delay=100)


def _lose(job) -> None:
    job.signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("end", [_time_out, _lose])
def test_of_a_job_that_ends_early_what_was_published_stays_and_the_rest_is_run(world, end):
    hub, _, results = world
    hang(hub, "lab/m1")
    events, said = [], []

    def on_event(event):
        events.append(event)
        if sum(one.kind == "done" for one in events) == 2 and len(hub.jobs()) == 1:
            hub.faults.clear()
            end(hub.jobs()[0])

    done = benchmark(world, on_event=on_event, said=said)
    assert (done.done, done.failed, done.undone) == (4, 0, ())
    assert rows_on(hub) == dict.fromkeys(ALL, 1)
    assert cells_of(ResultsRepo.open(results)) == dict.fromkeys(ALL, 1)
    assert Counter(event.kind for event in events if event.test == event.test) == {"done": 4}
    assert len({event.key for event in events}) == 4
    first, second = (Spec.decode(job.row()["environment"][VARIABLE]) for job in hub.jobs())
    assert (len(first.cells), len(second.cells)) == (4, 2)
    assert [entry.repo_id for entry in second.models] == ["lab/m1"]
    assert [job.stage for job in hub.jobs()] == ["ERROR", "COMPLETED"]
    assert any("2 cells left, for a new job" in line for line in said)


def test_cells_whose_jobs_get_nowhere_are_left_undone(world):
    hub, _, results = world
    events = []
    done = benchmark(world, options={"setup": "echo no such package; false"}, events=events)
    assert (done.done, done.failed, len(done.undone), done.skipped) == (0, 0, 4, 0)
    assert len(hub.jobs()) == remote.STRIKES
    for event in done.undone:
        assert hub.jobs()[-1].id in event.reason
        assert "ERROR (Job failed with exit code 1)" in event.reason
        assert "no such package" in event.reason
    assert [event.kind for event in events] == ["undone"] * 4
    assert ResultsRepo.open(results).runs() == []  # it says nothing about the models
    assert ("dataset", TO) not in hub.store.repos


def test_a_job_that_was_cancelled_is_not_started_again(world):
    hub, _, _ = world
    hub.add("dataset", TO, {})  # as it is between its making and the first commit

    def say(text):
        if " has 4 cells" in text:
            cancel_all(hub)

    done = benchmark(world, options={"setup": "sleep 60"}, say=say)
    assert len(hub.jobs()) == 1
    assert "CANCELED" in done.undone[0].reason


def stop_when_it_has_begun(text: str) -> None:
    if " has 4 cells" in text:
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_same_command_twice_at_one_moment_has_one_job(world, monkeypatch):
    hub, _, _ = world
    monkeypatch.setattr(remote, "find_jobs", lambda checked: [])  # neither sees the other's
    for _ in range(2):
        with pytest.raises(StoppedError, match="1 job goes on") as caught:
            benchmark(world, options={"setup": "sleep 60"}, say=stop_when_it_has_begun)
        assert hub.jobs()[0].id in caught.value.message
    assert [job.stage for job in hub.jobs()] == ["RUNNING", "CANCELED"]


def test_a_job_of_another_version_is_waited_for(world):
    hub, _, _ = world
    with pytest.raises(StoppedError):
        benchmark(world, options={"setup": "sleep 60"}, say=stop_when_it_has_begun)
    hub.jobs()[0].asked["environment"][VARIABLE] = "of next year"
    with pytest.raises(InputError, match="can't be told") as caught:
        benchmark(world)
    assert f"hf jobs cancel {hub.jobs()[0].id}" in caught.value.hint
    assert len(hub.jobs()) == 1


def test_a_job_that_was_deleted_is_not_started_again(world):
    hub, _, _ = world

    def say(text):
        if " has 4 cells" in text:
            hub.store.jobs.clear()

    done = benchmark(world, options={"setup": "sleep 3; false"}, say=say)
    assert "DELETED" in done.undone[0].reason
    assert hub.jobs() == []


def test_the_hub_that_fails_says_which_jobs_go_on(world, monkeypatch):
    hub, _, _ = world

    def say(text):
        if " has 4 cells" in text:
            hub.fault("GET", "/api/jobs/alice*", status=401, times=math.inf)

    with pytest.raises(SetupError) as caught:
        benchmark(world, options={"setup": "sleep 60"}, say=say)
    assert hub.jobs()[0].id in caught.value.hint
    assert "watches them again" in caught.value.hint


def cancel_all(hub) -> None:
    from huggingface_hub import HfApi

    for job in hub.jobs():
        HfApi(endpoint=hub.endpoint, token=TOKEN).cancel_job(job_id=job.id, namespace="alice")


DRIVER = """
import json, sys
from test_hf_jobs import RECIPE, benchmark_at
benchmark_at(*sys.argv[1:])
"""


def benchmark_at(catalog, results):
    """What a driver in a process of its own does."""
    benchmark((None, catalog, results))


@pytest.mark.slow
def test_a_driver_that_was_killed_or_stopped_finds_its_job_again(world, hub_env, tmp_path):
    hub, catalog, results = world
    hang(hub, "lab/m1")
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(catalog), str(results)],
        env={**hub_env(hub, home=tmp_path / "other"), "PYTHONPATH": path},
        cwd=tmp_path,
    )
    wait_for(hub.jobs)
    driver.send_signal(signal.SIGKILL)
    driver.wait()

    said = []

    def stop(event):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError) as caught:
        benchmark(world, on_event=stop, said=said)
    job = hub.jobs()[0]
    assert any(f"job {job.id} runs already, with 4 cells" in line for line in said)
    assert f"1 job goes on: {job.id}" in caught.value.message
    assert f"hf jobs cancel {job.id} --namespace alice" in caught.value.hint
    assert caught.value.exit_code == 3
    hub.faults.clear()
    hub.closed.set()  # lets go of the requests that hang
    hub.closed.clear()

    events = []
    done = benchmark(world, events=events)
    assert len(hub.jobs()) == 1
    assert job.stage == "COMPLETED"
    assert (done.done + done.skipped, done.undone) == (4, ())
    assert rows_on(hub) == dict.fromkeys(ALL, 1)
    assert cells_of(ResultsRepo.open(results)) == dict.fromkeys(ALL, 1)
    check_no_token(hub, tmp_path)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


# ------------------------------------------------------------------------------ inside the job


def spec_of(catalog: Path, **values) -> Spec:
    found = Catalog.load(catalog)
    cells = tuple((i, j, 0) for i in range(2) for j in range(2))
    return Spec(TO, found.models, found.datasets, RECIPE, cells, proxies=(), **values)


@pytest.mark.slow
def test_a_job_publishes_on_sigterm_and_skips_what_is_there(world, hub_env, tmp_path):
    hub, catalog, _ = world
    hang(hub, "lab/m1")
    spec = spec_of(catalog, publish_every=1000.0)
    job = [sys.executable, "-m", "hf_select.pipeline.in_job"]
    env = {**hub_env(hub), VARIABLE: spec.encode()}
    log = tmp_path / "log"
    with log.open("w") as file:
        running = subprocess.Popen(job, env=env, stdout=file, cwd=tmp_path)
    wait_for(lambda: log.read_text().count("done: lab/m0") == 2)
    mine = dict.fromkeys((cell for cell in ALL if cell[0] == "lab/m0"), 1)
    running.send_signal(signal.SIGTERM)  # the other cells hang for as long as a cell may
    wait_for(lambda: rows_on(hub) == mine, 0.8 * GRACE_SECONDS)
    running.kill()
    running.wait()

    hub.faults.clear()
    again = subprocess.run(job, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again
    assert again.stdout.count("done: lab/m1") == 2
    assert "done: lab/m0" not in again.stdout
    assert rows_on(hub) == dict.fromkeys(ALL, 1)


def test_commits_are_bounded():
    sent = []
    publisher = Publisher(lambda: sent.append(time.monotonic()), 0.3, print)
    for _ in range(8):
        publisher.note()
        time.sleep(0.1)
    publisher.close()
    assert 3 <= len(sent) <= 5  # at 0, 0.3, 0.6 and at the end
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent[:-1])]
    assert min(gaps) > 0.25


def test_what_could_not_be_sent_is_sent_later():
    sent, said = [], []

    def send():
        sent.append(time.monotonic())
        if len(sent) == 1:
            raise InputError("not now")

    publisher = Publisher(send, 0.2, said.append)
    publisher.note()
    wait_for(lambda: len(sent) == 2, 5)
    publisher.close()
    assert said == ["not published yet: not now"]


def test_what_a_job_is_told_is_read_as_it_was_written(world):
    _, catalog, _ = world
    spec = spec_of(catalog, pairs=((0, 1),), timeout=5.0, retry_failed=True)
    read = Spec.decode(spec.encode())
    assert read.encode() == spec.encode()
    assert (read.cell_ids(), read.pair_ids()) == (spec.cell_ids(), spec.pair_ids())
    assert read.recipe == RECIPE
    assert len(set(spec.cell_ids())) == 4
    for text in ("", "hello", spec.encode()[:-9]):
        with pytest.raises(InputError, match="of this version"):
            Spec.decode(text)


def test_too_much_for_one_job(world):
    _, catalog, _ = world
    seeds = range(40_000)
    spec = replace(spec_of(catalog), cells=tuple((0, 0, 7 * seed**2) for seed in seeds))
    with pytest.raises(InputError, match="too many for one job") as caught:
        spec.encode()
    assert "cells_per_job" in caught.value.hint
    assert len(spec_of(catalog).encode()) < LIMIT / 20


# ------------------------------------------------------------------------- what can't be begun


def refused(world, error, match, **kwargs) -> InputError:
    """It is an error, exit code 2, and nothing was written or started."""
    hub, _, results = world
    with pytest.raises(error, match=match) as caught:
        benchmark(world, **kwargs)
    assert caught.value.exit_code == 2
    assert not results.exists()
    assert hub.jobs() == []
    assert hub.requests("POST") == []
    return caught.value


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"to": ""}, "needs a dataset"),
        ({"to": "record"}, "OWNER/NAME"),
        ({"to": "bob/record"}, "does not exist, or alice"),
        ({"flavor": "t5-small"}, "unknown flavor 't5-small'"),
        ({"timeout": "soon"}, "timeout is 'soon'"),
        ({"cells_per_job": "0"}, "cells_per_job"),
        ({"private": "perhaps"}, "true or false"),
        ({"partition": "gpu"}, "unknown option"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(world, options, match):
    error = refused(world, InputError, match, options=options)
    if "flavor" in options:
        assert "t4-small" in error.hint


def test_no_right_no_token_no_network(world, monkeypatch):
    from huggingface_hub import constants

    world[0].add("dataset", TO, {})
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    refused(world, AccessError, "may not write")
    monkeypatch.delenv("HF_TOKEN")
    refused(world, SetupError, "needs a token")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    requests = len(world[0].log)
    refused(world, SetupError, "offline")
    assert len(world[0].log) == requests


def test_what_is_on_this_disk_only_is_refused(world, tmp_path):
    tiny_text_model(tmp_path / "mine", seed=9)
    tiny_text_csv(tmp_path / "own.csv", 60)
    names = {"models": ["lab/m0", str(tmp_path / "mine")], "datasets": [str(tmp_path / "own.csv")]}
    error = refused(world, InputError, "this disk only: mine, own", task=TASK, **names)
    assert "push it to the Hub" in error.hint


def test_a_metric_in_a_folder_here_is_refused(world, monkeypatch, tmp_path):
    hub, path, results = world
    folder = metric_module(tmp_path / "misses", kind="int64")
    catalog = Catalog.load(path)
    metric = f"evaluate:{folder}:better=lower"
    sets = tuple(replace(entry, metric=metric) for entry in catalog.datasets)
    replace(catalog, datasets=sets).save(path)
    monkeypatch.setenv(ALLOW, "1")
    error = refused((hub, path, results), InputError, "can't see the metric of")
    assert "evaluate:OWNER/misses" in error.hint


def test_jobs_may_run_the_metrics_that_the_driver_may(world, monkeypatch):
    asked = []

    def submit(hub, request):
        asked.append(request.environment)
        raise StoppedError("that is all")

    monkeypatch.setattr("hf_select.hub.jobs.submit", submit)
    for value in (None, "1"):
        if value:
            monkeypatch.setenv(ALLOW, value)
        with pytest.raises(StoppedError):
            benchmark(world)
        assert asked[-1].get(ALLOW) == value


def test_a_public_dataset_does_not_become_private(world):
    world[0].add("dataset", TO, {})
    refused(world, InputError, "is public", options={"private": "true"})


def recorded(folder: Path, catalog: Path, recipe: Recipe, seconds: float) -> ResultsRepo:
    """A record with one run of each model on the first data set, an epoch of which took that."""
    found = Catalog.load(catalog)
    repo = ResultsRepo.create(folder)
    runs = [
        RunRecord(
            key=RunKey(
                model=model.repo_id,
                model_revision=model.revision,
                dataset=found.datasets[0].repo_id,
                dataset_revision=found.datasets[0].revision,
                config="",
                recipe=recipe.digest(),
                seed=5,
            ),
            task=TASK,
            metric="accuracy",
            status="ok",
            test=0.5,
            curve=LearningCurve(
                epochs=np.array([0.5, 1.0]),
                val=np.array([0.5, 0.5]),
                val_loss=np.ones(2),
                train_loss=np.ones(2),
                seconds=np.array([seconds / 2, seconds]),
            ),
        )
        for model in found.models
    ]
    repo.append(runs, models=found.models, datasets=found.datasets[:1], recipes=[recipe])
    return repo


def test_a_timeout_shorter_than_an_epoch_is_refused(world):
    hub, catalog, results = world
    recorded(results, catalog, RECIPE, seconds=400.0)
    before = sorted(results.rglob("*"))
    with pytest.raises(InputError, match="an estimated 400 s, by the record") as caught:
        benchmark(world, options={"timeout": "5m"})
    assert "(and 3 more such cells)" in caught.value.message  # none takes less than any has
    assert sorted(results.rglob("*")) == before
    assert hub.jobs() == []


def test_a_recipe_that_the_dataset_would_refuse_is_refused_first(world, tmp_path):
    hub, catalog, _ = world
    repo = recorded(tmp_path / "there", catalog, replace(RECIPE, epochs=3), seconds=1.0)
    repo.compact()
    files = [path for path in repo.path.rglob("*") if path.is_file()]
    names = {path.relative_to(repo.path).as_posix(): path.read_bytes() for path in files}
    hub.add("dataset", TO, names)
    error = refused(world, InputError, f"none of {RECIPE.digest()}")
    assert "accept_new_recipes=true" in error.hint


# --------------------------------------------------------------------------------- shares


def test_how_cells_are_shared_out(world):
    _, catalog, results = world
    checked = job_checks.check_jobs({"to": TO, "flavor": "cpu-basic"}, Catalog.load(catalog))
    repo = ResultsRepo.create(results)

    def nobody(_):
        pass

    def sizes(number, jobs=None, per_job=None):
        cells = missing_cells(checked.catalog, repo, RECIPE, range(number // 4))
        options = replace(checked.options, cells_per_job=per_job)
        spec = spec_of(catalog)
        run = remote._Run(
            replace(checked, options=options), repo, spec, cells, [], jobs, nobody, nobody
        )
        return [len(work) for work in run.split([cell.key.id for cell in cells], [])]

    assert sizes(4) == [4]
    assert sizes(4, jobs=2) == [2, 2]
    assert sizes(20) == [8, 8, 4]
    assert sizes(80) == [20] * 4
    assert sizes(20, per_job=7) == [7, 7, 6]
