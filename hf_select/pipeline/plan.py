"""Which cells of a record to run next, and why."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.catalog import Catalog
from hf_select.errors import InputError, UnknownNameError
from hf_select.locations import find_catalog
from hf_select.pipeline.base import (
    Record,
    RecordFacts,
    Say,
    check_task,
    open_folder,
    open_results,
    record_facts,
    silent,
    tell_reading,
)
from hf_select.progress import stage
from hf_select.records import (
    NAN,
    DatasetEntry,
    ModelEntry,
    Recipe,
    RunKey,
    RunRecord,
    check_task_name,
)
from hf_select.results.foreign import IMPORTED
from hf_select.results.matrix import Recorded, dataset_name, default_recipe, recorded

if TYPE_CHECKING:
    from hf_select.planning import Budget, Step

Array = NDArray[np.float64]
MOST_MODELS = 2000
"""Models that a plan looks at, at most: those that may be near the top and are known least."""
BLOCK = 2000
"""Models whose covariances are made at once."""
FEW = 5
"""Benchmarks that a model is measured on before the next one is a gap, not an anchor."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell to run: what `benchmark` needs, and what it is worth (`planning.Step.gain`)."""

    model: str
    revision: str
    dataset: str
    dataset_revision: str
    config: str
    seed: int
    seconds: float
    gain: float
    why: str


@dataclass(frozen=True)
class Plan:
    """Cells in the order of what they are worth for their cost; `left` in the budget's unit."""

    task: str
    recipe: str
    budget: Budget
    cells: tuple[PlannedCell, ...]
    seconds: float
    left: float
    record: RecordFacts


@stage("planning")
def plan(
    results: str | Path,
    task: str,
    *,
    budget: str,
    catalog: str | Path | None = None,
    models: Collection[str] | None = None,
    say: Say = silent,
) -> Plan:
    """Choose the cells that tell most for their cost: `planning` says how.

    Candidates are the record's models and benchmarks, and those of the `catalog`; `models` keeps
    the cells of those. A model without any run starts from what its kin are worth (`recall.cold`).
    The budget is a time of predicted seconds, one cell after the other, or a number of cells.
    Cells that failed are left alone.

    Raises `InputError` for a bad budget, for names that nobody knows, where nothing can be planned,
    and for a time where the record has no seconds to predict from.
    """
    from hf_select.planning import parse_budget

    asked = parse_budget(budget)
    record = open_results(results)
    check_task(record, task)
    other = Catalog() if catalog is None else Catalog.load(catalog).only(task=task)
    grid = _Grid.of(record, task, other)
    found = _planned(grid, asked, models, say)
    tell_reading(record, say)
    return Plan(
        task=task,
        recipe=grid.recipe,
        budget=asked,
        cells=found[0],
        seconds=float(np.sum([cell.seconds for cell in found[0]])),
        left=found[1],
        record=record_facts(record),
    )


# ------------------------------------------------------------------------------ what there is


@dataclass(frozen=True, eq=False)
class _Grid:
    """The record and the catalog as one grid: rows are models (M), columns benchmarks (D).

    skill, runs, taken (seeds that were used) and seconds are (M, D); noise (D,); an entry is None
    where nobody says what a model or a benchmark is.
    """

    recipe: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    model_entries: tuple[ModelEntry | None, ...]
    dataset_entries: tuple[DatasetEntry | None, ...]
    skill: Array
    runs: NDArray[np.int64]
    noise: Array
    seconds: Array
    taken: Mapping[tuple[int, int], set[int]]
    measured: int  # rows that are in the record's matrix: the first ones

    @classmethod
    def of(cls, record: Record, task: str, catalog: Catalog) -> _Grid:
        """All of it that belongs to the record's own recipe."""
        from hf_select.clustering.growth import seed_noise

        recipe = default_recipe(record.recipes(task))
        every = record.runs(task, recipe=recipe)
        entries = record.datasets(task)
        baselines = {
            (dataset_name(e.repo_id, e.config), e.metric): e.baseline
            for e in (*entries, *catalog.datasets)
        }
        known = recorded(every, task=task, baselines=baselines)[recipe]
        matrix = known.matrix
        revision = _newest(every)

        rows = {(e.repo_id, e.revision): e for e in record.models(task)}
        newest = {e.repo_id: e for e in (*record.models(task), *catalog.models)}
        own = {e.repo_id: e for e in (*catalog.models, *record.models(task))}
        measured = tuple(
            rows.get((name, revision[name])) or own.get(name) for name in matrix.models
        )
        new_models = sorted(set(newest) - set(matrix.models))
        by_column = {(dataset_name(e.repo_id, e.config), e.revision): e for e in entries}
        all_sets = {dataset_name(e.repo_id, e.config): e for e in (*catalog.datasets, *entries)}
        columns = tuple(
            by_column.get(column) or all_sets.get(column[0])
            for column in zip(matrix.datasets, known.columns.revisions, strict=True)
        )
        new_sets = sorted(set(all_sets) - set(matrix.datasets))
        shape = (len(measured) + len(new_models), len(columns) + len(new_sets))
        names = (*matrix.models, *new_models)
        sets = (*matrix.datasets, *new_sets)
        noise = np.full(shape[1], NAN)
        noise[: len(columns)] = seed_noise(matrix)
        taken, seconds = _used(every, known, revision, names, sets, shape)
        return cls(
            recipe=recipe,
            models=names,
            datasets=sets,
            model_entries=(*measured, *(newest[name] for name in new_models)),
            dataset_entries=(*columns, *(all_sets[name] for name in new_sets)),
            skill=_widened(matrix.skill, shape, NAN),
            runs=_widened(known.seeds, shape, 0),
            noise=noise,
            seconds=seconds,
            taken=taken,
            measured=len(measured),
        )


