"""Words and their tags out of columns of lists, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError
from hf_select.spans import are_span_tags
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
    import pyarrow as pa

TASK = "token-classification"
TOKENS = ("tokens", "words", "token", "word", "text", "sentence")
TAGS = (
    *("ner_tags", "tags", "ner", "labels", "label", "ner_labels", "tag", "pos_tags", "upos", "pos"),
    *("xpos", "chunk_tags"),
)
MANY = 1000
"""Above this many different tags a column holds no tags."""
OUTSIDE = "O"
IGNORED = "-100"
"""What stands for a word that a training is to leave out; here each word is scored."""


@dataclass(frozen=True)
class TokenColumns:
    """The column of words, that of their tags, and what was inferred."""

    tokens: str
    tags: str
    notes: tuple[str, ...] = ()


def find_token_columns(features: Mapping[str, Any]) -> TokenColumns | None:
    """Lists of words beside lists of tags, both by known names; None if there are none."""
    lower = {name.lower(): name for name in features}
    tokens = next((lower[n] for n in TOKENS if n in lower and _text(features, lower[n])), None)
    tags = [lower[n] for n in TAGS if n in lower and _tags(features, lower[n])]
    tags = [name for name in tags if name != tokens]
    if tokens is None or not tags:
        return None
    others = f" (others: {', '.join(tags[1:])})" if len(tags) > 1 else ""
    return TokenColumns(
        tokens,
        tags[0],
        (
            f"task: {TASK}, because columns {tokens!r} and {tags[0]!r} hold lists",
            f"input: column {tokens!r}, by name or type",
            f"label: column {tags[0]!r}, by name or type{others}",
        ),
    )


def choose_token_columns(
    features: Mapping[str, Any], *, where: str, text: str | None = None, label: str | None = None
) -> TokenColumns:
    """Stated columns are checked, the others are inferred from names and types, with a note.

    Raises `DataError` (lists the columns).
    """
    check_named(features, (text, label), where)
    found = find_token_columns(features)
    notes = []
    if text is None:
        lists = [name for name in features if _text(features, name) and name != label]
        text = found.tokens if found else (lists[0] if len(lists) == 1 else None)
        if text is None:
            raise DataError(
                f"{where}: which column holds the words? {len(lists)} hold lists of texts",
                hint=listed(features),
            )
        notes.append(f"input: column {text!r}, by name or type")
    if label is None:
        rest = [name for name in features if _tags(features, name) and name != text]
        known = found.tags if found and found.tags != text else None
        label = known or (rest[0] if len(rest) == 1 else None)
        if label is None:
            raise DataError(
                f"{where}: which column holds the words' tags? {len(rest)} hold lists",
                hint=listed(features),
            )
        notes.append(f"label: column {label!r}, by name or type")
    if text == label:
        raise DataError(f"column {label!r} can't be both input and label", hint=listed(features))
    return TokenColumns(text, label, tuple(notes))


def _text(features: Mapping[str, Any], name: str) -> bool:
    return is_list_of_text(features[name])


def _tags(features: Mapping[str, Any], name: str) -> bool:
    inside = list_of(features[name])
    return getattr(inside, "dtype", "") in ("string", "large_string") or str(
        getattr(inside, "dtype", "")
    ).startswith(("int", "uint"))


def read_tokens(
    splits: Mapping[str, Split], columns: TokenColumns, where: Mapping[str, str]
) -> Rows:
    """Words and tags of all splits, with as many tags as words in every row.

    Rows without a word are left out, with a note; a split without tags (as published test sets)
    too. Raises `DataError` that names the row.
    """
    words: dict[str, pa.Array] = {}
    tags: dict[str, pa.Array] = {}
    numbers: dict[str, NDArray[np.int64]] = {}
    notes = list(columns.notes)
    for split, dataset in splits.items():
        found = _lists(dataset, columns, where[split])
        if found is None:
            if split in ("train", "all"):
                raise DataError(f"{where[split]}: column {columns.tags!r} holds no tag at all")
            notes.append(f"the {split} split has no tags, so it is not used")
            continue
        words[split], tags[split], numbers[split] = found
        empty = len(dataset) - len(numbers[split])
        if empty:
            notes.append(f"{empty} rows of {where[split]} without a word left out")
    names, ids = _classes(splits, tags, columns.tags, where, numbers)
    counts = np.bincount(np.concatenate(list(ids.values())), minlength=len(names))
    tables, hashes = {}, {}
    for split, cells in words.items():
        hashes[split] = hashes_of(cells.to_pylist())
        tables[split] = _table(cells, ids[split], counts, names, hashes[split])
    metric, why = _metric(names)
    return Rows(
        TASK,
        tables,
        hashes,
        names,
        (columns.tokens,),
        columns.tags,
        metric,
        {split: where[split] for split in tables},
        (*notes, why),
        numbers,
    )


def _lists(
    dataset: Split, columns: TokenColumns, where: str
) -> tuple[pa.Array, pa.Array, NDArray[np.int64]] | None:
    """Both columns, of rows that have words, and these rows' numbers; None if nothing is tagged."""
    import pyarrow as pa
    from pyarrow import compute as pc

    both = []
    for name in (columns.tokens, columns.tags):
        cells = whole(dataset.data.column(name))
        if not (pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type)):
            raise DataError(
                f"{where}: column {name!r} holds {cells.type}, but {TASK} takes lists: one of "
                "words, one of their tags"
            )
        both.append(cells)
    words, tags = both
    if not (
        pa.types.is_string(words.type.value_type) or pa.types.is_large_string(words.type.value_type)
    ):
        raise DataError(
            f"{where}: the lists of column {columns.tokens!r} hold {words.type.value_type}, "
            "but must hold words"
        )
    sizes = [
        np.asarray(pc.fill_null(pc.list_value_length(c), 0), dtype=np.int64) for c in (words, tags)
    ]
    if len(tags) and not sizes[1].any():
        return None
    numbers = row_numbers(dataset)
    wrong = sizes[0] != sizes[1]
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{where}: row {numbers[at]} has {sizes[0][at]} words in column {columns.tokens!r}, "
            f"but {sizes[1][at]} tags in column {columns.tags!r}",
            hint="each word needs one tag",
        )
    filled = sizes[0] > 0
    if not filled.all():
        kept = pa.array(np.flatnonzero(filled))
        words, tags, numbers = words.take(kept), tags.take(kept), numbers[filled]
    for cells, name in ((words, columns.tokens), (tags, columns.tags)):
        missing = np.asarray(pc.is_null(cells.flatten()))
        if missing.any():
            at = int(np.argmax(missing))
            row = _row_of(at, cells, numbers)
            raise DataError(f"{where}: nothing in a list of row {row}, column {name!r}")
    return words, tags, numbers


