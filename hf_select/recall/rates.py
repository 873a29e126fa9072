"""What a record says of learning rates: how much better one is than another, and how surely.

The skills of one model on one dataset by two rates are compared, which leaves out how good the
model is and how hard the dataset. Of these differences

    difference = mean + of the family + of the model + of the dataset + rest,

where all but the mean are draws from normal distributions (a mixed model with crossed random
effects, as in Bates et al., arXiv 1406.5823). So it counts on how many models and datasets a
difference was seen, not on how many cells, and a family with few models is drawn to the mean over
all. How much each part varies is learned by expectation maximisation, from what is assumed as if
`WEIGHTS` draws had shown it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.records import PerformanceMatrix

Array = NDArray[np.float64]

PER_DECADE = 0.2
"""Standard deviation, in skill, of what a factor of ten in the learning rate changes for one model
on one dataset, where nothing is on record; of other factors by the root of their logarithm, as in a
random walk: a factor of 3 changes 0.14, one of 1.5 still 0.08. An assumption. Between 3e-4 and
3e-3 it was 0.17 on the shipped benchmarks (60 pairs of runs, half of text and half of images)."""
SHARES = (0.4, 0.1, 0.1, 0.3, 0.1)
"""How that variance is shared out among mean, family, model, dataset and rest: assumed as well."""
WEIGHTS = (0.0, 8.0, 2.0, 2.0, 2.0)
"""As many draws of each part as the assumption counts for. A record has few families, so that a
single one with an odd run would tell that families differ; the mean is one draw, and its variance
isn't learned."""
ROUNDS = 30
SURE = 1.96  # standard deviations either side of 95 %
SURER = 1.645  # below which 95 % lie
MATTERS = 0.005
"""Half a point: skill by which another rate must be better for one not to be tried."""
EPS = 1e-9


def family_of(architecture: str) -> str:
    """The family of an architecture: its name without the head.

    >>> family_of("BertForMaskedLM"), family_of("GPT2LMHeadModel"), family_of("BertModel")
    ('Bert', 'GPT2', 'Bert')
    """
    return re.sub(r"(For[A-Z]\w*|(LMHead|PreTrained)?Model)$", "", architecture)


@dataclass(frozen=True)
class RateEffect:
    """What one rate adds to the skill that another gives, for one model on a new dataset.

    mean; error: standard deviation of the mean, for this family; shared: of what all models have
    in common on a dataset; own: of what is left to the single model. `cells` were compared, of
    `models` on `datasets`; 0 if none.
    """

    mean: float
    error: float
    shared: float
    own: float
    cells: int = 0
    models: int = 0
    datasets: int = 0

    @property
    def deviation(self) -> float:
        """Of the effect for one model on a new dataset."""
        return math.sqrt(self.error**2 + self.shared**2 + self.own**2)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of what the mean may be."""
        return self.mean - SURE * self.error, self.mean + SURE * self.error

    @property
    def regret(self) -> float:
        """Skill that is lost on average where the other rate isn't tried: the mean of -effect where
        that is above 0, for one model on a new dataset."""
        if self.deviation == 0:
            return max(0.0, -self.mean)
        z = self.mean / self.deviation
        density = math.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        return self.deviation * density - self.mean * 0.5 * math.erfc(z / math.sqrt(2))

    @property
    def settles(self) -> bool:
        """Whether the other rate isn't worth trying: the mean is above `MATTERS` with 95 %, and no
        more than that is lost on the datasets where the other one is better after all."""
        return self.mean - SURER * self.error > MATTERS and self.regret < MATTERS


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two rates, compared over all families; `of` gives the effect for one of them.

    Of the parameters (mean, families, models, datasets; P of them) estimate (P,) and covariance
    (P, P); variance (5,): of mean, family, model, dataset and rest; gap: of what lies between the
    rates that are on record.
    """

    families: tuple[str, ...]
    estimate: Array
    covariance: Array
    variance: Array
    gap: float
    cells: int
    models: int
    datasets: int

    def of(self, family: str) -> RateEffect:
        """The effect for a model of that family, which may be one that nobody has compared."""
        picked = np.zeros(len(self.estimate))
        picked[0] = 1.0
        known = family in self.families
        if known:
            picked[1 + self.families.index(family)] = 1.0
        _, of_family, of_model, of_dataset, rest = self.variance.tolist()
        error = float(picked @ self.covariance @ picked) + (0.0 if known else of_family)
        to_mean, to_family, to_model, to_dataset, to_rest = (self.gap * share for share in SHARES)
        return RateEffect(
            mean=float(picked @ self.estimate),
            error=math.sqrt(max(error, 0.0) + to_mean + to_family),
            shared=math.sqrt(max(of_dataset, 0.0) + to_dataset),
            own=math.sqrt(max(of_model + rest, 0.0) + to_model + to_rest),
            cells=self.cells,
            models=self.models,
            datasets=self.datasets,
        )


