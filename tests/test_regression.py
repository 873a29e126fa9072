"""Regression on tiny models, the whole way: errors go down, units are the label's, proxy is LogME.

The winner that is handed over is loaded by plain transformers and measured again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinyzoo
from foreign_metric import metric_module
from tiny import tiny_text_csv
from tinyzoo import MODELS, tiny_catalog

from hf_select import pipeline
from hf_select.catalog import Catalog
from hf_select.errors import InputError
from hf_select.report.page import render
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.scoring import ALLOW

TASK = "text-regression"
DATASETS = ("reviews", "news", "mail")
RECIPE = replace(tinyzoo.RECIPE, learning_rate=1e-2, epochs=4)  # enough to learn the ratings


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with catalog.json, a benchmarked `record` and a `target.csv` of ratings."""
    folder = tmp_path_factory.mktemp("rated-zoo")
    catalog = tiny_catalog(folder, regression=True)
    summary = pipeline.benchmark(
        folder / "record", catalog, recipe=RECIPE, datasets=DATASETS, jobs=2
    )
    assert (summary.done, summary.failed) == (len(MODELS) * len(DATASETS), 0)
    tiny_text_csv(folder / "target.csv", 90, regression=True, seed=3)
    return folder


def select(zoo: Path, out: Path, **options: object) -> dict:
    """The document of a selection on the rated zoo."""
    return pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        out,
        catalog=zoo / "catalog.json",
        **{"top": 3, **options},  # type: ignore[arg-type]
    ).document


def test_the_record_holds_errors_and_those_of_the_mean(zoo: Path) -> None:
    matrix = ResultsRepo.open(zoo / "record").matrix(TASK)
    assert matrix.metrics == ("rmse",) * len(DATASETS)
    assert np.isfinite(matrix.scores).all()
    assert np.isfinite(matrix.baselines).all()
    # Lower error, higher skill; and something was learned on some set.
    for j in range(len(DATASETS)):
        assert (np.argsort(matrix.scores[:, j]) == np.argsort(-matrix.skill[:, j])).all()
    assert (matrix.scores < matrix.baselines).any()


@pytest.mark.parametrize("preset", [None, "paper"])
def test_models_are_clustered_by_skill_whatever_the_preset(zoo: Path, preset: str | None) -> None:
    found = pipeline.cluster(zoo / "record", TASK, preset=preset, n_clusters=2).clustering
    assert sorted(found.models) == [f"tiny/{name}" for name in sorted(MODELS)]
    skill = ResultsRepo.open(zoo / "record").matrix(TASK).skill
    for head in found.representatives.values():
        members = found.members(int(found.labels[head]))
        assert head == max(members, key=lambda i: skill[i].mean())


def recall(zoo: Path, **options: object) -> pipeline.Recalled:
    """Phase one on the rated zoo."""
    return pipeline.recall(
        zoo / "target.csv",
        zoo / "record",
        catalog=zoo / "catalog.json",
        **options,  # type: ignore[arg-type]
    )


def test_recall_asks_representatives_by_logme(zoo: Path) -> None:
    # one cluster of all, so one representative
    found = recall(zoo, method="paper", threshold=10.0)
    assert found.result.task == TASK
    assert found.result.looked == 1
    (looked,) = (c for c in found.result.candidates if c.proxies)
    assert set(looked.proxies) == {"logme"}
    assert found.result.ranking == recall(zoo, method="mean").result.ranking
    with pytest.raises(InputError, match="regression"):
        recall(zoo, proxy="leep")


def test_recall_ranks_low_errors_first(zoo: Path) -> None:
    found = recall(zoo, method="mean")
    matrix = found.matrix
    share_left = (matrix.scores / matrix.baselines).mean(axis=1)  # of the mean's error
    order = np.argsort(share_left)
    assert found.result.ranking == tuple(matrix.models[i] for i in order)


def test_recall_by_each_models_own_proxy(zoo: Path) -> None:
    found = recall(zoo, method="proxy:logme")
    assert found.result.looked == len(MODELS)
    assert all(set(c.proxies) == {"logme"} for c in found.result.candidates)


def test_the_hybrid_forecasts_errors_too(zoo: Path) -> None:
    found = recall(zoo).result
    assert found.method == "hybrid"
    for candidate in found.candidates:
        assert set(candidate.proxies) == {"linear-probe", "logme", "knn"}
        assert np.isfinite([candidate.predicted, candidate.spread]).all()
    predicted = [c.predicted for c in found.candidates]
    assert found.candidates[0].predicted == max(predicted)


@pytest.mark.parametrize(
    "policy",
    [
        "paper",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("brute-force", "fractional-halving")),
    ],
)
def test_select_hands_over_a_model_with_the_reported_error(
    zoo: Path, tmp_path: Path, policy: str
) -> None:
    out = tmp_path / "out"
    document = select(zoo, out, policy=policy)
    assert (document["task"], document["metric"]) == (TASK, "rmse")
    winner = document["winner"]
    errors = errors_of(out, zoo / "target.csv")
    assert winner["test"] == pytest.approx(np.sqrt(np.mean(errors["model"] ** 2)), rel=1e-5)
    # In the label's own units, as the error of the mean rating is.
    assert document["trivial"]["test"] == pytest.approx(np.sqrt(np.mean(errors["mean"] ** 2)))
    if policy == "brute-force":
        assert winner["test"] < 0.95 * document["trivial"]["test"]
    check_order(document)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert winner["model"] in page
    assert f"{winner['test']:.4f}" in page


