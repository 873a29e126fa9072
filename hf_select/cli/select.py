"""`hf-select select`: both phases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.signals import stop_flag

if TYPE_CHECKING:
    from hf_select.records import Rung


@click.command("select", epilog="Example: hf-select select reviews.csv --results demo --out chosen")
@click.argument("target")
@options.results
@click.option("--out", "-o", required=True, metavar="OUT", help="Folder for the winner.")
@options.recalling
@click.option(
    "--policy",
    default="paper",
    show_default=True,
    help="brute-force, constant-epoch, halving, fractional-halving or paper.",
)
@options.data
@options.recipe
@click.option("--seed", default=0, show_default=True, help="Seed of new heads and data order.")
@click.option(
    "--checkpoint-every", default=30.0, show_default=True, help="Seconds between checkpoints."
)
@options.common
def command(target: str, results: str, out: str, output: Output, **kwargs: Any) -> None:
    """Find the model of the record to fine-tune on TARGET, and fine-tune it.

    OUT gets the fine-tuned winner, selection.json and report.html. Stopped or killed, the same
    command goes on where it was.
    """
    from hf_select import pipeline

    data_options = options.take(kwargs, options.DATA_OPTIONS)
    recipe = pipeline.choose_recipe(
        kwargs.pop("recipe_file"), options.take(kwargs, options.RECIPE_OPTIONS)
    )
    with stop_flag(output) as should_stop:
        selected = pipeline.select(
            target,
            results,
            out,
            recipe=recipe,
            should_stop=should_stop,
            on_rung=lambda rung, metric: show_rung(output, rung, metric),
            say=output.message,
            **data_options,
            **kwargs,
        )
    document = selected.document
    output.data(document, lambda o: show_selection(o, document, selected.out))


def show_rung(output: Output, rung: Rung, metric: str) -> None:
    """One line per decision, then a line per candidate that was dropped."""
    from hf_select.metrics import get_metric

    if not rung.live:
        return
    direction = get_metric(metric).direction
    seen = [score for model, score in rung.val.items() if model in rung.live]
    best = max(seen, key=lambda score: direction * score, default=float("nan"))
    shown = f"best validation {metric} {best:.4f}"
    if rung.dropped:
        output.message(
            f"epoch {rung.epoch:g}: {len(rung.dropped)} of {len(rung.live)} dropped, {shown}"
        )
    else:
        output.message(f"epoch {rung.epoch:g}: {len(rung.live)} in the running, {shown}")
    for drop in rung.dropped:
        output.message(f"  - {drop.model}: {drop.reason}")


def show_selection(output: Output, document: dict[str, Any], out: Path) -> None:
    """The short table, the winner, the price and what to do next."""
    winner, cost = document["winner"], document["cost"]
    output.table(
        f"{document['target']}: {document['task']}, {document['metric']} on the validation split",
        ["rank", "model", "val", "predicted", "stopped at", "why"],
        [
            (
                rank,
                row["model"],
                row["val"],
                row["predicted"],
                "-" if row["dropped_at"] is None else f"epoch {row['dropped_at']:g}",
                row["reason"],
            )
            for rank, row in enumerate(document["ranking"], 1)
        ],
        wrap="why",
    )
    output.line()
    output.line(
        f"Winner: {winner['model']}  test {document['metric']} {winner['test']:.4f}", style="bold"
    )
    output.line(
        f"Price of choosing: {document['price']:.2f} x the winner's own training "
        f"({cost['epochs']:.2f} epochs trained + {cost['proxy_epochs']:.2f} for the proxy by its "
        f"time; {cost['seconds']:.0f} s of training)"
    )
    for name, words in (
        ("brute_force_all", "Brute force over all models"),
        ("halving_all", "Successive halving over all models"),
    ):
        other = document["baselines"][name]
        output.line(f"{words}: {other['price']:.1f} x ({other['epochs']:.0f} epochs)")
    output.line(f"In {out}: the fine-tuned winner, selection.json, report.html")
