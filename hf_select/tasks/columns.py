"""Which columns of a source are the input and the label, where nobody said so."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from hf_select.errors import DataError, InputError

if TYPE_CHECKING:
    import datasets

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


@dataclass(frozen=True)
class Columns:
    """The columns that were chosen: `inputs` is (image,), (text,) or (text, text_pair)."""

    inputs: tuple[str, ...]
    label: str
    is_image: bool
    notes: tuple[str, ...] = ()


def choose_columns(
    features: datasets.Features,
    *,
    where: str,
    task: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    image: str | None = None,
    label: str | None = None,
) -> Columns:
    """Stated columns are checked, the others are inferred from names and types, with a note.

    `where` names the source in messages. Raises `DataError` (lists the columns).
    """
    names = list(features)
    for stated in (text, text_pair, image, label):
        if stated is not None and stated not in names:
            near = get_close_matches(stated, names, n=1)
            raise DataError(
                f"{where} has no column {stated!r}",
                hint=(f"did you mean {near[0]!r}? " if near else "") + _listed(names),
            )
    if image is not None and (text is not None or text_pair is not None):
        raise InputError("state an image column or text columns, not both")
    if text_pair is not None and text is None:
        raise InputError("state the text column too, when stating the pair's second column")
    notes: list[str] = []
    found = image or (None if text is not None else _image_column(features, names, task))
    is_image = found is not None
    if found is not None:
        inputs: tuple[str, ...] = (found,)
        stated_input = image is not None
    elif _is_image_task(task):
        raise DataError(f"{where} has no image column", hint=_listed(names))
    elif text is not None:
        inputs = (text,) if text_pair is None else (text, text_pair)
        stated_input = True
    else:
        inputs = _text_columns(features, names, where, taken=label)
        stated_input = False
    if not stated_input:
        notes.append(f"input: column {' and '.join(map(repr, inputs))}, by name or type")
    if label is None:
        label = _label_column(features, names, where, inputs, task)
        notes.append(f"label: column {label!r}, by name or type")
    if label in inputs or len(set(inputs)) != len(inputs):
        raise DataError(f"column {label!r} can't be both input and label", hint=_listed(names))
    return Columns(inputs, label, is_image, tuple(notes))


def is_image_feature(feature: Any) -> bool:
    """Whether a column holds images: typed so, or bytes and a path side by side."""
    import datasets

    if isinstance(feature, datasets.Image):
        return True
    return isinstance(feature, dict) and set(feature) == {"bytes", "path"}


def is_text_feature(feature: Any) -> bool:
    """Whether a column holds texts."""
    return getattr(feature, "dtype", None) in ("string", "large_string", "string_view")


def _is_image_task(task: str | None) -> bool:
    return task is not None and task.startswith("image-")


def _image_column(features: datasets.Features, names: list[str], task: str | None) -> str | None:
    """The image column, None for a text data set. A column of file names must be an image task."""
    images = [name for name in names if is_image_feature(features[name])]
    if task is not None and not _is_image_task(task):
        return None
    if images:
        return next((name for name in IMAGES if name in images), images[0])
    if _is_image_task(task):
        lower = {name.lower(): name for name in names if is_text_feature(features[name])}
        return next((lower[name] for name in IMAGES if name in lower), None)
    return None


def _text_columns(
    features: datasets.Features, names: list[str], where: str, *, taken: str | None
) -> tuple[str, ...]:
    """A known pair, a known name, or the one text column that can't be the label."""
    lower = {name.lower(): name for name in names if name != taken}
    for first, second in PAIRS:
        if first in lower and second in lower:
            return lower[first], lower[second]
    for name in TEXTS:
        if name in lower and is_text_feature(features[lower[name]]):
            return (lower[name],)
    texts = [n for n in lower.values() if is_text_feature(features[n]) and n.lower() not in LABELS]
    if len(texts) == 1:
        return (texts[0],)
    if not texts:
        raise DataError(f"{where}: no column looks like text ({_listed(names)})")
    raise DataError(
        f"{where}: which column is the text? {len(texts)} could be", hint=_listed(names)
    )


def _label_column(
    features: datasets.Features,
    names: list[str],
    where: str,
    inputs: tuple[str, ...],
    task: str | None,
) -> str:
    """A known name, the one column of classes, or the one column that is left."""
    import datasets

    rest = {name.lower(): name for name in names if name not in inputs}
    regression = task is not None and task.endswith("-regression")
    for name in SCORES if regression else LABELS:
        if name in rest:
            return rest[name]
    classes = [n for n in rest.values() if isinstance(features[n], datasets.ClassLabel)]
    if len(classes) == 1:
        return classes[0]
    if len(rest) == 1:
        return next(iter(rest.values()))
    raise DataError(
        f"{where}: which column is the label? {len(rest)} could be", hint=_listed(names)
    )


def _listed(names: list[str]) -> str:
    return f"columns: {', '.join(names)}"
