import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import job_functions
import numpy as np
import pyarrow.parquet as pq
import pytest
import tinytrial

from hf_select.errors import HubError, InputError, StoppedError, UnknownNameError
from hf_select.features import extract_features
from hf_select.proxies import PROXIES, score_features
from hf_select.records import LearningCurve, RunKey, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.base import get_task
from hf_select.tasks.data import load_target
from hf_select.training import scoring
from hf_select.training.events import BenchmarkEvent
from hf_select.training.executors.engine import Engine
from hf_select.training.scoring import (
    ModelJob,
    all_pairs,
    check_scoring,
    measured_pairs,
    missing_pairs,
    run_model_job,
    run_scoring,
)

SCRIPT = Path(__file__).with_name("scoring_script.py")
TASK = "text-classification"
NAMES = [p.name for p in PROXIES.values() if "classification" in p.kinds]
WAIT = 400.0  # seconds; a few are enough on a machine that is not overloaded


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return tinytrial.make_catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def repo(tmp_path):
    return ResultsRepo.open_or_create(tmp_path / "results")


def events(results, *kinds):
    lines = (Path(results) / ".work" / "events.jsonl").read_text().splitlines()
    found = [BenchmarkEvent.from_json(line) for line in lines]
    return [event for event in found if not kinds or event.kind in kinds]


def scores(repo):
    """What must be the same however often the work was interrupted."""
    return {(r.model, r.dataset, r.proxy): (repr(r.value), r.rows) for r in repo.proxies()}


def job_of(catalog, repo, model="m0", **values):
    pairs = tuple(pair for pair in all_pairs(catalog) if pair.model.repo_id == model)
    (repo.path / ".work").mkdir(exist_ok=True)
    return ModelJob(pairs, repo.path.absolute(), **values)


def go_on():
    return False


# -------------------------------------------------------------------------------------- pairs


def test_every_model_meets_every_dataset_of_its_task_by_all_proxies_that_take_it(catalog):
    pairs = all_pairs(catalog)
    assert [(p.model.repo_id, p.dataset.repo_id) for p in pairs] == [
        ("m0", "d0"),
        ("m0", "d1"),
        ("m1", "d0"),
        ("m1", "d1"),
    ]
    assert len({pair.id for pair in pairs}) == 4
    assert all(list(pair.proxies) == NAMES for pair in pairs)
    rated = replace(
        catalog,
        models=tuple(replace(m, task="text-regression") for m in catalog.models),
        datasets=tuple(replace(d, task="text-regression") for d in catalog.datasets),
    )
    assert {"leep"}.isdisjoint(all_pairs(rated)[0].proxies)
    assert all_pairs(rated, ["leep"]) == []
    assert {pair.proxies for pair in all_pairs(catalog, ["logme", "logme"])} == {("logme",)}
    other = replace(catalog.models[0], task="image-classification")
    assert all_pairs(replace(catalog, models=(other,))) == []


def test_shards_split_the_models(catalog):
    many = replace(
        catalog, models=tuple(replace(catalog.models[0], repo_id=f"m{i}") for i in range(20))
    )
    parts = [{p.model.repo_id for p in all_pairs(many, shard=(i, 3))} for i in range(3)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts)) == 20


def test_what_no_pair_can_be_scored_by_is_refused():
    check_scoring(None, 1, {TASK})
    check_scoring(["leep"], 1, {TASK, "text-regression"})
    with pytest.raises(InputError, match="not regression"):
        check_scoring(["leep"], 1, {"text-regression"})
    with pytest.raises(UnknownNameError, match="'tarot'"):
        check_scoring(["tarot"], 1, {TASK})
    with pytest.raises(InputError, match="proxy_rows is 0"):
        check_scoring(None, 0, {TASK})


