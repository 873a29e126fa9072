"""What `import hf_select` offers: a function a command, results as frozen dataclasses.

>>> from hf_select import select                                                  # doctest: +SKIP
>>> found = select("reviews.csv", "owner/results", budget="30m")                  # doctest: +SKIP
>>> found.winner.model, found.winner.test                                         # doctest: +SKIP
>>> model, tokenizer = found.load()                                               # doctest: +SKIP
"""

from hf_select.api.inspecting import Inspection, inspect
from hf_select.api.recalling import Recall, Recalled, recall
from hf_select.api.recording import Cluster, Clusters, Replay, benchmark, cluster, replay, report
from hf_select.api.selecting import select
from hf_select.api.selection import Cost, Ranked, Selection, Winner

__all__ = [
    "Cluster",
    "Clusters",
    "Cost",
    "Inspection",
    "Ranked",
    "Recall",
    "Recalled",
    "Replay",
    "Selection",
    "Winner",
    "benchmark",
    "cluster",
    "inspect",
    "recall",
    "replay",
    "report",
    "select",
]
