"""The benchmark of a large record at a small size: what it makes is a record, what it says true."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import hub_scale
import synthetic_record
from synthetic_record import TASK

from hf_select.results.repo import ResultsRepo
from hf_select.results.snapshot import FolderSource, Snapshot


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    return folder, synthetic_record.write_record(folder, models=300, benchmarks=6, density=0.3)


def test_the_synthetic_record_is_one(record):
    folder, cells = record
    repo = ResultsRepo.open(folder)
    assert repo.verify() == []
    assert len(repo) == len(cells)
    assert repo.recipe(synthetic_record.RECIPE.digest()) == synthetic_record.RECIPE
    snapshot = Snapshot(FolderSource(folder), name="synthetic")
    for part in ("matrix", "curves"):
        made, read = (getattr(r, part)(TASK) for r in (repo, snapshot))
        assert (made.models, made.datasets) == (read.models, read.datasets)
        for name in ("scores", "spread") if part == "matrix" else ("val", "test", "seconds"):
            assert getattr(made, name).tobytes() == getattr(read, name).tobytes()
        np.testing.assert_array_equal(made.baselines, read.baselines)
    assert snapshot.clustering(TASK).models == snapshot.matrix(TASK).models
    assert snapshot.sizes(TASK) == repo.sizes(TASK)


def test_names_are_different_and_sorted():
    names = synthetic_record.make_names(2000, np.random.default_rng(1))
    assert len(set(names)) == 2000
    assert names == sorted(names)
    assert all(name.count("/") == 1 for name in names)


def test_bytes_on_disk(record):
    folder, cells = record
    found = hub_scale.on_disk(folder, len(cells))
    path = folder / "snapshots/1" / f"task={TASK}" / "matrix.parquet"
    assert found["files"]["matrix"] == path.stat().st_size
    assert found["bytes_per_cell"] == round(path.stat().st_size / len(cells), 2)
    assert 0 < found["bytes_per_curve"] < found["bytes_per_run"]


def test_all_of_it_at_a_small_size(tmp_path, monkeypatch, capsys):
    out = tmp_path / "deep" / "hub_scale.json"
    sizes = {"models": 300, "benchmarks": 6, "density": 0.3, "crawl": 1500, "top": 5, "repeat": 1}
    arguments = [f"--{name}={value}" for name, value in {**sizes, "json": out}.items()]
    monkeypatch.setattr(sys, "argv", ["hub_scale.py", *arguments])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    hub_scale.main()
    document = json.loads(out.read_text())
    assert set(document["recall"]) == set(hub_scale.METHODS)
    for recall in document["recall"].values():
        assert len(recall["recalled"]) == 5
        assert 0 < recall["downloaded_bytes"] <= recall["sent_bytes"]
        assert recall["downloaded_bytes"] == sum(s["bytes"] for s in recall["steps"].values())
        assert recall["requests"] == sum(s["requests"] for s in recall["steps"].values())
        assert 0 < recall["seconds"] < recall["process_seconds"]
        assert recall["seconds_of_each"] == [recall["seconds"]]
    crawl = document["crawl"]
    assert crawl["models"] == 1500
    assert crawl["models_per_second"] > 0
    assert set(document["targets"]) == set(hub_scale.TARGETS)
    printed = capsys.readouterr().out
    assert "bytes a cell" in printed
    assert all(name in printed for name in hub_scale.TARGETS)


def test_a_target_is_met_or_missed():
    recall = {"downloaded_bytes": 11_000_000, "seconds": 1.0, "peak_mb": 500.0}
    document = {"recall": {"mean": recall}, "crawl": {"models_per_second": 20_000}}
    found = hub_scale.met(document)
    assert {name: row["met"] for name, row in found.items()} == {
        "downloaded_mb": False,
        "seconds": True,
        "peak_mb": True,
        "crawled_per_second": True,
    }