def test_a_pair_lacks_what_the_record_has_no_row_of(catalog, repo):
    first, second, third, _ = pairs = all_pairs(catalog)
    undefined = scoring.Scored(float("nan"), 0.0)
    repo.append(
        proxies=[
            first.row("leep", undefined, rows=50, seconds=0.5),  # has no trained head
            second.row("logme", undefined),  # could not be looked at
            third.row("logme", scoring.Scored(0.5, 0.0), rows=50),
            replace(third.row("leep", scoring.Scored(0.5, 0.0), rows=50), model_revision="f" * 40),
        ]
    )
    pairs = [replace(pair, proxies=("leep", "logme")) for pair in pairs]

    def lacking(**how):
        return {
            (p.model.repo_id, p.dataset.repo_id): p.proxies
            for p in missing_pairs(pairs, repo, **how)
        }

    expected = {
        ("m0", "d0"): ("logme",),
        ("m0", "d1"): ("leep",),
        ("m1", "d0"): ("leep",),
        ("m1", "d1"): ("leep", "logme"),
    }
    assert lacking() == expected
    assert lacking(retry_failed=True) == {**expected, ("m0", "d1"): ("leep", "logme")}


def test_a_pair_is_measured_when_the_record_has_a_run_of_it_at_that_commit(catalog, repo):
    pairs = all_pairs(catalog)
    for pair, revision in ((pairs[1], pairs[1].model.revision), (pairs[2], "f" * 40)):
        key = RunKey(
            pair.model.repo_id, revision, pair.dataset.repo_id, pair.dataset.revision, "", "r", 0
        )
        curve = LearningCurve.empty()
        repo.append([RunRecord(key, TASK, "accuracy", "failed", curve, reason="x")])
    assert measured_pairs(pairs, repo) == [pairs[1]]


# ---------------------------------------------------------------------------------- one model


def test_scores_are_those_of_one_pass_over_train_rows(catalog, repo):
    summary = run_scoring(catalog, repo, rows=40, max_length=16)
    assert (summary.scored, summary.failed, summary.there) == (4, 0, 0)
    rows = repo.proxies(TASK)
    assert len(rows) == 4 * len(NAMES)
    target = load_target(catalog.locations["d1"], task=TASK)
    features = extract_features(
        get_task(TASK), catalog.locations["m0"], target, max_rows=40, max_length=16
    )
    for row in rows:
        assert row.rows == 40
        assert row.seconds > 0
        assert 0 <= row.scoring_seconds < 1
        if (row.model, row.dataset) == ("m0", "d1"):
            expected = score_features(row.proxy, features, "classification")
            assert row.value == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert {row.proxy for row in rows if np.isnan(row.value)} <= {"leep"}  # no trained head
    assert {e.repo_id for e in repo.models()} == {"m0", "m1"}
    assert [e.baseline for e in repo.datasets()] == [e.baseline for e in catalog.datasets]
    assert summary.pass_seconds == pytest.approx(sum(r.seconds for r in rows) / len(NAMES), 1e-3)
    again = run_scoring(catalog, repo, rows=40, max_length=16)
    assert (again.scored, again.failed, again.there) == (0, 0, 4)
    assert repo.verify() == []


def test_a_model_is_loaded_once_for_all_of_its_data(catalog, repo, monkeypatch):
    loads = []
    load = type(get_task(TASK)).load_checkpoint

    def counted(self, location):
        loads.append(str(location))
        return load(self, location)

    monkeypatch.setattr(type(get_task(TASK)), "load_checkpoint", counted)
    run_model_job(job_of(catalog, repo), go_on)
    assert loads == [str(catalog.locations["m0"])]
    run_model_job(job_of(catalog, repo), go_on)  # what it has left is not looked at again
    assert len(loads) == 1
    assert len(list((repo.path / ".work" / "finished").iterdir())) == 2


def test_a_new_proxy_is_a_new_look_for_that_proxy_only(catalog, repo):
    run_scoring(catalog, repo, ["leep"])
    summary = run_scoring(catalog, repo, ["leep", "logme"])
    assert summary.scored == 4
    assert Counter(r.proxy for r in repo.proxies()) == {"leep": 4, "logme": 4}
    # another process has looked by one proxy, and nobody has taken it in yet
    job = job_of(catalog, repo)
    fresh = ResultsRepo.open_or_create(repo.path.with_name("fresh"))
    job = replace(job, results=fresh.path.absolute())
    (fresh.path / ".work").mkdir()
    only = tuple(replace(pair, proxies=("leep",)) for pair in job.pairs)
    run_model_job(replace(job, pairs=only), go_on)
    run_model_job(job, go_on)
    left = [json.loads(p.read_text()) for p in (fresh.path / ".work" / "finished").iterdir()]
    found = Counter(row["proxy"] for file in left for row in file["rows"])
    assert found == dict.fromkeys(NAMES, 2)


