"""The folder of a selection: whose it is, what resumes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_select.errors import InputError
from hf_select.selection.folder import SelectionFolder

SETTINGS = {"target": "abc", "seed": 0}


def save_nothing(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def test_creating_it_writes_nothing(tmp_path: Path) -> None:
    folder = SelectionFolder(tmp_path / "out", SETTINGS)
    assert folder.finished() is None
    assert not (tmp_path / "out").exists()


def test_same_settings_resume_and_finish(tmp_path: Path) -> None:
    folder = SelectionFolder(tmp_path / "out", SETTINGS)
    folder.start()
    (folder.state / "journal.jsonl").write_text("kept")
    again = SelectionFolder(tmp_path / "out", SETTINGS)
    again.start()
    assert (again.state / "journal.jsonl").read_text() == "kept"
    again.finish({"winner": "m"}, save_nothing, "<html>")
    assert not again.state.exists()
    done = SelectionFolder(tmp_path / "out", SETTINGS).finished()
    assert done is not None
    assert done["winner"] == "m"
    assert json.loads((tmp_path / "out" / "selection.json").read_text()) == done


def test_other_settings_are_refused_before_and_after_the_end(tmp_path: Path) -> None:
    folder = SelectionFolder(tmp_path / "out", SETTINGS)
    folder.start()
    with pytest.raises(InputError, match=r"other settings.*: seed is 0 there, 1 here$"):
        SelectionFolder(tmp_path / "out", {**SETTINGS, "seed": 1})
    folder.finish({}, save_nothing, "")
    with pytest.raises(InputError, match=r"other settings.*: seed is 0 there, 1 here$"):
        SelectionFolder(tmp_path / "out", {**SETTINGS, "seed": 1})
    with pytest.raises(InputError, match=r"another target: the target's rows$"):
        SelectionFolder(tmp_path / "out", {**SETTINGS, "target": "def"})


def test_what_differs_is_named_though_json_has_no_tuples(tmp_path: Path) -> None:
    settings = {**SETTINGS, "budget": {"epochs": None, "price": 2.0}, "proxy": ("a",)}
    SelectionFolder(tmp_path / "out", settings).start()
    SelectionFolder(tmp_path / "out", settings)
    other = {**settings, "budget": {"epochs": 3.0, "price": 2.0}}
    with pytest.raises(InputError, match=r": max-epochs is not given there, 3.0 here$"):
        SelectionFolder(tmp_path / "out", other)


def test_a_folder_of_an_older_version_is_refused_without_a_reason(tmp_path: Path) -> None:
    (tmp_path / "selection.json").write_text('{"settings_digest": "0"}')
    with pytest.raises(InputError, match=r"another target$"):
        SelectionFolder(tmp_path, SETTINGS)


def test_somebody_elses_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        SelectionFolder(tmp_path, SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        SelectionFolder(tmp_path / "out", SETTINGS)


def test_a_document_with_nan_is_never_written(tmp_path: Path) -> None:
    folder = SelectionFolder(tmp_path / "out", SETTINGS)
    folder.start()
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.finish({"price": float("nan")}, save_nothing, "")
    assert SelectionFolder(tmp_path / "out", SETTINGS).finished() is None


def test_a_kill_between_the_state_and_its_settings_is_survived(tmp_path: Path) -> None:
    (tmp_path / "out" / ".select").mkdir(parents=True)
    SelectionFolder(tmp_path / "out", SETTINGS).start()
    assert (tmp_path / "out" / ".select" / "settings.json").exists()


def test_a_state_that_a_kill_left_beside_the_document_is_swept(tmp_path: Path) -> None:
    folder = SelectionFolder(tmp_path / "out", SETTINGS)
    folder.start()
    folder.finish({}, save_nothing, "")
    (folder.state / "trials").mkdir(parents=True)
    assert SelectionFolder(tmp_path / "out", SETTINGS).finished() is not None
    assert not folder.state.exists()
