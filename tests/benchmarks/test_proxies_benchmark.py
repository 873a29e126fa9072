import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import proxies as benchmark

from hf_select.proxies import hscore, knn, logme


@pytest.fixture
def others(monkeypatch):
    """Another library that agrees, but for LogME's last digits."""
    scores = {
        "logme": lambda x, labels: logme(x, labels) + 1e-6,
        "hscore": hscore,
        "knn": benchmark.OURS["knn"],
        "knn of one": lambda x, labels: knn(x, labels, k=1),
    }
    monkeypatch.setattr(benchmark, "theirs", lambda: scores)
    return scores


def test_features_have_classes_and_columns_in_common():
    x, labels = benchmark.made_up(2100, 40, 5)
    assert x.dtype == np.float32
    assert np.bincount(labels).tolist() == [420] * 5
    assert 0.3 < knn(x, labels) < 0.999
    shares = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    assert shares[:4].sum() > 0.3 * shares.sum()
    np.testing.assert_array_equal(x, benchmark.made_up(2100, 40, 5)[0])


def test_measures_both_sides(others):
    found = benchmark.measure(others, rows=90, width=8, classes=3, repeat=2)
    assert list(found) == [*benchmark.OURS, "together", *benchmark.ALONE]
    assert found["logme"]["apart"] == pytest.approx(1e-6)
    assert found["hscore"]["apart"] == found["knn"]["apart"] == 0
    for name, row in found.items():
        assert row["seconds"] >= 0
        assert ("times_as_fast" in row) == (name in {*benchmark.OURS, "together"})


def test_medians_and_ratios_by_hand():
    row = benchmark.row([1.0, 1.5], [1.0, 2.0, 4.0], [3.0, 8.0, 4.0])
    assert row["seconds"] == 2
    assert row["seconds_of_theirs"] == 4
    assert row["times_as_fast"] == 2
    assert row["of_each_turn"] == [1, 4]
    assert row["apart"] == 0.5


def test_says_what_falls_short():
    def rows(fast, apart):
        return {"10": {"logme": {"times_as_fast": fast, "apart": apart}}}

    assert benchmark.missed({"classes": rows(2.0, 1e-6)}) == []
    assert "the target is 2.0" in benchmark.missed({"classes": rows(1.9, 0)})[0]
    assert "scores differ" in benchmark.missed({"classes": rows(3.0, 1e-3)})[0]


def test_prints_a_table_and_writes_json(others, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "version", lambda name: "1")
    monkeypatch.setattr(
        benchmark, "memory", lambda names, **sizes: {"logme": {"ours": 1.5, "theirs": None}}
    )
    path = tmp_path / "new" / "proxies.json"
    sizes = ["--rows", "60", "--width", "6", "--classes", "2", "3", "--repeat", "1"]
    benchmark.main([*sizes, "--json", str(path)])
    document = json.loads(path.read_text())
    assert list(document["classes"]) == ["2", "3"]
    shown = capsys.readouterr().out
    assert "60 rows, 6 columns" in shown
    assert shown.count("| logme |") == 2
    assert "| 1.5 |  |" in shown


def test_says_how_to_install_what_is_missing(monkeypatch, capsys):
    def missing():
        raise ImportError("No module named 'transformer_ranker'")

    monkeypatch.setattr(benchmark, "theirs", missing)
    with pytest.raises(SystemExit) as stop:
        benchmark.main([])
    assert stop.value.code == 2
    assert "pip install transformer-ranker" in capsys.readouterr().err


def test_peak_memory_is_that_of_the_score():
    peak = benchmark.memory(["hscore"], rows=4000, width=256, classes=3, sides=["ours"])["hscore"]
    # float64 copies of 8 MB; None where the system doesn't say.
    assert peak["ours"] is None or 4 < peak["ours"] < 100