def test_what_cannot_be_looked_at_is_recorded_once_with_its_reason_told(catalog, repo, tmp_path):
    broken = tinytrial.make_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\0" * 9)
    entry = replace(catalog.models[0], repo_id="broken")
    places = {**catalog.locations, "broken": broken, "d1": tmp_path / "absent"}
    odd = replace(catalog, models=(catalog.models[0], entry), locations=places)
    seen = []
    summary = run_scoring(odd, repo, on_event=seen.append)
    assert (summary.scored, summary.failed) == (1, 3)
    reasons = {(e.model, e.dataset): e.reason for e in seen if e.kind == "unscored"}
    assert "absent" in reasons["m0", "d1"]
    assert "model.safetensors" in reasons["broken", "d0"]
    assert str(broken) not in reasons["broken", "d0"]
    assert all(e.seed is None for e in seen)
    failed = [row for row in repo.proxies() if (row.model, row.dataset) in reasons]
    assert len(failed) == 3 * len(NAMES)
    assert all(np.isnan([r.value, r.seconds]).all() and r.rows == 0 for r in failed)
    assert repo.verify() == []

    seen.clear()
    again = run_scoring(odd, repo, on_event=seen.append)
    assert (again.scored, again.failed, again.there, seen) == (0, 0, 4, [])
    shutil.copy(catalog.locations["m0"] / "model.safetensors", broken)
    retried = run_scoring(
        replace(odd, locations={**catalog.locations, "broken": broken}), repo, retry_failed=True
    )
    assert (retried.scored, retried.failed, retried.there) == (3, 0, 1)
    assert not any(row.rows == 0 for row in repo.proxies())


def test_without_the_hub_nothing_is_recorded_as_failed(catalog, repo, monkeypatch):
    class InLine:
        def __init__(self, function, **_):
            self.function = function

        def run(self, jobs, *, on_end, on_tick):
            for job in jobs:
                self.function(job.argument, go_on)
                on_end(scoring.Outcome(job.id, "ok"))
                on_tick()

    monkeypatch.setattr(Engine, "start", lambda self, function, **options: InLine(function))
    asked = []

    def away(entry):
        asked.append(entry.repo_id)
        raise HubError("the Hub can't be reached")

    places = {name: place for name, place in catalog.locations.items() if name[0] == "d"}
    models = tuple(replace(catalog.models[0], repo_id=f"lab/m{i}") for i in range(5))
    far = replace(catalog, models=models, locations=places)
    summary = run_scoring(far, repo, fetch=away)
    assert asked == ["lab/m0", "lab/m1", "lab/m2"]
    assert (summary.scored, summary.failed, len(summary.undone)) == (0, 0, 10)
    assert sum("not tried" in event.reason for event in summary.undone) == 4
    assert repo.proxies() == []
    asked.clear()
    everywhere = {(m.repo_id, d.repo_id) for m in models for d in far.datasets}
    summary = run_scoring(far, repo, fetch=away, without=everywhere)
    assert asked == []
    assert len(summary.undone) == 10
    near = run_scoring(far, repo, fetch=lambda entry: catalog.locations["m0"])
    assert (near.scored, near.undone) == (10, ())


def test_a_model_that_another_process_looks_at_is_left_alone(catalog, repo):
    job = job_of(catalog, repo)
    with scoring.claimed(job.work / "locks" / job.id) as mine:
        assert mine
        run_model_job(job, go_on)
    assert not (job.work / "finished").exists()
    assert not (job.work / "events.jsonl").exists()


def test_a_stop_keeps_what_is_done(catalog, repo):
    left = iter([False])
    with pytest.raises(StoppedError):
        run_model_job(job_of(catalog, repo), lambda: next(left, True))
    assert len(list((repo.path / ".work" / "finished").iterdir())) == 1


def test_a_crash_costs_one_model(catalog, repo, monkeypatch):
    monkeypatch.setattr(scoring, "run_model_job", job_functions.look_and_die_for_m1)
    seen = []
    summary = run_scoring(catalog, repo, on_event=seen.append)
    assert (summary.scored, summary.failed) == (3, 1)
    (event,) = [e for e in seen if e.kind == "unscored"]
    assert (event.model, event.dataset) == ("m1", "d1")
    assert "SIGABRT" in event.reason
    assert len(repo.proxies()) == 4 * len(NAMES)


