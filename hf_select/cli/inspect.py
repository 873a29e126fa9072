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
    """Show the task, columns, splits and metric of TARGET, and what was inferred.

    TARGET is a Hub dataset (OWNER/NAME[/CONFIG][@REVISION]), a CSV, TSV, JSONL or parquet file, a
    `save_to_disk` folder or a folder of images. Nothing is written.
    """
    from hf_select import pipeline

    data = pipeline.as_target(target, options.take(kwargs, options.DATA_OPTIONS))
    splits = {name: len(getattr(data, name)) for name in ("train", "validation", "test")}
    document = {
        "target": data.name,
        "task": data.task,
        "metric": data.metric,
        "input_columns": list(data.input_columns),
        "label_column": data.label_column,
        "num_labels": data.num_labels,
        "label_names": list(data.label_names),
        "splits": splits,
        "trivial": {name: data.trivial(name) for name in ("validation", "test")},
        "fingerprint": data.fingerprint,
        "revision": data.revision or None,
        "notes": list(data.notes),
    }

    what = "a number" if data.num_labels == 1 else f"{data.num_labels} classes"

    def show(out: Output) -> None:
        out.table(
            "",
            ["what", "value"],
            [
                ("target", data.name),
                *([("commit", data.revision)] if data.revision else []),
                ("task", data.task),
                ("inputs", ", ".join(data.input_columns)),
                ("label", f"{data.label_column} ({what})"),
                ("rows", ", ".join(f"{name} {rows}" for name, rows in splits.items())),
                ("metric", f"{data.metric} (trivial predictor: {data.trivial('test'):.4f})"),
            ],
            wrap="value",
        )
        for note in data.notes:
            out.line(f"  - {note}")

    output.data(document, show)
