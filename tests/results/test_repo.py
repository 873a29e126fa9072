"""The results repository: append, read, compact; kills, several writers, damaged files."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import RECIPE, TASK, dataset, model, run
from victims import (
    CONTEXT,
    add,
    compact_in_a_process,
    die_at,
    die_at_shard,
    die_in_append,
    die_setting_aside,
    refuse_bad,
    write_rows,
)

from hf_select import files
from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import InputError, RecordError, UnknownNameError
from hf_select.recall import recall_models
from hf_select.records import (
    Clustering,
    LearningCurve,
    ProxyRow,
    ProxyScores,
    Recipe,
    RunKey,
    RunRecord,
)
from hf_select.results.repo import MANIFEST, ResultsRepo
from hf_select.results.schema import encode
from hf_select.results.shards import shards
from hf_select.results.state import Rows


@pytest.fixture
def repo(tmp_path):
    return ResultsRepo.create(tmp_path / "results")


def filled(path: Path) -> ResultsRepo:
    repo = ResultsRepo.create(path)
    runs = [run(m, d, 0.5 + 0.1 * s, seed=s) for m in "ab" for d in "xy" for s in range(2)]
    repo.append(
        [*runs, run("c", "x", status="diverged")],
        models=[model(m) for m in "abc"],
        datasets=[dataset(d) for d in "xy"],
        proxies=[ProxyRow("a", "0", "x", "0", "logme", 0.5, 1.0, 100)],
        recipes=[RECIPE],
    )
    return repo


def contents(repo: ResultsRepo) -> tuple:
    """All that a reader can get out of it, for comparison."""
    return (
        [(r.key, r.status, r.reason, r.created) for r in repo.runs()],
        [r.test for r in repo.runs(status="ok")],
        [r.curve.to_dict() for r in repo.runs()],
        repo.models(),
        repo.datasets(),
        repo.proxies(),
        [repo.recipe(d) for d in repo.recipes(TASK)],
    )


def missing(mine: ResultsRepo, theirs: ResultsRepo) -> Rows:
    """The rows that would be new to the other."""
    return mine.state().missing_from(theirs.state()).rows()


# ---------------------------------------------------------------------------- open, create


def test_create_open_and_open_or_create(tmp_path):
    path = tmp_path / "deep" / "results"
    with pytest.raises(RecordError, match="does not exist"):
        ResultsRepo.open(path)
    assert not path.exists()
    assert len(ResultsRepo.create(path)) == 0
    assert len(ResultsRepo.open(path)) == 0
    assert len(ResultsRepo.open_or_create(str(path))) == 0
    with pytest.raises(RecordError, match="already"):
        ResultsRepo.create(path)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for way in (ResultsRepo.open, ResultsRepo.create, ResultsRepo.open_or_create):
        with pytest.raises(RecordError, match="not a results repository"):
            way(tmp_path)
    with pytest.raises(RecordError, match="file"):
        ResultsRepo.create(tmp_path / "thesis.tex")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema_version": "x", "generation": 0, "snapshots": []}',
        '{"schema_version": 1, "generation": 0, "snapshots": [{"path": "../x"}]}',
    ],
)
def test_a_broken_manifest_is_refused(repo, text):
    (repo.path / MANIFEST).write_text(text)
    with pytest.raises(RecordError, match=r"manifest\.json"):
        ResultsRepo.open(repo.path)


def test_a_newer_schema_is_refused(repo):
    document = json.loads((repo.path / MANIFEST).read_text())
    (repo.path / MANIFEST).write_text(json.dumps({**document, "schema_version": 2}))
    with pytest.raises(RecordError, match="newer") as error:
        ResultsRepo.open(repo.path)
    assert "upgrade" in error.value.hint


# --------------------------------------------------------------------------- append, read


def test_rows_come_back_before_and_after_compaction(tmp_path):
    repo = filled(tmp_path / "r")
    before = contents(repo)
    assert len(repo) == 9
    assert contents(ResultsRepo.open(repo.path)) == before
    assert repo.compact() == 1
    assert contents(repo) == before
    assert contents(ResultsRepo.open(repo.path)) == before
    assert repo.verify() == []
    assert repo.problems == []
    assert list((repo.path / "inbox").rglob("*.parquet")) == []


def test_keys_runs_and_tasks(tmp_path):
    repo = filled(tmp_path / "r")
    assert repo.tasks() == [TASK]
    keys = repo.keys()
    assert len(keys) == 9
    assert run("a", "x", seed=1).key.id in keys
    assert repo.keys("diverged") == {run("c", "x").key.id}
    assert len(repo.keys("ok")) == 8
    assert len(repo.runs("other")) == 0
    assert len(repo.runs(TASK, recipe=RECIPE.digest(), status="ok")) == 8
    assert repo.recipes(TASK) == {RECIPE.digest(): 8}
    assert repo.recipe(RECIPE.digest()) == RECIPE
    assert repo.recipe("0" * 16) is None
    assert [p.task for p in repo.proxies(TASK, "logme")] == [TASK]
    assert repo.proxies(TASK, "leep") == []


def test_what_is_there_already_writes_nothing(repo):
    assert len(repo.append([run()], models=[model()])) == 2
    assert repo.append([run(created="later")], models=[model()]) == []
    assert ResultsRepo.open(repo.path).append([run()]) == []
    repo.compact()
    assert repo.append([run()], models=[model()]) == []
    assert repo.append([run("b"), run("b")]) != []
    assert len(repo) == 2


def test_another_score_for_the_same_key_is_kept_and_flagged(repo):
    repo.append([run(test=0.5)], datasets=[dataset()], recipes=[RECIPE])
    repo.append([run(test=0.9, created="2025-02-02")], submitter="somebody")
    for _ in range(2):
        (clash,) = repo.disagreements()
        assert [r.test for r in clash.runs] == [0.5, 0.9]
        assert clash.flagged
        assert "far apart" in repo.verify()[0]
        assert [r.test for r in repo.runs()] == [0.5]
        assert repo.matrix(TASK).scores.tolist() == [[0.5]]
        repo.compact()


def test_a_retry_that_works_replaces_the_failure(repo):
    repo.append([run(status="timeout")])
    repo.append([run(test=0.7)])
    assert [r.status for r in repo.runs()] == ["ok"]
    repo.compact()
    assert [r.status for r in repo.runs()] == ["ok"]
    assert repo.keys("timeout") == set()


def test_a_later_entry_wins_before_and_after_compaction(repo):
    repo.append(models=[model(license="one")])
    repo.compact()
    repo.append(models=[model(license="two")])
    assert [m.license for m in repo.models()] == ["two"]
    repo.compact()
    assert [m.license for m in repo.models()] == ["two"]
    assert [m.license for m in ResultsRepo.open(repo.path).models()] == ["two"]


def test_nothing_is_written_when_one_row_is_bad(repo):
    with pytest.raises(InputError, match="model"):
        repo.append([run("fine"), run("../bad")], models=[model()])
    with pytest.raises(InputError, match="submitter"):
        repo.append([run()], submitter="../up")
    with pytest.raises(InputError, match="task of 'x'"):
        repo.append(proxies=[ProxyRow("a", "0", "x", "0", "leep", 0.0)])
    assert not (repo.path / "inbox").exists()


def test_the_submitter_is_noted_and_names_the_folder(repo):
    (path,) = repo.append([run(submitter="")], submitter="jane")
    assert path.parent.name == "jane"
    assert path.name == f"{files.sha256(path.read_bytes())}.parquet"
    assert repo.runs()[0].submitter == "jane"


def test_scratch_and_temporary_files_are_no_part_of_the_record(repo):
    (repo.path / ".work" / "job").mkdir(parents=True)
    (repo.path / ".work" / "job" / "x.parquet").write_bytes(b"x")
    (repo.path / "inbox").mkdir()
    (repo.path / "inbox" / ".tmp-0-0-0").write_bytes(b"x")
    assert repo.problems == []
    assert ResultsRepo.open(repo.path).verify() == []


def test_the_models_of_some_names_and_their_sizes(repo):
    repo.append(
        models=[model("b", num_parameters=5), model("a"), model("a", revision="f" * 40)],
    )
    assert [m.repo_id for m in repo.models(TASK)] == ["a", "a", "b"]
    assert [m.repo_id for m in repo.models(TASK, ["a", "zzz"])] == ["a", "a"]
    assert [m.repo_id for m in repo.models(names={"b"})] == ["b"]
    assert repo.models("other", ["a"]) == []
    assert repo.sizes(TASK) == {"a": 0, "b": 5}
    assert repo.sizes("other") == {}


TOKEN = "hf_" + "abcdefghijklmnopqrstuvwx"


def test_no_token_of_an_exception_enters_the_record(tmp_path, monkeypatch):
    """Every byte is looked at, and every value that the compressed pages hold."""
    monkeypatch.setenv("HF_TOKEN", "s3cret-of-this-machine")
    secrets = (TOKEN, "s3cret-of-this-machine", "swordfish", "opensesame")
    words = (
        f"401 for {TOKEN} of https://jane:swordfish@hub.example/m, "
        "sent Authorization: Bearer opensesame; tried s3cret-of-this-machine"
    )
    repo = ResultsRepo.create(tmp_path / "r")
    failed = run("m", status="failed", reason=words)
    repo.append([failed, run("n", status="failed", reason="no token in it")])
    for data in shards(Rows(runs=(failed,)), submitter="jane", created="2025-01-01").values():
        contribute(repo, data)
    for _ in range(2):
        for path in (p for p in repo.path.rglob("*") if p.is_file()):
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += str(pq.ParquetFile(path).read().to_pylist()).encode()
            for secret in secrets:
                assert secret.encode() not in data, path
        reasons = [r.reason for r in repo.runs()]
        assert reasons[1] == "no token in it"
        assert reasons[0].startswith("401 for [removed] of https://[removed]@hub.example/m")
        assert not any(secret in reason for reason in reasons for secret in secrets)
        repo.compact()


# -------------------------------------------------------------------------------- matrix


def test_another_tasks_folder_says_which_tasks_it_has(tmp_path):
    repo = filled(tmp_path / "r")
    for read in (repo.matrix, repo.curves):
        with pytest.raises(RecordError, match="image-classification") as error:
            read("image-classification")
        assert TASK in error.value.hint
    repo.append([run(task="t-failed", status="oom", key={"model": "q"})])
    with pytest.raises(RecordError, match="none of its 1 runs"):
        repo.matrix("t-failed")


def test_the_matrix_takes_the_recipe_with_most_runs_and_never_mixes(repo):
    other = {"recipe": Recipe(learning_rate=1.0).digest()}
    repo.append([run("a", test=0.5), run("b", test=0.6), run("a", test=0.9, key=other)])
    assert repo.matrix(TASK).scores[:, 0].tolist() == [0.5, 0.6]
    assert repo.matrix(TASK).recipe == RECIPE.digest()
    assert repo.matrix(TASK, recipe=other["recipe"]).scores.tolist() == [[0.9]]
    assert repo.curves(TASK, recipe=other["recipe"]).models == ("a",)
    with pytest.raises(UnknownNameError, match="recipe"):
        repo.matrix(TASK, recipe="nonsense")


def test_a_column_without_reported_baseline_takes_the_datasets(repo):
    repo.append([run(baseline=float("nan"))], datasets=[dataset(baseline=0.4)])
    assert repo.matrix(TASK).baselines.tolist() == [0.4]
    assert repo.curves(TASK).baselines.tolist() == [0.4]


# ------------------------------------------------------------------------------- compact


def test_compaction_keeps_two_generations(tmp_path):
    repo = filled(tmp_path / "r")
    assert repo.compact() == 1
    assert repo.compact() == 1  # nothing new
    for n in range(3):
        repo.append([run(f"new{n}")])
        assert repo.compact() == n + 2
    kept = sorted(p.name for p in (repo.path / "snapshots").iterdir())
    assert kept == ["3", "4"]
    assert len(repo) == 12
    manifest = json.loads((repo.path / MANIFEST).read_text())
    assert manifest["schema_version"] == 1
    for entry in manifest["snapshots"]:
        data = (repo.path / entry["path"]).read_bytes()
        assert files.sha256(data) == entry["sha256"]
        assert len(data) == entry["bytes"]
        assert set(entry) - {"recipes"} == {"path", "rows", "bytes", "sha256", "kind", "task"}
        assert ("recipes" in entry) == (entry["kind"] == "runs")


def test_the_same_rows_compact_to_the_same_files_whatever_the_order(tmp_path):
    rows = [run(m, d) for m in "abc" for d in "xy"]
    for name, order in (("one", rows), ("two", rows[::-1])):
        repo = ResultsRepo.create(tmp_path / name)
        for row in order:
            repo.append([row])
        repo.compact()
    one, two = ((tmp_path / n / MANIFEST).read_text() for n in ("one", "two"))
    assert one == two


def test_a_second_compaction_at_the_same_time_is_refused(repo):
    with (
        files.exclusive(repo.path / ".work" / "compact.lock"),
        pytest.raises(RecordError, match="compacted by another"),
    ):
        repo.compact(wait=0.05)
    assert repo.compact() == 0


def test_compactions_wait_for_each_other(tmp_path):
    repo = filled(tmp_path / "r")
    workers = [CONTEXT.Process(target=compact_in_a_process, args=(repo.path,)) for _ in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    assert [process.exitcode for process in workers] == [0, 0, 0]
    assert repo.compact() == 1
    assert len(repo) == 9


def test_a_reader_that_was_open_before_a_compaction_goes_on(tmp_path):
    writer = filled(tmp_path / "r")
    reader = ResultsRepo.open(writer.path)
    before = contents(reader)
    writer.compact()
    assert contents(reader) == before
    writer.append([run("new")])
    writer.compact()
    assert len(reader) == 10


def test_a_compaction_in_the_middle_of_reading_is_noticed(tmp_path, monkeypatch):
    """The writer compacts between the reader's first and second look at the folder."""
    writer = filled(tmp_path / "r")
    reader = ResultsRepo(writer.path)
    pending = [writer.compact]

    def looking(real):
        def look():
            seen = real()
            if pending:
                pending.pop()()
            return seen

        return look

    for name in ("_inbox", "_manifest"):
        monkeypatch.setattr(reader, name, looking(getattr(reader, name)))
    assert len(reader) == 9
    assert not pending


