"""Proxy scores: what a model's outputs on the target say about it, before any fine-tuning.

PROXIES is the registry: one row a score, one file a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError, UnknownNameError
from hf_select.proxies.leep import leep
from hf_select.proxies.logme import logme
from hf_select.records import Features

__all__ = [
    "PROXIES",
    "VIEWS",
    "Proxy",
    "check_proxy",
    "get_proxy",
    "leep",
    "logme",
    "score_features",
]

BOTH = frozenset({"classification", "regression"})


@dataclass(frozen=True)
class Proxy:
    """One proxy score: `function(source_probs or features, labels) -> float`, higher is better.

    `needs` is "source_probs" (a trained head's probabilities) or "features"; `kinds` are the kinds
    of target that it takes; a function that takes regression has the keyword `regression`.
    """

    name: str
    function: Callable[..., float]
    needs: str
    kinds: frozenset[str]
    paper: str


PROXIES: dict[str, Proxy] = {
    p.name: p
    for p in (
        Proxy("leep", leep, "source_probs", frozenset({"classification"}), "arXiv 2002.12462"),
        Proxy("logme", logme, "features", BOTH, "arXiv 2102.11005"),
    )
}


def get_proxy(name: str) -> Proxy:
    """The proxy of that name; an unknown one is an `UnknownNameError` that lists the rest."""
    if name not in PROXIES:
        raise UnknownNameError("proxy", name, PROXIES)
    return PROXIES[name]


def check_proxy(name: str, kind: str) -> Proxy:
    """The proxy, if it takes that kind of target; `InputError` otherwise. Needs no model."""
    proxy = get_proxy(name)
    if kind not in proxy.kinds:
        able = sorted(p.name for p in PROXIES.values() if kind in p.kinds)
        raise InputError(
            f"proxy {name!r} takes {' and '.join(sorted(proxy.kinds))} targets, not {kind}",
            hint=f"proxies for {kind}: {', '.join(able) or 'none'}",
        )
    return proxy


# ---------------------------------------------------------------------- what a proxy looks at


def _last(features: Features) -> NDArray:
    return features.last


def _mean(features: Features) -> NDArray:
    return features.mean


def _last_three(features: Features) -> NDArray:
    return np.concatenate([_standardised(layer) for layer in features.layers[-3:]], axis=1)


VIEWS: dict[str, Callable[[Features], NDArray]] = {
    "last": _last,
    "mean": _mean,
    "last3": _last_three,
}
"""Which layers a proxy sees: Features -> (N, d). `last3`: standardised, side by side."""


def score_features(proxy_name: str, features: Features, kind: str, *, view: str = "last3") -> float:
    """The proxy score of one model from one forward pass over the target; NaN = undefined.

    `kind` is "classification" or "regression". LEEP is undefined without a trained head. A score
    on features sees the pooled last three layers, standardised and side by side (`view`, see
    VIEWS; several layers told more than the last alone), and a column of ones, because
    standardised features have no other way to carry a mean. Regression targets are standardised
    too, so that the score doesn't depend on their unit. Raises `InputError` for a proxy that
    doesn't take that kind of target.
    """
    proxy = check_proxy(proxy_name, kind)
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    if proxy.needs == "source_probs":
        if features.source_probs is None:
            return float("nan")
        return proxy.function(features.source_probs, features.labels)
    seen = np.asarray(VIEWS[view](features), dtype=np.float64)
    seen = np.column_stack([seen, np.ones(len(seen))])
    labels = features.labels
    if kind == "regression":
        labels = _standardised(np.asarray(labels, dtype=np.float64)[:, None])[:, 0]
    if "regression" in proxy.kinds:
        return proxy.function(seen, labels, regression=kind == "regression")
    return proxy.function(seen, labels)


def _standardised(values: NDArray) -> NDArray:
    """Columns (N, d) with mean 0 and deviation 1; a constant column becomes 0."""
    values = np.asarray(values, dtype=np.float64)
    spread = values.std(axis=0)
    tiny = 1e-6 * np.abs(values).max(axis=0, initial=0.0)  # below float32's own noise
    safe = np.where(spread > tiny, spread, np.inf)
    return (values - values.mean(axis=0)) / safe
