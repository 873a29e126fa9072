"""What a dataset card says of a record: its size, best models, clusters, recipes, and its use."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from hf_select.metrics import get_metric
from hf_select.records import Clustering, PerformanceMatrix, Recipe, RunRecord
from hf_select.results.markdown import escape, table
from hf_select.results.matrix import dataset_name, performance_matrix
from hf_select.results.state import State

SOMEWHERE = "OWNER/NAME"
"""How a card names the repository before it has been published."""
BENCHMARKS = 100
CLUSTERS = 10
MEMBERS = 5
SUBMITTERS = 10
"""How many of each a card lists."""

ONE_ROW_IS = {
    "matrix": "the mean test score of a model on a benchmark, over seeds (the default)",
    "runs": "a fine-tuning, with its learning curve; a failed one has a reason and no score",
    "models": "a model at one commit",
    "datasets": "a benchmark dataset at one commit, with its columns and its metric",
    "clusters": "a model and the group of models that it behaves like",
    "proxies": "a light score of a model on a dataset, from one forward pass",
    "recipes": "the settings that a recipe's digest stands for",
}
"""The configs of the dataset, in the order of the card."""

_FLAGS = {
    "learning_rate": "--learning-rate",
    "epochs": "--epochs",
    "global_batch_size": "--batch-size",
    "max_length": "--max-length",
    "max_train_samples": "--max-train-samples",
    "precision": "--precision",
}


# ------------------------------------------------------------------------------ the numbers


@dataclass(frozen=True)
class Best:
    """The best model of one benchmark; `score` is raw, its mean over seeds."""

    dataset: str
    metric: str
    model: str
    score: float
    baseline: float
    measured: int


@dataclass(frozen=True)
class TaskOverview:
    """One task of a record.

    `recipes` are (digest, recipe or None, successful runs): measured before imported ones, then
    those with most runs. `best` and `clustering` are of the first.
    """

    task: str
    models: int
    benchmarks: int
    runs: int
    failed: int
    cells: int
    recipes: tuple[tuple[str, Recipe | None, int], ...]
    best: tuple[Best, ...]
    clustering: Clustering | None


@dataclass(frozen=True)
class Overview:
    """All that a card says of a record; `submitters` are (name, runs), most first."""

    tasks: tuple[TaskOverview, ...]
    submitters: tuple[tuple[str, int], ...]


def overview(state: State, clusterings: Mapping[str, Clustering]) -> Overview:
    """The numbers of a record; `clusterings` by task, where there are any."""
    by_task: dict[str, list[RunRecord]] = defaultdict(list)
    submitters: Counter[str] = Counter()
    for run in state.best():
        by_task[run.task].append(run)
        submitters[run.submitter] += 1
    return Overview(
        tuple(_task(t, by_task[t], state, clusterings.get(t)) for t in state.tasks()),
        tuple(sorted(submitters.items(), key=lambda item: (-item[1], item[0]))),
    )


def _task(
    task: str, runs: Sequence[RunRecord], state: State, clustering: Clustering | None
) -> TaskOverview:
    by_recipe: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.status == "ok":
            by_recipe[run.key.recipe].append(run)
    # As when the record is read: measured runs come before any number of imported ones.
    order = sorted(by_recipe, key=lambda d: (d.startswith("imported-"), -len(by_recipe[d]), d))
    matrices = [
        performance_matrix(by_recipe[d], task=task, recipe=d, baselines=state.baselines(task))
        for d in order
    ]
    described = state.recipes()
    models = {e.repo_id for e in state.models() if e.task == task}
    datasets = {dataset_name(e.repo_id, e.config) for e in state.datasets() if e.task == task}
    return TaskOverview(
        task=task,
        models=len(models | {run.key.model for run in runs}),
        benchmarks=len(datasets | {dataset_name(r.key.dataset, r.key.config) for r in runs}),
        runs=len(runs),
        failed=sum(run.status != "ok" for run in runs),
        cells=sum(int(np.sum(~np.isnan(matrix.scores))) for matrix in matrices),
        recipes=tuple((d, described.get(d), len(by_recipe[d])) for d in order),
        best=_best(matrices[0]) if matrices else (),
        clustering=clustering,
    )


def _best(matrix: PerformanceMatrix) -> tuple[Best, ...]:
    found = []
    for j, (dataset, metric) in enumerate(zip(matrix.datasets, matrix.metrics, strict=True)):
        scores = matrix.scores[:, j]
        i = int(np.nanargmax(scores * get_metric(metric).direction))
        measured = int(np.sum(~np.isnan(scores)))
        score, baseline = float(scores[i]), float(matrix.baselines[j])
        found.append(Best(dataset, metric, matrix.models[i], score, baseline, measured))
    return tuple(found)


# --------------------------------------------------------------------------------- the words

_HOLDS = """\
A run is one fine-tuning of a model on a benchmark, with a recipe and a seed. A cell is a model on a
benchmark under a recipe, over all its seeds."""
_BEST_ARE = """\
Test scores, mean over seeds. The trivial score is that of always answering the commonest class, or
the mean. Where a metric measures errors (`mse`, `rmse`, `mae`), lower is better."""
_CLUSTERS_ARE = """\
Models are grouped by how they do on the benchmarks. A group is represented by its model with the
highest mean score, which is the one that is tried on new data."""
_RECIPES_ARE = "Only runs with the same recipe are compared with each other."
_USE = """\
Which of these models should be fine-tuned on your data? After `pip install hf-select`,

