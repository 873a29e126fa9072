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
@options.spending
@options.data
@options.recipe(several_rates=True)
@click.option("--seed", default=0, show_default=True, help="Seed of new heads and data order.")
@click.option(
    "--checkpoint-every", default=30.0, show_default=True, help="Seconds between checkpoints."
)
@options.common
def command(target: str, results: str, out: str, output: Output, **kwargs: Any) -> None:
    """Find the model of the record to fine-tune on TARGET, and fine-tune it.

    OUT gets the fine-tuned winner, selection.json and report.html. What is expected to be spent is
    said first. Ctrl-C hands over the best candidate so far, in OUT/best-so-far; stopped or killed,
    the same command goes on where it was.
    """
    from hf_select import pipeline

    data_options = options.take(kwargs, options.DATA_OPTIONS)
    rates = options.rates(kwargs.pop("learning_rate"))
    recipe, listed = pipeline.choose_recipes(
        kwargs.pop("recipe_file"), options.take(kwargs, options.RECIPE_OPTIONS[1:])
    )
    with stop_flag(output) as should_stop:
        selected = pipeline.select(
            target,
            results,
            out,
            recipe=recipe,
            learning_rates=rates or listed,
            should_stop=should_stop,
            on_rung=lambda rung, metric: show_rung(output, rung, metric),
            say=output.message,
            **data_options,
            **kwargs,
        )
    document = selected.document
    output.data(document, lambda o: show_selection(o, document, selected.out))


def show_rung(output: Output, rung: Rung, metric: str) -> None:
    """A decision in a few lines: who was dropped, and what comes next. Reasons come at the end."""
    from hf_select.metrics import get_metric

    if not rung.live:
        return
    direction = get_metric(metric).direction
    seen = [score for model, score in rung.val.items() if model in rung.live]
    best = max(seen, key=lambda score: direction * score, default=None)
    shown = "nothing trained yet" if best is None else f"best validation {metric} {best:.4f}"
    if rung.dropped:
        said = f"{len(rung.dropped)} of {len(rung.live)} dropped, {shown}"
    else:
        said = f"{len(rung.live)} in the running, {shown}"
    output.message(f"epoch {rung.epoch:g}: {said}")
    if rung.dropped:
        output.message("  dropped: " + ", ".join(drop.model for drop in rung.dropped))
    if rung.note:
        output.message(f"  {rung.note}")


def _predicted(row: dict[str, Any]) -> Any:
    """The forecast of a final score, with its interval where there is one."""
    interval = row["interval"]
    if row["predicted"] is None or not interval:
        return row["predicted"]
    return f"{row['predicted']:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"


def _chance(chance: float | None) -> str:
    return "-" if chance is None else f"{100 * chance:.0f} %"


def show_selection(output: Output, document: dict[str, Any], out: Path) -> None:
    """The short table, the winner, the price and what to do next."""
    winner, cost = document["winner"], document["cost"]
    forecast = any(row["p_best"] is not None for row in document["ranking"])
    output.table(
        f"{document['target']}: {document['task']}, {document['metric']} on the validation split",
        ["rank", "model", "val", "predicted", *(["P(best)"] if forecast else []), "trained", "why"],
        [
            (
                rank,
                row["candidate"],
                row["val"],
                _predicted(row),
                *([_chance(row["p_best"])] if forecast else []),
                f"{row['epochs']:g} epochs" if row["epochs"] else "-",
                row["reason"],
            )
            for rank, row in enumerate(document["ranking"], 1)
        ],
        wrap="why",
    )
    if document["ended"]:
        output.line(f"\nThe budget ended the selection: {document['ended']}.")
    output.line()
    output.line(
        f"Winner: {winner['candidate']}  test {document['metric']} {winner['test']:.4f}",
        style="bold",
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
