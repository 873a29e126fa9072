"""Metrics of the library `evaluate`, loaded from folders: scored, tried out, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_metric import metric_module
from tiny import tiny_text_csv

from hf_select.errors import HubError, InputError
from hf_select.foreign_metrics import FROM
from hf_select.metrics import METRICS, get_metric
from hf_select.tasks import load_benchmark, load_target
from hf_select.tasks.data import dataset_entry
from hf_select.tasks.encoded import Answers
from hf_select.tasks.scoring import ALLOW, check_allowed, scorer


@pytest.fixture(scope="module")
def misses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return metric_module(tmp_path_factory.mktemp("metrics") / "misses")


def test_ours_are_as_they_are():
    for name, metric in METRICS.items():
        assert scorer(name) is metric


def test_a_folder_s_metric_scores_as_ours_does(misses):
    mean = scorer(f"evaluate:{misses}:better=lower")
    square = scorer(f"evaluate:{misses}:better=lower:power=2")
    predictions, references = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 1.0])
    assert mean(predictions, references) == get_metric("mae")(predictions, references)
    assert square(predictions, references) == get_metric("mse")(predictions, references)
    assert mean.trivial(references) == get_metric("mae").trivial(references)
    assert mean.trivial(np.array([0, 0, 1])) == pytest.approx(1 / 3)  # the majority class
    assert type(mean(predictions, references)) is float


def test_its_direction_is_told_from_how_wrong_answers_score(misses):
    with pytest.raises(InputError, match="but 1 was said to be perfect") as raised:
        scorer(f"evaluate:{misses}:better=higher")
    assert raised.value.hint == f"say evaluate:{misses}:better=higher:perfect=0"
    with pytest.raises(InputError, match="the other way"):
        scorer(f"evaluate:{misses}:better=higher:perfect=0")


def test_which_of_its_results_counts_must_be_clear(tmp_path):
    two = metric_module(tmp_path / "two", result='{"a": max(misses), "b": [1, 2]}')
    with pytest.raises(InputError, match="gives a, b, not 'two'") as raised:
        scorer(f"evaluate:{two}:better=lower")
    assert ":key=a" in raised.value.hint
    assert scorer(f"evaluate:{two}:better=lower:key=a")(np.ones(2), np.zeros(2)) == 1
    with pytest.raises(InputError, match="not one number"):
        scorer(f"evaluate:{two}:better=lower:key=b")


@pytest.mark.parametrize("name", ["evaluate:{0}/none:better=lower", "evaluate:mape"])
def test_one_that_can_t_be_loaded_is_refused_before_the_data_is_read(tmp_path, name):
    with pytest.raises(InputError, match=r"there is no metric|can't be loaded") as raised:
        load_target(tmp_path / "none.csv", metric=name.format(tmp_path))
    assert raised.value.hint


def test_one_that_fails_says_so(misses):
    with pytest.raises(InputError, match="can't score these rows") as raised:
        scorer(f"evaluate:{misses}:better=lower:colour=red")
    assert "compute()" in raised.value.hint


def test_a_target_takes_it_and_a_catalog_needs_leave(misses, tmp_path, monkeypatch):
    name = f"evaluate:{misses}:better=lower:for=regression"
    path = tiny_text_csv(tmp_path / "rated.csv", 60, regression=True)
    target = load_target(path, metric=name)
    assert target.task == "text-regression"
    assert target.trivial() == load_target(path, metric="mae").trivial()
    entry = dataset_entry(target)
    assert entry.metric == name
    with pytest.raises(HubError, match="a program that would be run here") as raised:
        load_benchmark(entry, path)  # no fault of the data: a job leaves its cell undone
    assert ALLOW in raised.value.hint
    check_allowed("rmse", "x")
    monkeypatch.setenv(ALLOW, "1")
    assert load_benchmark(entry, path).fingerprint == target.fingerprint
    with pytest.raises(InputError, match="is for regression"):
        load_target(tiny_text_csv(tmp_path / "classes.csv"), metric=name)


def test_a_target_scores_by_all_metrics_of_its_kind(misses, tmp_path):
    own = f"evaluate:{misses}:better=lower"
    path = tiny_text_csv(tmp_path / "rated.csv", 60, regression=True)
    answers = Answers(np.array([1.0, 2.0, 3.5]), np.array([1.0, 2.5, 3.0]))
    found = load_target(path, metric=own).scores(answers)
    assert set(found) == {own, "mse", "rmse", "mae", "r2", "pearson", "spearman"}
    assert found[own] == found["mae"]
    classes = load_target(tiny_text_csv(tmp_path / "classes.csv"))
    found = classes.scores(Answers(np.array([0, 1]), np.array([0, 0])))
    assert found["accuracy"] == 0.5
    assert set(found) == {"accuracy", "f1", "matthews_correlation"}


def test_one_that_can_t_score_these_classes_is_refused_with_the_data(tmp_path, monkeypatch):
    pair = metric_module(
        tmp_path / "pair",
        result='{"pair": 1 / (len(set(references)) < 3) - sum(misses) / len(misses)}',
    )
    name = f"evaluate:{pair}:better=higher"
    assert load_target(tiny_text_csv(tmp_path / "two.csv", 60), metric=name).metric == name
    rows = [f"text {i},{'abc'[i % 3]}" for i in range(60)]
    (tmp_path / "three.csv").write_text("\n".join(["text,label", *rows]))
    with pytest.raises(InputError, match="can't score these rows"):
        load_target(tmp_path / "three.csv", metric=name)
    entry = replace(dataset_entry(load_target(tmp_path / "three.csv")), metric=name)
    monkeypatch.setenv(ALLOW, "1")
    with pytest.raises(HubError, match="can't score these rows"):  # no run of the models either
        load_benchmark(entry, tmp_path / "three.csv")


def test_a_folder_here_is_not_taken_for_a_metric_of_the_hub(tmp_path, monkeypatch):
    metric_module(tmp_path / "accuracy")
    metric_module(tmp_path / "lab" / "misses")
    monkeypatch.chdir(tmp_path)
    for name in ("evaluate:accuracy", "evaluate:lab/misses:better=lower"):
        with pytest.raises(InputError, match="also a folder here") as raised:
            scorer(name)
        assert f"evaluate:./{name.split(':')[1]}" in raised.value.hint


def test_a_relative_folder_starts_where_the_driver_is(tmp_path, monkeypatch):
    metric_module(tmp_path / "ours" / "gaps")
    monkeypatch.chdir(tmp_path)
    name = "evaluate:./gaps:better=lower"
    with pytest.raises(InputError, match="no metric at"):
        scorer(name)
    monkeypatch.setenv(FROM, str(tmp_path / "ours"))
    assert scorer(name)(np.ones(2), np.zeros(2)) == 1
