"""What to know of a data set before a model is trained on it: copies, conflicts, classes, sizes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hf_select.metrics import METRICS
from hf_select.records import Recipe
from hf_select.tasks.numbers import MISSING
from hf_select.tasks.splitnames import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from hf_select.tasks.contents import Contents
    from hf_select.tasks.data import TargetData

Level = Literal["ok", "note", "warning"]

SHOWN = 40
"""Characters of a text, and EXAMPLES: classes or columns, that a sentence names."""
EXAMPLES = 5
RARE = 8
"""Train rows below which a class is rare."""
LOPSIDED = 0.8
"""Share of the biggest class from which on always answering it looks good."""
FEW_ROWS, SOME_ROWS = 50, 300
"""Rows of a split below which a score on it is very, or somewhat, imprecise."""
USUAL_SKILL = 0.7
"""The skill at which the precision of a score is told."""
CHARACTERS = 4.5
"""Characters of an English text a token, on average, of the usual subword tokenizers."""
OTHER_BYTES = 3.0
"""Bytes beyond the first of other letters a token: about right for Cyrillic, and for Chinese."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `level`: "ok", "note" (good to know) or "warning" (serious).

    `example` quotes rows of the data, "" for none: it stays apart from the text, as it must not
    leave this machine.
    """

    check: str
    level: Level
    text: str
    example: str = ""

    @property
    def told(self) -> str:
        """The text with its example, for whoever has the data."""
        return f"{self.text}; for example {self.example}" if self.example else self.text

    def to_dict(self) -> dict[str, str]:
        """As it stands in `selection.json`."""
        found = {"check": self.check, "level": self.level, "text": self.text}
        return {**found, "example": self.example} if self.example else found


class _Seen:
    """A target whose columns are gathered once: its splits may be selections of one table."""

    def __init__(self, target: TargetData) -> None:
        self.target = target
        self.names, self.hashes, self.rows = target.label_names, target.hashes, target.rows
        self._columns: dict[tuple[str, str], pa.ChunkedArray] = {}

    @cached_property
    def labels(self) -> dict[str, NDArray]:
        """Split -> the labels of its rows."""
        return {split: self.target.labels(split) for split in SPLITS}

    @cached_property
    def references(self) -> dict[str, NDArray]:
        """Split -> what a score compares with: the labels, or the tags of words."""
        if "tags" not in self.columns:
            return self.labels
        return {split: self.target.references(split) for split in SPLITS}

    @property
    def columns(self) -> list[str]:
        """The columns of a split, under their normalised names."""
        return self.target.train.column_names

    def column(self, split: str, name: str) -> pa.ChunkedArray:
        """A column of a split."""
        if (split, name) not in self._columns:
            rows = self.target.split(split).select_columns([name]).with_format("arrow")
            table: pa.Table = rows[:]
            self._columns[split, name] = table.column(name)
        return self._columns[split, name]

    def size(self, split: str) -> int:
        """Rows of a split."""
        return len(self.labels[split])


def data_checks(target: TargetData) -> list[Check]:
    """All checks of splits that are ready; those of the reading come before them."""
    seen = _Seen(target)
    found = [
        _duplicates(seen),
        _leakage(seen),
        _conflicts(seen),
        *[_small(seen, split) for split in ("validation", "test")],
    ]
    if target.label_names:
        found += [_balance(seen), *_strange_names(seen)]
    if "text" in seen.columns:
        found += [_long_texts(seen), *_poor_texts(seen)]
    return found


# ----------------------------------------------------------------------------- while reading


def left_out(
    kept: NDArray[np.int64],
    every: NDArray[np.int64],
    labelled: NDArray[np.int64],
    where: str,
    column: str,
) -> list[Check]:
    """Rows of a split that have no label or no input, by their numbers in the source.

    kept (N,): the rows that have both; every (T,): all rows; labelled (M,): those with a label.
    """
    found = []
    for check, what, rows in (
        ("missing-labels", f"no label in column {column!r}", np.setdiff1d(every, labelled)),
        ("missing-inputs", "no input", np.setdiff1d(labelled, kept)),
    ):
        if len(rows):
            some = f"{_count(len(rows), 'row')} of {len(every)} in {where}"
            have = "has" if len(rows) == 1 else "have"
            text = f"{some} {have} {what} and {_be(rows)} left out (the first: row {rows[0]})"
            found.append(Check(check, "warning", text))
    return found


def _be(rows: NDArray[np.int64]) -> str:
    return "is" if len(rows) == 1 else "are"


def other_columns(held: Mapping[str, Contents]) -> list[Check]:
    """The columns that are neither input nor label, and what they hold."""
    if not held:
        return []
    shown = [f"{name!r} ({found})" for name, found in list(held.items())[:EXAMPLES]]
    more = f", and {len(held) - EXAMPLES} more" if len(held) > EXAMPLES else ""
    text = f"columns that are not used: {', '.join(shown)}{more}"
    return [Check("other-columns", "ok", text)]


# -------------------------------------------------------------------------------- the same rows


def _duplicates(seen: _Seen) -> Check:
    """Rows of train whose input another row of it has."""
    first, again, copies = _repeats(seen.hashes["train"])
    rows = seen.rows["train"]
    if not copies:
        return Check("duplicates", "ok", "no two train rows are the same")
    level: Level = "warning" if copies > 0.1 * len(rows) else "note"
    which = f"row {rows[first]} and row {rows[again]}"
    what = "repeats" if copies == 1 else "repeat"
    text = f"{copies} of {len(rows)} train rows {what} another one ({which})"
    return Check("duplicates", level, text, _shown(seen, "train", first))


def _repeats(hashes: NDArray[np.void]) -> tuple[int, int, int]:
    """The first row that comes again, where it does, and how many rows are copies."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    if not len(copies):
        return -1, -1, 0
    return int(first[inverse[copies[0]]]), int(copies[0]), len(copies)


