"""`hf-select report` as it is typed: of a selection, of a record, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest
from hub.record.records import grow
from report.conftest import make_document

from hf_select.cli.app import run
from hf_select.errors import InputError
from hf_select.pipeline import finished_document


@pytest.fixture
def say(monkeypatch, capsys, tmp_path):
    """`say("report ...")` in an empty folder -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def type_in(line: str):
        code = run(line.split())
        told = capsys.readouterr()
        return code, told.out, told.err

    return type_in


@pytest.fixture
def chosen(tmp_path):
    folder = tmp_path / "chosen"
    folder.mkdir()
    (folder / "selection.json").write_text(json.dumps(make_document()), encoding="utf-8")
    return folder


def test_a_selection_is_drawn_again_with_its_figures(say, chosen, tmp_path):
    code, out, _ = say("report chosen --figures pictures --json")
    assert code == 0
    document = json.loads(out)
    assert document["report"] == "chosen/report.html"
    assert document["figures"] == [
        f"pictures/{name}.svg" for name in ("learning-curves", "map", "tree", "matrix")
    ]
    assert "zoo/shapes-cnn-s1" in (chosen / "report.html").read_text(encoding="utf-8")
    for path in document["figures"]:
        assert (tmp_path / path).read_text(encoding="utf-8").startswith("<svg")


def test_the_shipped_record_is_drawn_by_task(say, tmp_path):
    code, out, err = say("report demo --task text-classification --no-replay")
    assert (code, out) == (0, "demo-report.html\n")
    page = (tmp_path / "demo-report.html").read_text(encoding="utf-8")
    assert "The record <em>demo</em>" in page
    assert "13 models fine-tuned on 9 benchmarks of text classification" in page
    assert "policy by policy" not in page
    assert 'id="image-classification"' not in page
    assert "replaying" not in err


def test_a_record_of_both_tasks_has_a_part_for_each(say, tmp_path):
    code, _, err = say("report demo --out pages/both.html")
    assert code == 0
    page = (tmp_path / "pages" / "both.html").read_text(encoding="utf-8")
    for task in ("image-classification", "text-classification"):
        assert f"{task}: replaying the policies on up to 4 benchmarks" in err
        for part in ("leaders", "benchmarks", "alike", "matrix", "replayed", "coverage", "origin"):
            assert f'id="{task}-{part}"' in page
    assert len(page.encode()) < 500_000


def test_a_record_in_a_folder(say, tmp_path):
    grow(tmp_path / "mine")
    code, out, _ = say("report mine --json")
    assert (code, json.loads(out)) == (0, {"report": "mine-report.html", "figures": []})
    page = (tmp_path / "mine-report.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    assert not (tmp_path / "mine" / "report.html").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("report nowhere", "holds no finished selection"),
        ("report .", "holds no finished selection"),
        ("report chosen --task text-classification", "is a finished selection, which has one task"),
        ("report chosen --replay", "its own replay"),
        ("report chosen --png", "--figures FOLDER"),
        ("report demo --task image-regression", "holds no image-regression runs"),
    ],
)
def test_refusals(line, words, say, chosen):
    code, out, err = say(line)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())


def test_a_selection_that_was_stopped_goes_on(say, tmp_path):
    (tmp_path / "stopped" / ".select").mkdir(parents=True)
    code, _, err = say("report stopped")
    assert code == 2
    assert "the same command goes on" in " ".join(err.split())
    with pytest.raises(InputError) as caught:
        finished_document(tmp_path / "stopped")
    assert "the same command goes on" in caught.value.hint


def test_png_without_its_extra(say, chosen, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    code, _, err = say("report chosen --figures pictures --png")
    assert code == 2
    assert "pip install 'hf-select[figures]'" in " ".join(err.split())
    assert not (chosen / "report.html").exists()


def test_a_damaged_document(say, chosen):
    document = make_document()
    document["curves"] = [1, 2]
    (chosen / "selection.json").write_text(json.dumps(document), encoding="utf-8")
    code, _, err = say("report chosen")
    assert code == 2
    assert "not the document of a selection" in " ".join(err.split())
