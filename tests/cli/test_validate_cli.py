"""`validate` and `compact` on the command line: words, JSON, exit codes, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from results.made import RECIPE, TASK, dataset, model, run

from hf_select import files, pipeline
from hf_select.cli.app import run as hf_select
from hf_select.clustering.algorithms import EXACT
from hf_select.records import PerformanceMatrix, Recipe
from hf_select.results.card import CARD
from hf_select.results.repo import MANIFEST, ResultsRepo
from hf_select.results.schema import encode


@pytest.fixture
def record(tmp_path) -> Path:
    """A compacted record of three models on two datasets."""
    repo = ResultsRepo.create(tmp_path / "my-record")
    scores = {"a": (0.5, 0.9), "b": (0.52, 0.88), "c": (0.9, 0.1)}
    repo.append(
        [run(m, d, s) for m, two in scores.items() for d, s in zip("xy", two, strict=True)],
        models=[*map(model, "abc")],
        datasets=[*map(dataset, "xy")],
        recipes=[RECIPE],
    )
    assert hf_select(["compact", str(repo.path), "--any-submitter", "--quiet"]) == 0
    return repo.path


def contribute(record: Path, kind: str, rows: list, *, by: str = "tester") -> Path:
    data = encode(kind, rows, "2025-02-02")
    path = record / "inbox" / "2025-02" / by / f"{files.sha256(data)}.parquet"
    files.write_atomic(path, data)
    return path


def spoiled() -> list:
    bad = run("a", "x", seed=2)
    object.__setattr__(bad, "test", 1.7)
    return [run("a", "x", seed=1), bad]


def everything(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_good_record(record, capsys):
    capsys.readouterr()
    assert hf_select(["validate", str(record)]) == 0
    assert "The record is whole; nothing waits to be folded" in capsys.readouterr().out
    contribute(record, "runs", [run("a", "x", seed=1)])
    assert hf_select(["validate", "--results", str(record)]) == 0
    assert "1 file with 1 row to be folded: 1 can be used, 0 can't" in capsys.readouterr().out


def test_every_refused_row_is_named(record, capsys):
    path = contribute(record, "runs", spoiled())
    other = contribute(record, "runs", [run("q")])
    before = everything(record)
    capsys.readouterr()
    assert hf_select(["validate", str(record)]) == 1
    lines = capsys.readouterr().out.splitlines()
    name = path.relative_to(record).as_posix()
    assert any(f"{name} row 1: a on x: test score 1.7" in line for line in lines)
    assert any(other.name in line and "model 'q'" in line for line in lines)
    assert lines[-1] == "2 files with 3 rows to be folded: 1 can be used, 2 can't"
    assert hf_select(["validate", str(record), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert {(r["file"], r["row"]) for r in document["refused"]} == {
        (name, 1),
        (other.relative_to(record).as_posix(), 0),
    }
    assert everything(record) == before


def test_many_rows_refused_for_one_reason_are_one_line(record, capsys):
    key = {"recipe": Recipe().digest()}
    contribute(record, "runs", [run("a", "x", seed=n, key=key) for n in range(5)], by="eve")
    contribute(record, "recipes", [Recipe()])
    path = contribute(record, "runs", [run("b", "x", seed=n, submitter="bob") for n in range(3)])
    capsys.readouterr()
    assert hf_select(["validate", str(record)]) == 1
    lines = sorted(capsys.readouterr().out.splitlines())
    refused = [line for line in lines if " refused: " in line]
    assert [line.split(":")[0] for line in refused] == ["3 runs refused", "5 runs refused"]
    assert f"(first: b on x, seed 0 in {path.relative_to(record).as_posix()})" in refused[0]
    assert [line for line in lines if line.startswith("Hint")] == [
        "Hint: `--any-submitter` takes rows of such submitters"
    ]
    assert hf_select(["validate", str(record), "--any-submitter", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["refused"]) == 5
    assert hf_select(["validate", str(record), "--any-submitter"]) == 1
    assert "Hint: `--accept-new-recipes` takes runs of such recipes" in capsys.readouterr().out


def test_scores_that_are_far_apart_are_shown(record, capsys):
    contribute(record, "runs", [run("a", "x", 0.51)])
    assert hf_select(["validate", str(record)]) == 0
    assert "no more than three standard errors apart" in capsys.readouterr().out
    contribute(record, "runs", [run("a", "x", 0.1, submitter="jane")], by="jane")
    assert hf_select(["validate", str(record)]) == 1
    shown = capsys.readouterr().out
    assert "disagree: a on x, seed 0: 0.5 (tester)" in shown
    assert "0.1 (jane)" in shown
    assert "; more than three standard errors apart" in shown


def test_compact_folds_sets_aside_and_groups(record, capsys):
    contribute(record, "runs", spoiled())
    contribute(record, "runs", [run("a", "x", key={"recipe": Recipe().digest()})])
    contribute(record, "recipes", [Recipe()])
    capsys.readouterr()
    assert hf_select(["compact", "--results", str(record), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["generation"] == 2
    assert document["shards"] == 3
    assert sorted("1.7" in r["reason"] for r in document["refused"]) == [False, True]
    repo = ResultsRepo.open(record)
    assert len(repo) == 7
    found = repo.clustering(TASK)
    assert found is not None
    assert found.models == ("a", "b", "c")
    assert found.labels[0] == found.labels[1] != found.labels[2]
    assert "## Models that behave alike" in (record / CARD).read_text()
    assert hf_select(["compact", str(record)]) == 0
    assert "Nothing to fold; " in capsys.readouterr().out
    assert hf_select(["validate", str(record)]) == 0
    assert capsys.readouterr().out.count("set aside earlier: quarantine/") == 2


def test_a_maintainer_can_accept_a_new_recipe(record, capsys):
    contribute(record, "runs", [run("a", "x", key={"recipe": Recipe().digest()})])
    contribute(record, "recipes", [Recipe()])
    assert hf_select(["validate", str(record)]) == 1
    assert hf_select(["validate", str(record), "--accept-new-recipes"]) == 0
    assert hf_select(["compact", str(record), "--accept-new-recipes"]) == 0
    assert set(ResultsRepo.open(record).recipes(TASK)) == {RECIPE.digest(), Recipe().digest()}


def test_a_damaged_snapshot_is_a_finding_of_validate_and_stops_compact(record, capsys):
    path = next(record.glob("snapshots/*/task=*/runs.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    contribute(record, "runs", [run("a", "x", seed=1)])
    before = everything(record)
    assert hf_select(["validate", str(record)]) == 1
    assert "damaged: " in capsys.readouterr().out
    assert hf_select(["compact", str(record)]) == 2
    after = everything(record)
    assert after == before


@pytest.mark.parametrize("command", ["validate", "compact"])
def test_bad_input_is_one_line_and_nothing_is_written(record, tmp_path, capsys, command):
    def refused(*words: str) -> str:
        before = everything(tmp_path)
        capsys.readouterr()
        assert hf_select([command, *words]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        error, *hint = shown.err.splitlines()
        assert error.startswith("Error: ")
        assert len(hint) <= 1
        assert everything(tmp_path) == before
        return error

    contribute(record, "runs", [run("a", "x", seed=1)])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").write_text("x")
    assert "not a results repository" in refused(str(tmp_path / "thesis"))
    assert "no results repository at" in refused(str(tmp_path / "nothing"))
    assert "name one record" in refused()
    assert "name one record" in refused(str(record), "--results", str(record))
    manifest = (record / MANIFEST).read_text()
    (record / MANIFEST).write_text(json.dumps(json.loads(manifest) | {"schema_version": 2}))
    assert "newer" in refused(str(record))
    (record / MANIFEST).write_text(manifest)


def test_a_card_that_was_edited_into_bad_yaml_stops_all_that_writes(record, tmp_path, capsys):
    card = record / CARD
    card.write_text(card.read_text().replace("configs:", "configs: [", 1))
    contribute(record, "runs", [run("a", "x", seed=1)])
    (tmp_path / "more.csv").write_text("model,dataset,score\na,x,0.5\n")
    before = everything(tmp_path)
    results = ["--results", str(record)]
    benchmark = ["benchmark", *results, "--task", TASK, "--models", "m", "--datasets", "d.csv"]
    import_ = ["import", str(tmp_path / "more.csv"), *results, "--task", TASK]
    for words in (["compact", *results], benchmark, import_):
        capsys.readouterr()
        assert hf_select(words) == 2
        shown = capsys.readouterr().err.splitlines()
        assert "front matter of README.md is not YAML (line " in shown[0]
        assert "mend it" in shown[1]
        after = everything(tmp_path)
        after.pop(record / ".work" / "compact.lock", None)
        before.pop(record / ".work" / "compact.lock", None)
        assert after == before
    assert hf_select(["validate", *results]) == 1
    assert "front matter of README.md is not YAML" in capsys.readouterr().out


def test_import_groups_the_models_too(tmp_path):
    table = tmp_path / "wide.csv"
    table.write_text("model,x,y\na,0.5,0.9\nb,0.52,0.88\nc,0.9,0.1\n")
    words = ["import", str(table), "--results", str(tmp_path / "r"), "--task", TASK]
    assert hf_select([*words, "--metric", "accuracy", "--quiet"]) == 0
    assert ResultsRepo.open(tmp_path / "r").clustering(TASK) is not None


def test_ids_stay_and_drift_is_said(record, capsys):
    def clusters(*options):
        capsys.readouterr()
        assert (
            hf_select(["cluster", "--results", str(record), "--task", TASK, "--json", *options])
            == 0
        )
        found = json.loads(capsys.readouterr().out)
        return [(c["id"], c["models"]) for c in found["clusters"]], found["drift"]

    groups, drift = clusters()
    assert groups == [(0, ["a", "b"]), (1, ["c"])]
    assert (drift["common"], drift["changed"], drift["rand"], drift["new"]) == (3, 0, 1, 0)
    for m in "de":  # with them c's cluster is the biggest
        contribute(record, "models", [model(m)])
        contribute(record, "runs", [run(m, "x", 0.9), run(m, "y", 0.11)])
    assert clusters()[1]["new"] == 2  # not folded yet: against the clusters of the snapshot
    capsys.readouterr()
    assert hf_select(["compact", str(record), "--any-submitter", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["drift"][TASK] == {
        "common": 3,
        "changed": 0,
        "share": 0,
        "rand": 1,
        "new": 2,
        "gone": 0,
        "opened": 0,
        "closed": 0,
    }
    assert f"{TASK}: 2 new models" in said.err
    groups, drift = clusters()
    assert groups == [(1, ["c", "d", "e"]), (0, ["a", "b"])]
    assert drift["new"] == 0
    assert hf_select(["compact", str(record), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["drift"] == {}  # nothing new: not grouped anew

    groups, drift = clusters("--n-clusters", "1")
    assert groups == [(1, ["a", "b", "c", "d", "e"])]
    assert (drift["changed"], drift["share"], drift["closed"]) == (2, 0.4, 1)
    words = ["cluster", "--results", str(record), "--task", TASK, "--n-clusters", "1"]
    assert hf_select(words) == 0
    assert "2 of 5 models changed their cluster" in capsys.readouterr().out


def test_a_record_without_clusters_has_no_drift(tmp_path, capsys):
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run(m, d, 0.5) for m in "ab" for d in "xy"])
    assert hf_select(["cluster", "--results", str(repo.path), "--task", TASK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["drift"] is None


def test_more_models_than_have_distances_are_grouped_too():
    count = EXACT + 1
    scores = np.eye(5)[np.arange(count) % 5]
    names = tuple(map(str, range(count)))
    matrix = PerformanceMatrix(
        scores, np.full(scores.shape, np.nan), names, tuple("vwxyz"), ("f1",) * 5, np.zeros(5)
    )
    found = pipeline.base.Grouping()(matrix)
    assert (found.algorithm, found.distance) == ("micro", None)
    assert list(found.sizes.values()) == [2001, 2000, 2000, 2000, 2000]
