"""Compaction of the dataset on the Hub: one commit, two generations, and nothing that gets lost."""

from __future__ import annotations

import json

import pytest
from hub.record.records import cells, files_in, grow, publish, snapshot_of, stored_cells
from results.made import dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import AccessError, ConflictError, HubError, MissingError, RecordError
from hf_select.files import sha256
from hf_select.hub.record.compaction import compact
from hf_select.hub.record.pull import pull
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import encode

REPO = "lab/record"


@pytest.fixture
def published(hub, client, tmp_path):
    """Generation 1 with models a and b, and shards of c and d in the inbox."""
    alice = client(hub)
    publish(alice, grow(tmp_path / "founder"), REPO, cluster=cluster_models)
    for letter in "cd":
        publish(alice, grow(tmp_path / "founder", letter), REPO)
    hub.log.clear()


def names(hub, start):
    return sorted(name for name in hub.files("dataset", REPO) if name.startswith(start))


def commit_requests(hub):
    return len(hub.requests("POST", "*/commit/*"))


def test_the_inbox_becomes_the_next_snapshot_in_one_commit(hub, client, published):
    done = compact(client(hub), REPO, cluster=cluster_models)
    assert (done.generation, done.shards, done.refused) == (2, 4, ())
    assert done.commit == hub.commits("dataset", REPO)[0].sha
    assert commit_requests(hub) == 1
    assert names(hub, "inbox/") == []
    assert stored_cells(hub, REPO) == cells("abcd")
    files = hub.files("dataset", REPO)
    manifest = json.loads(files["manifest.json"])
    assert all(sha256(files[e["path"]]) == e["sha256"] for e in manifest["snapshots"])
    assert "clusters" in {entry["kind"] for entry in manifest["snapshots"]}
    assert "snapshots/2/" in files["README.md"].decode()


def test_two_generations_are_kept_for_readers_under_way(hub, client, tmp_path, published):
    for letter in "efg":
        compact(client(hub), REPO)
        publish(client(hub), grow(tmp_path / "founder", letter), REPO)
    compact(client(hub), REPO)
    generations = {name.split("/")[1] for name in names(hub, "snapshots/")}
    assert generations == {"4", "5"}
    assert stored_cells(hub, REPO) == cells("abcdefg")


def test_nothing_new_is_no_commit(hub, client, published):
    compact(client(hub), REPO, cluster=cluster_models)
    before = snapshot_of(hub, REPO)
    again = compact(client(hub), REPO, cluster=cluster_models)
    assert (again.commit, again.generation, again.shards) == (None, 2, 0)
    assert snapshot_of(hub, REPO) == before


def test_the_groups_of_the_snapshot_before_are_given_to_the_next(hub, client, published):
    given = []

    def group(matrix, old):
        given.append(None if old is None else old.models)
        return cluster_models(matrix, old)

    compact(client(hub), REPO, cluster=group)
    assert given == [("a", "b")]


def test_a_hand_edited_card_keeps_its_words(hub, client, published):
    card = hub.files("dataset", REPO)["README.md"].decode()
    hub.push("dataset", REPO, {"README.md": card + "\nWrite to us.\n"})
    compact(client(hub), REPO)
    assert "Write to us." in hub.files("dataset", REPO)["README.md"].decode()


def test_other_files_of_the_dataset_stay(hub, client, published):
    hub.push("dataset", REPO, {"LICENSE": "mine", "docs/figure.txt": "f", "inbox/README": "why"})
    compact(client(hub), REPO)
    files = hub.files("dataset", REPO)
    assert {"LICENSE", "docs/figure.txt", "inbox/README"} <= set(files)


@pytest.mark.parametrize("status", [409, 412])
def test_25_a_publish_in_between_is_not_lost(hub, client, tmp_path, published, monkeypatch, status):
    alice = client(hub)
    preupload, seen = alice.api.preupload_lfs_files, []

    def overtaken(*args, **options):
        preupload(*args, **options)
        if not seen:
            seen.append(publish(client(hub), grow(tmp_path / "other", "e"), REPO))

    monkeypatch.setattr(alice.api, "preupload_lfs_files", overtaken)
    if status == 409:
        hub.fault("POST", "*/commit/*", status=409, after=1)
    done = compact(alice, REPO)
    assert done.shards == 6  # those of c, d and e: all was done again
    assert names(hub, "inbox/") == []
    assert stored_cells(hub, REPO) == cells("abcde")


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": 0}], ids=["500", "reset"])
def test_26_a_compaction_that_was_applied_though_it_failed_is_not_made_twice(
    hub, client, published, fault
):
    count = len(hub.commits("dataset", REPO))
    hub.fault("POST", "*/commit/*", applied=True, **fault)
    done = compact(client(hub), REPO)
    assert (done.generation, done.shards) == (2, 4)
    assert done.commit == hub.commits("dataset", REPO)[0].sha
    assert len(hub.commits("dataset", REPO)) == count + 1
    assert stored_cells(hub, REPO) == cells("abcd")


def test_a_compaction_that_gives_up_has_changed_nothing(hub, client, published):
    before = snapshot_of(hub, REPO)
    for status, error in ((503, HubError), (412, ConflictError)):
        hub.fault("POST", "*/commit/*", times=1000, status=status)
        with pytest.raises(error):
            compact(client(hub), REPO)
        hub.faults.clear()
        assert snapshot_of(hub, REPO) == before
    assert compact(client(hub), REPO).generation == 2


