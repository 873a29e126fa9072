"""What a selection may spend, and what it is expected to spend, before anything is fetched."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.errors import InputError
from hf_select.pipeline.base import Record, Say
from hf_select.records import Recipe
from hf_select.results.matrix import dataset_name
from hf_select.selection.budget import STEP, Budget, parse_seconds
from hf_select.selection.policies import NamedPolicy, get_policy

if TYPE_CHECKING:
    from hf_select.pipeline.recalling import RecallSettings
    from hf_select.tasks.data import TargetData

REPLAYED = 4
"""Benchmarks that a selection is replayed on to tell what it will spend."""
MOST_MODELS = 300
"""Models of a record up to which that takes no time worth the name."""
SLOWER = 10
"""By how much the machines that made a record may be slower than this one."""
LOOKS_SHARE = 3
"""A budget in seconds leaves one part of this many for looking at models."""


def choose_policy(
    name: str | None,
    *,
    preset: str | None = None,
    tolerance: float | None = None,
    confidence: float | None = None,
    at_once: int = 1,
) -> NamedPolicy:
    """The policy by name (`trend` if none is named, `paper` in its preset) with what was given.

    `at_once`: trainings that can run side by side, of use to a policy that asks for single ones.
    Raises `InputError` for a tolerance or a confidence that the policy doesn't know.
    """
    name = name or ("paper" if preset == "paper" else "trend")
    given = {"tolerance": tolerance, "confidence": confidence}
    chosen = get_policy(name, **{key: value for key, value in given.items() if value is not None})
    if at_once > 1 and "at_once" in inspect.signature(chosen.function).parameters:
        return replace(chosen, parameters={"at_once": at_once, **chosen.parameters})
    return chosen


def as_budget(
    seconds: str | float | None, epochs: float | None, price: float | None, horizon: float
) -> Budget:
    """The limits as a budget, refused if no candidate could take a single step.

    `seconds` is a number or words such as "30m".
    """
    budget = Budget(
        parse_seconds(seconds) if isinstance(seconds, str) else seconds,
        epochs,
        price,
    )
    for limit, words in (
        (budget.epochs, f"{epochs:g} epochs" if epochs else ""),
        (None if price is None else price * horizon, f"a price of {price:g}" if price else ""),
    ):
        if limit is not None and limit < STEP:
            raise InputError(
                f"a budget of {words} is too small for one step of one candidate",
                hint=f"the first step is {STEP:g} epochs of {horizon:g}",
            )
    return budget


@dataclass(frozen=True)
class Speed:
    """How long things take by the record, of whose machines nothing is known; NaN = unknown.

    epoch: seconds of one training epoch on the target's train rows; look: of looking at one model.
    """

    epoch: float
    look: float

    @classmethod
    def of(cls, record: Record, target: TargetData, recipe: Recipe) -> Speed:
        """From the record's runs and proxy passes, by the number of train rows."""
        from hf_select.features import look_rows

        rows = len(target.train)
        entries = record.datasets(target.task)
        trained = {dataset_name(e.repo_id, e.config): e.splits.get("train", 0) for e in entries}
        curves = record.curves(target.task, models=list(record.sizes(target.task))[:MOST_MODELS])
        paces = []
        for j, name in enumerate(curves.datasets):
            size = trained.get(name, 0)
            with np.errstate(invalid="ignore"):
                seconds = curves.seconds[:, j] / curves.epochs
            known = seconds[np.isfinite(seconds) & (seconds > 0)]
            if size and known.size:
                paces.append(float(np.median(known)) / size)
        looks = [
            (row.seconds + row.scoring_seconds) / row.rows
            for row in record.proxies(target.task)
            if row.rows and np.isfinite(row.seconds)
        ]
        return cls(
            float(np.median(paces)) * min(rows, recipe.max_train_samples or rows)
            if paces
            else float("nan"),
            float(np.median(looks)) * look_rows(rows) if looks else float("nan"),
        )


def affordable_looks(budget: Budget, speed: Speed, horizon: float, asked: int | None) -> int | None:
    """How many models may be looked at; at least 2.

    Within a third of a time, and within what a limit in epochs or price leaves over one training.
    """
    if not (np.isfinite(speed.look) and speed.look > 0):
        return asked
    shares = [] if budget.seconds is None else [budget.seconds / LOOKS_SHARE]
    limits = [budget.epochs, None if budget.price is None else budget.price * horizon]
    if np.isfinite(speed.epoch):
        shares += [(limit - horizon) * speed.epoch for limit in limits if limit is not None]
    if not shares:
        return asked
    most = max(2, int(min(shares) / speed.look))
    return most if asked is None else min(asked, most)


