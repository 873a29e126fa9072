"""How splits are called, by us and by others."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPLITS = ("train", "validation", "test")
ALIASES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "validation_matched": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "test_matched": "test",
}


def split_origins(names: Iterable[str]) -> dict[str, str]:
    """train, validation, test -> which of a source's splits each of them is.

    The one split of a source that isn't split is `all`. Without `train` and `all` it has no rows
    to train on.

    >>> split_origins(["train", "dev", "extra"])
    {'train': 'train', 'validation': 'dev'}
    """
    names = list(names)
    if len(names) == 1 and names != ["train"]:
        return {"all": names[0]}
    found: dict[str, str] = {}
    for alias, split in ALIASES.items():  # in the order of preference
        for name in names:
            if name.lower() == alias:
                found.setdefault(split, name)
    return found


def split_in(name: str) -> str | None:
    """The split that a file's name holds as a word of its own; None if none or several.

    >>> split_in("reviews_train.csv"), split_in("test-2.csv"), split_in("latest.csv")
    ('train', 'test', None)
    """
    found = {ALIASES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in ALIASES}
    return found.pop() if len(found) == 1 else None
