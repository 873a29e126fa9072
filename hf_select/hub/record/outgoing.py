"""The rows of a record that a dataset on the Hub lacks, and the shards in which they travel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hf_select.errors import InputError
from hf_select.foreign_metrics import is_absolute, public_metric
from hf_select.records import DatasetEntry, ModelEntry, ProxyRow, Recipe, RunRecord
from hf_select.redaction import redact
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import Row, decode
from hf_select.results.shards import NOBODY, shards
from hf_select.results.state import Rows, State
from hf_select.results.validation import Known, Refusal, judge, label


@dataclass(frozen=True)
class Place:
    """Where a model or a data set is said to be on the Hub: `kind` is "model" or "dataset"."""

    kind: str
    repo_id: str
    revision: str


Absent = Callable[[Collection[Place]], Collection[Place]]
"""Which of these places the Hub doesn't have."""


@dataclass(frozen=True)
class LocalOnly:
    """A model or a data set that the Hub doesn't have, and how many runs stay behind with it."""

    kind: str
    name: str
    runs: int


@dataclass(frozen=True)
class Outgoing:
    """Shards by their path in the inbox, the rows in them, and the rows that were left out."""

    shards: Mapping[str, bytes] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    refused: tuple[Refusal, ...] = ()
    local: tuple[LocalOnly, ...] = ()


def prepare(
    local: ResultsRepo,
    record: ResultsRepo,
    user: str,
    *,
    founding: bool = False,
    accept_new_recipes: bool = False,
    absent: Absent = lambda places: (),
) -> Outgoing:
    """What of `local` is to be sent to `record`; the same rows always make the same shards.

    Runs go out in the name of `user`, who vouches for them; whoever is `founding` a record keeps
    the names that are there. No text goes out with a token in it. A row that the record can't
    take (see `results.validation`) is left out and named, and so are models and data sets that
    are `absent` from the Hub, with their rows. What only such rows use stays behind with them.
    Raises `InputError` for rows whose metric says where on this machine it lies: the name is what
    scores are compared by, so it can't be made another one on the way.
    """
    mine, theirs = local.state(), record.state()
    outward = State()
    for row in _outward(mine.missing_from(theirs), user, keep_names=founding):
        outward.add(row)
    offer = outward.missing_from(theirs)  # without its token a name may be known
    gone = frozenset(absent({_place(e) for e in _entries(offer)}))
    kept = _without(offer, gone)
    _check_metrics(kept)
    offered = kept.rows()
    moment = _newest(mine)
    files = shards(offered, submitter=user, created=moment)
    good, refused = _judged(
        files, record, accept_new_recipes=accept_new_recipes, any_submitter=founding
    )
    if refused or gone:
        offered = _useful(good, offer).rows()
        files = shards(offered, submitter=user, created=moment)
    return Outgoing(files, offered, tuple(refused), _counted(gone, offer))


def _check_metrics(state: State) -> None:
    for row in _all(state):
        if isinstance(row, DatasetEntry | RunRecord) and is_absolute(row.metric):
            named = row.repo_id if isinstance(row, DatasetEntry) else row.key.dataset
            raise InputError(
                f"{named} is scored by {row.metric}, which says where it lies on this machine",
                hint=f"measure it by a relative path, {public_metric(row.metric)}, and publish that"
                " record",
            )


def _entries(state: State) -> list[ModelEntry | DatasetEntry]:
    return [*state.models(), *state.datasets()]


def _place(entry: ModelEntry | DatasetEntry) -> Place:
    kind = "model" if isinstance(entry, ModelEntry) else "dataset"
    return Place(kind, entry.repo_id, entry.revision)


def _places(row: Row) -> tuple[Place, ...]:
    """What must be on the Hub for a row to be of use to others."""
    if isinstance(row, ModelEntry | DatasetEntry):
        return (_place(row),)
    if isinstance(row, Recipe):
        return ()
    at = row.key if isinstance(row, RunRecord) else row
    return (
        Place("model", at.model, at.model_revision),
        Place("dataset", at.dataset, at.dataset_revision),
    )


