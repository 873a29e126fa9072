"""Which choice is the right one: labels as places, letters, names, keys or texts."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError
from hf_select.tasks.columns import is_text_feature
from hf_select.tasks.frames import is_a

NUMBERED = re.compile(
    r"(ending|choice|option|opt|answer|sol|solution|candidate|alternative|mc)[_ -]?([0-9]+|[a-z])",
    re.IGNORECASE,
)
LETTERS = string.ascii_uppercase
BY_KEY = "by its key in the row"
FROM_0, FROM_1 = "by its place, counted from 0", "by its place, counted from 1"
BY_COLUMN = "by the name of its column"
BY_TEXT = "by its text"


class Kind(Enum):
    """What a column of labels holds: class ids, numbers, or texts, which may be numbers too."""

    IDS = "ids"
    NUMBERS = "numbers"
    TEXTS = "texts"

    @classmethod
    def of(cls, feature: Any) -> Kind:
        """That of a column, by its feature."""
        if is_a(feature, "ClassLabel"):
            return cls.IDS
        return cls.TEXTS if is_text_feature(feature) else cls.NUMBERS


@dataclass(frozen=True)
class _Reading:
    """A way to read labels: the names of the places, and the place of each label, -1 for none."""

    how: str
    names: tuple[str, ...]
    places: Mapping[str, NDArray[np.int64]]

    @property
    def fits(self) -> int:
        """How many labels it can read."""
        return sum(int((found >= 0).sum()) for found in self.places.values())

    def same_as(self, other: _Reading) -> bool:
        """Whether both read every label alike."""
        return all(np.array_equal(self.places[s], other.places[s]) for s in self.places)


def read_answers(
    labels: Mapping[str, list[str]],
    choices: Mapping[str, list[list[str]]],
    keys: Mapping[str, list[list[str]] | None],
    *,
    choice_columns: Sequence[str],
    label: str,
    kind: Kind,
    where: Mapping[str, str],
    numbers: Mapping[str, NDArray[np.int64]],
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]], str]:
    """Names of the places, the right place of each row, and how the labels were read.

    A label is a place counted from 0 or from 1, a letter, a column's name, the row's own key, or
    the text of the right choice: whichever reading fits all rows. Where several do, a row's own
    key or a column's name counts, class ids are counted from 0, numbers that aren't text are
    places, and the columns' own numbers tell where they begin. Raises `DataError` where none fits,
    or where even so several do that differ.
    """
    tried = _readings(labels, choices, keys, choice_columns)
    total = sum(map(len, labels.values()))
    fitting = [reading for reading in tried if reading.fits == total]
    if not fitting:
        best = max(tried, key=lambda reading: reading.fits)
        split = next(split for split, found in best.places.items() if -1 in found)
        at = int(np.argmax(best.places[split] == -1))
        count = len(next(iter(choices.values()))[0])
        raise DataError(
            f"{where[split]}: {labels[split][at]!r} in row {numbers[split][at]}, column "
            f"{label!r}, names none of the {count} choices",
            hint="a label is a place (0, 1, ...), a letter or the right text; state the task if "
            f"{', '.join(map(repr, choice_columns))} holds no choices",
        )
    fitting = _decided(fitting, choice_columns, kind)
    other = next((one for one in fitting if not one.same_as(fitting[0])), None)
    if other is not None:
        raise _doubtful(fitting[0], other, labels, choices, label, where, numbers)
    read = fitting[0]
    return read.names, dict(read.places), f"label: the right choice {read.how}"


def _readings(
    labels: Mapping[str, list[str]],
    choices: Mapping[str, list[list[str]]],
    keys: Mapping[str, list[list[str]] | None],
    choice_columns: Sequence[str],
) -> list[_Reading]:
    """All ways to read labels, the usual ones first."""
    count = len(next(iter(choices.values()))[0])
    zero = tuple(str(i) for i in range(count))
    tried: list[_Reading] = []

    def by_row(how: str, rows: Mapping[str, list[list[str]]]) -> None:
        read = {s: np.array(_places(labels[s], rows[s]), dtype=np.int64) for s in labels}
        tried.append(_Reading(how, zero, read))

    def by_name(how: str, names: Sequence[str]) -> None:
        place = {name: i for i, name in enumerate(names)}
        read = {
            split: np.array([place.get(one, -1) for one in found], dtype=np.int64)
            for split, found in labels.items()
        }
        tried.append(_Reading(how, tuple(names), read))

    if all(keys.values()):
        by_row(BY_KEY, {split: found or [] for split, found in keys.items()})
    by_name(FROM_0, zero)
    by_name(FROM_1, [str(i + 1) for i in range(count)])
    by_name("by its letter", LETTERS[:count])
    by_name("by its letter", LETTERS[:count].lower())
    if len(choice_columns) > 1:
        by_name(BY_COLUMN, choice_columns)
    by_row(BY_TEXT, choices)
    return tried


def _decided(fitting: list[_Reading], choice_columns: Sequence[str], kind: Kind) -> list[_Reading]:
    """Those of several readings that conventions leave."""
    ways = {reading.how: reading for reading in fitting}
    if BY_KEY in ways:
        return [ways[BY_KEY]]
    if BY_COLUMN in ways:  # the letters may say the same, and then they are the names
        return [one for one in fitting if one.same_as(ways[BY_COLUMN])]
    if kind is Kind.IDS:
        return [ways[FROM_0]] if FROM_0 in ways else fitting
    if {FROM_0, FROM_1} & set(ways) and kind is Kind.NUMBERS:
        ways.pop(BY_TEXT, None)
    if {FROM_0, FROM_1} <= set(ways) and len(choice_columns) > 1:
        begin = NUMBERED.fullmatch(choice_columns[0])
        if begin is not None and begin[2] in "01":
            del ways[FROM_1 if begin[2] == "0" else FROM_0]
    return list(ways.values())


def _doubtful(
    one: _Reading,
    other: _Reading,
    labels: Mapping[str, list[str]],
    choices: Mapping[str, list[list[str]]],
    column: str,
    where: Mapping[str, str],
    numbers: Mapping[str, NDArray[np.int64]],
) -> DataError:
    """The error for labels that two readings fit, with the first row in which they differ."""
    split = next(s for s in labels if not np.array_equal(one.places[s], other.places[s]))
    at = int(np.argmax(one.places[split] != other.places[split]))
    label, row = labels[split][at], choices[split][at]
    said = " or ".join(f"{row[read.places[split][at]]!r} ({read.how})" for read in (one, other))
    plain = "places counted from 0" if label.isalpha() else "letters (A, B, ...)"
    return DataError(
        f"{where[split]}: {label!r} in row {numbers[split][at]}, column {column!r}, may be "
        f"{said}: both readings fit all rows",
        hint=f"write the labels as {plain}",
    )


def _places(labels: list[str], rows: list[list[str]]) -> list[int]:
    """Where each label stands in its row; -1 if it doesn't, or more than once."""
    return [
        row.index(one) if row.count(one) == 1 else -1 for one, row in zip(labels, rows, strict=True)
    ]
