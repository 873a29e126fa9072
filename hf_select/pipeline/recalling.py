"""Phase one: from a record and a look at the target to the few models worth fine-tuning."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.catalog import Catalog
from hf_select.errors import InputError, RecordError
from hf_select.locations import find_catalog
from hf_select.pipeline.base import (
    Record,
    RecordFacts,
    Say,
    as_target,
    check_preset,
    check_task,
    columns_of,
    open_results,
    record_facts,
    record_recipe,
    recorded_proxies,
    silent,
    tell_left_out,
    tell_reading,
    twin_columns,
)
from hf_select.pipeline.limits import (
    NO_LIMITS,
    Limits,
    as_limits,
    fill_gaps,
    matches,
    rule_out,
    told,
)
from hf_select.pipeline.looking import Looked, look_at_models
from hf_select.pipeline.memory import MemoryCheck, none_within_memory
from hf_select.pipeline.tuned import tuned_on_target
from hf_select.records import (
    TASK_KINDS,
    Clustering,
    Excluded,
    ModelEntry,
    PerformanceMatrix,
    ProxyScores,
    RecallResult,
    Recipe,
    Rejected,
)

if TYPE_CHECKING:
    from hf_select.recall import ColdStart
    from hf_select.tasks.data import TargetData

CARD = 20_000
"""Characters of a model card that are looked at for a model that nobody has measured."""


@dataclass(frozen=True)
class RecallSettings:
    """What phase one is asked for, checked against the record. See `recall` for each.

    `excluded`: the models that are beyond the limits, each with the reason.
    """

    method: str
    proxies: tuple[str, ...]
    top: int | None
    raw: bool
    threshold: float | None
    seed: int
    looks: int | None
    limits: Limits = NO_LIMITS
    excluded: tuple[Excluded, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values: what a selection that goes on must have been asked, too."""
        return {
            "method": self.method,
            "proxy": list(self.proxies),
            "top": self.top,
            "preset": "paper" if self.raw else None,
            "threshold": self.threshold,
            "exclude": sorted(self.limits.exclude),
            "seed": self.seed,
            "looks": self.looks,
            **{k: v for k, v in self.limits.to_dict().items() if v and k != "exclude"},
        }


@dataclass(frozen=True, eq=False)
class Recalled:
    """Phase one with what phase two needs from it.

    `entries` are those of the candidates and of the models that were looked at; `proxy_seconds`
    what looking at them took; `excluded` the models that are beyond the `limits`; `tuned`:
    candidate -> a sentence, of those that had been tuned on the target before.
    """

    result: RecallResult
    clustering: Clustering | None
    matrix: PerformanceMatrix
    entries: Mapping[str, ModelEntry]
    proxy_seconds: float
    record: RecordFacts
    limits: Limits = NO_LIMITS
    excluded: tuple[Excluded, ...] = ()
    tuned: Mapping[str, str] = field(default_factory=dict)

    @property
    def considered(self) -> tuple[str, ...]:
        """The models that could be recalled; the matrix may hold some that only teach."""
        out = {one.repo_id for one in self.excluded}
        return tuple(name for name in self.matrix.models if name not in out)


def recall(
    target: str | Path | TargetData,
    results: str | Path,
    *,
    top: int | None = None,
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    looks: int | None = None,
    catalog: str | Path | None = None,
    max_params: int | str | None = None,
    max_memory: int | str | None = None,
    license: str | Collection[str] = (),
    language: str | Collection[str] = (),
    architecture: str | Collection[str] = (),
    exclude: str | Collection[str] = (),
    seed: int = 0,
    max_rows: int | None = None,
    cache: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = silent,
    **data_options: Any,
) -> Recalled:
    """Phase one: the models of the record that look best for the target.

    `method` is a row of `recall.RECALL_METHODS`; without one it is `hybrid`, or `paper` with
    `preset="paper"`. `top`: how many; without it 10, and with `hybrid` at most 10 (15 for data that
    are unlike all benchmarks), fewer where they hold the best one with 95 %. `proxy`: one or more
    of `proxies.PROXIES`; chosen by what the record and the models offer when none is named.
    `looks`: models to look at, at most (`recall.waves.LIMIT`), for `hybrid`. With a `catalog`, its
    models that the record doesn't know are candidates for `hybrid`, too, by their kin. Only train
    rows of the target are used.

    Limits, which rule models out before anything is fetched: `max_params` (a number, or `50M`);
    `max_memory` (bytes, or `8GB`) that fine-tuning may take; `license`, `language` and
    `architecture` (model types such as `bert`), one of each; `exclude`, names or patterns. What
    isn't known of a model is beyond a limit that asks for it. Raises `InputError` if none is left.
    """
    check_names(method, proxy, preset)
    limits = as_limits(max_params, max_memory, license, language, architecture, exclude)
    record = open_results(results)
    target = as_target(target, data_options)
    locations = find_catalog(catalog, results)
    settings = check_recall(
        record,
        target.task,
        method=method,
        proxy=proxy,
        top=top,
        preset=preset,
        threshold=threshold,
        looks=looks,
        seed=seed,
        limits=limits,
        strangers=locations.models if catalog is not None else (),
        say=say,
    )
    recalled = recall_with(
        settings,
        record,
        target,
        locations,
        strangers=catalog is not None,
        max_rows=max_rows,
        cache=cache,
        should_stop=should_stop,
        say=say,
    )
    tell_reading(record, say)
    return replace(recalled, record=record_facts(record))


