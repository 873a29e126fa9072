"""Making and looking at a record: benchmark, import, cluster, report, doctor."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import (
    verify_models,
)
from hf_select.environment import library_versions
from hf_select.errors import (
    DataError,
    InputError,
)
from hf_select.locations import (
    demo_folder,
    find_catalog,
    folders_as_catalog,
    keep_catalog,
)
from hf_select.pipeline.base import check_own_results, check_preset, check_task, open_results
from hf_select.records import (
    Clustering,
    ProxyRow,
    Recipe,
    RunRecord,
    check_task_name,
)
from hf_select.report.page import write_report
from hf_select.results.repo import ResultsRepo
from hf_select.selection.folder import DOCUMENT

if TYPE_CHECKING:
    from hf_select.training.benchmark import BenchmarkEvent, BenchmarkSummary


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
    on_plan: Callable[[int], None] | None = None,
    on_event: Callable[[BenchmarkEvent], None] | None = None,
) -> BenchmarkSummary:
    """Fine-tune every model of a catalog on every dataset of its task that the record lacks.

    Resumable: what is done is skipped, a cell that was cut off goes on from its checkpoint.
    `models` and `datasets` pick by name from the catalog; without one they are folders and files.
    `on_plan` is told how many cells there are to run, `on_event` what happens to each.
    """
    from hf_select.training.benchmark import check_arguments, missing_cells, run_benchmark

    check_own_results(results)
    check_arguments(
        seeds=seeds, jobs=jobs, timeout=timeout, shard=shard, checkpoint_every=checkpoint_every
    )
    if task is not None:
        check_task_name(task)
    if catalog is None:
        chosen = folders_as_catalog(models or (), datasets or (), task)
    else:
        chosen = find_catalog(catalog, "").only(task=task, models=models, datasets=datasets)
    if not chosen.models or not chosen.datasets:
        raise InputError(
            f"nothing to run: {len(chosen.models)} models, {len(chosen.datasets)} datasets chosen",
            hint="look at the catalog's tasks, and at --task, --models and --datasets",
        )
    verify_models(chosen)
    recipe = recipe or Recipe()
    repo = ResultsRepo.open_or_create(results)
    keep_catalog(chosen, results)
    if on_plan is not None:
        cells = missing_cells(chosen, repo, recipe, seeds, retry_failed=retry_failed, shard=shard)
        on_plan(len(cells))
    return run_benchmark(
        chosen,
        repo,
        recipe,
        seeds=seeds,
        jobs=jobs,
        timeout=timeout,
        shard=shard,
        retry_failed=retry_failed,
        checkpoint_every=checkpoint_every,
        on_event=on_event,
    )


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
) -> dict[str, Any]:
    """Add somebody else's table of results to a record; rows that can't be used are named."""
    from hf_select.results.foreign import import_table

    check_own_results(results)
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
    repo.compact()
    return {
        "file": str(file),
        "results": str(results),
        "task": task,
        "kind": kind,
        "rows": len(table.rows),
        "models": len(table.models),
        "datasets": len(table.datasets),
        "rejected": [{"row": bad.repo_id, "reason": bad.reason} for bad in table.rejected],
    }


def cluster(
    results: str | Path,
    task: str,
    *,
    preset: str | None = None,
    threshold: float | None = None,
    algorithm: str = "average",
    n_clusters: int | None = None,
    recipe: str | None = None,
) -> Clustering:
    """Group the models of a record by how they do on its benchmarks.

    `preset="paper"`: raw scores, mean of the 5 largest differences, average linkage.
    """
    from hf_select.clustering.algorithms import cluster_models

    raw = check_preset(preset)
    repo = open_results(results)
    check_task(repo, task)
    return cluster_models(
        repo.matrix(task, recipe=recipe),
        algorithm=algorithm,
        threshold=threshold,
        n_clusters=n_clusters,
        raw=raw,
    )


def report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a finished selection from its document."""
    document = Path(folder) / DOCUMENT
    if not document.is_file():
        raise InputError(
            f"{folder} holds no finished selection (no {DOCUMENT})",
            hint="make one with `hf-select select` or `hf-select demo`",
        )
    path = Path(out) if out else Path(folder) / "report.html"
    try:
        return write_report(json.loads(document.read_text(encoding="utf-8")), path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{document} is not the document of a selection: {error!r}") from error


def doctor() -> dict[str, Any]:
    """Versions, devices, disk, cache, and whether the shipped record is whole."""
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    problems = ResultsRepo.open(demo_folder() / "results").verify()
    return {
        "versions": library_versions(),
        "devices": devices or [f"cpu ({os.cpu_count()} cores)"],
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "cache": HF_HUB_CACHE,
        "demo": "whole" if not problems else "; ".join(problems),
    }
