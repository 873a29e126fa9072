"""What a target is, and what there is to know of its rows, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.foreign_metrics import public_metric
from hf_select.pipeline.base import Say, as_target

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Inspected:
    """A target that was looked at, and the document that `inspect --json` prints of it."""

    target: TargetData
    document: dict[str, Any]


def inspect(target: str | Path | TargetData, **data_options: Any) -> Inspected:
    """What a target is: task, columns, splits, metric, classes, and the checks of its rows.

    `data_options` are those of `hf_select.tasks.load_target`. Nothing is trained, and nothing is
    written but the cache of a Hub data set. Raises what `load_target` raises.
    """
    from hf_select.tasks.checks import as_dicts

    data = as_target(target, data_options)
    document = {
        "target": data.name,
        "task": data.task,
        "metric": data.metric,
        "input_columns": list(data.input_columns),
        "label_column": data.label_column,
        "num_labels": data.num_labels,
        "label_names": list(data.label_names),
        "splits": {name: len(data.split(name)) for name in SPLITS},
        "classes": class_counts(data),
        "trivial": {name: data.trivial(name) for name in ("validation", "test")},
        "fingerprint": data.fingerprint,
        "revision": data.revision or None,
        "notes": list(data.notes),
        "checks": as_dicts(data.checks),
    }
    return Inspected(data, document)


def class_counts(data: TargetData) -> dict[str, dict[str, int]] | None:
    """Class -> split -> its rows (of words with tags: its words); None for a regression."""
    if not data.label_names:
        return None
    counts = {
        split: np.bincount(data.references(split), minlength=data.num_labels) for split in SPLITS
    }
    return {
        name: {split: int(rows[i]) for split, rows in counts.items()}
        for i, name in enumerate(data.label_names)
    }


def told_options(data_options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a card may tell them: of files, and of a metric's folder, the name only."""
    parts = {
        name: Path(part).name if Path(part).expanduser().exists() else str(part)
        for name, part in data_options.items()
        if name in SPLITS and part is not None
    }
    if data_options.get("metric"):
        parts["metric"] = public_metric(str(data_options["metric"]))
    return {**data_options, **parts}


def tell_target(data: TargetData, say: Say) -> None:
    """Say what was inferred of a target, and whatever is serious about its rows."""
    rows = ", ".join(f"{len(data.split(name)):,} {name}" for name in SPLITS)
    what = f"{data.num_labels} classes" if data.label_names else "a number"
    inputs = " and ".join(map(repr, data.input_columns))
    say(
        f"{data.name}: {data.task} by {data.metric}, {inputs} -> {data.label_column!r} ({what}); "
        f"rows: {rows}"
    )
    for note in data.notes:
        say(f"  - {note}")
    for check in data.checks:
        if check.level == "warning":
            say(f"  ! {check.told}")
