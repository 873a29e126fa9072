"""Model x learning rate as candidates, on tiny models; and what the record says of rates."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_text_csv
from tinyzoo import DATASETS, MODELS, RECIPE, TASK, tiny_catalog

from hf_select import pipeline
from hf_select.catalog import Catalog
from hf_select.cli.app import run
from hf_select.cli.select import command as select_command
from hf_select.errors import InputError, StoppedError
from hf_select.hub.winner.cards import CardFacts, winner_card
from hf_select.hub.winner.cards import command as command_of
from hf_select.pipeline.rates import (
    Entrant,
    curves_apply,
    curves_of_entrants,
    expected_of_entrants,
    main_recipe,
    rate_record,
    recorded_rates,
    with_rates,
)
from hf_select.records import CurveSet, Expectation
from hf_select.results.markdown import escape
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.data import load_target

SLOW, USUAL = 1e-4, RECIPE.learning_rate


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with catalog.json, a `target.csv`, and three records: the `record` of one rate, that
    of `both`, and the `clear` one, where the slow rate is far behind."""
    folder = tmp_path_factory.mktemp("zoo")
    tiny_catalog(folder)
    tiny_text_csv(folder / "target.csv", 90, seed=3)
    (folder / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    benchmark(folder, "record", USUAL, MODELS)
    shutil.copytree(folder / "record", folder / "both")
    benchmark(folder, "both", SLOW, MODELS[:3])
    make_clear(ResultsRepo.open(folder / "both"), folder / "clear")
    return folder


def benchmark(zoo: Path, record: str, rate: float, names: Sequence[str]) -> None:
    """Fill a record with one rate."""
    options = ["--catalog", str(zoo / "catalog.json"), "--results", str(zoo / record)]
    options += ["--recipe", str(zoo / "recipe.json"), "--learning-rate", str(rate)]
    options += ["--models", ",".join(f"tiny/{name}" for name in names)]
    assert run(["benchmark", *options, "--no-proxies", "--jobs", "2", "--quiet"]) == 0


def make_clear(both: ResultsRepo, folder: Path) -> None:
    """The same runs with other scores."""
    test = {RECIPE.digest(): 0.9}
    ResultsRepo.create(folder).append(
        runs=[replace(one, test=test.get(one.key.recipe, 0.55)) for one in both.runs(TASK)],
        models=both.models(TASK),
        datasets=both.datasets(TASK),
        recipes=[replace(RECIPE, learning_rate=rate) for rate in recorded_rates(both, TASK)],
        submitter="test",
    )


def command(zoo: Path, out: Path, *more: str, record: str = "record") -> list[str]:
    """A selection between two models."""
    return [
        *("select", str(zoo / "target.csv"), "--results", str(zoo / record)),
        *("--catalog", str(zoo / "catalog.json"), "--method", "mean", "--top", "2"),
        *("--out", str(out), "--json", *more),
    ]


RARELY = [pytest.param(name, marks=pytest.mark.slow) for name in ("halving", "paper")]


@pytest.mark.parametrize("policy", ["trend", "brute-force", *RARELY])
def test_every_model_is_a_candidate_with_every_rate(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str
) -> None:
    out = tmp_path / "out"
    assert run(command(zoo, out, "--learning-rate", "1e-4,3e-2,0.0001", "--policy", policy)) == 0
    document = json.loads(capsys.readouterr().out)
    rows = document["ranking"]
    assert len(rows) == 4
    assert {row["learning_rate"] for row in rows} == {SLOW, USUAL}
    assert {row["candidate"] for row in rows} == {
        f"{row['model']} lr={rate}" for row in rows for rate in ("0.0001", "0.03")
    }
    trained = sum(curve["epochs"][-1] for curve in document["curves"].values())
    assert document["cost"]["epochs"] == pytest.approx(trained)
    assert document["price"] == pytest.approx(trained / RECIPE.epochs)
    if policy == "brute-force":
        assert document["price"] == 4
    if policy == "paper":  # what was recorded is of the record's own rate
        forecast = {name for rung in document["rungs"] for name in rung["forecast"]}
        assert forecast
        assert all(name.endswith("lr=0.03") for name in forecast)
    winner = document["winner"]
    rate = document["recipe"]["learning_rate"]
    assert winner["learning_rate"] == rate
    assert winner["candidate"] == f"{winner['model']} lr={rate}"
    assert (out / "model.safetensors").read_bytes() == trained_alone(
        zoo, tmp_path / "alone", winner["model"], rate
    )
    words = shlex.split(command_of(document))[2:]
    asked = select_command.make_context("select", words).params
    assert (asked["learning_rate"], asked["policy"]) == ("0.0001,0.03", policy)
    card = winner_card(document, CardFacts("somebody/winner"))
    assert all(card.count(f"{escape(row['candidate'])} |") == 1 for row in rows)
    # The same command again has nothing to do; another list is another selection.
    assert run(command(zoo, out, "--learning-rate", "1e-4,3e-2", "--policy", policy)) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert run(command(zoo, out, "--learning-rate", "3e-2", "--policy", policy)) == 2
    assert "other settings" in json.loads(capsys.readouterr().out)["error"]["message"]


def trained_alone(zoo: Path, folder: Path, model: str, rate: float) -> bytes:
    """The weights of one uninterrupted training."""
    from hf_select.training.trial import AccelerateTrial

    location = Catalog.load(zoo / "catalog.json").location(model)
    assert location is not None
    recipe = replace(RECIPE, learning_rate=rate)
    trial = AccelerateTrial(model, location, load_target(zoo / "target.csv"), recipe, seed=0)
    trial.advance(RECIPE.epochs)
    trial.save_pretrained(folder)
    trial.close()
    return (folder / "model.safetensors").read_bytes()


def select(zoo: Path, out: Path, record: str = "record", **options: Any) -> dict[str, Any]:
    """A selection by the function."""
    settings = {"method": "mean", "top": 2, "learning_rates": [SLOW, USUAL], **options}
    return pipeline.select(
        zoo / "target.csv", zoo / record, out, catalog=zoo / "catalog.json", **settings
    ).document


@pytest.mark.slow
def test_the_slower_rate_is_trained_where_it_is_the_only_one(zoo: Path, tmp_path: Path) -> None:
    document = select(zoo, tmp_path / "out", learning_rates=[SLOW], top=1)
    winner = document["winner"]
    assert (winner["learning_rate"], winner["candidate"]) == (SLOW, winner["model"])
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert weights == trained_alone(zoo, tmp_path / "slow", winner["model"], SLOW)
    assert weights != trained_alone(zoo, tmp_path / "usual", winner["model"], USUAL)


@pytest.mark.slow
def test_stopped_anywhere_it_goes_on_to_the_same_end(zoo: Path, tmp_path: Path) -> None:
    whole = select(zoo, tmp_path / "whole", policy="halving")
    asked, stopped, parts = [0], [], None

    def every_fortieth() -> bool:
        asked[0] += 1
        return asked[0] % 40 == 0

    while parts is None:
        try:
            parts = select(zoo, tmp_path / "parts", policy="halving", should_stop=every_fortieth)
        except StoppedError as error:
            stopped.append(error.so_far)
    assert 1 < len(stopped) < 200
    for answer in filter(None, stopped):
        assert answer["learning_rate"] in (SLOW, USUAL)
        assert " lr=" not in answer["model"]
    assert without_seconds(parts["ranking"]) == without_seconds(whole["ranking"])
    assert parts["cost"]["epochs"] == whole["cost"]["epochs"]
    name = "model.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


BAD = ["1e-3,abc", "-1", "0", "1e-3,0", "nan", "inf", ",", "1e-3,", ""]


@pytest.mark.parametrize("rates", BAD)
def test_a_bad_list_is_exit_2_and_nothing_is_written(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rates: str
) -> None:
    assert run(command(zoo, tmp_path / "out", f"--learning-rate={rates}")) == 2
    assert "rate" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rates", ["[]", "[1e-3, NaN]", "[1e-3, 0]", '[1e-3, "fast"]', "[[1e-3]]"])
def test_a_bad_list_in_a_recipe_file_is_exit_2(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rates: str
) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(f'{{"epochs": 2, "learning_rate": {rates}}}')
    assert run(command(zoo, tmp_path / "out", "--recipe", str(file))) == 2
    assert "rate" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_a_list_in_a_recipe_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({**RECIPE.to_dict(), "learning_rate": [USUAL, SLOW, USUAL]}))
    recipe, rates = pipeline.choose_recipes(file, {"epochs": 3})
    assert recipe is not None
    assert with_rates(recipe, rates) == (replace(RECIPE, epochs=3), (USUAL, SLOW))
    # One recipe is one run: a benchmark refuses a list.
    with pytest.raises(InputError, match="learning_rate"):
        pipeline.choose_recipe(file, {})