def test_the_winner_is_scored_by_every_metric_from_one_look_at_the_test_rows(
    zoo: Path, tmp_path: Path
) -> None:
    from scipy.stats import pearsonr, spearmanr

    winner = select(zoo, tmp_path / "out", policy="halving")["winner"]
    errors = errors_of(tmp_path / "out", zoo / "target.csv")
    truth = -errors["mean"] + errors["mean"].mean()
    said = errors["model"] + truth
    expected = {
        "mse": np.mean(errors["model"] ** 2),
        "rmse": np.sqrt(np.mean(errors["model"] ** 2)),
        "mae": np.mean(np.abs(errors["model"])),
        "r2": 1 - np.mean(errors["model"] ** 2) / np.mean(errors["mean"] ** 2),
        "pearson": pearsonr(said, truth).statistic,
        "spearman": spearmanr(said, truth).statistic,
    }
    assert winner["test_metrics"] == pytest.approx(expected, rel=1e-3)
    assert winner["test_metrics"]["rmse"] == winner["test"]


def test_a_metric_of_evaluate_decides_all_the_way(zoo: Path, tmp_path: Path) -> None:
    folder = metric_module(tmp_path / "misses")
    metric = f"evaluate:{folder}:better=lower:for=regression"
    out = tmp_path / "out"
    document = select(zoo, out, policy="halving", metric=metric)
    winner = document["winner"]
    assert (document["metric"], document["higher_is_better"]) == (metric, False)
    assert winner["test"] == winner["test_metrics"]["mae"] == winner["test_metrics"][metric]
    assert document["trivial"]["test"] > winner["test"]
    check_order(document)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "validation misses" in page.lower()
    assert render(json.loads((out / "selection.json").read_text())) == page


@pytest.mark.slow
def test_jobs_score_by_a_metric_of_evaluate_where_it_is_allowed(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = metric_module(tmp_path / "misses")
    metric = f"evaluate:{folder}:better=lower:for=regression"
    catalog = Catalog.load(zoo / "catalog.json")
    changed = tuple(replace(entry, metric=metric) for entry in catalog.datasets)
    replace(catalog, datasets=changed).save(tmp_path / "catalog.json")
    how = {"recipe": replace(RECIPE, epochs=2), "models": ["ant", "bee"], "jobs": 2}
    record = tmp_path / "record"
    with pytest.raises(InputError, match="a program that would be run here"):
        pipeline.benchmark(record, tmp_path / "catalog.json", **how)  # type: ignore[arg-type]
    assert not record.exists()
    monkeypatch.setenv(ALLOW, "1")
    summary = pipeline.benchmark(record, tmp_path / "catalog.json", **how)  # type: ignore[arg-type]
    assert (summary.done, summary.failed) == (2 * len(DATASETS), 0)
    monkeypatch.delenv(ALLOW)  # what is on record can be read by everybody
    matrix = ResultsRepo.open(record).matrix(TASK)
    assert matrix.metrics == (metric,) * len(DATASETS)
    assert np.isfinite(matrix.skill).all()
    document = pipeline.replay(record, TASK, phase="selection")
    assert document["summary"]["brute-force"]["regret"] >= 0
    assert pipeline.validate(record).ok


def check_order(document: dict) -> None:
    """The winner has the lowest validation error of those that were trained to the end."""
    ranking = document["ranking"]
    assert ranking[0]["model"] == document["winner"]["model"]
    horizon = max(curve["epochs"][-1] for curve in document["curves"].values())
    ends = {
        model: curve["val"][-1]
        for model, curve in document["curves"].items()
        if curve["epochs"][-1] == horizon
    }
    assert min(ends, key=lambda model: ends[model]) == document["winner"]["model"]


def errors_of(folder: Path, target: Path) -> dict[str, np.ndarray]:
    """Errors on the target's test rows of the model in a folder, with nothing of ours."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from hf_select.tasks.data import load_target

    rows = load_target(target).test
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.num_labels == 1
    said = []
    for text in rows["text"]:
        inputs = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            said.append(float(model(**inputs).logits[0, 0]))
    truth = np.array(rows["label"], dtype=np.float64)
    return {"model": np.array(said) - truth, "mean": truth.mean() - truth}


def test_every_rung_drops_the_higher_errors(zoo: Path, tmp_path: Path) -> None:
    document = select(zoo, tmp_path / "out", policy="fractional-halving", top=len(MODELS))
    checked = 0
    for rung in document["rungs"]:
        gone = {drop["model"] for drop in rung["dropped"]}
        kept = set(rung["live"]) - gone
        if gone and rung["epoch"] < RECIPE.epochs:
            assert max(rung["val"][m] for m in kept) <= min(rung["val"][m] for m in gone)
            checked += 1
    assert checked


def test_the_paper_forecasts_errors_in_the_labels_units(zoo: Path, tmp_path: Path) -> None:
    document = select(zoo, tmp_path / "out", policy="paper", top=len(MODELS))
    forecasts = [f for rung in document["rungs"] for f in rung["forecast"].values()]
    assert forecasts
    assert all(0 < forecast < 3 * document["trivial"]["test"] for forecast in forecasts)


def test_replay_of_both_phases(zoo: Path) -> None:
    document = pipeline.replay(zoo / "record", TASK, phase="selection")
    brute = document["summary"]["brute-force"]
    assert brute["price"] == pytest.approx(len(MODELS))
    assert brute["regret"] >= 0
    document = pipeline.replay(zoo / "record", TASK, phase="recall")
    assert document["summary"]["mean"]["regret@1"] >= 0
    assert document["summary"]["mean"]["regret@10"] == pytest.approx(0)
