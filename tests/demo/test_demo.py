"""The demo on the shipped zoo, record and targets: what CLI.md promises and how good it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_select.catalog import Catalog, check_model_folder, folder_revision
from hf_select.cli.app import run
from hf_select.demo.run import FOLDER, ORACLE, judge
from hf_select.demo.targets import DEMO_TASKS
from hf_select.results.repo import ResultsRepo


def demo(task: str, out: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """The document that `hf-select demo --json` prints."""
    assert run(["demo", "--task", task, "--out", str(out), "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "task", ["image", *(pytest.param(t, marks=pytest.mark.slow) for t in ("text", "regression"))]
)
def test_the_demo_finds_a_near_best_model_at_a_low_price(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = demo(task, tmp_path / "out", capsys)
    assert {"target", "task", "metric", "winner", "ranking", "cost", "price", "rungs"} <= set(
        document
    )
    assert document["task"] == DEMO_TASKS[task]
    assert {"model", "revision", "val", "test", "checkpoint"} <= set(document["winner"])
    assert {"epochs", "seconds", "proxy_epochs"} <= set(document["cost"])
    assert document["cost"]["proxy_epochs"] > 0
    assert document["regret"] <= 2
    assert document["price"] <= 5
    assert document["winner"]["test"] == pytest.approx(document["oracle"]["test"], abs=0.06)
    if task == "regression":  # R2 of a half, an error of .72 of the mean's
        assert document["winner"]["test"] < 0.8 * document["trivial"]["test"]
        assert document["winner"]["test_metrics"]["r2"] > 0.35
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert document["oracle"]["model"] in page
    # The same command again finds the finished selection and says the same.
    assert demo(task, tmp_path / "out", capsys) == document


@pytest.mark.parametrize("task", DEMO_TASKS)
def test_the_oracle_was_measured_and_is_not_in_the_record(task: str) -> None:
    runs = ResultsRepo.open(ORACLE).runs(DEMO_TASKS[task])
    record = ResultsRepo.open(FOLDER / "results")
    models = {entry.repo_id for entry in record.models(DEMO_TASKS[task])}
    assert {run.key.model for run in runs} == models
    assert {run.key.seed for run in runs} == set(range(2 if task == "regression" else 3))
    assert all(run.status == "ok" and len(run.curve) == 8 for run in runs)
    targets = {run.key.dataset_revision for run in runs}
    assert len(targets) == 1
    assert not targets & {entry.revision for entry in record.datasets(DEMO_TASKS[task])}
    oracle, regret = judge(task, next(iter(models)))
    assert oracle["model"] in models
    assert regret >= 0
    assert judge(task, oracle["model"])[1] == 0


@pytest.mark.parametrize(
    ("task", "datasets", "seeds"), [("image", 10, 3), ("text", 8, 3), ("regression", 5, 2)]
)
def test_the_shipped_record_is_whole(task: str, datasets: int, seeds: int) -> None:
    repo = ResultsRepo.open(FOLDER / "results")
    assert repo.verify() == []
    curves = repo.curves(DEMO_TASKS[task])
    assert len(curves.datasets) >= datasets
    assert len(curves.seeds) == seeds
    assert len(curves.models) == (26 if task == "image" else 13)
    assert curves.epochs.tolist() == [0.125, 0.25, 0.5, 1, 2, 3, 4, 5]
    assert (curves.val == curves.val).all()
    assert (curves.test == curves.test).all()


def test_the_zoo_is_the_one_that_was_recorded() -> None:
    catalog = Catalog.load(FOLDER)
    record = ResultsRepo.open(FOLDER / "results")
    revisions = {e.repo_id: e.revision for t in DEMO_TASKS.values() for e in record.models(t)}
    assert {entry.repo_id for entry in catalog.models} == set(revisions)
    for entry in catalog.models:
        folder = check_model_folder(catalog.locations[entry.repo_id])
        assert folder_revision(folder) == entry.revision == revisions[entry.repo_id]


def test_the_shipped_record_is_small() -> None:
    files = [path for folder in (FOLDER / "results", ORACLE) for path in folder.rglob("*")]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 5_000_000
