"""Where models come from: a catalog's folders, or the Hub; and what a benchmark makes of either."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from tiny import tiny_text_csv, tiny_text_model

from hf_select import locations
from hf_select.catalog import Catalog, local_model
from hf_select.cli.app import run
from hf_select.errors import AccessError, HubError, InputError, ModelError
from hf_select.hub import models
from hf_select.locations import fetch, folders_as_catalog, hub_model, locate
from hf_select.records import ModelEntry, Recipe
from hf_select.results.foreign import IMPORTED
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import dataset_entry, load_target
from hf_select.training import benchmark, cell_job
from hf_select.training.cell_job import run_cell
from hf_select.training.cells import Cell, missing_cells
from hf_select.training.executors.engine import Engine

TASK = "text-classification"
RECIPE = Recipe(learning_rate=3e-2, epochs=1, global_batch_size=8, max_length=16, warmup=0.0)
ENOUGH = {"Retry-After": "3600"}  # a Hub that asks for this isn't waited for


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two model folders and two data files."""
    root = tmp_path_factory.mktemp("made")
    tiny_text_model(root / "ant", seed=0)
    tiny_text_model(root / "bee", architecture="bert", seed=1)
    tiny_text_csv(root / "news.csv", 60, seed=2)
    tiny_text_csv(root / "mail.csv", 60, seed=3)
    return root


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    monkeypatch.setattr(models, "_VERIFIED", set())
    locations._hub.cache_clear()


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def upload(hub, made, name="lab/ant", folder="", **settings):
    files = content(made / (folder or name.split("/")[1]))
    return ModelEntry(name, hub.add("model", name, files, **settings), TASK)


def catalog_of(made, *entries):
    """Models on the Hub, data here."""
    tables, places = [], {}
    for name in ("news", "mail"):
        path = made / f"{name}.csv"
        tables.append(dataset_entry(load_target(path, task=TASK), repo_id=f"own/{name}"))
        places[f"own/{name}"] = path
    return Catalog(entries, tuple(tables), (), places)


# ------------------------------------------------------------------------------------- one model


def test_a_folder_of_the_catalog(made, tmp_path):
    entry = local_model(made / "ant", TASK)
    catalog = Catalog((entry,), (), (), {"ant": made / "ant"})
    assert locate(entry, catalog) == made / "ant"
    assert locate(replace(entry, revision=IMPORTED), catalog) == made / "ant"
    with pytest.raises(ModelError, match="but the record is about aaaaaaaa"):
        locate(replace(entry, revision="a" * 40), catalog)
    with pytest.raises(ModelError, match="nobody said which commit"):
        locate(replace(entry, revision=IMPORTED), Catalog())


def test_a_model_of_the_hub_is_a_folder_too(hub, made):
    folder = locate(upload(hub, made), Catalog())
    assert content(folder) == content(made / "ant")
    assert folder.is_relative_to(constants.HF_HUB_CACHE)


def test_a_model_that_can_not_be_had_is_a_model_error_with_a_next_step(hub, made):
    with pytest.raises(ModelError, match="no such repository") as caught:
        locate(ModelEntry("ant/local", "a" * 40, TASK), Catalog())
    assert "--catalog" in caught.value.hint
    gated = upload(hub, made, "lab/bee", gated=True)
    with pytest.raises(ModelError, match="is gated"):
        locate(gated, Catalog())
    hub.fault(status=503, headers=ENOUGH)
    with pytest.raises(ModelError, match="answered 503"):
        locate(upload(hub, made), Catalog())


def test_what_is_not_the_models_fault_is_a_hub_error(hub, made, monkeypatch):
    entry = upload(hub, made)
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrong")
    with pytest.raises(HubError, match="doesn't know this token"):
        fetch(entry)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="offline mode"):
        fetch(entry)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert fetch(entry).is_dir()
    with pytest.raises(AccessError, match="is gated"):
        fetch(upload(hub, made, "lab/bee", gated=True))


# ------------------------------------------------------------------------------ named one by one