def test_each_rate_counts_once_and_is_above_zero() -> None:
    assert with_rates(RECIPE, []) == (RECIPE, (USUAL,))
    assert with_rates(RECIPE, [1e-3, 0.001, 3e-4])[1] == (1e-3, 3e-4)
    assert with_rates(RECIPE, [1e-3, 3e-4])[0].learning_rate == 1e-3
    assert with_rates(RECIPE, [1e-3, USUAL])[0] == RECIPE
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="above 0"):
            with_rates(RECIPE, [1e-3, bad])


# ---------------------------------------------------------------------- what the record decides


def test_a_benchmark_fills_a_record_with_several_rates(zoo: Path) -> None:
    record = ResultsRepo.open(zoo / "both")
    assert set(recorded_rates(record, TASK)) == {SLOW, USUAL}
    assert main_recipe(record, TASK) == pipeline.record_recipe(record, TASK) == RECIPE
    assert record.matrix(TASK).models == tuple(f"tiny/{name}" for name in MODELS)
    target = load_target(zoo / "target.csv")
    known = rate_record(record, target)
    assert known.compare(SLOW, USUAL).of("").cells == 3 * len(DATASETS)
    own = rate_record(record, load_target(zoo / "data" / "news.csv"))
    assert own.compare(SLOW, USUAL).of("").datasets == len(DATASETS) - 1  # not the target itself
    alone = rate_record(ResultsRepo.open(zoo / "record"), target)
    assert (alone.rates, alone.compare(SLOW, USUAL).of("").cells) == ((USUAL,), 0)


