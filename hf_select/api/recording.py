"""Making a record and looking at it, from Python: benchmark, cluster, replay, report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.api.frames import frame
from hf_select.api.listening import Progress, heard
from hf_select.api.selecting import recipe_of
from hf_select.api.selection import Selection
from hf_select.api.targets import Results
from hf_select.api.targets import where as place
from hf_select.records import Recipe

if TYPE_CHECKING:
    import pandas as pd

    from hf_select.training.benchmark import BenchmarkSummary


@dataclass(frozen=True)
class Cluster:
    """Models that behave alike. `representative` is the best of them on average, None of one."""

    id: int
    models: tuple[str, ...]
    representative: str | None


@dataclass(frozen=True)
class Clusters:
    """The models of a record in groups, the biggest first, singletons too."""

    task: str
    algorithm: str
    threshold: float
    silhouette: float
    clusters: tuple[Cluster, ...]

    def to_pandas(self) -> pd.DataFrame:
        """A row a model: its cluster, and whether it represents it."""
        return frame(
            {"model": model, "cluster": c.id, "representative": model == c.representative}
            for c in self.clusters
            for model in c.models
        )


@dataclass(frozen=True, eq=False)
class Replay:
    """Policies or recall methods on the record, each benchmark left out in turn.

    `summary`: name -> its numbers over all `targets`, where it is target -> name -> numbers.
    Regret is in points.
    """

    phase: str
    summary: Mapping[str, Mapping[str, Any]]
    targets: Mapping[str, Mapping[str, Mapping[str, Any]]]
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_pandas(self) -> pd.DataFrame:
        """A row a policy or method, a column a number of its summary."""
        kind = "policy" if self.phase == "selection" else "method"
        return frame(
            (
                {kind: name, **{k: v for k, v in row.items() if isinstance(v, int | float)}}
                for name, row in self.summary.items()
            ),
            index=kind,
        )

    def targets_to_pandas(self) -> pd.DataFrame:
        """A row a benchmark and policy or method."""
        kind = "policy" if self.phase == "selection" else "method"
        return frame(
            {
                "target": target,
                kind: name,
                **{k: v for k, v in row.items() if isinstance(v, int | float | type(None))},
            }
            for target, rows in self.targets.items()
            for name, row in rows.items()
        )


def cluster(
    results: Results,
    task: str,
    *,
    preset: str | None = None,
    threshold: float | None = None,
    algorithm: str | None = None,
    n_clusters: int | None = None,
    progress: Progress = False,
) -> Clusters:
    """Group the models of a record by how they do on its benchmarks.

    `preset="paper"`: its distance on raw scores; `threshold`: the distance at which clusters are
    cut, or `n_clusters` instead; `algorithm`: average, kmeans or micro, by the number of models.

    >>> cluster("demo", "text-classification").clusters[0].representative   # doctest: +SKIP
    """
    from hf_select import pipeline

    with heard(progress) as say:
        found = pipeline.cluster(
            place(results),
            task,
            preset=preset,
            threshold=threshold,
            algorithm=algorithm,
            n_clusters=n_clusters,
            say=say,
        ).clustering
    best = {c: found.models[i] for c, i in found.representatives.items()}
    groups = {c: tuple(found.models[i] for i in members) for c, members in found.groups.items()}
    return Clusters(
        task=task,
        algorithm=found.algorithm,
        threshold=found.threshold,
        silhouette=found.silhouette,
        clusters=tuple(Cluster(c, models, best.get(c)) for c, models in groups.items()),
    )


def replay(
    results: Results,
    task: str,
    *,
    phase: str = "selection",
    policies: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    candidates: str = "all",
    cost: str = "epochs",
    top: Sequence[int] = (1, 3, 5, 10),
    preset: str | None = None,
    progress: Progress = False,
) -> Replay:
    """Compare policies (`phase="selection"`) or recall methods (`"recall"`) on recorded curves.

    Every benchmark is the target once, and hidden. `candidates`: `"all"`, or `"recall"` for what
    the hybrid recalls; `cost`: `"epochs"` or `"seconds"`; `top`: numbers of recalled models.

    >>> replay("demo", "text-classification", policies=["trend"])         # doctest: +SKIP
    """
    from hf_select import pipeline

    with heard(progress) as say:
        document = pipeline.replay(
            place(results),
            task,
            phase=phase,
            policies=policies,
            methods=methods,
            candidates=candidates,
            cost=cost,
            top=top,
            preset=preset,
            say=say,
        )
    return Replay(document["phase"], document["summary"], document["targets"], document)


def benchmark(
    results: str | Path,
    catalog: str | Path | None = None,
    *,
    task: str | None = None,
    models: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    seeds: Sequence[int] = (0,),
    recipe: Recipe | str | Path | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    max_cells: int | None = None,
    cells: str | Path | None = None,
    retry_failed: bool = False,
    proxies: Sequence[str] | None = None,
    proxy_rows: int | None = None,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
    executor: str = "local",
    executor_options: Mapping[str, str] | None = None,
    parallel: str | None = None,
    processes: int | None = None,
    log_with: str | None = None,
    progress: Progress = False,
) -> BenchmarkSummary:
    """Fine-tune every model on every benchmark that the record `results`, a folder, lacks.

    `models` and `datasets` are names in the catalog, folders, files or Hub ids; with neither
    catalog nor `datasets` the record's own benchmarks are taken, and without a `recipe` its own
    recipe. `proxies`: proxy scores to record, () for none. What is done is skipped, and what was
    cut off goes on. Each cell runs in a process of its own, so in a script call this below
    `if __name__ == "__main__":`.

    Returns what was done, with counts of cells that are `done`, `failed` and `skipped`.

    >>> benchmark("my-record", task="text-classification",
    ...     models=["bert-mini"], datasets=["reviews.csv"])               # doctest: +SKIP
    """
    from hf_select import pipeline

    made, _ = recipe_of(recipe)
    with heard(progress) as say:
        return pipeline.benchmark(
            results,
            catalog,
            recipe=made,
            task=task,
            models=models,
            datasets=datasets,
            seeds=seeds,
            jobs=jobs,
            timeout=timeout,
            shard=shard,
            retry_failed=retry_failed,
            checkpoint_every=checkpoint_every,
            max_cells=max_cells,
            cells=cells,
            proxies=proxies,
            proxy_rows=proxy_rows,
            executor=executor,
            executor_options=executor_options,
            parallel=parallel,
            processes=processes,
            log_with=log_with,
            say=say,
        )


def report(
    where: Selection | Results,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    formats: Sequence[str] = ("svg",),
    task: str | None = None,
    replay: bool | None = None,
    progress: Progress = False,
) -> Path:
    """Write the page of a finished selection again, or that of a record; returns where it is.

    `where`: what `select` gave, or its folder; or a record. `out`: another file than the
    selection's `report.html`, or than `<name>-report.html` here for a record. `figures`: a folder
    for the figures as files, of the `formats` `"svg"` and `"png"`. Of a record: `task` picks one,
    and `replay` says whether price and regret of policies are replayed (None: where it is quick).

    >>> report("demo", "record.html", task="text-classification")         # doctest: +SKIP
    """
    from hf_select import pipeline

    folder = where.folder if isinstance(where, Selection) else place(where)
    with heard(progress) as say:
        return pipeline.report(
            folder, out, figures=figures, formats=formats, task=task, replay=replay, say=say
        ).page
