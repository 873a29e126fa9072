"""Proxy scores: what a model's outputs on the target say about it, before any fine-tuning.

PROXIES is the registry: one row a score, one file a function. `score_all` scores one model by
several of them, and computes once what they share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError, UnknownNameError
from hf_select.proxies.hscore import hscore
from hf_select.proxies.knn import knn
from hf_select.proxies.leep import leep
from hf_select.proxies.linear_probe import linear_probe
from hf_select.proxies.logme import logme
from hf_select.proxies.nleep import nleep
from hf_select.proxies.prepared import Prepared
from hf_select.proxies.threads import few_threads
from hf_select.proxies.transrate import transrate
from hf_select.records import Features

__all__ = [
    "PROXIES",
    "VIEWS",
    "Proxy",
    "Scored",
    "check_proxy",
    "get_proxy",
    "hscore",
    "knn",
    "leep",
    "linear_probe",
    "logme",
    "nleep",
    "score_all",
    "score_features",
    "transrate",
]

CLASSES = frozenset({"classification"})
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


@dataclass(frozen=True)
class Scored:
    """One proxy score of one model. `value` NaN = undefined, and `reason` says why.

    `seconds` is what the score would have taken alone: its own work, and all of the shared work
    that it stands on, whoever asked for that first. The pass over the rows is no part of it.
    """

    value: float
    seconds: float
    reason: str = ""


PROXIES: dict[str, Proxy] = {
    p.name: p
    for p in (
        Proxy("leep", leep, "source_probs", CLASSES, "arXiv 2002.12462"),
        Proxy("nleep", nleep, "features", CLASSES, "arXiv 2011.11200"),
        # Standardised features have no other way to carry a mean.
        Proxy("logme", partial(logme, intercept=True), "features", BOTH, "arXiv 2102.11005"),
        Proxy("hscore", hscore, "features", CLASSES, "arXiv 2110.06893"),
        Proxy("knn", knn, "features", BOTH, "arXiv 2010.06402"),
        Proxy("transrate", transrate, "features", CLASSES, "arXiv 2106.09362"),
        Proxy("linear-probe", linear_probe, "features", BOTH, "arXiv 1610.01644"),
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

    As `score_all`, for one proxy and without the reason.
    """
    return score_all([proxy_name], features, kind, view=view)[proxy_name].value


def score_all(
    names: Iterable[str], features: Features, kind: str, *, view: str = "last3"
) -> dict[str, Scored]:
    """Proxy scores of one model from one forward pass over the target, by name.

    `kind` is "classification" or "regression". A score on features sees the pooled last three
    layers, standardised and side by side (`view`, see VIEWS; several layers told more than the last
    alone); LogME sees a column of ones besides. What several scores need, above all one
    eigendecomposition, is computed once. Regression targets are standardised, so that no score
    depends on their unit. What can't be scored is NaN with a reason: a model without a trained head
    (LEEP), values that aren't finite, fewer than two rows, a target with one class or one value.
    Raises `InputError` for a proxy that doesn't take that kind of target, before anything is
    computed.
    """
    proxies = [check_proxy(name, kind) for name in names]
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    labels, wrong = _target(features.labels, kind)
    prepared: Prepared | None = None
    looking = 0.0
    scores = {}
    for proxy in proxies:
        seen: NDArray | Prepared | None = None
        reason = wrong
        if not reason and proxy.needs == "source_probs":
            seen, reason = features.source_probs, _bad_probabilities(features)
        elif not reason:
            if prepared is None:
                start = time.perf_counter()
                with np.errstate(invalid="ignore", over="ignore"):  # looked at just below
                    prepared = Prepared(VIEWS[view](features))
                looking = time.perf_counter() - start
            seen, reason = prepared, _bad_features(prepared)
        if reason:
            scores[proxy.name] = Scored(float("nan"), 0.0, reason)
            continue
        options = {"regression": kind == "regression"} if "regression" in proxy.kinds else {}
        shared = prepared if seen is prepared else None
        with few_threads(*(features.last if seen is None else seen).shape):
            value, seconds = _timed(partial(proxy.function, seen, labels, **options), shared)
        reason = "" if np.isfinite(value) else f"{proxy.name} is undefined for it"
        if reason:
            value = float("nan")
        scores[proxy.name] = Scored(value, seconds + (looking if shared else 0.0), reason)
    return scores


def _timed(call: Callable[[], float], shared: Prepared | None) -> tuple[float, float]:
    """A score, and its seconds: its own, and those of all the shared parts that it used."""
    spent = sum(shared.costs.values()) if shared else 0.0
    if shared:
        shared.used.clear()
    start = time.perf_counter()
    value = call()
    seconds = time.perf_counter() - start
    if shared:
        seconds -= sum(shared.costs.values()) - spent
        seconds += sum(shared.costs[part] for part in shared.used)
    return value, seconds


def _target(labels: NDArray, kind: str) -> tuple[NDArray, str]:
    """Labels (N,) as the proxies get them, and why nothing can be scored against them, if so."""
    labels = np.asarray(labels)
    if len(labels) < 2:
        return labels, "fewer than two rows"
    if kind == "classification":
        one = len(np.unique(labels)) < 2
        return labels, "the target has one class only" if one else ""
    labels = labels.astype(np.float64)
    if not np.isfinite(labels).all():
        return labels, "the target holds values that are not finite"
    labels = _standardised(labels[:, None])[:, 0]
    return labels, "" if labels.any() else "the target is the same for every row"


def _bad_probabilities(features: Features) -> str:
    """Why source probabilities can't be scored; "" if they can."""
    if features.source_probs is None:
        return "its head was not trained on classes"
    return "" if np.isfinite(features.source_probs).all() else "probabilities that are not finite"


def _bad_features(prepared: Prepared) -> str:
    """Why features can't be scored; "" if they can."""
    if prepared.features.size == 0:
        return "no features"
    return "" if prepared.usable else "features that are not finite"


def _standardised(values: NDArray) -> NDArray:
    """Columns (N, d) with mean 0 and deviation 1; a constant column becomes 0."""
    values = np.asarray(values, dtype=np.float64)
    spread = values.std(axis=0)
    tiny = 1e-6 * np.abs(values).max(axis=0, initial=0.0)  # below float32's own noise
    safe = np.where(spread > tiny, spread, np.inf)
    return (values - values.mean(axis=0)) / safe
