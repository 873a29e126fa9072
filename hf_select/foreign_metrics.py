"""Metrics of the library `evaluate`, named so that direction and perfect score are known.

    evaluate:mape                                    one that is known here, from the Hub
    evaluate:f1:average=weighted                     what its `compute` is given
    evaluate:./my_metric:better=lower:perfect=0      a folder with my_metric.py
    evaluate:owner/name:better=higher:key=score      anybody's, from the Hub

The words `better`, `perfect`, `low`, `high`, `key` and `for` are ours, any other is an argument of
the metric's `compute`. The name says all, so that a record, a job and a report need nothing else;
the library itself is loaded in `tasks.scoring`, where predictions are scored.

Such a metric is a program that is run. Naming it is the choice to do so.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hf_select.errors import InputError

PREFIX = "evaluate:"
ALLOW = "HF_SELECT_ALLOW_METRIC_CODE"
"""Environment variable: 1 = metrics that a catalog or a record names may be loaded and run."""
FROM = "HF_SELECT_METRICS_FROM"
"""Environment variable of a job elsewhere: the folder that relative names of metrics start from."""
_INF = float("inf")
_KINDS = ("classification", "regression")


@dataclass(frozen=True)
class Foreign:
    """One `evaluate` metric, as it was named.

    `path` is what `evaluate.load` gets; `key` which of its results counts, "" = the only one, or
    that of its own name; `arguments` go to `compute`. `kind`: "classification", "regression" or
    "any".
    """

    name: str
    path: str
    higher_is_better: bool
    perfect: float
    low: float = -_INF
    high: float = _INF
    kind: str = "any"
    key: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine; the others come from the Hub."""
        return _is_folder(self.path)

    @property
    def family(self) -> str:
        """Our metric whose noise it has, "" where none is known."""
        if self.path == "mse" and self.arguments.get("squared") is False:
            return "rmse"
        return FAMILIES.get(self.path, "")


_RATE = {"better": "higher", "perfect": "1", "low": "0", "for": "classification"}
_CORRELATION = {"better": "higher", "perfect": "1", "low": "-1", "for": "regression"}
_ERROR = {"better": "lower", "perfect": "0", "for": "regression"}


def plain_metric(name: str) -> str:
    """A metric's name without what was said about it: "mape" of "evaluate:mape:better=lower".

    >>> plain_metric("evaluate:./metrics/misses:better=lower"), plain_metric("rmse")
    ('misses', 'rmse')
    """
    if not name.startswith(PREFIX):
        return name
    path = name.removeprefix(PREFIX).partition(":")[0]
    return path.rstrip("/").rpartition("/")[2].removesuffix(".py")


def _is_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.endswith(".py")


def lies_here(name: str) -> bool:
    """Whether it is an `evaluate` metric in a folder of this machine."""
    return name.startswith(PREFIX) and _is_folder(name.removeprefix(PREFIX).partition(":")[0])


def is_absolute(name: str) -> bool:
    """Whether it says where on this machine such a folder lies."""
    return name.removeprefix(PREFIX).startswith(("/", "~")) and lies_here(name)


def public_metric(name: str) -> str:
    """A metric's name without where on this machine its folder lies.

    >>> public_metric("evaluate:/srv/secret/misses:better=lower"), public_metric("evaluate:mape")
    ('evaluate:./misses:better=lower', 'evaluate:mape')
    """
    if not lies_here(name):
        return name
    path, colon, said = name.removeprefix(PREFIX).partition(":")
    last = path.rstrip("/").rpartition("/")[2]
    return f"{PREFIX}./{last}{colon}{said}"


KNOWN: dict[str, dict[str, str]] = {
    "accuracy": _RATE,
    "f1": _RATE,
    "precision": _RATE,
    "recall": _RATE,
    "exact_match": _RATE,
    "matthews_correlation": {**_RATE, "low": "-1"},
    "mae": _ERROR,
    "mape": _ERROR,
    "mse": _ERROR,
    "smape": _ERROR,
    "pearsonr": _CORRELATION,
    "spearmanr": _CORRELATION,
    "r_squared": {"better": "higher", "perfect": "1", "for": "regression"},
}
"""What needn't be said of metrics of the organisation `evaluate-metric`."""

FAMILIES = {
    "accuracy": "accuracy",
    "exact_match": "accuracy",
    "f1": "f1",
    "matthews_correlation": "matthews_correlation",
    "mae": "mae",
    "mape": "mae",
    "smape": "mae",
    "mse": "mse",
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "r_squared": "r2",
}
"""Which of ours they are, or are as noisy as."""

NEED_SCORES = ("roc_auc", "brier_score", "perplexity", "ece", "poseval", "mase")
"""Metrics that take something else than one prediction and one reference a row."""


@lru_cache(maxsize=64)
def parse_foreign(name: str) -> Foreign:
    """What a name says. Raises `InputError` with what is missing, or wrong."""
    path, *words = name.removeprefix(PREFIX).split(":")
    if not path.strip():
        raise InputError(
            f"{name!r} names no metric", hint=f"for example {PREFIX}mape, or {PREFIX}./my_metric"
        )
    if path in NEED_SCORES:
        raise InputError(
            f"{path} needs more than one prediction a row, such as the probability of every class",
            hint="choose a metric of predictions, such as f1 or matthews_correlation",
        )
    said = dict(KNOWN.get(path, {}))
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(
                f"{word!r} in {name!r} is not KEY=VALUE",
                hint=f"for example {PREFIX}{path}:better=lower:perfect=0",
            )
        said[key] = value
    better = said.pop("better", "")
    if better not in ("higher", "lower"):
        what = f"better={better!r}" if better else "nothing says which scores are better"
        raise InputError(
            f"of the metric {path!r} {what}, so models can't be compared by it",
            hint=f"say {PREFIX}{path}:better=higher or :better=lower, and :perfect=NUMBER if a "
            "perfect score isn't 1 (or 0, where lower is better)",
        )
    kind = said.pop("for", "any")
    if kind not in (*_KINDS, "any"):
        raise InputError(f"for={kind!r} in {name!r} is none of {', '.join(_KINDS)}")
    higher = better == "higher"
    perfect = _number(name, "perfect", said.pop("perfect", "1" if higher else "0"))
    low, high = (_number(name, w, said.pop(w, str(e))) for w, e in (("low", -_INF), ("high", _INF)))
    if not low <= perfect <= high or not abs(perfect) < _INF:
        raise InputError(f"perfect={perfect:g} in {name!r} is outside {low:g} to {high:g}")
    return Foreign(
        name=name,
        path=path,
        higher_is_better=higher,
        perfect=perfect,
        low=low,
        high=high,
        kind=kind,
        key=said.pop("key", ""),
        arguments={key: _value(text) for key, text in said.items()},
    )


def _number(name: str, word: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{word}={text!r} in {name!r} is not a number") from None


def _value(text: str) -> Any:
    """Numbers, True, False and None as such, anything else as text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, (bool, int, float)) or value is None else text
