"""Phase one: from the record, and a look at the target, to the few models worth fine-tuning.

`needs_proxy` says whose proxy a method wants, `recall_models` ranks, `replay_recall` measures
methods on the record with each dataset left out in turn.
"""

from __future__ import annotations

from hf_select.recall.candidates import ProxyEvidence, expected_by_record, recall_models
from hf_select.recall.cold import cold_start
from hf_select.recall.hybrid import FEWEST_BENCHMARKS, learnable
from hf_select.recall.methods import (
    RECALL_METHODS,
    ColdStart,
    Evidence,
    check_method,
    needs_proxy,
    positive,
    proxy_choice,
    usual_method,
)
from hf_select.recall.prior import fit_prior
from hf_select.recall.replay import (
    benchmarks_of,
    looks_without,
    recall_regret,
    recorded_scores,
    replay_recall,
)
from hf_select.recall.waves import LIMIT, first_wave, next_wave

__all__ = [
    "FEWEST_BENCHMARKS",
    "LIMIT",
    "RECALL_METHODS",
    "ColdStart",
    "Evidence",
    "ProxyEvidence",
    "benchmarks_of",
    "check_method",
    "cold_start",
    "expected_by_record",
    "first_wave",
    "fit_prior",
    "learnable",
    "looks_without",
    "needs_proxy",
    "next_wave",
    "positive",
    "proxy_choice",
    "recall_models",
    "recall_regret",
    "recorded_scores",
    "replay_recall",
    "usual_method",
]
