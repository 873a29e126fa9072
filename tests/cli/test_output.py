"""Where words go: data on stdout, messages on stderr, JSON without NaN."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_select.cli.output import Output, cell, clean


def test_clean_makes_json_of_numpy_and_nan() -> None:
    value = {"a": np.float64(1.5), "b": float("nan"), "c": (np.int64(2), [float("inf")]), 3: "x"}
    assert clean(value) == {"a": 1.5, "b": None, "c": [2, [None]], "3": "x"}
    json.dumps(clean(value), allow_nan=False)


def test_cells() -> None:
    assert cell(None) == "-"
    assert cell(float("nan")) == "-"
    assert cell(0.123456) == "0.1235"
    assert cell(7) == "7"


def test_json_prints_one_document_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.message("working")
    output.data({"name": "[bold]x[/]"}, lambda o: o.line("never"))
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"name": "[bold]x[/]"}
    assert "working" in shown.err


def test_names_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.line("[red]model[/red]")
    output.table("t", ["n"], [("[b]x",)])
    shown = capsys.readouterr().out
    assert "[red]model[/red]" in shown
    assert "[b]x" in shown


def test_quiet_silences_messages_but_not_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.message("chatter")
    output.warning("important")
    shown = capsys.readouterr()
    assert "chatter" not in shown.err
    assert "important" in shown.err