def test_a_hub_id_becomes_a_pinned_entry(hub, made):
    commit = upload(hub, made).revision
    entry = hub_model("lab/ant", TASK)
    assert len(hub.log) == 4  # the commit, and the three of an inspection
    local = local_model(made / "ant", TASK)
    assert (entry.revision, entry.architecture) == (commit, local.architecture)
    assert entry.num_parameters == local.num_parameters
    assert len(entry.weights_sha256) == 64
    hub.push("model", "lab/ant", {"pytorch_model.bin": b"x"}, delete=["model.safetensors"])
    with pytest.raises(ModelError, match="lab/ant: it has pickled weights only"):
        hub_model("lab/ant", TASK)


def test_a_hub_model_is_called_what_the_hub_calls_it_now(hub, made):
    commit = upload(hub, made).revision
    hub.store.moved["model", "ant"] = (
        "lab/ant"  # as bert-base-uncased, from before there were owners
    )
    hub.store.moved["model", "Lab/Ant"] = "lab/ant"
    data = [str(made / "news.csv")]
    for name in ("ant", "Lab/Ant"):
        (entry,) = folders_as_catalog([name], data, TASK).models
        assert (entry.repo_id, entry.revision) == ("lab/ant", commit)
        assert fetch(replace(entry, repo_id=name)).is_dir()  # a record may know the old name
    with pytest.raises(InputError, match="two models or data sets have the same name"):
        folders_as_catalog(["lab/ant", "ant"], data, TASK)


def test_folders_and_hub_ids_together(hub, made, tmp_path, monkeypatch):
    upload(hub, made)
    data = [str(made / "news.csv")]
    found = folders_as_catalog(["lab/ant", str(made / "bee")], data, TASK)
    assert [entry.repo_id for entry in found.models] == ["lab/ant", "bee"]
    assert set(found.locations) == {"bee", "news"}
    monkeypatch.chdir(made.parent)  # what lies here is meant
    named = f"{made.name}/ant"
    assert folders_as_catalog([named], data, TASK).models == (local_model(named, TASK),)
    with pytest.raises(InputError, match="no folder at lab/none, and on the Hub: model lab/none"):
        folders_as_catalog(["lab/none"], data, TASK)
    with pytest.raises(InputError, match="no folder at nowhere, and on the Hub: model nowhere"):
        folders_as_catalog(["nowhere"], data, TASK)
    with pytest.raises(ModelError, match="not a model folder"):
        folders_as_catalog(["./nowhere"], data, TASK)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"no folder at nowhere, and on the Hub: .*offline"):
        folders_as_catalog(["nowhere"], data, TASK)


# ---------------------------------------------------------------------------------- one cell


def cell_of(made, tmp_path, entry) -> Cell:
    repo = ResultsRepo.open_or_create(tmp_path / "record")
    return missing_cells(catalog_of(made, entry), repo, RECIPE)[0]


def test_a_cell_of_a_hub_model(hub, made, tmp_path):
    cell = cell_of(made, tmp_path, upload(hub, made))
    record = run_cell(cell, fetch=fetch)
    assert (record.status, record.key.model) == ("ok", "lab/ant")
    before = len(hub.log)
    assert run_cell(cell, fetch=fetch).test == record.test
    assert len(hub.log) == before  # neither we nor transformers ask again


def test_what_is_wrong_with_the_model_is_in_the_record(hub, made, tmp_path):
    gone = upload(hub, made)
    hub.remove("model", "lab/ant")
    record = run_cell(cell_of(made, tmp_path, gone), fetch=fetch)
    assert record.status == "failed"
    assert "lab/ant: there is no such repository" in record.reason

    path = made / "ant" / "config.json"
    settings = {**json.loads(path.read_text()), "model_type": "something-new"}
    files = content(made / "ant") | {"config.json": json.dumps(settings)}
    odd = ModelEntry("lab/odd", hub.add("model", "lab/odd", files), TASK)
    record = run_cell(cell_of(made, tmp_path, odd), fetch=fetch)
    assert "something-new" in record.reason
    assert "can't load lab/odd:" in record.reason  # a record is published: no paths of this machine

    no_place = run_cell(cell_of(made, tmp_path, odd))
    assert "lab/odd has no location" in no_place.reason


