"""`hf-select inspect`: what a target is."""

from __future__ import annotations

from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("inspect", epilog="Example: hf-select inspect reviews.csv --label-column stars")
@click.argument("target")
@options.data
@options.common
def command(target: str, output: Output, **kwargs: Any) -> None:
    """Show what TARGET is before anything runs: task, columns, splits, metric, what was inferred.

    TARGET is a Hub dataset (OWNER/NAME[/CONFIG][@REVISION]), a CSV, TSV, JSONL, JSON, parquet or
    CoNLL file, a folder of such files named after splits, a `save_to_disk` folder, or a folder of
    images, by class or with a metadata.csv. Its rows are checked: copies, conflicts, classes,
    sizes. Nothing is written.
    """
    from hf_select import pipeline

    document = pipeline.inspect(target, **options.take(kwargs, options.DATA_OPTIONS)).document
    output.data(document, lambda out: show(out, document))


MARKS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING"}
MOST_CLASSES = 10


def show(out: Output, document: dict[str, Any]) -> None:
    """What it is, what was inferred or made, and what was checked."""
    classes = document["classes"]
    what = "a number" if classes is None else f"{document['num_labels']} classes"
    rows = ", ".join(f"{name} {count:,}" for name, count in document["splits"].items())
    out.table(
        "",
        ["what", "value"],
        [
            ("target", document["target"]),
            *([("commit", document["revision"])] if document["revision"] else []),
            ("task", document["task"]),
            ("inputs", ", ".join(document["input_columns"])),
            ("label", f"{document['label_column']} ({what})"),
            *([("classes", _classes(classes))] if classes else []),
            ("rows", rows),
            (
                "metric",
                f"{document['metric']} (trivial predictor: {document['trivial']['test']:.4f})",
            ),
        ],
        wrap="value",
    )
    if document["notes"]:
        out.line("\nInferred or made:")
        for note in document["notes"]:
            out.line(f"  - {note}")
    out.line("\nChecks:")
    for check in document["checks"]:
        style = "yellow" if check["level"] == "warning" else ""
        example = f"; for example {check['example']}" if check.get("example") else ""
        out.line(f"  {MARKS[check['level']]} {check['text']}{example}", style=style)


def _classes(classes: dict[str, dict[str, int]]) -> str:
    """The biggest classes and their rows in all."""
    rows = {name: sum(splits.values()) for name, splits in classes.items()}
    most = sorted(rows, key=lambda name: -rows[name])[:MOST_CLASSES]
    shown = ", ".join(f"{name} ({rows[name]:,})" for name in most)
    return f"{shown}, ..." if len(rows) > MOST_CLASSES else shown
