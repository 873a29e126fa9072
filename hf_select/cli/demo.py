"""`hf-select demo`: the whole way on what ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.select import Steps
from hf_select.cli.signals import stop_flag
from hf_select.errors import InputError


@click.command("demo", epilog="Example: hf-select demo --task text --out demo-text")
@click.option("--task", "-t", default="image", show_default=True, help="image, text or regression.")
@click.option(
    "--out", "-o", metavar="DIR", help="Folder for the winner; hf-select-demo-TASK if not given."
)
@click.option("--top", "-k", type=int, help="Models to recall; as many as needed if not given.")
@click.option("--policy", help="How candidates are dropped; trend if not given.")
@click.option("--seed", default=0, show_default=True, help="Seed of heads and data order.")
@click.option("--hub", is_flag=True, help="Crawl, publish, pull, select, push: on a local Hub.")
@options.common
def command(
    task: str,
    out: str | None,
    top: int | None,
    policy: str | None,
    seed: int,
    hub: bool,
    output: Output,
) -> None:
    """Recall, select and fine-tune a model for a small target, and compare with brute force.

    Models, record and targets ship with the package; nothing is downloaded. With --hub a small Hub
    on 127.0.0.1 holds them, and every step is a command that goes through the real client.
    """
    from hf_select.demo.run import run_demo

    if hub:
        if (policy, seed) != (None, 0):
            raise InputError("--hub goes with the default --policy and --seed only")
        _over_hub(task, Path(out or f"hf-select-demo-hub-{task}"), top, output)
        return
    folder = Path(out or f"hf-select-demo-{task}")
    with stop_flag(output) as should_stop:
        document = run_demo(
            task,
            folder,
            top=top,
            policy=policy,
            seed=seed,
            should_stop=should_stop,
            on_rung=Steps(output),
            say=output.message,
        )
    output.data(document, lambda o: _show(o, document, folder))


def _over_hub(task: str, folder: Path, top: int | None, output: Output) -> None:
    from hf_select.demo.over_hub import Step, run_hub_demo

    def tell(step: Step) -> None:
        output.message(f"[{step.who}] $ {step.command}", style="bold")
        for line in step.output.splitlines():
            output.message(f"    {line}")
        asked = ", ".join(f"{count} {kind}" for kind, count in sorted(step.requests.items()))
        output.message(
            f"    on the wire: {sum(step.requests.values())} requests ({asked}), "
            f"{step.bytes_down / 1e6:.2f} MB down, {step.bytes_up / 1e6:.2f} MB up, "
            f"{step.seconds:.1f} s\n",
            style="dim",
        )

    document = run_hub_demo(task, folder, top=top, on_step=tell)
    record = document["record"]
    output.data(
        document,
        lambda o: o.line(
            f"Of the record the selection read {record['bytes'] / 1e3:.0f} kB in "
            f"{record['requests']} requests; the rest were the models.\n"
            f"Winner: {document['winner']['model']}, test {document['metric']} "
            f"{document['winner']['test']:.4f}, regret {document['regret']:.2f} points; price of "
            f"choosing {document['price']:.2f}. All that was made is in {folder}"
        ),
    )


def _show(output: Output, document: dict[str, Any], folder: Path) -> None:
    from hf_select.cli.answer import show_selection

    show_selection(output, document, folder)
    oracle = document["oracle"]
    output.line(
        f"Recorded brute force: of all {oracle['models']} models {oracle['model']} is best with "
        f"{oracle['test']:.4f} (mean of {oracle['seeds']} seeds); the winner's regret is "
        f"{document['regret']:.2f} points"
    )
    output.line(f"The target's rows: {folder}-target")
