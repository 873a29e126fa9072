"""Publishing over real HTTP: every row arrives once, whoever else publishes, whatever fails."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hub.record.records import (
    cells,
    files_in,
    grow,
    publish,
    snapshot_of,
    stored_cells,
    stored_rows,
)
from results.made import RECIPE, dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import AccessError, HubError, InputError, MissingError, RecordError
from hf_select.files import sha256
from hf_select.hub.record import publish as room
from hf_select.hub.record.compaction import compact
from hf_select.hub.record.outgoing import LocalOnly
from hf_select.hub.record.pull import pull
from hf_select.records import LearningCurve, ProxyRow, Recipe, RunRecord
from hf_select.results.foreign import IMPORTED
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import decode, encode

REPO = "lab/record"


@pytest.fixture
def published(hub, client, tmp_path):
    """A record on the Hub with models a and b on datasets x and y."""
    publish(client(hub), grow(tmp_path / "founder"), REPO, cluster=cluster_models)
    hub.log.clear()
    return REPO


def commits_sent(hub):
    return len(hub.requests("POST", "*/commit/*"))


# ------------------------------------------------------------------------------ first publish


def test_the_first_publish_founds_a_record_in_one_commit(hub, client, tmp_path):
    local = grow(tmp_path / "one", "abcd", "xyz")
    done = publish(client(hub), local, REPO, cluster=cluster_models)
    assert done.created
    assert done.rows == {"recipes": 1, "models": 4, "datasets": 3, "runs": 12}
    assert done.commit == hub.commits("dataset", REPO)[0].sha
    assert commits_sent(hub) == 1
    files = hub.files("dataset", REPO)
    kinds = {entry["kind"] for entry in json.loads(files["manifest.json"])["snapshots"]}
    assert {"runs", "models", "datasets", "matrix", "clusters", "recipes"} <= kinds
    assert "config_name: matrix" in files["README.md"].decode()
    assert not [name for name in files if name.startswith(("inbox/", "quarantine/", "."))][1:]
    assert stored_cells(hub, REPO) == cells("abcd", "xyz")


def test_a_new_dataset_is_private_if_asked(hub, client, tmp_path):
    publish(client(hub), grow(tmp_path / "one"), REPO, private=True)
    assert hub.repo("dataset", REPO).private


def test_private_is_not_promised_for_a_dataset_that_is_public(hub, client, tmp_path, published):
    before = snapshot_of(hub, REPO)
    with pytest.raises(InputError, match="is public"):
        publish(client(hub), grow(tmp_path / "one", "abc"), REPO, private=True)
    assert snapshot_of(hub, REPO) == before


def test_a_card_that_was_written_before_keeps_its_text(hub, client, tmp_path):
    hub.add("dataset", REPO, {"README.md": "---\npretty_name: Ours\n---\n# Our own words\n"})
    done = publish(client(hub), grow(tmp_path / "one"), REPO)
    card = hub.files("dataset", REPO)["README.md"].decode()
    assert not done.created
    assert "pretty_name: Ours" in card
    assert "# Our own words" in card
    assert "config_name: matrix" in card


def test_the_card_of_the_local_record_comes_along(hub, client, tmp_path):
    local = grow(tmp_path / "one")
    local.compact()
    card = tmp_path / "one" / "README.md"
    card.write_text(card.read_text() + "\nWords of mine.\n")
    publish(client(hub), local, REPO)
    assert "Words of mine." in hub.files("dataset", REPO)["README.md"].decode()


def test_a_name_that_a_model_has_is_refused(hub, client, tmp_path):
    """The Hub would allow it, but a slip would make a dataset beside the model that was meant."""
    hub.add("model", REPO, {"config.json": "{}"})
    with pytest.raises(MissingError, match="is a model, but a record is a dataset") as error:
        publish(client(hub), grow(tmp_path / "one"), REPO)
    assert "choose another name" in error.value.hint
    assert not hub.requests("POST")


def test_who_founds_a_record_keeps_the_names_in_it(hub, client, tmp_path):
    local = grow(tmp_path / "one")
    local.append([run("a", "x", 0.9, seed=1, submitter="carol")])
    publish(client(hub), local, REPO)
    runs = [row for row in stored_rows(hub, REPO) if isinstance(row, RunRecord)]
    assert {r.submitter for r in runs} == {"alice", "carol"}


def test_an_empty_record_makes_no_dataset(hub, client, tmp_path):
    done = publish(client(hub), ResultsRepo.create(tmp_path / "one"), REPO)
    assert (done.commit, done.rows, done.created) == (None, {}, False)
    assert ("dataset", REPO) not in hub.store.repos


def test_two_founders_at_once_make_one_record(hub, client, tmp_path):
    alice = client(hub)
    founder = grow(tmp_path / "one", "ab")
    other = grow(tmp_path / "two", "bc")
    hub.add("dataset", REPO)
    preupload = alice.api.preupload_lfs_files

    def overtaken(*args, **options):
        preupload(*args, **options)
        if not hub.files("dataset", REPO).get("manifest.json"):
            publish(client(hub), other, REPO)

    alice.api.preupload_lfs_files = overtaken
    done = publish(alice, founder, REPO)
    assert done.rows == {"models": 1, "runs": 2}  # a; the other founder has sent b
    assert stored_cells(hub, REPO) == cells("abc")


# -------------------------------------------------------------------------------- later ones


def test_later_publishes_only_add_shards_of_ones_own(hub, client, tmp_path, published):
    before = hub.files("dataset", REPO)
    done = publish(client(hub), grow(tmp_path / "one", "abc"), REPO)
    assert done.rows == {"models": 1, "runs": 2}
    after = hub.files("dataset", REPO)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2
    assert all(name.startswith("inbox/2025-01/alice/") for name in set(after) - set(before))
    assert stored_cells(hub, REPO) == cells("abc")


def test_35_publishing_twice_changes_nothing(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "abc")
    publish(client(hub), local, REPO)
    before = snapshot_of(hub, REPO)
    again = publish(client(hub), local, REPO)
    assert again.rows == {}
    assert again.commit == before["commits"][0].sha
    assert snapshot_of(hub, REPO) == before


def test_a_compaction_in_between_is_no_reason_to_send_again(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "abc")
    publish(client(hub), local, REPO)
    compact(client(hub), REPO)
    before = snapshot_of(hub, REPO)
    assert publish(client(hub), local, REPO).rows == {}
    assert snapshot_of(hub, REPO) == before


def test_many_local_shards_become_one_a_kind(hub, client, tmp_path, published):
    for letter in "cdefgh":
        local = grow(tmp_path / "one", letter)
    publish(client(hub), local, REPO)
    added = [name for name in hub.files("dataset", REPO) if name.startswith("inbox/")]
    assert len(added) == 2
    assert stored_cells(hub, REPO) == cells("abcdefgh")


def test_rows_go_out_in_the_name_of_who_sends_them(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "ab")
    local.append([run("a", "x", 0.9, seed=1, submitter="somebody")])
    publish(client(hub), local, REPO)
    extra = [r for r in stored_rows(hub, REPO) if isinstance(r, RunRecord) and r.key.seed == 1]
    assert [r.submitter for r in extra] == ["alice"]


def test_another_score_for_the_same_key_is_sent_once_and_both_stay(
    hub, client, tmp_path, published
):
    local = grow(tmp_path / "one", "c")
    publish(client(hub), local, REPO)
    other = ResultsRepo.open_or_create(tmp_path / "two")
    other.append([run("c", "x", 0.11)], models=[model("c")], datasets=[dataset("x")])
    bob = client(hub)
    assert publish(bob, other, REPO).rows == {"runs": 1}
    assert publish(bob, other, REPO).rows == {}
    assert stored_cells(hub, REPO)["c", "x"] == 2


def test_entries_that_differ_do_not_overwrite_each_other_for_ever(hub, client, tmp_path, published):
    ours = ResultsRepo.create(tmp_path / "ours")
    theirs = ResultsRepo.create(tmp_path / "theirs")
    for repo, seconds in ((ours, 1.0), (theirs, 2.0)):
        row = ProxyRow("a", model("a").revision, "x", dataset("x").revision, "leep", -0.5, seconds)
        repo.append(
            models=[model("a", license="mit" if repo is ours else "")],
            datasets=[dataset("x")],
            proxies=[row],
        )
    assert publish(client(hub), ours, REPO).rows == {"proxies": 1}
    before = snapshot_of(hub, REPO)
    for repo in (theirs, ours, theirs):
        assert publish(client(hub), repo, REPO).rows == {}
    assert snapshot_of(hub, REPO) == before


# ------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize("status", [409, 412])
def test_25_a_conflict_is_followed_by_another_look(hub, client, tmp_path, published, status):
    hub.fault("POST", "*/commit/*", times=2, status=status)
    done = publish(client(hub), grow(tmp_path / "one", "abc"), REPO)
    assert done.rows == {"models": 1, "runs": 2}
    assert stored_cells(hub, REPO) == cells("abc")


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 504}, {"cut": 0}])
@pytest.mark.parametrize("first", [True, False], ids=["founding", "adding"])
def test_26_a_commit_that_was_applied_though_it_failed_is_not_sent_again(
    hub, client, tmp_path, fault, first
):
    alice = client(hub)
    local = grow(tmp_path / "one", "ab")
    if not first:
        publish(alice, local, REPO)
        grow(tmp_path / "one", "abc")
    count = len(hub.commits("dataset", REPO)) if not first else 1  # the one of its making
    hub.fault("POST", "*/commit/*", applied=True, **fault)
    done = publish(alice, ResultsRepo.open(tmp_path / "one"), REPO)
    assert done.rows["runs"] == (4 if first else 2)
    assert done.commit == hub.commits("dataset", REPO)[0].sha
    assert len(hub.commits("dataset", REPO)) == count + 1
    assert stored_cells(hub, REPO) == cells("ab" if first else "abc")


def test_35_a_publish_that_gave_up_is_finished_by_the_next(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "abc")
    hub.fault("POST", "*/commit/*", times=1000, status=500)
    with pytest.raises(HubError):
        publish(client(hub), local, REPO)
    hub.faults.clear()
    assert publish(client(hub), local, REPO).rows == {"models": 1, "runs": 2}
    assert publish(client(hub), local, REPO).rows == {}
    assert stored_cells(hub, REPO) == cells("abc")


KILLED = """
import os, signal, sys
from huggingface_hub import HfApi
from hf_select.hub.client import Hub
from hf_select.hub.record.publish import publish
from hf_select.results.repo import ResultsRepo

