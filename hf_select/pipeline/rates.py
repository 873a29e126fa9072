"""Models x learning rates as candidates, and what the record says of rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hf_select.errors import InputError
from hf_select.pipeline.base import LEARNT_FROM, columns_of
from hf_select.records import CurveSet, Expectation, Recipe
from hf_select.results.matrix import default_recipe

if TYPE_CHECKING:
    from hf_select.pipeline.base import Record, Say
    from hf_select.pipeline.recalling import Recalled
    from hf_select.recall.rates import Comparison, LeftOut, RateRecord
    from hf_select.tasks.data import TargetData


@dataclass(frozen=True)
class Entrant:
    """A candidate: a model by one recipe. `name` is the model's, with the rate if there are more.

    effect: skill that the rate is expected to add to that of the record's own; deviation: of it;
    shared: of what it adds to all models alike on one dataset.
    """

    name: str
    model: str
    recipe: Recipe
    effect: float = 0.0
    deviation: float = 0.0
    shared: float = 0.0


def with_rates(recipe: Recipe, rates: Sequence[float]) -> tuple[Recipe, tuple[float, ...]]:
    """The recipe and the rates to try, in the order given, each once.

    No rates: the recipe's own. Otherwise the first one becomes the recipe's, unless its own is
    among them. Raises `InputError` for one that isn't above 0.
    """
    every = tuple(dict.fromkeys(float(rate) for rate in rates)) or (recipe.learning_rate,)
    for rate in every:
        if not 0 < rate < float("inf"):
            raise InputError(f"learning rate is {rate!r}, but must be above 0")
    first = recipe.learning_rate if recipe.learning_rate in every else every[0]
    return replace(recipe, learning_rate=first), every


# ------------------------------------------------------------------------------ the record


def main_recipe(record: Record, task: str) -> Recipe | None:
    """The recipe of the curves and the matrix that a selection rests on; None if nobody described
    it (imported results)."""
    counts = record.recipes(task)
    return record.recipe(default_recipe(counts)) if counts else None


def recorded_rates(record: Record, task: str) -> dict[float, str]:
    """Learning rate -> digest, of the recipes that differ from the main one in nothing else."""
    main = main_recipe(record, task)
    if main is None:
        return {}
    found = {}
    for digest in record.recipes(task):
        recipe = record.recipe(digest)
        if recipe is not None and _same_but_rate(recipe, main):
            found[recipe.learning_rate] = digest
    return found


def curves_apply(record: Record, task: str, recipe: Recipe, rates: Collection[float]) -> bool:
    """Whether the record's curves are of this recipe with one of these rates, or of one that
    differs in nothing but the rate, and all of them are on record: then their effect is known."""
    main = main_recipe(record, task)
    if main is None or not _same_but_rate(recipe, main):
        return False
    return set(rates) <= set(recorded_rates(record, task))


def _same_but_rate(one: Recipe, other: Recipe) -> bool:
    return replace(one, learning_rate=other.learning_rate).digest() == other.digest()


def rate_record(record: Record, target: TargetData) -> RateRecord:
    """The skills by rate without the target, of models that have runs by more than one."""
    from hf_select.recall.rates import RateRecord, family_of

    digests = recorded_rates(record, target.task)
    if len(digests) < 2:
        return RateRecord(tuple(digests), np.empty((len(digests), 0, 0)), ())
    matrices = {rate: record.matrix(target.task, recipe=name) for rate, name in digests.items()}
    runs = Counter(name for matrix in matrices.values() for name in matrix.models)
    names = sorted(name for name, rates in runs.items() if rates > 1)
    names = names[:: max(1, -(-len(names) // LEARNT_FROM))]
    hidden = columns_of(target, record)
    for rate, matrix in matrices.items():
        for column in hidden:
            matrix = matrix.without_dataset(column)
        matrices[rate] = matrix.only_models([name for name in names if name in matrix.models])
    entries = record.models(target.task, names)
    return RateRecord.of(
        matrices, {entry.repo_id: family_of(entry.architecture) for entry in entries}
    )


# ------------------------------------------------------------------------------- candidates


def entrants(
    recalled: Recalled,
    record: Record,
    target: TargetData,
    recipe: Recipe,
    rates: Sequence[float],
    say: Say,
) -> dict[str, Entrant]:
    """Every recalled model with every rate that is worth trying for its family, by name.

    In the order of the recall, and of the rates. Those that the record speaks against are said.
    What is on record counts fully where the recipe is the record's up to the rate; otherwise it
    rules nothing out.
    """
    from hf_select.recall.rates import family_of, not_worth_trying

    main = main_recipe(record, target.task)
    usual = recipe.learning_rate if main is None else main.learning_rate
    models = [candidate.model for candidate in recalled.result.candidates]
    family = {name: family_of(recalled.entries[name].architecture) for name in models}
    known = None
    if len(rates) > 1 or (rates[0] != usual and curves_apply(record, target.task, recipe, rates)):
        known = rate_record(record, target)
    out: Mapping[str, tuple[LeftOut, ...]] = {}
    if known is not None and main is not None and _same_but_rate(recipe, main):
        out = not_worth_trying(known, list(family.values()), rates)
    for name, bad in out.items():
        if bad:
            say(_not_tried(name, bad))
    compared = {}
    if known is not None:
        compared = {rate: known.compare(rate, usual) for rate in rates if rate != usual}
        _say_unknown(compared, usual, say)
    found = {}
    for model in models:
        gone = {bad.rate for bad in out.get(family[model], ())}
        for rate in rates:
            if rate in gone:
                continue
            name = model if len(rates) == 1 else f"{model} lr={rate!r}"
            one = Entrant(name, model, replace(recipe, learning_rate=rate))
            found[name] = _with_effect(one, compared.get(rate), family[model])
    return found


def _with_effect(one: Entrant, compared: Comparison | None, family: str) -> Entrant:
    """The entrant with what its rate adds to the usual one; None: it is that one."""
    if compared is None:
        return one
    effect = compared.of(family)
    shared = float(np.hypot(effect.error, effect.shared))
    return replace(one, effect=effect.mean, deviation=effect.own, shared=shared)


def _say_unknown(compared: Mapping[float, Comparison], usual: float, say: Say) -> None:
    """Which rates nothing is on record of, so that what is expected of them is a guess."""
    unknown = [rate for rate, found in compared.items() if not found.cells]
    if unknown:
        guess = max(compared[rate].of("").deviation for rate in unknown)
        say(
            f"nothing is on record of learning rate {' and '.join(f'{r:g}' for r in unknown)}: "
            f"taken to be as good as {usual:g}, give or take {guess:.2f} in skill. `hf-select "
            "benchmark` with that rate and else the record's recipe tells more"
        )


def _not_tried(family: str, bad: Sequence[LeftOut]) -> str:
    """Which rates a family isn't tried with, and the numbers that say so."""
    parts = []
    for one in bad:
        low, high = one.effect.interval
        parts.append(
            f"{one.rate:g} (on record {one.better:g} gave {one.effect.mean:.3f} more skill, "
            f"{low:.3f} to {high:.3f} with 95 %, by {one.effect.cells} pairs of runs of "
            f"{one.effect.models} models on {one.effect.datasets} benchmarks)"
        )
    who = f"{family} models" if family else "models of unknown family"
    return f"{who} aren't tried with learning rate {', nor '.join(parts)}"


