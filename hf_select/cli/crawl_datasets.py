"""`hf-select crawl datasets`: benchmark datasets of the Hub into a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.signals import stop_flag
from hf_select.cli.words import count

if TYPE_CHECKING:
    from hf_select.hub.crawl.dataset_decide import Candidate
    from hf_select.hub.crawl.datasets import CrawledDatasets

NAMED = 10
"""Rejected datasets that are shown with their reasons."""


@click.command(
    "datasets",
    epilog="Example: hf-select crawl datasets --task text-classification --language en "
    "--max-rows 20000 --limit 6 --out catalog",
)
@options.task()
@options.crawling
@click.option("--min-rows", default=0, metavar="N", help="Rows at least, of all used splits.")
@click.option("--max-rows", default=0, metavar="N", help="Rows at most, of all used splits.")
@click.option("--max-classes", default=0, metavar="N", help="Classes at most.")
@click.option(
    "--limit",
    type=int,
    metavar="N",
    help="Datasets to accept, the most downloaded; 20, all of a list, 0 = all.",
)
@click.option(
    "--from-list",
    metavar="FILE",
    help="Only the datasets named there, an owner/name[/config] a line.",
)
@click.option(
    "--subset", "config", default="", metavar="NAME", help="Of those with several, this one."
)
@click.option("--text-column", metavar="NAME", help="Column with the text.")
@click.option("--text-pair-column", metavar="NAME", help="Column with the second text.")
@click.option("--image-column", metavar="NAME", help="Column with the image.")
@click.option("--label-column", metavar="NAME", help="Column to predict.")
@click.option("--restart", is_flag=True, help="Forget a crawl that was cut off.")
@click.option("--page-size", type=int, metavar="N", help="Datasets a page; 100.")
@options.common
def command(
    task: str,
    out: str,
    language: str | None,
    license_: str | None,
    output: Output,
    **kwargs: Any,
) -> None:
    """List the Hub's datasets for a task, read the rows of the best, and pin them in CATALOG.

    CATALOG gets catalog.json, the accepted datasets with their commits, columns and classes, and
    datasets.parquet: every dataset that was decided about, with the reason. One whose loading needs
    code is never loaded. Models and local datasets that the catalog holds stay. Stopped or killed,
    the same command goes on where it was.
    """
    from hf_select import pipeline
    from hf_select.hub.crawl.dataset_decide import REASONS

    with stop_flag(output) as should_stop:
        crawled = pipeline.crawl_datasets(
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
        "accepted": [_facts(found) for found in crawled.accepted],
        "rejected": dict(crawled.counts),
        "rejected_datasets": [
            {"name": found.name, "reason": found.reason, "detail": found.detail}
            for found in crawled.rejected
        ],
        "pages": crawled.pages,
        "resumed_after": crawled.resumed_after,
        "requests": crawled.requests,
    }
    output.data(document, lambda o: show(o, crawled, out, REASONS))


def _facts(found: Candidate) -> dict[str, Any]:
    entry = found.entry
    assert entry is not None  # it was accepted
    return {
        "name": found.name,
        "repo_id": found.repo_id,
        "config": found.config,
        "revision": entry.revision,
        "input_columns": list(entry.input_columns),
        "label_column": entry.label_column,
        "num_labels": entry.num_labels,
        "label_names": list(entry.label_names),
        "splits": dict(entry.splits),
        "metric": entry.metric,
        "baseline": entry.baseline,
        "license": entry.license,
        "downloads": found.downloads,
        "fingerprint": found.fingerprint,
    }


def show(output: Output, crawled: CrawledDatasets, out: str, reasons: dict[str, str]) -> None:
    """The accepted, the rejected with their reasons, and what it has cost."""
    if crawled.rejected:
        first = crawled.rejected[:NAMED]
        output.table(
            f"rejected ({len(crawled.rejected)})",
            ["dataset", "reason", "because"],
            [
                (f.name, f.reason, reasons[f.reason] + (f": {f.detail}" if f.detail else ""))
                for f in first
            ],
            wrap="because",
        )
        if len(crawled.rejected) > len(first):
            output.line(f"  ... and {len(crawled.rejected) - len(first)} more; all of them are in")
            output.line(f"  {out}/datasets.parquet")
        output.line()
    if crawled.accepted:
        rows = []
        for facts in map(_facts, crawled.accepted):
            classes = "numbers" if facts["num_labels"] == 1 else f"{facts['num_labels']} classes"
            rows.append(
                (
                    facts["name"],
                    facts["revision"][:8],
                    f"{', '.join(facts['input_columns'])} -> {facts['label_column']}",
                    classes,
                    sum(facts["splits"].values()),
                    facts["license"] or "-",
                )
            )
        output.table(
            "", ["dataset", "commit", "columns", "labels", "rows", "licence"], rows, wrap="columns"
        )
        output.line()
    output.line(
        f"{count(len(crawled.accepted), 'dataset')} accepted into {out}, of "
        f"{crawled.seen} that were decided about",
        style="bold",
    )
    output.line(f"{count(crawled.requests, 'request')} besides the data files")
    if not crawled.seen:
        output.line("Nothing came through the Hub's own filters; --list-all shows what they hide")
