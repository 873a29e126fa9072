"""How the commands of the Hub say what was sent or fetched, and what stays behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_select.hub.record.outgoing import LocalOnly
    from hf_select.results.validation import Refusal

MOST_REASONS = 10
"""Reasons for refusals that are told one by one; `--json` has all of them."""
LABEL = re.compile(r"(?P<row>.+?(?P<seed> seed -?\d+)?): (?P<why>.+)", re.DOTALL)
"""How the reason of a refused row begins: what the row is about (`validation.label`)."""
FLAGS = (
    ("a maintainer can accept a new one", "--accept-new-recipes", "runs of such recipes"),
    ("somebody else's folder", "--any-submitter", "rows of such submitters"),
)
"""Words in a reason, the flag that lets those rows in, and what it lets in."""
ONE = {"runs": "run", "models": "model", "datasets": "dataset", "recipes": "recipe"}


def rows_in_words(rows: Mapping[str, int]) -> str:
    """Rows by kind, runs first.

    >>> rows_in_words({"models": 1, "runs": 12, "proxies": 2})
    '12 runs, 1 model and 2 proxy scores'
    """
    kinds = sorted(rows, key=lambda kind: (kind != "runs", list(rows).index(kind)))
    parts = [count(rows[kind], ONE.get(kind, "proxy score")) for kind in kinds]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def refusals_in_words(refused: Iterable[Refusal], how: str = "refused") -> list[str]:
    """A line a reason, with the number of rows that have it and the first of them."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for bad in refused:
        what, _, why = _parts(bad)
        groups.setdefault((what, why), []).append(bad)
    lines = []
    for (what, why), rows in list(groups.items())[:MOST_REASONS]:
        if len(rows) == 1:
            lines.append(f"{how}: {rows[0]}")
            continue
        where = "" if rows[0].row is None else f" in {rows[0].file}"
        first = f"first: {_parts(rows[0])[1]}{where}"
        lines.append(f"{count(len(rows), what)} {how}: {why} ({first})")
    rest = list(groups.values())[MOST_REASONS:]
    if rest:
        rows_left = count(sum(map(len, rest)), "row")
        lines.append(f"{rows_left} more, for {count(len(rest), 'other reason')}: see --json")
    return lines


def _parts(bad: Refusal) -> tuple[str, str, str]:
    """What kind of row it is, which one, and why it is refused."""
    kind = ONE.get(bad.file, "proxy score" if bad.file == "proxies" else "")
    found = LABEL.fullmatch(bad.reason)
    if found is None or (bad.row is None and not kind):  # a whole file
        return kind or ("file" if bad.row is None else "row"), bad.file, bad.reason
    what = kind or ("run" if found["seed"] else "row")
    return what, found["row"].replace(" seed ", ", seed "), found["why"]


def flags_for(refused: Iterable[Refusal]) -> list[tuple[str, str]]:
    """The flags that would let some of these rows in, each with what it lets in."""
    reasons = {_parts(bad)[2] for bad in refused}
    return [(flag, what) for words, flag, what in FLAGS if any(words in why for why in reasons)]


def left_out_in_words(local: Iterable[LocalOnly]) -> list[str]:
    """A line for each model and data set that stays behind because the Hub doesn't have it."""
    lines = []
    for one in local:
        runs = f" ({count(one.runs, 'run')})" if one.runs else ""
        lines.append(
            f"left out: {one.name}{runs} is on this machine only: nobody else could load it"
        )
    return [*lines, "Hint: `--allow-local` sends them too"] if lines else []


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def params(number: int | None) -> str:
    """A number of parameters to three digits, a dash if nobody knows it.

    >>> params(622_976), params(109_482_240), params(1_500_000_000), params(0)
    ('623K', '109M', '1.5B', '-')
    """
    if not number:
        return "-"
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)


def size(number: int) -> str:
    """Bytes, in a unit that suits them.

    >>> size(900), size(12_345_678)
    ('900 bytes', '12.3 MB')
    """
    if number < 1000:
        return count(number, "byte")
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"
