"""`hf-select replay`: policies and recall methods on the record, no training at all."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command(
    "replay",
    epilog="Example: hf-select replay --results demo --task image-classification "
    "--phase selection --candidates recall:10",
)
@options.results
@options.task()
@click.option("--phase", default="selection", show_default=True, help="recall or selection.")
@click.option("--policies", metavar="A,B", help="Policies to compare; all if not given.")
@click.option("--methods", metavar="A,B", help="Recall methods to compare; all if not given.")
@click.option(
    "--candidates",
    default="all",
    show_default=True,
    help="all, recall:K (the paper's K), or recall:K:METHOD.",
)
@click.option("--cost", default="epochs", show_default=True, help="epochs or seconds.")
@click.option("--preset", metavar="NAME", help="`paper`: raw scores.")
@options.common
def command(
    results: str,
    task: str,
    phase: str,
    policies: str | None,
    methods: str | None,
    candidates: str,
    cost: str,
    preset: str | None,
    output: Output,
) -> None:
    """Replay every benchmark of a record as if it were the target, leaving it out of the record.

    Regret is in points, judged on test scores of seeds that the policy didn't see.
    """
    from hf_select import pipeline

    document = pipeline.replay(
        results,
        task,
        phase=phase,
        policies=options.names(policies),
        methods=options.names(methods),
        candidates=candidates,
        cost=cost,
        preset=preset,
        say=output.message,
    )

    def show(out: Output) -> None:
        summary = document["summary"]
        columns = dict.fromkeys(
            column
            for row in summary.values()
            for column, value in row.items()
            if isinstance(value, int | float)
        )
        rows = [(name, *(row.get(c) for c in columns)) for name, row in summary.items()]
        out.table(
            f"{phase} replayed on {len(document['targets'])} benchmarks of {results} ({task})",
            ["policy" if phase == "selection" else "method", *columns],
            rows,
        )

    output.data(document, show)
