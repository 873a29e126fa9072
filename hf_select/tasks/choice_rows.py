"""Questions with choices out of columns, checked: lists, a column a choice, ARC's and SWAG's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError
from hf_select.tasks.choice_labels import LETTERS, NUMBERED, Kind, read_answers
from hf_select.tasks.columns import is_text_feature
from hf_select.tasks.frames import Split, row_numbers
from hf_select.tasks.rows import (
    Rows,
    check_named,
    hashes_of,
    is_list_of_text,
    list_of,
    listed,
    table_of,
    whole,
)

if TYPE_CHECKING:
    import datasets

TASK = "multiple-choice"
LISTS = ("choices", "endings", "options", "candidates", "answers", "alternatives")
PAIRS = (
    *(("sent1", "sent2"), ("article", "question"), ("passage", "question")),
    *(("context", "question"), ("premise", "question"), ("story", "question")),
)
"""A text, and what stands before each choice."""
BEFORE = frozenset(second for _, second in PAIRS)
TEXTS = (
    *("question", "question_stem", "context", "ctx", "sent1", "startphrase", "premise", "passage"),
    *("article", "story", "goal", "prompt", "query", "stem", "sentence", "text"),
)
LABELS = (
    *("label", "labels", "answer", "answerkey", "answer_key", "gold", "target", "correct"),
    *("correct_answer", "correct_option", "answer_idx", "answer_index", "cop", "y"),
)


@dataclass(frozen=True)
class ChoiceColumns:
    """`inputs`: the text, perhaps what stands before each choice, and the column(s) of choices."""

    text: str
    before: str | None
    choices: tuple[str, ...]
    label: str
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """All of them, from which `stated_choices` reads them again."""
        return (self.text, *((self.before,) if self.before else ()), *self.choices)


def stated_choices(inputs: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The text column and those of the choices, out of `ChoiceColumns.inputs`."""
    rest = inputs[1:]
    if len(rest) > 1 and rest[0].lower() in BEFORE:
        rest = rest[1:]
    return inputs[0], tuple(rest)


def find_choice_columns(features: Mapping[str, Any]) -> ChoiceColumns | None:
    """Choices, a text and a label, all by known names; None if one of them is missing."""
    choices = _choices(features)
    text, before = _texts(features, choices)
    label = _label(features, {*choices, text, before})
    if not choices or text is None or label is None:
        return None
    why = f"task: {TASK}, because of the choices in {_named(choices)}"
    return ChoiceColumns(
        text, before, choices, label, (why, *_notes(text, before, choices), _label_note(label))
    )


def choose_choice_columns(
    features: Mapping[str, Any],
    *,
    where: str,
    text: str | None = None,
    choices: tuple[str, ...] = (),
    label: str | None = None,
) -> ChoiceColumns:
    """Stated columns are checked, the others are inferred from names and types, with a note.

    Raises `DataError` (lists the columns).
    """
    check_named(features, (text, label, *choices), where)
    notes: list[str] = []
    found = choices or _choices(features)
    if not found:
        raise DataError(
            f"{where}: which columns hold the choices?",
            hint=f"--choice-columns A,B,C, or the name of one that holds lists; {listed(features)}",
        )
    said, before = _texts(features, found, text)
    if said is None:
        raise DataError(
            f"{where}: which column holds the text that the choices belong to?",
            hint=f"state it with --text-column; {listed(features)}",
        )
    if not choices or text is None:
        notes += _notes(said, before, found)
    answer = label or _label(features, {*found, said, before})
    if answer is None:
        raise DataError(f"{where}: which column is the label?", hint=listed(features))
    if label is None:
        notes.append(_label_note(answer))
    inputs = [said, *found]
    if answer in inputs or len(set(inputs)) != len(inputs):
        raise DataError(f"column {answer!r} can't be both input and label", hint=listed(features))
    return ChoiceColumns(said, before, found, answer, tuple(notes))


