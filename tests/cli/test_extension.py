"""`hf select` through the real `hf` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HF = Path(sys.executable).parent / "hf"
HF_SELECT = Path(sys.executable).parent / "hf-select"


def run(home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(home),
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_hf_select_runs_our_command_with_its_arguments_and_exit_code(home: Path) -> None:
    registered = run(home, HF_SELECT, "extension", "--json")
    assert registered.returncode == 0, registered.stderr
    assert Path(json.loads(registered.stdout)["manifest"]).is_relative_to(home)

    version = run(home, HF, "select", "--version")
    assert "hf-select" in version.stdout
    assert version.returncode == 0
    wrong = run(home, HF, "select", "recall", "nothing.csv", "--results", "demo", "--json")
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"]["type"] == "DataError"
    assert "select" in run(home, HF, "extensions", "list").stdout


def test_registering_twice_changes_nothing_and_remove_takes_it_away(home: Path) -> None:
    for _ in range(2):
        assert run(home, HF_SELECT, "extension").returncode == 0
    assert "removed" in run(home, HF_SELECT, "extension", "--remove").stdout
    assert "was not registered" in run(home, HF_SELECT, "extension", "--remove").stdout


def test_an_extension_that_hf_installed_is_left_alone(home: Path) -> None:
    manifest = home / ".local/share/hf/extensions/hf-select/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"short_name": "select"}')
    for arguments in ((), ("--remove",)):
        refused = run(home, HF_SELECT, "extension", *arguments)
        assert refused.returncode == 2
        assert "hf extensions" in refused.stderr
    assert manifest.read_text() == '{"short_name": "select"}'
