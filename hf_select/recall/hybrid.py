"""The hybrid: prior and proxies, each with the weight that it has earned on the record.

For every benchmark it is known how well each model did, and what prior and proxies would have said.
A ridge regression over those cells, with no negative weights (more evidence never counts against a
model), gives the weights; what it gets wrong on benchmarks that it wasn't fitted on gives the
standard deviation. Nothing is taken on trust: a proxy that told nothing on the record gets no
weight, and without recorded proxies the prior is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hf_select.recall.evidence import PROBE, Looks, Mask, likeness, neighbours, read_looks
from hf_select.recall.novelty import judge
from hf_select.recall.prior import Prior, fit_prior
from hf_select.records import Novelty

Array = NDArray[np.float64]

RIDGE = 0.1
"""Penalty on the weights of standardised evidence, as a share of the cells fitted to."""
OTHERS = 3000
"""Models that weren't looked at, of which weights are learned, at most."""
FEWEST_BENCHMARKS = 3
"""With proxies on fewer benchmarks than that there is nothing to learn their weight from."""
PRIOR, NEAREST = "prior", "nearest benchmarks"
OWN, LENT, NONE = "own", "representative's", "none"
"""Whose proxy scores a model is judged by: its own, its cluster representative's, nobody's."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the hybrid expects of each model (M,) on the target, in skill.

    relative: compared with the mean of the scored models (of all, where none was); deviation: its
    standard deviation. level: the skill of that mean model, with `level_deviation`, which all
    models share, so it changes no comparison. parts: evidence -> what it adds to `relative`.
    benchmarks (M, D): what would have been expected of each benchmark without it, NaN = nothing.
    source: whose proxies were used. shared: share of the variance that models with the same
    representative have in common. weights: source -> evidence -> weight (skill per unit).
    alike (D,): likeness of each benchmark, NaN = unknown. novelty: None where it can't be judged.
    """

    relative: Array
    deviation: Array
    level: float
    level_deviation: float
    parts: Mapping[str, Array]
    source: NDArray[np.str_]
    shared: Array
    weights: Mapping[str, Mapping[str, float]]
    alike: Array
    novelty: Novelty | None
    benchmarks: Array
    proxies: tuple[str, ...] = ()

    @property
    def predicted(self) -> Array:
        """Predicted skill (M,), at most 1."""
        return np.minimum(self.level + self.relative, 1.0)

    @property
    def spread(self) -> Array:
        """Standard deviation of `predicted` (M,), the common level's included."""
        return np.sqrt(self.deviation**2 + self.level_deviation**2)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Weights of some columns, what they miss on the benchmarks, and its standard deviation."""

    columns: tuple[str, ...]
    weights: Array
    deviation: float
    misses: Array  # (D, M), NaN = not used


PREFERRED = (PROBE, "logme", "knn")
"""What is looked at where nobody names a proxy: these take every kind of target, and one pass
serves them all. More of them told no more on the record that ships with the package."""


def learnable(recorded: Mapping[str, int]) -> tuple[str, ...]:
    """The proxies to look at, of those recorded (proxy -> number of benchmarks).

    The preferred ones, or any if there is none of those; none where all are too rarely recorded to
    learn a weight from.
    """
    enough = sorted(name for name, count in recorded.items() if count >= FEWEST_BENCHMARKS)
    return tuple(name for name in PREFERRED if name in enough) or tuple(enough)


def usable_proxies(
    own: Mapping[str, Array], recorded: Mapping[str, Array], *, least: float = 0.8
) -> tuple[str, ...]:
    """The proxies that a weight can be learned for, by name.

    Such a one is recorded on at least three benchmarks, and gave a score to nearly all models that
    any proxy could score, on the target as on those benchmarks: a column that is mostly gaps
    (LEEP, where few models have a trained head) would leave most models out.
    """
    able = np.zeros(len(next(iter(own.values()), np.empty(0))), dtype=bool)
    for values in own.values():
        able |= np.isfinite(values)
    chosen = []
    for name in sorted(set(own) & set(recorded)):
        known = np.isfinite(recorded[name])
        there = known.any(axis=0)
        if there.sum() < FEWEST_BENCHMARKS or not able.any():
            continue
        whole = np.isfinite(own[name])[able].mean() >= least
        any_score = np.any([np.isfinite(r) for r in recorded.values()], axis=0)
        dense = known[:, there].sum() >= least * any_score[:, there].sum()
        if whole and dense:
            chosen.append(name)
    return tuple(chosen)


def outlook(
    skill: Array,
    own: Mapping[str, Array],
    recorded: Mapping[str, Array],
    *,
    stand_in: NDArray[np.int64] | None = None,
    cold: tuple[Array, Array] | None = None,
) -> Outlook:
    """What to expect of every model on the target.

    skill (M, D) of the record without the target, NaN = not measured; own: proxy -> scores (M,) on
    the target, NaN = not looked at; recorded: proxy -> scores (M, D) on the benchmarks. stand_in
    (M,): the model whose scores speak for one that wasn't looked at, -1 = nobody's. cold: strength
    and variance (M,) of models without any measurement, NaN elsewhere. Raises `ValueError` for
    shapes that don't fit or a record without a single score.
    """
    skill = np.asarray(skill, dtype=np.float64)
    prior = fit_prior(skill)
    if cold is not None:
        prior = _warmed(prior, *cold)
    names = usable_proxies(own, recorded)
    if names:
        looks = read_looks(own, recorded, names=names)
        # measured and scored, benchmark by benchmark: what weights are learned from
        cells = np.isfinite(looks.benchmarks).all(axis=0) & np.isfinite(prior.relative).T
        if looks.scored.sum() >= 2 and _enough(cells):
            return _with_looks(prior, skill, looks, stand_in)
    return _without_looks(prior, skill)


def _warmed(prior: Prior, strength: Array, variance: Array) -> Prior:
    """The prior with a guess for the models that nobody has measured."""
    cold = np.isfinite(strength) & ~np.isfinite(prior.relative).any(axis=1)
    return replace(
        prior,
        strength=np.where(cold, strength, prior.strength),
        variance=np.where(cold, variance, prior.variance),
    )


# ------------------------------------------------------------------------- prior alone


def _without_looks(prior: Prior, skill: Array) -> Outlook:
    """No proxy has earned a weight: the strengths as they are, and what they miss on benchmarks."""
    models, sets = skill.shape
    used = np.isfinite(prior.level)
    without = prior.leave_out()[0]
    misses = _deviation(prior.relative - without)
    levels = prior.level[used]
    return Outlook(
        relative=prior.strength,
        deviation=np.sqrt(misses**2 + _excess(prior)),
        level=float(levels.mean()),
        level_deviation=float(levels.std(ddof=1)) if len(levels) > 1 else float("nan"),
        parts={PRIOR: prior.strength},
        source=np.full(models, NONE),
        shared=np.zeros(models),
        weights={NONE: {PRIOR: 1.0}},
        alike=np.full(sets, np.nan),
        novelty=None,
        benchmarks=np.where(np.isfinite(prior.relative), without, np.nan),
    )


def _excess(prior: Prior) -> Array:
    """Variance (M,) of strengths that are less certain than usual, beyond the usual."""
    usual = np.median(prior.variance[np.isfinite(prior.relative).any(axis=1)])
    return np.maximum(prior.variance - usual, 0.0)


# ------------------------------------------------------------------------- prior and looks


def _with_looks(
    prior: Prior, skill: Array, looks: Looks, stand_in: NDArray[np.int64] | None
) -> Outlook:
    models, sets = skill.shape
    every = list(range(sets))
    alike = likeness(looks, looks.target, looks.usual(), every)
    column = _columns(prior, looks, looks.target, looks.usual(), prior.strength, alike, every)
    lender = _lenders(looks, stand_in)
    taught = _taught(looks.scored)
    cells, closeness = _benchmarks(prior.only(taught), looks.only(taught))
    scored = looks.scored[taught]
    novelty = judge(
        alike,
        closeness,
        (column[PRIOR][taught], _gist(column, looks)[taught]),
        [(c[PRIOR], _gist(c, looks)) for c in cells],
        scored,
        signal=looks.best,
    )
    goal = np.stack([_centred(values, scored) for values in prior.relative[taught].T])
    lender_taught = np.searchsorted(taught, lender[taught])
    relative, deviation = np.full(models, np.nan), np.full(models, np.nan)
    source, shared = np.full(models, NONE, dtype="<U16"), np.zeros(models)
    benchmarks = np.full((models, sets), np.nan)
    parts: dict[str, Array] = {}
    weights: dict[str, dict[str, float]] = {}
    for name, who in _kinds(looks.scored, lender):
        proxies = () if name == NONE else _proxy_columns(looks)
        fits = [_fit(cells, goal, who[taught], lender_taught, (PRIOR, NEAREST, *proxies))]
        if novelty is not None and novelty.novel and name == OWN:
            fits.append(_fit(cells, goal, who[taught], lender_taught, proxies))
        guesses = [
            (fit.weights[:, None] * _design([column], fit.columns, lender)[:, 0], fit)
            for fit in fits
        ]
        mean, sd = _mixed(guesses)
        relative[who] = mean[who]
        benchmarks[taught[who[taught]]] = (goal - fits[0].misses).T[who[taught]]
        deviation[who] = np.sqrt(sd**2 + _uncertain(prior, fits))[who]
        source[who] = name
        if name == LENT:
            shared[who] = _in_common(fits[0].misses, lender_taught)
        weights[name] = _average_weights(fits)
        for added, fit in guesses:
            for row, what in zip(added, fit.columns, strict=True):
                part = parts.setdefault(what.removesuffix(USUAL), np.zeros(models))
                part[who] += row[who] / len(guesses)
    level, level_deviation = _level(prior, looks)
    return Outlook(
        relative,
        deviation,
        level,
        level_deviation,
        parts,
        source,
        shared,
        weights,
        alike,
        novelty,
        benchmarks,
        looks.names,
    )


def _benchmarks(prior: Prior, looks: Looks) -> tuple[list[dict[str, Array]], list[Array]]:
    """The evidence on each benchmark with that one left out, and how alike the others are."""
    every = range(looks.benchmarks.shape[1])
    without = prior.leave_out()[0]
    cells, closeness = [], []
    for j in every:
        others = [d for d in every if d != j]
        usual = looks.usual(without=j)
        near = likeness(looks, looks.benchmarks[:, j], usual, others)
        closeness.append(near)
        cells.append(
            _columns(prior, looks, looks.benchmarks[:, j], usual, without[:, j], near, others)
        )
    return cells, closeness


def _taught(scored: Mask) -> NDArray[np.int64]:
    """The models that weights are learned from: those scored, and all or some of the others."""
    rest = np.flatnonzero(~scored)
    step = -(-len(rest) // OTHERS)
    return np.sort(np.concatenate([np.flatnonzero(scored), rest[:: max(1, step)]]))


USUAL = " above usual"


def _proxy_columns(looks: Looks) -> tuple[str, ...]:
    return (*looks.names, *(name + USUAL for name in looks.names))


def _columns(
    prior: Prior,
    looks: Looks,
    column: Array,
    usual: Array,
    strength: Array,
    alike: Array,
    benchmarks: list[int],
) -> dict[str, Array]:
    """All evidence on one dataset: name -> (M,), relative to the scored models."""
    found = {PRIOR: strength, NEAREST: neighbours(prior, alike, benchmarks)}
    for p, name in enumerate(looks.names):
        found[name] = column[p]
        above = column[p] - usual[p]
        # where nothing is usual yet, nothing is unusual
        found[name + USUAL] = np.where(np.isfinite(usual[p]), above, 0 * column[p])
    return {name: _centred(values, looks.scored) for name, values in found.items()}


def _centred(values: Array, scored: Mask) -> Array:
    have = scored & np.isfinite(values)
    return values - values[have].mean() if have.any() else values


def _gist(column: Mapping[str, Array], looks: Looks) -> Array:
    """What the proxies say together (M,)."""
    return np.mean([column[name] for name in looks.names], axis=0)


def _lenders(looks: Looks, stand_in: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """From which model each one's proxies are taken (M,): from itself, or from its stand-in."""
    itself = np.arange(len(looks.scored))
    if stand_in is None:
        return itself
    lends = ~looks.scored & (stand_in >= 0) & looks.scored[np.maximum(stand_in, 0)]
    return np.where(lends, stand_in, itself)


