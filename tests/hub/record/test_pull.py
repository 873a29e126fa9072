"""Pulling a record from the Hub: a true copy, or rows added; a bad one leaves the folder alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hub.record.records import cells, files_in, grow, publish
from results.made import dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import AccessError, HubError, MissingError, RecordError
from hf_select.files import sha256
from hf_select.hub.record.pull import pull
from hf_select.results.repo import ResultsRepo

REPO = "lab/record"
RUNS = "snapshots/1/task=text-classification/runs.parquet"
OTHER = "text-regression"


@pytest.fixture
def published(hub, client, tmp_path):
    """A snapshot with models a and b of two tasks, and a shard each of models and runs (c)."""
    local = grow(tmp_path / "founder")
    local.append(
        [run("a", "r", 0.5, task=OTHER, metric="rmse", baseline=1.0, submitter="")],
        models=[model("a", task=OTHER)],
        datasets=[dataset("r", task=OTHER, metric="rmse", num_labels=1, baseline=1.0)],
    )
    publish(client(hub), local, REPO, cluster=cluster_models)
    publish(client(hub), grow(tmp_path / "founder", "c"), REPO)
    hub.log.clear()


def local_cells(folder):
    runs = ResultsRepo.open(folder).runs("text-classification")
    return {(r.key.model, r.key.dataset): 1 for r in runs}


# ------------------------------------------------------------------------------------ copies


@pytest.mark.parametrize("there", ["absent", "empty"])
def test_a_new_folder_becomes_a_copy_byte_by_byte(hub, client, tmp_path, published, there):
    folder = tmp_path / "copy"
    if there == "empty":
        folder.mkdir()
    done = pull(client(hub), REPO, folder)
    theirs = {n: d for n, d in hub.files("dataset", REPO).items() if n != ".gitattributes"}
    assert files_in(folder) == theirs
    assert done.copied
    assert done.commit == hub.commits("dataset", REPO)[0].sha
    assert done.rows == {"recipes": 1, "models": 4, "datasets": 3, "runs": 7}
    assert done.problems == ()
    assert local_cells(folder) == cells("abc")


def test_bytes_are_counted_and_nothing_is_fetched_twice(
    hub, client, tmp_path, published, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another-machine"))
    done = pull(client(hub), REPO, tmp_path / "one")
    served = sum(r.bytes_out for r in hub.requests("GET", "*/resolve/*"))
    assert done.bytes == served == sum(map(len, files_in(tmp_path / "one").values()))
    publish(client(hub), grow(tmp_path / "founder", "d"), REPO)
    before = len(hub.requests("GET", "*/resolve/*"))
    again = pull(client(hub), REPO, tmp_path / "two")
    assert len(hub.requests("GET", "*/resolve/*")) - before == 2  # the two new shards
    assert 0 < again.bytes < done.bytes
    assert local_cells(tmp_path / "two") == cells("abcd")


def test_one_task_is_a_part_of_the_files(hub, client, tmp_path, published):
    done = pull(client(hub), REPO, tmp_path / "copy", task=OTHER)
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    assert {entry["task"] for entry in manifest["snapshots"]} == {"", OTHER}
    assert done.rows == {"recipes": 1, "models": 1, "datasets": 1, "runs": 1}
    fetched = {r.path for r in hub.requests("GET", "*/resolve/*/snapshots/*")}
    assert not [path for path in fetched if "text-classification" in path]
    repo = ResultsRepo.open(tmp_path / "copy")
    assert repo.tasks() == [OTHER]
    assert repo.verify() == []
    assert not list((tmp_path / "copy" / "inbox").rglob("*.parquet"))


def test_a_task_that_only_the_inbox_has(hub, client, tmp_path, published):
    local = ResultsRepo.create(tmp_path / "images")
    task = "image-classification"
    local.append(models=[model("v", task=task)], datasets=[dataset("i", task=task)])
    publish(client(hub), local, REPO)
    assert pull(client(hub), REPO, tmp_path / "copy", task=task).rows["models"] == 1
    assert ResultsRepo.open(tmp_path / "copy").tasks() == [task]


def test_an_older_commit_can_be_pulled(hub, client, tmp_path, published):
    old = hub.commits("dataset", REPO)[1].sha
    done = pull(client(hub), REPO, tmp_path / "copy", revision=old[:8])
    assert done.commit == old
    assert local_cells(tmp_path / "copy") == cells("ab")


def test_what_is_pulled_has_been_published(hub, client, tmp_path, published):
    pull(client(hub), REPO, tmp_path / "copy")
    assert publish(client(hub), ResultsRepo.open(tmp_path / "copy"), REPO).rows == {}


# ----------------------------------------------------------------------------- rows are added


def test_a_record_gets_what_it_lacks_and_keeps_its_own(hub, client, tmp_path, published):
    mine = grow(tmp_path / "mine", "bz")
    mine.append(models=[model("a", license="mine")])
    before = files_in(mine.path)
    done = pull(client(hub), REPO, mine.path)
    assert not done.copied
    assert done.rows == {"models": 2, "datasets": 1, "runs": 5}
    after = files_in(mine.path)
    assert {name: after[name] for name in before} == before
    assert local_cells(mine.path) == cells("abcz")
    assert ResultsRepo.open(mine.path).models("text-classification", ["a"])[0].license == "mine"
    again = pull(client(hub), REPO, mine.path)
    assert (again.rows, again.bytes) == ({}, 0)
    assert files_in(mine.path) == after


def test_rows_keep_the_name_of_who_sent_them(hub, client, tmp_path, published):
    bob = client(hub, token="hf_bob")
    publish(bob, grow(tmp_path / "bobs", "d"), REPO, create_pr=True)
    hub.merge("dataset", REPO, 1)
    mine = grow(tmp_path / "mine", "z")
    pull(client(hub), REPO, mine.path)
    submitters = {r.key.model: r.submitter for r in ResultsRepo.open(mine.path).runs()}
    assert submitters == {"a": "alice", "b": "alice", "c": "alice", "d": "bob", "z": "local"}
    names = {path.parent.name for path in (mine.path / "inbox").rglob("*.parquet")}
    assert names == {"alice", "bob", "lab", "local"}


def test_one_task_is_added(hub, client, tmp_path, published):
    mine = grow(tmp_path / "mine", "z")
    pull(client(hub), REPO, mine.path, task=OTHER)
    repo = ResultsRepo.open(mine.path)
    assert [len(repo.runs(task)) for task in (OTHER, "text-classification")] == [1, 2]


# ------------------------------------------------------------------------------- what fails


def test_32_a_snapshot_that_is_not_the_manifests_is_refused(hub, client, tmp_path, published):
    good = hub.files("dataset", REPO)[RUNS]
    hub.push("dataset", REPO, {RUNS: good[:-1] + b"x"})
    for folder, before in ((tmp_path / "copy", None), (grow(tmp_path / "mine").path, ...)):
        before = before and files_in(folder)
        with pytest.raises(RecordError, match=f"{REPO}: {RUNS} was changed or damaged"):
            pull(client(hub), REPO, folder)
        assert (files_in(folder) if before else folder.exists()) == (before or False)


def test_34_a_shard_that_is_cut_off_is_set_aside_and_named(hub, client, tmp_path, published):
    files = hub.files("dataset", REPO)
    name = next(name for name in files if name.startswith("inbox/"))
    bad = f"inbox/2025-01/eve/{'0' * 64}.parquet"
    hub.push("dataset", REPO, {bad: files[name][:200]})
    done = pull(client(hub), REPO, tmp_path / "copy")
    assert [problem.split(":")[0] for problem in done.problems] == [bad]
    assert (tmp_path / "copy" / bad.replace("inbox", "quarantine")).is_file()
    assert not (tmp_path / "copy" / bad).exists()
    assert local_cells(tmp_path / "copy") == cells("abc")
    mine = grow(tmp_path / "mine", "z")
    assert len(pull(client(hub), REPO, mine.path).problems) == 1
    assert local_cells(mine.path) == cells("abcz")


def test_19_names_that_lead_elsewhere_are_not_followed(hub, client, tmp_path, published):
    digest = sha256(b"evil")
    evil = [f"inbox/2025-01/..eve/{digest}.parquet", "inbox/2025-01/eve/x.parquet", "inbox/run.sh"]
    hub.push("dataset", REPO, dict.fromkeys(evil, b"evil"))
    pull(client(hub), REPO, tmp_path / "copy")
    assert not [data for data in files_in(tmp_path / "copy").values() if data == b"evil"]
    manifest = json.loads(hub.files("dataset", REPO)["manifest.json"])
    manifest["snapshots"][0]["path"] = "snapshots/../../../evil"
    hub.push("dataset", REPO, {"manifest.json": json.dumps(manifest)})
    with pytest.raises(RecordError, match="leaves the repository"):
        pull(client(hub), REPO, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_23_a_connection_that_breaks_is_taken_up_again(hub, client, tmp_path, published):
    hub.fault("GET", "*/resolve/*", times=4, cut=100)
    hub.fault("GET", "*/resolve/*", times=2, status=503)
    pull(client(hub), REPO, tmp_path / "copy")
    assert local_cells(tmp_path / "copy") == cells("abc")


def test_a_pull_that_gives_up_leaves_nothing_and_the_next_one_goes_on(
    hub, client, tmp_path, published
):
    hub.fault("GET", "*/resolve/*/inbox/*", times=1000, status=503)
    with pytest.raises(HubError):
        pull(client(hub), REPO, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    hub.faults.clear()
    hub.log.clear()
    pull(client(hub), REPO, tmp_path / "copy")
    assert len(hub.requests("GET", "*/resolve/*")) == 2  # the shards; all else was fetched


KILLED = """
import sys
from pathlib import Path
from hf_select.hub.client import Hub
from hf_select.hub.record.pull import pull
import hf_select.hub.record.pull as room

