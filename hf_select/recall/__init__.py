"""Phase one: from the record, and a look at the target, to the few models worth fine-tuning.

`needs_proxy` says whose proxy a method wants, `recall_models` ranks, `replay_recall` measures
methods on the record with each dataset left out in turn.
"""

from __future__ import annotations

from hf_select.recall.candidates import Looked, recall_models
from hf_select.recall.methods import (
    RECALL_METHODS,
    ColdStart,
    Evidence,
    check_method,
    needs_proxy,
    positive,
    proxy_choice,
)
from hf_select.recall.replay import (
    looks_without,
    recall_regret,
    recorded_scores,
    replay_recall,
)

__all__ = [
    "RECALL_METHODS",
    "ColdStart",
    "Evidence",
    "Looked",
    "check_method",
    "looks_without",
    "needs_proxy",
    "positive",
    "proxy_choice",
    "recall_models",
    "recall_regret",
    "recorded_scores",
    "replay_recall",
]
