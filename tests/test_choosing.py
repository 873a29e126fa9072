"""Another candidate instead of the winner: trained to the end, in its place, cut off anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from foreign_metric import metric_module
from huggingface_hub import ModelCard
from tinyzoo import RECIPE, benchmarked_zoo

from hf_select import pipeline
from hf_select.errors import InputError, StoppedError, UnknownNameError
from hf_select.hub.winner.cards import is_untouched
from hf_select.pipeline.choosing import named_candidate
from hf_select.selection.folder import DOCUMENT, SelectionFolder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny zoo with a record and a target."""
    return benchmarked_zoo(tmp_path_factory)


def select(zoo: Path, out: Path, **options: Any) -> dict[str, Any]:
    """A selection among three, by two epochs of each at most."""
    return pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        out,
        catalog=zoo / "catalog.json",
        **{"top": 3, "method": "mean", "policy": "halving", **options},
    ).document


def test_the_chosen_one_takes_the_winners_place(zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = select(zoo, out)
    weights = (out / "model.safetensors").read_bytes()
    card = (out / "README.md").read_text()
    assert is_untouched(card)
    assert ModelCard(card).data.eval_results[0].metric_value == before["winner"]["test"]
    measured = {row["model"]: row for row in before["efficiency"]["models"]}
    assert all(row["latency_ms"] > 0 for row in measured.values())
    assert measured[before["winner"]["model"]]["score_is"] == "validation"
    other = before["ranking"][-1]["candidate"]
    assert other != before["winner"]["candidate"]

    after = select(zoo, out, choose=other)
    assert json.loads((out / DOCUMENT).read_text()) == after
    assert after["winner"]["candidate"] == other
    assert after["winner"]["epochs"] == RECIPE.epochs
    assert after["ranking"][0]["candidate"] == other
    assert after["ranking"][0]["status"] == "winner"
    assert after["chosen"]["instead_of"] == before["winner"]["candidate"]
    assert after["chosen"]["test"] == before["winner"]["test"]
    # The bill holds the training of both.
    assert after["cost"]["epochs"] == before["cost"]["epochs"] + RECIPE.epochs
    assert after["price"] == pytest.approx(before["price"] + 1)
    assert after["rungs"] == before["rungs"]
    assert (out / "model.safetensors").read_bytes() != weights
    assert not (out / ".select").exists()
    card = (out / "README.md").read_text()
    assert before["winner"]["candidate"] in card
    assert ModelCard(card).data.eval_results[0].metric_value == after["winner"]["test"]
    assert "was looked at once" not in card
    page = (out / "report.html").read_text()
    assert "you took <em>" in page
    assert "Taken by hand." in page
    assert after["ranking"][0]["predicted"] is None  # forecast before it was trained on
    assert after["command"] == f"{before['command']} --choose {other}"

    # Asked again nothing is trained, nor where the first one's command is given again.
    said: list[str] = []
    assert select(zoo, out, choose=other.rpartition("/")[2], say=said.append) == after
    assert any("nothing was trained" in line for line in said)
    assert select(zoo, out) == after
    # From nothing the whole selection comes first.
    fresh = select(zoo, tmp_path / "fresh", choose=other)
    assert fresh["winner"]["test"] == after["winner"]["test"]
    assert (tmp_path / "fresh" / "model.safetensors").read_bytes() == (
        out / "model.safetensors"
    ).read_bytes()


def reasons(document: dict[str, Any]) -> dict[str, str]:
    return {row["candidate"]: row["reason"] for row in document["ranking"]}


def test_chosen_twice_the_first_winner_is_still_the_winner(zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = select(zoo, out)
    won = first["winner"]["candidate"]
    one, other = (row["candidate"] for row in first["ranking"] if row["candidate"] != won)
    assert "looked at once, by this model alone" in (out / "README.md").read_text()
    select(zoo, out, choose=one)
    twice = select(zoo, out, choose=other)
    assert twice["chosen"]["instead_of"] == won
    assert twice["chosen"]["test"] == first["winner"]["test"]
    assert twice["tested"] == [won, one, other]
    said = reasons(twice)
    assert said[other].startswith(f"Chosen by hand instead of {won} ")
    assert said[won].startswith("Won the selection")
    assert f"but {other} was chosen instead" in said[won]
    assert "Won" not in said[one]
    assert [row["status"] for row in twice["ranking"]].count("winner") == 1
    assert (
        f"was looked at by this model, by {one} and by {won}, which had won"
        in (out / "README.md").read_text()
    )

    back = select(zoo, out, choose=won)
    assert "chosen" not in back
    assert "choose" not in back["settings"]
    assert back["tested"] == [one, other, won]
    assert back["winner"]["test"] == first["winner"]["test"]
    said = reasons(back)
    assert said[won].startswith("Won the selection")
    assert not any("Chosen by hand instead of" in reason for reason in said.values())
    card = (out / "README.md").read_text()
    assert "then taken instead" not in card
    assert f"was looked at by this model, by {one} and by {other};" in card


def test_a_winner_without_a_script_is_said(zoo: Path, tmp_path: Path) -> None:
    said: list[str] = []
    metric = f"evaluate:{metric_module(tmp_path / 'misses')}:better=lower"
    out = tmp_path / "out"
    document = select(zoo, out, metric=metric, top=2, say=said.append)
    assert not (out / "train.py").exists()
    (line,) = [one for one in said if "train.py" in one]
    assert line.startswith("no train.py: ")
    assert line.endswith(f"by the metric {metric}")
    other = document["ranking"][1]["candidate"]
    select(zoo, out, metric=metric, top=2, choose=other, say=said.append)
    assert sum("no train.py" in one for one in said) == 2


def test_cut_off_anywhere_it_goes_on(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = select(zoo, out)
    other = first["ranking"][1]["candidate"]
    times = [0]

    def late() -> bool:
        times[0] += 1
        return times[0] > 20

    with pytest.raises(StoppedError):
        select(zoo, out, choose=other, should_stop=late)
    assert json.loads((out / DOCUMENT).read_text()) == first  # the first winner is still there
    finish = SelectionFolder.finish

    def killed(self: SelectionFolder, document: Any, save_winner: Any, report: str) -> Any:
        save_winner(self.path)
        raise OSError("killed")

    monkeypatch.setattr(SelectionFolder, "finish", killed)
    with pytest.raises(OSError, match="killed"):
        select(zoo, out, choose=other)
    monkeypatch.setattr(SelectionFolder, "finish", finish)
    # What lies there is neither the one nor the other: nobody may take it for a winner.
    assert not (out / DOCUMENT).exists()
    with pytest.raises(InputError, match="being given another winner"):
        select(zoo, out)
    after = select(zoo, out, choose=other)
    assert after["winner"]["candidate"] == other
    assert after["cost"]["epochs"] == first["cost"]["epochs"] + RECIPE.epochs
    assert select(zoo, out) == after


def test_who_is_no_candidate_is_refused_before_any_training(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="tiny/unicorn"):
        select(zoo, tmp_path / "out", choose="tiny/unicorn")
    assert not (tmp_path / "out" / ".select" / "trials").exists()


def test_names_of_candidates() -> None:
    one = {"lab/a": "lab/a", "lab/b": "lab/b"}
    assert named_candidate("lab/a", one) == named_candidate("a", one) == "lab/a"
    with pytest.raises(UnknownNameError, match="'c'"):
        named_candidate("c", one)
    rates = {"lab/a lr=0.1": "lab/a", "lab/a lr=0.2": "lab/a"}
    assert named_candidate("lab/a lr=0.2", rates) == "lab/a lr=0.2"
    with pytest.raises(InputError, match=r"could be 'lab/a lr=0\.1' or"):
        named_candidate("a", rates)