def _choices(features: Mapping[str, Any]) -> tuple[str, ...]:
    """A column of lists by name, or columns that are numbered through."""
    lower = {name.lower(): name for name in features}
    for name in LISTS:
        if name in lower and _is_list(features[lower[name]]):
            return (lower[name],)
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in features:
        match = NUMBERED.fullmatch(name)
        if match and is_text_feature(features[name]):
            groups.setdefault(match[1].lower(), []).append((match[2].upper(), name))
    letters = [n for n in features if len(n) == 1 and n.isalpha() and is_text_feature(features[n])]
    if len(letters) > 2:
        groups.setdefault("", []).extend((name.upper(), name) for name in letters)
    for members in sorted(groups.values(), key=len, reverse=True):
        keys, names = zip(*sorted(members, key=lambda m: (len(m[0]), m[0])), strict=True)
        count = len(keys)
        runs = ([str(i) for i in range(count)], [str(i + 1) for i in range(count)], list(LETTERS))
        if count > 1 and any(list(keys) == run[:count] for run in runs):
            return tuple(names)
    return ()


def _is_list(feature: Any) -> bool:
    return is_list_of_text(feature) or _is_keyed(feature)


def _is_keyed(feature: Any) -> bool:
    """`{"text": [...], "label": [...]}`: choices and what they are called."""
    if not isinstance(feature, dict) or not {"text", "label"} <= set(feature):
        return False
    return is_list_of_text(feature["text"]) and list_of(feature["label"]) is not None


def _texts(
    features: Mapping[str, Any], choices: Sequence[str], text: str | None = None
) -> tuple[str | None, str | None]:
    """The text, and what stands before each choice, if anything does."""
    lower = {
        name.lower(): name
        for name in features
        if is_text_feature(features[name]) and name not in choices
    }
    for first, second in PAIRS:
        if first in lower and second in lower and text in (None, lower[first]):
            return lower[first], lower[second]
    if text is not None:
        return text, None
    return next((lower[name] for name in TEXTS if name in lower), None), None


def _label(features: Mapping[str, Any], taken: set[str | None]) -> str | None:
    lower = {name.lower(): name for name in features if name not in taken}
    return next((lower[name] for name in LABELS if name in lower), None)


def _named(choices: Sequence[str]) -> str:
    return f"column{'s' * (len(choices) > 1)} {', '.join(map(repr, choices))}"


def _notes(text: str, before: str | None, choices: Sequence[str]) -> list[str]:
    added = f", column {before!r} before each choice" if before else ""
    return [f"input: column {text!r}{added}, choices: {_named(choices)}, by name or type"]


def _label_note(label: str) -> str:
    return f"label: column {label!r}, by name or type"


# ------------------------------------------------------------------------------------ rows


def read_choices(
    splits: Mapping[str, Split], columns: ChoiceColumns, where: Mapping[str, str]
) -> Rows:
    """Texts, choices and the place of the right one, of all splits.

    A split without labels (as published test sets) is left out, with a note. Raises `DataError`
    that names the row: another number of choices, nothing in a cell, a label that names none of
    the choices.
    """
    notes = list(columns.notes)
    texts: dict[str, list[str]] = {}
    choices: dict[str, list[list[str]]] = {}
    keys: dict[str, list[list[str]] | None] = {}
    numbers: dict[str, NDArray[np.int64]] = {}
    labels: dict[str, list[str]] = {}
    for split, dataset in splits.items():
        here, rows_in = where[split], row_numbers(dataset)
        answers = _answers(dataset, columns.label)
        missing = [not answer or answer == "-1" for answer in answers]
        if all(missing) and split not in ("train", "all"):
            notes.append(f"the {split} split has no labels, so it is not used")
            continue
        if any(missing):
            raise DataError(
                f"{here}: no label in row {rows_in[missing.index(True)]}, column {columns.label!r} "
                f"({sum(missing)} of {len(missing)} rows)",
                hint="remove these rows or give them a label",
            )
        labels[split], numbers[split] = answers, rows_in
        texts[split] = _column(dataset, columns.text, here)
        choices[split], keys[split] = _lists(dataset, columns, here)
    count = len(next(iter(choices.values()))[0])
    for split, rows in choices.items():
        for number, row in zip(numbers[split], rows, strict=True):
            if len(row) != count:
                others = sum(len(r) != count for r in rows)
                raise DataError(
                    f"{where[split]}: row {number} has {len(row)} choices, but the first one has "
                    f"{count} ({others} of {len(rows)} rows differ)",
                    hint="all rows need the same number of choices: remove the others",
                )
    if count < 2:
        raise DataError(
            f"{next(iter(where.values()))}: row 1 has {count} choice, but two are needed at least"
        )
    feature = splits[next(iter(labels))].features[columns.label]
    names, ids, how = read_answers(
        labels,
        choices,
        keys,
        choice_columns=columns.choices,
        label=columns.label,
        kind=Kind.of(feature),
        where=where,
        numbers=numbers,
    )
    notes.append(how)
    tables, hashes = {}, {}
    for split, rows in choices.items():
        hashes[split] = hashes_of(
            [text, *row] for text, row in zip(texts[split], rows, strict=True)
        )
        tables[split] = _table(texts[split], rows, ids[split], names, hashes[split])
    return Rows(
        TASK,
        tables,
        hashes,
        names,
        columns.inputs,
        columns.label,
        "accuracy",
        {split: where[split] for split in tables},
        tuple(notes),
        numbers,
    )


