"""Phase one through the pipeline: what the hybrid looks at, leaves out, says and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_text_csv, tiny_text_model
from tinyzoo import DATASETS, MODELS, RECIPE, TASK, benchmarked_zoo, tiny_catalog

from hf_select import pipeline
from hf_select.catalog import Catalog, local_model
from hf_select.cli.app import run
from hf_select.errors import InputError, RecordError, StoppedError
from hf_select.pipeline import compare
from hf_select.pipeline.base import columns_of, recorded_proxies
from hf_select.recall.hybrid import PREFERRED
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import load_target

NAMES = [f"tiny/{name}" for name in MODELS]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of four models on three sets with proxy scores, a catalog and a target."""
    return benchmarked_zoo(tmp_path_factory)


def recall(zoo: Path, **options: object) -> pipeline.Recalled:
    return pipeline.recall(
        zoo / "target.csv",
        zoo / "record",
        **{"catalog": zoo / "catalog.json", **options},  # type: ignore[arg-type]
    )


def test_the_hybrid_is_the_default_and_looks_at_every_model_by_three_proxies(zoo: Path) -> None:
    said: list[str] = []
    found = recall(zoo, say=said.append)
    assert found.result.method == "hybrid"
    assert sum("proxy pass" in line for line in said) == len(MODELS)
    assert found.result.looked == len(MODELS)
    assert sorted(found.result.ranking) == NAMES
    for candidate in found.result.candidates:
        assert set(candidate.proxies) == set(PREFERRED)
        assert np.isfinite([candidate.predicted, candidate.spread, candidate.deviation]).all()
        assert candidate.spread >= candidate.deviation > 0
        assert "prior" in candidate.evidence
    first, last = found.result.candidates[0], found.result.candidates[-1]
    if first.predicted < 1:  # what each piece of evidence adds is all that sets two models apart
        apart = sum(first.evidence.values()) - sum(last.evidence.values())
        assert apart == pytest.approx(first.predicted - last.predicted)
    assert found.proxy_seconds > 0
    assert 0 <= found.result.outside <= 1
    chances = [candidate.p_best for candidate in found.result.candidates]
    assert sum(chances) <= 1 + 1e-9


def test_the_papers_preset_is_the_papers_method(zoo: Path) -> None:
    assert recall(zoo, preset="paper").result.method == "paper"
    assert recall(zoo, preset="paper", method="mean").result.method == "mean"


def test_top_says_how_many(zoo: Path) -> None:
    for top in (1, 3):
        assert len(recall(zoo, top=top).result.candidates) == top
    free = recall(zoo).result
    assert free.outside <= 0.05 or len(free.candidates) == len(MODELS)


def test_named_proxies_and_only_those_are_used(zoo: Path) -> None:
    found = recall(zoo, proxy=["hscore", "logme"]).result
    assert {name for c in found.candidates for name in c.proxies} == {"hscore", "logme"}
    assert recall(zoo, proxy="knn").result.candidates[0].proxies.keys() == {"knn"}


def test_few_looks_go_to_representatives_and_the_likeliest(zoo: Path) -> None:
    said: list[str] = []
    found = recall(zoo, looks=2, say=said.append).result
    assert sum("proxy pass" in line for line in said) == found.looked == 2
    assert sorted(found.ranking) == NAMES
    # half before anything is seen, half where it is likeliest to matter
    assert said[0].startswith("proxy pass 1/1")


def test_a_model_that_cannot_be_loaded_takes_no_place(zoo: Path, tmp_path: Path) -> None:
    catalog = Catalog.load(zoo / "catalog.json")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    places = {**catalog.locations, "tiny/bee": broken}
    replace(catalog, locations=places).save(tmp_path / "catalog.json")
    found = recall(zoo, catalog=tmp_path / "catalog.json", top=10)
    assert sorted(c.model for c in found.result.candidates) == [n for n in NAMES if "bee" not in n]
    assert "tiny/bee" in {bad.repo_id for bad in found.result.skipped}
    assert "tiny/bee" not in found.matrix.models


def test_no_model_can_be_loaded(zoo: Path, tmp_path: Path) -> None:
    catalog = Catalog.load(zoo / "catalog.json")
    gone = dict.fromkeys(catalog.locations, tmp_path / "nowhere")
    replace(catalog, locations=gone).save(tmp_path / "catalog.json")
    said: list[str] = []
    found = recall(zoo, catalog=tmp_path / "catalog.json", say=said.append).result
    assert "none of 4 models could be looked at" in said[-1]
    assert (sorted(found.ranking), found.looked) == (NAMES, 0)
    with pytest.raises(RecordError, match="none of 4 models could be loaded"):
        pipeline.select(
            zoo / "target.csv",
            zoo / "record",
            tmp_path / "out",
            catalog=tmp_path / "catalog.json",
        )