def _without(state: State, gone: Collection[Place]) -> State:
    """The rows that have to do with none of those places."""
    kept = State()
    for row in _all(state):
        if not any(place in gone for place in _places(row)):
            kept.add(row)
    return kept


def _useful(good: State, offer: State) -> State:
    """The good rows less the entries that were offered for the sake of other rows only."""
    before, after = _used(_all(offer)), _used(_all(good))
    kept = State()
    for row in _all(good):
        if not (before - after).intersection(_called(row)):
            kept.add(row)
    return kept


def _used(rows: Iterable[Row]) -> set[tuple[str, ...]]:
    """What runs and proxy scores are about, as `_called` calls it."""
    found: set[tuple[str, ...]] = set()
    for row in rows:
        if isinstance(row, RunRecord | ProxyRow):
            at = row.key if isinstance(row, RunRecord) else row
            found.add((row.task, at.model, at.model_revision))
            found.add((row.task, at.dataset, at.config, at.dataset_revision))
        if isinstance(row, RunRecord):
            found.add((row.key.recipe,))
    return found


def _called(row: Row) -> tuple[tuple[str, ...], ...]:
    """What rows that use an entry call it by; nothing for what isn't an entry."""
    if isinstance(row, ModelEntry):
        return ((row.task, row.repo_id, row.revision),)
    if isinstance(row, DatasetEntry):
        return ((row.task, row.repo_id, row.config, row.revision),)
    return ((row.digest(),),) if isinstance(row, Recipe) else ()


def _counted(gone: Collection[Place], offer: State) -> tuple[LocalOnly, ...]:
    """One a model or data set, by name, with the runs that stay behind with it."""
    runs = Counter((p.kind, p.repo_id) for r in offer.rows().runs for p in _places(r) if p in gone)
    names = sorted({(place.kind, place.repo_id) for place in gone})
    return tuple(LocalOnly(kind, name, runs[kind, name]) for kind, name in names)


def _all(state: State) -> Iterator[Row]:
    yield from state.entries.values()
    for variants in state.runs.values():
        yield from variants


def _outward(state: State, user: str, *, keep_names: bool) -> Iterator[Row]:
    clean = lru_cache(maxsize=100_000)(redact)  # most texts are the same from row to row
    yield from (_map_texts(entry, clean) for entry in state.entries.values())
    for variants in state.runs.values():
        for run in variants:
            own = run.submitter in NOBODY or not keep_names
            yield _map_texts(replace(run, submitter=user) if own else run, clean)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every text in it changed: in dataclasses, tuples and mappings."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_map_texts(item, change) for item in value)
    if isinstance(value, Mapping):
        return {_map_texts(k, change): _map_texts(item, change) for k, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        before = {f.name: getattr(value, f.name) for f in fields(value)}
        after = {name: _map_texts(item, change) for name, item in before.items()}
        new = {n: item for n, item in after.items() if item is not before[n] and item != before[n]}
        return replace(value, **new) if new else value
    return value


def _newest(state: State) -> str:
    """When the newest run was made: a time that doesn't depend on when the rows are sent."""
    now, moments = datetime.now(UTC), []
    for variants in state.runs.values():
        for run in variants:
            try:
                moment = datetime.fromisoformat(run.created)
            except ValueError:  # imported, by somebody who didn't say
                continue
            moments.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return max((m for m in moments if m <= now), default=now).astimezone(UTC).isoformat()


def _judged(
    files: Mapping[str, bytes],
    record: ResultsRepo,
    *,
    accept_new_recipes: bool,
    any_submitter: bool,
) -> tuple[State, list[Refusal]]:
    """The rows of those shards that the record can take, and the others with their reasons."""
    state, inbox = record.parts()
    offered = [(path, decode(data)) for path, data in files.items()]
    known = Known.of(
        state,
        [*inbox, *offered],
        accept_new_recipes=accept_new_recipes,
        any_submitter=any_submitter,
    )
    good, refused = State(), []
    for _, shard in offered:
        refused += [Refusal(shard.kind, None, problem) for problem in shard.problems]
        for row in shard.rows:
            why = judge(row, known)
            if why is None:
                good.add(row)
            else:
                refused.append(Refusal(shard.kind, None, f"{label(row)}: {why}"))
    return good, refused