def test_31_bad_rows_are_set_aside_and_the_good_ones_folded(hub, client, published):
    rows = [
        run("e", "x", 0.5, submitter="eve"),
        run("nobody", "x", 0.5, submitter="eve"),
        run("e", "y", 0.5, submitter="alice"),
    ]
    shards = {}
    for kind, mine in (("models", [model("e")]), ("runs", rows)):
        data = encode(kind, mine, "2025-02-01T00:00:00+00:00")
        shards[f"inbox/2025-02/eve/{sha256(data)}.parquet"] = data
    hub.push("dataset", REPO, shards)
    done = compact(client(hub), REPO)
    assert [refusal.row for refusal in done.refused] == [1, 2]
    assert "nobody" in str(done.refused[0])
    assert "somebody else's folder" in str(done.refused[1])
    aside = names(hub, "quarantine/")
    assert [name for name in aside if name.endswith(".parquet")] == [
        list(shards)[1].replace("inbox", "quarantine")
    ]
    assert stored_cells(hub, REPO) == cells("abcd") + cells("e", "x")
    assert names(hub, "inbox/") == []


def test_31_a_shard_of_a_newer_schema_waits(hub, client, published, monkeypatch):
    from hf_select.results import schema

    with monkeypatch.context() as later:
        later.setattr(schema, "SCHEMA_VERSION", 99)
        data = encode("models", [model("new")], "2025-02-01T00:00:00+00:00")
    name = f"inbox/2025-02/eve/{sha256(data)}.parquet"
    hub.push("dataset", REPO, {name: data})
    for commit in (True, False):  # it is named as long as it waits
        done = compact(client(hub), REPO)
        assert (done.commit is not None) == commit
        assert any("99" in str(refusal) for refusal in done.refused)
        assert names(hub, "inbox/") == [name]


def test_32_a_snapshot_that_is_not_the_manifests_is_not_built_on(hub, client, published):
    name = "snapshots/1/task=text-classification/runs.parquet"
    hub.push("dataset", REPO, {name: b"something else"})
    before = snapshot_of(hub, REPO)
    with pytest.raises(RecordError, match=f"{REPO}: {name} was changed"):
        compact(client(hub), REPO)
    assert snapshot_of(hub, REPO) == before


def test_33_the_same_key_with_two_scores_stays_twice(hub, client, tmp_path, published):
    local = ResultsRepo.create(tmp_path / "two")
    local.append([run("a", "x", 0.99)], models=[model("a")], datasets=[dataset("x")])
    publish(client(hub), local, REPO)
    compact(client(hub), REPO)
    assert stored_cells(hub, REPO)["a", "x"] == 2
    pull(client(hub), REPO, tmp_path / "copy")
    (clash,) = ResultsRepo.open(tmp_path / "copy").disagreements()
    assert clash.flagged


def test_34_a_shard_that_is_cut_off_is_set_aside(hub, client, published):
    good = hub.files("dataset", REPO)[names(hub, "inbox/")[0]]
    bad = f"inbox/2025-02/eve/{'0' * 64}.parquet"
    hub.push("dataset", REPO, {bad: good[:150]})
    done = compact(client(hub), REPO)
    assert bad in str(done.refused[0])
    assert names(hub, "quarantine/") == [bad.replace("inbox", "quarantine")]
    assert stored_cells(hub, REPO) == cells("abcd")


def test_the_compacted_record_is_the_one_that_was_there(hub, client, tmp_path, published):
    """A copy pulled before and compacted at home holds the same rows."""
    pull(client(hub), REPO, tmp_path / "before")
    compact(client(hub), REPO, cluster=cluster_models)
    pull(client(hub), REPO, tmp_path / "after")
    home = ResultsRepo.open(tmp_path / "before")
    home.compact(cluster=cluster_models)
    mine, theirs = files_in(home.path), files_in(tmp_path / "after")
    tables = [name for name in theirs if name.startswith("snapshots/2/")]
    assert {n: mine[n] for n in tables} == {n: theirs[n] for n in tables}
    assert ResultsRepo.open(tmp_path / "after").verify() == []


# --------------------------------------------------------------------------------- bad input


def test_without_rights_nothing_happens(hub, client, published):
    before = snapshot_of(hub, REPO)
    for token in ("hf_bob", "hf_reader"):
        with pytest.raises(AccessError) as raised:
            compact(client(hub, token=token), REPO)
        assert raised.value.exit_code == 2
    assert snapshot_of(hub, REPO) == before


def test_a_card_that_is_no_yaml_is_not_written_over(hub, client, published):
    hub.push("dataset", REPO, {"README.md": "---\nlicense: [mit\n---\n# Words\n"})
    before = snapshot_of(hub, REPO)
    with pytest.raises(RecordError, match=f"{REPO}.README.md") as raised:
        compact(client(hub), REPO)
    assert "\n" not in raised.value.message
    assert raised.value.hint
    assert snapshot_of(hub, REPO) == before


def test_what_is_no_record_is_refused(hub, client):
    hub.add("model", "lab/a-model", {"config.json": "{}"})
    hub.add("dataset", "lab/empty")
    for name, error in (
        ("lab/nothing", MissingError),
        ("lab/a-model", MissingError),
        ("lab/empty", RecordError),
    ):
        with pytest.raises(error, match=name):
            compact(client(hub), name)
    assert not hub.requests("POST")
