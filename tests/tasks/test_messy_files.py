"""Messy files through the command line: right, or an error that names the row, column or file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from messy import CLEAN, PLAIN, PLAIN_ONES, REFUSED, RIGHT, SAME, Writer, table, text_file

from hf_select.cli.app import run


def inspected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """The exit code and the document that `inspect` prints."""
    code = run(["inspect", *arguments, "--json"])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return code, json.loads(shown.out)


@pytest.fixture
def clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the clean file comes out as: its document, by a writer."""

    def of(write: Writer) -> Any:
        folder = tmp_path / "clean"
        folder.mkdir()
        code, document = inspected(write(folder), capsys)
        assert code == 0
        return document

    return of


@pytest.mark.parametrize("name", SAME)
def test_the_same_rows_in_another_dress(
    name: str, tmp_path: Path, clean: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = clean(text_file("plain.csv", table(PLAIN)) if name in PLAIN_ONES else CLEAN)
    folder = tmp_path / "messy"
    folder.mkdir()
    code, document = inspected(SAME[name](folder), capsys)
    assert code == 0, document
    for key in ("fingerprint", "task", "label_names", "splits", "classes"):
        assert document[key] == expected[key], (key, document["notes"])


@pytest.mark.parametrize("name", RIGHT)
def test_other_rows_are_right_and_told(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, expected = RIGHT[name]
    code, document = inspected(write(tmp_path), capsys)
    assert code == 0, document
    assert document["task"] == expected["task"]
    if "rows" in expected:
        assert sum(document["splits"].values()) == expected["rows"]
    if "test" in expected:
        assert document["splits"]["test"] == expected["test"]
    if "classes" in expected:
        assert document["label_names"] == expected["classes"]
    if "columns" in expected:
        assert (document["input_columns"], document["label_column"]) == expected["columns"]
    told = [*document["notes"], *(check["text"] for check in document["checks"])]
    assert expected.get("said", "") in " | ".join(told), told


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_refused_by_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, parts = REFUSED[name]
    code, document = inspected(write(tmp_path), capsys)
    assert code == 2, document
    error = document["error"]
    for part in parts:
        assert part in f"{error['message']} | {error['hint']}", error
    assert error["hint"]


WITHOUT_TORCH = """
import sys
from hf_select.cli.app import run
code = run(sys.argv[1:])
assert "torch" not in sys.modules and "transformers" not in sys.modules
sys.exit(code)
"""


@pytest.mark.parametrize(
    "name",
    ["a path with a slip", "a row with too many cells", "latin-1", "one class", "broken images"],
)
def test_select_refuses_it_before_it_loads_torch(name: str, tmp_path: Path) -> None:
    write, parts = REFUSED[name]
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    command = ["select", *write(folder), "--results", "demo", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert parts[0] in done.stderr
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "utf-16 with a mark",
        "a JSON list in an object",
        "labels that differ in their case",
        "a few labels missing",
        "a file for test",
        "all kinds of images",
        "metadata.csv with classes",
    ],
)
def test_select_goes_all_the_way_with_what_is_messy_but_valid(name: str, tmp_path: Path) -> None:
    write = SAME[name] if name in SAME else RIGHT[name][0]
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    command = ["select", *write(folder), "--results", "demo", "--out", str(out), "--max-cost", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "hf_select", *command, "--json"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert 0 <= document["winner"]["test"] <= 1
    assert (out / "model.safetensors").is_file()
    assert {"leakage", "duplicates"} <= {check["check"] for check in document["data"]["checks"]}
    for check in document["data"]["checks"]:
        assert (check["text"] in done.stderr) is (check["level"] == "warning")
    for note in document["data"]["notes"]:
        assert note in done.stderr