def check_affordable(budget: Budget, speed: Speed, say: Say) -> None:
    """Refuse a time in which, by the record, no candidate could take a single step.

    The record's machines may be slower: within a tenth of what they take it is only said.
    """
    step = STEP * speed.epoch
    if budget.seconds is None or not np.isfinite(step) or budget.seconds >= step:
        return
    takes = f"by the record, {STEP:g} epochs take about {step:.1f} s on this target"
    if budget.seconds < step / SLOWER:
        raise InputError(
            f"a budget of {budget.seconds:g} s is too small for one step of one candidate",
            hint=takes,
        )
    say(f"a budget of {budget.seconds:g} s may end before the first score: {takes}")


@dataclass(frozen=True)
class Expected:
    """What a selection is expected to spend.

    trainings: multiples of one full training, without looks, from replays on `replayed` benchmarks
    (low to high). looks: models looked at. rates: how many learning rates there are, where all else
    is for one. summary: policy -> how it did in those replays.
    """

    looks: int
    trainings: float
    low: float
    high: float
    replayed: int
    horizon: float
    speed: Speed
    rates: int = 1
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def price(self) -> float:
        """Looks included, where it is known what they take."""
        share = self.looks * self.speed.look / (self.horizon * self.speed.epoch)
        return self.trainings + (share if np.isfinite(share) else 0.0)

    @property
    def seconds(self) -> float:
        """By the record's machines."""
        return self.price * self.horizon * self.speed.epoch

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; unknown ones are None."""
        values = {"price": self.price, "seconds": self.seconds, "trainings": self.trainings}
        return {
            **{key: round(v, 3) if np.isfinite(v) else None for key, v in values.items()},
            "looks": self.looks,
            "replayed": self.replayed,
            "rates": self.rates,
        }

    def __str__(self) -> str:
        text = f"Expected: {self.looks} models looked at, then " if self.looks else "Expected: "
        text += f"about {self.trainings:.1f} full trainings"
        if self.replayed:
            text += f" ({self.low:.1f} to {self.high:.1f} when replayed on {self.replayed} "
            text += "benchmarks of the record)"
        text += f", a price of about {self.price:.1f}"
        if np.isfinite(self.seconds):
            text += f"; {_in_words(self.seconds)} at the speed of the record's machines"
        if self.rates > 1:
            text += f". That is for one learning rate: {self.rates} of them cost more, up to "
            text += f"about {self.rates} times as much training"
        return text


def expected_spending(
    record: Record,
    target: TargetData,
    policy: NamedPolicy,
    settings: RecallSettings,
    horizon: float,
    speed: Speed,
    rates: int = 1,
) -> Expected | None:
    """What the selection will spend, by replaying it on some benchmarks; None if that can't be."""
    from hf_select.pipeline.compare import replay_briefly

    sizes = record.sizes(target.task)
    looks = 0
    if settings.method == "hybrid":
        from hf_select.recall import LIMIT

        left = len(set(sizes) - {one.repo_id for one in settings.excluded})
        looks = min(settings.looks or LIMIT, left) if record.proxies(target.task) else 0
    if len(sizes) > MOST_MODELS:
        return None
    document = replay_briefly(record, target.task, policy, settings, most=REPLAYED)
    if not document:
        return None
    spent = [rows[policy.name]["trainings"] for rows in document["targets"].values()]
    mean, low, high = float(np.mean(spent)), min(spent), max(spent)
    return Expected(looks, mean, low, high, len(spent), horizon, speed, rates, document["summary"])


def told_beforehand(expected: Expected | None, budget: Budget, horizon: float) -> str:
    """What is said of the spending before anything is fetched."""
    if expected is None:
        return "What this will spend isn't known: no replay on the record tells it."
    limits = [
        limit
        for limit in (
            budget.price,
            None if budget.epochs is None else budget.epochs / horizon,
            None if budget.seconds is None else budget.seconds / (horizon * expected.speed.epoch),
        )
        if limit is not None and np.isfinite(limit)
    ]
    text = f"{expected}."
    if limits and min(limits) < expected.price:
        text += f" You allow a price of about {min(limits):.1f}: it will be cut short."
    return text


def _in_words(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"about {seconds / size:.1f} {unit}"
    return f"about {seconds:.0f} s"


def spending_settings(budget: Budget, policy: NamedPolicy) -> Mapping[str, Any]:
    """What a selection that goes on must have been asked, too."""
    return {"budget": budget.to_dict(), "policy": policy.name, **dict(policy.parameters)}


def spending_options(budget: Budget, policy: NamedPolicy) -> Mapping[str, Any]:
    """The same as options of the command line, by which somebody else can do it again."""
    known = ("tolerance", "confidence")
    return {
        "policy": policy.name,
        **{name: policy.parameters[name] for name in known if name in policy.parameters},
        "budget": None if budget.seconds is None else f"{budget.seconds:g}s",
        "max_epochs": budget.epochs,
        "max_cost": budget.price,
    }