def _answers(dataset: Split, column: str) -> list[str]:
    """The labels as text, "" for none."""
    cells = whole(dataset.data.column(column)).to_pylist()
    return ["" if cell is None else _number(cell) for cell in cells]


def _number(cell: Any) -> str:
    """2.0 as "2": a column of whole numbers with a gap in it is read as decimals; NaN as none."""
    if isinstance(cell, float):
        if math.isnan(cell):
            return ""
        if cell.is_integer():
            cell = int(cell)
    return str(cell).strip()


def _column(dataset: Split, column: str, where: str) -> list[str]:
    if not is_text_feature(dataset.features[column]):
        raise DataError(f"{where}: column {column!r} holds {dataset.features[column]}, not text")
    cells: list[str | None] = whole(dataset.data.column(column)).to_pylist()
    found = [cell for cell in cells if cell is not None]
    if len(found) < len(cells):
        row = row_numbers(dataset)[cells.index(None)]
        raise DataError(f"{where}: nothing in row {row}, column {column!r}")
    return found


def _lists(
    dataset: Split, columns: ChoiceColumns, where: str
) -> tuple[list[list[str]], list[list[str]] | None]:
    """The choices of each row, and what the row calls them, if it does."""
    keys: list[list[str]] | None = None
    if len(columns.choices) > 1:
        each = [_column(dataset, name, where) for name in columns.choices]
        rows = [list(row) for row in zip(*each, strict=True)]
    else:
        (name,) = columns.choices
        feature = dataset.features[name]
        if not _is_list(feature):
            raise DataError(
                f"{where}: column {name!r} holds {feature}, but the choices must be a list of texts"
            )
        cells = whole(dataset.data.column(name)).to_pylist()
        if _is_keyed(feature):
            keys = [[str(key) for key in (cell or {}).get("label") or ()] for cell in cells]
            cells = [(cell or {}).get("text") for cell in cells]
        for number, cell in zip(row_numbers(dataset), cells, strict=True):
            if not cell or None in cell:
                raise DataError(f"{where}: a choice is missing in row {number}, column {name!r}")
        rows = cells
    if columns.before is not None:
        starts = _column(dataset, columns.before, where)
        rows = [
            [f"{start} {c}".strip() for c in row] for start, row in zip(starts, rows, strict=True)
        ]
    return rows, keys


def _table(
    texts: list[str],
    choices: list[list[str]],
    ids: NDArray[np.int64],
    names: tuple[str, ...],
    hashes: NDArray[np.void],
) -> datasets.Dataset:
    import datasets
    import pyarrow as pa

    text = datasets.Value("large_string")
    return table_of(
        {
            "text": (pa.array(texts, pa.large_string()), text),
            "choices": (
                pa.array(choices, pa.large_list(pa.large_string())),
                datasets.LargeList(text),
            ),
            "label": (pa.array(ids), datasets.ClassLabel(names=list(names))),
        },
        hashes,
    )
