"""`hf-select select`: both phases."""

from __future__ import annotations

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
@options.limits
@options.spending
@options.launched
@options.tracking
@options.data
@options.recipe(several_rates=True)
@click.option("--seed", default=0, show_default=True, help="Seed of new heads and data order.")
@click.option(
    "--checkpoint-every", default=30.0, show_default=True, help="Seconds between checkpoints."
)
@click.option(
    "--choose",
    metavar="MODEL",
    help="Hand over this candidate instead of the winner: given with the command of a selection "
    "that is finished, it is trained to the end and takes the winner's place in OUT.",
)
@options.common
def command(target: str, results: str, out: str, output: Output, **kwargs: Any) -> None:
    """Find the model of the record to fine-tune on TARGET, and fine-tune it.

    OUT gets the fine-tuned winner with its model card, selection.json and report.html. What is
    expected to be spent is said first. Ctrl-C hands over the best candidate so far, in
    OUT/best-so-far; stopped or killed, the same command goes on where it was.
    """
    from hf_select import pipeline
    from hf_select.cli.answer import show_selection

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
            on_rung=Steps(output),
            say=output.message,
            **data_options,
            **kwargs,
        )
    document = selected.document
    output.data(document, lambda o: show_selection(o, document, selected.out))


class Steps:
    """Tells of every decision: what was just trained, who was dropped, what comes next. The
    reasons come at the end."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._reached: dict[str, float] = {}

    def __call__(self, rung: Rung, metric: str) -> None:
        """One decision."""
        new = [m for m, epoch in rung.reached.items() if epoch > self._reached.get(m, 0.0)]
        self._reached |= rung.reached
        if not rung.live:
            return
        said = f"{len(rung.live)} in the running"
        if rung.dropped:
            said = f"{len(rung.dropped)} of {len(rung.live)} dropped"
        self.output.message(f"{self._trained(new, rung, metric)}; {said}")
        if rung.dropped:
            self.output.message("  dropped: " + ", ".join(drop.model for drop in rung.dropped))
        if rung.note:
            self.output.message(f"  {rung.note}")

    @staticmethod
    def _trained(new: list[str], rung: Rung, metric: str) -> str:
        from hf_select.metrics import get_metric

        if len(new) == 1:
            epoch, score = rung.reached[new[0]], rung.val.get(new[0], float("nan"))
            return f"epoch {epoch:g} of {new[0]}: validation {metric} {score:.4f}"
        direction = get_metric(metric).direction
        seen = [score for model, score in rung.val.items() if model in rung.live]
        best = max(seen, key=lambda score: direction * score, default=None)
        shown = "nothing trained yet" if best is None else f"best validation {metric} {best:.4f}"
        return f"epoch {rung.epoch:g}: {shown}"