def _leakage(seen: _Seen) -> Check:
    """Rows of one split whose input is also in another: they make a score too good."""
    said, shown = [], []
    for known, split in (("train", "validation"), ("train", "test"), ("validation", "test")):
        there = {row: i for i, row in enumerate(seen.hashes[known].tolist())}
        copies = [i for i, row in enumerate(seen.hashes[split].tolist()) if row in there]
        if copies:
            one = copies[0]
            at = there[seen.hashes[split][one].tobytes()]
            said.append(
                f"{len(copies)} of {len(seen.hashes[split])} {split} rows are in {known}, too "
                f"(row {seen.rows[split][one]} is row {seen.rows[known][at]} of {known})"
            )
            shown.append(_shown(seen, split, one))
    if not said:
        return Check("leakage", "ok", "no row is in two splits")
    text, example = f"{'; '.join(said)}: scores come out too good", ", ".join(dict.fromkeys(shown))
    return Check("leakage", "warning", text, example)


def _conflicts(seen: _Seen) -> Check:
    """Inputs that come with different labels: no model can be right about all of them."""
    hashes = np.concatenate([seen.hashes[split] for split in SPLITS])
    labels = np.concatenate([seen.labels[split] for split in SPLITS])
    places = [(split, i) for split in SPLITS for i in range(len(seen.hashes[split]))]
    _, first, inverse, counts = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    differs = labels != labels[first[inverse]]
    bad = np.unique(inverse[differs])
    if not len(bad):
        return Check("conflicting-labels", "ok", "the same input always has the same label")
    rows = int(counts[bad].sum())
    other = int(np.flatnonzero(differs)[0])
    one = int(first[inverse[other]])
    names = [_label(seen, labels[i]) for i in (one, other)]
    split, i = places[one]
    text = (
        f"{rows} rows share {_count(len(bad), 'input')} with other labels: row "
        f"{seen.rows[split][i]} of {split} is {names[0]}, row "
        f"{seen.rows[places[other][0]][places[other][1]]} of {places[other][0]} is {names[1]}"
    )
    level: Level = "warning" if rows > 0.01 * len(labels) else "note"
    return Check("conflicting-labels", level, text, _shown(seen, split, i))


