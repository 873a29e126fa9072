"""The command line as a whole: help, errors, exit codes, and that it stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hf_select import __version__
from hf_select.cli.app import COMMANDS, cli, run

ROOT = Path(__file__).parent.parent.parent


def test_light_imports() -> None:
    code = (
        "import sys, hf_select\n"
        "from hf_select.cli.app import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'accelerate', 'numpy'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_numpy_ring_loads_no_torch() -> None:
    modules = (
        "records metrics catalog results.repo results.foreign clustering.algorithms proxies recall "
        "planning selection.policies selection.run selection.replay selection.folder report.page "
        "report.document pipeline"
    )
    code = (
        "import sys, importlib\n"
        f"for name in {modules.split()!r}: importlib.import_module('hf_select.' + name)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_is_in_the_readme(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert f"hf-select {name}" in (command.epilog or "")
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert "--quiet" in shown
    assert f"| `{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_replay_draws_its_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "new" / "price.svg"
    command = ["replay", "--results", "demo", "--task", "text-classification", "--json"]
    assert run([*command, "--policies", "halving,asha", "--figure", str(figure)]) == 0
    assert set(json.loads(capsys.readouterr().out)["summary"]) == {"halving", "asha"}
    drawn = figure.read_text(encoding="utf-8")
    assert drawn.count("<circle") == 2
    assert "text-classification: 9 benchmarks" in drawn


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["nonsense"], "no command 'nonsense'"),
        (["recall"], "Missing argument"),
        (["cluster", "--results", "nowhere", "--task", "image-classification"], "nowhere"),
        (["cluster", "--results", "demo", "--task", "poetry"], "unknown task 'poetry'"),
        (
            ["replay", "--results", "demo", "--task", "image-classification", "--phase", "third"],
            "phase",
        ),
        (
            ["replay", "--results", "demo", "--task", "image-classification", "--policies", "luck"],
            "unknown policy 'luck'",
        ),
        (
            ["replay", "--results", "demo", "--task", "text-classification", "--figure", "a.png"],
            "must end in .svg",
        ),
        (
            [
                *("replay", "--results", "demo", "--task", "text-classification"),
                *("--phase", "recall", "--figure", "a.svg"),
            ],
            "--figure draws price against regret",
        ),
        (["demo", "--task", "audio"], "unknown demo task 'audio'"),
        (["benchmark", "--catalog", "nowhere.json", "--results", "r"], "no catalog"),
        (["benchmark", "--catalog", "demo", "--results", "r", "--seeds", "a"], "--seeds"),
        (["benchmark", "--catalog", "demo", "--results", "r", "--shard", "3/2"], "--shard"),
        (
            ["benchmark", "--catalog", "demo", "--results", "r", "--learning-rate", "-1"],
            "learning_rate",
        ),
        (["report", "nowhere"], "no finished selection"),
        (
            ["import", "nowhere.csv", "--results", "r", "--task", "text-classification"],
            "nowhere.csv",
        ),
    ],
)
def test_bad_usage_is_exit_2_one_json_document_and_nothing_written(
    args: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*args, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"type", "message", "hint"}
    assert expected in document["error"]["message"]
    assert list(tmp_path.iterdir()) == []
    assert run(args) == 2
    plain = capsys.readouterr()
    assert plain.out == ""
    assert plain.err.startswith("Error:")
