"""docs/reference/ is what the code says, and says all of it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hf_select
from hf_select.cli.app import cli
from hf_select.cli.settings import commands_of, options_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_current(reference: ModuleType) -> None:
    for path, text in reference.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


def test_every_option_and_every_public_name_is_there(reference: ModuleType) -> None:
    shown = reference.command_line()
    for path, command in commands_of(cli):
        assert f"\n## {' '.join(path)}\n" in shown
        for option in options_of(command).values():
            assert f"`{option.envvar}`" in shown
    shown = reference.python()
    for name in hf_select.__all__:
        if not name.startswith("__"):
            assert f"\n### {name}\n" in shown


def test_it_is_the_same_whatever_the_machine(reference: ModuleType, tmp_path: Path) -> None:
    """Another folder, another order of hashes, a narrow terminal, variables that are set."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "COLUMNS": "40",
        "HF_SELECT_SELECT_BUDGET": "1m",
        "HOME": str(tmp_path),
    }
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
    code += "import make_reference as m; print(m.command_line() + m.python(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == reference.command_line() + reference.python(), done.stderr


def test_check_says_which_file_is_not_current(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "python", lambda: "something else\n")
    assert reference.main(["--check"]) == 1
    assert "python.md is not current" in capsys.readouterr().out