def _kinds(scored: Mask, lender: NDArray[np.int64]) -> list[tuple[str, Mask]]:
    """Whose proxies are used, for which models."""
    lent = ~scored & scored[lender]
    kinds = [(OWN, scored), (LENT, lent), (NONE, ~scored & ~lent)]
    return [(name, who) for name, who in kinds if who.any()]


def _design(
    cells: list[dict[str, Array]], columns: tuple[str, ...], lender: NDArray[np.int64]
) -> Array:
    """(F, len(cells), M). Proxies are taken from the lender, prior and neighbours are one's own."""
    rows = []
    for name in columns:
        values = np.stack([cell[name] for cell in cells])
        rows.append(values if name in (PRIOR, NEAREST) else values[:, lender])
    return np.stack(rows)


def _enough(cells: Mask) -> bool:
    """Whether a weight can be learned from these cells (D, M)."""
    return int(cells.any(axis=1).sum()) >= FEWEST_BENCHMARKS


def _fit(
    cells: list[dict[str, Array]],
    goal: Array,
    who: Mask,
    lender: NDArray[np.int64],
    columns: tuple[str, ...],
) -> _Fit:
    """Weights from the benchmarks, and what they miss on benchmarks that they didn't see.

    From the models `who`; from all, where those are measured on too few benchmarks.
    """
    x = _design(cells, columns, lender)  # (F, D, M)
    good = np.isfinite(x).all(axis=0) & np.isfinite(goal)
    good = good & who if _enough(good & who) else good
    misses = np.full(goal.shape, np.nan)
    for j in np.flatnonzero(good.any(axis=1)):
        rest = good.copy()
        rest[j] = False
        if rest.any():
            weights = _ridge(x[:, rest].T, goal[rest])
            misses[j, good[j]] = goal[j, good[j]] - weights @ x[:, j, good[j]]
    weights = _ridge(x[:, good].T, goal[good]) if good.any() else np.zeros(len(columns))
    return _Fit(columns, weights, _deviation(misses), misses)


