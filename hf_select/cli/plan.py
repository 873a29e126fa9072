"""`hf-select plan`: which cells of a record to run next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count


@click.command(
    "plan",
    epilog="Example: hf-select plan --results demo --task image-classification --budget 90m",
)
@options.results
@options.task()
@click.option(
    "--budget", "-b", required=True, metavar="90m|20", help="Training time, or number of cells."
)
@click.option("--catalog", "-c", metavar="CATALOG", help="Also its models and data sets.")
@click.option("--models", metavar="A,B", help="Only cells of these models.")
@options.common
def command(
    results: str, task: str, budget: str, catalog: str | None, models: str | None, output: Output
) -> None:
    """Plan which cells of a record to run next: what tells most for its cost, and why.

    A new model is measured on a few benchmarks that tell of the others; models that may be near the
    top come before hopeless ones; a further seed is planned where it tells more than a new cell.
    The budget is a time, of predicted seconds one cell after the other, or a number of cells.
    """
    from hf_select import pipeline

    found = pipeline.plan(
        results,
        task,
        budget=budget,
        catalog=catalog,
        models=options.names(models),
        say=output.message,
    )
    document = {
        "task": task,
        "recipe": found.recipe,
        "budget": asdict(found.budget),
        "cells": [asdict(cell) for cell in found.cells],
        "seconds": found.seconds,
        "left": found.left,
        "record": asdict(found.record),
    }

    def show(out: Output) -> None:
        out.table(
            "",
            ("rank", "model", "dataset", "seed", "seconds", "gain", "why"),
            [
                (
                    rank,
                    cell.model,
                    f"{cell.dataset}/{cell.config}" if cell.config else cell.dataset,
                    cell.seed,
                    f"{cell.seconds:.0f}" if cell.seconds == cell.seconds else "-",
                    f"{cell.gain:.2f}",
                    cell.why,
                )
                for rank, cell in enumerate(found.cells, 1)
            ],
            wrap="why",
        )
        seconds = f", about {found.seconds:.0f} s" if found.seconds == found.seconds else ""
        left = f"{found.left:.0f} {'s' if found.budget.cells is None else 'cells'}"
        out.line(f"{count(len(found.cells), 'cell')}{seconds}; {left} of the budget left")
        where = f" --catalog {catalog}" if catalog else ""
        # the shipped record, and one on the Hub, can only be read
        own = results if Path(results).is_dir() else "DIR"
        out.line(
            "to run them: the same command with `--json > plan.json`, then `hf-select benchmark "
            f"--cells plan.json --results {own}{where}`"
            + ("" if own == results else ", DIR being a record of your own")
        )

    output.data(document, show)
