"""What turns predictions into a score: our metrics, and those of the library `evaluate`.

Loading one of `evaluate`'s runs its code. Where a user names it, that is the choice to do so; a
catalog or a record that names one was made by somebody, so there it takes `ALLOW` besides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError
from hf_select.foreign_metrics import ALLOW, FROM, PREFIX, Foreign, parse_foreign
from hf_select.metrics import Metric, get_metric


@lru_cache(maxsize=64)
def scorer(name: str) -> Metric:
    """The metric of that name, ready to score predictions.

    An `evaluate` metric is loaded and tried out at once, so that what is wrong with it is found
    before anything is downloaded or trained. Raises `InputError`.
    """
    metric = get_metric(name)
    if not name.startswith(PREFIX):
        return metric
    said = parse_foreign(name)
    module = _load(said)

    def compute(predictions: NDArray, references: NDArray) -> float:
        return _compute(said, module, predictions, references)

    metric = replace(metric, function=compute)
    _try_out(said, metric)
    return metric


def check_allowed(name: str, where: str) -> None:
    """Refuse an `evaluate` metric that isn't the user's own word but that of a file."""
    if name.startswith(PREFIX) and os.environ.get(ALLOW) != "1":
        raise InputError(
            f"{where} is scored by {name!r}, which is a program that would be run here",
            hint=f"set {ALLOW}=1 if you trust it",
        )


def _load(said: Foreign) -> Any:
    """The `evaluate` module. Its code is run."""
    path = said.path
    if said.is_folder:
        path = str(Path(os.environ.get(FROM, "")) / Path(said.path).expanduser())
    elif Path(path, f"{Path(path).name}.py").is_file():
        raise InputError(
            f"{path!r} is a metric of the Hub and also a folder here, which would be taken for it",
            hint=f"say {PREFIX}./{path} for the folder, or run this elsewhere",
        )
    if said.is_folder and not Path(path).exists():
        raise InputError(
            f"there is no metric at {said.path}",
            hint=f"a folder that holds {Path(path).name}.py, or a name of the Hub",
        )
    import evaluate

    _follow_offline_mode()
    try:
        return evaluate.load(path, keep_in_memory=True)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        stem = Path(path).stem
        hint = f"one of the Hub's needs a network the first time; a folder with {stem}.py doesn't: "
        hint += f"{PREFIX}./{stem}:better=..."
        if said.is_folder:
            hint = f"try it alone: evaluate.load({path!r})"
        raise InputError(
            f"the metric {said.path!r} can't be loaded: {lines[0]}", hint=hint
        ) from error


def _follow_offline_mode() -> None:
    """`evaluate` has a switch of its own: where the Hub's says offline it asks nobody either.

    One that was loaded before is in its cache then. Its progress bars are for files of 5 kB.
    """
    import evaluate
    from evaluate.utils.logging import disable_progress_bar
    from huggingface_hub import constants

    disable_progress_bar()
    if constants.is_offline_mode():
        evaluate.config.HF_EVALUATE_OFFLINE = True


def _compute(said: Foreign, module: Any, predictions: NDArray, references: NDArray) -> float:
    try:
        result = module.compute(
            predictions=predictions.tolist(), references=references.tolist(), **said.arguments
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"the metric {said.path!r} can't score these rows: {lines[0]}",
            hint=f"what its compute() needs can be said, for example {said.name}:average=macro",
        ) from error
    return _the_score(said, result)


def _the_score(said: Foreign, result: Any) -> float:
    """The one number of a result that counts."""
    if not isinstance(result, Mapping) or not result:
        raise InputError(f"the metric {said.path!r} gives no scores but {result!r}")
    key = said.key or (next(iter(result)) if len(result) == 1 else Path(said.path).stem)
    if key not in result:
        raise InputError(
            f"the metric {said.path!r} gives {', '.join(map(str, result))}, not {key!r}",
            hint=f"say which one counts: {said.name}:key={next(iter(result))}",
        )
    value = np.asarray(result[key], dtype=object)
    if value.size != 1 or not isinstance(value.item(), (int, float, np.number)):
        raise InputError(
            f"{key!r} of the metric {said.path!r} is {result[key]!r}, not one number",
            hint=f"what its compute() needs can be said, for example {said.name}:average=macro",
        )
    return float(value.item())


def _try_out(said: Foreign, metric: Metric) -> None:
    """Right answers must score `perfect`, and wrong ones must not be better."""
    right: NDArray = np.array([1.0, 2.0, 4.0, 3.0])
    if said.kind != "regression":
        right = right.astype(np.int64) % 2
    wrong = np.roll(right, 1)
    function = metric.function
    best, worse = function(right, right), function(wrong, right)
    if not np.isclose(best, said.perfect, atol=1e-6):
        raise InputError(
            f"the metric {said.path!r} gives {best:g} for right answers, but {said.perfect:g} "
            "was said to be perfect",
            hint=f"say {said.name}:perfect={best:g}",
        )
    if metric.direction * (worse - best) > 0:
        other = "lower" if said.higher_is_better else "higher"
        raise InputError(
            f"the metric {said.path!r} gives {worse:g} for wrong answers and {best:g} for right "
            "ones, so it goes the other way",
            hint=f"say better={other}",
        )
