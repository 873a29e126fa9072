"""`hf-select report`: the HTML page of a selection, or of a record."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command(
    "report",
    epilog="Examples: hf-select report chosen --out why.html; hf-select report demo; "
    "hf-select report owner/results --task text-classification --figures figures --png",
)
@click.argument("where", metavar="DIR|RESULTS")
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    help="Where to; DIR/report.html of a selection, NAME-report.html here of a record.",
)
@click.option("--figures", metavar="FOLDER", help="The figures as SVG files, too.")
@click.option("--png", is_flag=True, help="And as PNG files; needs hf-select[figures].")
@options.task(required=False)
@click.option(
    "--replay/--no-replay",
    default=None,
    help="Of a record: price and regret of the policies on all benchmarks, or not at all. Without "
    "either, on a few benchmarks where that takes seconds.",
)
@options.common
def command(
    where: str,
    out: str | None,
    figures: str | None,
    png: bool,
    task: str | None,
    replay: bool | None,
    output: Output,
) -> None:
    """Write the page of the finished selection in DIR again, or that of a record.

    RESULTS is a folder with a record, OWNER/NAME[@REVISION] on the Hub, or `demo`. The page is one
    file that loads nothing: put it anywhere, or let `hf-select publish --space` put it on the Hub.
    """
    from hf_select import pipeline
    from hf_select.errors import InputError

    if png and figures is None:
        raise InputError("--png says how figures are written", hint="--figures FOLDER says where")
    done = pipeline.report(
        where,
        out,
        figures=figures,
        formats=("svg", "png") if png else ("svg",),
        task=task,
        replay=replay,
        say=output.message,
    )
    document = {"report": str(done.page), "figures": [str(path) for path in done.figures]}

    def show(o: Output) -> None:
        o.line(str(done.page))
        for path in done.figures:
            o.line(str(path))

    output.data(document, show)
