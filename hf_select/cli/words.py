"""How the commands of the Hub say what was sent or fetched."""

from __future__ import annotations

from collections.abc import Mapping

ONE = {"runs": "run", "models": "model", "datasets": "dataset", "recipes": "recipe"}


def rows_in_words(rows: Mapping[str, int]) -> str:
    """Rows by kind, runs first.

    >>> rows_in_words({"models": 1, "runs": 12, "proxies": 2})
    '12 runs, 1 model and 2 proxy scores'
    """
    kinds = sorted(rows, key=lambda kind: (kind != "runs", list(rows).index(kind)))
    parts = [count(rows[kind], ONE.get(kind, "proxy score")) for kind in kinds]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def size(number: int) -> str:
    """Bytes, in a unit that suits them.

    >>> size(900), size(12_345_678)
    ('900 bytes', '12.3 MB')
    """
    if number < 1000:
        return count(number, "byte")
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"