def check_names(method: str | None, proxy: str | Sequence[str] | None, preset: str | None) -> None:
    """Refuse names that nothing has, before data is read, which takes longer."""
    from hf_select.proxies import get_proxy
    from hf_select.recall import check_method, usual_method

    check_method(usual_method(method, raw=check_preset(preset)))
    for name in (proxy,) if isinstance(proxy, str) else proxy or ():
        get_proxy(name)


def check_recall(
    repo: Record,
    task: str,
    *,
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    top: int | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    looks: int | None = None,
    seed: int = 0,
    limits: Limits | None = None,
    strangers: Sequence[ModelEntry] = (),
    say: Say = silent,
) -> RecallSettings:
    """Refuse what phase one can't do, before anything is computed or written.

    `strangers`: models of a catalog, of which the record may not know some.
    """
    from hf_select.proxies import check_proxy
    from hf_select.recall import check_method, usual_method

    raw = check_preset(preset)
    check_task(repo, task)
    method = usual_method(method, raw=raw)
    fixed = check_method(method)
    if top is not None and top < 1:
        raise InputError(f"top is {top}, but must be at least 1")
    if threshold is not None and not 0 <= threshold < np.inf:
        raise InputError(f"threshold is {threshold}, but must be 0 or more")
    if looks is not None and looks < 2:
        raise InputError(f"looks is {looks}, but must be at least 2, which can be compared")
    if looks is not None and method != "hybrid":
        raise InputError(f"recall method {method!r} knows no looks", hint="--method hybrid does")
    if seed < 0:
        raise InputError(f"seed is {seed}, but must be 0 or more")
    named = (proxy,) if isinstance(proxy, str) else tuple(dict.fromkeys(proxy or ()))
    for name in filter(None, (*named, fixed)):
        check_proxy(name, TASK_KINDS[task])
    if method == "hybrid":
        _check_learnable(repo, task, named)
    elif len(named) > 1:
        raise InputError(
            f"recall method {method!r} takes one proxy, not {len(named)}",
            hint="several can be weighed against each other by --method hybrid",
        )
    elif named and not fixed and method != "paper":
        raise InputError(
            f"recall method {method!r} looks at no proxy score, so {named[0]} has no place in it",
            hint="--method hybrid does",
        )
    elif fixed and named not in ((), (fixed,)):
        raise InputError(f"recall method {method!r} ranks by {fixed}, not by {named[0]}")
    limits = limits or NO_LIMITS
    excluded = _beyond(repo, task, limits, strangers, hybrid=method == "hybrid", say=say)
    return RecallSettings(
        method=method,
        proxies=named or ((fixed,) if fixed else ()),
        top=top,
        raw=raw,
        threshold=threshold,
        seed=seed,
        looks=looks,
        limits=limits,
        excluded=excluded,
    )


def _beyond(
    repo: Record,
    task: str,
    limits: Limits,
    strangers: Sequence[ModelEntry],
    *,
    hybrid: bool,
    say: Say,
) -> tuple[Excluded, ...]:
    """The candidates that the limits rule out; facts that the record lacks are the catalog's.

    The models of the record that were measured are candidates and, for the hybrid, strangers.
    """
    if not limits:
        return ()
    sizes = repo.sizes(task)
    measured = repo.matrix(task).models
    strange = [e for e in strangers if e.task == task]
    others = [e for e in strange if e.repo_id not in sizes and e.repo_id not in measured]
    known = {
        entry.repo_id: entry
        for entry in (
            fill_gaps(repo.models(task), strange)
            if limits.needs_facts
            else [ModelEntry(name, "", task) for name in sizes]
        )
    }
    candidates = [known[name] for name in measured if name in known]
    candidates += others if hybrid else []
    excluded = rule_out(candidates, limits, also=[*sizes, *measured, *(e.repo_id for e in strange)])
    if excluded:
        say(told(excluded, len(candidates)))
    return excluded


