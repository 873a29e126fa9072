"""The paper's clusters through the command line: a wide table in, clusters and silhouette out.

The paper's own two matrices are used where they lie beside the repository; a small matrix of our
own is held against a second, plain implementation of the paper's definitions and always runs.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hf_select.cli.app import run

PAPER = Path(__file__).parents[2].parent / "shared" / "data" / "paper"


def write_wide(path: Path, rows: dict[str, Sequence[float]], datasets: Sequence[str]) -> None:
    """First column `model`, then one column per dataset; NaN is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", *datasets])
        for model, scores in rows.items():
            writer.writerow([model, *("" if np.isnan(s) else repr(float(s)) for s in scores)])


def clusters_of(
    table: Path, task: str, threshold: float, capsys: pytest.CaptureFixture[str], *metric: str
) -> dict:
    """What `import` and then `cluster --preset paper --json` say about a table."""
    record = str(table.with_suffix(""))
    assert run(["import", str(table), "--results", record, "--task", task, "--json", *metric]) == 0
    imported = json.loads(capsys.readouterr().out)
    command = ["cluster", "--results", record, "--task", task, "--preset", "paper"]
    assert run([*command, "--threshold", str(threshold), "--json"]) == 0
    return {**json.loads(capsys.readouterr().out), "imported": imported}


# ------------------------------------------------------------------------- the paper's matrices


@pytest.mark.skipif(not PAPER.is_dir(), reason="the paper's matrices are not here")
@pytest.mark.parametrize(
    ("name", "task", "threshold", "clusters", "clustered", "single", "silhouette"),
    [
        ("nlp", "text-classification", 0.09, 8, 31, 8, 0.5355),
        ("cv", "image-classification", 0.03, 5, 29, 1, 0.7777),
    ],
)
def test_the_papers_clusters(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    task: str,
    threshold: float,
    clusters: int,
    clustered: int,
    single: int,
    silhouette: float,
) -> None:
    lines = (PAPER / f"{name}_matrix.txt").read_text(encoding="utf-8").splitlines()
    datasets = (PAPER / f"{name}_datasets.txt").read_text(encoding="utf-8").split()
    models = lines[0].split("\t")
    scores = np.array([[float(cell) for cell in line.split("\t")] for line in lines[1:] if line]).T
    write_wide(tmp_path / "wide.csv", dict(zip(models, scores, strict=True)), datasets)

    found = clusters_of(tmp_path / "wide.csv", task, threshold, capsys)
    sizes = [len(cluster["models"]) for cluster in found["clusters"]]
    groups = [size for size in sizes if size > 1]
    assert (len(groups), sum(groups), sizes.count(1)) == (clusters, clustered, single)
    assert round(found["silhouette"], 4) == silhouette
    assert sorted(m for cluster in found["clusters"] for m in cluster["models"]) == sorted(models)


# ----------------------------------------------------------------------------- one of our own


def distance(a: Sequence[float], b: Sequence[float], k: int = 5) -> float:
    """The mean of the k largest differences over the benchmarks that both were measured on."""
    gaps = [abs(x - y) for x, y in zip(a, b, strict=True) if x == x and y == y]
    largest = sorted(gaps, reverse=True)[:k]
    return sum(largest) / len(largest)


def between(left: list[str], right: list[str], table: dict[str, Sequence[float]]) -> float:
    """Average linkage: the mean distance of all pairs across two clusters."""
    return sum(distance(table[a], table[b]) for a in left for b in right) / (len(left) * len(right))


def grown(table: dict[str, Sequence[float]], threshold: float) -> list[list[str]]:
    """Merge the two nearest clusters until none are within the threshold."""
    clusters = [[model] for model in table]
    while len(clusters) > 1:
        pairs = [
            (between(clusters[i], clusters[j], table), i, j)
            for i in range(len(clusters))
            for j in range(i)
        ]
        nearest, i, j = min(pairs)
        if nearest > threshold:
            break
        clusters[j] += clusters.pop(i)
    return clusters