def test_a_job_that_hangs_is_ended(catalog, repo, monkeypatch):
    monkeypatch.setattr(scoring, "run_model_job", job_functions.hang)
    only = catalog.only(models=["m0"])
    summary = run_scoring(only, repo, timeout=0.25)  # a pair, and there are two
    assert (summary.scored, summary.failed) == (0, 2)
    assert events(repo.path, "unscored")[0].reason == "took longer than 0.5 seconds"


def test_an_entry_without_a_baseline_never_replaces_one_with(catalog, repo):
    unknown = replace(
        catalog, datasets=tuple(replace(d, baseline=float("nan")) for d in catalog.datasets)
    )
    repo.append(datasets=catalog.datasets[:1])
    run_scoring(unknown, repo)
    assert repo.datasets() == [catalog.datasets[0]]
    assert {row.dataset for row in repo.proxies(TASK)} == {"d0", "d1"}


# -------------------------------------------------------------------------------------- kills


def start(catalog: Path, results: Path, *flags: str, **options):
    command = [sys.executable, str(SCRIPT), str(catalog), str(results), json.dumps(options), *flags]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture
def several(tmp_path, catalog):
    """Six pairs, and what comes out of them undisturbed."""
    models = (*catalog.models, replace(catalog.models[0], repo_id="m2"))
    many = replace(
        catalog, models=models, locations={**catalog.locations, "m2": catalog.locations["m0"]}
    )
    many.save(tmp_path / "catalog.json")
    undisturbed = ResultsRepo.open_or_create(tmp_path / "undisturbed")
    run_scoring(many, undisturbed)
    return tmp_path / "catalog.json", scores(undisturbed)


@pytest.mark.timeout(3 * WAIT)
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_cut_off_in_the_middle_the_same_call_goes_on(several, tmp_path, how):
    catalog, expected = several
    results = tmp_path / "results"
    process = start(catalog, results, "slowly", jobs=2)
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        if (results / ".work" / "events.jsonl").exists() and events(results, "scored"):
            break
        time.sleep(0.01)
    getattr(process, how)()
    _, error = process.communicate(timeout=WAIT)
    assert process.returncode == (-signal.SIGKILL if how == "kill" else 3), error
    time.sleep(1.0)  # the jobs notice within milliseconds; nothing may be written after that
    killed_at = len(events(results))
    before = {event.key for event in events(results, "scored")}
    assert 0 < len(before) < 6
    time.sleep(0.5)
    assert len(events(results)) == killed_at
    again = start(catalog, results, jobs=2)
    output, error = again.communicate(timeout=WAIT)
    assert again.returncode == 0, error
    assert json.loads(output)["failed"] == 0
    repo = ResultsRepo.open(results)
    assert scores(repo) == expected
    assert set(Counter(event.key for event in events(results, "scored")).values()) == {1}
    looked_at_again = {event.key for event in events(results)[killed_at:] if event.kind == "look"}
    assert not before & looked_at_again
    shards = sorted((results / "inbox").rglob("*.parquet"))
    rows = Counter()
    for shard in shards:
        table = pq.read_table(shard)
        if "proxy" in table.column_names:
            rows.update((r["model"], r["dataset"], r["proxy"]) for r in table.to_pylist())
    assert rows == dict.fromkeys(expected, 1)
    assert not list((results / ".work" / "finished").iterdir())


@pytest.mark.timeout(3 * WAIT)
@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_do_nothing_twice(several, tmp_path, sharded):
    catalog, expected = several
    results = tmp_path / "results"
    ResultsRepo.open_or_create(results)
    both = [start(catalog, results, jobs=1, shard=[i, 2] if sharded else [0, 1]) for i in range(2)]
    done = 0
    for process in both:
        output, error = process.communicate(timeout=WAIT)
        assert process.returncode == 0, error
        done += json.loads(output)["scored"]
    repo = ResultsRepo.open(results)
    assert scores(repo) == expected
    assert done == 6
    for kind in ("look", "scored"):
        assert Counter(e.key for e in events(results, kind)) == dict.fromkeys(
            {e.key for e in events(results)}, 1
        )
    assert not list((results / ".work" / "finished").iterdir())