```sh
hf-select select mydata.csv --results {name} --out chosen
```

recalls a few of them, fine-tunes those a little at a time and leaves the winner in `chosen`.
Without hf-select, the record is a dataset like any other:

```python
from datasets import load_dataset

{config} = load_dataset("{name}", "{config}", split="train")
```"""
_CONTRIBUTE = """\
```sh
hf-select pull {name} --results my-record
{benchmarks}
hf-select publish --results my-record --to {name} --create-pr
```

`my-catalog` lists the models and the benchmarks to run; `hf-select crawl` writes one. What the
record has already isn't run again, and what was stopped goes on with the same command."""
_CHECKS = """\
Every row of a contribution is checked before it becomes a part of the record:

- it has the columns and types that `hf-select` writes, of this version or an older one;
- its model and its dataset are pinned to a commit, and have an entry that says what they are;
- its metric is the one that the benchmark is scored by, and its scores are possible ones;
- its learning curve rises in epochs and isn't longer than its recipe;
- its recipe is one that the record uses, because only such runs can be compared. A maintainer can
  accept a new one.

A row that can't be used is named with the reason and set aside, and the good rows of the same file
stay. Two scores of the same run are both kept, and are pointed out where they are more than three
standard errors apart. To see what a maintainer will see, before publishing and after:

```sh
hf-select validate my-record
hf-select validate {name} --pull-request NUMBER
```"""


def contents(found: Overview, *, kinds: Sequence[str], name: str = "") -> str:
    """The generated part of the card, in markdown.

    `kinds` are the configs that there are; `name` is where the record is published.
    """
    name = name or SOMEWHERE
    measured = [task for task in found.tasks if task.best]
    sections = {
        "What it holds": _size(found, kinds),
        "Best model of each benchmark": _best_models(measured),
        "Models that behave alike": _clusters(measured),
        "How the models were fine-tuned": _recipes(measured),
        "How to use it": [_USE.format(name=name, config=next(iter(kinds), "matrix"))],
        "How to add to it": _contribute(name, found),
    }
    return "\n\n".join(
        "\n\n".join([f"## {title}", *paragraphs])
        for title, paragraphs in sections.items()
        if paragraphs
    )


def _size(found: Overview, kinds: Sequence[str]) -> list[str]:
    rows = [(t.task, t.models, t.benchmarks, t.runs, t.failed, t.cells) for t in found.tasks]
    columns = ("task", "models", "benchmarks", "runs", "of them failed", "cells")
    paragraphs = [table(columns, rows), _HOLDS]
    shown = [f"{_code(who)} ({count:,})" for who, count in found.submitters[:SUBMITTERS]]
    rest = len(found.submitters) - len(shown)
    if shown:
        more = f" and {rest:,} more" if rest else ""
        paragraphs.append(f"Runs by submitter: {', '.join(shown)}{more}.")
    configs = [f"| `{kind}` | {ONE_ROW_IS[kind]} |" for kind in kinds]
    if configs:
        paragraphs.append("\n".join(["| config | one row is |", "| --- | --- |", *configs]))
    return paragraphs


def _best_models(tasks: Sequence[TaskOverview]) -> list[str]:
    paragraphs = [_BEST_ARE] if tasks else []
    columns = ("benchmark", "metric", "best model", "score", "trivial", "models measured")
    for task in tasks:
        widest = sorted(task.best, key=lambda best: -best.measured)[:BENCHMARKS]
        rows = [
            (best.dataset, best.metric, best.model, best.score, best.baseline, best.measured)
            for best in sorted(widest, key=lambda best: best.dataset)
        ]
        paragraphs += [f"### {escape(task.task)}", table(columns, rows)]
        if len(task.best) > len(rows):
            paragraphs.append(f"And {len(task.best) - len(rows)} benchmarks with fewer models.")
        if len(task.recipes) > 1:
            paragraphs.append(f"All with recipe {_code(task.recipes[0][0])}.")
    return paragraphs