def test_a_rate_that_the_record_speaks_against_is_not_tried(zoo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    document = select(
        zoo, tmp_path / "out", "clear", policy="constant-epoch", top=4, say=said.append
    )
    lines = [line for line in said if "aren't tried" in line]
    assert len(lines) == 2  # a line a family
    assert lines[0].startswith(("Bert models", "DistilBert models"))
    assert "0.0001 (on record 0.03 gave" in lines[0]
    assert "by 9 pairs of runs of 3 models on 3 benchmarks" in lines[0]
    assert {(row["model"], row["learning_rate"]) for row in document["ranking"]} == {
        (f"tiny/{name}", USUAL) for name in MODELS
    }
    assert document["winner"]["candidate"].endswith("lr=0.03")


@pytest.mark.slow
def test_another_recipe_rules_nothing_out(zoo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    other = replace(RECIPE, epochs=1)
    document = select(
        zoo, tmp_path / "out", "clear", recipe=other, policy="brute-force", say=said.append
    )
    assert len(document["ranking"]) == 4
    assert not [line for line in said if "aren't tried" in line]


def test_curves_apply_up_to_a_rate_that_is_reckoned_with(zoo: Path) -> None:
    record = ResultsRepo.open(zoo / "both")
    slow, third = (replace(RECIPE, learning_rate=rate) for rate in (SLOW, 1e-2))
    own = RECIPE.learning_rate
    assert curves_apply(record, TASK, RECIPE, [own])
    assert curves_apply(record, TASK, slow, [own, slow.learning_rate])
    assert not curves_apply(record, TASK, third, [third.learning_rate])
    assert not curves_apply(record, TASK, RECIPE, [own, third.learning_rate])
    assert not curves_apply(record, TASK, replace(RECIPE, epochs=3), [own])
    known = ResultsRepo.open(zoo / "record")
    assert not curves_apply(known, TASK, slow, [slow.learning_rate])


def test_a_forecast_widens_for_other_recipes_only(zoo: Path, tmp_path: Path) -> None:
    unknown = "nothing is on record of learning rate 0.01: taken to be as good as 0.03, give or"

    def said(name: str, **options: Any) -> str:
        lines: list[str] = []
        select(zoo, tmp_path / name, top=1, policy="trend", say=lines.append, **options)
        return " ".join(lines)

    several = said("several", learning_rates=[1e-2, USUAL])
    assert "another recipe" in several
    assert f"{unknown} take 0.14 in skill" in several
    assert "nothing is on record" not in said("one", learning_rates=[USUAL])
    assert "another recipe" in said("unknown", learning_rates=[1e-2])
    assert "another recipe" in said("epochs", recipe=replace(RECIPE, epochs=1))


def test_a_card_says_the_budget_as_the_command_line_takes_it(zoo: Path, tmp_path: Path) -> None:
    document = select(
        zoo,
        tmp_path / "out",
        learning_rates=[],
        policy="trend",
        tolerance=1.0,
        budget="30m",
        max_epochs=3,
        max_cost=2.5,
    )
    asked = select_command.make_context("select", shlex.split(command_of(document))[2:]).params
    assert (asked["budget"], asked["max_epochs"], asked["max_cost"]) == ("1800s", 3, 2.5)
    assert (asked["tolerance"], asked["confidence"], asked["learning_rate"]) == (1.0, None, None)


# ------------------------------------------------------------------------------- as arrays

FIELD = {
    name: Entrant(name, model, replace(RECIPE, learning_rate=rate), *effect)
    for name, model, rate, effect in (
        ("a lr=0.03", "a", USUAL, ()),
        ("a lr=0.001", "a", SLOW, (-0.2, 0.03, 0.04)),
        ("b lr=0.001", "b", SLOW, (-0.1, 0.0, 0.0)),
    )
}


def expectation() -> Expectation:
    """What is expected of three models."""
    models, mean = ("a", "b", "c"), np.array([0.1, 0.0, -0.1])
    return Expectation(models, mean, np.full(3, 0.12), ("x",), mean[:, None], 0.6, 0.03)


def test_entrants_are_expected_what_their_models_are_and_what_the_rate_adds() -> None:
    found = expected_of_entrants(expectation(), FIELD)
    assert found.models == ("a", "b", "c", *FIELD)
    assert found.mean.tolist() == pytest.approx([0.1, 0.0, -0.1, 0.1, -0.1, -0.1])
    assert found.deviation.tolist() == pytest.approx(
        [0.12, 0.12, 0.12, 0.12, np.hypot(0.12, 0.03), 0.12]
    )
    assert found.benchmarks[3:, 0].tolist() == [0.1, 0.1, 0.0]
    assert (found.level, found.level_deviation) == (0.6, 0.03)


def test_of_one_rate_what_all_models_share_is_the_levels() -> None:
    field = {"a": Entrant("a", "a", RECIPE, -0.2, 0.05, 0.04), "b": Entrant("b", "b", RECIPE)}
    found = expected_of_entrants(expectation(), field)
    assert found.models == ("a", "b", "c")
    assert found.mean.tolist() == pytest.approx([-0.1, 0.0, -0.1])
    assert found.deviation.tolist() == pytest.approx([0.13, 0.12, 0.12])
    assert found.level_deviation == pytest.approx(0.05)
    untouched = expected_of_entrants(expectation(), {"b": field["b"]})
    assert untouched.mean.tolist() == expectation().mean.tolist()


def test_recorded_curves_go_by_the_name_of_the_entrant_with_the_records_rate() -> None:
    shape = (3, 2, 1, 1)
    curves = CurveSet(
        val=np.arange(6.0).reshape(shape),
        test=np.ones(shape[:3]),
        seconds=np.full(shape, 2.0),
        epochs=np.array([1.0]),
        models=("a", "b", "c"),
        datasets=("x", "y"),
        seeds=(0,),
        metrics=("accuracy",) * 2,
        baselines=np.zeros(2),
    )
    found = curves_of_entrants(curves, FIELD, RECIPE)
    assert found.models == ("a lr=0.03", "b", "c", "a lr=0.001", "b lr=0.001")
    assert np.array_equal(found.val[:3], curves.val)
    assert np.isnan(found.val[3:]).all()
    assert np.isnan(found.test[3:]).all()
    assert (found.seconds == 2.0).all()
    alone = {"a": Entrant("a", "a", RECIPE)}
    assert curves_of_entrants(curves, alone, RECIPE) is curves
    assert curves_of_entrants(curves, FIELD, None).models[:3] == ("a", "b", "c")


def without_seconds(rows: list[dict]) -> list[dict]:
    """The rows of a ranking with all that two runs have in common."""
    return [{key: v for key, v in row.items() if key != "cost_seconds"} for row in rows]
