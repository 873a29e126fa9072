import json
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import live_support as support

from hf_select.catalog import Catalog
from hf_select.errors import InputError
from hf_select.records import (
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    Recipe,
    RunKey,
    RunRecord,
)
from hf_select.results.repo import ResultsRepo

TASK = "text-classification"


def _record(folder: Path, recipe: Recipe) -> Path:
    models = [ModelEntry(name, "a" * 40, TASK) for name in ("m1", "m2")]
    sets = [DatasetEntry(name, "b" * 40, TASK, ("text",), "label", 2, "accuracy") for name in "xyz"]
    runs = [
        RunRecord(
            RunKey(model.repo_id, model.revision, entry.repo_id, entry.revision, "", digest, 0),
            TASK,
            "accuracy",
            "ok",
            LearningCurve.of([1.0], [0.5]),
            test=0.5,
            baseline=0.5,
        )
        for digest in [recipe.digest()]
        for model in models
        for entry in sets
    ]
    ResultsRepo.create(folder).append(runs, models=models, datasets=sets, recipes=[recipe])
    return folder


def test_record_without_holds_everything_but_the_dataset(tmp_path):
    recipe = Recipe(epochs=1)
    whole = _record(tmp_path / "whole", recipe)
    part = ResultsRepo.open(support.record_without(whole, TASK, "y", tmp_path / "part"))
    assert part.matrix(TASK).datasets == ("x", "z")
    assert part.matrix(TASK).models == ("m1", "m2")
    assert [entry.repo_id for entry in part.datasets()] == ["x", "z"]
    assert part.recipe(recipe.digest()) == recipe
    again = ResultsRepo.open(support.record_without(whole, TASK, "x", tmp_path / "part"))
    assert again.matrix(TASK).datasets == ("y", "z")


def test_small_set_takes_the_first_rows_of_each_split_once(tmp_path):
    table = {
        split: datasets.Dataset.from_dict({"text": [f"{split} {i}" for i in range(count)]})
        for split, count in (("train", 9), ("validation", 2), ("test", 5))
    }
    datasets.DatasetDict(table).save_to_disk(tmp_path / "whole")
    folder = support.small_set(tmp_path / "whole", tmp_path / "part", 3)
    found = datasets.load_from_disk(str(folder))
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 3,
        "validation": 2,
        "test": 3,
    }
    assert found["train"]["text"][0] == "train 0"
    stamp = folder.stat().st_mtime_ns
    support.small_set(tmp_path / "whole", tmp_path / "part", 3)
    assert folder.stat().st_mtime_ns == stamp


def test_what_is_missing_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(InputError) as caught:
        support.small_set(tmp_path / "nothing", tmp_path / "part", 3)
    assert "build_zoo" in caught.value.hint
    with pytest.raises(InputError) as caught:
        support.real_models(tmp_path, TASK)
    assert "build_real_models" in caught.value.hint


def test_catalog_of_real_models_and_sets(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    for name, marker in (("a-text", "tokenizer.json"), ("an-image", "preprocessor_config.json")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
        (folder / marker).write_text("{}")
        (folder / "README.md").write_text("- Package: p 1.0 (PyPI), licence MIT\n- more\n")
        save_file({"w": np.zeros((2, 3), np.float32)}, folder / "model.safetensors")
    csv = tmp_path / "rated.csv"
    rows = "".join(f"text number {i},{i / 7}\n" for i in range(60))
    csv.write_text(f"text,rating\n{rows}")
    models = support.real_models(tmp_path / "models", "text-regression")
    path = tmp_path / "deep" / "catalog.json"
    support.write_catalog(path, models, {"rated": csv}, label_column="rating", metric="rmse")
    catalog = Catalog.load(path)
    (entry,) = catalog.models
    assert (entry.repo_id, entry.license, entry.num_parameters) == ("a-text", "MIT", 6)
    (found,) = catalog.datasets
    assert (found.repo_id, found.task, found.metric) == ("rated", "text-regression", "rmse")
    assert catalog.location("rated").resolve() == csv.resolve()


def test_a_section_is_rewritten_between_its_marks_and_the_others_stay():
    page = support.with_section("", "one", "first")
    page = support.with_section(page, "two", "second")
    assert page.startswith("# Results\n")
    page = support.with_section(page, "one", "new \\1 text")
    assert "first" not in page
    assert "<!-- one: begin -->\nnew \\1 text\n<!-- one: end -->" in page
    assert "<!-- two: begin -->\nsecond\n<!-- two: end -->" in page
    assert support.with_section(page, "one", "new \\1 text") == page


def test_markdown_has_a_rule_under_its_columns():
    lines = list(support.markdown(("a", "b"), [("x", 1)]))
    assert lines == ["| a | b |", "|---|---:|", "| x | 1 |"]
