"""What a contribution must be: rules row by row, files that can't be read, what goes together."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import RECIPE, TASK, dataset, model, revision, run

from hf_select import files
from hf_select.errors import RecordError
from hf_select.records import LearningCurve, ProxyRow, Recipe
from hf_select.results.foreign import IMPORTED
from hf_select.results.repo import MANIFEST, QUARANTINE, ResultsRepo
from hf_select.results.schema import META_VERSION, SCHEMA_VERSION, encode
from hf_select.results.validation import RULES, Refuser, validate

OTHER = Recipe(epochs=3)
PLAIN_RECIPE = Recipe()


@pytest.fixture
def repo(tmp_path) -> ResultsRepo:
    """A record with one compacted run of model a on dataset x."""
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run()], models=[model()], datasets=[dataset()], recipes=[RECIPE])
    repo.compact()
    return repo


def contribute(repo: ResultsRepo, kind: str, rows: list, *, by: str = "tester", change=None) -> str:
    """Put a shard into the inbox as a stranger would, whatever is in it; returns its path."""
    data = encode(kind, rows, "2025-02-02")
    if change is not None:
        sink = io.BytesIO()
        pq.write_table(change(pq.read_table(io.BytesIO(data))), sink)
        data = sink.getvalue()
    path = repo.path / "inbox" / "2025-02" / by / f"{files.sha256(data)}.parquet"
    files.write_atomic(path, data)
    return path.relative_to(repo.path).as_posix()


def column(name: str, values: list, kind: pa.DataType | None = None):
    """A change of a table: another column in place of that one."""
    return lambda table: table.set_column(
        table.column_names.index(name), name, pa.array(values, kind)
    )


def header(**values: str):
    return lambda table: table.replace_schema_metadata(
        {
            **(table.schema.metadata or {}),
            **{f"hf_select.{k}".encode(): v for k, v in values.items()},
        }
    )


def everything(repo: ResultsRepo) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in repo.path.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------ what is good


def test_a_good_contribution(repo):
    contribute(repo, "models", [model("b")])
    contribute(repo, "datasets", [dataset("y")])
    contribute(repo, "runs", [run("b", "x"), run("b", "y"), run("b", "y", status="oom", seed=1)])
    contribute(
        repo,
        "proxies",
        [ProxyRow("b", revision("b"), "y", revision("y"), "logme", -1.5, 2.0, 9, TASK)],
    )
    before = everything(repo)
    report = validate(repo.path)
    assert (report.files, report.rows, report.accepted) == (4, 6, 6)
    assert report.ok
    assert report.refused == report.problems == report.quarantined == ()
    assert everything(repo) == before


def test_imported_results_have_no_commits_and_a_recipe_of_their_own(repo):
    zeros = {"model_revision": IMPORTED, "dataset_revision": IMPORTED, "recipe": "imported-glue"}
    imported = run("b", "z", key=zeros, origin="imported:glue.csv")
    contribute(repo, "models", [model("b", revision=IMPORTED)])
    contribute(repo, "datasets", [dataset("z", revision=IMPORTED)])
    contribute(repo, "runs", [imported])
    contribute(repo, "proxies", [ProxyRow("b", IMPORTED, "w", IMPORTED, "leep", 0.0, task=TASK)])
    assert validate(repo.path).ok


def test_what_import_makes_is_good(tmp_path):
    from hf_select import pipeline

    table = tmp_path / "glue.csv"
    table.write_text("model,mrpc,rte\na,0.5,0.6\nb,0.7,0.8\n")
    scores = tmp_path / "leep.csv"
    scores.write_text("model,dataset,proxy,value\na,mrpc,leep,-0.5\n")
    for file, kind in ((table, "runs"), (scores, "proxies")):
        pipeline.import_results(file, tmp_path / "r", task=TASK, metric="accuracy", kind=kind)
    assert validate(tmp_path / "r").ok


@pytest.mark.parametrize("name", ["results", "oracle"])
def test_the_shipped_records_are_good(name):
    from hf_select.locations import demo_folder

    report = validate(demo_folder() / name)
    assert report.ok, report


def test_a_missing_number_is_nan_as_pandas_writes_it(repo):
    contribute(repo, "runs", [run(seed=1)], change=column("baseline", [None], pa.float64()))
    assert validate(repo.path).ok


# ------------------------------------------------------------- fault 31: what is refused, by row


def test_fault_31_a_score_outside_the_metric(repo):
    rows = [run(seed=s) for s in (1, 2, 3)]
    name = contribute(repo, "runs", rows, change=column("test", [0.5, 1.7, 0.25]))
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(name, 1)]
    assert "a on x" in str(report.refused[0])
    assert "1.7 is outside the range of accuracy" in str(report.refused[0])
    assert (report.rows, report.accepted, report.ok) == (3, 2, False)
    repo.compact(refuse=Refuser(repo))
    assert sorted(r.test for r in ResultsRepo.open(repo.path).runs()) == [0.25, 0.5, 0.75]


def test_fault_31_an_unknown_column(repo):
    bad = contribute(
        repo, "runs", [run(seed=1)], change=lambda t: t.append_column("surprise", pa.array([1]))
    )
    contribute(repo, "runs", [run(seed=2)])
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(bad, None)]
    assert "surprise" in report.refused[0].reason
    assert report.accepted == 1


def test_fault_31_a_future_schema(repo):
    bad = contribute(
        repo, "runs", [run(seed=1)], change=header(schema_version=str(SCHEMA_VERSION + 1))
    )
    contribute(repo, "runs", [run(seed=2)])
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(bad, None)]
    assert "newer" in report.refused[0].reason
    assert META_VERSION in pq.read_schema(repo.path / bad).metadata
    repo.compact(refuse=Refuser(repo))
    assert len(ResultsRepo.open(repo.path)) == 2
    assert (repo.path / bad).exists()  # a later version can read it


def test_fault_31_another_recipe(repo):
    contribute(repo, "recipes", [OTHER])
    key = {"recipe": OTHER.digest()}
    bad = contribute(repo, "runs", [run(seed=1), run(seed=1, key=key), run(seed=2)])
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(bad, 1)]
    assert OTHER.digest() in report.refused[0].reason
    assert RECIPE.digest() in report.refused[0].reason
    assert validate(repo.path, accept_new_recipes=True).ok
    repo.compact(refuse=Refuser(repo))
    again = ResultsRepo.open(repo.path)
    assert list(again.recipes(TASK)) == [RECIPE.digest()]
    assert len(again) == 3
    (aside,) = again.quarantined()
    assert OTHER.digest() in aside
    assert "row 1: a on x seed 1" in aside
    assert not validate(repo.path).refused
    assert validate(repo.path).quarantined == (aside,)


def test_any_described_recipe_may_found_a_task(repo):
    contribute(repo, "recipes", [OTHER])
    task = "image-classification"
    contribute(repo, "models", [model("v", task=task)])
    contribute(repo, "datasets", [dataset("w", task=task)])
    contribute(repo, "runs", [run("v", "w", task=task, key={"recipe": OTHER.digest()})])
    assert validate(repo.path).ok
    contribute(repo, "runs", [run("v", "w", task=task, key={"recipe": PLAIN_RECIPE.digest()})])
    (refusal,) = validate(repo.path, accept_new_recipes=True).refused
    assert "described nowhere" in refusal.reason


# ---------------------------------------------------------------------------- every other rule

NAN = float("nan")
CURVE = run().curve


def curve(**values) -> LearningCurve:
    return replace(CURVE, **values)


SOON = (datetime.now(UTC) + timedelta(days=3)).isoformat()
BAD_RUNS = {
    "seed is -1": run(seed=-1),
    "model_revision is 'main'": run(key={"model_revision": "main"}),
    "dataset_revision is 'ABC": run(key={"dataset_revision": "ABC" + "0" * 37}),
    "which is for imported results only": run(key={"model_revision": IMPORTED}),
    "imported results have none": run(origin="imported:x.csv"),
    "not 'imported-...'": run(
        "i",
        "i",
        key={"model_revision": IMPORTED, "dataset_revision": IMPORTED},
        origin="imported:x.csv",
    ),
    "nothing is known of model 'b'": run("b"),
    "nothing is known of dataset 'y'": run("a", "y"),
    "nothing is known of model 'a' at commit 1111": run(key={"model_revision": "1" * 40}),
    "nothing is known of dataset 'x'": run(key={"config": "other"}),
    "nothing is known of model 'a'": run(task="image-classification"),
    "described nowhere": run(key={"recipe": PLAIN_RECIPE.digest()}),
    "scored by 'accuracy'": run(metric="f1"),
    "origin is 'guessed'": run(origin="guessed"),
    "origin is 'imported:'": run(origin="imported:"),
    "baseline 1.5": run(baseline=1.5),
    "ends at epoch 3": run(curve=LearningCurve.of([1, 3], [0.5, 0.5])),
    "no number from 0 on": run(curve=LearningCurve.of([1, np.inf], [0.5, 0.5])),
    "no number from 0 on: [-1.0": run(curve=LearningCurve.of([-1, 1], [0.5, 0.5])),
    "infinite train_loss": run(curve=curve(train_loss=[1, 1, np.inf, 1])),
    "infinite val_loss": run(curve=curve(val_loss=[1, 1, np.inf, 1])),
    "seconds that fall": run(curve=curve(seconds=[1, 3, 2, 4])),
    "took -5": run(seconds=-5.0),
    "took inf": run(seconds=np.inf),
    "created is 'yesterday'": run(created="yesterday"),
    "time zone": run(created="2025-01-01T00:00:00"),
    "in the future": run(created=SOON),
    "submitter is 'somebody else'": run(submitter="somebody else"),
    "submitter is 'jane', but": run(submitter="jane"),
}


@pytest.mark.parametrize("reason", BAD_RUNS)
def test_a_bad_run_is_named_with_its_reason_and_its_neighbours_stay(repo, reason):
    contribute(repo, "models", [model("i", revision=IMPORTED)])
    contribute(repo, "datasets", [dataset("i", revision=IMPORTED)])
    name = contribute(repo, "runs", [run(seed=7), BAD_RUNS[reason], run(seed=8)])
    report = validate(repo.path)
    (refusal,) = report.refused
    assert (refusal.file, refusal.row) == (name, 1)
    assert reason in refusal.reason
    assert BAD_RUNS[reason].key.model in refusal.reason
    assert report.accepted == 4
    repo.compact(refuse=Refuser(repo))
    kept = {r.key.seed for r in ResultsRepo.open(repo.path).runs()}
    assert kept == {0, 7, 8}


def test_an_infinite_score_of_a_metric_without_an_upper_end(repo):
    task = "text-regression"
    contribute(repo, "models", [model(task=task)])
    contribute(repo, "datasets", [dataset(task=task, metric="rmse", baseline=2.0)])
    good = run(task=task, metric="rmse", test=1.5, baseline=2.0)
    bad = replace(good, test=np.inf, key=replace(good.key, seed=1))
    contribute(repo, "runs", [good, bad])
    (refusal,) = validate(repo.path).refused
    assert "inf" in refusal.reason


BAD_ENTRIES = {
    "revision is 'main'": model("b", revision="main"),
    "num_parameters is -1": model("b", num_parameters=-1),
    "weights_sha256 is 'abc'": model("b", weights_sha256="abc"),
    "this commit's is known as": model("s", weights_sha256="b" * 64),
    "revision is ''": dataset("y", revision=""),
    "a safe name": dataset("y", config="../up"),
    "negative number": dataset("y", splits={"train": -1}),
    "not for text-classification": dataset("y", metric="rmse"),
    "the record scores it by 'accuracy'": dataset(metric="f1"),
    "baseline -1": dataset("y", baseline=-1.0),
    "model_revision is 'v1'": ProxyRow("a", "v1", "x", revision("x"), "leep", 0.5, task=TASK),
    "dataset_revision is '000": ProxyRow("a", revision("a"), "x", IMPORTED, "leep", 1, task=TASK),
    "model 'q'": ProxyRow("q", revision("q"), "x", revision("x"), "leep", 0.5, task=TASK),
    "dataset 'q'": ProxyRow("a", revision("a"), "q", revision("q"), "leep", 0.5, task=TASK),
    "value is inf": ProxyRow("a", revision("a"), "x", revision("x"), "leep", np.inf, task=TASK),
    "rows is -2": ProxyRow("a", revision("a"), "x", revision("x"), "leep", 0.5, 1, -2, TASK),
    "took -1": ProxyRow("a", revision("a"), "x", revision("x"), "leep", 0.5, -1.0, task=TASK),
}


@pytest.mark.parametrize("reason", BAD_ENTRIES)
def test_a_bad_entry_is_named_with_its_reason(repo, reason):
    repo.append(models=[model("s", weights_sha256="a" * 64)])
    repo.compact()
    row = BAD_ENTRIES[reason]
    kind = {ProxyRow: "proxies"}.get(type(row), "models")
    kind = "datasets" if hasattr(row, "metric") else kind
    contribute(repo, kind, [row])
    (refusal,) = validate(repo.path).refused
    assert reason in refusal.reason
    repo.compact(refuse=Refuser(repo))
    again = ResultsRepo.open(repo.path)
    kept = [*again.models(), *again.datasets(), *again.proxies()]
    assert row not in kept
    assert len(kept) == 3


def test_a_run_can_not_lean_on_an_entry_that_is_refused(repo):
    contribute(repo, "models", [model("b", num_parameters=-1)])
    contribute(repo, "runs", [run("b")])
    reasons = sorted(refusal.reason for refusal in validate(repo.path).refused)
    assert "nothing is known of model 'b'" in reasons[0]
    assert "num_parameters" in reasons[1]


def test_of_two_new_entries_that_disagree_the_older_counts(repo):
    contribute(repo, "datasets", [dataset("y")])
    path = repo.path / contribute(repo, "datasets", [dataset("y", metric="f1")], by="late")
    data = encode("datasets", [dataset("y", metric="f1")], "2025-03-03")
    path.unlink()
    files.write_atomic(path.with_name(f"{files.sha256(data)}.parquet"), data)
    (refusal,) = validate(repo.path).refused
    assert "late" in refusal.file
    assert "'accuracy'" in refusal.reason


def test_somebody_elses_rows_need_a_maintainers_word(repo):
    contribute(repo, "runs", [run(seed=1, submitter="jane")], by="bob")
    assert not validate(repo.path).ok
    assert validate(repo.path, any_submitter=True).ok
    contribute(repo, "runs", [run(seed=1, submitter="jane")], by="jane")
    assert validate(repo.path).ok  # she says so herself


def test_rules_are_there_for_every_kind_of_row():
    from typing import get_args

    from hf_select.results.schema import Row

    assert set(RULES) == set(get_args(Row))


# ------------------------------------------------------------------ tables that nobody can read


def not_utf8(table: pa.Table) -> pa.Table:
    """Bytes in the place of a text, as another writer may leave them."""
    ends = np.array([0, 2], np.int32)
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(ends), pa.py_buffer(b"\xff\xfe"))
    return table.set_column(table.column_names.index("reason"), "reason", bad)


BAD_TABLES = {
    "another type": column("test", ["high"]),
    "without column 'seed'": lambda t: t.drop_columns(["seed"]),
    "kind is 'pickles'": header(kind="pickles"),
    "no hf_select.schema_version": lambda t: t.replace_schema_metadata({}),
    "not a readable parquet file": not_utf8,
}


@pytest.mark.parametrize("reason", BAD_TABLES)
def test_a_table_that_can_not_be_read_is_refused_whole(repo, reason):
    bad = contribute(repo, "runs", [run(seed=1)], change=BAD_TABLES[reason])
    contribute(repo, "runs", [run(seed=2)])
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(bad, None)]
    assert reason in report.refused[0].reason
    assert report.accepted == 1
    assert len(ResultsRepo.open(repo.path)) == 2


BAD_CELLS = {
    "seed is missing": ("runs", run(seed=1), column("seed", [None], pa.int64())),
    "created is missing": ("runs", run(seed=1), column("created", [None], pa.string())),
    "versions is not a JSON object": ("runs", run(seed=1), column("versions", ['["x"]'])),
    "recursion": ("runs", run(seed=1), column("versions", ["[" * 100_000])),
    "splits is not a JSON object": ("datasets", dataset("y"), column("splits", ['{"test": "9"}'])),
    "label_names holds": ("datasets", dataset("y"), column("label_names", [["a", None]])),
    "the row says": ("recipes", OTHER, column("digest", ["0" * 16])),
    "unknown metric": ("runs", run(seed=1), column("metric", ["luck"])),
    "not a safe name": ("runs", run(seed=1), column("model", ["../../etc"])),
}


@pytest.mark.parametrize("reason", BAD_CELLS)
def test_a_value_that_would_break_readers_is_refused(repo, reason):
    kind, row, change = BAD_CELLS[reason]
    bad = contribute(repo, kind, [row], change=change)
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(bad, 0)]
    assert reason in report.refused[0].reason
    again = ResultsRepo.open(repo.path)
    assert len(again.runs()) == 1
    assert again.matrix(TASK).scores.shape == (1, 1)


def test_words_of_a_stranger_do_not_reach_the_terminal_as_they_are(repo):
    evil = "a\x1b[31m\nb"
    contribute(repo, "runs", [run(seed=1)], change=column("model", [evil]))
    (refusal,) = validate(repo.path).refused
    assert str(refusal).isprintable()


# ---------------------------------------------------------------- faults 32, 33 and 34 in a report


def test_fault_32_a_snapshot_that_was_changed_is_a_problem(repo):
    contribute(repo, "runs", [run(seed=1)])
    path = repo.path / "snapshots" / "1" / f"task={TASK}" / "runs.parquet"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    gone = path.with_name("models.parquet")
    gone.unlink()
    report = validate(repo.path)
    assert not report.ok
    assert report.refused == ()  # nothing can be said against it
    assert sorted("sha256" in problem for problem in report.problems) == [False, True]
    assert any("missing" in problem for problem in report.problems)


def test_fault_33_same_bytes_are_nothing_new_and_other_scores_are_told(repo):
    contribute(repo, "runs", [run()])
    assert validate(repo.path).disagreements == ()
    contribute(repo, "runs", [run(test=0.76)], by="tester")
    (clash,) = validate(repo.path).disagreements
    assert not clash.flagged
    assert validate(repo.path).ok
    contribute(repo, "runs", [run(test=0.2)], by="tester")
    report = validate(repo.path)
    assert report.disagreements[0].flagged
    assert report.accepted == 3
    assert not report.ok
    document = json.loads(json.dumps(report.to_dict()))
    assert [s["test"] for s in document["disagreements"][0]["scores"]] == [0.75, 0.76, 0.2]


def test_fault_34_a_shard_that_was_cut_off_is_named_and_set_aside(repo):
    name = contribute(repo, "runs", [run(seed=1)])
    contribute(repo, "runs", [run(seed=2)])
    (repo.path / name).write_bytes((repo.path / name).read_bytes()[:300])
    report = validate(repo.path)
    assert [(r.file, r.row) for r in report.refused] == [(name, None)]
    assert "cut off" in report.refused[0].reason
    assert report.accepted == 1
    repo.compact(refuse=Refuser(repo))
    report = validate(repo.path)
    assert report.ok
    (aside,) = report.quarantined
    assert aside.startswith(name.replace("inbox", QUARANTINE))
    assert len(ResultsRepo.open(repo.path)) == 2


# ------------------------------------------------------------------------------ the rest


def test_only_the_files_of_a_pull_request_are_reported(repo):
    contribute(repo, "models", [model("b")])
    contribute(repo, "runs", [run("q")])
    contribute(repo, "runs", [run(test=0.1)])
    mine = contribute(repo, "runs", [run("b"), run("c")])
    report = validate(repo.path, files=[mine])
    assert (report.files, report.rows, report.accepted) == (1, 2, 1)
    assert [(r.file, r.row) for r in report.refused] == [(mine, 1)]
    assert report.disagreements == ()
    assert len(validate(repo.path).refused) == 2


def test_a_record_that_was_folded_without_a_look_says_what_is_wrong_in_it(repo):
    repo.append([run("b", seed=s) for s in range(5)])
    repo.compact()
    (problem,) = validate(repo.path).problems
    assert "nothing is known of model 'b'" in problem
    assert "4 more rows" in problem


def test_what_is_no_record_and_a_newer_one_are_errors(repo, tmp_path):
    with pytest.raises(RecordError, match="not a results repository"):
        validate(tmp_path)
    document = json.loads((repo.path / MANIFEST).read_text())
    (repo.path / MANIFEST).write_text(json.dumps(document | {"schema_version": 2}))
    with pytest.raises(RecordError, match="newer") as error:
        validate(repo.path)
    assert "upgrade" in error.value.hint


def test_rows_that_arrive_while_a_compaction_begins_are_known_to_it(repo):
    refuser = Refuser(repo)
    assert refuser.validate().ok
    repo.append([run("b")], models=[model("b")], submitter="tester")
    repo.compact(refuse=refuser)
    assert len(repo) == 2
    assert repo.quarantined() == []
