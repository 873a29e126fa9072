"""`hf-select recall`: phase one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("recall", epilog="Example: hf-select recall reviews.csv --results demo --top 5")
@click.argument("target")
@options.results
@options.recalling
@options.data
@click.option("--seed", default=0, show_default=True, help="Seed of the row sample.")
@options.common
def command(target: str, results: str, output: Output, **kwargs: Any) -> None:
    """Rank the models of a record for TARGET and show the evidence; nothing is trained."""
    from hf_select import pipeline

    data_options = options.take(kwargs, options.DATA_OPTIONS)
    recalled = pipeline.recall(target, results, say=output.message, **data_options, **kwargs)
    found = recalled.result
    document = {
        "target": found.target,
        "task": found.task,
        "method": found.method,
        "candidates": [
            {
                "model": c.model,
                "revision": c.revision,
                "predicted": c.predicted,
                "spread": c.spread,
                "prior": c.prior,
                "score": c.score,
                "proxies": dict(c.proxies),
                "cluster": c.cluster,
                "reason": c.reason,
            }
            for c in found.candidates
        ],
        "novel": None,  # not looked into: no claim either way
        "nearest_benchmarks": list(found.nearest_benchmarks),
        "skipped": [{"model": bad.repo_id, "reason": bad.reason} for bad in found.skipped],
        "seconds": found.seconds,
        "record": asdict(recalled.record),
    }

    def show(out: Output) -> None:
        out.table(
            f"{len(found.candidates)} of {len(recalled.matrix.models)} models recalled for "
            f"{found.target} in {found.seconds:.1f} s",
            ["rank", "model", "cluster", "prior", "score", "why"],
            [
                (rank, c.model, c.cluster, c.prior, c.score, c.reason)
                for rank, c in enumerate(found.candidates, 1)
            ],
            wrap="why",
        )

    for bad in found.skipped:
        output.warning(f"skipped {bad.repo_id}: {bad.reason}")
    output.data(document, show)
