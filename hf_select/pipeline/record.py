"""Making and looking at a record: benchmark, import, cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog, verify_models
from hf_select.errors import (
    DataError,
    InputError,
    RecordError,
    UnknownNameError,
)
from hf_select.launched import check_launch, check_precision, is_main_process, launched_processes
from hf_select.locations import (
    HUB_ID,
    check_cache,
    fetch,
    find_catalog,
    folders_as_catalog,
    keep_catalog,
)
from hf_select.pipeline import job_checks, remote
from hf_select.pipeline.base import (
    Grouping,
    RecordFacts,
    Say,
    check_preset,
    check_task,
    check_writable,
    open_results,
    record_facts,
    record_recipe,
    silent,
    tell_left_out,
    tell_reading,
)
from hf_select.pipeline.plan import planned_work, read_plan
from hf_select.progress import stage
from hf_select.records import (
    Clustering,
    ProxyRow,
    Recipe,
    RunRecord,
    check_task_name,
)
from hf_select.results.manifest import MANIFEST
from hf_select.results.matrix import dataset_name
from hf_select.results.repo import ResultsRepo

if TYPE_CHECKING:
    from hf_select.clustering.growth import Assignment, Drift
    from hf_select.training.benchmark import BenchmarkSummary
    from hf_select.training.events import BenchmarkEvent, OnEvent


def benchmark(
    results: str | Path,
    catalog: str | Path | None = None,
    *,
    recipe: Recipe | None = None,
    task: str | None = None,
    models: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    seeds: Sequence[int] = (0,),
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    checkpoint_every: float = 60.0,
    max_cells: int | None = None,
    cells: str | Path | None = None,
    proxies: Sequence[str] | None = None,
    proxy_rows: int | None = None,
    executor: str = "local",
    executor_options: Mapping[str, str] | None = None,
    parallel: str | None = None,
    processes: int | None = None,
    log_with: str | None = None,
    on_plan: Callable[[int], None] | None = None,
    on_event: OnEvent | None = None,
    say: Say = silent,
) -> BenchmarkSummary:
    """Fine-tune every model of a catalog on every dataset of its task that the record lacks.

    Resumable: what is done is skipped, a cell that was cut off goes on from its checkpoint.
    `models` and `datasets` pick by name from the catalog; what it doesn't know are folders and
    files, or Hub ids, which are pinned to their newest commit. With neither catalog nor `datasets`
    the record's benchmarks are taken. Without a recipe it is the one that most runs of the record
    used, so that rows can be compared. At most `max_cells` are trained. `cells` is what `hf-select
    plan --json` wrote: its cells are run, in its order, with the record's recipe; names and seeds
    are then the plan's, and the catalog says where models and data lie. A cell that needs the Hub
    when it can't be reached is left undone and named in the summary; it isn't the model's failure.
    `executor`: where jobs run, a row of `training.executors.engine.EXECUTORS`, with its own
    options, or `hf-jobs` (see `pipeline/remote.py`), of which `jobs` are those at once. Under
    `accelerate launch` or torchrun `parallel` says what the processes do: "jobs" (the default),
    each runs cells of its own, or "data", all train one model together; `processes` is how many
    there must be. `log_with`: a row of `training.tracking.TRACKERS`, which gets every curve as it
    grows. `on_plan` is told how many cells there are to run, `on_event` what happens to each.

    Then the proxy scores that the record lacks: each model is looked at once, in one forward pass a
    dataset over at most `proxy_rows` train rows (`features.look_rows` if not given). `proxies`
    names them; None = all
    that take the kind of target, () = none. With `max_cells` or `cells` only pairs of model and
    dataset that have been fine-tuned, so that what a call may take stays bounded.
    """
    from hf_select.tasks.scoring import check_allowed, scorer
    from hf_select.training.benchmark import common, gather, run_benchmark
    from hf_select.training.cells import check_arguments, check_timeout, missing_cells
    from hf_select.training.executors.engine import Engine
    from hf_select.training.scoring import check_scoring, run_scoring
    from hf_select.training.tracking import check_tracker

    parallel = check_launch(parallel, processes)
    engine = Engine(executor, executor_options or {})
    if executor != job_checks.NAME:
        engine.check()
    check_tracker(log_with)
    if executor != "local" and launched_processes() > 1:
        raise InputError(
            f"the executor {executor} starts processes itself",
            hint="leave out `accelerate launch`, or --executor",
        )
    check_writable(results)
    if max_cells is not None and max_cells < 1:
        raise InputError(f"max_cells is {max_cells}, but must be at least 1")
    check_arguments(
        seeds=seeds, jobs=jobs, timeout=timeout, shard=shard, checkpoint_every=checkpoint_every
    )
    if task is not None:
        check_task_name(task)
    only = None
    if cells is not None:
        if models is not None or datasets is not None:
            raise InputError("a plan names its models and datasets itself")
        planned = read_plan(cells)
        chosen, recipe, seeds, only = planned_work(planned, results, catalog, recipe, task)
    elif catalog is None:
        chosen = folders_as_catalog(models or (), datasets or (), task)
        if task is not None and datasets is None:
            chosen = _on_benchmarks_of(results, chosen, task, say)
    else:
        chosen = _from_catalog(Catalog.load(catalog), task, models, datasets)
    if not chosen.models or not chosen.datasets:
        raise InputError(
            f"nothing to run: {len(chosen.models)} models, {len(chosen.datasets)} datasets chosen",
            hint="name some with --models and --datasets"
            if catalog is None
            else "look at the catalog's tasks, and at --task, --models and --datasets",
        )
    check_scoring(proxies, proxy_rows, {entry.task for entry in chosen.datasets})
    for entry in chosen.datasets:
        check_allowed(entry.metric, entry.repo_id)
        scorer(entry.metric)  # one that can't be loaded is found before anything is trained
    if launched_processes() > 1:
        gather(parallel)
        chosen = common(chosen)  # the Hub may have moved on between two processes' questions
    if executor == "local" and recipe is not None:
        check_precision(recipe.precision)
    verify_models(chosen)
    if executor == job_checks.NAME:
        summary = _benchmark_on_jobs(
            engine.options,
            chosen,
            results,
            recipe,
            seeds=seeds,
            only=only,
            max_cells=max_cells,
            shard=shard,
            retry_failed=retry_failed,
            timeout=timeout,
            proxies=proxies,
            proxy_rows=proxy_rows,
            jobs=jobs,
            log_with=log_with,
            on_plan=on_plan,
            on_event=on_event,
            say=say,
        )
        ResultsRepo.open(results).compact(cluster=Grouping())
        return summary
    if executor == "local":
        check_cache(chosen)
    repo = ResultsRepo.open_or_create(results)
    recipe = recipe or _usual_recipe(repo, chosen, say)
    keep_catalog(chosen, results)
    missing = missing_cells(
        chosen, repo, recipe, seeds, retry_failed=retry_failed, shard=shard, only=only
    )[:max_cells]
    for limit in (timeout, engine.seconds_a_job):
        if limit is not None:
            check_timeout(missing, _comparable(repo, executor), limit)
    if on_plan is not None:
        on_plan(len(missing))
    with _tracked(log_with, results, recipe, on_event, say) as heard:
        summary = run_benchmark(
            chosen,
            repo,
            recipe,
            seeds=seeds,
            jobs=jobs,
            timeout=timeout,
            shard=shard,
            retry_failed=retry_failed,
            checkpoint_every=checkpoint_every,
            max_cells=max_cells,
            only=only,
            fetch=fetch,
            engine=engine,
            parallel=parallel,
            on_event=heard,
        )
    if proxies is None or proxies:
        scored = run_scoring(
            chosen,
            repo,
            proxies,
            rows=proxy_rows,
            max_length=recipe.max_length,
            jobs=jobs,
            timeout=timeout,
            shard=shard,
            retry_failed=retry_failed,
            only_measured=max_cells is not None or only is not None,
            without={(event.model, event.dataset) for event in summary.undone},
            fetch=fetch,
            engine=engine,
            parallel=parallel,
            on_plan=lambda pairs: say(f"proxy scores: {pairs} to look at") if pairs else None,
            on_event=on_event,
        )
        summary = replace(summary, proxies=scored)
    if is_main_process():
        repo.compact(cluster=Grouping())
    return summary


def _comparable(repo: ResultsRepo, executor: str) -> list[RunRecord]:
    """The runs whose seconds tell of those to come: on this machine those of its like."""
    from hf_select.training.machine import hardware

    runs = repo.runs()
    return runs if executor != "local" else [run for run in runs if run.hardware == hardware()]


@contextmanager
def _tracked(
    tracker: str | None,
    results: str | Path,
    recipe: Recipe,
    on_event: OnEvent | None,
    say: Say,
) -> Iterator[OnEvent | None]:
    """The listener, with the tracker before it if there is to be one; the first process has it."""
    if tracker is None or not is_main_process():
        yield on_event
        return
    from hf_select.training.tracking import Tracking

    if tracker == "tensorboard":
        say(f"curves: tensorboard --logdir {Path(results) / '.work' / 'tracking'}")
    with closing(Tracking(tracker, Path(results) / ".work" / "tracking", say)) as tracking:

        def both(event: BenchmarkEvent) -> None:
            tracking.follow(event, recipe)
            if on_event is not None:
                on_event(event)

        yield both


def _benchmark_on_jobs(
    options: Mapping[str, str],
    chosen: Catalog,
    results: str | Path,
    recipe: Recipe | None,
    *,
    log_with: str | None,
    on_event: OnEvent | None,
    say: Say,
    **kwargs: Any,
) -> BenchmarkSummary:
    """The same as jobs on the Hub: all is checked before the folder is touched."""
    checked = job_checks.check_jobs(options, chosen, recipe=recipe)
    if (Path(results) / MANIFEST).is_file():
        there = ResultsRepo.open(results)
        job_checks.check_time(
            checked, there, recipe or _usual_recipe(there, chosen, silent), **kwargs
        )
    running = remote.find_jobs(checked)
    remote.pull_first(checked, results)
    repo = ResultsRepo.open_or_create(results)
    if recipe is None:
        recipe = _usual_recipe(repo, chosen, say)
        job_checks.check_recipe(
            checked.hub, checked.options, recipe, {e.task for e in chosen.models}
        )
    keep_catalog(chosen, results)
    with _tracked(log_with, results, recipe, on_event, say) as heard:
        return remote.run_on_jobs(checked, repo, recipe, running, on_event=heard, say=say, **kwargs)


def _from_catalog(
    catalog: Catalog,
    task: str | None,
    models: Iterable[str] | None,
    datasets: Iterable[str] | None,
) -> Catalog:
    """What the catalog has of the names, and the folders, files and Hub ids among them beside it.

    A name that is neither raises `UnknownNameError`, with the catalog's names.
    """
    catalog = catalog.only(task=task)
    own_models, other_models = _split(models, lambda name: catalog.only(models=[name]))
    own_sets, other_sets = _split(datasets, lambda name: catalog.only(datasets=[name]))
    chosen = catalog.only(models=own_models, datasets=own_sets)
    if not other_models and not other_sets:
        return chosen
    others = folders_as_catalog(other_models, other_sets, task)
    return Catalog(
        (*chosen.models, *others.models),
        (*chosen.datasets, *others.datasets),
        (),
        {**chosen.locations, **others.locations},
    )


def _split(
    names: Iterable[str] | None, find: Callable[[str], Catalog]
) -> tuple[list[str] | None, list[str]]:
    """The names that the catalog knows (None: all of it), and the others that can be anything."""
    if names is None:
        return None, []
    own, others = [], []
    for name in names:
        try:
            find(name)
        except UnknownNameError:
            # An id without an owner is more likely a slip in one of the catalog's names.
            on_hub = "/" in name and HUB_ID.fullmatch(name)
            if not Path(name).exists() and not on_hub:
                raise
            others.append(name)
        else:
            own.append(name)
    return own, others


def _on_benchmarks_of(results: str | Path, models: Catalog, task: str, say: Say) -> Catalog:
    """The models with the record's own benchmarks; those that nobody can load are left out."""
    from hf_select.locations import is_on_hub

    if not Path(results).is_dir():
        return models
    kept = find_catalog(None, results)
    usable = []
    for entry in ResultsRepo.open(results).datasets(task):
        if kept.location(entry.repo_id) is not None or is_on_hub(entry):
            usable.append(entry)
        else:
            say(f"left out: {entry.repo_id} is neither here nor on the Hub at {entry.revision[:8]}")
    places = {e.repo_id: kept.location(e.repo_id) for e in usable}
    locations = {name: place for name, place in places.items() if place is not None}
    return replace(models, datasets=tuple(usable), locations={**locations, **models.locations})


