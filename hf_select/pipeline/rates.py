"""Models x learning rates as candidates, and what the record says of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hf_select.errors import InputError
from hf_select.records import Expectation, Recipe

if TYPE_CHECKING:
    from hf_select.pipeline.base import Record, Say
    from hf_select.pipeline.recalling import Recalled


@dataclass(frozen=True)
class Entrant:
    """A candidate: a model by one recipe. `name` is the model's, with the rate if there are more.

    effect: skill that the rate is expected to add to that of the record's own, deviation: of it.
    """

    name: str
    model: str
    recipe: Recipe
    effect: float = 0.0
    deviation: float = 0.0


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


def entrants(
    recalled: Recalled,
    record: Record,
    task: str,
    recipe: Recipe,
    rates: Sequence[float],
    say: Say,
) -> dict[str, Entrant]:
    """Every recalled model with every rate, best first, by name."""
    found = {}
    for candidate in recalled.result.candidates:
        for rate in rates:
            name = candidate.model if len(rates) == 1 else f"{candidate.model} lr={rate:g}"
            found[name] = Entrant(name, candidate.model, replace(recipe, learning_rate=rate))
    return found


def expected_of_entrants(expected: Expectation, field: Mapping[str, Entrant]) -> Expectation:
    """What is expected of the entrants, after the models that a forecast learns from."""
    new = [one for one in field.values() if one.name != one.model and one.model in expected.models]
    if not new:
        return expected
    rows = [expected.models.index(one.model) for one in new]
    effect = np.array([one.effect for one in new])
    spread = np.array([one.deviation for one in new])
    return replace(
        expected,
        models=(*expected.models, *(one.name for one in new)),
        mean=np.concatenate([expected.mean, expected.mean[rows] + effect]),
        deviation=np.concatenate(
            [expected.deviation, np.sqrt(expected.deviation[rows] ** 2 + spread**2)]
        ),
        benchmarks=np.vstack([expected.benchmarks, expected.benchmarks[rows]]),
    )
