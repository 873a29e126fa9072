"""What a model without any run is worth: its kin among the measured models tell.

A Gaussian process over models. Its kernel has a part for lineage, architecture, size, name and
card; how much each part counts is learned from the measured models, by how well each of them is
predicted from the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_select.recall.rates import family_of
from hf_select.records import ModelEntry

Array = NDArray[np.float64]
NAN = float("nan")

OWN = {"quantized": 0.1, "adapter": 0.2, "finetune": 0.3, "merge": 0.5}
"""How much of a model is its own beside its ancestors (1 each), by its relation to its base."""
SIZE = 0.5
"""Length scale of the size, in powers of ten of parameters."""
USUAL, LOOSE = -2.0, 1.5
"""Prior of the log of a part's weight, in units of the variance of the effects: mean and sd."""
MEAN = 25.0
"""Prior variance of the mean of all models, in the same units: nearly nothing is known of it."""
FITTED = 256
"""Measured models that the weights are chosen on, at most: it costs their third power."""
USED = 3000
"""Measured models that a prediction rests on, at most: those that are nearest kin."""
BLOCK = 2**22
"""Pairs of models in one block of the kernel."""
KIN = 3
"""Kin that a sentence names, at most."""
TELLING = 0.02
"""Share of the variance that kin must explain to be worth naming."""
WORDS = 1000
"""Different words of a card that count, at most, from its beginning."""


@dataclass(frozen=True, eq=False)
class Cold:
    """What N models without a run are worth, as effects: skill above that of an average benchmark.

    models (N,); mean and spread (N,): of the effect, a normal distribution's mean and standard
    deviation; explained (N,): the share of the variance that kin explain, 0 to 1; kin: of each
    model the measured ones that it leans on most; reasons: a sentence each; weights: part of the
    kernel -> its variance, and `own` for what no part explains.
    """

    models: tuple[str, ...]
    mean: Array
    spread: Array
    explained: Array
    kin: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    weights: Mapping[str, float]