def _label(seen: _Seen, value: float) -> str:
    return repr(seen.names[int(value)]) if seen.names else f"{value:g}"


def _shown(seen: _Seen, split: str, i: int) -> str:
    """The input of a row, in a few words."""
    row: pa.Table = seen.target.split(split).with_format("arrow")[i : i + 1]
    if "text" in row.column_names:
        text = " ".join(str(row.column("text")[0].as_py()).split())
        return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")
    if "image" in row.column_names:
        return row.column("image")[0].as_py().get("path") or "an image without a name"
    words = row.column(0)[0].as_py()
    return repr(f"{' '.join(map(str, words))[: SHOWN - 3]}...")


# -------------------------------------------------------------------------- labels and sizes


def _balance(seen: _Seen) -> Check:
    """How train rows (of words with tags: the words) are shared between the classes."""
    names, metric = seen.names, seen.target.metric
    what = "word" if "tags" in seen.columns else "row"
    counts = np.bincount(seen.references["train"], minlength=len(names))
    most, least = int(counts.argmax()), int(counts.argmin())
    share = counts[most] / max(1, counts.sum())
    rare = [i for i in np.argsort(counts, kind="stable") if counts[i] < RARE]
    said = []
    if rare:
        shown = ", ".join(f"{names[i]!r} ({counts[i]})" for i in rare[:EXAMPLES])
        more = ", ..." if len(rare) > EXAMPLES else ""
        one, has = _count(len(rare), "class", "classes"), "has" if len(rare) == 1 else "have"
        said.append(f"{one} of {len(names)} {has} fewer than {RARE} train {what}s: {shown}{more}")
    unseen = [
        f"{names[i]!r} is not in {split}"
        for split in ("validation", "test")
        for i in np.setdiff1d(np.flatnonzero(counts), seen.references[split])
    ]
    if unseen:
        said.append(", ".join(unseen[:EXAMPLES]) + (", ..." if len(unseen) > EXAMPLES else ""))
    if share >= LOPSIDED and metric == "accuracy":
        said.append(
            f"{100 * share:.0f} % of train {what}s are {names[most]!r}: a high accuracy means "
            "little (--metric f1 or matthews_correlation asks for more)"
        )
    if said:
        return Check("class-balance", "warning", "; ".join(said))
    if counts[least] == counts[most]:
        text = f"{len(names)} classes with {_count(int(counts[most]), f'train {what}')} each"
        return Check("class-balance", "ok", text)
    text = (
        f"{len(names)} classes, from {counts[least]} train {what}s ({names[least]!r}) to "
        f"{counts[most]} ({names[most]!r})"
    )
    return Check("class-balance", "ok", text)


def _small(seen: _Seen, split: str) -> Check:
    """How exactly a score on a split is known."""
    metric, rows = METRICS.get(seen.target.metric), seen.size(split)
    level: Level = "warning" if rows < FEW_ROWS else "note" if rows < SOME_ROWS else "ok"
    if metric is None:  # somebody else's: how much it owes to chance isn't known
        return Check("small-split", level, f"a score rests on {_count(rows, f'{split} row')}")
    trivial = seen.target.trivial(split)
    deviation = 1.96 * float(np.sqrt(metric.row_variance(USUAL_SKILL, trivial) / rows))
    if metric.higher_is_better:
        how = f"{100 * deviation * abs(metric.perfect - trivial):.1f} points"
    else:  # an error: its own size is the measure
        how = f"{100 * deviation / (1 - USUAL_SKILL):.0f} % of itself"
    text = f"a score on {_count(rows, f'{split} row')} is known to about {how}, up or down (95 %)"
    return Check("small-split", level, text)


