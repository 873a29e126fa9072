"""`hf-select demo`: the whole way on what ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.select import show_rung, show_selection
from hf_select.cli.signals import stop_flag


@click.command("demo", epilog="Example: hf-select demo --task text --out demo-text")
@click.option("--task", "-t", default="image", show_default=True, help="image or text.")
@click.option(
    "--out", "-o", metavar="DIR", help="Folder for the winner; hf-select-demo-TASK if not given."
)
@click.option("--top", "-k", default=10, show_default=True, help="Models to recall.")
@click.option("--policy", default="paper", show_default=True, help="How candidates are dropped.")
@click.option("--seed", default=0, show_default=True, help="Seed of heads and data order.")
@options.common
def command(task: str, out: str | None, top: int, policy: str, seed: int, output: Output) -> None:
    """Recall, select and fine-tune a model for a small target, and compare with brute force.

    Models, record and targets ship with the package; nothing is downloaded.
    """
    from hf_select.demo.run import run_demo

    folder = Path(out or f"hf-select-demo-{task}")
    with stop_flag(output) as should_stop:
        document = run_demo(
            task,
            folder,
            top=top,
            policy=policy,
            seed=seed,
            should_stop=should_stop,
            on_rung=lambda rung, metric: show_rung(output, rung, metric),
            say=output.message,
        )
    output.data(document, lambda o: _show(o, document, folder))


def _show(output: Output, document: dict[str, Any], folder: Path) -> None:
    show_selection(output, document, folder)
    oracle = document["oracle"]
    output.line(
        f"Recorded brute force: of all {oracle['models']} models {oracle['model']} is best with "
        f"{oracle['test']:.4f} (mean of {oracle['seeds']} seeds); the winner's regret is "
        f"{document['regret']:.2f} points"
    )
    output.line(f"The target's rows: {folder}-target")
