"""hf_select.pipeline.doctor: every finding has a level and says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from hf_select.cli.app import run
from hf_select.pipeline.doctor import LEVELS, Finding, with_findings

SECRET = "hf_averysecrettoken"


def findings(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> dict[str, Any]:
    """What -> its finding; of several the last."""
    assert run([*args, "doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] == (code == 0)
    for found in document["findings"]:
        assert found["level"] in LEVELS
        assert found["level"] != "problem" or found["todo"], found
    return {found["what"]: found for found in document["findings"]}


def test_a_machine_that_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    for what in ("libraries", "evaluate", "devices", "demo record", "settings file", "cache"):
        assert found[what]["level"] in ("ok", "note"), found[what]
    assert found["hub"]["level"] == "note"
    assert "offline" in found["hub"]["text"]


def test_text_says_level_and_todo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "-> unset HF_HUB_OFFLINE" in told
    assert "Nothing here will break a run" in told


def test_a_wrong_token_is_a_problem_and_is_never_shown(
    hub: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert run(["doctor"]) == 1
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert "1 thing will break a run" in told.out
    found = findings(capsys, code=1)
    assert found["hub"]["level"] == "problem"
    assert "HF_TOKEN" in found["hub"]["todo"]


def test_no_network_is_a_note(
    hub: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = findings(capsys)["hub"]
    assert (found["level"], "not reachable" in found["text"]) == ("note", True)
    assert "HF_HUB_OFFLINE=1" in found["todo"]


def test_a_full_disk_and_a_cache_that_cant_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 10, 2e8))
    found = findings(capsys, code=1)
    assert found["current folder"]["level"] == "problem"
    monkeypatch.undo()
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(file / "hub"))
    found = findings(capsys, code=1)
    assert found["cache"]["level"] == "problem"
    assert "HF_HOME" in found["cache"]["todo"]


def test_a_missing_extra_comes_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setattr(
        sys.modules["hf_select.pipeline.doctor"],
        "find_spec",
        lambda name: None if name in ("submitit", "evaluate") else object(),
    )
    found = findings(capsys, code=1)
    assert found["extra slurm"]["todo"] == "pip install 'hf-select[slurm]'"
    assert found["extra slurm"]["level"] == "note"
    assert found["extra ray"]["level"] == "ok"
    assert found["evaluate"]["level"] == "problem"


def test_an_old_library_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    module = sys.modules["hf_select.pipeline.doctor"]
    monkeypatch.setattr(module, "requires", lambda name: ["numpy>=99", "nosuchthing>=1"])
    assert run(["doctor"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "pip install 'numpy>=99'" in told
    assert "nosuchthing>=1: not installed" in told


def test_settings_are_shown_and_a_variable_that_nobody_reads_is_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("select: {budget: 30m}", encoding="utf-8")
    monkeypatch.setenv("HF_SELECT_RECALL_RESULTS", "demo")
    found = findings(capsys, "--config", str(file))
    assert found["settings file"]["text"] == str(file)
    assert found["variables"]["text"] == "HF_SELECT_RECALL_RESULTS"
    monkeypatch.setenv("HF_SELECT_SELECT_BUGDET", "30m")
    found = findings(capsys)
    assert found["variables"]["level"] == "note"
    assert found["variables"]["todo"] == "did you mean HF_SELECT_SELECT_BUDGET?"
    monkeypatch.delenv("HF_SELECT_SELECT_BUGDET")
    monkeypatch.setenv("HF_SELECT_ALLOW_METRIC_CODE", "1")  # read, though it is no option's
    assert findings(capsys)["variables"]["level"] == "ok"


def test_findings_are_added_up() -> None:
    document = with_findings({"a": 1}, [Finding("x", "ok", "fine")])
    assert (document["ok"], len(document["findings"])) == (True, 1)
    document = with_findings(document, [Finding("y", "problem", "bad", "mend it")])
    assert (document["ok"], len(document["findings"])) == (False, 2)