def _clusters(tasks: Sequence[TaskOverview]) -> list[str]:
    grouped = [(task.task, task.clustering) for task in tasks if task.clustering is not None]
    paragraphs = [_CLUSTERS_ARE] if grouped else []
    for task, found in grouped:
        groups = [c for c, size in found.sizes.items() if size > 1]
        alone = len(found.sizes) - len(groups)
        counts = (
            f"{_count(len(found.models), 'model')}: {_count(len(groups), 'group')} of two or more"
        )
        if alone:
            counts += f", {_count(alone, 'model')} alone"
        paragraphs += [f"### {escape(task)}", f"{counts} ({_how(found)})."]
        shown = groups[:CLUSTERS]
        if shown:
            rows = [(found.sizes[c], *_members(found, c)) for c in shown]
            paragraphs.append(table(("models", "represented by", "others"), rows, longest=1000))
        if len(groups) > len(shown):
            paragraphs.append(f"And {len(groups) - len(shown):,} smaller groups.")
    return paragraphs


def _how(found: Clustering) -> str:
    names = {
        "average": "average linkage",
        "kmeans": "k-means",
        "micro": "micro-clusters, then average linkage",
    }
    words = [names.get(found.algorithm, escape(found.algorithm))]
    if not np.isnan(found.threshold):
        words.append(f"cut at a distance of {found.threshold:.3g}")
    if not np.isnan(found.silhouette):
        words.append(f"silhouette {found.silhouette:.2f}")
    return ", ".join(words)


def _members(found: Clustering, cluster: int) -> tuple[str, str]:
    """The representative, and some of the others."""
    first = found.representatives.get(cluster)
    others = [i for i in found.members(cluster) if i != first]
    names = ", ".join(found.models[i] for i in others[:MEMBERS])
    rest = len(others) - MEMBERS
    name = "-" if first is None else found.models[first]
    return name, names + (f" and {rest:,} more" if rest > 0 else "")


def _recipes(tasks: Sequence[TaskOverview]) -> list[str]:
    lines = [
        f"- {escape(task.task)}, recipe {_code(digest)}, {_count(runs, 'run')}: "
        f"{describe(recipe, task.task)}"
        for task in tasks
        for digest, recipe, runs in task.recipes
    ]
    return [_RECIPES_ARE, "\n".join(lines)] if lines else []


def describe(recipe: Recipe | None, task: str = "") -> str:
    """A recipe in plain words."""
    if recipe is None:
        return "results from elsewhere; how the models were fine-tuned isn't recorded."
    rate = f"a learning rate of {recipe.learning_rate:g}"
    if recipe.warmup:
        rate += f", reached over the first {recipe.warmup * 100:g} % of the steps"
    precision = {"no": "32-bit numbers", "bf16": "bf16 mixed precision"}
    rows = recipe.max_train_samples
    parts = [
        f"{_count(recipe.epochs, 'epoch')} of AdamW",
        f"{rate}, falling linearly to 0",
        f"{recipe.global_batch_size} rows a step",
        f"weight decay {recipe.weight_decay:g}",
        f"gradients clipped at {recipe.max_grad_norm:g}" if recipe.max_grad_norm else "no clipping",
        *([f"texts cut at {recipe.max_length} tokens"] if task.startswith("text") else []),
        f"at most {rows:,} train rows" if rows else "all train rows",
        *(["rows of about the same length together"] if recipe.group_by_length else []),
        precision.get(recipe.precision, f"{recipe.precision} mixed precision"),
    ]
    return "; ".join(parts) + "."


def _contribute(name: str, found: Overview) -> list[str]:
    command = "hf-select benchmark --results my-record --catalog my-catalog"
    commands, notes = [], []
    for task in found.tasks:
        recipe = next((recipe for _, recipe, _ in task.recipes if recipe is not None), None)
        settings = {} if recipe is None else _settings(recipe)
        if set(settings) <= set(_FLAGS):
            words = [f"{_FLAGS[key]} {value}" for key, value in settings.items()]
        else:
            file = f"{task.task}.json"
            words = [f"--recipe {file}"]
            notes.append(
                f"`{file}` holds the recipe of {escape(task.task)}:\n\n"
                f"```json\n{json.dumps(settings)}\n```"
            )
        commands.append(" ".join([command, f"--task {task.task}", *words]))
    steps = _CONTRIBUTE.format(name=name, benchmarks="\n".join(commands or [command]))
    return [steps, *notes, _CHECKS.format(name=name)]


def _settings(recipe: Recipe) -> dict[str, float | int | str]:
    """What must be told `benchmark`, so that its runs have this recipe."""
    # `fractions` only say when it is evaluated: runs can be compared whatever they are.
    names = [f.name for f in fields(Recipe) if f.name != "fractions"]
    usual = Recipe()
    return {n: getattr(recipe, n) for n in names if getattr(recipe, n) != getattr(usual, n)}


def _code(text: str) -> str:
    """A name as code; one that may hold anything is escaped instead."""
    return f"`{text}`" if re.fullmatch(r"[\w.-]+", text) else escape(text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
