import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_text_csv, tiny_text_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import features as bench

from hf_select import features
from hf_select.tasks.base import get_task
from hf_select.tasks.data import load_target

TASK = get_task("text-classification")


def test_a_word_counts_once_however_many_tokens_it_has():
    weights = bench.word_weights([None, 0, 0, 1, 3, 3, 3, 3, None])
    expected = np.array([0, 1 / 6, 1 / 6, 1 / 3, 1 / 12, 1 / 12, 1 / 12, 1 / 12, 0])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert bench.word_weights([None, None]).tolist() == [0, 0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_text_model(tmp_path_factory.mktemp("m") / "bert", architecture="bert", layers=4)


def test_their_pooling_is_the_mean_over_words(model, tmp_path):
    texts = load_target(tiny_text_csv(tmp_path / "t.csv", 60)).train["text"][:]
    loaded = features.load(TASK, model)
    seen = bench.same_pass(loaded, texts)
    assert bench.mean_of(seen) is seen.mean
    for i in (0, 9):  # a word of this tokenizer is a token
        ids = loaded.processor(texts[i], return_tensors="pt")
        with torch.no_grad():
            states = loaded.model(**ids, output_hidden_states=True).hidden_states[1:]
        words = torch.stack([state[0, 1:-1].mean(dim=0) for state in states])  # without the marks
        np.testing.assert_allclose(seen.layers[-1][i], words[-1], atol=1e-5)
        np.testing.assert_allclose(seen.mean[i], words.mean(dim=0), atol=1e-5)
    shipped = bench.our_pass(TASK, loaded, bench.as_split(texts))
    assert shipped.logits is None
    assert not np.allclose(shipped.layers[-1][0], seen.layers[-1][0], atol=1e-3)


@pytest.mark.skipif(
    importlib.util.find_spec("transformer_ranker") is None, reason="transformer-ranker isn't here"
)
def test_the_same_numbers_as_transformer_ranker(model, tmp_path):
    texts = load_target(tiny_text_csv(tmp_path / "t.csv", 60)).train["text"][:]
    seen = bench.same_pass(features.load(TASK, model), texts)
    found = bench.embed(bench.embedder(model), texts, 8)
    np.testing.assert_allclose(bench.mean_of(seen), found, atol=1e-4)


def test_each_repeat_runs_all_one_after_the_other():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    found = bench.interleaved(runs, 3)
    assert order == ["a", "b"] * 3
    assert {name: len(rows) for name, rows in found.items()} == {"a": 3, "b": 3}


def test_ratios_are_those_of_a_repeat():
    ours, theirs = [(1.0, 2.0), (2.0, 4.0), (1.0, 2.0)], [(3.0, 8.0), (8.0, 8.0), (5.0, 8.0)]
    found = bench.summary({bench.THEIRS: theirs, bench.OURS: ours})
    assert found[bench.THEIRS] == {
        "cpu_seconds": 5.0,
        "wall_seconds": 8.0,
        "cpu_ratio": 4.0,
        "wall_ratio": 4.0,
    }
    assert found[bench.OURS]["cpu_ratio"] == 1.0


def test_what_is_missing_is_said_with_the_way_to_get_it(model, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--model", str(tmp_path / "none")])
    assert "build_real_models.py" in capsys.readouterr().err
    for name in ("transformer_ranker", "transformer_ranker.embedder"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit):
        bench.main(["--model", str(model), "--zoo", str(tmp_path)])
    assert "pip install --no-deps" in capsys.readouterr().err


def test_the_shipped_numbers_make_the_table():
    document = json.loads((bench.JSON / "features.json").read_text(encoding="utf-8"))
    text = "\n".join(bench.lines(document))
    for name in (bench.THEIRS, bench.BEST, bench.OURS, bench.SAME):
        assert f"| {name} |" in text
    assert max(document["max_abs_difference"].values()) < 1e-4
    assert document["threads"] == 1
