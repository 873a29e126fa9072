"""`inspect`: what a target is, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.api.frames import frame
from hf_select.api.targets import Target, given, target_of

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Inspection:
    """What was understood of a target. `splits`: rows of each; `trivial`: what the predictor that
    knows no input scores on validation and test. `notes` say what was inferred or made; `checks`
    what was looked for in the rows, as (check, level, text).
    """

    target: str
    task: str
    metric: str
    input_columns: tuple[str, ...]
    label_column: str
    num_labels: int
    label_names: tuple[str, ...]
    splits: Mapping[str, int]
    trivial: Mapping[str, float]
    fingerprint: str
    revision: str | None
    notes: tuple[str, ...]
    checks: tuple[tuple[str, str, str], ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """A row a fact: what, value."""
        facts = {
            "target": self.target,
            "task": self.task,
            "metric": self.metric,
            "inputs": ", ".join(self.input_columns),
            "label": self.label_column,
            "labels": self.num_labels,
            **{f"{split} rows": rows for split, rows in self.splits.items()},
        }
        return frame(({"what": what, "value": value} for what, value in facts.items()))


def inspect(
    target: Target,
    *,
    task: str | None = None,
    config: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    choice_columns: Sequence[str] | None = None,
    metric: str | None = None,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    name: str | None = None,
) -> Inspection:
    """Task, columns, splits and metric of a target, and what was inferred. Nothing is written.

    Raises:
        DataError: rows that can't be used; it names the column or the row.

    >>> inspect("reviews.csv", label_column="stars").task                 # doctest: +SKIP
    """
    reading = given(
        {
            "task": task,
            "config": config,
            "text_column": text_column,
            "text_pair_column": text_pair_column,
            "image_column": image_column,
            "label_column": label_column,
            "choice_columns": choice_columns,
            "metric": metric,
            "train": train,
            "validation": validation,
            "test": test,
            "encoding": encoding,
            "delimiter": delimiter,
            "header": header,
            "name": name,
        }
    )
    with target_of(target, reading) as data:
        return Inspection(
            target=data.name,
            task=data.task,
            metric=data.metric,
            input_columns=tuple(data.input_columns),
            label_column=data.label_column,
            num_labels=data.num_labels,
            label_names=tuple(data.label_names),
            splits={split: len(data.split(split)) for split in SPLITS},
            trivial={split: data.trivial(split) for split in ("validation", "test")},
            fingerprint=data.fingerprint,
            revision=data.revision or None,
            notes=tuple(data.notes),
            checks=tuple((check.check, check.level, check.told) for check in data.checks),
        )