def killed(self, *args, create=HfApi.create_commit, **options):
    create(self, *args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

HfApi.create_commit = killed
publish(Hub(), ResultsRepo.open(sys.argv[1]), "lab/record", allow_local=True)
"""


def test_35_a_kill_after_the_commit_and_before_its_end_is_known(
    hub, client, tmp_path, published, hub_env
):
    local = grow(tmp_path / "one", "abc")
    command = [sys.executable, "-c", KILLED, str(local.path)]
    process = subprocess.run(command, env=hub_env(hub), check=False)
    assert process.returncode == -signal.SIGKILL
    assert publish(client(hub), local, REPO).rows == {}
    assert stored_cells(hub, REPO) == cells("abc")


def test_four_publishers_at_once_and_a_hub_that_fails(hub, client, tmp_path):
    """Each row arrives once; 429, 503, 412 and "500 but applied" are among the answers."""
    for number in range(4):
        hub.user(f"hf_user{number}", f"user{number}", orgs=("lab",))
    publish(client(hub), grow(tmp_path / "founder", "a", "xyz"), REPO)
    count = len(hub.commits("dataset", REPO))
    for status, times, after in ((429, 2, 0), (503, 2, 2), (412, 2, 4), (500, 2, 5)):
        hub.fault("POST", "*/commit/*", status=status, times=times, after=after)
    hub.fault("POST", "*/commit/*", status=500, applied=True, times=3, after=1)
    hub.fault("GET", "*/tree/*", status=503, times=3, after=2)
    locals_ = [grow(tmp_path / f"local{n}", models, "xyz") for n, models in enumerate(FOUR)]
    done, errors = _at_once(
        [
            lambda n=n, repo=repo: publish(_patient(client, hub, f"hf_user{n}", n), repo, REPO)
            for n, repo in enumerate(locals_)
        ]
    )
    assert errors == []
    assert stored_cells(hub, REPO) == cells("abcdefghi", "xyz")
    made = hub.commits("dataset", REPO)
    assert len(made) == count + 4  # one each, none doubled
    assert {commit.author for commit in made[:4]} == {f"user{n}" for n in range(4)}
    assert sum(result.rows["runs"] for result in done) == 24
    assert {429, 503, 412, 500} <= {request.status for request in hub.log}


FOUR = ("abc", "ade", "afg", "ahi")


def test_two_who_measured_the_same_count_once(hub, client, tmp_path, published):
    """Nobody waits for anybody: the row may lie there twice until the next compaction."""
    mine, theirs = grow(tmp_path / "mine", "c"), grow(tmp_path / "theirs", "cd")
    alice = client(hub)
    preupload = alice.api.preupload_lfs_files

    def overtaken(*args, **options):
        preupload(*args, **options)
        publish(client(hub), theirs, REPO)

    alice.api.preupload_lfs_files = overtaken
    publish(alice, mine, REPO)
    pull(client(hub), REPO, tmp_path / "copy")
    assert sorted(r.key.model for r in ResultsRepo.open(tmp_path / "copy").runs()) == [*"aabbccdd"]
    assert ResultsRepo.open(tmp_path / "copy").disagreements() == []
    compact(client(hub), REPO)
    assert stored_cells(hub, REPO) == cells("abcd")


def test_a_compaction_while_others_publish_loses_nothing(hub, client, tmp_path):
    publish(client(hub), grow(tmp_path / "founder", "a"), REPO)
    for letter in "bc":
        publish(client(hub), grow(tmp_path / letter, letter), REPO)
    hub.fault("POST", "*/commit/*", status=500, applied=True, after=1)
    hub.fault("POST", "*/commit/*", status=412, after=2)
    tasks = [lambda: compact(_patient(client, hub, "hf_alice", 9), REPO)] + [
        lambda letter=letter, n=n: publish(
            _patient(client, hub, "hf_alice", n), grow(tmp_path / letter, letter), REPO
        )
        for n, letter in enumerate("def")
    ]
    _, errors = _at_once(tasks)
    assert errors == []
    assert stored_cells(hub, REPO) == cells("abcdef")
    compact(client(hub), REPO)
    assert stored_cells(hub, REPO) == cells("abcdef")
    assert not [name for name in hub.files("dataset", REPO) if name.startswith("inbox/")]


def _patient(client, hub, token, seed):
    """A client that waits a hundredth of what it should."""
    return client(hub, token=token, seed=seed, sleep=lambda s: time.sleep(min(s, 5) / 100))


def _at_once(tasks):
    """Results and errors of tasks that start in the same moment."""
    start = threading.Barrier(len(tasks))

    def work(task):
        start.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(work, task) for task in tasks]
    errors = [future.exception() for future in futures if future.exception()]
    return [future.result() for future in futures if not future.exception()], errors


# --------------------------------------------------------------------- rows that are not taken


def test_31_bad_rows_are_named_and_the_good_ones_go(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "abc")
    unknown = Recipe(epochs=3)
    local.append(
        [
            run("c", "z", 0.9),  # nobody says what z is
            run("c", "y", 0.9, seed=1, created="2999-01-01T00:00:00+00:00"),
            run("c", "x", 0.9, seed=2, key={"recipe": unknown.digest()}),
        ],
        recipes=[unknown],
    )
    done = publish(client(hub), local, REPO)
    reasons = " | ".join(str(refusal) for refusal in done.refused)
    assert len(done.refused) == 3
    assert "runs: c on z seed 0: nothing is known of dataset 'z'" in reasons
    assert "in the future" in reasons
    assert unknown.digest() in reasons
    assert done.rows["runs"] == 2
    assert stored_cells(hub, REPO) == cells("abc")
    assert not [name for name in hub.files("dataset", REPO) if name.startswith("inbox/2999")]


def test_31_rows_that_are_refused_are_no_reason_for_a_commit(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "ab")
    local.append([run("a", "z", 0.9)])
    before = snapshot_of(hub, REPO)
    for _ in range(2):
        done = publish(client(hub), local, REPO)
        assert (done.rows, len(done.refused)) == ({}, 1)
    assert snapshot_of(hub, REPO) == before


def test_31_a_new_recipe_is_taken_where_it_is_allowed(hub, client, tmp_path, published):
    recipe = Recipe(epochs=1)
    local = ResultsRepo.create(tmp_path / "one")
    curve = LearningCurve.of(recipe.rungs(), [0.5] * len(recipe.rungs()))
    row = run("a", "x", 0.9, key={"recipe": recipe.digest()}, curve=curve)
    local.append([row], models=[model("a")], datasets=[dataset("x")], recipes=[recipe])
    refused = publish(client(hub), local, REPO)
    assert "recipe" in refused.refused[0].reason
    assert refused.rows == {}  # nobody else uses that recipe
    done = publish(client(hub), local, REPO, accept_new_recipes=True)
    assert done.rows == {"recipes": 1, "runs": 1}


def test_31_what_only_refused_rows_use_stays_behind_with_them(hub, client, tmp_path, published):
    """Entries that no run uses go, as do those of good runs."""
    recipe = Recipe(epochs=1)
    local = grow(tmp_path / "one", "c", "x")
    local.append(
        [run(m, d, 0.9, key={"recipe": recipe.digest()}) for m, d in ("cz", "dx")],
        models=[model("d"), model("unused")],
        datasets=[dataset("z"), dataset("spare")],
        recipes=[recipe],
    )
    done = publish(client(hub), local, REPO)
    assert (done.rows, len(done.refused)) == ({"models": 2, "datasets": 1, "runs": 1}, 2)
    names = {getattr(row, "repo_id", "") for row in stored_rows(hub, REPO)}
    assert names == {"", *"abcxy", "unused", "spare"}


def test_34_a_local_shard_that_is_cut_off_is_named(hub, client, tmp_path, published):
    local = grow(tmp_path / "one", "abc")
    shard = next((tmp_path / "one" / "inbox").rglob("*.parquet"))
    bad = shard.with_name(f"{'0' * 64}.parquet")
    bad.write_bytes(shard.read_bytes()[:100])
    done = publish(client(hub), local, REPO)
    assert "cut off" in done.problems[0]
    assert stored_cells(hub, REPO) == cells("abc")


SECRET = "hf_" + "Sup3rS3cretT0ken"


def test_30_no_token_is_published_wherever_it_was(hub, client, tmp_path, monkeypatch):
    """Every byte on the server is looked at, and every value in its tables."""
    hub.user(SECRET, "alice", orgs=("lab",))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    why = f"401 for https://me:{SECRET}@hub/x with Bearer {SECRET}"
    local = grow(tmp_path / "one", "ab")
    texts = {"hardware": f"cpu {SECRET}", "versions": {"hub": SECRET}}
    failed = run("a", "x", status="failed", seed=1, reason=why, **texts)
    _store(tmp_path / "one", local, failed)
    alice = client(hub, token=SECRET)
    first = publish(alice, local, REPO, message=f"my token is {SECRET}")
    _store(tmp_path / "one", local, replace(failed, key=replace(failed.key, seed=2)))
    second = publish(alice, ResultsRepo.open(tmp_path / "one"), REPO, message=SECRET)
    assert (first.rows["runs"], second.rows) == (5, {"runs": 1})
    assert publish(alice, local, REPO).rows == {}
    for made in hub.commits("dataset", REPO):
        assert SECRET not in repr((made.title, made.author, sorted(made.files)))
    for name, data in hub.files("dataset", REPO).items():
        assert SECRET.encode() not in data, name
        if name.endswith(".parquet"):
            table = pq.ParquetFile(io.BytesIO(data)).read()
            assert SECRET not in repr(table.to_pylist()), name
            assert SECRET.encode() not in repr(table.schema.metadata).encode(), name


def _store(folder, local, row):
    """As `append` in an older version may have done: without looking for tokens."""
    data = encode("runs", [row], row.created)
    path = folder / "inbox" / "2025-01" / "local" / f"{sha256(data)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert SECRET in repr(decode(data).rows)


# --------------------------------------------------------------------- what isn't on the Hub


@pytest.fixture
def on_hub(hub):
    """Models a, b and data set x are on the Hub at the commits of the made-up entries."""
    for kind, entry in (
        ("model", model("me/a")),
        ("model", model("me/b")),
        ("dataset", dataset("me/x")),
    ):
        hub.add(kind, entry.repo_id, {"config.json": "{}"}, commit=entry.revision)


def mine(letters):
    """Names that the Hub could have."""
    return [f"me/{letter}" for letter in letters]


def send(client, hub, local, **options):
    return room.publish(client(hub), local, REPO, **options)


def asked(hub):
    return sorted(r.path for r in hub.log if "/revision/" in r.path and "lab/" not in r.path)


def test_what_is_on_this_machine_only_stays_behind(hub, client, tmp_path, on_hub):
    local = grow(tmp_path / "one", mine("abc"), mine("xy"))
    values = [("me/a", "me/x"), ("me/c", "me/x"), ("me/a", "me/y")]
    local.append(
        proxies=[
            ProxyRow(m, model(m).revision, d, dataset(d).revision, "leep", -0.5, 1.0)
            for m, d in values
        ]
    )
    done = send(client, hub, local)
    assert done.local == (LocalOnly("dataset", "me/y", 3), LocalOnly("model", "me/c", 2))
    assert done.rows == {"recipes": 1, "models": 2, "datasets": 1, "proxies": 1, "runs": 2}
    assert stored_cells(hub, REPO) == cells(mine("ab"), mine("x"))
    assert {getattr(row, "repo_id", "") for row in stored_rows(hub, REPO)} == {"", *mine("abx")}
    again = send(client, hub, local)
    assert (again.rows, again.local) == ({}, done.local)
    everything = send(client, hub, local, allow_local=True)
    assert (everything.rows["runs"], everything.local) == (4, ())
    assert stored_cells(hub, REPO) == cells(mine("abc"), mine("xy"))
    hub.log.clear()
    assert send(client, hub, local).local == ()  # what the record has is not looked up
    assert asked(hub) == []


def test_another_commit_of_a_model_is_not_on_the_hub(hub, client, tmp_path, on_hub):
    hub.add("model", "me/c", {"config.json": "{}"})
    done = send(client, hub, grow(tmp_path / "one", mine("ac"), mine("x")))
    assert done.local == (LocalOnly("model", "me/c", 1),)
    assert stored_cells(hub, REPO) == cells(mine("a"), mine("x"))


def test_the_hub_is_asked_once_a_model_however_often_we_try(hub, client, tmp_path, on_hub):
    send(client, hub, grow(tmp_path / "founder", mine("a"), mine("x")))
    hub.log.clear()
    hub.fault("POST", "*/commit/*", times=2, status=412)
    done = send(client, hub, grow(tmp_path / "one", mine("abc"), mine("x")))
    assert done.rows == {"models": 1, "runs": 1}
    assert len(asked(hub)) == len(set(asked(hub))) == 2  # b and c


def test_names_that_the_hub_cannot_have_are_not_asked_for(hub, client, tmp_path, on_hub):
    local = grow(tmp_path / "one", mine("a"), mine("x"))
    local.append(models=[model("my model"), model("a/b/c")])
    done = send(client, hub, local)
    assert [one.name for one in done.local] == ["a/b/c", "my model"]
    assert len(asked(hub)) == 2


def test_a_gated_model_is_on_the_hub(hub, client, tmp_path, on_hub):
    entry = model("me/c")
    hub.add("model", "me/c", {"config.json": "{}"}, commit=entry.revision, gated="manual")
    hub.fault("GET", "/api/models/me/c/revision/*", status=403)
    assert send(client, hub, grow(tmp_path / "one", mine("c"), mine("x"))).local == ()


def test_a_hub_that_does_not_answer_is_no_reason_to_leave_anything_out(
    hub, client, tmp_path, on_hub
):
    hub.fault("GET", "/api/models/me/b/revision/*", status=500, times=100)
    with pytest.raises(HubError):
        send(client, hub, grow(tmp_path / "one", mine("ab"), mine("x")))
    assert ("dataset", REPO) not in hub.store.repos


def test_imported_rows_need_no_repository(hub, client, tmp_path, on_hub):
    local = ResultsRepo.create(tmp_path / "one")
    key = {
        "model_revision": IMPORTED,
        "dataset_revision": IMPORTED,
        "recipe": "imported-table",
    }
    local.append(
        [run("far", "off", 0.9, key=key, origin="imported:table.csv")],
        models=[model("far", revision=IMPORTED)],
        datasets=[dataset("off", revision=IMPORTED)],
    )
    done = send(client, hub, local)
    assert (done.rows, done.local) == ({"models": 1, "datasets": 1, "runs": 1}, ())
    assert asked(hub) == []


# ------------------------------------------------------------------------------ pull requests


def test_without_rights_a_pull_request_is_the_way(hub, client, tmp_path, published):
    bob = client(hub, token="hf_bob")
    local = grow(tmp_path / "one", "abc")
    before = snapshot_of(hub, REPO)
    with pytest.raises(AccessError) as raised:
        publish(bob, local, REPO)
    assert "--create-pr" in raised.value.hint
    assert snapshot_of(hub, REPO) == before
    done = publish(bob, local, REPO, create_pr=True)
    assert done.pull_request == 1
    assert done.url.endswith(f"/datasets/{REPO}/discussions/1")
    assert hub.commits("dataset", REPO) == before["commits"]
    assert stored_cells(hub, REPO, "refs/pr/1") == cells("abc")


def test_what_waits_in_a_pull_request_is_not_proposed_again(hub, client, tmp_path, published):
    bob, local = client(hub, token="hf_bob"), grow(tmp_path / "one", "abc")
    publish(bob, local, REPO, create_pr=True)
    before = snapshot_of(hub, REPO)
    again = publish(bob, local, REPO, create_pr=True)
    assert (again.rows, again.pull_request) == ({}, 1)
    assert snapshot_of(hub, REPO) == before


def test_new_rows_join_the_open_pull_request(hub, client, tmp_path, published):
    bob = client(hub, token="hf_bob")
    publish(bob, grow(tmp_path / "one", "abc"), REPO, create_pr=True)
    done = publish(bob, grow(tmp_path / "one", "d"), REPO, create_pr=True)
    assert (done.pull_request, done.rows) == (1, {"models": 1, "runs": 2})
    assert len(hub.pull_requests("dataset", REPO)) == 1
    assert stored_cells(hub, REPO, "refs/pr/1") == cells("abcd")
    hub.merge("dataset", REPO, 1)
    assert publish(bob, grow(tmp_path / "one", ""), REPO, create_pr=True).rows == {}
    assert publish(bob, grow(tmp_path / "one", "e"), REPO, create_pr=True).pull_request == 2
    compact(client(hub), REPO)
    assert stored_cells(hub, REPO) == cells("abcd")


def test_a_closed_pull_request_and_those_of_others_count_for_nothing(
    hub, client, tmp_path, published
):
    bob, carol = client(hub, token="hf_bob"), client(hub, token="hf_carol")
    hub.user("hf_carol", "carol")
    local = grow(tmp_path / "one", "abc")
    assert publish(bob, local, REPO, create_pr=True).pull_request == 1
    assert publish(carol, local, REPO, create_pr=True).pull_request == 2
    hub.close("dataset", REPO, 1)
    assert publish(bob, local, REPO, create_pr=True).pull_request == 3


@pytest.mark.parametrize("end", ["merge", "close"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_pull_request_that_ends_while_rows_are_sent_to_it(
    hub, client, tmp_path, published, monkeypatch, end, moment
):
    bob = client(hub, token="hf_bob")
    publish(bob, grow(tmp_path / "one", "abc"), REPO, create_pr=True)
    send, ended = bob.api.create_commit, []

    def sending(*args, **options):
        landed = None
        if moment == "after":
            landed = send(*args, **options)
        if not ended:
            ended.append(getattr(hub, end)("dataset", REPO, 1))
        return landed or send(*args, **options)

    monkeypatch.setattr(bob.api, "create_commit", sending)
    done = publish(bob, grow(tmp_path / "one", "d"), REPO, create_pr=True)
    if (end, moment) == ("merge", "after"):  # they are on main
        assert (done.rows, done.pull_request) == ({"models": 1, "runs": 2}, None)
        assert stored_cells(hub, REPO) == cells("abcd")
        return
    assert done.pull_request == 2
    assert stored_cells(hub, REPO, "refs/pr/2") == cells("abcd")


def test_rows_are_not_pushed_onto_a_pull_request_about_something_else(
    hub, client, tmp_path, published
):
    bob = client(hub, token="hf_bob")
    bob.api.upload_file(
        path_or_fileobj=b"Better words",
        path_in_repo="NOTES",
        repo_id=REPO,
        repo_type="dataset",
        create_pr=True,
    )
    assert publish(bob, grow(tmp_path / "one", "c"), REPO, create_pr=True).pull_request == 2


def test_26_a_500_after_the_pull_request_was_opened_opens_no_second_one(
    hub, client, tmp_path, published
):
    hub.fault("POST", "*/commit/*", status=500, applied=True)
    bob, local = client(hub, token="hf_bob"), grow(tmp_path / "one", "abc")
    done = publish(bob, local, REPO, create_pr=True)
    assert (done.pull_request, done.rows) == (1, {"models": 1, "runs": 2})
    assert len(hub.pull_requests("dataset", REPO)) == 1
    hub.fault("POST", "*/commit/*", status=500, applied=True)
    publish(bob, grow(tmp_path / "one", "d"), REPO, create_pr=True)
    assert len(hub.pull_requests("dataset", REPO)) == 1
    assert stored_cells(hub, REPO, "refs/pr/1") == cells("abcd")
    assert len(hub.commits("dataset", REPO, "refs/pr/1")) == len(hub.commits("dataset", REPO)) + 2


def test_a_pull_request_founds_no_record(hub, client, tmp_path):
    bob, local = client(hub, token="hf_bob"), grow(tmp_path / "one")
    with pytest.raises(MissingError, match=REPO):
        publish(bob, local, REPO, create_pr=True)
    hub.add("dataset", REPO)
    with pytest.raises(RecordError, match="is empty"):
        publish(bob, local, REPO, create_pr=True)
    assert hub.pull_requests("dataset", REPO) == []


# --------------------------------------------------------------------------------- bad input


def _nothing_happens(hub, folder, error, match, call):
    """The call fails in one clear line with exit code 2; neither side has changed."""
    repos = {key: dict(repo.refs) for key, repo in hub.store.repos.items()}
    before = files_in(folder)
    with pytest.raises(error, match=match) as raised:
        call()
    assert raised.value.exit_code == 2
    assert "\n" not in raised.value.message
    assert raised.value.hint
    assert {key: dict(repo.refs) for key, repo in hub.store.repos.items()} == repos
    assert files_in(folder) == before


def test_a_wrong_token_or_none(hub, client, tmp_path):
    local = grow(tmp_path / "one")
    for token, match in (("hf_nobody", "doesn't know this token"), (False, "needs a token")):
        other = client(hub, token=token)
        _nothing_happens(
            hub, local.path, AccessError, match, lambda other=other: publish(other, local, REPO)
        )


def test_a_token_that_only_reads(hub, client, tmp_path, published):
    local, reader = grow(tmp_path / "one", "abc"), client(hub, token="hf_reader")
    call = lambda: publish(reader, local, REPO)  # noqa: E731
    _nothing_happens(hub, local.path, AccessError, REPO, call)


def test_a_name_in_somebody_elses_place(hub, client, tmp_path):
    local, bob = grow(tmp_path / "one"), client(hub, token="hf_bob")
    match = "alice/new does not exist and can't be made"
    _nothing_happens(hub, local.path, AccessError, match, lambda: publish(bob, local, "alice/new"))


@pytest.mark.parametrize("name", ["record", "a/b/c", "lab/", ""])
def test_a_name_that_is_none(hub, client, tmp_path, name):
    local, alice = grow(tmp_path / "one"), client(hub)
    _nothing_happens(hub, local.path, InputError, ".", lambda: publish(alice, local, name))


def test_a_dataset_of_something_else(hub, client, tmp_path):
    hub.add("dataset", REPO, {"train.csv": "a,b"})
    local, alice = grow(tmp_path / "one"), client(hub)
    _nothing_happens(hub, local.path, RecordError, "train.csv", lambda: publish(alice, local, REPO))


def test_31_a_record_of_a_newer_schema(hub, client, tmp_path):
    hub.add("dataset", REPO, {"manifest.json": json.dumps({"schema_version": 99})})
    local, alice = grow(tmp_path / "one"), client(hub)
    match = f"{REPO} has schema version 99"
    _nothing_happens(hub, local.path, RecordError, match, lambda: publish(alice, local, REPO))


def test_32_a_record_that_was_tampered_with(hub, client, tmp_path, published):
    name = "snapshots/1/task=text-classification/runs.parquet"
    hub.push("dataset", REPO, {name: b"something else"})
    local, alice = grow(tmp_path / "one", "abc"), client(hub)
    match = f"{REPO}: {name} was changed"
    _nothing_happens(hub, local.path, RecordError, match, lambda: publish(alice, local, REPO))


def test_a_card_that_is_no_yaml_stops_a_first_publish(hub, client, tmp_path):
    hub.add("dataset", REPO, {"README.md": "---\nlicense: [mit\n---\n# Words\n"})
    local, alice = grow(tmp_path / "one"), client(hub)
    match = f"{REPO}.README.md"
    _nothing_happens(hub, local.path, RecordError, match, lambda: publish(alice, local, REPO))


def test_29_offline_nothing_is_asked(hub, client, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    local, alice = grow(tmp_path / "one"), client(hub)
    _nothing_happens(hub, local.path, AccessError, "offline", lambda: publish(alice, local, REPO))
    assert hub.log == []


def test_a_metric_that_says_where_it_lies_is_not_published(hub, client, tmp_path):
    local = ResultsRepo.open_or_create(tmp_path / "one")
    metric = "evaluate:/srv/secret/misses:better=lower"
    entry = replace(dataset("x"), metric=metric)
    rows = [run("a", "x", 0.5, metric=metric)]
    local.append(rows, models=[model("a")], datasets=[entry], recipes=[RECIPE])
    with pytest.raises(InputError, match="where it lies on this machine") as raised:
        publish(client(hub), local, REPO, cluster=cluster_models)
    assert "evaluate:./misses:better=lower" in raised.value.hint
    assert commits_sent(hub) == 0