def test_a_kill_at_any_step_of_a_compaction_loses_and_doubles_nothing(tmp_path):
    master = filled(tmp_path / "master")
    for name in ("p", "q"):  # so that a generation is old enough to go
        master.compact()
        master.append([run(name)], models=[model("a", license=name)])
    master.append(models=[model("a", license="last")])  # shards must go oldest first
    expected = contents(master)
    kills = 0
    for step in range(1, 100):
        path = tmp_path / f"copy{step}"
        shutil.copytree(master.path, path)
        process = CONTEXT.Process(target=die_at, args=(path, step))
        process.start()
        process.join()
        repo = ResultsRepo.open(path)
        assert contents(repo) == expected
        assert repo.verify() == []
        repo.compact()
        assert contents(ResultsRepo.open(path)) == expected
        assert list(path.rglob(".tmp-*")) == []
        assert list((path / "inbox").rglob("*.parquet")) == []
        assert len(list((path / "snapshots").iterdir())) == 2
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 10
    assert process.exitcode == 0


def test_a_kill_between_write_and_rename_leaves_the_record_whole(tmp_path):
    repo = filled(tmp_path / "r")
    before = contents(repo)
    process = CONTEXT.Process(target=die_in_append, args=(repo.path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(repo.path.rglob(".tmp-*"))) == 1
    assert contents(ResultsRepo.open(repo.path)) == before
    repo.compact()
    assert list(repo.path.rglob(".tmp-*")) == []
    assert contents(repo) == before


def test_four_writers_and_a_compaction_at_the_same_time(tmp_path):
    path = tmp_path / "r"
    workers = [CONTEXT.Process(target=write_rows, args=(path, w)) for w in range(4)]
    for process in workers:
        process.start()
    repo = ResultsRepo.open_or_create(path)
    seen = 0
    while any(process.is_alive() for process in workers):
        repo.compact()
        assert len(repo) >= seen  # a reader never sees less than before
        seen = len(repo)
    assert [process.exitcode for process in workers] == [0] * 4
    repo.compact()
    assert len(repo) == 5 * 8
    assert repo.disagreements() == []
    assert repo.matrix(TASK).scores.shape == (5, 8)
    (runs,) = [e for e in repo._manifest()["snapshots"] if e["kind"] == "runs"]
    assert runs["rows"] == 40


# --------------------------------------------------------------------- once, whatever goes wrong


def test_appending_again_after_a_kill_gives_one_copy_of_each_row(tmp_path):
    """Killed before each of the five shards in turn; then the very same rows come again."""
    whole = filled(tmp_path / "whole")
    for step in range(1, 6):
        repo = ResultsRepo.create(tmp_path / f"r{step}")
        rows = missing(whole, repo)
        process = CONTEXT.Process(target=die_at_shard, args=(repo.path, whole.path, step))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(list((repo.path / "inbox").rglob("*.parquet"))) == step - 1
        assert len(add(repo, rows)) == 6 - step
        assert add(repo, rows) == []
        assert contents(repo) == contents(whole)
        repo.compact()
        manifest = json.loads((repo.path / MANIFEST).read_text())
        counts = {e["kind"]: e["rows"] for e in manifest["snapshots"]}
        assert (counts["runs"], counts["models"], counts["recipes"]) == (9, 3, 1)
        assert not missing(whole, repo)


def test_what_one_record_has_and_another_lacks(tmp_path):
    mine = filled(tmp_path / "mine")
    theirs = ResultsRepo.create(tmp_path / "theirs")
    assert len(missing(mine, theirs)) == 9 + 3 + 2 + 1 + 1
    add(theirs, missing(mine, theirs))
    assert not missing(mine, theirs)
    mine.append([run(test=0.99, created="2025-02-02")], models=[model("new")])
    theirs.append([run("other")])
    found = missing(mine, theirs)
    assert ([r.test for r in found.runs], [m.repo_id for m in found.models]) == ([0.99], ["new"])
    assert len(found) == 2
    assert [r.key.model for r in missing(theirs, mine).runs] == ["other"]


def test_the_same_rows_sent_twice_are_the_same_files(tmp_path):
    """A publish that is repeated after an error adds no second copy."""
    mine = filled(tmp_path / "mine")
    mine.append([run("unsigned", submitter="")])
    theirs = ResultsRepo.create(tmp_path / "theirs")
    moment = "2025-03-04T05:06:07+00:00"
    sent = shards(missing(mine, theirs), submitter="jane", created=moment)
    assert sent == shards(missing(mine, theirs), submitter="jane", created=moment)
    assert all(path.startswith("inbox/2025-03/jane/") for path in sent)
    for path, data in (*sent.items(), *sent.items()):
        files.write_atomic(theirs.path / path, data)
    assert theirs.problems == []
    assert {r.submitter for r in theirs.runs() if r.key.model == "unsigned"} == {"jane"}
    assert {r.submitter for r in theirs.runs() if r.key.model == "a"} == {"tester"}
    written = add(ResultsRepo.create(tmp_path / "r"), mine.state().rows(), created=moment)
    assert {path.name for path in written} == {
        Path(path).name for path in shards(mine.state().rows(), submitter="local", created=moment)
    }
    theirs.compact()
    assert not missing(mine, theirs)
    for path, data in sent.items():  # and once more, after it was folded
        files.write_atomic(theirs.path / path, data)
    assert theirs.compact() == 1
    assert len(theirs) == len(mine)


# ------------------------------------------------------------------------------ clusters


def two_groups(path: Path) -> ResultsRepo:
    """Models a to d do well on x, e to h on y."""
    repo = ResultsRepo.create(path)
    good = [
        run(m, d, 0.5 + 0.4 * ((m < "e") == (d == "x")) + i / 100)
        for i, m in enumerate("abcdefgh")
        for d in "xyz"
    ]
    repo.append(
        good,
        models=[model(m) for m in "abcdefgh"],
        datasets=[dataset(d) for d in "xyz"],
        recipes=[RECIPE],
    )
    return repo


def same_groups(one: Clustering, other: Clustering) -> bool:
    return (
        one.models == other.models
        and one.labels.tobytes() == other.labels.tobytes()
        and one.labels.dtype == other.labels.dtype
        and dict(one.representatives) == dict(other.representatives)
        and list(one.representatives) == list(other.representatives)
        and one.algorithm == other.algorithm
        and np.array([one.threshold, one.silhouette]).tobytes()
        == np.array([other.threshold, other.silhouette]).tobytes()
    )


def test_clusters_come_back_as_they_were_made(tmp_path):
    repo = two_groups(tmp_path / "r")
    repo.compact()
    assert repo.clustering(TASK) is None
    assert repo.compact(cluster=cluster_models) == 2  # nothing new but they
    made = cluster_models(repo.matrix(TASK))
    assert made.labels.max() > 0
    assert made.representatives
    for reader in (repo, ResultsRepo.open(repo.path)):
        found = reader.clustering(TASK)
        assert same_groups(found, made)
        assert found.distance is None
        assert reader.clustering("other") is None
    assert repo.compact(cluster=cluster_models) == 2
    assert repo.compact() == 2
    assert repo.verify() == []


def test_the_papers_recall_is_the_same_with_recorded_clusters(tmp_path):
    repo = two_groups(tmp_path / "r")
    repo.append([run("alone", d, test) for d, test in zip("xyz", (0.95, 0.96, 0.5), strict=True)])
    repo.compact(cluster=lambda matrix, old: cluster_models(matrix, old, threshold=0.2))
    matrix = repo.matrix(TASK)
    rng = np.random.default_rng(0)
    proxies = ProxyScores("logme", matrix.models, rng.normal(size=len(matrix.models)))
    first, again = (
        recall_models(
            "paper", target="t", task=TASK, matrix=matrix, clustering=groups, proxies=proxies
        )
        for groups in (cluster_models(matrix, threshold=0.2), repo.clustering(TASK))
    )
    assert repr(first) == repr(again)
    assert any("represent a cluster, each" in c.reason for c in first.candidates)


def test_clusters_of_an_older_matrix_are_not_given_out(tmp_path):
    repo = two_groups(tmp_path / "r")
    repo.compact(cluster=cluster_models)
    repo.append([run("a", "z", status="oom", seed=7)], models=[model("q")])
    assert repo.clustering(TASK) is not None  # that changes no score
    repo.append([run("i", "x", 0.7)])
    assert repo.clustering(TASK) is None
    repo.compact(cluster=cluster_models)
    assert repo.clustering(TASK).models == repo.matrix(TASK).models
    repo.append(datasets=[dataset("x", baseline=0.25)])
    assert repo.clustering(TASK) is None
    repo.compact()
    assert repo.clustering(TASK) is None  # nobody clustered


def test_clusters_keep_their_ids_from_compaction_to_compaction(tmp_path):
    def group(matrix, old=None):
        return cluster_models(matrix, old, threshold=0.2)

    repo = two_groups(tmp_path / "r")
    repo.compact(cluster=group)
    before = repo.clustering(TASK)
    assert before.labels.tolist() == [0] * 4 + [1] * 4
    # five more of the second group, which is the bigger one now, and one like nothing else
    new = [run(m, d, 0.5 + 0.4 * (d != "x") + i / 90) for i, m in enumerate("ijklm") for d in "xyz"]
    repo.append([*new, *(run("n", d, 0.1) for d in "xyz")])
    assert repo.clustering(TASK) is None
    assert repo.last_clustering(TASK).labels.tolist() == before.labels.tolist()
    repo.compact(cluster=group)
    after = repo.clustering(TASK)
    assert after.labels.tolist() == [0] * 4 + [1] * 9 + [2]
    assert list(after.sizes) == [1, 0, 2]
    assert list(after.representatives) == [0, 1]
    assert group(repo.matrix(TASK)).labels.tolist() == [1] * 4 + [0] * 9 + [2]


def test_where_nothing_can_be_grouped_there_are_no_clusters(repo):
    repo.append([run("a", task="image-classification")])
    blank = {"metric": "rmse", "baseline": float("nan")}
    repo.append([run(m, test=3.0, **blank) for m in "ab"])
    assert repo.compact(cluster=cluster_models) == 1
    assert repo.compact(cluster=cluster_models) == 1
    assert repo.clustering(TASK) is repo.clustering("image-classification") is None


def test_a_manifest_from_before_it_told_sizes_still_opens(tmp_path):
    repo = two_groups(tmp_path / "r")
    repo.compact()
    document = json.loads((repo.path / MANIFEST).read_text())
    for entry in document["snapshots"]:
        del entry["bytes"]
        entry.pop("recipes", None)
    (repo.path / MANIFEST).write_text(json.dumps(document))
    old = ResultsRepo.open(repo.path)
    assert old.verify() == []
    assert old.matrix(TASK).models == tuple("abcdefgh")
    assert old.compact() == 1


# ------------------------------------------------------------------------------- damage


def test_a_shard_that_was_cut_off_is_named_and_the_rest_loads(tmp_path):
    repo = filled(tmp_path / "r")
    (bad,) = repo.append([run("lost")])
    whole = bad.read_bytes()
    damaged = whole[:200]
    bad.write_bytes(damaged)
    fresh = ResultsRepo.open(repo.path)
    name = bad.relative_to(repo.path / "inbox").as_posix()
    words = "cut off or changed: its content is not what its name says"
    assert len(fresh) == 9
    assert fresh.problems == [f"inbox/{name}: {words}"]
    assert fresh.verify() == fresh.problems
    assert fresh.compact() == 1
    assert not bad.exists()
    aside = repo.path / "quarantine" / bad.relative_to(repo.path / "inbox")
    assert aside.read_bytes() == damaged  # nobody knows what was in it
    assert fresh.problems == []
    assert len(ResultsRepo.open(repo.path)) == 9
    assert fresh.verify() == [f"quarantine/{name}: {words}"]
    bad.write_bytes(whole)  # fetched again
    assert len(fresh) == 10
    assert fresh.compact() == 2
    assert len(ResultsRepo.open(repo.path)) == 10


def test_a_flipped_bit_in_a_shard_is_noticed(tmp_path):
    repo = filled(tmp_path / "r")
    (bad,) = repo.append([run("lost")])
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    assert "not what its name says" in ResultsRepo.open(repo.path).problems[0]


def contribute(repo: ResultsRepo, data: bytes) -> Path:
    path = repo.path / "inbox" / "2025-01" / "stranger" / f"{files.sha256(data)}.parquet"
    files.write_atomic(path, data)
    return path


def test_good_rows_of_a_bad_contribution_are_kept(tmp_path):
    repo = filled(tmp_path / "r")
    before = len(repo)
    bad = run("bad")
    object.__setattr__(bad, "test", 1.7)
    path = contribute(repo, encode("runs", [run("good"), bad]))
    assert len(repo) == before + 1
    assert "row 1" in repo.problems[0]
    assert "1.7" in repo.problems[0]
    repo.compact()
    assert len(repo) == before + 1
    assert repo.problems == []
    assert not path.exists()
    assert (repo.path / "quarantine" / "2025-01" / "stranger" / path.name).exists()
    assert any("quarantine" in line and "1.7" in line for line in repo.verify())


def test_a_contribution_of_a_newer_schema_waits_in_the_inbox(repo, monkeypatch):
    monkeypatch.setattr("hf_select.results.schema.SCHEMA_VERSION", 2)
    data = encode("runs", [run()])
    monkeypatch.undo()
    path = contribute(repo, data)
    assert len(repo) == 0
    assert "newer" in repo.problems[0]
    repo.compact()
    assert path.exists()


def test_refused_rows_go_to_quarantine_with_their_reasons(tmp_path):
    repo = filled(tmp_path / "r")
    before = contents(repo)
    repo.compact()
    path = contribute(repo, encode("runs", [run("good"), run("bad"), run("worse")]))
    other = contribute(repo, encode("models", [model("good")]))

    def refuse(row):
        name = row.key.model if isinstance(row, RunRecord) else row.repo_id
        return None if name == "good" else f"nobody wants {name}"

    assert repo.compact(refuse=refuse) == 2  # what the snapshot holds is not asked about
    assert {r.key.model for r in repo.runs()} == {"a", "b", "c", "good"}
    assert [r.test for r in repo.runs(status="ok") if r.key.model != "good"] == before[1]
    assert not path.exists()
    assert not other.exists()
    place = f"quarantine/2025-01/stranger/{path.name}"
    expected = [f"{place}: row 1: nobody wants bad", f"{place}: row 2: nobody wants worse"]
    assert repo.quarantined() == expected
    assert repo.verify() == expected
    assert repo.problems == []
    assert repo.compact() == 2
    assert repo.verify() == expected


def test_a_kill_while_a_shard_is_set_aside_loses_neither_rows_nor_reasons(tmp_path):
    repo = filled(tmp_path / "r")
    path = contribute(repo, encode("runs", [run("good"), run("bad")]))
    process = CONTEXT.Process(target=die_setting_aside, args=(repo.path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert path.exists()
    assert repo.compact(refuse=refuse_bad) == 1
    assert [r.key.model for r in repo.runs() if r.key.model in ("good", "bad")] == ["good"]
    assert [line.partition(": ")[2] for line in repo.verify()] == ["row 1: it is bad"]
    assert not path.exists()


@pytest.mark.parametrize("kind", ["runs", "matrix", "models", "clusters", "sizes"])
def test_a_snapshot_with_another_sha256_is_refused(tmp_path, kind):
    repo = filled(tmp_path / "r")
    repo.compact(cluster=cluster_models)
    path = repo.path / "snapshots" / "1" / f"task={TASK}" / f"{kind}.parquet"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecordError, match=rf"{kind}\.parquet was changed or damaged"):
        ResultsRepo.open(repo.path)
    assert "damaged" in repo.verify()[0]


def test_a_missing_snapshot_is_refused(tmp_path):
    repo = filled(tmp_path / "r")
    repo.compact()
    (repo.path / "snapshots" / "1" / f"task={TASK}" / "runs.parquet").unlink()
    with pytest.raises(RecordError, match=r"runs\.parquet.*missing"):
        ResultsRepo.open(repo.path)


# ------------------------------------------------------------------------- size, readers


def synthetic(count: int) -> list[RunRecord]:
    """Runs with all details of real ones; scores are counts of right answers of 600 rows."""
    rng = np.random.default_rng(0)
    recipe = Recipe()
    runs = []
    for n in range(count):
        name, column, seed = n // 42, n % 42 // 3, n % 3
        curve = LearningCurve(
            recipe.rungs(), rng.integers(100, 300, 8) / 300, *rng.random((2, 8)), rng.random(8)
        )
        runs.append(
            RunRecord(
                RunKey(
                    f"zoo/m{name}", f"{name:040x}", f"d{column}", f"{column:040x}", "", "r", seed
                ),
                task="image-classification",
                metric="accuracy",
                status="ok",
                curve=curve,
                test=float(rng.integers(100, 600) / 600),
                baseline=0.1,
                seconds=float(rng.random()),
                hardware="2 cores, a processor with a long name",
                versions={"torch": "2.13.0", "transformers": "5.23.0", "datasets": "5.2.0"},
                submitter="tester",
                created=f"2025-01-01T{n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}.{n:06d}",
            )
        )
    return runs


def test_a_thousand_runs_are_small(repo):
    repo.append(synthetic(1000))
    repo.compact()
    size = sum(p.stat().st_size for p in repo.path.rglob("*") if p.is_file())
    assert size < 300_000


def test_the_datasets_library_reads_it_without_this_package(tmp_path):
    datasets = pytest.importorskip("datasets")
    repo = filled(tmp_path / "r")
    repo.append([run("a", "x", task="image-classification", key={"model": "vit"})])
    repo.compact()
    for config, rows in (("matrix", 5), ("runs", 10), ("models", 3), ("recipes", 1)):
        table = datasets.load_dataset(str(repo.path), config, cache_dir=str(tmp_path / "cache"))
        assert table["train"].num_rows == rows
    matrix = datasets.load_dataset(str(repo.path), cache_dir=str(tmp_path / "cache"))["train"]
    row = matrix.filter(lambda r: r["model"] == "a" and r["dataset"] == "x")[0]
    assert row["score"] == pytest.approx(0.55)
    assert row["spread"] == pytest.approx(0.1 / np.sqrt(2))
    assert (row["seeds"], row["baseline"], row["metric"]) == (2, 0.5, "accuracy")