def test_models_of_another_recipe_are_named(zoo: Path, tmp_path: Path) -> None:
    old = ResultsRepo.open(zoo / "record")
    mixed = ResultsRepo.create(tmp_path / "mixed")
    recipes = [old.recipe(digest) for digest in old.recipes(TASK)]
    other = replace(RECIPE, epochs=1)
    runs = [
        replace(run, key=replace(run.key, recipe=other.digest())) if "dog" in run.key.model else run
        for run in old.runs()
    ]
    mixed.append(
        runs, models=old.models(), datasets=old.datasets(), recipes=[*filter(None, recipes), other]
    )
    mixed.compact()
    said: list[str] = []
    found = pipeline.recall(zoo / "target.csv", tmp_path / "mixed", say=said.append)
    assert "tiny/dog" not in found.matrix.models
    assert any("left out: 1 model" in line and "tiny/dog" in line for line in said)


def test_models_that_nobody_measured_are_candidates_by_their_kin(zoo: Path, tmp_path: Path) -> None:
    catalog = Catalog.load(zoo / "catalog.json")
    folder = tiny_text_model(tmp_path / "eel", architecture="distilbert", seed=9)
    eel = replace(local_model(folder, TASK), repo_id="tiny/eel")
    replace(
        catalog,
        models=(*catalog.models, eel),
        locations={**catalog.locations, "tiny/eel": folder},
    ).save(tmp_path / "catalog.json")
    found = recall(zoo, catalog=tmp_path / "catalog.json", top=5)
    (stranger,) = (c for c in found.result.candidates if c.model == "tiny/eel")
    assert stranger.revision == eel.revision
    assert "nobody has measured it" in stranger.reason
    assert np.isfinite(stranger.predicted)
    assert stranger.deviation >= min(c.deviation for c in found.result.candidates)
    without = recall(zoo, catalog=tmp_path / "catalog.json", exclude=["tiny/eel"]).result
    assert sorted(without.ranking) == NAMES
    assert recall(zoo, top=5, method="mean", catalog=tmp_path / "catalog.json").result.ranking
    assert (
        "tiny/eel"
        not in recall(
            zoo, catalog=tmp_path / "catalog.json", exclude=[NAMES[0]], method="mean"
        ).result.ranking
    )


def test_a_record_without_proxy_scores_is_recalled_by_its_benchmarks(
    zoo: Path, tmp_path: Path
) -> None:
    old = ResultsRepo.open(zoo / "record")
    bare = ResultsRepo.create(tmp_path / "bare")
    recipes = [old.recipe(digest) for digest in old.recipes(TASK)]
    bare.append(
        old.runs(), models=old.models(), datasets=old.datasets(), recipes=filter(None, recipes)
    )
    bare.compact()
    said: list[str] = []
    found = pipeline.recall(zoo / "target.csv", tmp_path / "bare", say=said.append)
    assert "holds no proxy scores" in "".join(said)
    assert found.result.looked == 0
    assert found.proxy_seconds == 0
    assert found.result.novel is None
    with pytest.raises(InputError, match="knn scores on 0 benchmarks, too few"):
        pipeline.recall(zoo / "target.csv", tmp_path / "bare", proxy="knn")


