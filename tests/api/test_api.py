"""The Python API: typed results, no prints, the command line's defaults."""

from __future__ import annotations

import dataclasses
import inspect as python
import logging
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pandas as pd
import pytest

import hf_select
from hf_select import (
    HfSelectError,
    ResultsRepo,
    Selection,
    api,
    cluster,
    inspect,
    pipeline,
    recall,
    replay,
    report,
)
from hf_select.api.html import selection_html
from hf_select.cli.app import cli
from hf_select.cli.settings import options_of
from hf_select.errors import DataError, InputError
from hf_select.locations import demo_folder
from hf_select.progress import Step

TASK = "text-classification"
FUNCTIONS = ("select", "recall", "inspect", "cluster", "replay", "benchmark", "report")
OF_THE_COMMAND_LINE = {"json", "quiet", "assign", "figure", "no_proxies", "png"}
"""Options whose place in Python is another one: what is returned is everything."""
RECIPE = {"epochs", "batch_size", "max_length", "max_train_samples", "precision"}
RECIPE |= {"group_by_length", "learning_rate"}
SPELLED = {"subset": "config", "executor_option": "executor_options"}
"""Option -> the name of its argument, where they differ."""


def test_importing_it_loads_nothing() -> None:
    code = (
        "import sys, hf_select\n"
        "heavy = {'numpy', 'torch', 'datasets', 'transformers', 'pandas', 'rich', 'click'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "from hf_select import select, recall, report, Selection\n"
        "heavy = {'torch', 'datasets', 'transformers', 'pandas', 'rich', 'click'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rooms_of_the_same_name_dont_hide_functions() -> None:
    import hf_select.recall.candidates
    import hf_select.report.page

    for name in FUNCTIONS:
        assert callable(getattr(hf_select, name))
        assert not isinstance(getattr(hf_select, name), ModuleType)
    assert set(FUNCTIONS) <= set(hf_select.__all__) == set(dir(hf_select))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_the_pipeline_is_one_here_with_the_same_default(name: str) -> None:
    """And none is swallowed: a new option of a stage must get its place here."""
    stage = pipeline.as_target if name == "inspect" else getattr(pipeline, name)
    mine = python.signature(getattr(api, name)).parameters
    kinds = {p.kind for p in mine.values()}
    assert not kinds & {python.Parameter.VAR_KEYWORD, python.Parameter.VAR_POSITIONAL}
    for key, theirs in python.signature(stage).parameters.items():
        if key in ("say", "should_stop", "on_rung", "on_plan", "on_event", "max_rows", "cache"):
            continue
        if theirs.kind is python.Parameter.VAR_KEYWORD or key in ("options", "folder", "assign"):
            continue
        if name == "cluster" and key == "recipe":
            continue
        assert key in mine, f"{name} has no {key}"
        if theirs.default is not python.Parameter.empty:
            assert mine[key].default == theirs.default, key


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_defaults_are_those_of_the_command(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    mine = python.signature(getattr(api, name)).parameters
    for key, option in options_of(command).items():
        if key in OF_THE_COMMAND_LINE or key in RECIPE:
            continue
        argument = mine.get(SPELLED.get(key, key))
        assert argument is not None, f"{name} has no argument for --{key}"
        default = option.get_default(click.Context(command))
        if option.required or default is None or option.multiple or not isinstance(default, float):
            continue
        assert argument.default == default, key


def test_data_in_memory_is_the_target_that_its_file_is(nouns: pd.DataFrame, tmp_path: Path) -> None:
    import datasets

    datasets.enable_progress_bars()  # another test may have left them off
    file = tmp_path / "nouns.csv"
    nouns.to_csv(file, index=False)
    from_file = inspect(file)
    labels = nouns.assign(label=nouns["label"].astype("category"))
    rows = datasets.Dataset.from_pandas(nouns, preserve_index=False)
    for target in (nouns, labels, rows, datasets.DatasetDict({"train": rows})):
        found = inspect(target)
        assert (found.target, found.task, found.num_labels) == ("data", TASK, 8)
        assert found.fingerprint == from_file.fingerprint
        assert found.splits == from_file.splits
    assert inspect(nouns, name="nouns").target == "nouns"
    assert from_file.target == "nouns"
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.parametrize("target", [7, ["a", "b"], {"text": ["a"]}])
def test_what_is_no_target_is_refused(target: object) -> None:
    with pytest.raises(DataError, match="a target is a path"):
        inspect(target)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [[], ["text", "label"]])
def test_an_empty_table_is_refused_as_an_empty_file_is(columns: list[str]) -> None:
    with pytest.raises(DataError, match="the table is empty: no rows"):
        inspect(pd.DataFrame({name: [] for name in columns}))


def test_a_column_of_several_kinds_is_refused_with_a_hint(nouns: pd.DataFrame) -> None:
    mixed = nouns.assign(label=[1, "a"] * (len(nouns) // 2))
    with pytest.raises(DataError) as caught:
        inspect(mixed)
    assert caught.value.hint


class TestSelect:
    def test_it_is_found_again_by_the_same_call(self, selection: Selection) -> None:
        assert re.fullmatch(r"selected-data-[0-9a-f]{8}", selection.folder.name)

    def test_the_numbers_are_those_of_the_document(self, selection: Selection) -> None:
        document = selection.document
        won = selection.winner
        assert (won.model, won.test) == (document["winner"]["model"], document["winner"]["test"])
        assert won.metric == "accuracy"
        assert selection.ranking[0].model == won.model
        assert [row.rank for row in selection.ranking] == [*range(1, len(selection.ranking) + 1)]
        assert selection.cost.epochs <= 1.5
        assert selection.price == document["price"]
        assert len(selection.rungs) == len(document["rungs"])
        assert won.model in str(selection)
        with pytest.raises(dataclasses.FrozenInstanceError):
            won.test = 1.0  # type: ignore[misc]

    def test_tables(self, selection: Selection) -> None:
        table = selection.to_pandas()
        assert list(table.index) == [row.rank for row in selection.ranking]
        assert table.loc[1, "model"] == selection.winner.model
        curves = selection.curves_to_pandas()
        assert set(curves["candidate"]) == {m for m, c in selection.curves.items() if len(c)}
        own = curves[curves["candidate"] == selection.winner.model]
        assert own["val"].iloc[-1] == pytest.approx(selection.winner.val)

    def test_the_winner_loads_and_predicts(self, selection: Selection) -> None:
        import torch

        model, tokenizer = selection.load()
        with torch.no_grad():
            logits = model(**tokenizer("a small bird that sings", return_tensors="pt")).logits
        assert logits.shape == (1, 8)
        assert set(model.config.id2label.values()) >= {"animal", "food"}

    def test_an_older_document_lacks_keys_and_a_newer_one_has_more(
        self, selection: Selection
    ) -> None:
        document = {**selection.document, "efficiency": {"device": "cpu"}}
        document["ranking"] = [{**row, "license": "mit"} for row in document["ranking"]]
        document["winner"] = {
            k: v for k, v in document["winner"].items() if k not in ("learning_rate", "epochs")
        }
        found = Selection.of(document, selection.folder)
        assert (found.ranking[0].license, found.winner.epochs) == ("mit", None)

    def test_the_page_is_written_again(self, selection: Selection, tmp_path: Path) -> None:
        assert selection.report.is_file()
        assert report(selection, tmp_path / "why.html").read_text(encoding="utf-8")

    def test_it_prints_nothing_and_logs(
        self,
        nouns: pd.DataFrame,
        selection: Selection,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(selection.folder.parent)
        seen: list[Step] = []
        with caplog.at_level(logging.INFO, logger="hf_select"):
            again = hf_select.select(nouns, "demo", max_epochs=1.5, progress=seen.append)
        assert again.folder.absolute() == selection.folder
        assert capfd.readouterr() == ("", "")
        assert "holds this very selection already" in caplog.text
        assert "reading the target" in {step.what for step in seen}
        hf_select.select(nouns, "demo", max_epochs=1.5, progress=True)
        told = capfd.readouterr()
        assert told.out == ""
        assert "holds this very selection already" in told.err

    def test_other_settings_are_another_folder(
        self, nouns: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = []

        def record(target: object, results: object, out: Path, **kwargs: object) -> None:
            taken.append(out)
            raise InputError("enough")

        monkeypatch.setattr(pipeline, "select", record)
        for settings in ({}, {"max_epochs": 2}, {"seed": 1}, {"exclude": ["a/b"]}, {}):
            with pytest.raises(HfSelectError, match="enough"):
                hf_select.select(nouns, "demo", **settings)  # type: ignore[arg-type]
        assert len(set(taken)) == 4
        assert taken[0] == taken[-1]


class TestNotebook:
    def test_it_shows_the_pages_figures_and_fetches_nothing(self, selection: Selection) -> None:
        shown = selection._repr_html_()
        assert selection.winner.model in shown
        assert shown.count('src="data:image/svg+xml;base64,') == 2
        assert not re.search(r"<script|https?://|<style", shown)
        assert len(shown) < 300_000

    def test_names_are_escaped(self, selection: Selection) -> None:
        bad = "<img src=x onerror=alert(1)>"
        document = {**selection.document, "target": bad}
        document["ranking"] = [
            {**row, "candidate": bad, "reason": bad} for row in document["ranking"]
        ]
        document["winner"] = {**document["winner"], "candidate": bad}
        shown = selection_html(document, Path(bad))
        assert "<img src=x" not in shown
        assert "&lt;img src=x" in shown


def test_recall_cluster_and_replay(nouns: pd.DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    repo = ResultsRepo.open(demo_folder() / "results")
    found = recall(nouns, repo, top=4)
    assert len(found.candidates) == len(found.to_pandas()) == 4
    assert found.to_pandas().loc[1, "model"] == found.candidates[0].model
    assert any(name.startswith("proxy:") for name in found.to_pandas().columns)
    assert found.looked == 13
    assert found.candidates[0].model in found._repr_html_()
    groups = cluster("demo", TASK)
    assert sum(len(c.models) for c in groups.clusters) == len(groups.to_pandas()) == 13
    judged = replay("demo", TASK, policies=["halving", "asha"])
    assert list(judged.to_pandas().index) == ["halving", "asha"]
    assert np.isfinite(judged.to_pandas()["regret"]).all()
    assert len(judged.targets_to_pandas()) == 2 * len(judged.targets)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_types_of_results_are_seen_by_mypy(tmp_path: Path) -> None:
    """A user's own code is checked against what is declared, through `hf_select` itself."""
    script = tmp_path / "use.py"
    script.write_text(
        "from hf_select import Selection, recall, select\n"
        "found = select('a.csv', 'demo', budget='30m')\n"
        "reveal_type(found)\n"
        "reveal_type(found.winner.test)\n"
        "reveal_type(recall('a.csv', 'demo').candidates[0].model)\n"
        "select('a.csv', 'demo', bugdet='30m')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--ignore-missing-imports",
            "--follow-imports=silent",
            script,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert 'Revealed type is "hf_select.api.selection.Selection"' in done.stdout, done.stdout
    assert 'Revealed type is "builtins.float"' in done.stdout or '"float"' in done.stdout
    assert 'Unexpected keyword argument "bugdet"' in done.stdout
