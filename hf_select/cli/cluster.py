"""`hf-select cluster`: groups of models that behave alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output, cell
from hf_select.cli.words import count

if TYPE_CHECKING:
    from hf_select.clustering.growth import Assignment


@click.command(
    "cluster",
    epilog="Example: hf-select cluster --results demo --task image-classification",
)
@options.results
@options.task()
@click.option("--preset", metavar="NAME", help="`paper`: its distance on raw scores.")
@click.option("--threshold", type=float, help="Distance at which clusters are cut.")
@click.option("--algorithm", help="average, kmeans or micro; by the number of models.")
@click.option(
    "--assign",
    is_flag=True,
    help="Keep the record's clusters, and place the models measured since in them.",
)
@click.option("--n-clusters", type=int, help="Number of clusters, instead of a threshold.")
@options.common
def command(
    results: str,
    task: str,
    preset: str | None,
    threshold: float | None,
    algorithm: str | None,
    n_clusters: int | None,
    assign: bool,
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
        assign=assign,
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
    assigned = None if clustered.assigned is None else _assigned(clustered.assigned)
    document = {
        "task": task,
        "algorithm": found.algorithm,
        "threshold": found.threshold,
        "silhouette": found.silhouette,
        "clusters": clusters,
        "drift": None if clustered.drift is None else asdict(clustered.drift),
        "assigned": assigned,
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
        for row in assigned or ():
            where = "alone" if row["cluster"] is None else f"cluster {row['cluster']}"
            out.line(
                f"\n{row['model']}: {where}, probability {cell(row['probability'])}, odds "
                f"{cell(row['odds'])} to 1, by {count(row['measured'], 'benchmark')}"
            )
        if assigned == []:
            out.line("\nno model was measured since these clusters were made")
        said = "" if clustered.drift is None else pipeline.drift_in_words(clustered.drift)
        if said:
            out.line(f"\nagainst the clusters that the record keeps: {said}")

    output.data(document, show)


def _assigned(found: Assignment) -> list[dict[str, Any]]:
    """Where each new model belongs; `cluster` is None for one of its own."""
    rows = []
    for i, model in enumerate(found.models):
        cluster = int(found.cluster[i])
        column = found.clusters.tolist().index(cluster) if cluster >= 0 else None
        chance = found.alone[i] if column is None else found.probabilities[i, column]
        rows.append(
            {
                "model": model,
                "cluster": None if column is None else cluster,
                "probability": float(chance),
                "odds": float(found.odds[i]),
                "measured": int(found.measured[i]),
            }
        )
    return rows
