"""`hf-select import`: other people's results."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.errors import InputError


@click.command(
    "import",
    epilog="Example: hf-select import glue.csv --results my-record --task text-classification "
    "--metric accuracy",
)
@click.argument("file", type=click.Path())
@options.results
@options.task()
@click.option("--metric", help="Metric of the scores; the task's own if not given.")
@click.option("--kind", default="runs", show_default=True, help="runs or proxies.")
@click.option(
    "--format", "format_", metavar="FORMAT", help="long, wide or paper; seen from the header."
)
@click.option(
    "--datasets-file", metavar="FILE", help="Names of the datasets, for the paper's own tables."
)
@click.option("--map", "mapping", metavar="model=COL,dataset=COL,score=COL", help="Column names.")
@options.common
def command(
    file: str,
    results: str,
    task: str,
    metric: str | None,
    kind: str,
    format_: str | None,
    datasets_file: str | None,
    mapping: str | None,
    output: Output,
) -> None:
    """Add the CSV table FILE to a record.

    Wide: first column `model`, one column per dataset. Long: model,dataset,score and optionally
    seed,epoch,val,seconds,recipe; rows with an epoch form a learning curve. Proxies:
    model,dataset,proxy,value and optionally seconds. Imported rows keep their origin and are
    never mixed with measured ones.
    """
    from hf_select import pipeline

    document = pipeline.import_results(
        file,
        results,
        task=task,
        metric=metric,
        kind=kind,
        format=format_,
        mapping=_parse(mapping),
        datasets_file=datasets_file,
        say=output.message,
    )

    def show(out: Output) -> None:
        out.line(
            f"{document['rows']} {kind} of {document['models']} models on "
            f"{document['datasets']} datasets imported into {results}"
        )

    for bad in document["rejected"]:
        output.message(f"not used: {bad['row']}: {bad['reason']}")
    output.data(document, show)


def _parse(mapping: str | None) -> dict[str, str]:
    pairs = {}
    for part in (mapping or "").split(","):
        if not part:
            continue
        ours, sep, theirs = part.partition("=")
        if not sep or not ours or not theirs:
            raise InputError(f"--map: {part!r} is not of the form name=column")
        pairs[ours.strip()] = theirs.strip()
    return pairs
