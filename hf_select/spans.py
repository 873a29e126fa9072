"""Spans out of word tags: IOB1, IOB2, IOBES and BILOU, read as conlleval and seqeval read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SCHEMES = ("OBI", "OBIES", "OBILU")
"""Which marks go together: IOB1 and IOB2, IOBES, BILOU."""

_TAG = re.compile(r"([BIESLU])(?:-(.+))?", re.DOTALL)
_SAME = {"L": "E", "U": "S"}
"""BILOU's names of what IOBES calls E (the last word of a span) and S (a span of one word)."""


def are_span_tags(names: Iterable[str]) -> bool:
    """Whether these tags mark spans: `O`, and types behind the marks of one of `SCHEMES`.

    Marks without a type (`B`, `I`, `O`) count where there is an `O`, as there are tags of other
    kinds that are called so.

    >>> are_span_tags(["O", "B-PER", "I-PER"]), are_span_tags(["NOUN", "VERB", "O"])
    (True, False)
    """
    found = {name: _TAG.fullmatch(name) for name in names}
    marks = {match[1] for match in found.values() if match}
    bare = any(match and not match[2] for match in found.values())
    return (
        bool(marks)
        and all(match or name == "O" for name, match in found.items())
        and any(marks <= set(scheme) for scheme in SCHEMES)
        and (not bare or "O" in found)
    )


def spans(tags: NDArray) -> set[tuple[int, int, str]]:
    """(first word, last word, type) of every span in tags (N,), "" between two sentences.

    A span begins at B or S, at any tag behind O, a sentence's beginning, E or S, and where the type
    changes; it ends before the next one begins, behind E or S, and before O. So a tag sequence that
    breaks its scheme's rules is read all the same (seqeval's default, that of `conlleval`).

    >>> sorted(spans(np.array(["B-PER", "I-PER", "O", "I-LOC"])))
    [(0, 1, 'PER'), (3, 3, 'LOC')]
    """
    distinct, place = np.unique(np.asarray(tags, dtype=str), return_inverse=True)
    read = [_read(name) for name in distinct.tolist()]
    marks = np.array([mark for mark, _ in read], dtype="U1")[place]
    types = [kind for _, kind in read]
    numbers = {kind: i for i, kind in enumerate(dict.fromkeys(types))}
    kinds = np.array([numbers[kind] for kind in types], dtype=np.int64)[place]
    inside = marks != "O"
    if not inside.any():
        return set()
    alone = np.isin(marks, ("B", "S"))
    closed = ~inside | np.isin(marks, ("E", "S"))
    new = np.concatenate([[True], kinds[1:] != kinds[:-1]])
    begins = inside & (alone | new | np.concatenate([[True], closed[:-1]]))
    last = ~inside | begins
    ends = inside & (np.isin(marks, ("E", "S")) | np.concatenate([last[1:], [True]]))
    names = list(numbers)
    return {
        (first, end, names[kinds[first]])
        for first, end in zip(
            np.flatnonzero(begins).tolist(), np.flatnonzero(ends).tolist(), strict=True
        )
    }


def _read(name: str) -> tuple[str, str]:
    """Mark and type of a tag; whatever is no span's tag counts as O."""
    match = _TAG.fullmatch(name)
    if match is None:
        return "O", ""
    return _SAME.get(match[1], match[1]), match[2] or ""


def span_f1(predictions: NDArray, references: NDArray) -> float:
    """Micro-averaged F1 of whole spans: a span counts if both ends and the type are right.

    Both are tags (N,) as text, "" between two sentences. 0 where neither has a span.
    """
    said, true = spans(predictions), spans(references)
    total = len(said) + len(true)
    return 2 * len(said & true) / total if total else 0.0