def _usual_recipe(repo: ResultsRepo, chosen: Catalog, say: Say) -> Recipe:
    """The recipe that most runs of the task were made with; the default in a new record."""
    tasks = {entry.task for entry in chosen.models}
    recipe = record_recipe(repo, tasks.pop()) if len(tasks) == 1 else Recipe()
    if recipe != Recipe():
        say(f"with the record's recipe {recipe.digest()}: {recipe.epochs} epochs")
    return recipe


@stage("importing")
def import_results(
    file: str | Path,
    results: str | Path,
    *,
    task: str,
    metric: str | None = None,
    kind: str = "runs",
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    datasets_file: str | Path | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Add somebody else's table of results to a record; rows that can't be used are named."""
    from hf_select.results.foreign import import_table

    check_writable(results)
    check_task_name(task)
    table = import_table(
        file,
        task=task,
        metric=metric,
        kind=kind,
        format=format,
        mapping=dict(mapping or {}),
        datasets_file=datasets_file,
    )
    if not table.rows:
        reason = table.rejected[0].reason if table.rejected else "the file has no rows"
        raise DataError(f"{file}: no row can be used; the first: {reason}")
    repo = ResultsRepo.open_or_create(results)
    repo.append(
        [row for row in table.rows if isinstance(row, RunRecord)],
        proxies=[row for row in table.rows if isinstance(row, ProxyRow)],
        models=table.models,
        datasets=table.datasets,
    )
    repo.compact(cluster=Grouping())
    if repo.recipes(task):
        tell_left_out(repo, repo.matrix(task), say)
    cells = [
        (row.key.model, dataset_name(row.key.dataset, row.key.config))
        if isinstance(row, RunRecord)
        else (row.model, dataset_name(row.dataset, row.config))
        for row in table.rows
    ]
    return {
        "file": str(file),
        "results": str(results),
        "task": task,
        "kind": kind,
        "rows": len(table.rows),
        "models": len({model for model, _ in cells}),
        "datasets": len({dataset for _, dataset in cells}),
        "rejected": [{"row": bad.repo_id, "reason": bad.reason} for bad in table.rejected],
    }


@dataclass(frozen=True, eq=False)
class Clustered:
    """Clusters, and the record that they are of.

    `drift`: how they differ from those that the record keeps, whose ids they bear; None if it keeps
    none.
    """

    clustering: Clustering
    record: RecordFacts
    drift: Drift | None = None
    assigned: Assignment | None = None


@stage("grouping the models")
def cluster(
    results: str | Path,
    task: str,
    *,
    preset: str | None = None,
    threshold: float | None = None,
    algorithm: str | None = None,
    n_clusters: int | None = None,
    recipe: str | None = None,
    assign: bool = False,
    say: Say = silent,
) -> Clustered:
    """Group the models of a record by how they do on its benchmarks.

    `preset="paper"`: raw scores, mean of the 5 largest differences, average linkage. Clusters that
    continue one of those that the record keeps bear its id. Without an `algorithm` it is average
    linkage, or what stands in for it where the models are too many.

    `assign=True` groups nothing anew: the record's own clusters stay, and the models that were
    measured since they were made are placed in them, with posterior odds.
    """
    from hf_select.clustering.algorithms import cluster_models
    from hf_select.clustering.growth import assign_new, stable_ids

    raw = check_preset(preset)
    record = open_results(results)
    check_task(record, task)
    if assign:
        if raw or (threshold, algorithm, n_clusters, recipe) != (None, None, None, None):
            raise InputError("assign keeps the record's clusters, so there is nothing to set")
        before = record.last_clustering(task)
        if before is None:
            raise RecordError(
                f"{record.name} keeps no clusters of {task} models",
                hint="`hf-select compact` makes them",
            )
        placed = assign_new(record.matrix(task), before)
        tell_reading(record, say)
        return Clustered(before, record_facts(record), assigned=placed)
    matrix = record.matrix(task, recipe=recipe)
    tell_left_out(record, matrix, say)
    found = cluster_models(
        matrix,
        algorithm=algorithm,
        threshold=threshold,
        n_clusters=n_clusters,
        raw=raw,
    )
    kept = record.last_clustering(task)
    stable = None if kept is None else stable_ids(found, kept)
    tell_reading(record, say)
    if stable is None:
        return Clustered(found, record_facts(record))
    return Clustered(stable.clustering, record_facts(record), stable.drift)
