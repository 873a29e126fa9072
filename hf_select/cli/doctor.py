"""`hf-select doctor`: what this machine and installation offer."""

from __future__ import annotations

from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("doctor", epilog="Example: hf-select doctor --json")
@options.common
def command(output: Output) -> None:
    """Show versions, devices, free disk, the model cache and the Hub; nothing is changed."""
    from hf_select import pipeline

    document = pipeline.doctor()

    def show(out: Output) -> None:
        rows = [(name, str(value)) for name, value in document["versions"].items()]
        rows += [(name, str(document[name])) for name in ("devices", "disk_free_gb", "cache")]
        rows += [("hub", _hub(document["hub"])), ("demo record", document["demo"])]
        out.table("", ["what", "value"], rows, wrap="value")

    output.data(document, show)


def _hub(state: dict[str, Any]) -> str:
    where = state["endpoint"]
    if state["offline"]:
        return f"{where}, offline mode (HF_HUB_OFFLINE)"
    if state["problem"]:
        return f"{where}: {state['problem']}"
    return f"{where}, reachable {'as ' + state['user'] if state['user'] else 'without a token'}"