def _ridge(x: Array, y: Array) -> Array:
    """Weights (F,) at or above 0 of columns (n, F), penalised on their standardised scale."""
    from scipy.optimize import nnls

    scale = x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, np.inf)  # a constant column gets no weight
    x = x / scale
    # Normal equations in Cholesky form: the same answer from F rows instead of n.
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    root = np.linalg.cholesky(gram).T
    found, _ = nnls(root, np.linalg.solve(root.T, x.T @ y))
    return found / scale


def _deviation(misses: Array) -> float:
    known = misses[np.isfinite(misses)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def _mixed(guesses: list[tuple[Array, _Fit]]) -> tuple[Array, Array]:
    """Mean (M,) and standard deviation (M,) of an even mixture of predictions."""
    means = np.stack([added.sum(axis=0) for added, _ in guesses])
    variances = np.array([fit.deviation**2 for _, fit in guesses])
    mean = means.mean(axis=0)
    return mean, np.sqrt(variances.mean() + means.var(axis=0))


def _uncertain(prior: Prior, fits: list[_Fit]) -> Array:
    """Variance (M,) that models with fewer measurements than usual have on top."""
    weight = np.mean([f.weights[f.columns.index(PRIOR)] if PRIOR in f.columns else 0 for f in fits])
    return float(weight) ** 2 * _excess(prior)


def _in_common(misses: Array, lender: NDArray[np.int64]) -> float:
    """Share of variance that models with the same lender miss in common, from 0 to 0.9."""
    both = pairs = 0.0
    for head in np.unique(lender):
        group = misses[:, lender == head]
        have = np.isfinite(group)
        filled, count = np.where(have, group, 0.0), have.sum(axis=1)
        both += float((filled.sum(axis=1) ** 2 - (filled**2).sum(axis=1)).sum())
        pairs += float((count * (count - 1)).sum())
    finite = misses[np.isfinite(misses)]
    if not pairs or not finite.size or not np.any(finite):
        return 0.0
    return float(np.clip(both / pairs / np.mean(finite**2), 0.0, 0.9))


def _average_weights(fits: list[_Fit]) -> dict[str, float]:
    names = fits[0].columns
    return {
        name: float(
            np.mean([f.weights[f.columns.index(name)] if name in f.columns else 0.0 for f in fits])
        )
        for name in names
    }


def _level(prior: Prior, looks: Looks) -> tuple[float, float]:
    """Skill to expect of the scored models' mean on the target, and its standard deviation.

    What the linear probe says of the target plus what fine-tuning usually adds to that; without a
    probe the mean of the benchmarks.
    """
    strength = prior.strength[looks.scored].mean()
    reached = prior.level + prior.loading * strength
    seen, here = looks.level[:-1], looks.level[-1]
    have = np.isfinite(reached) & np.isfinite(seen)
    if PROBE in looks.names and np.isfinite(here) and have.sum() >= FEWEST_BENCHMARKS:
        gain = (reached - seen)[have]
        room = (1 - seen)[have]
        whole = float((room**2).sum())
        share = float((gain * room).sum()) / whole if whole > 0 else 0.0
        misses = gain - share * room
        return here + share * (1 - here), float(misses.std(ddof=1))
    levels = reached[np.isfinite(reached)]
    spread = float(levels.std(ddof=1)) if len(levels) > 1 else float("nan")
    return float(levels.mean()), spread
