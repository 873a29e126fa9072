"""Our metrics as `evaluate` modules: from the package, offline, with the very same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_select.errors import UnknownNameError
from hf_select.metric_modules import DESCRIPTIONS
from hf_select.metrics import METRICS, get_metric, module_path

SCRIPT = """
import json, sys
import evaluate
from hf_select.metrics import module_path

found = {}
for name, (predictions, references) in json.load(sys.stdin).items():
    module = evaluate.load(module_path(name), keep_in_memory=True)
    found[name] = module.compute(predictions=predictions, references=references)
    found[name]["description"] = module.description
print(json.dumps(found))
"""


def rows(name: str) -> tuple[list, list]:
    rng = np.random.default_rng(len(name))
    if get_metric(name).sequences:
        tags = np.array(["O", "B-PER", "I-PER", "B-LOC"])
        right = [tags[rng.integers(0, 4, n)].tolist() for n in (5, 3, 7)]
        said = [[str(rng.choice([t, "O"])) for t in sentence] for sentence in right]
        return said, right
    if get_metric(name).kind == "classification":
        return rng.integers(0, 4, 50).tolist(), rng.integers(0, 4, 50).tolist()
    return rng.normal(2, 3, 50).tolist(), rng.normal(1, 2, 50).tolist()


@pytest.fixture(scope="module")
def computed() -> dict[str, dict[str, object]]:
    """What the modules say, in a process of its own: the import of evaluate takes seconds."""
    given = json.dumps({name: rows(name) for name in METRICS})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", METRICS)
def test_a_module_gives_what_a_trial_reports(computed, name):
    predictions, references = rows(name)
    metric = get_metric(name)
    if metric.sequences:  # by hand: the sentences apart
        predictions, references = ([*a, "", *b, "", *c] for a, b, c in (predictions, references))
    mine = metric(np.array(predictions), np.array(references))
    assert computed[name].pop("description") == DESCRIPTIONS[name]
    assert computed[name] == {name: mine}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_module(name):
    folder = Path(module_path(name))
    assert (folder / f"{folder.name}.py").is_file()
    assert folder.name == name


def test_there_is_no_module_of_another_name():
    with pytest.raises(UnknownNameError):
        module_path("mape")
    folders = {path.parent.name for path in Path(module_path("rmse")).parent.glob("*/*.py")}
    assert folders == set(METRICS)
