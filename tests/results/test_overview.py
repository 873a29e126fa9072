"""What a card says of a record: numbers, best models, clusters, recipes and commands."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from made import RECIPE, TASK, dataset, model, run

from hf_select.records import Clustering, Recipe
from hf_select.results.overview import ONE_ROW_IS, contents, describe, overview
from hf_select.results.state import State

KINDS = tuple(ONE_ROW_IS)


def state_of(*rows) -> State:
    state = State()
    for row in rows:
        state.add(row)
    return state


def clustering(*names: str) -> Clustering:
    """The first three models alike, the others alone."""
    labels = np.array([0 if i < 3 else i - 2 for i in range(len(names))])
    distance = np.zeros((len(names), len(names)))
    return Clustering(names, labels, distance, {0: 1}, "average", 0.125, 0.5)


def record() -> State:
    entries = [model(m) for m in "abcd"] + [dataset("x"), dataset("y", metric="f1"), RECIPE]
    runs = [run(m, "x", 0.5 + 0.1 * i, seed=s) for i, m in enumerate("abc") for s in (0, 1)]
    runs += [run("a", "y", 0.9, metric="f1"), run("b", "y", 0.2, metric="f1", submitter="jane")]
    return state_of(*entries, *runs, run("d", "x", status="oom", submitter="jane"))


def test_the_numbers():
    found = overview(record(), {TASK: clustering(*"abcd")})
    (task,) = found.tasks
    assert (task.models, task.benchmarks, task.runs, task.failed, task.cells) == (4, 2, 9, 1, 5)
    assert task.recipes == ((RECIPE.digest(), RECIPE, 8),)
    assert found.submitters == (("tester", 7), ("jane", 2))
    best = {b.dataset: (b.model, b.score, b.metric, b.baseline, b.measured) for b in task.best}
    assert best == {
        "x": ("c", pytest.approx(0.7), "accuracy", 0.5, 3),
        "y": ("a", 0.9, "f1", 0.5, 2),
    }


def test_where_errors_are_measured_the_lowest_is_best():
    runs = [run(m, test=t, metric="rmse") for m, t in (("a", 2.0), ("b", 1.0), ("c", 3.0))]
    (task,) = overview(state_of(*runs), {}).tasks
    assert [best.model for best in task.best] == ["b"]


def test_measured_runs_come_before_any_number_of_imported_ones():
    imported = {"recipe": "imported-glue"}
    runs = [run(m, test=0.9, key=imported, origin="imported:glue.csv") for m in "abc"]
    (task,) = overview(state_of(RECIPE, *runs, run("b", test=0.5)), {}).tasks
    assert [digest for digest, _, _ in task.recipes] == [RECIPE.digest(), "imported-glue"]
    assert [(best.model, best.score) for best in task.best] == [("b", 0.5)]
    text = contents(overview(state_of(*runs), {}), kinds=KINDS)
    assert "results from elsewhere" in text


def test_the_words():
    found = overview(record(), {TASK: clustering(*"abcd")})
    text = contents(found, kinds=KINDS, name="lab/record")
    assert f"| {TASK} | 4 | 2 | 9 | 1 | 5 |" in text
    assert "`tester` (7), `jane` (2)." in text
    assert "| x | accuracy | c | 0.7 | 0.5 | 3 |" in text
    assert "4 models: 1 group of two or more, 1 model alone" in text
    assert "cut at a distance of 0.125, silhouette 0.50" in text
    assert "| 3 | b | a, c |" in text
    assert "2 epochs of AdamW; a learning rate of 5e-05" in text
    assert 'load_dataset("lab/record", "matrix", split="train")' in text
    assert "hf-select select mydata.csv --results lab/record" in text
    for kind in KINDS:
        assert f"| `{kind}` |" in text


def test_an_empty_record_says_how_to_fill_it():
    text = contents(overview(State(), {}), kinds=())
    assert "Best model" not in text
    assert "OWNER/NAME" in text


def test_long_lists_are_cut():
    names = [f"m{i:03}" for i in range(40)]
    labels = np.repeat(np.arange(14), [14, *[2] * 13])
    first = dict.fromkeys(range(14), 0)
    many = Clustering(
        tuple(names), labels, np.zeros((40, 40)), first, "kmeans", float("nan"), float("nan")
    )
    runs = [run("a", f"d{i:03}", submitter=f"s{i}") for i in range(120)]
    text = contents(overview(state_of(*runs), {TASK: many}), kinds=KINDS)
    assert "And 20 benchmarks with fewer models." in text
    assert "m005 and 8 more |" in text
    assert "And 4 smaller groups." in text
    assert "(k-means)" in text
    assert "and 110 more." in text


def test_ids_of_clusters_may_have_gaps_and_any_order():
    labels = np.array([7, 7, 900, 2, 2, 2])
    found = Clustering(tuple("abcdef"), labels, None, {2: 3, 7: 1}, "average", 0.1, 0.5)
    text = contents(overview(state_of(run("a", "x")), {TASK: found}), kinds=KINDS)
    assert "6 models: 2 groups of two or more, 1 model alone" in text
    assert text.index("| 3 | d |") < text.index("| 2 | b |")  # the biggest first


def commands(text: str) -> list[list[str]]:
    """The `hf-select` lines of a card, as words."""
    return [shlex.split(line) for line in text.splitlines() if line.startswith("hf-select ")]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(epochs=2, learning_rate=3e-4, max_length=32, precision="bf16"),
        Recipe(warmup=0.25, epochs=2),
        Recipe(group_by_length=True),
    ],
)
def test_the_command_of_the_card_benchmarks_with_the_records_recipe(recipe, tmp_path, monkeypatch):
    from hf_select import pipeline
    from hf_select.cli.benchmark import command
    from hf_select.cli.options import RECIPE_OPTIONS, take

    runs = [run("a", key={"recipe": recipe.digest()})]
    text = contents(overview(state_of(recipe, *runs), {}), kinds=KINDS, name="lab/record")
    (words,) = [found for found in commands(text) if found[1] == "benchmark"]
    if "--recipe" in words:
        block = text.partition("```json\n")[2].partition("```")[0]
        (tmp_path / f"{TASK}.json").write_text(block)
        monkeypatch.chdir(tmp_path)
    given = command.make_context("benchmark", words[2:]).params
    found = pipeline.choose_recipe(given.pop("recipe_file"), take(given, RECIPE_OPTIONS))
    assert (found or Recipe()).digest() == recipe.digest()
    assert given["task"] == TASK


def test_a_recipe_in_words():
    assert describe(Recipe(epochs=1, warmup=0, max_grad_norm=0, max_train_samples=2000)) == (
        "1 epoch of AdamW; a learning rate of 5e-05, falling linearly to 0; 32 rows a step; "
        "weight decay 0.01; no clipping; at most 2,000 train rows; 32-bit numbers."
    )
    assert "texts cut at 128 tokens" in describe(Recipe(), TASK)
    assert "same length together" in describe(Recipe(group_by_length=True), TASK)
    assert "fp16 mixed precision" in describe(Recipe(precision="fp16"))
