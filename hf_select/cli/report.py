"""`hf-select report`: the HTML page of a selection."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("report", epilog="Example: hf-select report chosen --out why.html")
@click.argument("folder", metavar="DIR")
@click.option("--out", "-o", metavar="FILE", help="Where to; DIR/report.html if not given.")
@options.common
def command(folder: str, out: str | None, output: Output) -> None:
    """Write the page of a finished selection in DIR again, from its selection.json."""
    from hf_select import pipeline

    path = pipeline.report(folder, out)
    output.data({"report": str(path)}, lambda o: o.line(str(path)))
