"""A record on the Hub read in parts: the same answers as a folder's, few bytes, no damaged one."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results.made import RECIPE, TASK, dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import AccessError, HubError, MissingError, RecordError
from hf_select.files import sha256
from hf_select.hub.record import remote
from hf_select.hub.record.pull import pull
from hf_select.hub.record.remote import HubRecord, Reading, split_id
from hf_select.records import ProxyRow
from hf_select.results.repo import ResultsRepo

REPO = "lab/record"
MODELS = tuple(f"m{i:03d}" for i in range(40))
DATASETS = ("x", "y", "z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compacted record of 40 models on 3 benchmarks, two seeds each."""
    path = tmp_path_factory.mktemp("local") / "record"
    repo = ResultsRepo.create(path)
    rng = np.random.default_rng(3)
    repo.append(
        [
            run(m, d, float(rng.integers(200, 400)) / 400, seed=seed)
            for m in MODELS
            for d in DATASETS
            for seed in (0, 1)
        ],
        models=[model(m, num_parameters=1000 + i) for i, m in enumerate(MODELS)],
        datasets=[dataset(d) for d in DATASETS],
        recipes=[RECIPE],
        proxies=[
            ProxyRow(m, model(m).revision, "x", dataset("x").revision, "leep", -0.5, task=TASK)
            for m in MODELS[:3]
        ],
    )
    repo.compact(cluster=cluster_models)
    return path