@dataclass(frozen=True, eq=False)
class RateRecord:
    """Skill by learning rate. rates (R,), rising; skill (R, M, D), NaN = not measured; families
    (M,): `family_of` each model, "" = unknown."""

    rates: tuple[float, ...]
    skill: Array
    families: tuple[str, ...]

    @classmethod
    def of(
        cls, matrices: Mapping[float, PerformanceMatrix], families: Mapping[str, str]
    ) -> RateRecord:
        """From the performance matrix of each rate, and the family of each model.

        The matrices are of recipes that differ in nothing else. A column whose metric isn't that of
        the first matrix that has it is left out.
        """
        models = sorted({name for matrix in matrices.values() for name in matrix.models})
        metrics = {
            name: metric
            for matrix in reversed(list(matrices.values()))
            for name, metric in zip(matrix.datasets, matrix.metrics, strict=True)
        }
        row = {name: i for i, name in enumerate(models)}
        column = {name: j for j, name in enumerate(sorted(metrics))}
        skill = np.full((len(matrices), len(models), len(column)), np.nan)
        for r, rate in enumerate(sorted(matrices)):
            matrix = matrices[rate]
            rows = [row[name] for name in matrix.models]
            values = matrix.skill
            for j, (name, metric) in enumerate(zip(matrix.datasets, matrix.metrics, strict=True)):
                if metric == metrics[name]:
                    skill[r, rows, column[name]] = values[:, j]
        return cls(tuple(sorted(matrices)), skill, tuple(families.get(name, "") for name in models))

    def compare(self, rate: float, reference: float) -> Comparison:
        """What `rate` adds to the skill of `reference`.

        Between two rates on record the skill of each cell is interpolated on the log scale; beyond
        them it is that of the nearest. What lies in between or beyond is taken as a random walk.
        """
        mix = self._mix(rate) - self._mix(reference)
        mix[np.abs(mix) < EPS] = 0.0
        used = np.flatnonzero(mix)
        if len(used):
            difference = np.tensordot(mix[used], self.skill[used], axes=1)
        else:
            difference = np.full(self.skill.shape[1:], np.nan)
        logs = np.log10(self.rates)
        walked = -0.5 * float(mix @ np.abs(logs[:, None] - logs) @ mix) if len(logs) else 0.0
        return _compare(
            difference,
            self.families,
            assumed=PER_DECADE**2 * walked,
            gap=PER_DECADE**2 * self._unmeasured(rate, reference),
        )

    def _mix(self, rate: float) -> Array:
        """Weights (R,) of the rates on record that stand for a rate."""
        logs = np.log10(self.rates)
        return np.array([np.interp(np.log10(rate), logs, unit) for unit in np.eye(len(logs))])

    def _unmeasured(self, first: float, second: float) -> float:
        """Decades that a random walk through the rates on record is free to differ by."""
        a, b = sorted((math.log10(first), math.log10(second)))
        return max(0.0, self._walk(a, a) + self._walk(b, b) - 2 * self._walk(a, b))

    def _walk(self, a: float, b: float) -> float:
        """Covariance, in decades, of that walk at two log rates, a <= b."""
        logs = [math.log10(rate) for rate in self.rates]
        if not logs:
            return min(abs(a), abs(b)) if a * b > 0 else 0.0  # from a rate of 1
        place = [int(np.searchsorted(logs, x)) for x in (a, b)]
        if place[0] != place[1]:
            return 0.0
        if place[0] == 0:
            return logs[0] - b
        if place[0] == len(logs):
            return a - logs[-1]
        left, right = logs[place[0] - 1], logs[place[0]]
        return (a - left) * (right - b) / (right - left)


