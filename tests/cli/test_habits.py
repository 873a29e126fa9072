"""What every command promises: `--json`, `--quiet`, examples, exit codes, and that it is light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub.record.records import grow
from hub_population import TASK as CRAWLED
from hub_population import populate
from tiny import tiny_text_csv, tiny_text_model

from hf_select.cli.app import COMMANDS, cli, run
from hf_select.cli.settings import commands_of

TASK = "text-classification"
HEAVY = ("torch", "datasets", "transformers", "accelerate", "sklearn")
PATHS = [" ".join(path) for path, _ in commands_of(cli)]

LINES: dict[str, str] = {
    "demo": "demo --task text --out demo",
    "select": "select data.csv --results demo --out out --max-epochs 0.3",
    "recall": "recall data.csv --results demo --method mean --top 3",
    "inspect": "inspect data.csv",
    "push": "push chosen --to alice/winner",
    "crawl models": f"crawl models --task {CRAWLED} --out catalog --limit 3",
    "crawl datasets": f"crawl datasets --task {TASK} --out catalog --limit 1",
    "benchmark": f"benchmark --results mine --task {TASK} --models model --datasets data.csv "
    "--epochs 1 --max-length 16 --no-proxies",
    "plan": f"plan --results demo --task {TASK} --budget 3",
    "import": f"import table.csv --results imported --task {TASK} --metric accuracy",
    "cluster": f"cluster --results demo --task {TASK}",
    "replay": f"replay --results demo --task {TASK} --policies halving",
    "report": "report chosen",
    "extension": "extension",
    "publish": "publish --results record --to alice/record --allow-local",
    "pull": "pull alice/there --results copy",
    "compact": "compact record",
    "validate": "validate record",
    "update": f"update --catalog catalog --results record --to alice/record --task {TASK}",
    "completion": "completion zsh",
    "doctor": "doctor",
}
"""A line that succeeds, of every command."""
LONG = {"demo", "update"}
"""More than half a minute, or a world of their own: `test_demo.py`, `test_update.py`."""


@pytest.fixture
def world(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """`type_in(line)` in a folder that has what the lines need, with a Hub that has the rest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tiny_text_csv(tmp_path / "data.csv", 60)
    tiny_text_model(tmp_path / "model")
    (tmp_path / "table.csv").write_text("model,a,b\nx,0.5,0.6\ny,0.7,0.4\n", encoding="utf-8")
    grow(tmp_path / "record")
    return lambda line: run(line.split())


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished selection."""
    folder = tmp_path_factory.mktemp("chosen")
    tiny_text_csv(folder / "data.csv", 60)
    line = f"select {folder / 'data.csv'} --results demo --max-epochs 0.3 --quiet"
    assert run([*line.split(), "--out", str(folder / "chosen")]) == 0
    return folder / "chosen"


def prepare(name: str, hub: Any, chosen: Path) -> str:
    """The command's line, with what only it needs on the Hub."""
    if name == "crawl models":
        populate(hub)
    if name == "crawl datasets":
        card = "---\nlicense: mit\nlanguage: en\ntask_categories: [text-classification]\n---\n"
        rows = Path("data.csv").read_bytes()
        hub.add("dataset", "lab/reviews", {"README.md": card, "train.csv": rows})
    if name == "pull":
        line = "publish --results record --to alice/there --allow-local -q"
        assert run(line.split()) == 0
    return LINES[name].replace("chosen", str(chosen))


def test_there_is_a_line_for_every_command() -> None:
    assert set(LINES) == set(PATHS)
    assert {path.split()[0] for path in PATHS} == set(COMMANDS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "benchmark" else ())
        for name in LINES
        if name not in LONG
    ],
)
def test_json_is_one_document_and_quiet_is_quiet(
    name: str,
    world: Callable[[str], int],
    hub: Any,
    chosen: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    line = prepare(name, hub, chosen)
    capfd.readouterr()
    assert world(f"{line} --json --quiet") == 0, capfd.readouterr()
    told = capfd.readouterr()
    document = json.loads(told.out)  # one document, and nothing before or behind it
    assert isinstance(document, dict)
    assert "error" not in document
    assert told.err == ""


@pytest.mark.parametrize("path", PATHS)
def test_help_has_an_example_that_is_a_line_of_this_command(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"hf-select {path}" in " ".join(shown.split())
    for option in ("--json", "--quiet", "--config"):
        assert option in shown


@pytest.mark.parametrize("path", PATHS)
def test_bad_usage_is_exit_2_in_the_shape_of_an_error(
    path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*path.split(), "--jsno", "--json"]) == 2
    told = capfd.readouterr()
    error = json.loads(told.out)["error"]
    assert set(error) == {"type", "message", "hint"}
    assert "--jsno" in error["message"]
    assert "Did you mean" in error["message"]
    assert f"hf-select {path} --help" in error["hint"]
    assert told.err == ""


def test_an_unknown_command_is_told_what_it_may_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recal", "--json"]) == 2
    assert "Did you mean 'recall'?" in json.loads(capsys.readouterr().out)["error"]["message"]


# --------------------------------------------------------------------------------- lightness

REFUSED = {
    "select": "select nowhere.csv --results demo --out out",
    "select, a record": "select data.csv --results nowhere --out out",
    "select, a budget": "select data.csv --results demo --out out --budget soon",
    "recall": "recall data.csv --results demo --method luck",
    "inspect": "inspect nowhere.csv",
    "benchmark": "benchmark --results r --catalog nowhere.json",
    "cluster": "cluster --results nowhere --task text-classification",
    "replay": "replay --results demo --task poetry",
    "report": "report nowhere",
    "demo": "demo --task audio",
    "an option": "select --bugdet 3",
    "settings": "--config nowhere.yaml select data.csv --results demo --out out",
}


def test_no_help_loads_even_numpy() -> None:
    code = (
        "import sys\n"
        "from hf_select.cli.app import run\n"
        f"for path in {['', *PATHS]!r}:\n"
        "    assert run([*path.split(), '--help']) == 0\n"
        f"    heavy = {{*{HEAVY!r}, 'numpy', 'pyarrow', 'huggingface_hub'}} & set(sys.modules)\n"
        "    assert not heavy, (path, heavy)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("line", ["--version", *REFUSED.values()])
def test_help_and_refusals_load_nothing_heavy(line: str, tmp_path: Path) -> None:
    """Not by the clock: by what was imported. `benchmarks/startup.py` takes the time."""
    (tmp_path / "data.csv").write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    code = (
        "import sys\n"
        "from hf_select.cli.app import run\n"
        f"code = run({line.split()!r})\n"
        f"heavy = set({HEAVY!r}) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == (2 if line in REFUSED.values() else 0), done.stderr
