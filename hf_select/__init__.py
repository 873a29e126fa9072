"""Which pre-trained model should I fine-tune on my data? Offline record, recall, fine selection.

The public names load on first use, so `import hf_select` stays light (no torch).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "benchmark": "hf_select.pipeline",
    "cluster": "hf_select.pipeline",
    "recall": "hf_select.pipeline",
    "select": "hf_select.pipeline",
    "replay": "hf_select.pipeline",
    "Recipe": "hf_select.records",
    "ResultsRepo": "hf_select.results.repo",
    "HfSelectError": "hf_select.errors",
}
__all__ = [
    "HfSelectError",
    "Recipe",
    "ResultsRepo",
    "__version__",
    "benchmark",
    "cluster",
    "recall",
    "replay",
    "select",
]

if TYPE_CHECKING:
    from hf_select.errors import HfSelectError
    from hf_select.pipeline import benchmark, cluster, recall, replay, select
    from hf_select.records import Recipe
    from hf_select.results.repo import ResultsRepo


def __getattr__(name: str) -> Any:
    """PEP 562: import the module behind a public name when it is first asked for."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
