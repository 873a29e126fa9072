"""`hf-select update`: the weekly round of a record on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import (
    count,
    flags_for,
    left_out_in_words,
    refusals_in_words,
    rows_in_words,
)


@click.command(
    "update",
    epilog="Example: hf-select update --catalog catalog --results my-record --to lab/results "
    "--task text-classification --max-cells 200",
)
@click.option("--catalog", "-c", required=True, metavar="CATALOG", help="Folder of the catalog.")
@options.results_folder
@click.option("--to", required=True, metavar="OWNER/NAME", help="Results dataset on the Hub.")
@options.task()
@click.option("--limit", type=int, metavar="N", help="Models to accept; as the last crawl did.")
@click.option("--max-cells", type=int, metavar="N", help="Fine-tunings at most; all missing ones.")
@click.option("--seeds", default="0", show_default=True, metavar="0,1,2", help="Seeds to run.")
@click.option("--jobs", "-j", type=int, help="Jobs at a time; one per device or core.")
@click.option("--timeout", type=float, help="Seconds after which a job is ended.")
@click.option("--create-pr", is_flag=True, help="Contribute by a pull request: needs no rights.")
@click.option("--private", is_flag=True, help="Make the dataset private, if it is made.")
@options.allow_local
@options.recipe()
@options.common
def command(results: str, to: str, seeds: str, output: Output, **kwargs: Any) -> None:
    """Pull, crawl what is new, benchmark it, publish, fold and cluster: for a weekly job.

    CATALOG is one that `hf-select crawl` made, with models and data sets. Each step finds out what
    is done already: stopped or killed anywhere, the same command goes on.
    """
    from hf_select import pipeline
    from hf_select.cli.live import watch
    from hf_select.cli.signals import stop_flag

    recipe = pipeline.choose_recipe(
        kwargs.pop("recipe_file"), options.take(kwargs, options.RECIPE_OPTIONS)
    )
    with stop_flag(output) as should_stop, watch(output) as (on_plan, on_event):
        done = pipeline.update(
            to,
            results=results,
            recipe=recipe,
            seeds=options.seeds(seeds),
            should_stop=should_stop,
            on_plan=on_plan,
            on_event=on_event,
            say=output.message,
            **kwargs,
        )
    document = {
        "repo": to,
        "results": results,
        "pulled": dict(done.pulled.rows) if done.pulled else None,
        "crawled": asdict(done.crawled) if done.crawled else None,
        "trained": asdict(done.trained),
        "published": dict(done.published.rows),
        "pull_request": done.published.pull_request,
        "refused": [str(refusal) for refusal in done.published.refused],
        "local": [one.name for one in done.published.local],
        "generation": done.compacted.generation if done.compacted else None,
        "drift": {task: asdict(drift) for task, drift in done.compacted.drift.items()}
        if done.compacted
        else {},
    }

    def show(out: Output) -> None:
        pulled = (rows_in_words(done.pulled.rows) if done.pulled else "") or "nothing new"
        out.line(f"pulled     {pulled}")
        if done.crawled:
            out.line(
                f"crawled    {count(done.crawled.accepted, 'model')} accepted of "
                f"{done.crawled.seen} seen, {done.crawled.changed} changed"
            )
        out.line(
            f"trained    {count(done.trained.done, 'cell')}, {done.trained.failed} failed, "
            f"{done.trained.skipped} there already"
        )
        out.line(f"published  {rows_in_words(done.published.rows) or 'nothing new'}")
        if done.compacted:
            out.line(f"{to} is at generation {done.compacted.generation}", style="bold")

    left = done.published
    for line in left_out_in_words(left.local):
        output.warning(line)
    for line in refusals_in_words(left.refused, "refused, not sent"):
        output.warning(line)
    for flag, what in flags_for(left.refused):
        output.warning(f"Hint: `hf-select publish {flag}` sends {what} too")
    output.data(document, show)
    if left.refused or left.local:
        raise click.exceptions.Exit(1)