def _strange_names(seen: _Seen) -> list[Check]:
    """Classes that may be one, and classes that may be none."""
    names, found = seen.names, []
    counts = np.bincount(seen.references["train"], minlength=len(names))
    alike: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(plain, []).append(i)
    pairs = [group for group in alike.values() if len(group) > 1]
    if pairs:
        shown = "; ".join(
            " and ".join(f"{names[i]!r} ({counts[i]} rows)" for i in group)
            for group in pairs[:EXAMPLES]
        )
        text = f"classes that differ in their spelling only are kept apart: {shown}"
        found.append(Check("similar-labels", "warning", text))
    missing = [i for i, name in enumerate(names) if name.lower() in MISSING]
    numbers = [i for i, name in enumerate(names) if _is_number(name)]
    words = [i for i in range(len(names)) if i not in numbers and i not in missing]
    if missing:
        shown = ", ".join(f"{names[i]!r} ({counts[i]} rows)" for i in missing)
        text = f"is that a class or no label? {shown}; rows with an empty label are left out"
        found.append(Check("label-names", "warning", text))
    if numbers and words:
        few, kind = (words, "numbers") if len(words) <= len(numbers) else (numbers, "words")
        shown = ", ".join(f"{names[i]!r} ({counts[i]} rows)" for i in few[:EXAMPLES])
        found.append(Check("label-names", "warning", f"among classes that are {kind}: {shown}"))
    return found


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------------------------- texts


def _long_texts(seen: _Seen) -> Check:
    """Texts of which a model would see the beginning only, at the usual length."""
    names = [name for name in ("text", "text_pair") if name in seen.columns]
    tokens = np.concatenate(
        [sum(_tokens(seen.column(split, name)) for name in names) for split in SPLITS]
    )
    limit = Recipe().max_length
    cut, lost = float(np.mean(tokens > limit)), 0.0
    if tokens.sum():
        lost = float(np.maximum(tokens - limit, 0).sum() / tokens.sum())
    longest = int(tokens.max(initial=0))
    if not cut:
        text = f"texts fit into {limit} tokens (the longest has about {longest})"
        return Check("long-texts", "ok", text)
    share = f"about {100 * cut:.0f} %" if cut >= 0.01 else "less than 1 %"
    text = (
        f"{share} of texts are longer than {limit} tokens, the usual --max-length, and about "
        f"{100 * lost:.0f} % of all words come after that (the longest has about {longest:,})"
    )
    return Check("long-texts", "warning" if lost > 0.25 else "note", text)


def _tokens(cells: pa.ChunkedArray) -> NDArray[np.float64]:
    """About how many tokens each text (N,) has."""
    from pyarrow import compute as pc

    letters = np.asarray(pc.utf8_length(cells), dtype=np.float64)
    size = np.asarray(pc.binary_length(cells), dtype=np.float64)
    return letters / CHARACTERS + (size - letters) / OTHER_BYTES


def _poor_texts(seen: _Seen) -> list[Check]:
    """Texts that say nothing: empty ones, or names of other things."""
    from pyarrow import compute as pc

    from hf_select.tasks.contents import look_at

    found = []
    for name, column in zip(("text", "text_pair"), seen.target.input_columns, strict=False):
        if name not in seen.columns:
            break  # the second input is one of choices
        said = []
        for split in SPLITS:
            cells = seen.column(split, name)
            blank = np.flatnonzero(np.asarray(pc.equal(pc.utf8_trim_whitespace(cells), "")))
            if len(blank):
                said.append(f"{len(blank)} of {split} (row {seen.rows[split][blank[0]]})")
        if said:
            text = f"texts in column {column!r} that are empty: {', '.join(said)}"
            found.append(Check("empty-texts", "warning", text))
        held = look_at(seen.column("train", name))
        if held.constant or held.kind in ("numbers", "dates", "image paths"):
            text = f"column {column!r} is read as text, but holds {_listed(held.kind, held)}"
            found.append(Check("input", "warning", text))
    return found


def _listed(kind: str, held: Contents) -> str:
    return "one value only" if held.constant else kind


def _count(number: int, what: str, more: str = "") -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {more or what + 's'}"


def as_dicts(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Checks as JSON, the serious ones first."""
    order = ("warning", "note", "ok")
    return [c.to_dict() for c in sorted(checks, key=lambda c: order.index(c.level))]
