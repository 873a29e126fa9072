"""Numbers as people write them: decimal commas, thousands, percent and currency signs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", "."})
"""What stands for no number, in a column of numbers."""

SIGNS = "%$€£¥₹"
SIGNED = re.compile(
    rf"(?P<before>[{SIGNS}]?)\s*(?P<number>[+-]?[\d.,' \u00a0]*\d)\s*(?P<after>[{SIGNS}]?)"
)
COMMA = re.compile(r"[+-]?\d+(?:,\d+)?")
POINT_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")
COMMA_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:[,' \u00a0]\d{3})+(?:\.\d+)?")
ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def as_numbers(cells: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    """Cells as numbers (N,), NaN where one is a word, and how they were read where that is unusual.

    A cell is read in another way than Python's only if all cells that are no words for "missing"
    can be read in that same way, so that one column never mixes two. What may be a decimal comma
    or one between thousands in all cells stays a word.

    >>> as_numbers(["1,5", "2"])[0].tolist(), as_numbers(["1,500", "2,000"])[0].tolist()
    ([1.5, 2.0], [nan, nan])
    """
    plain = np.array([_float(cell) for cell in cells], dtype=np.float64)
    there = np.array([cell.strip().lower() not in MISSING for cell in cells], dtype=bool)
    if not there.any() or not np.isnan(plain[there]).any():
        return plain, ""
    texts = [cell.strip() for cell, is_there in zip(cells, there, strict=True) if is_there]
    bare, sign = _without_signs(texts)
    values, how = _read(bare)
    if values is None:
        return plain, ""
    said = [f"{sign!r} is left out"] * bool(sign) + [how] * bool(how)
    found = np.full(len(cells), np.nan)
    found[there] = values
    return found, ", ".join(said)


def is_ambiguous(cells: Sequence[str]) -> bool:
    """Whether cells are numbers whose commas may stand for a decimal point or for thousands."""
    there = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
    bare, _ = _without_signs(there)
    grouped = [cell for cell in bare if "," in cell]
    if not grouped or any("." in cell for cell in bare):
        return False
    return all(ONE_GROUP.fullmatch(c) or not np.isnan(_float(c)) for c in bare)


def _float(cell: str) -> float:
    try:
        return float(cell) if "_" not in cell else np.nan
    except ValueError:
        return np.nan


def _without_signs(texts: list[str]) -> tuple[list[str], str]:
    """The numbers without the one sign that all of them have; as they are if they don't."""
    bare, signs = [], set()
    for text in texts:
        found = SIGNED.fullmatch(text)
        if found is None or (found["before"] and found["after"]):
            return texts, ""
        signs.add(found["before"] or found["after"])
        bare.append(found["number"].strip())
    return (bare, signs.pop()) if len(signs) == 1 and signs != {""} else (texts, "")


def _read(texts: list[str]) -> tuple[list[float] | None, str]:
    """All of them in one way, or None."""
    values = [_float(text) for text in texts]
    if not np.isnan(values).any():
        return values, ""
    if is_ambiguous(texts):
        return None, ""
    if all(COMMA.fullmatch(text) for text in texts):
        return [float(text.replace(",", ".")) for text in texts], "commas are decimal"
    if all(COMMA.fullmatch(text) or POINT_THOUSANDS.fullmatch(text) for text in texts):
        bare = [text.replace(".", "").replace(",", ".") for text in texts]
        return [float(text) for text in bare], "points stand between thousands, commas are decimal"
    if all(not np.isnan(_float(text)) or COMMA_THOUSANDS.fullmatch(text) for text in texts):
        bare = [re.sub(r"[,' \u00a0]", "", text) for text in texts]
        return [float(text) for text in bare], "commas or blanks stand between thousands"
    return None, ""