def test_what_is_wrong_with_the_hub_is_not(hub, made, tmp_path):
    cell = cell_of(made, tmp_path, upload(hub, made))
    hub.fault(status=503, headers=ENOUGH)
    with pytest.raises(HubError, match="answered 503"):
        run_cell(cell, fetch=fetch)
    cell.work.mkdir(parents=True)
    hub.fault(status=503, headers=ENOUGH)
    cell_job.run_job({**cell.to_dict(), "fetch": fetch}, lambda: False)
    assert not (cell.work / "finished").exists()
    (line,) = (cell.work / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "undone"
    assert "answered 503" in json.loads(line)["reason"]


# ------------------------------------------------------------------------------- all of it


class InLine:
    """The executor's part, in this process."""

    def __init__(self, function, **_):
        self.function = function

    def run(self, jobs, *, on_end, on_tick):
        for job in jobs:
            self.function(job.argument, lambda: False)
            on_end(benchmark.Outcome(job.id, "ok"))
            on_tick()


@pytest.fixture
def in_line(monkeypatch):
    monkeypatch.setattr(Engine, "start", lambda self, function, **options: InLine(function))


def runs(record: Path):
    return {
        (run.key.model, run.key.dataset): (run.status, run.reason, run.key.model_revision)
        for run in ResultsRepo.open(record).runs()
    }


@pytest.mark.slow
def test_jobs_in_their_own_processes_fetch_what_they_train(hub, hub_env, made, tmp_path):
    catalog_of(made, upload(hub, made)).save(tmp_path / "catalog.json")
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    command = ["benchmark", "--catalog", tmp_path / "catalog.json", "--results", tmp_path / "r"]
    command += ["--recipe", tmp_path / "recipe.json", "--jobs", 2, "--json"]
    hub.fault(path="/lab/ant/resolve/*/model.safetensors", delay=0.5, times=2)
    done = subprocess.run(
        [sys.executable, "-m", "hf_select", *map(str, command)],
        env=hub_env(hub, token=None),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 2
    # both began at the same time, yet each file came once (and the header, by a range)
    assert len(hub.requests(path="/lab/ant/resolve/*")) == len(content(made / "ant")) + 1


def test_a_benchmark_goes_on_without_what_can_not_be_had(hub, made, tmp_path, in_line, capsys):
    ant, bee = upload(hub, made), upload(hub, made, "lab/bee")
    cat = upload(hub, made, "lab/cat", "ant", gated=True)
    catalog_of(made, ant, bee, cat).save(tmp_path / "catalog.json")
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    record = tmp_path / "record"
    command = ["benchmark", "--catalog", tmp_path / "catalog.json", "--results", record]
    command = [*map(str, command), "--recipe", str(tmp_path / "recipe.json"), "--json"]
    # 28: main is rewritten after the catalog was written
    hub.force_push("model", "lab/ant", {"config.json": "{}"})
    down = hub.fault(path="*lab/bee/tree*", status=503, headers=ENOUGH, times=float("inf"))

    assert run(command) == 1
    told = capsys.readouterr()
    summary = json.loads(told.out)
    assert (summary["done"], summary["failed"], summary["skipped"]) == (2, 2, 0)
    undone = {(row["model"], row["dataset"]) for row in summary["undone"]}
    assert undone == {("lab/bee", "own/news"), ("lab/bee", "own/mail")}
    assert "undone: lab/bee on own/news, seed 0: model lab/bee: the Hub answered 503" in told.err
    found = runs(record)
    assert {key: value[0] for key, value in found.items()} == {
        ("lab/ant", "own/news"): "ok",
        ("lab/ant", "own/mail"): "ok",
        ("lab/cat", "own/news"): "failed",
        ("lab/cat", "own/mail"): "failed",
    }
    assert all("is gated" in found["lab/cat", name][1] for name in ("own/news", "own/mail"))
    assert found["lab/ant", "own/news"][2] == ant.revision

    # 27: what was there is gone; what was measured stays, and the same command goes on
    down.times = 0
    hub.remove("model", "lab/ant")
    assert run(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["done"], summary["failed"], summary["undone"]) == (2, 0, [])
    assert runs(record).items() > found.items()

    # 21: a selection tells what it could not get, and goes on
    (Path(constants.HF_HUB_CACHE) / "models--lab--ant").rename(tmp_path / "away")
    target = tiny_text_csv(tmp_path / "target.csv", 60, seed=9)
    select = ["select", target, "--results", record, "--out", tmp_path / "out", "--top", 2]
    select += ["--method", "mean", "--exclude", "lab/cat", "--json"]
    assert run([*map(str, select)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["winner"]["model"] == "lab/bee"
    (failed,) = [row for row in document["ranking"] if row["status"] == "failed"]
    assert failed["model"] == "lab/ant"
    assert "no such repository" in failed["reason"]
    recall = ["recall", target, "--results", record, "--method", "proxy:logme", "--json"]
    assert run([*map(str, recall)]) == 0
    document = json.loads(capsys.readouterr().out)
    reasons = {row["model"]: row["reason"] for row in document["skipped"]}
    assert "no such repository" in reasons["lab/ant"]


def test_a_hub_that_is_away_is_not_asked_for_every_cell(made, tmp_path, in_line):
    entries = [ModelEntry(f"lab/m{i}", "a" * 40, TASK) for i in range(5)]
    repo = ResultsRepo.open_or_create(tmp_path / "record")
    seen = []

    def away(entry):
        seen.append(entry.repo_id)
        raise HubError("the Hub can't be reached")

    summary = benchmark.run_benchmark(catalog_of(made, *entries), repo, RECIPE, fetch=away)
    assert len(seen) == benchmark.UNREACHED
    assert len(summary.undone) == 10
    assert sum("not tried" in event.reason for event in summary.undone) == 7
    assert (summary.done, summary.failed, summary.skipped) == (0, 0, 0)
    assert list(repo.runs()) == []


# ------------------------------------------------------------------------------------- doctor


def test_the_doctor_looks_at_the_hub_and_never_fails_for_it(hub, monkeypatch):
    from hf_select.pipeline.doctor import hub_state as look

    assert look() == {
        "endpoint": hub.endpoint,
        "user": None,
        "token": False,
        "reachable": True,
        "offline": False,
        "problem": "",
        "setup": False,
    }
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    assert look()["user"] == "alice"
    assert len(hub.log) == 2
    monkeypatch.setenv("HF_TOKEN", "hf_nobodynobody")
    assert "doesn't know this token" in look()["problem"]
    assert len(hub.log) == 3
    hub.fault(status=503)
    assert look()["problem"].startswith("not reachable: ")
    assert len(hub.log) == 4
    monkeypatch.setattr(constants, "ENDPOINT", "http://eve:0815secret@127.0.0.1:9")
    told = look()
    assert not told["reachable"]
    assert "0815secret" not in str(told)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    assert (look()["offline"], look()["reachable"], len(hub.log)) == (True, False, 4)


def test_the_doctor_says_it_in_a_line(hub, monkeypatch, capsys):
    secret, password = "hf_abcdefghijklmnop", "0815secret"
    hub.user(secret, "eve")
    monkeypatch.setenv("HF_TOKEN", secret)
    assert run(["doctor"]) == 0
    told = capsys.readouterr()
    assert "reachable as eve" in " ".join(told.out.split())
    assert secret not in told.out + told.err
    bad = hub.endpoint.replace("//", f"//eve:{password}@")
    monkeypatch.setattr(constants, "ENDPOINT", bad)
    assert run(["doctor", "--json"]) == 1
    command = "benchmark --models lab/x --datasets a.csv --results r --json --task"
    assert run([*command.split(), TASK]) == 2
    told = capsys.readouterr()
    assert told.out.count("holds a user or password") == 3  # twice in the doctor's document
    for word in (secret, password):
        assert word not in told.out + told.err
