"""`hf-select benchmark`: run the missing cells of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count
from hf_select.errors import InputError

if TYPE_CHECKING:
    pass


@click.command(
    "benchmark",
    epilog="Example: hf-select benchmark --catalog zoo/catalog.json --results my-record "
    "--task image-classification --seeds 0,1,2",
)
@click.option("--catalog", "-c", metavar="CATALOG", help="Catalog file or folder.")
@options.results_folder
@options.task(required=False)
@click.option("--models", metavar="A,B", help="Names in the catalog, or folders, or Hub ids.")
@click.option("--datasets", metavar="A,B", help="Names in the catalog, or files, or Hub ids.")
@click.option("--seeds", default="0", show_default=True, metavar="0,1,2", help="Seeds to run.")
@click.option("--jobs", "-j", type=int, help="Jobs at a time; one per device or core.")
@click.option("--timeout", type=float, help="Seconds after which a job is ended.")
@click.option("--max-cells", type=int, metavar="N", help="Fine-tunings at most.")
@click.option("--shard", default="0/1", show_default=True, metavar="I/N", help="Part I of N.")
@click.option("--retry-failed", is_flag=True, help="Run failed cells again.")
@click.option(
    "--checkpoint-every", default=60.0, show_default=True, help="Seconds between checkpoints."
)
@options.recipe
@options.common
def command(
    catalog: str | None,
    results: str,
    task: str | None,
    models: str | None,
    datasets: str | None,
    seeds: str,
    shard: str,
    output: Output,
    **kwargs: Any,
) -> None:
    """Fine-tune every model of a catalog on every dataset of its task that RESULTS lacks.

    --models and --datasets are names in the catalog, or folders, files and Hub ids (OWNER/NAME,
    pinned to the newest commit), which need --task. Without a catalog and --datasets the record's
    own benchmarks are taken; without a recipe the record's own is used.
    Each cell runs in a process of its own. What is done is skipped; a killed run goes on with
    the same command.
    """
    from hf_select import pipeline
    from hf_select.cli.live import watch

    recipe = pipeline.choose_recipe(
        kwargs.pop("recipe_file"), options.take(kwargs, options.RECIPE_OPTIONS)
    )
    with watch(output) as (on_plan, on_event):
        summary = pipeline.benchmark(
            results,
            catalog,
            recipe=recipe,
            task=task,
            models=options.names(models),
            datasets=options.names(datasets),
            seeds=options.seeds(seeds),
            shard=_shard(shard),
            on_plan=on_plan,
            on_event=on_event,
            say=output.message,
            **kwargs,
        )
    document = {
        "results": results,
        "done": summary.done,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "undone": [
            {"model": e.model, "dataset": e.dataset, "seed": e.seed, "reason": e.reason}
            for e in summary.undone
        ],
        "seconds": summary.seconds,
    }
    output.data(
        document,
        lambda o: o.line(
            f"{count(summary.done, 'cell')} done, {summary.failed} failed, {summary.skipped} were "
            f"there already; {summary.seconds:.0f} s. Record: {results}"
        ),
    )
    for event in summary.undone:
        output.message(
            f"undone: {event.model} on {event.dataset}, seed {event.seed}: {event.reason}; the "
            "same command tries again"
        )
    if summary.undone or (summary.failed and not summary.done):
        raise click.exceptions.Exit(1)


def _shard(text: str) -> tuple[int, int]:
    index, sep, count = text.partition("/")
    if not (sep and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"--shard: {text!r} is not of the form I/N with I from 0 to N-1")
    return int(index), int(count)
