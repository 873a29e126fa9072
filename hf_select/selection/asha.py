"""Asynchronous successive halving (ASHA, Li et al. 2020, arXiv 1810.05934), one step at a time."""

from __future__ import annotations

import numpy as np

from hf_select.records import Drop
from hf_select.selection.state import EPS, Decision, SelectionState, reached, score_at


def asha(state: SelectionState, *, eta: float = 2.0) -> Decision:
    """Promote whoever is in the top 1/eta of its rung; else start the next candidate.

    Rungs are at 1/8, 1/8 x eta, 1/8 x eta^2, ... epochs, and the horizon. The highest rung with a
    candidate to promote comes first. Candidates are started in recalled order. Once all are
    started and none can be promoted, the best of the highest rung goes on to the end; the best of
    those that came to the end wins. Nobody is dropped before that.
    """
    rungs = _rungs(state.horizon, eta)
    at = {model: _rung(rungs, reached(state, model)) for model in state.live}
    for rung in range(len(rungs) - 2, -1, -1):
        there = _best(state, [m for m in state.live if at[m] >= rung], rungs[rung])
        waiting = [m for m in there[: int(len(there) / eta + EPS)] if at[m] == rung]
        if waiting:
            return Decision(advance={waiting[0]: rungs[rung + 1]}, leader=_leader(state))
    fresh = [m for m in state.live if at[m] < 0]
    if fresh:
        return Decision(advance={fresh[0]: rungs[0]}, leader=_leader(state))
    top = max(at.values())
    best = _best(state, [m for m in state.live if at[m] == top], rungs[top])[0]
    if top < len(rungs) - 1:
        return Decision(advance={best: rungs[top + 1]}, leader=best)
    return Decision(
        tuple(_farewell(state, model, best) for model in state.live if model != best), winner=best
    )


def _rungs(horizon: float, eta: float) -> list[float]:
    first = min(0.125, horizon)
    count = max(0, int(np.ceil(np.log(horizon / first) / np.log(eta) - EPS)))
    return [first * eta**k for k in range(count)] + [horizon]


def _rung(rungs: list[float], epoch: float) -> int:
    """The highest rung that was reached, -1 for none."""
    return int(np.sum(np.asarray(rungs) <= epoch + EPS)) - 1


def _best(state: SelectionState, models: list[str], epoch: float) -> list[str]:
    order = {model: i for i, model in enumerate(state.models)}
    return sorted(models, key=lambda m: (-score_at(state, m, epoch), order[m]))


def _leader(state: SelectionState) -> str:
    """The best of those that have come furthest."""
    furthest = max(reached(state, m) for m in state.live)
    there = [m for m in state.live if reached(state, m) >= furthest - EPS]
    return _best(state, there, furthest)[0] if furthest > 0 else state.live[0]


def _farewell(state: SelectionState, model: str, winner: str) -> Drop:
    epoch = reached(state, model)
    mine, theirs = score_at(state, model, epoch), score_at(state, winner, epoch)
    if epoch >= state.horizon - EPS:
        return Drop(
            model,
            f"At epoch {epoch:g}, the end, it had {state.show(mine)}, and {winner} "
            f"{state.show(theirs)}.",
        )
    return Drop(
        model,
        f"At epoch {epoch:g}, {state.show(mine)} was not in the share of its rung that asha "
        f"promotes: {winner} had {state.show(theirs)} there and went on to the end.",
    )
