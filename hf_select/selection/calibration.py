"""Is what a policy says of its chances true? Counted over selections whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_select.records import SelectionResult

HOPELESS = 0.05
"""Chance of being the best below which a dropped candidate counts as one that was safe to drop."""


def calibration(
    judged: Sequence[tuple[SelectionResult, Mapping[str, float]]],
) -> dict[str, Any]:
    """Of the candidates dropped as hopeless, how many were the best? And was the winner?

    `judged`: each selection with the true score of every model, higher is better; the best is that
    of its own candidates. Gives {"dropped", "promised", "best", "interval", "winner_promised",
    "winner_best", "selections"}: the number of candidates dropped with a chance below `HOPELESS`,
    the mean of their chances, the share of them that were the best with its 95 % interval
    (Clopper-Pearson), and mean chance and share of the winners. Empty for policies that give no
    chances.
    """
    dropped: list[float] = []
    were_best = 0
    winners: list[float] = []
    won = 0
    for result, truth in judged:
        chances = {m: p for rung in result.rungs for m, p in rung.p_best.items()}
        if not chances:
            continue
        best = max((truth[m] for m in chances if m in truth), default=np.nan)
        for rung in result.rungs:
            for drop in rung.dropped:
                chance = rung.p_best.get(drop.model, np.nan)
                if chance < HOPELESS:
                    dropped.append(chance)
                    were_best += truth.get(drop.model, -np.inf) >= best
        winners.append(chances.get(result.winner, np.nan))
        won += truth.get(result.winner, -np.inf) >= best
    if not winners:
        return {}
    return {
        "dropped": len(dropped),
        "promised": float(np.mean(dropped)) if dropped else None,
        "best": were_best / len(dropped) if dropped else None,
        "interval": binomial_interval(were_best, len(dropped)) if dropped else None,
        "winner_promised": float(np.mean(winners)),
        "winner_best": won / len(winners),
        "selections": len(winners),
    }


def binomial_interval(count: int, of: int, level: float = 0.95) -> list[float]:
    """The exact interval of a share (Clopper and Pearson 1934).

    >>> [round(edge, 3) for edge in binomial_interval(0, 20)]
    [0.0, 0.168]
    """
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = beta.ppf(tail, count, of - count + 1) if count else 0.0
    high = beta.ppf(1 - tail, count + 1, of - count) if count < of else 1.0
    return [float(low), float(high)]
