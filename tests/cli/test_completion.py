"""Shell completion: the scripts, and what is offered, without anything heavy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hf_select.cli.app import cli, run
from hf_select.cli.completing import FILES, FOLDERS, OF_THE_DEMO, SEVERAL, VALUES
from hf_select.cli.completion import VARIABLE, WHERE
from hf_select.cli.settings import commands_of, options_of

HEAVY = ("torch", "datasets", "transformers", "sklearn")


def offered(*words: str) -> list[str]:
    """What a shell is offered for the last of the words; fails if anything heavy was loaded."""
    code = (
        "import sys, atexit\n"
        f"def light(): assert not {set(HEAVY)!r} & set(sys.modules), 'HEAVY'\n"
        "atexit.register(light)\n"
        "from hf_select.cli.app import main\n"
        "main([])\n"
    )
    environment = {
        **os.environ,
        VARIABLE: "fish_complete",
        "COMP_WORDS": " ".join(("hf-select", *words[:-1])),
        "COMP_CWORD": words[-1],
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "HEAVY" not in done.stderr
    # click 8.4 and later write a line each for type, value and help; earlier ones `type,value`
    return done.stdout.replace(",", "\n").split()


@pytest.mark.parametrize(
    ("words", "expected", "not_these"),
    [
        (("re",), ["recall", "replay", "report"], ["select"]),
        (("crawl", ""), ["models", "datasets"], ["recall"]),
        (("select", "x.csv", "--pol"), ["--policy"], ["--top"]),
        (("select", "x.csv", "--policy", ""), ["trend", "halving", "asha"], []),
        (("recall", "x.csv", "--method", "proxy:l"), ["proxy:logme", "proxy:leep"], ["hybrid"]),
        (("inspect", "x.csv", "--metric", "acc"), ["accuracy"], ["rmse"]),
        (("cluster", "--task", "image"), ["image-classification"], ["text-classification"]),
        (("demo", "--task", ""), ["image", "text"], ["image-classification"]),
        (("benchmark", "--executor", ""), ["local", "ray", "slurm", "hf-jobs"], []),
        (("replay", "--results", ""), ["demo"], []),
        (("completion", ""), ["bash", "zsh", "fish"], []),
    ],
)
def test_what_is_offered(words: tuple[str, ...], expected: list[str], not_these: list[str]) -> None:
    found = offered(*words)
    assert set(expected) <= set(found), found
    assert not set(not_these) & set(found)


@pytest.mark.parametrize("shell", WHERE)
def test_the_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    told = capsys.readouterr()
    assert f"{VARIABLE}={shell}_complete" in told.out
    assert not told.err  # what `eval` reads is no terminal: each shell would begin with a message
    assert run(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["script"].strip() == told.out.strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_takes_its_script(tmp_path: Path) -> None:
    file = tmp_path / "script"
    done = subprocess.run(
        [sys.executable, "-m", "hf_select", "completion", "bash"], capture_output=True, text=True
    )
    file.write_text(done.stdout, encoding="utf-8")
    shown = subprocess.run(
        ["bash", "-c", f"source {file} && complete -p hf-select"], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "hf-select" in shown.stdout


def test_an_unknown_shell_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh", "--json"]) == 2
    assert "bash, fish, zsh" in json.loads(capsys.readouterr().out)["error"]["hint"]


def test_the_tables_name_real_options_and_registries() -> None:
    keys = {key for _, command in commands_of(cli) for key in options_of(command)}
    arguments = {p.name for _, command in commands_of(cli) for p in command.params}
    assert set(VALUES) <= keys | arguments
    assert set(VALUES) >= SEVERAL
    assert keys | arguments | {"config"} >= FOLDERS | FILES
    for key, values in VALUES.items():
        found = values()
        assert found, key
        assert len(set(found)) == len(found), key


def test_what_to_do_with_the_script_is_told_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["completion", "bash"]) == 0
    assert "~/.bashrc" in capsys.readouterr().err


def test_the_demo_completes_all_its_tasks() -> None:
    from hf_select.demo.targets import DEMO_TASKS

    assert OF_THE_DEMO["task"]() == sorted(DEMO_TASKS)