def _check_learnable(repo: Record, task: str, named: Sequence[str]) -> None:
    """Refuse proxies whose weight can't be learned, for want of scores on benchmarks."""
    from hf_select.recall import benchmarks_of, learnable

    if not named:
        return
    counts = benchmarks_of(recorded_proxies(repo, task))
    for name in named:
        if not learnable({name: counts.get(name, 0)}):
            able = [other for other in sorted(counts) if learnable({other: counts[other]})]
            raise InputError(
                f"{repo.name} holds {name} scores on {counts.get(name, 0)} benchmarks, too few to "
                "learn its weight from",
                hint=f"`hf-select benchmark` records them; there are: {', '.join(able) or 'none'}. "
                f"--method proxy:{name} ranks by it alone",
            )


def recall_with(
    settings: RecallSettings,
    record: Record,
    target: TargetData,
    locations: Catalog,
    *,
    strangers: bool = False,
    must_load: bool = False,
    recipe: Recipe | None = None,
    max_rows: int | None = None,
    cache: Path | None = None,
    should_stop: Callable[[], bool],
    say: Say,
) -> Recalled:
    """Phase one on a record that is open; of its models only those that matter are looked up.

    `strangers`: models of `locations` that the record doesn't know are candidates, too.
    `must_load`: it is an error that no model can be loaded, because one is to be fine-tuned.
    `recipe`: by which memory is counted, the record's own if there is none.
    """
    started = time.perf_counter()
    known = _known(settings, record, target, say)
    most = settings.limits.max_memory
    memory = None
    if most is not None:
        recipe = recipe or record_recipe(record, target.task)
        memory = MemoryCheck(most, target, recipe, locations, say)
    phase = _Phase(
        settings,
        record,
        target,
        locations,
        known,
        max_rows,
        cache,
        should_stop,
        say,
        strangers,
        must_load,
        memory,
    )
    result, looked, matrix = phase.hybrid() if settings.method == "hybrid" else phase.by_one_proxy()
    entries = phase.entries
    missing = [c.model for c in result.candidates if c.model not in entries]
    entries |= phase.entries_of(missing)
    result = replace(
        result,
        candidates=tuple(replace(c, revision=entries[c.model].revision) for c in result.candidates),
        skipped=(*result.skipped, *known.unknown),
        seconds=time.perf_counter() - started,
    )
    names = [c.model for c in result.candidates]
    tuned = tuned_on_target(names, entries, target, record, locations)
    for name, sentence in tuned.items():
        say(f"note: {name}: {sentence}")
    return Recalled(
        result,
        known.clustering,
        matrix,
        entries,
        looked,
        record_facts(record),
        settings.limits,
        (*settings.excluded, *(memory.beyond.values() if memory else ())),
        tuned,
    )


@dataclass(frozen=True, eq=False)
class _Known:
    """What the record says, with all that belongs to the target left out.

    `unknown`: models with runs but no entry. `out`: models beyond a limit, which the hybrid learns
    from all the same; for the other methods they aren't there.
    """

    matrix: PerformanceMatrix
    clustering: Clustering | None
    sizes: Mapping[str, int]
    unknown: tuple[Rejected, ...]
    out: frozenset[str]


def _known(settings: RecallSettings, record: Record, target: TargetData, say: Say) -> _Known:
    sizes = record.sizes(target.task)
    whole = record.matrix(target.task)
    matrix = whole
    for column in columns_of(target, record):
        matrix = matrix.without_dataset(column)
    if not matrix.datasets:
        raise RecordError(
            f"the only benchmark of {record.name} is the target itself, which is left out",
            hint="benchmark at least one other data set",
        )
    tell_left_out(record, matrix, say)
    out = frozenset(one.repo_id for one in settings.excluded)
    named = settings.limits.exclude  # a model without an entry can only be ruled out by its name
    gone = frozenset() if settings.method == "hybrid" else out
    wanted = [
        m
        for m in matrix.models
        if m not in gone and (m in sizes or not any(matches(m, one) for one in named))
    ]
    matrix = matrix.only_models([m for m in wanted if m in sizes])
    unknown = tuple(
        Rejected(m, "the record has runs of it, but no entry that says what it is")
        for m in wanted
        if m not in sizes
    )
    if not matrix.models:
        raise InputError(
            f"there is no model of {record.name} to recall",
            hint=f"{unknown[0].repo_id}: {unknown[0].reason}" if unknown else "exclude fewer",
        )
    clustering = None
    unchanged = (matrix.models, matrix.datasets) == (whole.models, whole.datasets)
    if unchanged and not settings.raw and settings.threshold is None:
        clustering = record.clustering(target.task)
    if clustering is None and len(matrix.models) > 1:
        clustering = _cluster(matrix, settings, say)
    return _Known(matrix, clustering, sizes, unknown, out)