def test_of_a_target_that_is_a_benchmark_all_is_hidden(zoo: Path) -> None:
    # two benchmarks are left, too few to learn from, so nothing is looked at
    said: list[str] = []
    data = zoo / "data" / f"{DATASETS[0]}.csv"
    found = pipeline.recall(data, zoo / "record", catalog=zoo / "catalog.json", say=said.append)
    assert "holds proxy scores on 2 benchmarks, and it takes 3" in "".join(said)
    assert found.result.looked == 0
    assert f"tiny/{DATASETS[0]}" not in found.matrix.datasets


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"proxy": ["knn", "logme"], "method": "paper"}, "takes one proxy, not 2"),
        ({"proxy": "nope"}, "nope"),
        ({"proxy": "knn", "method": "mean"}, "looks at no proxy score"),
        ({"looks": 1}, "looks is 1"),
        ({"looks": 9, "method": "mean"}, "knows no looks"),
        ({"proxy": "logme", "method": "proxy:knn"}, "ranks by knn, not by logme"),
        ({"threshold": float("inf")}, "threshold is inf"),
        ({"exclude": NAMES}, "no model is left: of 4, the limits rule out 4 by --exclude"),
        ({"top": 0}, "top is 0"),
        ({"method": "best"}, "best"),
        ({"preset": "other"}, "other"),
    ],
)
def test_bad_input_is_refused_before_any_model_is_loaded(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, options: dict, words: str
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was looked at")

    monkeypatch.setattr("hf_select.pipeline.recalling.look_at_models", never)
    with pytest.raises(InputError, match=words):
        recall(zoo, **options)


def test_a_proxy_that_cannot_score_the_target_names_those_that_can(tmp_path: Path) -> None:
    folder = tmp_path
    catalog = tiny_catalog(folder, regression=True)
    pipeline.benchmark(folder / "record", catalog, recipe=RECIPE, proxies=(), models=NAMES[:1])
    tiny_text_csv(folder / "target.csv", 60, regression=True, seed=3)
    for method in ("hybrid", "paper"):
        with pytest.raises(InputError, match="'hscore' takes classification") as caught:
            pipeline.recall(
                folder / "target.csv",
                folder / "record",
                proxy="hscore",
                method=method,
                catalog=catalog,
            )
        assert caught.value.hint == "proxies for regression: knn, linear-probe, logme"


def test_recall_as_json(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["recall", str(zoo / "target.csv"), "-r", str(zoo / "record")]
    command += ["--catalog", str(zoo / "catalog.json"), "--proxy", "knn", "--proxy", "linear-probe"]
    assert run([*command, "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["method"] == "hybrid"
    assert document["novel"] is None  # three benchmarks are too few to say
    assert document["looked_at"] == len(MODELS)
    assert set(document["weights"]["own"]) >= {"prior", "knn", "linear-probe"}
    assert 0 <= document["outside"] <= 1
    first = document["candidates"][0]
    assert set(first["proxies"]) == {"knn", "linear-probe"}
    assert {"p_best", "evidence", "mates", "deviation"} <= set(first)
    assert all(set(row) == {"dataset", "similarity"} for row in document["nearest_benchmarks"])
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "P(best)" in shown
    assert "Chance that the best model is not among these" in shown


def test_replay_of_recall_as_json(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", "-r", str(zoo / "record"), "--task", TASK, "--phase", "recall", "--json"]
    assert run([*command, "--top", "1,2", "--methods", "mean,proxy:knn,hybrid"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["summary"]) == ["mean", "proxy:knn", "hybrid"]
    for row in document["summary"].values():
        assert row["regret@2"] <= row["regret@1"]
        low, high = row["regret@1_ci"]
        assert low <= row["regret@1"] <= high
        assert row["targets"] == len(DATASETS)
    assert {"recalled", "regret@recalled", "novel"} <= set(
        document["targets"]["tiny/news"]["hybrid"]
    )
    assert run([*command, "--top", "0"]) == 2
    capsys.readouterr()
    assert run([*command, "--top", "few"]) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("recall", (None, "hybrid")),
        ("recall:5", (5, "hybrid")),
        ("recall:paper", (None, "paper")),
        ("recall:3:proxy:logme", (3, "proxy:logme")),
    ],
)
def test_candidates_of_a_replay_in_words(words: str, expected: tuple) -> None:
    assert compare._candidates(words) == expected


@pytest.mark.parametrize("words", ["recall:", "recall:0", "best", "recal:3"])
def test_words_for_no_candidates(zoo: Path, words: str) -> None:
    with pytest.raises(InputError, match="must be `all`"):
        pipeline.replay(zoo / "record", TASK, candidates=words)


def test_selection_is_replayed_on_what_the_hybrid_recalls_and_looks_are_paid_for() -> None:
    def price(candidates: str) -> float:
        found = pipeline.replay("demo", TASK, policies=["brute-force"], candidates=candidates)
        return found["summary"]["brute-force"]["price"]

    assert price("recall:2:mean") == pytest.approx(2)
    assert price("recall:1:hybrid") > 1.1  # one training, and a look at every model
    assert price("recall:2") == pytest.approx(price("recall:1") + 1)


# ----------------------------------------------------------------- what a record may hold besides


def copied(zoo: Path, folder: Path, **kinds: list) -> Path:
    """The zoo's record with other rows of some kinds."""
    old = ResultsRepo.open(zoo / "record")
    rows = {
        "runs": old.runs(),
        "models": old.models(),
        "datasets": old.datasets(),
        "proxies": old.proxies(),
        "recipes": [r for r in map(old.recipe, old.recipes(TASK)) if r is not None],
        **kinds,
    }
    ResultsRepo.create(folder).append(rows.pop("runs"), **rows)
    return folder


def test_proxy_scores_on_sets_without_runs_are_no_reason_to_look(zoo: Path, tmp_path: Path) -> None:
    runs = [run for run in ResultsRepo.open(zoo / "record").runs() if "mail" not in run.key.dataset]
    found = pipeline.recall(
        zoo / "target.csv", copied(zoo, tmp_path / "few", runs=runs), catalog=zoo / "catalog.json"
    )
    assert found.result.looked == 0  # two benchmarks teach no weight


def test_a_model_with_runs_and_no_entry_is_not_taken_for_one_without_runs(
    zoo: Path, tmp_path: Path
) -> None:
    models = [m for m in ResultsRepo.open(zoo / "record").models() if m.repo_id != NAMES[0]]
    found = pipeline.recall(
        zoo / "target.csv",
        copied(zoo, tmp_path / "gap", models=models),
        catalog=zoo / "catalog.json",
    )
    assert [bad.repo_id for bad in found.result.skipped] == [NAMES[0]]
    assert sorted(found.result.ranking) == NAMES[1:]


def test_proxy_scores_of_several_commits_are_not_mixed(zoo: Path, tmp_path: Path) -> None:
    rows = ResultsRepo.open(zoo / "record").proxies()
    (one,) = (r for r in rows if (r.proxy, r.model, r.dataset) == ("knn", NAMES[0], "tiny/news"))
    later = [
        replace(one, dataset_revision="f" * 40, value=0.111),  # one model there, four at the other
        replace(one, model_revision="f" * 40, value=float("nan")),
    ]
    record = ResultsRepo.open(copied(zoo, tmp_path / "stale", proxies=[*rows, *later]))
    scores = recorded_proxies(record, TASK)["knn", "tiny/news"]
    assert dict(zip(scores.models, scores.values, strict=True))[NAMES[0]] == one.value
    record.append(proxies=[replace(one, model_revision="e" * 40, value=0.222)])
    scores = recorded_proxies(record, TASK)["knn", "tiny/news"]
    assert dict(zip(scores.models, scores.values, strict=True))[NAMES[0]] == 0.222


def test_copies_of_the_target_are_hidden_with_it(zoo: Path, tmp_path: Path) -> None:
    old = ResultsRepo.open(zoo / "record")
    name, copy = "tiny/reviews", "copy/of-reviews"

    def doubled(rows: list, own: Callable[[Any], str], as_copy: Callable[[Any], Any]) -> list:
        return [*rows, *(as_copy(row) for row in rows if own(row) == name)]

    folder = copied(
        zoo,
        tmp_path / "double",
        runs=doubled(
            old.runs(),
            lambda run: run.key.dataset,
            lambda run: replace(run, key=replace(run.key, dataset=copy)),
        ),
        datasets=doubled(old.datasets(), lambda e: e.repo_id, lambda e: replace(e, repo_id=copy)),
        proxies=doubled(old.proxies(), lambda r: r.dataset, lambda r: replace(r, dataset=copy)),
    )
    # the data set at a newer commit, with other rows: known by name, and its old rows by content
    target = load_target(zoo / "target.csv", name=name)
    assert set(columns_of(target, ResultsRepo.open(folder))) == {name, copy}
    for phase, options in (
        ("recall", {"methods": ["mean", "hybrid"]}),
        ("selection", {"policies": ["paper"]}),
        ("selection", {"policies": ["brute-force"], "candidates": "recall:2:mean"}),
    ):
        told = pipeline.replay(folder, TASK, phase=phase, **options)["targets"]  # type: ignore[arg-type]
        alone = pipeline.replay(zoo / "record", TASK, phase=phase, **options)["targets"]  # type: ignore[arg-type]
        assert told[name] == told[copy] == alone[name]


def test_recall_by_size_is_replayed_by_size(zoo: Path) -> None:
    sizes = ResultsRepo.open(zoo / "record").sizes(TASK)
    largest = {name for name, size in sizes.items() if size == max(sizes.values())}
    document = pipeline.replay(zoo / "record", TASK, candidates="recall:1:size")
    winners = {w for row in document["targets"].values() for w in row["paper"]["winners"]}
    assert winners <= largest


def test_a_selection_goes_on_with_the_same_candidates_only(zoo: Path, tmp_path: Path) -> None:
    catalog = Catalog.load(zoo / "catalog.json")
    folder = tiny_text_model(tmp_path / "eel", seed=9)
    eel = replace(local_model(folder, TASK), repo_id="tiny/eel")
    places = {**catalog.locations, "tiny/eel": folder}
    replace(catalog, models=(*catalog.models, eel), locations=places).save(tmp_path / "more.json")

    def begin(catalog: Path) -> None:
        pipeline.select(
            zoo / "target.csv",
            zoo / "record",
            tmp_path / "out",
            catalog=catalog,
            should_stop=lambda: True,
        )

    with pytest.raises(StoppedError):
        begin(zoo / "catalog.json")
    with pytest.raises(InputError, match="other settings"):
        begin(tmp_path / "more.json")
    with pytest.raises(StoppedError):
        begin(zoo / "catalog.json")
