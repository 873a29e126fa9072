"""Which columns of a source are the input and the label, where nobody said so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from hf_select.errors import DataError, InputError
from hf_select.tasks.frames import is_a

if TYPE_CHECKING:
    from hf_select.tasks.contents import Contents, Look

TEXTS = [
    "text",
    "sentence",
    "review",
    "content",
    "document",
    "body",
    "tweet",
    "comment",
    "message",
    "question",
    "utterance",
    "headline",
    "title",
]
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("sentence_1", "sentence_2"),
    ("question_1", "question_2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("text", "text_pair"),
    ("question", "sentence"),
)
IMAGES = ("image", "img", "picture", "image_path", "file_name", "file", "path")
LABELS = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "fine_label",
    "intent",
    "sentiment",
    "score",
    "similarity_score",
    "rating",
    "stars",
    "y",
]
SCORES = ["score", "similarity_score", "rating", "stars", "label", "labels", "target", "value", "y"]
KNOWN = frozenset([*TEXTS, *(name for pair in PAIRS for name in pair), *IMAGES, *LABELS, *SCORES])
"""What a header has that is one."""

MANY = 8
"""Columns that an error names."""

CLEARLY = 2.0
"""How many times as many words as the next one the text column has, if its name doesn't tell."""


def plain_name(name: str) -> str:
    """A column's name, however it is spelt.

    >>> plain_name(" Sentence-1"), plain_name("File  Name")
    ('sentence_1', 'file_name')
    """
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class Columns:
    """The columns that were chosen: `inputs` is (image,), (text,) or (text, text_pair)."""

    inputs: tuple[str, ...]
    label: str
    is_image: bool
    notes: tuple[str, ...] = ()


def choose_columns(
    features: Mapping[str, Any],
    *,
    where: str,
    task: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    image: str | None = None,
    label: str | None = None,
    look: Look | None = None,
) -> Columns:
    """Stated columns are checked, the others are inferred from names and types, with a note.

    Where these don't tell, `look` says what a column holds. `where` names the source in messages.
    Raises `DataError` (lists the columns).
    """
    names = list(features)
    for stated in (text, text_pair, image, label):
        if stated is not None and stated not in names:
            near = get_close_matches(stated, names, n=1)
            raise DataError(
                f"{where} has no column {stated!r}",
                hint=(f"did you mean {near[0]!r}? " if near else "") + _listed(names),
            )
    if len(names) == 1:
        raise DataError(
            f"{where} has one column only, {names[0]!r}, but an input and a label are needed",
            hint="is another delimiter used? --delimiter states it",
        )
    if image is not None and (text is not None or text_pair is not None):
        raise InputError("state an image column or text columns, not both")
    if text_pair is not None and text is None:
        raise InputError("state the text column too, when stating the pair's second column")
    notes: list[str] = []
    found = image or (None if text is not None else _image_column(features, names, task, look))
    is_image = found is not None
    how = "by name or type"
    if found is not None:
        inputs: tuple[str, ...] = (found,)
        stated_input = image is not None
    elif _is_image_task(task):
        raise DataError(f"{where} has no image column", hint=_listed(names))
    elif text is not None:
        inputs = (text,) if text_pair is None else (text, text_pair)
        stated_input = True
    else:
        inputs, how = _text_columns(features, names, where, taken=label, look=look)
        stated_input = False
    if not stated_input:
        notes.append(f"input: column {' and '.join(map(repr, inputs))}, {how}")
    if label is None:
        label, how = _label_column(features, names, where, inputs, task, look)
        notes.append(f"label: column {label!r}, {how}")
    if label in inputs or len(set(inputs)) != len(inputs):
        raise DataError(f"column {label!r} can't be both input and label", hint=_listed(names))
    return Columns(inputs, label, is_image, tuple(notes))


def is_image_feature(feature: Any) -> bool:
    """Whether a column holds images: typed so, or bytes and a path side by side."""
    if is_a(feature, "Image"):
        return True
    return isinstance(feature, dict) and set(feature) == {"bytes", "path"}


def is_text_feature(feature: Any) -> bool:
    """Whether a column holds texts."""
    return getattr(feature, "dtype", None) in ("string", "large_string", "string_view")


def _is_image_task(task: str | None) -> bool:
    return task is not None and task.startswith("image-")


def _by_plain_name(names: Iterable[str]) -> dict[str, str]:
    """Plain name -> name; of two that differ in their spelling only, the plainer one."""
    found: dict[str, str] = {}
    for name in names:
        if plain_name(name) not in found or name == plain_name(name):
            found[plain_name(name)] = name
    return found


