"""`hf-select plan`: what is planned, what for, and what can't be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from results.made import RECIPE, TASK, dataset, model, revision, run
from tinyzoo import tiny_catalog

from hf_select.catalog import Catalog
from hf_select.cli.app import run as hf_select
from hf_select.records import ModelEntry
from hf_select.results.repo import ResultsRepo

SETS = "uvwxyz"


@pytest.fixture
def record(tmp_path) -> Path:
    """Eight models on six sets with two seeds, a ninth on one set; h failed on u."""
    rng = np.random.default_rng(0)
    repo = ResultsRepo.create(tmp_path / "record")
    level = np.linspace(0.55, 0.9, 8)
    runs = [
        run(m, d, float(level[i] + rng.normal(0, 0.02)), seed=s, seconds=10.0 * (1 + j))
        for i, m in enumerate("abcdefgh")
        for j, d in enumerate(SETS)
        for s in (0, 1)
        if (m, d) != ("h", "u")
    ]
    runs += [run("i", "u", 0.8, seconds=10.0), run("h", "u", status="oom")]
    repo.append(
        runs,
        models=[model(m) for m in "abcdefghi"],
        datasets=[dataset(d) for d in SETS],
        recipes=[RECIPE],
    )
    return repo.path


def plan(record, *options, capsys, code=0):
    capsys.readouterr()
    words = ["plan", "--results", str(record), "--task", TASK, "--json", *options]
    assert hf_select(words) == code
    return json.loads(capsys.readouterr().out)


def test_a_sparsely_measured_model_gets_its_anchors_first(record, capsys):
    found = plan(record, "--budget", "3", capsys=capsys)
    assert (found["task"], found["recipe"]) == (TASK, RECIPE.digest())
    assert found["budget"] == {"seconds": None, "cells": 3}
    assert found["left"] == 0
    assert len(found["cells"]) == 3
    first = found["cells"][0]
    assert first["model"] == "i"
    assert first["revision"] == revision("i")
    assert first["dataset"] in SETS[1:]
    assert first["dataset_revision"] == revision(first["dataset"])
    assert (first["config"], first["seed"]) == ("", 0)
    assert first["why"].startswith("anchor 1 of ")
    assert "the other 5 benchmarks" in first["why"]
    gains = [cell["gain"] for cell in found["cells"]]
    assert gains == sorted(gains, reverse=True)
    assert found["seconds"] == pytest.approx(sum(cell["seconds"] for cell in found["cells"]))


def test_seeds_are_free_ones_and_failed_cells_are_left_alone(record, capsys):
    found = plan(record, "--budget", "200", "--models", "g,h", capsys=capsys)
    cells = [(c["model"], c["dataset"], c["seed"]) for c in found["cells"]]
    assert {m for m, _, _ in cells} == {"g", "h"}
    assert len(set(cells)) == len(cells)
    assert ("h", "u") not in {(m, d) for m, d, _ in cells}
    assert min(seed for _, _, seed in cells) == 2
    assert "third seed: near the top with a chance of" in found["cells"][0]["why"]


def test_a_time_buys_what_fits_and_cheap_cells_come_first(record, capsys):
    found = plan(record, "--budget", "1m", capsys=capsys)
    assert found["budget"] == {"seconds": 60, "cells": None}
    assert found["seconds"] <= 60
    assert found["left"] == pytest.approx(60 - found["seconds"])
    assert found["cells"][0]["dataset"] == "v"  # of those that are new to i the cheapest
    assert found["cells"][0]["seconds"] == pytest.approx(20, rel=0.01)
    assert "5 s" in plan(record, "--budget", "5s", capsys=capsys, code=2)["error"]["message"]


def test_a_catalog_brings_models_and_sets_that_the_record_does_not_know(record, tmp_path, capsys):
    entries = [
        ModelEntry("new/one", "1" * 40, TASK, architecture="BertModel", num_parameters=10),
        ModelEntry("other/task", "2" * 40, "image-classification"),
    ]
    Catalog((*entries, model("a")), (dataset("q"),)).save(tmp_path / "catalog.json")
    options = ("--catalog", str(tmp_path / "catalog.json"))
    found = plan(record, *options, "--budget", "12", capsys=capsys)
    cells = {(c["model"], c["dataset"]) for c in found["cells"]}
    assert "new/one" in {m for m, _ in cells}
    assert "q" in {d for _, d in cells}
    assert "other/task" not in {m for m, _ in cells}
    mine = plan(record, *options, "--models", "new/one", "--budget", "2", capsys=capsys)["cells"]
    assert [c["why"].split(":")[0] for c in mine] == ["anchor 1 of 2", "anchor 2 of 2"]
    assert {c["revision"] for c in mine} == {"1" * 40}


def test_a_plan_is_the_same_every_time_and_from_a_snapshot(record, capsys):
    first = plan(record, "--budget", "5", capsys=capsys)
    ResultsRepo.open(record).compact()
    assert plan(record, "--budget", "5", capsys=capsys) == first


def test_in_words(record, capsys):
    assert hf_select(["plan", "--results", str(record), "--task", TASK, "--budget", "2"]) == 0
    shown = capsys.readouterr().out
    assert "anchor 1 of" in shown
    assert "2 cells, about" in shown
    assert "hf-select benchmark --cells plan.json" in shown


def test_the_shipped_record(capsys):
    words = ["plan", "--results", "demo", "--task", "image-classification", "--json"]
    assert hf_select([*words, "--budget", "1m"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["record"]["name"] == "demo"
    assert all(cell["seed"] >= 3 for cell in found["cells"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "much"), "budget is 'much'"),
        (("--budget", "0"), "budget is '0'"),
        (("--budget", "2", "--models", "nobody"), "unknown model 'nobody'"),
        (("--budget", "2", "--catalog", "nowhere"), "no catalog"),
    ],
)
def test_bad_input(record, options, words, capsys):
    assert words in plan(record, *options, capsys=capsys, code=2)["error"]["message"]


def test_a_task_that_the_record_does_not_hold(record, capsys):
    words = ["plan", "--results", str(record), "--budget", "2", "--json", "--task"]
    assert hf_select([*words, "image-classification"]) == 2
    assert "holds no image-classification runs" in capsys.readouterr().out
    assert hf_select([*words, "poetry"]) == 2
    assert "unknown task" in capsys.readouterr().out


def test_scores_without_seconds_can_be_planned_by_cells_alone(tmp_path, capsys):
    table = tmp_path / "wide.csv"
    rows = ["model,x,y", "a,0.5,0.6", "b,0.7,0.8", "c,0.9,"]
    table.write_text("\n".join(rows) + "\n")
    results = str(tmp_path / "r")
    words = ["import", str(table), "--results", results, "--task", TASK, "--metric", "accuracy"]
    assert hf_select([*words, "--quiet"]) == 0
    error = plan(results, "--budget", "2h", capsys=capsys, code=2)["error"]
    assert "no seconds to predict from" in error["message"]
    assert "number of cells" in error["hint"]
    found = plan(results, "--budget", "1", capsys=capsys)
    assert (found["cells"][0]["model"], found["cells"][0]["dataset"]) == ("c", "y")
    assert found["cells"][0]["seconds"] is None


def test_nothing_to_plan(tmp_path, capsys):
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run("a", "x"), run("b", "x")])  # nobody says what they are
    error = plan(repo.path, "--budget", "2", capsys=capsys, code=2)["error"]
    assert "nothing to plan" in error["message"]


# -------------------------------------------------------------------------------- running it


def test_a_plan_is_run_by_benchmark_and_by_nothing_else(tmp_path, capsys):
    catalog, record = str(tiny_catalog(tmp_path / "zoo")), str(tmp_path / "record")
    where = ["--results", record, "--catalog", catalog, "--task", TASK]
    how = ["--no-proxies", "--jobs", "1", "--quiet"]
    recipe = ["--epochs", "1", "--batch-size", "8", "--max-length", "16"]
    first = ["benchmark", *where, *how, *recipe, "--models", "tiny/ant"]
    assert hf_select(first) == 0

    capsys.readouterr()
    assert (
        hf_select(["plan", *where, "--budget", "2", "--models", "tiny/cat,tiny/dog", "--json"]) == 0
    )
    file = tmp_path / "plan.json"
    file.write_text(capsys.readouterr().out)
    cells = json.loads(file.read_text())["cells"]
    assert len(cells) == 2
    again = ["benchmark", "--cells", str(file), "--results", record, "--catalog", catalog, *how]
    assert hf_select([*again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    runs = {
        (r.key.model, r.key.dataset, r.key.seed): r for r in ResultsRepo.open(record).runs(TASK)
    }
    assert len(runs) == 3 + 2
    for cell in cells:
        mine = runs[cell["model"], cell["dataset"], cell["seed"]]
        assert (mine.status, mine.key.model_revision) == ("ok", cell["revision"])
    assert len({r.key.recipe for r in runs.values()}) == 1
    # what the record has run once it can find again, and what is done is done
    assert hf_select(["benchmark", "--cells", str(file), "--results", record, *how, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, ["--models", "a"], "names its models"),
        ({}, ["--task", "image-classification"], "is a plan for text-classification"),
        ({}, ["--epochs", "7"], "is a plan for recipe"),
        ({"cells": []}, [], "without cells"),
        ({"cells": [{"model": "a"}]}, [], "is not a plan"),
        ({"task": "poetry"}, [], "unknown task"),
    ],
)
def test_a_plan_that_cannot_be_run(record, tmp_path, capsys, change, options, words):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan(record, "--budget", "2", capsys=capsys) | change))
    words_before = ["benchmark", "--cells", str(file), "--results", str(record), "--json"]
    assert hf_select([*words_before, *options]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_plan_for_a_model_that_nobody_knows(record, tmp_path, capsys):
    document = plan(record, "--budget", "1", capsys=capsys)
    document["cells"][0]["revision"] = "9" * 40
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document))
    assert hf_select(["benchmark", "--cells", str(file), "--results", str(record), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "i at 99999999 is known neither" in error["message"]
    assert "--catalog" in error["hint"]