def _widened(values: NDArray[Any], shape: tuple[int, int], fill: float) -> NDArray[Any]:
    found = np.full(shape, fill, dtype=values.dtype)
    found[: values.shape[0], : values.shape[1]] = values
    return found


def _newest(runs: Sequence[RunRecord]) -> dict[str, str]:
    """The revision of each model that its row in the matrix is of: the one measured last."""
    newest: dict[str, tuple[str, str]] = {}
    for run in runs:
        if run.status == "ok":
            mine = (run.created, run.key.model_revision)
            newest[run.key.model] = max(newest.get(run.key.model, ("", "")), mine)
    return {model: revision for model, (_, revision) in newest.items()}


def _used(
    runs: Sequence[RunRecord],
    known: Recorded,
    revision: Mapping[str, str],
    models: Sequence[str],
    datasets: Sequence[str],
    shape: tuple[int, int],
) -> tuple[dict[tuple[int, int], set[int]], Array]:
    """Cell -> seeds that were run there, failed ones too; and the median seconds (M, D)."""
    row = {name: i for i, name in enumerate(models)}
    column = {name: j for j, name in enumerate(datasets)}
    of_column = dict(zip(known.matrix.datasets, known.columns.revisions, strict=True))
    taken: dict[tuple[int, int], set[int]] = defaultdict(set)
    times: dict[tuple[int, int], list[float]] = defaultdict(list)
    for run in runs:
        name = dataset_name(run.key.dataset, run.key.config)
        i, j = row.get(run.key.model), column.get(name)
        if i is None or j is None:
            continue
        same = revision.get(run.key.model, run.key.model_revision) == run.key.model_revision
        if same and of_column.get(name, run.key.dataset_revision) == run.key.dataset_revision:
            taken[i, j].add(run.key.seed)
        took = run.seconds
        if not np.isfinite(took) and len(run.curve):
            took = float(run.curve.seconds[-1])
        if run.status == "ok" and np.isfinite(took):
            times[i, j].append(took)
    seconds = np.full(shape, NAN)
    for cell, values in times.items():
        seconds[cell] = np.median(values)
    return dict(taken), seconds


# -------------------------------------------------------------------------------- what to run