# ---------------------------------------------------------------- what a forecast starts from


def expected_of_entrants(expected: Expectation, field: Mapping[str, Entrant]) -> Expectation:
    """What is expected of the entrants, after the models that a forecast learns from.

    With one rate the entrants are models, and what the rate does to all alike is the level's.
    """
    known = [one for one in field.values() if one.model in expected.models]
    alone = [one for one in known if one.name == one.model]
    new = [one for one in known if one.name != one.model]
    mean, deviation = expected.mean.copy(), expected.deviation.copy()
    for one in alone:
        row = expected.models.index(one.model)
        mean[row] += one.effect
        deviation[row] = np.hypot(deviation[row], one.deviation)
    rows = [expected.models.index(one.model) for one in new]
    effect = np.array([one.effect for one in new])
    spread = np.array([one.deviation for one in new])
    groups = {one.name: f"{one.recipe.learning_rate!r}" for one in new if _is_new(one)}
    return replace(
        expected,
        models=(*expected.models, *(one.name for one in new)),
        mean=np.concatenate([mean, expected.mean[rows] + effect]),
        deviation=np.concatenate([deviation, np.hypot(expected.deviation[rows], spread)]),
        benchmarks=np.vstack([expected.benchmarks, expected.benchmarks[rows]]),
        level_deviation=float(
            np.hypot(expected.level_deviation, max((one.shared for one in alone), default=0.0))
        ),
        groups=groups,
        group_deviation={groups[one.name]: one.shared for one in new if one.name in groups},
    )


def _is_new(one: Entrant) -> bool:
    """Whether its rate is another one than that of the record's curves."""
    return bool(one.effect or one.deviation or one.shared)


def curves_of_entrants(
    curves: CurveSet, field: Mapping[str, Entrant], main: Recipe | None
) -> CurveSet:
    """The curves under the names of the entrants.

    A model's curves go by the name of the entrant with the record's own recipe, if there is one.
    The others get a row with nothing but the seconds, which tell what a step of them costs: their
    scores would be those of another rate.
    """
    row = {name: i for i, name in enumerate(curves.models)}
    others = [one for one in field.values() if one.name != one.model and one.model in row]
    if not others:
        return curves
    usual = "" if main is None else main.digest()
    renamed = {one.model: one.name for one in others if one.recipe.digest() == usual}
    new = [one for one in others if one.name not in renamed.values()]
    rows = [row[one.model] for one in new]
    return replace(
        curves,
        models=(*(renamed.get(m, m) for m in curves.models), *(one.name for one in new)),
        val=np.concatenate([curves.val, np.full_like(curves.val[rows], np.nan)]),
        test=np.concatenate([curves.test, np.full_like(curves.test[rows], np.nan)]),
        seconds=np.concatenate([curves.seconds, curves.seconds[rows]]),
    )
