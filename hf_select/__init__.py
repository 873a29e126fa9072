"""Which pre-trained model should I fine-tune on my data? Offline record, recall, fine selection.

>>> from hf_select import select                                                  # doctest: +SKIP
>>> found = select("reviews.csv", "owner/results", budget="30m")                  # doctest: +SKIP

The public names load on first use, so `import hf_select` stays light (no torch, no numpy).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "benchmark": "hf_select.api",
    "cluster": "hf_select.api",
    "inspect": "hf_select.api",
    "recall": "hf_select.api",
    "replay": "hf_select.api",
    "report": "hf_select.api",
    "select": "hf_select.api",
    "Selection": "hf_select.api",
    "HfSelectError": "hf_select.errors",
    "Recipe": "hf_select.records",
    "ResultsRepo": "hf_select.results.repo",
}
__all__ = [
    "HfSelectError",
    "Recipe",
    "ResultsRepo",
    "Selection",
    "__version__",
    "benchmark",
    "cluster",
    "inspect",
    "recall",
    "replay",
    "report",
    "select",
]

if TYPE_CHECKING:
    from hf_select.api import (
        Selection,
        benchmark,
        cluster,
        inspect,
        recall,
        replay,
        report,
        select,
    )
    from hf_select.errors import HfSelectError
    from hf_select.records import Recipe
    from hf_select.results.repo import ResultsRepo


def __getattr__(name: str) -> Any:
    """PEP 562: import the module behind a public name when it is first asked for."""
    if name in _PUBLIC:
        found = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """`recall` and `report` are rooms of ours as well as functions. Python binds a room to its
    package when it is imported, which would hide the function; `from hf_select.recall import ...`
    doesn't need that."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
