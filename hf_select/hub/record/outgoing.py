"""The rows of a record that a dataset on the Hub lacks, and the shards in which they travel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hf_select.redaction import redact
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import Row, decode
from hf_select.results.shards import NOBODY, shards
from hf_select.results.state import Rows, State
from hf_select.results.validation import Known, Refusal, judge, label


@dataclass(frozen=True)
class Outgoing:
    """Shards by their path in the inbox, the rows in them, and the rows that were left out."""

    shards: Mapping[str, bytes] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    refused: tuple[Refusal, ...] = ()


def prepare(
    local: ResultsRepo,
    record: ResultsRepo,
    user: str,
    *,
    founding: bool = False,
    accept_new_recipes: bool = False,
) -> Outgoing:
    """What of `local` is to be sent to `record`; the same rows always make the same shards.

    Runs go out in the name of `user`, who vouches for them; whoever is `founding` a record keeps
    the names that are there. No text goes out with a token in it. A row that the record can't
    take (see `results.validation`) is left out and named.
    """
    mine, theirs = local.state(), record.state()
    outward = State()
    for row in _outward(mine.missing_from(theirs), user, keep_names=founding):
        outward.add(row)
    offered = outward.missing_from(theirs).rows()  # without its token a name may be known
    moment = _newest(mine)
    files = shards(offered, submitter=user, created=moment)
    good, refused = _judged(
        files, record, accept_new_recipes=accept_new_recipes, any_submitter=founding
    )
    if refused:
        offered = good.rows()
        files = shards(offered, submitter=user, created=moment)
    return Outgoing(files, offered, tuple(refused))


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