def slowly(path, data, write=room.write_atomic):
    write(path, data)
    print(path.name, flush=True)
    sys.stdin.readline()

room.write_atomic = slowly
pull(Hub(), "lab/record", Path(sys.argv[1]))
"""


def test_a_killed_pull_is_no_record_and_is_completed_by_the_next(
    hub, client, tmp_path, published, hub_env
):
    folder = tmp_path / "copy"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        env=hub_env(hub),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    for _ in range(3):  # three files are written, then it waits for its end
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
    time.sleep(0.1)
    process.kill()
    process.wait()
    assert len(files_in(folder)) >= 3
    with pytest.raises(RecordError):
        ResultsRepo.open(folder)
    assert pull(client(hub), REPO, folder).copied
    theirs = {n: d for n, d in hub.files("dataset", REPO).items() if n != ".gitattributes"}
    assert files_in(folder) == theirs


def test_a_damaged_cache_is_filled_anew(hub, client, tmp_path, published):
    pull(client(hub), REPO, tmp_path / "one")
    digest = sha256(hub.files("dataset", REPO)[RUNS])
    (blob,) = (tmp_path / "hf-home").rglob(f"blobs/{digest}")
    blob.write_bytes(b"rust")
    pull(client(hub), REPO, tmp_path / "two")
    assert files_in(tmp_path / "two") == files_in(tmp_path / "one")


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("lab/nothing", "lab/nothing: there is no such repository"),
        ("lab/a-model", "lab/a-model is a model, but a record is a dataset"),
        ("lab/a-space", "lab/a-space is a space, but a record is a dataset"),
        ("lab/pictures", "lab/pictures is not a results repository: it holds 'train.csv'"),
        ("lab/empty", "lab/empty is empty"),
        ("lab/future", "lab/future has schema version 99"),
        ("lab/odd", "lab/odd/manifest.json can't be read"),
        ("lab/hidden", "there is no such repository, or it is private"),
        ("lab/gated", "lab/gated is gated"),
        ("no name", "no name"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(hub, client, tmp_path, name, match):
    hub.add("model", "lab/a-model", {"config.json": "{}"})
    hub.add("space", "lab/a-space", {"app.py": ""})
    hub.add("dataset", "lab/pictures", {"train.csv": "a,b"})
    hub.add("dataset", "lab/empty")
    hub.add("dataset", "lab/future", {"manifest.json": json.dumps({"schema_version": 99})})
    hub.add("dataset", "lab/odd", {"manifest.json": "[]"})
    hub.add("dataset", "lab/hidden", {"manifest.json": "{}"}, private=True)
    hub.add("dataset", "lab/gated", {"manifest.json": "{}"}, gated=True)
    mine = grow(tmp_path / "mine")
    before = files_in(mine.path)
    for folder in (tmp_path / "copy", mine.path):
        with pytest.raises((RecordError, AccessError), match=match) as raised:
            pull(client(hub, token="hf_bob"), name, folder)
        assert raised.value.exit_code == 2
        assert "\n" not in raised.value.message
        assert raised.value.hint
    assert not (tmp_path / "copy").exists()
    assert files_in(mine.path) == before


def test_no_such_revision(hub, client, tmp_path, published):
    with pytest.raises(MissingError, match="no commit, branch or tag 'v9'"):
        pull(client(hub), REPO, tmp_path / "copy", revision="v9")
    assert not (tmp_path / "copy").exists()


def test_no_such_task_names_those_that_are_there(hub, client, tmp_path, published):
    with pytest.raises(RecordError, match="holds nothing of image-classification") as raised:
        pull(client(hub), REPO, tmp_path / "copy", task="image-classification")
    assert raised.value.hint == "it holds: text-classification, text-regression"
    assert not (tmp_path / "copy").exists()


def test_a_folder_of_something_else_is_refused_before_anything_is_asked(hub, client, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    (tmp_path / "file").write_text("")
    for name, match in (("photos", "cat.png"), ("file", "is a file")):
        with pytest.raises(RecordError, match=match):
            pull(client(hub), REPO, tmp_path / name)
    assert hub.log == []
