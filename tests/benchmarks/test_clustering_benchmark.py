"""The clustering benchmark: its reference is the paper's algorithm, and its page can be written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import clustering as benchmark

PAPER = Path(__file__).parents[3] / "shared" / "data" / "paper"


def test_the_reference_by_hand():
    assert benchmark.reference_distance([0.9, 0.8, 0.1], [0.5, 0.8, 0.4], k=2) == pytest.approx(
        0.35
    )
    assert benchmark.reference_distance([0.9, -0.2], [0.5, 0.3]) == pytest.approx(0.4)
    scores = [[0.9, 0.8], [0.88, 0.8], [0.2, 0.3], [0.22, 0.3], [0.5, 0.9]]
    assert benchmark.reference_clusters(scores, 0.1) == [0, 0, 1, 1, 2]
    assert benchmark.reference_clusters(scores, 0.0) == [0, 1, 2, 3, 4]
    assert benchmark.reference_clusters(scores, 1.0) == [0] * 5


@pytest.mark.parametrize("models", [20, 60])
def test_both_find_the_same_groups(models):
    mine = benchmark.ours(models, benchmark.THRESHOLD)["labels"]
    assert benchmark.same_groups(mine, benchmark.theirs(models)["labels"])
    assert 1 < len(set(mine)) < models


def test_the_papers_groups():
    if not PAPER.is_dir():
        pytest.skip("the paper's matrices are not here")
    text, vision = benchmark.golden(PAPER)
    assert (text["clusters"], text["clustered"], text["alone"]) == (8, 31, 8)
    assert (vision["clusters"], vision["clustered"], vision["alone"]) == (5, 29, 1)
    assert (round(text["silhouette"], 4), round(vision["silhouette"], 4)) == (0.5355, 0.7777)
    assert text["same_groups"]
    assert vision["same_groups"]


@pytest.mark.slow
def test_the_page(tmp_path, capsys):
    out, file = tmp_path / "results.md", tmp_path / "clustering.json"
    benchmark.main(
        [
            "--most",
            "200",
            "--scale",
            "1000",
            "--patience",
            "5",
            "--out",
            str(out),
            "--json",
            str(file),
        ]
    )
    document = json.loads(file.read_text())
    assert all(row["same_groups"] for row in document["sizes"] if "ratio" in row)
    assert out.read_text().count("## Clustering") == 1
    assert "1,000 x 50 with 30 % of the cells missing, by `average`" in capsys.readouterr().out
