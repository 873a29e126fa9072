"""Policies compared on recorded curves: each dataset in turn is the target, and left out.

A replayed trial answers through the interface of a live one, so the very same policy code runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError, TrialError
from hf_select.metrics import get_metric
from hf_select.progress import stage
from hf_select.records import Array, CurveSet, Expectation, LearningCurve, SelectionResult
from hf_select.selection.calibration import calibration
from hf_select.selection.policies import NamedPolicy
from hf_select.selection.run import run_selection, through
from hf_select.selection.state import EPS, Policy

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Opening:
    """What a selection starts with on one target.

    models: the candidates, best first (None: all of the record). proxy_epochs: what the looks
    cost, in epochs. expected: what recall expects. With `for_forecasts` only policies that use the
    expectation pay for it.
    """

    models: Sequence[str] | None = None
    proxy_epochs: float = 0.0
    expected: Expectation | None = None
    for_forecasts: bool = False

    def for_policy(self, policy: Policy) -> Opening:
        """As that policy gets it."""
        forecasts = isinstance(policy, NamedPolicy) and policy.forecasts
        if forecasts or not self.for_forecasts:
            return self
        return replace(self, proxy_epochs=0.0, expected=None)


Openings = Callable[[str], Opening]
"""target -> what a selection for it starts with."""


class ReplayTrial:
    """A recorded run that can be advanced as a live one can. Its test score is given once.

    `horizon`: where the replay ends, if that is before the end of the recorded run. Raises
    `TrialError` if there is no such run.
    """

    def __init__(
        self, curves: CurveSet, model: str, dataset: str, seed: int, *, horizon: float = np.inf
    ) -> None:
        self.model = model
        self._recorded = curves.curve(model, dataset, seed)
        self._test = float(
            curves.test[
                curves.models.index(model),
                curves.datasets.index(dataset),
                curves.seeds.index(seed),
            ]
        )
        if not len(self._recorded):
            raise TrialError(f"no recorded run of {model} on {dataset} with seed {seed}")
        self.horizon = min(float(self._recorded.epochs[-1]), horizon)
        self.curve = LearningCurve.empty()
        self.tests = 0
        self.closed = False

    def advance(self, to: float) -> LearningCurve:
        """The recorded curve through its first point at or after `to`."""
        if self.closed:
            raise ValueError(f"the trial of {self.model} is closed")
        shown = through(self._recorded, to)
        if len(shown) > len(self.curve):
            self.curve = shown
        return self.curve

    def test(self) -> float:
        """The recorded test score: only at the end, and only once."""
        at_end = len(self.curve) and self.curve.epochs[-1] >= self.horizon - EPS
        if self.closed or self.tests or not at_end:
            raise ValueError(f"the test score of {self.model} may be read once, at the end")
        self.tests += 1
        return self._test

    def close(self) -> None:
        """No more advances."""
        self.closed = True


@dataclass(frozen=True, eq=False)
class Replicate:
    """One target with the seed that the policies see. truth (M,): what the choice is judged by.

    `same_seed`: there was one seed only, so the truth is that very seed's test score.
    """

    dataset: str
    seed: int
    truth: Array
    candidates: tuple[str, ...]
    opening: Opening
    horizon: float
    same_seed: bool


def replicates(
    curves: CurveSet,
    dataset: str,
    *,
    openings: Openings | None = None,
    horizon: float | None = None,
) -> list[Replicate]:
    """The replays that a dataset allows as the target, one per seed.

    The truth is the mean test score over the other seeds. A model is a candidate where it has a
    curve with this seed and a truth.
    """
    j = curves.datasets.index(dataset)
    test = curves.test[:, j]  # (M, S)
    curve_ends = _ends(curves, j)  # (M, S)
    measured = [s for s in range(len(curves.seeds)) if np.any(np.isfinite(test[:, s]))]
    opening = openings(dataset) if openings else Opening()
    recalled = curves.models if opening.models is None else opening.models
    found = []
    for s in measured:
        others = [o for o in measured if o != s] or [s]
        truth = _nanmean(test[:, others])
        runnable = np.isfinite(truth) & np.isfinite(curve_ends[:, s])
        index = {model: i for i, model in enumerate(curves.models)}
        names = tuple(m for m in recalled if m in index and runnable[index[m]])
        if not names:
            continue
        longest = float(np.nanmax(curve_ends[runnable, s]))
        found.append(
            Replicate(
                dataset,
                curves.seeds[s],
                truth,
                names,
                opening,
                float(horizon) if horizon else longest,
                others == [s],
            )
        )
    return found


def replay_one(
    curves: CurveSet,
    replicate: Replicate,
    policy: Policy,
    *,
    twins: Sequence[str] = (),
    name: str = "",
    raw: bool = False,
) -> SelectionResult:
    """One policy on one replicate, with all of the target hidden from its record.

    So are its `twins`: other datasets with the same content.
    """
    target = replicate.dataset
    j = curves.datasets.index(target)
    record = curves.without_dataset(target)
    for twin in twins:
        record = record.without_dataset(twin)

    opening = replicate.opening.for_policy(policy)
    rows = float(curves.val_rows.get(target, np.inf))

    def opener(model: str) -> Callable[[], ReplayTrial]:
        return lambda: ReplayTrial(curves, model, target, replicate.seed, horizon=replicate.horizon)

    return run_selection(
        {model: opener(model) for model in replicate.candidates},
        policy,
        horizon=replicate.horizon,
        metric=get_metric(curves.metrics[j]),
        val_trivial=float(curves.baselines[j]),
        record=record,
        expected=opening.expected,
        rows=lambda epoch: rows,
        raw=raw,
        proxy_epochs=opening.proxy_epochs,
        policy_name=name,
    )


def replay_selection(
    curves: CurveSet,
    policies: Mapping[str, Policy],
    *,
    openings: Openings | None = None,
    twins: Mapping[str, Sequence[str]] | None = None,
    cost: str = "epochs",
    raw: bool = False,
    horizon: float | None = None,
    only: Sequence[str] | None = None,
    one_seed: bool = False,
    seed: int = 0,
    task: str = "",
) -> dict[str, Any]:
    """Compare policies with every dataset left out in turn: the `replay` document of the CLI.

    `openings(target)` gives the recalled models, what looking at them cost in epochs, and what
    recall expects (None: all models, nothing known). `twins`: dataset -> others with the same
    content, which are hidden with it. The policy sees the validation curves of one seed; its choice
    is judged by the mean test score over the other seeds, each seed in turn. Regret is by how many
    points (`Metric.points`) the best of all models of the record is better; price is the whole cost
    over that of training the winner alone, in `cost`: "epochs" or "seconds". `regret_ci`: 95 %
    bootstrap interval over targets, drawn with `seed`. `calibration`: that of
    `calibration.calibration`.

    `only` these datasets are targets; with `one_seed` the first seed of each alone.

    Raises `InputError` on an unknown cost, on a record without learning curves (of `task`, which
    only the message needs), or if no dataset can be replayed.
    """
    if cost not in ("epochs", "seconds"):
        raise InputError(f"cost is {cost!r}, but must be 'epochs' or 'seconds'")
    if not policies:
        raise InputError("there is no policy to compare")
    if not np.isfinite(curves.val).any():
        raise InputError(
            f"the record holds no learning curves{f' of {task}' if task else ''}",
            hint="`hf-select benchmark` records them, a long table with the columns `epoch` and "
            "`val` imports them; scores alone allow `--phase recall`",
        )
    targets: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    same_seed = []
    judged: dict[str, list[tuple[SelectionResult, dict[str, float]]]] = {n: [] for n in policies}
    chosen = curves.datasets if only is None else only
    with stage("replaying", total=len(chosen) * len(policies), unit="selections") as at:
        for i, dataset in enumerate(chosen):
            at.reach(i * len(policies), detail=f"recall for {dataset}")
            cases = replicates(curves, dataset, openings=openings, horizon=horizon)
            cases = cases[:1] if one_seed else cases
            if not cases:
                skipped[dataset] = "no candidate has both a curve and a test score there"
                continue
            if cases[0].same_seed:
                same_seed.append(dataset)
            targets[dataset] = {}
            hidden = (twins or {}).get(dataset, ())
            for name, policy in policies.items():
                at.advance(0, detail=f"{name} on {dataset}")
                results = [
                    replay_one(curves, case, policy, twins=hidden, name=name, raw=raw)
                    for case in cases
                ]
                pairs = list(zip(cases, results, strict=True))
                accounts = [_account(curves, case, result) for case, result in pairs]
                targets[dataset][name] = _mean_of(accounts, cost)
                judged[name] += [(result, _truth(curves, case)) for case, result in pairs]
                at.advance(detail=f"{name} on {dataset}")
    if not targets:
        raise InputError(
            "no dataset of the record can be replayed",
            hint="a replay needs recorded learning curves with test scores",
        )
    return {
        "phase": "selection",
        "cost": cost,
        "raw": raw,
        "seeds": len(curves.seeds),
        "judged_by_same_seed": same_seed,
        "skipped": skipped,
        "summary": {
            name: {
                **_summary([targets[dataset][name] for dataset in targets], seed),
                "calibration": calibration(judged[name]),
            }
            for name in policies
        },
        "targets": targets,
    }


# ------------------------------------------------------------------------------- accounting


def _truth(curves: CurveSet, case: Replicate) -> dict[str, float]:
    """Model -> what it is judged by, higher is better."""
    metric = get_metric(curves.metrics[curves.datasets.index(case.dataset)])
    gain = metric.direction * case.truth
    return {m: float(v) for m, v in zip(curves.models, gain, strict=True) if np.isfinite(v)}


def _account(curves: CurveSet, case: Replicate, result: SelectionResult) -> dict[str, Any]:
    """Regret and cost of one replay; only here is the truth looked at."""
    j = curves.datasets.index(case.dataset)
    metric = get_metric(curves.metrics[j])
    gain = metric.direction * case.truth
    mine = gain[curves.models.index(result.winner)]
    best = float(np.nanmax(gain))
    winner_seconds = float(result.curves[result.winner].seconds[-1])
    return {
        "winner": result.winner,
        "regret": float(metric.points(best - float(mine), curves.baselines[j])),
        "winner_rank": 1 + int(np.sum(gain > mine + EPS)),
        "epochs": result.epochs + result.proxy_epochs,
        "trainings": result.epochs / result.horizon,
        "seconds": result.seconds,
        "price_epochs": result.price,
        # A proxy pass costs its share of an epoch of the winner.
        "price_seconds": result.seconds / winner_seconds + result.proxy_epochs / result.horizon
        if winner_seconds > 0
        else float("nan"),
    }


def _mean_of(rows: list[dict[str, Any]], cost: str) -> dict[str, Any]:
    """The replicates of one target as one: means over the seeds."""

    def mean(key: str) -> float | None:
        value = float(np.mean([row[key] for row in rows]))
        return value if np.isfinite(value) else None

    return {
        "regret": mean("regret"),
        "price": mean(f"price_{cost}"),
        "epochs": mean("epochs"),
        "trainings": mean("trainings"),
        "seconds": mean("seconds"),
        "winner_rank": mean("winner_rank"),
        "winners": [row["winner"] for row in rows],
    }


def _summary(rows: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """One policy over all targets."""

    def mean(key: str) -> float | None:
        values = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(values)) if values else None

    regrets = np.array([row["regret"] for row in rows])
    draws = np.random.default_rng(seed).integers(len(rows), size=(RESAMPLES, len(rows)))
    low, high = np.percentile(regrets[draws].mean(axis=1), [2.5, 97.5])
    return {
        "regret": float(regrets.mean()),
        "regret_max": float(regrets.max()),
        "regret_ci": [float(low), float(high)],
        **{key: mean(key) for key in ("price", "epochs", "seconds", "winner_rank")},
    }


def _nanmean(values: Array) -> Array:
    """Mean over the last axis of what is there, NaN where nothing is."""
    have = np.isfinite(values)
    count = have.sum(axis=-1)
    total = np.where(have, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _ends(curves: CurveSet, j: int) -> NDArray[np.float64]:
    """The last evaluated epoch of each run on dataset `j` (M, S), NaN without a curve."""
    have = np.isfinite(curves.val[:, j])
    ends = np.where(have, curves.epochs, -np.inf).max(axis=-1, initial=-np.inf)
    return np.where(have.any(axis=-1), ends, np.nan)