def _image_column(
    features: Mapping[str, Any], names: list[str], task: str | None, look: Look | None
) -> str | None:
    """The image column, None for a text data set.

    A column of file names is one for an image task, or where no column has the name of a text.
    """
    images = [name for name in names if is_image_feature(features[name])]
    if task is not None and not _is_image_task(task):
        return None
    if images:
        return next((name for name in IMAGES if name in images), images[0])
    texts = _by_plain_name(name for name in names if is_text_feature(features[name]))
    if _is_image_task(task):
        return next((texts[name] for name in IMAGES if name in texts), None)
    if look is None or any(name in texts for name in TEXTS):
        return None
    paths = [name for name in texts.values() if look(name).kind == "image paths"]
    return next((texts[n] for n in IMAGES if texts.get(n) in paths), paths[0] if paths else None)


def _text_columns(
    features: Mapping[str, Any],
    names: list[str],
    where: str,
    *,
    taken: str | None,
    look: Look | None,
) -> tuple[tuple[str, ...], str]:
    """A known pair, a known name, or the one text column that can't be the label; and how so."""
    how = "by name or type"
    plain = _by_plain_name(name for name in names if name != taken)
    for first, second in PAIRS:
        if first in plain and second in plain:
            return (plain[first], plain[second]), how
    for name in TEXTS:
        if name in plain and is_text_feature(features[plain[name]]):
            return (plain[name],), how
    texts = [
        name for n, name in plain.items() if is_text_feature(features[name]) and n not in LABELS
    ]
    if len(texts) == 1:
        return (texts[0],), how
    if not texts:
        raise DataError(f"{where}: no column looks like text ({_listed(names)})")
    if look is None:
        raise DataError(
            f"{where}: which column is the text? {len(texts)} could be", hint=_listed(names)
        )
    return _text_by_content(texts, names, where, look)


def _text_by_content(
    texts: list[str], names: list[str], where: str, look: Look
) -> tuple[tuple[str, ...], str]:
    """The column with by far the longest texts; among words, the one that hardly repeats itself."""
    held = {name: look(name) for name in texts}
    wordy = sorted(
        (name for name, found in held.items() if found.kind == "texts" and not found.constant),
        key=lambda name: -held[name].words,
    )
    if wordy and (len(wordy) == 1 or held[wordy[0]].words >= CLEARLY * held[wordy[1]].words):
        return (wordy[0],), f"by its content ({held[wordy[0]]})"
    unlike = [name for name in texts if held[name].kind == "words" and held[name].unlike]
    if not wordy and len(unlike) == 1:
        return (unlike[0],), f"by its content ({held[unlike[0]]})"
    could = wordy or unlike or texts
    raise DataError(
        f"{where}: which column is the text? {len(could)} could be: {_described(could, look)}",
        hint=f"state it, such as --text-column {_quoted(could[0])}; {_listed(names)}",
    )


def _label_column(
    features: Mapping[str, Any],
    names: list[str],
    where: str,
    inputs: tuple[str, ...],
    task: str | None,
    look: Look | None,
) -> tuple[str, str]:
    """A known name, the one column of classes, or the one column that is left; and how so."""
    how = "by name or type"
    rest = _by_plain_name(name for name in names if name not in inputs)
    regression = task is not None and task.endswith("-regression")
    for name in SCORES if regression else LABELS:
        if name in rest:
            return rest[name], how
    classes = [n for n in rest.values() if is_a(features[n], "ClassLabel")]
    if len(classes) == 1:
        return classes[0], how
    if len(rest) == 1:
        return next(iter(rest.values())), how
    if look is None:
        raise DataError(
            f"{where}: which column is the label? {len(rest)} could be", hint=_listed(names)
        )
    held = {name: look(name) for name in names if name not in inputs}
    fitting = [name for name, found in held.items() if _may_be_label(found, regression)]
    if len(fitting) == 1:
        return fitting[0], f"by its content ({held[fitting[0]]})"
    could = fitting or list(held)
    raise DataError(
        f"{where}: which column is the label? {len(could)} could be: {_described(could, look)}",
        hint=f"state it, such as --label-column {_quoted(could[0])}; {_listed(names)}",
    )


def _may_be_label(found: Contents, regression: bool) -> bool:
    """A few values that repeat; for a regression, many numbers."""
    if found.rows == 0 or found.constant:
        return False
    if regression:
        return found.kind == "numbers" and found.distinct > 2
    return found.kind in ("words", "numbers") and found.distinct <= max(2, found.rows // 5)


def _described(names: list[str], look: Look) -> str:
    shown = [f"{name!r} ({look(name)})" for name in names[:MANY]]
    return ", ".join([*shown, "..."] if len(names) > MANY else shown)


def _quoted(name: str) -> str:
    """A name as a shell takes it."""
    from shlex import quote

    return quote(name)


def _listed(names: list[str]) -> str:
    most = 4 * MANY
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return f"columns: {', '.join(names[:most])}{more}"
