"""`hf-select doctor`: what this machine and installation offer."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("doctor", epilog="Example: hf-select doctor --json")
@options.common
def command(output: Output) -> None:
    """Show versions, devices, free disk and the model cache; nothing is changed."""
    from hf_select import pipeline

    document = pipeline.doctor()

    def show(out: Output) -> None:
        rows = [(name, str(value)) for name, value in document["versions"].items()]
        rows += [(name, str(document[name])) for name in ("devices", "disk_free_gb", "cache")]
        rows += [("demo record", document["demo"])]
        out.table("", ["what", "value"], rows, wrap="value")

    output.data(document, show)
