"""`hf-select benchmark`: run the missing cells of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count
from hf_select.errors import InputError

if TYPE_CHECKING:
    from hf_select.training.events import BenchmarkEvent
    from hf_select.training.scoring import ScoringSummary
    from hf_select.training.throughput import Totals


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
@click.option("--cells", metavar="FILE", help="Run these: what `hf-select plan --json` gave.")
@click.option("--shard", default="0/1", show_default=True, metavar="I/N", help="Part I of N.")
@click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="NAME",
    help="Where jobs run: local, ray, slurm or hf-jobs.",
)
@click.option(
    "--executor-option",
    "-x",
    "executor_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the executor's own, such as partition=gpu of slurm; an unknown name lists "
    "them.",
)
@options.launched
@options.tracking
@click.option("--retry-failed", is_flag=True, help="Run what failed again.")
@click.option("--proxies", metavar="A,B", help="Proxy scores to record; all that fit the task.")
@click.option("--no-proxies", is_flag=True, help="Record no proxy scores.")
@click.option(
    "--proxy-rows",
    type=int,
    metavar="N",
    help="Train rows a proxy sees at most; a quarter, 300 to 2,000, if not given.",
)
@click.option(
    "--checkpoint-every", default=60.0, show_default=True, help="Seconds between checkpoints."
)
@options.recipe()
@options.common
def command(
    catalog: str | None,
    results: str,
    task: str | None,
    models: str | None,
    datasets: str | None,
    seeds: str,
    shard: str,
    proxies: str | None,
    no_proxies: bool,
    executor_options: tuple[str, ...],
    output: Output,
    **kwargs: Any,
) -> None:
    """Fine-tune every model of a catalog on every dataset of its task that RESULTS lacks.

    --models and --datasets are names in the catalog, or folders, files and Hub ids (OWNER/NAME,
    pinned to the newest commit), which need --task. Without a catalog and --datasets the record's
    own benchmarks are taken; without a recipe the record's own is used.
    Each cell runs in a process of its own. What is done is skipped; a killed run goes on with
    the same command.

    Under `accelerate launch` the processes share the cells, or with --parallel data train every one
    together. --executor hands them to an engine past this machine.

    With --cells the cells of a plan are run, in its order; --catalog then says where their models
    and data lie, if the record has never run them.

    Afterwards every model is looked at on every dataset in one forward pass over train rows, and
    its proxy scores are recorded beside the runs: a recall learns from them what a proxy is worth.
    With --max-cells or --cells only where there is a fine-tuning.
    """
    from hf_select import pipeline
    from hf_select.cli.live import watch

    if proxies is not None and no_proxies:
        raise InputError("--proxies and --no-proxies exclude each other")
    recipe = pipeline.choose_recipe(
        kwargs.pop("recipe_file"), options.take(kwargs, options.RECIPE_OPTIONS)
    )
    scores: dict[str, dict[str, list[float]]] = {}

    def heard(event: BenchmarkEvent) -> None:
        on_event(event)
        if event.kind == "done":
            scores.setdefault(event.model, {}).setdefault(event.dataset, []).append(event.test)

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
            proxies=() if no_proxies else options.names(proxies),
            executor_options=options.pairs("--executor-option", executor_options),
            on_plan=on_plan,
            on_event=heard,
            say=output.message,
            **kwargs,
        )
    scored, speed = summary.proxies, summary.throughput
    document = {
        "results": results,
        "done": summary.done,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "failed_before": summary.failed_before,
        "undone": [
            {"model": e.model, "dataset": e.dataset, "seed": e.seed, "reason": e.reason}
            for e in summary.undone
        ],
        "seconds": summary.seconds,
        "throughput": None
        if speed is None
        else {
            "samples_per_second": speed.samples_per_second,
            "padding_share": speed.padding_share,
            "outside_share": speed.outside_share,
            **speed.to_dict(),
        },
        "proxies": None
        if scored is None
        else {
            "scored": scored.scored,
            "failed": scored.failed,
            "there": scored.there,
            "undone": [
                {"model": e.model, "dataset": e.dataset, "reason": e.reason} for e in scored.undone
            ],
            "seconds": scored.seconds,
            "pass_seconds": scored.pass_seconds,
            "scoring_seconds": scored.scoring_seconds,
        },
    }

    def show(out: Output) -> None:
        out.line(
            f"{count(summary.done, 'cell')} done, {summary.failed} failed, {summary.skipped} there "
            f"already; {summary.seconds:.0f} s. Record: {results}"
        )
        if summary.failed_before:
            out.line(
                f"{summary.failed_before} of those there already had failed: --retry-failed tries "
                "again what may end otherwise"
            )
        _show_scores(out, scores)
        if summary.throughput is not None:
            out.line(_speed(summary.throughput))
        if scored is not None:
            out.line(
                f"Proxy scores: {scored.scored} of {count(_pairs(scored), 'model x dataset pair')} "
                f"scored, {scored.failed} failed, {scored.there} were there already; "
                f"{scored.seconds:.0f} s"
            )

    output.data(document, show)
    undone = scored.undone if scored is not None else ()
    for event in (*summary.undone, *undone):
        what = "proxy scores" if event.seed is None else f"seed {event.seed}"
        output.message(
            f"undone: {event.model} on {event.dataset}, {what}: {event.reason}; the same command "
            "tries again"
        )
    if summary.undone or undone or (summary.failed and not summary.done):
        raise click.exceptions.Exit(1)


MOST_ROWS, MOST_COLUMNS = 30, 8
"""Models and data sets up to which the scores are shown."""


def _show_scores(out: Output, scores: dict[str, dict[str, list[float]]]) -> None:
    """What was trained just now: the mean test score of each model on each data set."""
    sets = sorted({name for row in scores.values() for name in row})
    if not scores or len(scores) > MOST_ROWS or len(sets) > MOST_COLUMNS:
        return
    rows = [
        [model, *(sum(row[name]) / len(row[name]) if name in row else None for name in sets)]
        for model, row in sorted(scores.items())
    ]
    out.table("Test scores of the cells that were run", ["model", *sets], rows)


def _speed(totals: Totals) -> str:
    """How fast the cells were trained, and what of their time went elsewhere."""
    return (
        f"{totals.samples_per_second:,.0f} samples/s in the steps of a job, "
        f"{100 * totals.padding_share:.0f} % padding; "
        f"{100 * totals.outside_share:.0f} % of the jobs' time outside of steps (loading, "
        "evaluation, waiting)"
    )


def _pairs(scored: ScoringSummary) -> int:
    return scored.scored + scored.failed + scored.there + len(scored.undone)


def _shard(text: str) -> tuple[int, int]:
    index, sep, count = text.partition("/")
    if not (sep and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"--shard: {text!r} is not of the form I/N with I from 0 to N-1")
    return int(index), int(count)