def _row_of(at: int, lists: pa.Array, numbers: NDArray[np.int64]) -> int:
    """The number of the row in whose list the cell at that place of all cells is."""
    ends = np.cumsum(np.asarray(lists.value_lengths(), dtype=np.int64))
    return int(numbers[np.searchsorted(ends, at, side="right")])


def _classes(
    splits: Mapping[str, Split],
    tags: Mapping[str, pa.Array],
    column: str,
    where: Mapping[str, str],
    numbers: Mapping[str, NDArray[np.int64]],
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """The names of the tags, and the ids (W,) of each split's words."""
    import datasets

    features = [list_of(splits[split].features[column]) for split in tags]
    flat = {split: cells.flatten() for split, cells in tags.items()}
    if any(isinstance(f, datasets.ClassLabel) for f in features):
        if any(f != features[0] for f in features):
            raise DataError(
                f"the splits of {next(iter(where.values()))} don't agree on the classes of column "
                f"{column!r}"
            )
        names = tuple(features[0].names)
        ids = {split: np.asarray(cells, dtype=np.int64) for split, cells in flat.items()}
        for split, array in ids.items():
            wrong = (array < 0) | (array >= len(names))
            if wrong.any():
                at = int(np.argmax(wrong))
                row = _row_of(at, tags[split], numbers[split])
                raise DataError(
                    f"{where[split]}: tag {array[at]} in row {row}, column {column!r}, but there "
                    f"are {len(names)} classes"
                )
    else:
        plain: dict[str, Any] = {s: np.array(cells.to_pylist()) for s, cells in flat.items()}
        for split, array in plain.items():
            ignored = array.astype(str) == IGNORED
            if ignored.any():
                row = _row_of(int(np.argmax(ignored)), tags[split], numbers[split])
                raise DataError(
                    f"{where[split]}: tag {IGNORED} in row {row}, column {column!r} "
                    f"({int(ignored.sum())} of {len(array)} words): that is no class, but marks "
                    "what a training leaves out",
                    hint="give each word its own tag; pieces of words and special tokens are "
                    "marked while a model is trained",
                )
        distinct = np.unique(np.concatenate(list(plain.values())))
        if len(distinct) > MANY:
            raise DataError(
                f"column {column!r} has {len(distinct)} different tags; these are no classes",
                hint="state the column of tags with --label-column",
            )
        names = tuple(str(name) for name in distinct.tolist())
        ids = {s: np.searchsorted(distinct, a).astype(np.int64) for s, a in plain.items()}
    return names, ids


def _table(
    words: pa.Array,
    ids: NDArray[np.int64],
    counts: NDArray[np.int64],
    names: tuple[str, ...],
    hashes: NDArray[np.void],
) -> datasets.Dataset:
    """A split: `tokens`, `tags`, and as `label` the tag of the row that is rarest in the data."""
    import datasets
    import pyarrow as pa

    sizes = np.asarray(words.value_lengths(), dtype=np.int64)
    ends = np.cumsum(sizes)
    offsets = np.concatenate([[0], ends])
    place = np.argsort(np.argsort(counts, kind="stable"), kind="stable")  # 0: the rarest tag
    rarest = np.argsort(counts, kind="stable")[np.minimum.reduceat(place[ids], ends - sizes)]
    label = datasets.ClassLabel(names=list(names))
    tags = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(ids))
    return table_of(
        {
            "tokens": (words, datasets.LargeList(datasets.Value("large_string"))),
            "tags": (tags, datasets.LargeList(label)),
            "label": (pa.array(rarest), label),
        },
        hashes,
    )


def _metric(names: tuple[str, ...]) -> tuple[str, str]:
    """The metric that fits such tags, and why."""
    if are_span_tags(names):
        return "seqeval_f1", "metric: seqeval_f1, because the tags mark spans (B-, I-, O)"
    half = [name for name in names if are_span_tags([name, OUTSIDE]) and "-" in name]
    mixed = f": {half[0]!r} looks like a span's tag, but not all do" if half else ""
    if OUTSIDE in names:
        return "f1", f"metric: f1 of words (macro), because the tags follow no span scheme{mixed}"
    return "accuracy", f"metric: accuracy of words, because the tags mark no spans{mixed}"
