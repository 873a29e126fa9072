"""How many threads the linear algebra of a proxy score gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

SMALL = 1000
"""Rows or columns below which one thread is enough. On two busy cores the threads of a 300 x 300
eigendecomposition waited for each other 20 to 40 times as long as one alone took (5 ms)."""


@contextmanager
def few_threads(rows: int, columns: int) -> Iterator[None]:
    """One thread inside, where the smaller side of the matrix is small."""
    if min(rows, columns) >= SMALL:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