def _cluster(matrix: PerformanceMatrix, settings: RecallSettings, say: Say) -> Clustering | None:
    """The clusters of a matrix; None where it can't be grouped and the method can do without."""
    from hf_select.clustering.algorithms import EXACT, cluster_models

    if len(matrix.models) > EXACT:
        say(f"grouping {len(matrix.models)} models takes about half a minute")
    try:
        return cluster_models(matrix, threshold=settings.threshold, raw=settings.raw)
    except InputError:
        if settings.method == "paper":  # the others only show clusters as evidence
            raise
        return None


class _Phase:
    """One recall: what it was asked, what is known, and the entries that were looked up so far."""

    def __init__(
        self,
        settings: RecallSettings,
        record: Record,
        target: TargetData,
        locations: Catalog,
        known: _Known,
        max_rows: int | None,
        cache: Path | None,
        should_stop: Callable[[], bool],
        say: Say,
        strangers: bool,
        must_load: bool,
        memory: MemoryCheck | None,
    ) -> None:
        self.settings, self.record, self.target = settings, record, target
        self.locations, self.known = locations, known
        self.max_rows, self.cache = max_rows, cache
        self.should_stop, self.say, self.must_load = should_stop, say, must_load
        self.memory = memory
        self.entries: dict[str, ModelEntry] = {}
        self.twins = twin_columns(record, target.task)
        self.strangers: dict[str, ModelEntry] = {}
        if strangers:
            others = {*known.sizes, *(bad.repo_id for bad in known.unknown), *known.out}
            self.strangers = {
                e.repo_id: e
                for e in locations.models
                if e.task == target.task and e.repo_id not in others
            }

    def entries_of(self, names: Sequence[str]) -> dict[str, ModelEntry]:
        """The entries of those models; of several revisions the newest. What the record doesn't
        know, a catalog may."""
        found = {name: self.strangers[name] for name in names if name in self.strangers}
        rest = [name for name in names if name not in found]
        if rest:
            recorded = self.record.models(self.target.task, rest)
            found |= {e.repo_id: e for e in fill_gaps(recorded, self.locations.models)}
        return found

    def know(self, names: Sequence[str]) -> None:
        """Look up the entries of these models."""
        self.entries |= self.entries_of([name for name in names if name not in self.entries])

    def within(self, names: Sequence[str]) -> list[str]:
        """Those of the models that may take the memory that their training takes."""
        if self.memory is None:
            return list(names)
        self.know(names)
        return self.memory.only(names, self.entries)

    @property
    def beyond(self) -> Mapping[str, Excluded]:
        """The models that were found to take too much memory."""
        return {} if self.memory is None else self.memory.beyond

    def first_within(self, result: RecallResult) -> list[str]:
        """As many models as there are candidates, from the top of the ranking down, without those
        that take too much memory. Raises `InputError` if none is left."""
        found: list[str] = []
        rest = list(result.ranking)
        while rest and len(found) < len(result.candidates):
            missing = len(result.candidates) - len(found)
            found += self.within(rest[:missing])
            rest = rest[missing:]
        if not found:
            raise none_within_memory(tuple(self.beyond.values()))
        return found

    def look(self, names: Sequence[str], proxies: Sequence[str]) -> Looked:
        """One forward pass of each of these models."""
        self.know(names)
        return look_at_models(
            names,
            self.entries,
            self.locations,
            self.target,
            proxies=tuple(proxies),
            max_rows=self.max_rows,
            max_length=record_recipe(self.record, self.target.task).max_length,
            seed=self.settings.seed,
            cache=self.cache,
            should_stop=self.should_stop,
            say=self.say,
        )

    def by_one_proxy(self) -> tuple[RecallResult, float, PerformanceMatrix]:
        """Every method but `hybrid`: one proxy at most, of the models that the method names."""
        from hf_select.recall import needs_proxy, recall_models

        settings, known = self.settings, self.known
        wanted = needs_proxy(settings.method, known.matrix, known.clustering)
        scores: ProxyScores | None = None
        skipped: tuple[Rejected, ...] = ()
        seconds = 0.0
        if wanted:
            looked = self.look(wanted, settings.proxies)
            (scores,) = looked.scores.values()
            skipped, seconds = looked.skipped, looked.spent
            if len(skipped) == len(wanted):
                raise _none_loaded(skipped[0].reason, len(wanted))

        def ranked(top: int | None) -> RecallResult:
            return recall_models(
                settings.method,
                target=self.target.name,
                task=self.target.task,
                matrix=known.matrix,
                clustering=known.clustering,
                proxies=scores,
                sizes=known.sizes,
                top=top,
                raw=settings.raw,
                seed=settings.seed,
            )

        result = ranked(settings.top)
        kept = self.first_within(result)
        if self.beyond:
            result = ranked(result.ranking.index(kept[-1]) + 1)
            candidates = tuple(c for c in result.candidates if c.model in kept)
            result = replace(result, candidates=candidates)
        result = replace(result, skipped=(*result.skipped, *skipped))
        return result, seconds, known.matrix

    def hybrid(self) -> tuple[RecallResult, float, PerformanceMatrix]:
        """Prior and proxies by what they were worth on the record; looks until that is enough.

        A model that can't be looked at can't be fine-tuned either: it is left out, with the reason.
        """
        from hf_select.recall import LIMIT, first_wave, next_wave

        recorded = {
            key: scores
            for key, scores in recorded_proxies(self.record, self.target.task).items()
            if key[1] in self.known.matrix.datasets  # the target's own columns aren't
        }
        proxies = self._proxies(recorded)
        for name in self.settings.proxies:
            if name not in proxies:
                self.say(f"{name} is left out: without the target it is on record too rarely")
        matrix, cold = self._with_strangers()
        found: dict[str, dict[str, float]] = {name: {} for name in proxies}
        failed: dict[str, str] = {}
        seconds = 0.0

        def refilled(result: RecallResult) -> RecallResult:
            """The same, with others in the place of candidates that take too much memory."""
            while set(self.first_within(result)) != {c.model for c in result.candidates}:
                result = self._forecast(matrix, cold, found, recorded, failed)
            return result

        result = self._forecast(matrix, cold, found, recorded, failed)
        if not proxies:
            self.say(f"{self._why_no_proxy(recorded)}: recalled by its benchmarks alone")
            return refilled(result), 0.0, matrix
        place = {name: i for i, name in enumerate(result.ranking)}
        free = [name for name in matrix.models if name not in self.known.out]
        strength = np.array([-place.get(name, len(place)) for name in free], dtype=float)
        limit = self.settings.looks or LIMIT
        wave = first_wave(free, strength, self.known.clustering, limit)
        while wave:
            fitting = self.within(wave)
            if len({*failed, *self.beyond}) == len(free) and self.beyond:
                raise none_within_memory(tuple(self.beyond.values()))
            looked = self.look(fitting, proxies)
            seconds += looked.spent
            failed |= {bad.repo_id: bad.reason for bad in looked.skipped}
            for name, scores in looked.scores.items():
                values = zip(scores.models, scores.values.tolist(), strict=True)
                found[name] |= {model: value for model, value in values if model not in failed}
            if len({*failed, *self.beyond}) == len(free):
                break
            result = self._forecast(matrix, cold, found, recorded, failed)
            tried = {*found[proxies[0]], *failed}  # whom there is no memory for wasn't looked at
            wave = next_wave(result.p_best, tried, min(limit, len(free)))
        if failed and not any(found.values()):
            first = next(iter(failed.values()))
            if self.must_load:
                raise _none_loaded(first, len(failed))
            self.say(
                f"none of {len(failed)} models could be looked at (the first: {first}): recalled "
                "by the benchmarks alone"
            )
            failed.clear()
            result = self._forecast(matrix, cold, found, recorded, failed)
            return refilled(result), seconds, matrix
        result = refilled(result)
        rejected = tuple(Rejected(name, why) for name, why in failed.items())
        result = replace(result, skipped=(*result.skipped, *rejected))
        return result, seconds, self._without(matrix, failed)

    def _why_no_proxy(self, recorded: Mapping[tuple[str, str], ProxyScores]) -> str:
        """What there is too little of to learn what a proxy is worth."""
        from hf_select.recall import FEWEST_BENCHMARKS, benchmarks_of

        most = max(benchmarks_of(recorded).values(), default=0)
        if not most:
            return f"{self.record.name} holds no proxy scores (`hf-select benchmark` records them)"
        return (
            f"without the target {self.record.name} holds proxy scores on {most} "
            f"benchmark{'s' * (most != 1)}, and it takes {FEWEST_BENCHMARKS} to learn what they "
            "are worth"
        )

    def _proxies(self, recorded: Mapping[tuple[str, str], ProxyScores]) -> tuple[str, ...]:
        """The proxies to look by: those asked for, or those whose weight can be learned."""
        from hf_select.recall import benchmarks_of, learnable

        counts = benchmarks_of(recorded)
        if self.settings.proxies:
            # The target may be one of few benchmarks that one was recorded on.
            named = [
                name for name in self.settings.proxies if learnable({name: counts.get(name, 0)})
            ]
            return tuple(named)
        return learnable(counts)

    def _forecast(
        self,
        matrix: PerformanceMatrix,
        cold: ColdStart | None,
        found: Mapping[str, Mapping[str, float]],
        recorded: Mapping[tuple[str, str], ProxyScores],
        failed: Mapping[str, str],
    ) -> RecallResult:
        """What the hybrid makes of the looks so far."""
        from hf_select.recall import ProxyEvidence, recall_models

        kept = self._without(matrix, failed)
        own = {
            name: ProxyScores(name, tuple(values), np.array(list(values.values())))
            for name, values in found.items()
            if values
        }
        return recall_models(
            "hybrid",
            target=self.target.name,
            task=self.target.task,
            matrix=kept,
            clustering=self.known.clustering,
            looks=ProxyEvidence(
                own, {k: s for k, s in recorded.items() if k[0] in found}, self.twins
            ),
            cold=None if cold is None else cold.only(matrix.models, kept.models),
            sizes=self.known.sizes,
            top=self.settings.top,
            raw=self.settings.raw,
            seed=self.settings.seed,
            out=self.known.out,
        )

    def _without(self, matrix: PerformanceMatrix, failed: Collection[str]) -> PerformanceMatrix:
        """The matrix without the models that failed, or that take too much memory."""
        gone = {*failed, *self.beyond}
        return matrix.only_models([name for name in matrix.models if name not in gone])

    def _with_strangers(self) -> tuple[PerformanceMatrix, ColdStart | None]:
        """The matrix with a row for every model that nobody has measured, and what those may be."""
        matrix = self.known.matrix
        if not self.strangers:
            return matrix, None
        from hf_select.clustering.scores import performance
        from hf_select.recall import ColdStart, cold_start, fit_prior

        names = sorted(self.strangers)
        prior = fit_prior(performance(matrix, raw=self.settings.raw))
        measured = list(self.entries_of(matrix.models).values())
        row = {name: i for i, name in enumerate(matrix.models)}
        rows = [row[entry.repo_id] for entry in measured]
        guess = cold_start(
            measured,
            prior.strength[rows],
            prior.variance[rows],
            [self.strangers[name] for name in names],
            texts=self._cards([*measured, *self.strangers.values()]),
        )
        gap = np.full((len(names), len(matrix.datasets)), np.nan)
        whole = replace(
            matrix,
            models=(*matrix.models, *names),
            scores=np.vstack([matrix.scores, gap]),
            spread=np.vstack([matrix.spread, gap]),
        )
        nothing = np.full(len(matrix.models), np.nan)
        return whole, ColdStart(
            np.concatenate([nothing, guess.mean]),
            np.concatenate([nothing, guess.spread**2]),
            dict(zip(guess.models, guess.reasons, strict=True)),
        )

    def _cards(self, entries: Sequence[ModelEntry]) -> dict[str, str]:
        """The cards of the models that lie on this machine."""
        texts = {}
        for entry in entries:
            folder = self.locations.location(entry.repo_id)
            card = None if folder is None else Path(folder) / "README.md"
            if card is not None and card.is_file():
                texts[entry.repo_id] = card.read_text(encoding="utf-8", errors="replace")[:CARD]
        return texts


def _none_loaded(first: str, models: int) -> RecordError:
    return RecordError(
        f"none of {models} models could be loaded; the first: {first}",
        hint="name a catalog with --catalog that says where the models are",
    )
