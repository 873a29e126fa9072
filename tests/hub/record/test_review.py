"""What a maintainer is told about a contribution before it is merged."""

from __future__ import annotations

import pytest
from hub.record.records import grow, publish, snapshot_of
from results.made import run

from hf_select.errors import InputError, RecordError
from hf_select.files import sha256
from hf_select.hub.record import review
from hf_select.hub.record.compaction import compact
from hf_select.hub.record.pull_requests import open_pull_requests
from hf_select.hub.record.review import review_pull_request, review_record
from hf_select.results.schema import encode

REPO = "lab/record"


@pytest.fixture
def published(hub, client, tmp_path):
    """A record with models a and b, and a pull request of bob's that adds c."""
    publish(client(hub), grow(tmp_path / "founder"), REPO)
    bob = client(hub, token="hf_bob")
    publish(bob, grow(tmp_path / "bobs", "abc"), REPO, create_pr=True)


def propose(bob, files, deleted=(), create_pr=True, revision=None):
    """A commit by bob that hf-select would never make."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    operations += [CommitOperationDelete(path) for path in deleted]
    bob.api.create_commit(
        REPO,
        operations,
        commit_message="By hand",
        repo_type="dataset",
        create_pr=create_pr,
        revision=revision,
    )


def shard(*runs, month="2025-02", submitter="bob"):
    data = encode("runs", runs, "2025-02-01T00:00:00+00:00")
    return {f"inbox/{month}/{submitter}/{sha256(data)}.parquet": data}


def test_a_good_contribution(hub, client, published):
    report = review_pull_request(client(hub), REPO, 1)
    assert report.ok
    assert (report.files, report.rows, report.accepted) == (2, 3, 3)


def test_the_record_itself(hub, client, tmp_path, published):
    assert review_record(client(hub), REPO).files == 0
    hub.merge("dataset", REPO, 1)
    report = review_record(client(hub), REPO)
    assert (report.ok, report.rows) == (True, 3)


def test_31_each_bad_row_is_named_and_the_good_ones_count(hub, client, published):
    bob = client(hub, token="hf_bob")
    good = run("a", "x", 0.9, seed=1, submitter="bob")
    unknown = run("ghost", "x", 0.9, submitter="bob")
    stolen = run("b", "x", 0.9, seed=1, submitter="alice")
    propose(bob, shard(good, unknown, stolen))
    report = review_pull_request(client(hub), REPO, 2)
    assert (report.rows, report.accepted) == (3, 1)
    assert [refusal.row for refusal in report.refused] == [1, 2]
    assert "ghost" in report.refused[0].reason
    assert "somebody else's folder" in report.refused[1].reason


def test_files_that_are_none_of_ones_business_are_refused_by_name(hub, client, published):
    bob = client(hub, token="hf_bob")
    row = run("a", "x", 0.9, seed=1, submitter="bob")
    propose(
        bob,
        {
            **shard(row, submitter="alice"),
            "manifest.json": b"{}",
            "snapshots/1/evil.parquet": b"PAR1",
            "run.py": b"import os",
            "inbox/2025-02/bob/notes.txt": b"hello",
        },
        deleted=["snapshots/1/recipes.parquet"],
    )
    report = review_pull_request(client(hub), REPO, 2)
    reasons = {refusal.file: refusal.reason for refusal in report.refused}
    assert len(reasons) == report.files == 6
    assert "folder of alice" in reasons[next(name for name in reasons if "alice" in name)]
    for name in ("manifest.json", "snapshots/1/recipes.parquet"):
        assert "changed or removed" in reasons[name]
    for name in ("run.py", "snapshots/1/evil.parquet", "inbox/2025-02/bob/notes.txt"):
        assert "inbox/<yyyy-mm>/bob/<sha256>.parquet" in reasons[name]
    assert not report.ok


def test_a_shard_that_is_too_large_is_not_even_downloaded(hub, client, published, monkeypatch):
    monkeypatch.setattr(review, "LARGEST", 10_000)
    name = f"inbox/2025-02/bob/{'0' * 64}.parquet"
    propose(client(hub, token="hf_bob"), {name: b"PAR1" * 5000})
    report = review_pull_request(client(hub), REPO, 2)
    (refusal,) = report.refused
    assert (refusal.file, report.files) == (name, 1)
    assert "20000 bytes" in refusal.reason
    assert not hub.requests("GET", f"*{name}")


def test_34_a_shard_that_is_cut_off_is_refused_whole(hub, client, published):
    name = f"inbox/2025-02/bob/{'0' * 64}.parquet"
    propose(client(hub, token="hf_bob"), {name: b"PAR1..."})
    (refusal,) = review_pull_request(client(hub), REPO, 2).refused
    assert (refusal.file, refusal.row) == (name, None)
    assert "cut off" in refusal.reason


def test_what_main_did_meanwhile_is_not_the_contributors_doing(hub, client, tmp_path, published):
    alice = client(hub)
    publish(alice, grow(tmp_path / "founder", "defgh"), REPO)
    compact(alice, REPO)
    for letter in "jk":  # the generation that the pull request left from is removed
        publish(alice, grow(tmp_path / "founder", letter), REPO)
        compact(alice, REPO)
    report = review_pull_request(alice, REPO, 1)
    assert (report.ok, report.files, report.rows) == (True, 2, 3)


def test_a_long_history_is_read_page_by_page(hub, client, tmp_path, published):
    for number in range(120):
        hub.push("dataset", REPO, {"NOTES": str(number)})
    hub.log.clear()
    assert review_pull_request(client(hub), REPO, 1).ok
    pages = hub.requests("GET", "*/commits/*")
    assert 3 <= len(pages) <= 5


def test_the_recipe_can_be_accepted(hub, client, tmp_path, published):
    from hf_select.records import LearningCurve, Recipe

    recipe = Recipe(epochs=1)
    curve = LearningCurve.of(recipe.rungs(), [0.5] * len(recipe.rungs()))
    row = run("a", "x", key={"recipe": recipe.digest()}, curve=curve, submitter="bob")
    data = encode("recipes", [recipe], "2025-02-01T00:00:00+00:00")
    files = {f"inbox/2025-02/bob/{sha256(data)}.parquet": data}
    propose(client(hub, token="hf_bob"), files | shard(row))
    assert not review_pull_request(client(hub), REPO, 2).ok
    assert review_pull_request(client(hub), REPO, 2, accept_new_recipes=True).ok


def test_the_outcome_can_be_written_below_the_pull_request(hub, client, published):
    bob = client(hub, token="hf_bob")
    evil = run("<img src=x> @everyone `x`", "x", submitter="bob")
    propose(bob, shard(evil), create_pr=False, revision="refs/pr/1")
    review_pull_request(client(hub), REPO, 1, comment=True)
    events = hub.repo("dataset", REPO).discussions[1].events
    text = next(e["data"]["latest"]["raw"] for e in reversed(events) if e["type"] == "comment")
    assert "3 of 4 rows can be used" in text
    assert not {"<", "@", "`"} & set(text.split("\n- ", 1)[1])
    assert "<img" not in text


def test_nothing_is_written_without_a_comment(hub, client, published):
    before = snapshot_of(hub, REPO)
    review_pull_request(client(hub), REPO, 1)
    review_record(client(hub), REPO)
    assert snapshot_of(hub, REPO) == before
    assert not [r for r in hub.log[-30:] if r.method == "POST" and "comment" in r.path]


def test_a_pull_request_that_is_not_open(hub, client, published):
    hub.close("dataset", REPO, 1)
    propose(client(hub, token="hf_bob"), {"x": b"1"})
    with pytest.raises(InputError, match="no open pull request 1") as raised:
        review_pull_request(client(hub), REPO, 1)
    assert raised.value.hint == "open ones: 2"


def test_a_record_without_pull_requests(hub, client, tmp_path):
    publish(client(hub), grow(tmp_path / "founder"), REPO)
    assert open_pull_requests(client(hub), REPO) == []
    with pytest.raises(InputError) as raised:
        review_pull_request(client(hub), REPO, 3)
    assert raised.value.hint == "open ones: none"
    hub.add("dataset", "lab/empty")
    with pytest.raises(RecordError):
        review_record(client(hub), "lab/empty")
