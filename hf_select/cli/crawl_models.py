"""`hf-select crawl models`: candidate models of the Hub into a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.signals import stop_flag
from hf_select.cli.words import count, size

if TYPE_CHECKING:
    from hf_select.hub.crawl.models import Crawled

FEW = 5
"""Names that a line holds."""


@click.command(
    "models",
    epilog="Example: hf-select crawl models --task text-classification --language en "
    "--license apache-2.0,mit --max-params 200M --limit 50 --out catalog",
)
@options.task()
@options.crawling
@click.option("--library", default="", metavar="NAME", help="Such as transformers.")
@click.option(
    "--trained-dataset", default="", metavar="ID", help="A data set that it was trained on."
)
@click.option("--min-params", default="0", metavar="N", help="Parameters at least, such as 10M.")
@click.option("--max-params", default="0", metavar="N", help="Parameters at most, such as 200M.")
@click.option("--modified-after", default="", metavar="DATE", help="Such as 2026-05-01.")
@click.option(
    "--limit",
    type=int,
    metavar="N",
    help="Models to accept, the most downloaded; 200, of a list all. 0 = all.",
)
@click.option(
    "--max-per-base",
    type=int,
    metavar="N",
    help="Models of one base and training set to accept; 3, of a list all. 0 = all.",
)
@click.option("--from-list", metavar="FILE", help="Only the models named there, one id a line.")
@click.option(
    "--source",
    default="api",
    show_default=True,
    help="api: the Hub's listing; hub-stats: a daily table of all models.",
)
@click.option(
    "--since-last",
    is_flag=True,
    help="Only what was modified since the last crawl, which asked for the same.",
)
@click.option("--restart", is_flag=True, help="Forget the crawl in CATALOG and begin anew.")
@click.option("--page-size", type=int, metavar="N", help="Models a page; 1000.")
@click.option("--allow-gated", is_flag=True, help="Take models whose conditions you accepted.")
@options.common
def command(
    task: str,
    out: str,
    language: str | None,
    license_: str | None,
    output: Output,
    **kwargs: Any,
) -> None:
    """List the Hub's models that can be fine-tuned for a task, and pin the best in CATALOG.

    CATALOG gets catalog.json, the accepted models with their commits, and candidates.parquet:
    every model that was seen, accepted or rejected, with the reason. Data sets and local models
    that the catalog holds stay. Stopped or killed, the same command goes on where it was.
    """
    from hf_select import pipeline
    from hf_select.hub.crawl.decide import REASONS

    with stop_flag(output) as should_stop:
        crawled = pipeline.crawl_models(
            out,
            task,
            languages=options.names(language) or (),
            licenses=options.names(license_) or (),
            should_stop=should_stop,
            say=output.message,
            **kwargs,
        )
    document = {
        "catalog": out,
        "task": task,
        "seen": crawled.seen,
        "accepted": crawled.accepted,
        "rejected": dict(crawled.rejected),
        "flags": dict(crawled.flags),
        "changed": crawled.changed,
        "pages": crawled.pages,
        "resumed_after": crawled.resumed_after,
        "requests": crawled.requests,
        "bytes_read": crawled.bytes_read,
    }
    output.data(document, lambda o: show(o, crawled, out, REASONS))


def show(output: Output, crawled: Crawled, out: str, reasons: dict[str, str]) -> None:
    """Reasons and counts, the accepted, and what it has cost."""
    if crawled.rejected:
        output.table(
            "",
            ["rejected", "reason", "because"],
            [(number, code, reasons[code]) for code, number in crawled.rejected.items()],
            wrap="because",
        )
        output.line()
    output.line(
        f"{crawled.accepted} of {count(crawled.seen, 'model')} accepted into {out}", style="bold"
    )
    for flag, names in crawled.flags.items():
        few = ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
        output.line(f"{len(names)} flagged {flag} ({few}): see `detail` in candidates.parquet")
    if crawled.changed:
        output.line(f"{crawled.changed} changed since the last crawl; their new commits are pinned")
    output.line(f"{count(crawled.requests, 'request')}, {size(crawled.bytes_read)} of files")
