import argparse
import json
import sys
from pathlib import Path

import pytest
from tiny import tiny_text_csv

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import training as bench

TEXTS = bench.Case("texts", "words", 8, 32, 2)
IMAGES = bench.Case("images", "digits", 32, 32, 1)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    widths = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    monkeypatch.setitem(bench.WIDTHS, "small", {"text": widths, "image": widths})
    monkeypatch.setitem(bench.SIDES, "small", 16)
    monkeypatch.setitem(bench.CASES, "small", (TEXTS, IMAGES))
    monkeypatch.setattr(bench, "EVALUATED", 8)
    monkeypatch.setattr(bench, "WARM_ROWS", 16)
    monkeypatch.setattr(bench, "ZOO", tmp_path / "zoo")
    tiny_text_csv(tmp_path / "zoo" / "datasets" / "words" / "train.csv", 90)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("case", [TEXTS, IMAGES])
def test_all_train_the_same_rows_and_ours_is_the_plain_loop(tiny, case):
    job = bench.prepare(case, "small", "cpu", tiny)
    found = {}
    for name in bench.contestants(case):
        bench.warm(job, name)
        found[name] = bench.turn(job, name)
        assert found[name]["seconds"] > 0
        assert found[name]["peak"] > 0
    assert found["ours"]["loss"] == found["plain"]["loss"]
    assert found["trainer"]["loss"] == pytest.approx(found["plain"]["loss"], rel=0.2)
    assert ("grouped" in found) == (case is TEXTS)


def test_the_page_tells_both_devices(tiny, monkeypatch):
    monkeypatch.setattr(bench, "in_process", lambda number, name, *rest: _seen(name))
    options = argparse.Namespace(device="cpu", models="small", turns=2)
    *_, document = bench.measure(options, tiny)
    here, there = tiny / "training.json", tiny / "there.json"
    here.write_text(json.dumps({"cpu": document}), encoding="utf-8")
    other = {**document, "device": "a GPU", "precision": "bf16"}
    there.write_text(json.dumps({"cuda": other}), encoding="utf-8")
    page = tiny / "results.md"
    bench.main(["--from", str(there), "--json", str(here), "--page", str(page)])
    assert set(json.loads(here.read_text(encoding="utf-8"))) == {"cpu", "cuda"}
    text = page.read_text(encoding="utf-8")
    assert "### a GPU, bf16" in text
    assert "| texts | ours, grouped by length | 1.00 | 62 | 100 | 2.00 (2.00 to 2.00)" in text
    assert "padding 50 %, grouped 10 %" in text


def _seen(name):
    seconds = {"plain": 2.0, "ours": 2.0, "grouped": 1.0, "trainer": 2.5}[name]
    shares = {"padding": 0.1 if name == "grouped" else 0.5, "overhead": 0.1}
    return {"seconds": seconds, "peak": 100.0, "loss": 1.0, **shares}
