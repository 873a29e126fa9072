"""The training script as a text; tests/test_train_script.py runs it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_select.errors import InputError
from hf_select.metrics import METRICS
from hf_select.records import TASK_KINDS, Recipe
from hf_select.report.script import Facts, can_write, train_script
from hf_select.report.svg import asset
from hf_select.spans import spans

FACTS = Facts(
    model="owner/base",
    target="reviews",
    task="text-classification",
    metric="accuracy",
    location="owner/base",
    revision="0" * 40,
    label_names=("neg", "pos"),
    num_labels=2,
    max_length=64,
    steps=30,
    steps_per_epoch=10,
    seed=3,
    test=0.75,
)
KINDS = [(task, metric) for task in TASK_KINDS for metric in METRICS if can_write(task, metric)]


def made(task: str, metric: str) -> str:
    facts = replace(FACTS, task=task, metric=metric)
    if METRICS[metric].kind == "regression":
        facts = replace(facts, num_labels=1, label_names=(), label_mean=2.0, label_std=0.5)
    return train_script(facts, Recipe())


@pytest.mark.parametrize(("task", "metric"), KINDS)
def test_every_script_is_python_and_defines_what_it_uses(task: str, metric: str) -> None:
    script = made(task, metric)
    tree = ast.parse(script)
    assert "hf_select" not in [
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
    ]
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"load", "encode", "collate", "score", "batches", "evaluate", "main"} <= defined
    regression = METRICS[metric].kind == "regression"
    assert ("finish" in defined, "unit" in defined) == (regression, regression)


@pytest.mark.parametrize(("task", "metric"), KINDS)
def test_every_script_is_as_a_careful_person_writes_it(
    task: str, metric: str, tmp_path: Path
) -> None:
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if ruff is None:
        pytest.skip("ruff isn't installed")
    file = tmp_path / "train.py"
    file.write_text(made(task, metric), encoding="utf-8")
    for command in (
        ["check", "--isolated", "--select", "E,F,I,B"],
        ["format", "--isolated", "--check"],
    ):
        done = subprocess.run(
            [ruff, *command, "--line-length", "100", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_task_has_a_script_for_each_of_its_metrics() -> None:
    fitting = {
        (task, name)
        for task, kind in TASK_KINDS.items()
        for name, metric in METRICS.items()
        if metric.kind == kind and (task == "token-classification" or not metric.sequences)
    }
    assert set(KINDS) == fitting


@given(st.lists(st.sampled_from(["O", "B-P", "I-P", "B-L", "I-L", "E-L", "S-P", "U-P", "L-P"])))
def test_the_scripts_spans_are_ours(tags: list[str]) -> None:
    namespace: dict = {}
    exec(asset("train/spans.py.txt"), namespace)
    assert namespace["spans"](tags) == spans(np.array(tags, dtype=str))


def test_names_of_strangers_cannot_leave_their_strings() -> None:
    bad = '"""\nimport os  # \\ \N{GRINNING FACE} \udc80'
    script = train_script(
        replace(FACTS, model=bad, target=bad, location=bad, label_names=(bad, "pos")), Recipe()
    )
    tree = ast.parse(script)
    imported = [n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)]
    assert "os" not in imported
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(values["MODEL"]) == bad
    assert ast.literal_eval(values["NAMES"]) == [bad, "pos"]


def test_the_recipe_stands_in_it() -> None:
    recipe = Recipe(
        learning_rate=3e-4, epochs=7, global_batch_size=8, warmup=0.25, precision="bf16"
    )
    script = train_script(FACTS, recipe)
    for line in (
        "LEARNING_RATE = 0.0003",
        "EPOCHS = 7 ",
        "BATCH_SIZE = 8 ",
        "WARMUP = 0.25 ",
        'PRECISION = "bf16"',
        "SEED = 3",
        "STEPS = 30 ",
        "MAX_LENGTH = 64 ",
        f'REVISION = "{"0" * 40}"',
    ):
        assert line in script


def test_an_unknown_task_or_metric_has_no_script() -> None:
    with pytest.raises(InputError, match="no training script"):
        train_script(replace(FACTS, metric="evaluate:perplexity"), Recipe())