@dataclass(frozen=True)
class LeftOut:
    """A rate that isn't worth trying, the one that is better, and what it adds."""

    rate: float
    better: float
    effect: RateEffect


def not_worth_trying(
    record: RateRecord, families: Sequence[str], rates: Sequence[float]
) -> dict[str, tuple[LeftOut, ...]]:
    """Family -> those of the rates that another one settles (`RateEffect.settles`). At least one
    rate of a family stays."""
    compared = {(a, b): record.compare(a, b) for a in rates for b in rates if a != b}
    found = {}
    for family in dict.fromkeys(families):
        out = []
        for rate in rates:
            effects = {a: compared[a, rate].of(family) for a in rates if a != rate}
            better = max(effects, key=lambda a: effects[a].mean, default=None)
            sure = [a for a in effects if effects[a].settles]
            if better is not None and sure:
                better = better if better in sure else sure[0]
                out.append(LeftOut(rate, better, effects[better]))
        if len(out) == len(rates):  # each is worse than another: seen on different cells
            out = out[1:]
        found[family] = tuple(out)
    return found


def _compare(
    difference: Array, families: Sequence[str], *, assumed: float, gap: float
) -> Comparison:
    """The mixed model of differences (M, D), NaN = not compared; `assumed`: their variance."""
    rows, columns = np.nonzero(np.isfinite(difference))
    family = np.array(families, dtype=object)[rows]
    names = tuple(sorted(set(family.tolist())))
    models, datasets = np.unique(rows), np.unique(columns)
    values = difference[rows, columns]
    design = np.hstack(
        [
            np.ones((len(rows), 1)),
            family[:, None] == np.array(names, dtype=object)[None, :],
            rows[:, None] == models[None, :],
            columns[:, None] == datasets[None, :],
        ]
    ).astype(np.float64)
    part = np.repeat([0, 1, 2, 3], [1, len(names), len(models), len(datasets)])
    prior = assumed * np.array(SHARES)
    variance, estimate, covariance = prior, np.zeros(len(part)), np.diag(prior[part])
    if len(rows):
        variance, estimate, covariance = _maximise(design, values, part, prior)
    return Comparison(
        names, estimate, covariance, variance, gap, len(rows), len(models), len(datasets)
    )


def _maximise(
    design: Array, values: Array, part: NDArray[np.int64], prior: Array
) -> tuple[Array, Array, Array]:
    """Variances (5,), estimates (P,) and their covariance (P, P), by expectation maximisation."""
    variance, weights = prior.copy(), np.array(WEIGHTS)
    inner, pull = design.T @ design, design.T @ values
    draws = np.append(np.bincount(part, minlength=4), len(values))
    for _ in range(ROUNDS):
        covariance = np.linalg.inv(inner / variance[4] + np.diag(1 / variance[part]))
        estimate = covariance @ pull / variance[4]
        squares = np.bincount(part, estimate**2 + np.diag(covariance), minlength=4)
        left = float(((values - design @ estimate) ** 2).sum() + np.sum(inner * covariance))
        variance = (np.append(squares, left) + weights * prior) / (draws + weights)
        variance[0] = prior[0]
    return variance, estimate, covariance