def cold_start(
    measured: Sequence[ModelEntry],
    effects: Array,
    variances: Array,
    unmeasured: Sequence[ModelEntry],
    *,
    texts: Mapping[str, str] | None = None,
) -> Cold:
    """What models without any run are worth, by what is known of them and of measured ones.

    measured (M entries) with their effects (M,) and the variances (M,) that those are known with;
    an effect that isn't finite counts as not measured, a variance that isn't as 0. unmeasured (N
    entries); texts: repo_id -> the text of the model card, for as many as there are.

    The effect of a model is a mean of all, plus one normal variable for each part of the kernel,
    which models share as far as they are alike in it, plus its own. Alike in

    - lineage: cosine of the sets of ancestors, the model itself one of them; a quantized copy is
      hardly a model of its own, and equal weights are one model;
    - architecture: 1 for the same, its head aside;
    - size: a Gaussian of the difference of log10 parameters;
    - name, card: cosine of their words, rare ones counting more (inverse document frequency), save
      those that no two measured models share.

    The variances of the parts maximise the predictive probability of each measured model given the
    others (Sundararajan and Keerthi 2001; Rasmussen and Williams 2006, eq. 5.10 to 5.13), with a
    wide prior. Where nothing is known of a model, or nothing that is known tells, the prediction is
    the mean of all with the spread of all. Nothing depends on the order of the models, nor on which
    other models are asked about, save that of more than 3,000 measured models those count that are
    nearest to any model asked about.

    Raises `ValueError` for arrays that don't fit the entries.
    """
    effects = np.asarray(effects, dtype=np.float64)
    variances = np.asarray(variances, dtype=np.float64)
    if effects.shape != (len(measured),) or variances.shape != effects.shape:
        raise ValueError(
            f"effects {effects.shape} and variances {variances.shape} must have one number for "
            f"each of {len(measured)} measured models"
        )
    known = np.flatnonzero(np.isfinite(effects)).tolist()
    order = sorted(known, key=lambda i: (measured[i].repo_id, measured[i].revision))
    measured = [measured[i] for i in order]
    effects = effects[order]
    variances = np.where(np.isfinite(variances[order]), np.maximum(variances[order], 0.0), 0.0)
    names = tuple(entry.repo_id for entry in unmeasured)
    if not measured:
        nothing = np.full(len(names), NAN)
        why = "no model was measured yet: nothing can be said of it"
        none: tuple[str, ...] = ()
        return Cold(
            names,
            nothing,
            nothing,
            np.zeros(len(names)),
            (none,) * len(names),
            (why,) * len(names),
            {},
        )
    total = len(measured)
    centre = float(effects.mean())
    unit = float(effects.var(ddof=1)) if len(effects) > 1 else 0.0
    unit = unit or float(variances.mean()) or 1.0
    values, noise = (effects - centre) / np.sqrt(unit), variances / unit
    alike = _Alike(measured, texts or {})
    few = _spread_over(len(measured), FITTED)
    some = [measured[i] for i in few]
    log_weights = _fit(alike.among(some), values[few], noise[few])
    weights = np.exp(log_weights)  # of the parts, and of what is a model's own

    step = max(1, BLOCK // len(measured))
    blocks = [unmeasured[start : start + step] for start in range(0, len(unmeasured), step)]
    used = np.arange(len(measured))
    if len(used) > USED:
        near = np.zeros(len(used))
        for block in blocks:
            near = np.maximum(near, _weighed(weights, alike(block, measured)).max(axis=0))
        used = np.sort(np.argsort(-near, kind="stable")[:USED])
        measured, values, noise = [measured[i] for i in used], values[used], noise[used]
    covariance = _covariance(weights, alike.among(measured), noise)
    prior = MEAN + weights.sum()
    # what would be known of a model without any kin: the mean of all, and that not exactly
    alone = prior - MEAN * np.linalg.solve(covariance, np.full(len(used), MEAN)).sum()
    trained = np.linalg.solve(covariance, values)

    mean, variance = np.empty(len(names)), np.empty(len(names))
    kin: list[tuple[str, ...]] = []
    reasons: list[str] = []
    for at, block in zip(range(0, len(names), step), blocks, strict=True):
        towards = alike(block, measured)
        across = _weighed(weights, towards)  # (n, M)
        rows = slice(at, at + len(block))
        mean[rows] = (MEAN + across) @ trained
        solved = np.linalg.solve(covariance, (MEAN + across).T)
        variance[rows] = prior - np.einsum("nm,mn->n", MEAN + across, solved)
        explains = 1 - variance[rows] / alone
        for row in _in_words(measured, across, weights, towards, explains, total):
            kin.append(row[0])
            reasons.append(row[1])
    return Cold(
        models=names,
        mean=centre + np.sqrt(unit) * mean,
        spread=np.sqrt(unit * np.maximum(variance, 0.0)),
        explained=np.clip(1 - variance / alone, 0.0, 1.0),
        kin=tuple(kin),
        reasons=tuple(reasons),
        weights=dict(zip((*PARTS, "own"), (unit * weights).tolist(), strict=True)),
    )


def _spread_over(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` indices, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _weighed(weights: Array, parts: Sequence[Array]) -> Array:
    """The kernel between models (N, M) without what is a model's own, from its parts."""
    return np.sum([w * part for w, part in zip(weights, parts, strict=False)], axis=0)


def _covariance(weights: Array, parts: Sequence[Array], noise: Array) -> Array:
    """Covariance (M, M) of the measured models' values; parts (M, M) each."""
    covariance = MEAN + _weighed(weights, parts) + np.diag(noise + weights[-1])
    return np.asarray(covariance, dtype=np.float64)


# ------------------------------------------------------------------------ the parts of the kernel


class _Alike:
    """How alike models are in each part, as inner products of features of unit length.

    What there is to be known about words and lineages is taken from the measured models alone.
    """

    def __init__(self, measured: Sequence[ModelEntry], texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.entries = {entry.repo_id: entry for entry in measured}
        self.rarity: dict[str, Callable[[str], float]] = {}
        for part, words in WORDS_OF.items():
            seen = Counter(w for e in measured for w in words(e, texts))
            self.rarity[part] = _rarity(seen, len(measured))

    def __call__(self, rows: Sequence[ModelEntry], columns: Sequence[ModelEntry]) -> list[Array]:
        """Each part from models (N) to others (M): (N, M)."""
        return [function(self, rows, columns) for function in PARTS.values()]

    def among(self, models: Sequence[ModelEntry]) -> list[Array]:
        """Each part among models (M, M); a model is like itself even where nothing is known."""
        found = self(models, models)
        for part in found:
            np.fill_diagonal(part, 1.0)
        return found


def _rarity(seen: Mapping[str, int], total: int) -> Callable[[str], float]:
    """The weight of a word; 0 for one that isn't in two measured models: it can tell nothing."""

    def weight(word: str) -> float:
        count = seen.get(word, 0)
        return float(np.log((1 + total) / (1 + count))) if count > 1 else 0.0

    return weight


Bag = dict[str, float]


def _cosine(rows: Sequence[Bag], columns: Sequence[Bag]) -> Array:
    """Cosines (N, M) of bags of weighted features; 0 where one of them is empty."""
    from scipy.sparse import csr_array

    place = {name: j for j, name in enumerate(dict.fromkeys(n for bag in columns for n in bag))}

    def sparse(bags: Sequence[Bag]) -> csr_array:
        found = [
            (i, place[name], value / np.sqrt(sum(v * v for v in bag.values())))
            for i, bag in enumerate(bags)
            for name, value in bag.items()
            if name in place and value > 0
        ]
        at_row, at_column, data = zip(*found, strict=True) if found else ((), (), ())
        return csr_array((data, (at_row, at_column)), shape=(len(bags), max(1, len(place))))

    return np.asarray((sparse(rows) @ sparse(columns).T).toarray(), dtype=np.float64)


def _lineage(alike: _Alike, rows: Sequence[ModelEntry], columns: Sequence[ModelEntry]) -> Array:
    def name(entry: ModelEntry | None, repo_id: str) -> str:
        return (entry.weights_sha256 if entry else None) or repo_id

    def bag(entry: ModelEntry) -> Bag:
        own = OWN.get(entry.relation or "", OWN["finetune"]) if entry.base_model else 1.0
        found = {name(entry, entry.repo_id): own}
        seen, parent = {entry.repo_id}, entry.base_model
        while parent and parent not in seen:
            seen.add(parent)
            above = alike.entries.get(parent)
            found[name(above, parent)] = 1.0
            parent = above.base_model if above else None
        return found

    return _cosine([bag(entry) for entry in rows], [bag(entry) for entry in columns])


def _architecture(
    alike: _Alike, rows: Sequence[ModelEntry], columns: Sequence[ModelEntry]
) -> Array:
    def bag(entry: ModelEntry) -> Bag:
        name = family_of(entry.architecture).lower()
        return {name: 1.0} if name else {}

    return _cosine([bag(entry) for entry in rows], [bag(entry) for entry in columns])


def _size(alike: _Alike, rows: Sequence[ModelEntry], columns: Sequence[ModelEntry]) -> Array:
    def logs(entries: Sequence[ModelEntry]) -> Array:
        sizes = np.array([entry.num_parameters for entry in entries], dtype=np.float64)
        return np.log10(sizes, out=np.full(len(sizes), NAN), where=sizes > 0)

    apart = logs(rows)[:, None] - logs(columns)
    return np.nan_to_num(np.exp(-((apart / SIZE) ** 2) / 2))


def _named(entry: ModelEntry, texts: Mapping[str, str]) -> list[str]:
    return sorted(set(re.findall(r"[a-z]+|[0-9]+", entry.repo_id.lower())))


def _carded(entry: ModelEntry, texts: Mapping[str, str]) -> list[str]:
    words = re.findall(r"[^\W_]+", texts.get(entry.repo_id, "").lower())
    return list(dict.fromkeys(words))[:WORDS]


WORDS_OF: dict[str, Callable[[ModelEntry, Mapping[str, str]], list[str]]] = {
    "name": _named,
    "card": _carded,
}


Part = Callable[[_Alike, Sequence[ModelEntry], Sequence[ModelEntry]], Array]


def _worded(part: str) -> Part:
    def function(alike: _Alike, rows: Sequence[ModelEntry], columns: Sequence[ModelEntry]) -> Array:
        rarity, words = alike.rarity[part], WORDS_OF[part]

        def bag(entry: ModelEntry) -> Bag:
            found = {word: rarity(word) for word in words(entry, alike.texts)}
            return found | {f"\n{entry.repo_id}": 1.0}  # its own: common words alone tell little

        return _cosine([bag(entry) for entry in rows], [bag(entry) for entry in columns])

    return function


PARTS: dict[str, Part] = {
    "lineage": _lineage,
    "architecture": _architecture,
    "size": _size,
    "name": _worded("name"),
    "card": _worded("card"),
}
"""Part of the kernel -> how alike models (N) are to others (M) in it: (N, M), 0 to 1."""
SAID = {
    "lineage": "of its lineage",
    "architecture": "same architecture",
    "size": "similar size",
    "name": "similar name",
    "card": "similar card",
}


# ------------------------------------------------------------------------------------- weights


def _fit(parts: Sequence[Array], values: Array, noise: Array) -> Array:
    """Log variances of the parts and of what is a model's own (P + 1,), by leave-one-out.

    parts: each (M, M); values (M,) around 0 with variance near 1; noise (M,).
    """
    count = len(parts) + 1
    usual = np.full(count, USUAL)
    usual[-1] = np.log(0.5)
    if len(values) < 3:
        return usual
    from scipy.optimize import minimize

    kernels = [*parts, np.eye(len(values))]

    def loss(log_weights: Array) -> tuple[float, Array]:
        weights = np.exp(log_weights)
        inverse = np.linalg.inv(_covariance(weights, parts, noise))
        solved, own = inverse @ values, np.diag(inverse)
        density = 0.5 * np.log(own) - 0.5 * solved**2 / own
        slope = np.empty(count)
        for p, kernel in enumerate(kernels):
            turned = inverse @ (weights[p] * kernel)
            gain = solved * (turned @ solved) - 0.5 * (1 + solved**2 / own) * np.einsum(
                "ij,ji->i", turned, inverse
            )
            slope[p] = (gain / own).sum()
        away = (log_weights - usual) / LOOSE
        return float(0.5 * (away**2).sum() - density.sum()), away / LOOSE - slope

    starts = [usual, np.append(np.full(count - 1, -5.0), 0.0)]
    found = [
        minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-9.0, 3.0)] * count)
        for start in starts
    ]
    return np.asarray(min(found, key=lambda result: result.fun).x)


# --------------------------------------------------------------------------------------- words


def _in_words(
    measured: Sequence[ModelEntry],
    across: Array,
    weights: Array,
    towards: Sequence[Array],
    explained: Array,
    total: int,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Whom each of N models leans on, and a sentence about it."""
    parts = list(PARTS)
    for i, row in enumerate(across):
        first = np.argsort(-row, kind="stable")[:KIN].tolist()
        order = [j for j in first if row[j] > 0 and row[j] >= row[first[0]] / 2]
        if explained[i] < TELLING or not order:
            yield (
                (),
                f"nothing that is known of it tells more than the mean of {total} measured models",
            )
            continue
        said = []
        for j in order:
            shares = np.array([w * part[i, j] for w, part in zip(weights, towards, strict=False)])
            why = [SAID[parts[p]] for p in np.argsort(-shares) if shares[p] >= shares.max() / 3]
            said.append(f"{measured[j].repo_id} ({', '.join(why)})")
        yield (
            tuple(measured[j].repo_id for j in order),
            f"by its kin, which explain {100 * explained[i]:.0f} % of the variance: "
            + ", ".join(said),
        )
