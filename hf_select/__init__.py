"""Which pre-trained model should I fine-tune on my data? Offline record, recall, fine selection.

>>> from hf_select import select                                                  # doctest: +SKIP
>>> found = select("reviews.csv", "owner/results", budget="30m")                  # doctest: +SKIP

The public names load on first use, so `import hf_select` stays light (no torch, no numpy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_select.lazy import lazily

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


lazily(__name__, _PUBLIC)
