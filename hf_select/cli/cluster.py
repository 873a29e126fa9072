"""`hf-select cluster`: groups of models that behave alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output, cell
from hf_select.cli.words import count


@click.command(
    "cluster",
    epilog="Example: hf-select cluster --results demo --task image-classification",
)
@options.results
@options.task()
@click.option("--preset", metavar="NAME", help="`paper`: its distance on raw scores.")
@click.option("--threshold", type=float, help="Distance at which clusters are cut.")
@click.option("--algorithm", help="average, kmeans or micro; by the number of models.")
@click.option("--n-clusters", type=int, help="Number of clusters, instead of a threshold.")
@options.common
def command(
    results: str,
    task: str,
    preset: str | None,
    threshold: float | None,
    algorithm: str | None,
    n_clusters: int | None,
    output: Output,
) -> None:
    """Cluster the models of a record by their scores on its benchmarks."""
    from hf_select import pipeline

    clustered = pipeline.cluster(
        results,
        task,
        preset=preset,
        threshold=threshold,
        algorithm=algorithm,
        n_clusters=n_clusters,
        say=output.message,
    )
    found = clustered.clustering
    clusters: list[dict[str, Any]] = []
    for cluster, members in found.groups.items():
        representative = found.representatives.get(cluster)
        clusters.append(
            {
                "id": cluster,
                "models": [found.models[i] for i in members],
                "representative": None if representative is None else found.models[representative],
            }
        )
    document = {
        "task": task,
        "algorithm": found.algorithm,
        "threshold": found.threshold,
        "silhouette": found.silhouette,
        "clusters": clusters,
        "drift": None if clustered.drift is None else asdict(clustered.drift),
        "record": asdict(clustered.record),
    }

    def show(out: Output) -> None:
        groups = [c for c in clusters if len(c["models"]) > 1]
        singles = [c["models"][0] for c in clusters if len(c["models"]) == 1]
        out.line(
            f"{count(len(groups), 'cluster')} of two or more, {count(len(singles), 'singleton')}; "
            f"cut at {cell(found.threshold)}, silhouette {cell(found.silhouette)}",
            style="bold",
        )
        for c in groups:
            out.line(f"\ncluster {c['id']}: {len(c['models'])} models")
            for model in c["models"]:
                mark = "* " if model == c["representative"] else "  "
                out.line(f"  {mark}{model}")
        if singles:
            out.line(f"\nsingletons: {', '.join(singles)}")
        out.line("\n* represents its cluster: the highest mean benchmark score")
        said = "" if clustered.drift is None else pipeline.drift_in_words(clustered.drift)
        if said:
            out.line(f"\nagainst the clusters that the record keeps: {said}")

    output.data(document, show)
