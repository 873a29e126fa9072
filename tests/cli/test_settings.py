"""`--config FILE` and `HF_SELECT_*`: who wins, what is refused, and that all of it stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from hf_select import pipeline
from hf_select.cli.app import cli, run
from hf_select.cli.settings import commands_of, key_of, options_of, read_file, variables
from hf_select.errors import InputError

TASK = "text-classification"


class Called(Exception):
    """What a stage was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args_, self.kwargs = args, kwargs


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`given(stage, args, file=..., **environment)` -> what `pipeline.<stage>` was called with."""
    monkeypatch.chdir(tmp_path)

    def call(stage: str, *args: str, file: str = "", **environment: str) -> dict[str, Any]:
        if file:
            Path("settings.yaml").write_text(file, encoding="utf-8")
            args = ("--config", "settings.yaml", *args)
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)

            def stub(*args: Any, **kwargs: Any) -> None:
                raise Called(*args, **kwargs)

            patch.setattr(pipeline, stage, stub)
            with pytest.raises(Called) as caught:
                cli.main([*args], prog_name="hf-select", standalone_mode=False)
        return {**caught.value.kwargs, "args": caught.value.args_}

    return call


FILE = """
results: demo
task: text-classification
select:
  budget: 30m
  max-epochs: 4
  out: chosen
  exclude: [a/b, c/d]
  precision: no
  group-by-length: yes
  proxy: knn
replay:
  policies: [halving, asha]
  top: 3
"""


def test_a_file_gives_defaults(given) -> None:
    found = given("select", "select", "x.csv", file=FILE)
    assert found["args"] == ("x.csv", "demo", "chosen")
    assert (found["budget"], found["max_epochs"], found["task"]) == ("30m", 4.0, TASK)
    assert found["exclude"] == ("a/b", "c/d")
    assert found["proxy"] == ("knn",)
    assert found["recipe"].precision == "no"
    assert found["recipe"].group_by_length is True
    found = given("replay", "replay", file=FILE)
    assert (found["policies"], found["top"]) == (["halving", "asha"], [3])


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(given) -> None:
    budget = {"HF_SELECT_SELECT_BUDGET": "20m"}
    assert given("select", "select", "x.csv", file=FILE)["budget"] == "30m"
    assert given("select", "select", "x.csv", file=FILE, **budget)["budget"] == "20m"
    typed = given("select", "select", "x.csv", "--budget", "10m", file=FILE, **budget)
    assert typed["budget"] == "10m"


def test_a_section_wins_over_what_stands_above_all(given) -> None:
    text = "results: above\nselect: {results: demo, out: o}\n"
    assert given("select", "select", "x.csv", file=text)["args"][1] == "demo"
    assert given("recall", "recall", "x.csv", file=text)["args"][1] == "above"


def test_the_file_may_stand_behind_the_command_or_in_a_variable(given, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("select: {results: demo, out: o, budget: 5m}", encoding="utf-8")
    assert given("select", "select", "x.csv", "--config", str(file))["budget"] == "5m"
    assert given("select", "select", "x.csv", HF_SELECT_CONFIG=str(file))["budget"] == "5m"
    other = given("select", "select", "x.csv", file=FILE, HF_SELECT_CONFIG=str(file))
    assert other["budget"] == "30m"
    crawl = "crawl: {models: {out: c, task: text-classification, max-params: 200M}}"
    assert given("crawl_models", "crawl", "models", file=crawl)["max_params"] == "200M"
    file.write_text(crawl, encoding="utf-8")
    behind = given("crawl_models", "crawl", "models", "--config", str(file))
    assert behind["max_params"] == "200M"


def test_variables_of_flags_and_of_what_can_be_there_several_times(given) -> None:
    found = given(
        "benchmark",
        *("benchmark", "--results", "r"),
        HF_SELECT_BENCHMARK_RETRY_FAILED="true",
        HF_SELECT_BENCHMARK_EXECUTOR_OPTION="partition=gpu qos=low",
        HF_SELECT_BENCHMARK_EXECUTOR="slurm",
    )
    assert found["retry_failed"] is True
    assert found["executor_options"] == {"partition": "gpu", "qos": "low"}


def test_mappings_become_pairs(given) -> None:
    text = "benchmark: {results: r, executor: slurm, executor-option: {partition: gpu}}"
    assert given("benchmark", "benchmark", file=text)["executor_options"] == {"partition": "gpu"}
    text = "import: {results: r, task: text-classification, map: {model: name, score: acc}}"
    found = given("import_results", "import", "t.csv", file=text)
    assert found["mapping"] == {"model": "name", "score": "acc"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("selct: {budget: 3m}", "unknown key 'selct'", "did you mean 'select'?"),
        ("bugdet: 3m", "unknown key 'bugdet'", "did you mean 'budget'?"),
        ("select: {bugdet: 3m}", "unknown key 'select.bugdet'", "max_epochs"),
        ("recall: {budget: 3m}", "unknown key 'recall.budget'", "looks"),
        ("crawl: {modles: {limit: 3}}", "unknown key 'crawl.modles'", "datasets, models"),
        ("crawl: {models: {budget: 3}}", "unknown key 'crawl.models.budget'", "limit"),
        ("select: {top: ten}", "select.top: 'ten' is not a valid integer", ""),
        ("select: {group-by-length: maybe}", "select.group_by_length", ""),
        ("select: 3", "select must hold keys", ""),
        ("select: {proxy: [[a]]}", "a list within a list", ""),
        ("top: 1\ntop: 2", "'top' is there twice", ""),
        ("- a", "holds a list", "for example"),
        ("a: [", "not valid YAML", ""),
    ],
)
def test_what_is_wrong_is_refused_before_anything_runs(
    text: str, message: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    line = ["--config", str(file), "cluster", "--results", "demo", "--task", TASK, "--json"]
    assert run(line) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert message in error["message"]
    assert str(file) in error["message"]
    assert hint in error["hint"]


def test_a_file_that_is_not_there_names_the_option_of_data_sets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["inspect", "owner/name", "--config", "en"]) == 2
    assert "--subset" in capsys.readouterr().err


def test_an_empty_file_and_empty_keys_are_nothing(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    for text in ("", "# nothing\n", "select:\n", "select: {budget: }\n", "select: {budget: null}"):
        file.write_text(text, encoding="utf-8")
        assert read_file(file, cli)["select"] == {}


def test_every_option_has_a_variable_and_no_two_share_one() -> None:
    names = []
    for path, command in commands_of(cli):
        for key, option in options_of(command).items():
            expected = "_".join(("HF_SELECT", *path, key)).upper()
            assert option.envvar == expected
            names.append(expected)
    assert len(names) == len(set(names)) == len(variables(cli))
    assert "HF_SELECT_SELECT_BUDGET" in names
    assert "HF_SELECT_CRAWL_MODELS_LIMIT" in names


def test_a_key_is_the_longest_flag() -> None:
    assert key_of(click.Option(["-x", "--executor-option", "options"])) == "executor_option"


def test_json_by_variable_holds_for_errors_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SELECT_CLUSTER_JSON", "1")
    assert run(["cluster", "--results", "nowhere", "--task", TASK]) == 2
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_reading_a_file_loads_nothing_heavy(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(FILE, encoding="utf-8")
    code = (
        "import sys\n"
        "from hf_select.cli.app import run\n"
        f"assert run(['--config', {str(file)!r}, 'report', 'nowhere', '--json']) == 2\n"
        "heavy = {'torch', 'datasets', 'transformers', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_file_is_refused_as_any_input_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_file(tmp_path, cli)