def silhouette(clusters: list[list[str]], table: dict[str, Sequence[float]]) -> float:
    """Over members of clusters of two or more: own cluster against everything outside of it."""
    values = []
    for cluster in clusters:
        outside = [model for model in table if model not in cluster]
        for model in cluster if len(cluster) > 1 else []:
            others = [other for other in cluster if other != model]
            a = sum(distance(table[model], table[other]) for other in others) / len(others)
            b = sum(distance(table[model], table[other]) for other in outside) / len(outside)
            values.append((b - a) / max(a, b))
    return sum(values) / len(values)


def own_matrix() -> dict[str, list[float]]:
    """Twelve models on six benchmarks: families of 4, 3 and 2, three loners, two gaps."""
    rng = np.random.default_rng(20240331)
    table: dict[str, list[float]] = {}
    for family, members in {"ant": 4, "bee": 3, "cat": 2, "dog": 1, "emu": 1, "fox": 1}.items():
        level = rng.uniform(0.3, 0.9, 6)
        for member in range(members):
            scores = (level + rng.normal(0, 0.02, 6)).round(4)
            table[f"{family}/{family}-{member}"] = scores.tolist()
    table["ant/ant-2"][1] = table["bee/bee-0"][4] = float("nan")
    return table


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.05, 0.15, 0.18, 0.22])
def test_our_own_matrix_by_a_second_implementation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threshold: float
) -> None:
    table = own_matrix()
    write_wide(tmp_path / "own.csv", table, [f"set-{j}" for j in range(6)])
    found = clusters_of(tmp_path / "own.csv", "text-classification", threshold, capsys)
    assert found["imported"]["rows"] == 12 * 6 - 2

    expected = grown(table, threshold)
    assert sorted(sorted(c["models"]) for c in found["clusters"]) == sorted(map(sorted, expected))
    if any(len(cluster) > 1 for cluster in expected):
        assert round(found["silhouette"], 4) == round(silhouette(expected, table), 4)
    else:
        assert found["silhouette"] is None

    def mean(model: str) -> float:
        return float(np.nanmean(table[model]))

    for cluster in found["clusters"]:
        several = len(cluster["models"]) > 1
        assert cluster["representative"] == (max(cluster["models"], key=mean) if several else None)


def test_our_own_matrix_has_the_families_it_was_made_of() -> None:
    """So that the comparison above is not one of singletons with singletons."""
    sizes = sorted((len(cluster) for cluster in grown(own_matrix(), 0.05)), reverse=True)
    assert sizes == [4, 3, 2, 1, 1, 1]


def test_errors_without_the_trivial_predictors_are_no_clusters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, task = tmp_path / "errors.csv", "text-regression"
    write_wide(table, {"a": [0.5, 0.6], "b": [0.7, 0.4], "c": [1.5, 1.6]}, ["x", "y"])
    record = str(tmp_path / "record")
    command = ["import", str(table), "--results", record, "--task", task, "--metric", "rmse"]
    assert run([*command, "--json"]) == 0
    capsys.readouterr()
    for preset in ([], ["--preset", "paper"]):
        assert run(["cluster", "--results", record, "--task", task, "--json", *preset]) == 2
        error = json.loads(capsys.readouterr().out)["error"]
        assert "can be compared" in error["message"]
        assert error["hint"].startswith("rmse needs the trivial predictor's score")


def test_scores_alone_have_no_curves_to_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide(tmp_path / "own.csv", own_matrix(), [f"set-{j}" for j in range(6)])
    task = "text-classification"
    clusters_of(tmp_path / "own.csv", task, 0.05, capsys)
    command = ["replay", "--results", str(tmp_path / "own"), "--task", task, "--json"]
    assert run([*command, "--phase", "selection"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "the record holds no learning curves" in error["message"]
    assert "`epoch`" in error["hint"]
    assert run([*command, "--phase", "recall"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["phase"] == "recall"
    assert {tuple(row) for row in document["summary"].values()} == {
        tuple(document["summary"]["mean"])
    }
