"""`hf-select cluster --assign`: where models belong that were measured after the last grouping."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_select.cli.app import run
from hf_select.locations import demo_folder
from hf_select.pipeline.base import Grouping
from hf_select.results.repo import ResultsRepo

TASK = "image-classification"
NEW = "hf-select/resnet-digits-2"
ANCHORS = ("hf-select/mnist5k", "hf-select/animal", "hf-select/glyph_style")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped record, one model of which came in later, on three benchmarks."""
    shipped = ResultsRepo.open(demo_folder() / "results")
    repo = ResultsRepo.create(tmp_path_factory.mktemp("grown") / "record")
    recipes = [shipped.recipe(digest) for digest in shipped.recipes(TASK)]
    runs = shipped.runs(TASK)
    repo.append(
        [run for run in runs if run.key.model != NEW],
        models=shipped.models(TASK),
        datasets=shipped.datasets(TASK),
        recipes=[recipe for recipe in recipes if recipe is not None],
    )
    repo.compact(cluster=Grouping())
    repo.append([r for r in runs if r.key.model == NEW and r.key.dataset in ANCHORS])
    return repo.path


def test_a_new_model_is_placed_and_the_clusters_stay(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["cluster", "--results", str(record), "--task", TASK, "--assign"]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (placed,) = document["assigned"]
    assert placed["model"] == NEW
    assert placed["measured"] == len(ANCHORS)
    assert 0 < placed["probability"] <= 1
    assert placed["odds"] > 1
    groups = {c["id"]: c["models"] for c in document["clusters"]}
    assert NEW not in [model for models in groups.values() for model in models]
    # the nets that were pre-trained on digits with another seed are where it belongs
    assert "hf-select/resnet-digits-1" in groups[placed["cluster"]]
    assert run(command) == 0
    assert f"{NEW}: cluster {placed['cluster']}, probability" in capsys.readouterr().out


def test_nothing_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "--results", "demo", "--task", TASK, "--assign"]) == 0
    assert "no model was measured since" in capsys.readouterr().out


def test_there_is_nothing_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["cluster", "--results", "demo", "--task", TASK, "--assign", "--threshold", "0.1"]
    assert run(command) == 2
    assert "keeps the record's clusters" in capsys.readouterr().err