def _planned(
    grid: _Grid, budget: Budget, models: Collection[str] | None, say: Say
) -> tuple[tuple[PlannedCell, ...], float]:
    from hf_select import planning

    wanted = np.ones(len(grid.models), dtype=bool)
    if models is not None:
        chosen = set(models)
        for name in sorted(chosen.difference(grid.models)):
            raise UnknownNameError("model", name, grid.models)
        wanted = np.array([name in chosen for name in grid.models])
    allowed = _can_be_run(grid, say) & wanted[:, None]
    if not allowed.any():
        raise InputError(
            "nothing to plan: no cell of these models can be run",
            hint="name a catalog with --catalog that says where models and benchmarks are",
        )
    seconds = planning.predict_seconds(
        grid.seconds,
        [entry.architecture if entry else "" for entry in grid.model_entries],
        [entry.num_parameters if entry else 0 for entry in grid.model_entries],
    )
    if budget.seconds is not None and not np.isfinite(seconds).any():
        raise InputError(
            "the record has no seconds to predict from, so a time can't be planned",
            hint="give the budget as a number of cells",
        )
    cost = np.ones(seconds.shape) if budget.seconds is None else seconds

    skills = planning.learn_skills(grid.skill, grid.runs, grid.noise)
    belief = np.full((2, len(grid.models)), NAN)  # of models without runs: effect and spread
    rows = np.flatnonzero(allowed.any(axis=1))

    def known(of: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Array, Array]]:
        """Models block by block, with what is known of them: means and covariances."""
        for start in range(0, len(of), BLOCK):
            block = of[start : start + BLOCK]
            found = planning.posterior(
                skills,
                grid.skill[block],
                grid.runs[block],
                effect=belief[0, block],
                spread=belief[1, block],
            )
            yield block, *found

    best, effects, variances = np.full(len(grid.datasets), -np.inf), [], []
    for _, means, spreads in known(np.arange(grid.measured)):
        best = np.maximum(best, means.max(axis=0))
        effects.append((means - skills.mean).mean(axis=1))
        variances.append(spreads.mean(axis=(1, 2)))
    new = rows[rows >= grid.measured]
    if len(new):
        belief[:, new] = _of_kin(grid, np.concatenate(effects), np.concatenate(variances), new)
    if len(rows) > MOST_MODELS:
        worth = np.concatenate(
            [
                planning.chances(means, spreads, skills, best).mean(axis=1)
                * np.trace(spreads, axis1=1, axis2=2)
                for _, means, spreads in known(rows)
            ]
        )
        rows = np.sort(rows[np.argsort(-worth, kind="stable")[:MOST_MODELS]])
        say(f"looked at {MOST_MODELS} of {len(grid.models)} models: those that may be near the top")
    parts = list(known(rows))
    steps, left = planning.plan_cells(
        skills,
        grid.skill[rows],
        grid.runs[rows],
        np.concatenate([means for _, means, _ in parts]),
        np.concatenate([spreads for *_, spreads in parts]),
        best,
        budget=budget.amount,
        cost=cost[rows],
        seconds=seconds[rows],
        allowed=allowed[rows],
    )
    if not steps:
        raise InputError(_why_nothing(budget, cost[allowed]))
    return tuple(_cells(grid, rows, steps, skills.noise)), left


def _why_nothing(budget: Budget, cost: Array) -> str:
    if budget.seconds is not None and np.nanmin(cost) > budget.seconds:
        shortest = f"the shortest cell takes about {np.nanmin(cost):.0f} s"
        return f"nothing to plan: the budget is {budget.seconds:g} s, but {shortest}"
    return "nothing to plan: all cells are known so well that a run would tell next to nothing"


def _can_be_run(grid: _Grid, say: Say) -> NDArray[np.bool_]:
    """Cells (M, D) of models and benchmarks that can be had, save those that only ever failed."""
    imported = grid.recipe.startswith("imported-")
    if imported:
        say("the scores were imported: cells that are run here have a recipe of their own")

    def usable(entries: Sequence[ModelEntry | DatasetEntry | None], what: str) -> list[bool]:
        good = [e is not None and (imported or e.revision != IMPORTED) for e in entries]
        if not all(good):
            say(f"left out: {good.count(False)} {what} that nobody knows a commit of")
        return good

    allowed = np.outer(
        usable(grid.model_entries, "models"), usable(grid.dataset_entries, "benchmarks")
    )
    for (i, j), seeds in grid.taken.items():
        if seeds and grid.runs[i, j] == 0:
            allowed[i, j] = False
    return np.asarray(allowed, dtype=bool)


def _of_kin(grid: _Grid, effects: Array, variances: Array, new: NDArray[np.int64]) -> Array:
    """What models without runs are believed to be worth (2, N): effects and their spreads."""
    from hf_select.recall.cold import cold_start

    entries = [
        entry or ModelEntry(name, IMPORTED, "")
        for name, entry in zip(grid.models, grid.model_entries, strict=True)
    ]
    kin = cold_start(entries[: grid.measured], effects, variances, [entries[i] for i in new])
    return np.stack([kin.mean, kin.spread])


