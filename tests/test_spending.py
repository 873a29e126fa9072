"""What a selection may spend and says it will, and what it hands over when it is stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tinyzoo import MODELS, RECIPE, TASK, benchmarked_zoo
from transformers import AutoModelForSequenceClassification

from hf_select import pipeline
from hf_select.cli.app import run
from hf_select.errors import InputError, StoppedError, UnknownNameError
from hf_select.pipeline.spending import (
    Expected,
    Speed,
    affordable_looks,
    as_budget,
    check_affordable,
    choose_policy,
)
from hf_select.selection.budget import Budget
from hf_select.tasks.data import load_target
from hf_select.training.trial import AccelerateTrial

SPEED = Speed(epoch=10.0, look=2.0)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny zoo with a record of one seed and a target."""
    return benchmarked_zoo(tmp_path_factory)


def select(zoo: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The document of a selection on the tiny zoo."""
    catalog = zoo / "catalog.json"
    return pipeline.select(
        zoo / "target.csv", zoo / "record", out, catalog=catalog, **{"top": 3, **options}
    ).document


# ------------------------------------------------------------------------------ what is asked


def test_the_policy_goes_with_the_preset_and_takes_what_it_knows() -> None:
    assert choose_policy(None).name == "trend"
    assert choose_policy(None, preset="paper").name == "paper"
    assert choose_policy("trend", tolerance=1, confidence=0.9).parameters == {
        "tolerance": 1.0,
        "confidence": 0.9,
    }
    with pytest.raises(InputError, match="no parameter 'tolerance'"):
        choose_policy("halving", tolerance=1)
    with pytest.raises(InputError, match="confidence"):
        choose_policy("trend", confidence=1.0)
    with pytest.raises(UnknownNameError):
        choose_policy("best")


@pytest.mark.parametrize(
    ("seconds", "epochs", "price", "said"),
    [
        (None, 0.1, None, "0.1 epochs is too small"),
        (None, None, 0.01, "a price of 0.01 is too small"),
        ("soon", None, None, "no length of time"),
        (0, None, None, "above 0"),
        (None, -1, None, "above 0"),
        (None, None, math.nan, "above 0"),
    ],
)
def test_a_budget_that_pays_for_no_step_is_refused(
    seconds: Any, epochs: Any, price: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        as_budget(seconds, epochs, price, 5)


def test_a_time_in_which_no_step_can_be_taken_is_refused_by_the_record() -> None:
    said: list[str] = []
    check_affordable(Budget(seconds=1.25), SPEED, said.append)  # 1/8 of an epoch
    assert not said
    check_affordable(Budget(seconds=1.2), SPEED, said.append)  # other machines may be faster
    assert "may end before the first score" in said[0]
    with pytest.raises(InputError, match="too small for one step"):
        check_affordable(Budget(seconds=0.12), SPEED, said.append)
    check_affordable(Budget(seconds=0.12), Speed(math.nan, 1.0), said.append)  # nothing is known


def test_looks_take_a_part_of_what_may_be_spent() -> None:
    assert affordable_looks(Budget(), SPEED, 5, None) is None
    assert affordable_looks(Budget(seconds=60), SPEED, 5, None) == 10  # a third of it
    assert affordable_looks(Budget(seconds=60), SPEED, 5, 4) == 4
    assert affordable_looks(Budget(seconds=1), SPEED, 5, None) == 2
    assert affordable_looks(Budget(price=1.4), SPEED, 5, None) == 10  # two epochs are left over
    assert affordable_looks(Budget(epochs=6), SPEED, 5, None) == 5
    assert affordable_looks(Budget(price=1.4), Speed(math.nan, math.nan), 5, 7) == 7


def test_what_is_expected_is_told_in_one_line() -> None:
    expected = Expected(10, 1.25, 1.0, 1.5, 4, 5.0, SPEED)
    assert expected.price == 1.25 + 10 * 2 / 50
    assert str(expected) == (
        "Expected: 10 models looked at, then about 1.2 full trainings (1.0 to 1.5 when replayed on "
        "4 benchmarks of the record), a price of about 1.6; about 1.4 min at the speed of the "
        "record's machines"
    )
    unknown = Expected(0, 1.0, 1.0, 1.0, 0, 5.0, Speed(math.nan, math.nan))
    assert str(unknown) == "Expected: about 1.0 full trainings, a price of about 1.0"
    assert unknown.to_dict()["seconds"] is None


# ---------------------------------------------------------------------------- the whole way


def test_what_will_be_spent_is_said_before_anything_is_loaded(zoo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    document = select(zoo, tmp_path / "out", say=said.append)
    first = next(i for i, line in enumerate(said) if line.startswith("proxy pass"))
    assert any(line.startswith("Expected: ") for line in said[:first])
    assert document["expected"]["replayed"] == 3
    assert {"trend", "halving", "paper"} <= set(document["replayed"])


@pytest.mark.parametrize("policy", ["trend", "halving", "brute-force"])
def test_a_limit_in_epochs_holds_and_a_winner_is_handed_over(
    zoo: Path, tmp_path: Path, policy: str
) -> None:
    limit = RECIPE.epochs + 0.5
    document = select(zoo, tmp_path / "out", policy=policy, max_epochs=limit, method="size")
    assert document["cost"]["epochs"] <= limit
    assert document["winner"]["epochs"] <= RECIPE.epochs
    if policy != "trend":
        assert "5" in document["ended"] or "epochs" in document["ended"]
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_a_budget_below_a_training_trains_the_winner_as_far_as_it_goes(
    zoo: Path, tmp_path: Path
) -> None:
    document = select(zoo, tmp_path / "out", max_epochs=1.0, method="size")
    assert document["winner"]["epochs"] == document["cost"]["epochs"] == 1.0
    assert "was trained for 1 of 2 epochs" in document["ended"]
    assert "budget" in (tmp_path / "out" / "report.html").read_text()


def test_the_winner_is_trained_once_and_as_if_alone(zoo: Path, tmp_path: Path) -> None:
    """Bit by bit what an uninterrupted training of it gives (one CPU process)."""
    document = select(zoo, tmp_path / "out")
    name = document["winner"]["model"]
    target = load_target(zoo / "target.csv")
    trial = AccelerateTrial(name, zoo / "models" / name.split("/")[1], target, RECIPE)
    trial.advance(RECIPE.epochs)
    trial.save_pretrained(tmp_path / "alone")
    weights = "model.safetensors"
    assert (tmp_path / "out" / weights).read_bytes() == (tmp_path / "alone" / weights).read_bytes()
    assert trial.test() == document["winner"]["test"]


def test_stopped_it_hands_over_the_best_so_far_and_goes_on(zoo: Path, tmp_path: Path) -> None:
    whole = select(zoo, tmp_path / "whole", policy="fractional-halving")
    rounds: list[Any] = []
    out = tmp_path / "out"
    with pytest.raises(StoppedError) as stopped:
        select(
            zoo,
            out,
            policy="fractional-halving",
            on_rung=lambda rung, metric: rounds.append(rung),
            should_stop=lambda: len(rounds) >= 2,
        )
    so_far = stopped.value.so_far
    assert so_far is not None
    assert so_far["model"] == rounds[-1].leader
    assert so_far["val"] == rounds[-1].val[rounds[-1].leader]
    assert stopped.value.to_dict()["so_far"] == so_far
    assert "best-so-far" in stopped.value.hint
    place = out / "best-so-far"
    assert json.loads((place / "so-far.json").read_text()) == so_far
    AutoModelForSequenceClassification.from_pretrained(place)
    again = select(zoo, out, policy="fractional-halving")
    assert again["winner"]["test"] == whole["winner"]["test"]
    assert again["curves"].keys() == whole["curves"].keys()
    assert not place.exists()


@pytest.mark.parametrize("policy", ["brute-force", "trend"])
def test_before_the_first_decision_too_whoever_was_trained_is_handed_over(
    zoo: Path, tmp_path: Path, policy: str
) -> None:
    journal = tmp_path / "out" / ".select" / "journal.jsonl"
    with pytest.raises(StoppedError) as stopped:
        select(
            zoo,
            tmp_path / "out",
            policy=policy,
            should_stop=lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 1,
        )
    so_far = stopped.value.so_far
    assert so_far is not None
    first = json.loads(journal.read_text().splitlines()[0])
    assert so_far["model"] == first["model"]
    assert so_far["val"] == first["curve"]["val"][-1]
    assert so_far["trained"] >= so_far["epochs"]
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "best-so-far")


def test_a_record_of_another_recipe_is_doubted(zoo: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    said: list[str] = []
    select(zoo, tmp_path / "out", recipe=replace(RECIPE, weight_decay=0.5), say=said.append)
    assert any("another recipe" in line for line in said)
    said.clear()
    select(zoo, tmp_path / "own", recipe=RECIPE, say=said.append)
    assert not any("another recipe" in line for line in said)


def test_a_record_without_curves_makes_it_halving_and_it_says_so(zoo: Path, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    rows = [f"tiny/{name},0.{60 + i},0.{70 + i},0.{50 + i}" for i, name in enumerate(MODELS)]
    table.write_text("\n".join(["model,a,b,c", *rows]) + "\n")
    pipeline.import_results(table, tmp_path / "record", task=TASK, metric="accuracy")
    notes: list[str] = []
    document = pipeline.select(
        zoo / "target.csv",
        tmp_path / "record",
        tmp_path / "out",
        catalog=zoo / "catalog.json",
        recipe=RECIPE,
        method="mean",
        on_rung=lambda rung, metric: notes.append(rung.note),
    ).document
    assert notes
    assert all("this is successive halving" in note for note in notes)
    assert document["cost"]["epochs"] == 4 + 2  # four for an epoch, two for another


def test_bad_input_is_refused_before_anything_is_written(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["select", str(zoo / "target.csv"), "--results", str(zoo / "record"), "--json"]
    command += ["--catalog", str(zoo / "catalog.json"), "--out", str(tmp_path / "out")]
    for words in (
        ["--budget", "soon"],
        ["--budget", "0"],
        ["--max-epochs", "0.01"],
        ["--max-cost", "-1"],
        ["--policy", "nosuch"],
        ["--policy", "halving", "--confidence", "0.9"],
        ["--confidence", "1.5"],
        ["--tolerance", "-1"],
    ):
        assert run([*command, *words]) == 2, words
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["message"], words
        assert not (tmp_path / "out").exists()