def files_of(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


def upload(hub: Any, folder: Path) -> str:
    """The record's files as a dataset of the Hub; returns the commit."""
    return str(hub.add("dataset", REPO, files_of(folder)))


def bodies(hub: Any) -> int:
    """Bytes of files that the Hub has sent."""
    return sum(request.bytes_out for request in hub.requests("GET", "*/resolve/*"))


# -------------------------------------------------------------------------------- same answers


@pytest.mark.parametrize("whole", [remote.WHOLE, 0], ids=["whole files", "ranges"])
def test_it_reads_as_a_folder_does(
    hub: Any, client: Any, folder: Path, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WHOLE", whole)
    upload(hub, folder)
    there, here = HubRecord(client(hub), REPO), ResultsRepo.open(folder)
    assert there.tasks() == here.tasks()
    assert there.recipes(TASK) == here.recipes(TASK)
    assert there.recipe(RECIPE.digest()) == here.recipe(RECIPE.digest())
    assert there.sizes(TASK) == here.sizes(TASK)
    some = ["m003", "m021", "m022"]
    assert there.models(TASK, names=some) == here.models(TASK, names=some)
    assert there.datasets(TASK) == here.datasets(TASK)
    assert [repr(row) for row in there.proxies(TASK)] == [repr(row) for row in here.proxies(TASK)]
    one, other = there.matrix(TASK), here.matrix(TASK)
    assert (one.models, one.datasets, one.recipe) == (other.models, other.datasets, other.recipe)
    np.testing.assert_array_equal(one.scores, other.scores)
    for names in (None, some):
        one_set, other_set = there.curves(TASK, models=names), here.curves(TASK, models=names)
        assert one_set.models == other_set.models
        np.testing.assert_array_equal(one_set.val, other_set.val)
        np.testing.assert_array_equal(one_set.test, other_set.test)
    mine, theirs = there.clustering(TASK), here.clustering(TASK)
    assert mine is not None
    assert theirs is not None
    np.testing.assert_array_equal(mine.labels, theirs.labels)


def test_it_is_pinned_to_the_commit_that_it_was_opened_at(
    hub: Any, client: Any, folder: Path
) -> None:
    commit = upload(hub, folder)
    record = HubRecord(client(hub), REPO)
    hub.push("dataset", REPO, {"manifest.json": "{}"})
    assert record.revision == commit
    assert len(record.matrix(TASK).models) == len(MODELS)
    with pytest.raises(RecordError):
        HubRecord(client(hub), REPO)
    assert HubRecord(client(hub), REPO, commit[:12]).revision == commit
    assert HubRecord(client(hub), REPO, commit).sizes(TASK)["m000"] == 1000


# ------------------------------------------------------------------------------- bytes, requests


def test_what_is_read_is_counted(hub: Any, client: Any, folder: Path) -> None:
    upload(hub, folder)
    record = HubRecord(client(hub), REPO)
    record.matrix(TASK)
    read = record.reading
    assert (read.repo_id, read.revision) == (REPO, record.revision)
    assert read.requests == len(hub.log)
    assert read.bytes == bodies(hub)


def test_of_a_big_file_only_parts_are_read(
    hub: Any, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WHOLE", 0)
    upload(hub, folder)
    record = HubRecord(client(hub), REPO)
    before = len(hub.log)
    record.models(TASK, names=["m003"])
    paths = {request.path.rpartition("/")[2] for request in hub.log[before:]}
    assert "models.parquet" in paths
    assert "runs.parquet" not in paths
    assert all("range" in r.headers for r in hub.log[before:] if r.path.endswith(".parquet"))


def test_a_second_command_at_the_same_commit_takes_whole_files_from_the_cache(
    hub: Any, client: Any, folder: Path
) -> None:
    upload(hub, folder)
    HubRecord(client(hub), REPO).matrix(TASK)
    before = len(hub.log)
    again = HubRecord(client(hub), REPO)
    again.matrix(TASK)
    asked = [request.path for request in hub.log[before:]]
    assert not any(path.endswith(".parquet") for path in asked)
    assert again.reading.bytes == len((folder / "manifest.json").read_bytes())


def test_what_waits_in_the_inbox_is_counted(hub: Any, client: Any, folder: Path) -> None:
    upload(hub, folder)
    assert HubRecord(client(hub), REPO).waiting() == (0, False)
    shards = {f"inbox/2026-11/bob/{i:064x}.parquet": b"x" for i in range(3)}
    hub.push("dataset", REPO, {**shards, "inbox/README": "not a shard"})
    record = HubRecord(client(hub), REPO)
    before = len(hub.log)
    assert record.waiting() == (3, False)
    assert len(hub.log) == before + 1
    hub.push("dataset", REPO, {f"inbox/2026-12/bob/{i:064x}.parquet": b"x" for i in range(1200)})
    count, more = HubRecord(client(hub), REPO).waiting()
    assert more
    assert count > 900


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (Reading("a/b", "1" * 40, 400_000, 9), "read 0.4 MB of a/b at 1111111 in 9 requests"),
        (Reading("a/b", "1" * 40, 900, 1), "read 1 kB of a/b at 1111111 in 1 request"),
        (Reading("a/b", "1" * 40, 0, 2), "read a/b at 1111111 from the cache of this machine"),
    ],
)
def test_in_words(read: Reading, words: str) -> None:
    assert str(read) == words


# ------------------------------------------------------------------------------------- faults


def damaged(hub: Any, name: str) -> None:
    """Another content under the name of a file of the snapshot; the manifest stays."""
    path = f"snapshots/1/task={TASK}/{name}.parquet"
    data = bytearray(hub.files("dataset", REPO)[path])
    data[len(data) // 3] ^= 1
    hub.push("dataset", REPO, {path: bytes(data)})


READ = {
    "matrix": lambda record: record.matrix(TASK),
    "sizes": lambda record: record.sizes(TASK),
    "clusters": lambda record: record.clustering(TASK),
    "datasets": lambda record: record.datasets(TASK),
    "models": lambda record: record.models(TASK, names=["m003"]),
    "runs": lambda record: record.curves(TASK, models=["m003"]),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("whole", [remote.WHOLE, 0], ids=["whole files", "ranges"])
def test_32_a_file_that_is_not_the_manifests_is_refused(
    hub: Any,
    client: Any,
    folder: Path,
    name: str,
    whole: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "WHOLE", whole)
    upload(hub, folder)
    damaged(hub, name)
    record = HubRecord(client(hub), REPO)
    with pytest.raises(RecordError, match=rf"{name}\.parquet was changed or damaged"):
        READ[name](record)


def test_32_a_small_file_outside_of_lfs_is_checked_too(
    hub: Any, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git knows no sha256 of it, so it is read whole, however big it is."""
    monkeypatch.setattr(remote, "WHOLE", 0)
    hub.add("dataset", REPO, {".gitattributes": "# nothing is big\n"})
    hub.push("dataset", REPO, files_of(folder))
    tree = client(hub).tree(REPO, repo_type="dataset", revision="main", path="snapshots")
    assert all(info.sha256 is None for info in tree)
    assert HubRecord(client(hub), REPO).models(TASK, names=["m003"])
    damaged(hub, "models")
    with pytest.raises(RecordError, match="changed or damaged"):
        HubRecord(client(hub), REPO).models(TASK, names=["m003"])


def test_a_file_that_is_missing_is_named(hub: Any, client: Any, folder: Path) -> None:
    upload(hub, folder)
    hub.push("dataset", REPO, {}, delete=[f"snapshots/1/task={TASK}/matrix.parquet"])
    with pytest.raises(RecordError, match=r"matrix\.parquet is in the manifest but missing"):
        HubRecord(client(hub), REPO).matrix(TASK)


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 429, "headers": {"Retry-After": "7"}}, {"cut": 100}]
)
def test_23_a_broken_answer_is_asked_for_again(
    hub: Any, client: Any, folder: Path, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WHOLE", 0)
    upload(hub, folder)
    struck = hub.fault("GET", "*/resolve/*runs.parquet", after=1, **fault)
    curves = HubRecord(client(hub), REPO).curves(TASK, models=["m003"])
    assert struck.struck == 1
    here = ResultsRepo.open(folder).curves(TASK, models=["m003"])
    np.testing.assert_array_equal(curves.val, here.val)


def test_23_a_hub_that_stays_down_is_no_bad_input(hub: Any, client: Any, folder: Path) -> None:
    upload(hub, folder)
    record = HubRecord(client(hub, attempts=2), REPO)
    hub.fault("GET", "*/resolve/*", status=503, times=100)
    with pytest.raises(HubError) as error:
        record.matrix(TASK)
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"README.md": "Words."}, "is not a results repository"),
        ({"manifest.json": "{}"}, "can't be read"),
        ({"manifest.json": '{"schema_version": 99}'}, "schema version 99, newer"),
        (
            {"manifest.json": '{"schema_version": 1, "generation": 0, "snapshots": []}'},
            "holds no snapshot yet",
        ),
    ],
    ids=["no manifest", "no record", "newer", "empty"],
)
def test_what_is_no_record(hub: Any, client: Any, files: dict[str, str], words: str) -> None:
    hub.add("dataset", REPO, files)
    with pytest.raises(RecordError, match=words) as error:
        HubRecord(client(hub), REPO)
    assert REPO in str(error.value)


@pytest.mark.parametrize(
    ("repo", "revision", "missing"),
    [
        ("lab/nothing", None, "repository"),
        (REPO, "v9", "revision"),
        (REPO, "0" * 40, "revision"),
        ("lab/model", None, "repository"),
        ("bob/private", None, "repository"),
    ],
)
def test_27_what_is_not_there(
    hub: Any, client: Any, folder: Path, repo: str, revision: str | None, missing: str
) -> None:
    upload(hub, folder)
    hub.add("model", "lab/model")
    hub.add("dataset", "bob/private", private=True)
    with pytest.raises(MissingError) as error:
        HubRecord(client(hub), repo, revision)
    assert error.value.missing == missing
    assert client.slept == []


def test_29_offline_no_request_is_made(
    hub: Any, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    upload(hub, folder)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AccessError, match="offline") as error:
        HubRecord(client(hub), REPO)
    assert "hf-select pull lab/record" in error.value.hint
    assert hub.log == []


def test_29_offline_what_was_read_at_a_commit_is_served(
    hub: Any, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, unplug: Any
) -> None:
    commit = upload(hub, folder)
    there = HubRecord(client(hub), REPO)
    matrix, curves = there.matrix(TASK), there.curves(TASK, models=["m003"])
    unplug()
    again = HubRecord(client(hub), REPO, commit)
    np.testing.assert_array_equal(again.matrix(TASK).scores, matrix.scores)
    np.testing.assert_array_equal(again.curves(TASK, models=["m003"]).test, curves.test)
    assert again.waiting() == (0, False)
    assert str(again.reading).endswith("from the cache of this machine")
    with pytest.raises(AccessError, match="offline") as error:
        again.proxies(TASK)  # not read before
    assert "hf-select pull lab/record" in error.value.hint
    with pytest.raises(AccessError, match="offline"):
        HubRecord(client(hub), REPO, "0" * 40)


def test_29_offline_all_of_a_commit_that_was_pulled_is_served(
    hub: Any,
    client: Any,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unplug: Any,
) -> None:
    monkeypatch.setattr(remote, "WHOLE", 0)
    commit = upload(hub, folder)
    pull(client(hub), REPO, tmp_path / "copy")
    unplug()
    record = HubRecord(client(hub), REPO, commit)
    assert len(record.matrix(TASK).models) == len(MODELS)
    assert len(record.curves(TASK).models) == len(MODELS)


def test_29_offline_a_cached_file_that_was_changed_is_refused(
    hub: Any, client: Any, folder: Path, unplug: Any
) -> None:
    from huggingface_hub import constants

    commit = upload(hub, folder)
    HubRecord(client(hub), REPO).matrix(TASK)
    unplug()
    for path in Path(constants.HF_HUB_CACHE).rglob("snapshots/**/matrix.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RecordError, match="sha256"):
        HubRecord(client(hub), REPO, commit).matrix(TASK)


@pytest.fixture
def unplug(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`unplug()`: offline mode from now on, and an error where a socket is made."""
    from huggingface_hub import constants

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket in offline mode")

    def now() -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(socket.socket, "connect", refuse)

    return now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lab/record", ("lab/record", None)),
        ("lab/record@" + "a" * 40, ("lab/record", "a" * 40)),
        ("lab/record@refs/pr/3", ("lab/record", "refs/pr/3")),
        ("record", None),
        ("./lab/record", None),
        ("../record", None),
        ("/lab/record", None),
        ("lab/record/more", None),
        ("lab/..", None),
        ("lab/record@", None),
        ("~/record", None),
    ],
)
def test_what_is_taken_for_a_name_on_the_hub(text: str, expected: Any) -> None:
    assert split_id(text) == expected


def test_the_manifest_says_what_is_there(folder: Path) -> None:
    """What these tests stand on: entries with the sha256 of their files."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["snapshots"]:
        assert sha256((folder / entry["path"]).read_bytes()) == entry["sha256"]