def _cells(
    grid: _Grid, rows: NDArray[np.int64], steps: Sequence[Step], noise: Array
) -> list[PlannedCell]:
    """The steps in the words of a plan, with the seeds that are free."""
    planned: dict[int, int] = defaultdict(int)
    first_time = [s for s in steps if s.seeds == 0]
    total: dict[int, int] = defaultdict(int)
    for step in first_time:
        total[step.model] += 1
    taken = {cell: set(seeds) for cell, seeds in grid.taken.items()}
    cells = []
    for step in steps:
        i, j = int(rows[step.model]), step.dataset
        model, dataset = grid.model_entries[i], grid.dataset_entries[j]
        assert model is not None
        assert dataset is not None
        seeds = taken.setdefault((i, j), set())
        seed = next(n for n in range(len(seeds) + 1) if n not in seeds)
        seeds.add(seed)
        if step.seeds == 0:
            planned[step.model] += 1
        cells.append(
            PlannedCell(
                model=model.repo_id,
                revision=model.revision,
                dataset=dataset.repo_id,
                dataset_revision=dataset.revision,
                config=dataset.config,
                seed=seed,
                seconds=step.seconds,
                gain=step.gain,
                why=_why(
                    step,
                    planned[step.model],
                    total[step.model],
                    len(grid.datasets),
                    noise[j],
                    assumed=not np.isfinite(grid.noise).any(),
                ),
            )
        )
    return cells


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _why(step: Step, number: int, total: int, datasets: int, noise: float, *, assumed: bool) -> str:
    """A sentence. `assumed`: no cell of the record has a second seed to learn the noise from."""
    chance = f"near the top with a chance of {100 * step.chance:.0f} %"
    if step.seeds:
        word = ORDINALS[step.seeds] if step.seeds < len(ORDINALS) else f"{step.seeds + 1}th"
        differ = "are taken to differ" if assumed else "differ"
        return (
            f"{word} seed: {chance}, and this score is known to "
            f"±{100 * step.error:.1f} points, seeds {differ} by {100 * np.sqrt(noise):.1f}"
        )
    others = datasets - 1
    if step.measured >= FEW or others == 0:
        return f"gap: this score is known to ±{100 * step.error:.1f} points only; {chance}"
    share = "most" if step.tells > 0.5 else f"{100 * step.tells:.0f} %"
    what = (
        f"of what isn't known of the other {others} benchmarks"
        if others > 1
        else ("of what isn't known of the other benchmark")
    )
    return f"anchor {number} of {total}: tells {share} {what}; {chance}"


# -------------------------------------------------------------------------------- running it


@dataclass(frozen=True)
class PlanFile:
    """What a plan that was written down says: the task, the recipe's digest, the cells in order."""

    name: str
    task: str
    recipe: str
    cells: tuple[RunKey, ...]


def read_plan(path: str | Path) -> PlanFile:
    """What `hf-select plan --json` has written; `InputError` if it is none, or has no cells."""
    try:
        document: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        recipe = str(document["recipe"])
        cells = tuple(
            RunKey(
                model=str(cell["model"]),
                model_revision=str(cell["revision"]),
                dataset=str(cell["dataset"]),
                dataset_revision=str(cell["dataset_revision"]),
                config=str(cell["config"]),
                recipe=recipe,
                seed=int(cell["seed"]),
            )
            for cell in document["cells"]
        )
        found = PlanFile(str(path), check_task_name(str(document["task"])), recipe, cells)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a plan: {error!r}", hint="`hf-select plan ... --json > plan.json`"
        ) from error
    if not cells:
        raise InputError(f"{path} is a plan without cells")
    return found


def planned_work(
    planned: PlanFile,
    results: str | Path,
    catalog: str | Path | None,
    recipe: Recipe | None,
    task: str | None,
) -> tuple[Catalog, Recipe, list[int], list[str]]:
    """What a benchmark needs to run a plan: entries and places, recipe, seeds, ids of the cells.

    Raises `InputError` for another task or recipe than the plan's, and for a model or a dataset
    that neither the record nor the catalog knows at the plan's commit.
    """
    if task not in (None, planned.task):
        raise InputError(f"{planned.name} is a plan for {planned.task}, not for {task}")
    record = open_folder(results)
    used = recipe or record.recipe(planned.recipe)
    if used is None:  # of imported scores: nobody knows how those were trained
        used = Recipe()
    elif used.digest() != planned.recipe and not planned.recipe.startswith("imported-"):
        raise InputError(
            f"{planned.name} is a plan for recipe {planned.recipe}, not for {used.digest()}",
            hint="leave the recipe out: it is the record's",
        )
    given = Catalog() if catalog is None else Catalog.load(catalog)
    kept = find_catalog(None, results)
    models = {
        (e.repo_id, e.revision): e
        for e in (*given.models, *record.models(planned.task))
        if e.task == planned.task
    }
    datasets = {
        (e.repo_id, e.config, e.revision): e
        for e in (*given.datasets, *record.datasets(planned.task))
        if e.task == planned.task
    }
    chosen_models = {(key.model, key.model_revision): None for key in planned.cells}
    chosen_sets = {(key.dataset, key.config, key.dataset_revision): None for key in planned.cells}
    for wanted, known in ((chosen_models, models), (chosen_sets, datasets)):
        for one in wanted:
            if one not in known:
                raise InputError(
                    f"{one[0]} at {one[-1][:8]} is known neither to the record nor to the catalog",
                    hint="name the catalog that the plan was made with: --catalog",
                )
    chosen = Catalog(
        tuple(models[one] for one in chosen_models),
        tuple(datasets[one] for one in chosen_sets),
        (),
        {**kept.locations, **given.locations},
    )
    digest = used.digest()
    ids = [replace(key, recipe=digest).id for key in planned.cells]
    return chosen, used, sorted({key.seed for key in planned.cells}), ids
