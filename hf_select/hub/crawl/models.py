"""Hub -> catalog: list the candidates of a task, decide, look closer at the best, write it down.

Three steps, each of which a killed crawl goes on in: pages of the listing are saved as they come;
what is found out about single models is saved as well; then `candidates.parquet` and
`catalog.json` are written, each whole or not at all, and what was saved on the way is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from hf_select.catalog import Catalog
from hf_select.errors import InputError, StoppedError
from hf_select.hub.client import Hub
from hf_select.hub.crawl.builder import CatalogBuilder
from hf_select.hub.crawl.candidates import count_reasons, decide_page, read_candidates
from hf_select.hub.crawl.decide import Loadable
from hf_select.hub.crawl.hubstats import HubStats
from hf_select.hub.crawl.listing import ApiListing, Batch, IdList, Source
from hf_select.hub.crawl.query import PAGE_SIZE, ModelQuery, spell_time
from hf_select.hub.crawl.state import CrawlState, Plan
from hf_select.progress import stage

LIMIT = 200
"""Models that a crawl accepts if nobody says otherwise; each costs a few requests."""

MAX_PER_BASE = 3
"""Models of one base and training set that a crawl accepts if nobody says otherwise."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Crawled:
    """What a crawl has come to. Counts are of models; `rejected` has the codes of `REASONS`.

    `flags`: what is worth a look -> the accepted models that it concerns. `changed`: models that
    have another commit than at the last crawl.
    """

    seen: int
    accepted: int
    rejected: Mapping[str, int]
    flags: Mapping[str, tuple[str, ...]]
    changed: int
    pages: int
    resumed_after: int
    requests: int
    bytes_read: int


def crawl(
    hub: Hub,
    query: ModelQuery,
    catalog: Path,
    *,
    limit: int | None = None,
    max_per_base: int | None = None,
    since_last: bool = False,
    restart: bool = False,
    page_size: int = PAGE_SIZE,
    loadable: Callable[[], Loadable] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = lambda _: None,
) -> Crawled:
    """List the models that `query` asks for, and write the catalog's two files.

    A crawl that was cut off goes on. One that is finished is only looked through again, without a
    listing, unless `since_last` (what was modified since) or `restart` (everything) ask for more.
    `limit` and `max_per_base` may differ each time; 0 is no bound, which is the default for models
    that were named one by one. `loadable` is asked when the first page has come.

    Raises `InputError` if the folder holds a crawl of another query, `StoppedError` when told to
    stop, and what the client raises.
    """
    named = query.source == "list"
    limit = (0 if named else LIMIT) if limit is None else limit
    max_per_base = (0 if named else MAX_PER_BASE) if max_per_base is None else max_per_base
    if page_size < 1 or limit < 0 or max_per_base < 0:
        raise InputError("a page has at least one model, and bounds are 0 (none) or more")
    _check_folder(catalog)
    requests, bytes_read = hub.requests, hub.bytes_read
    with CrawlState(catalog, f"models-{query.task}") as state, _hint(restart):
        if restart:
            state.restart()
        plan = _plan(state, query, since_last, say)
        plan = replace(plan, limit=limit, max_per_base=max_per_base)
        resumed_after = state.number_of_pages
        if not plan.done:
            _list(hub, state, plan, page_size, loadable, should_stop, say)
        pages = state.number_of_pages
        builder = CatalogBuilder(hub, state, plan, loadable=loadable, should_stop=should_stop)
        changed = builder.build(limit, max_per_base, say)
    counts = count_reasons(read_candidates(catalog, task=query.task, columns=["reason"]))
    return Crawled(
        seen=sum(counts.values()),
        accepted=counts.pop("", 0),
        rejected=counts,
        flags=_flags(Catalog.load(catalog), query.task),
        changed=changed,
        pages=pages,
        resumed_after=resumed_after,
        requests=hub.requests - requests,
        bytes_read=hub.bytes_read - bytes_read,
    )


@contextmanager
def _hint(restart: bool) -> Iterator[None]:
    """Say how a crawl that was stopped goes on: with `restart` it would begin again."""
    try:
        yield
    except StoppedError as error:
        if not restart:
            raise
        hint = "the same command without --restart goes on"
        raise StoppedError(error.message, hint=hint) from error


def _check_folder(catalog: Path) -> None:
    """Refuse a folder whose files could not be written to at the end, before anything is asked."""
    if catalog.exists() and not catalog.is_dir():
        raise InputError(f"{catalog} is a file", hint="a crawl writes into a folder")
    if (catalog / "catalog.json").exists():
        Catalog.load(catalog)
    for _ in read_candidates(catalog, columns=["reason"]):
        break


def _plan(state: CrawlState, query: ModelQuery, since_last: bool, say: Say) -> Plan:
    """What is to be done: a crawl that was begun, a new one, or what has come since the last."""
    now = spell_time(datetime.now(UTC))
    plan = state.plan()
    if plan is None:
        if since_last:
            say("no crawl was finished here yet: everything is listed")
        return Plan(query, started=now)
    if plan.query.digest != query.digest:
        raise InputError(
            f"{state.catalog} holds a crawl that asked for something else "
            f"({plan.query.differs(query)})",
            hint="ask for the same, crawl into another folder, or start anew with --restart",
        )
    if not plan.done:
        say(f"going on after {state.number_of_pages} saved pages")
        return plan
    if since_last:
        return Plan(query, started=now, since=plan.newest)
    say("the listing is complete; --since-last asks for what was modified since")
    return plan


def _source(hub: Hub, plan: Plan, page_size: int) -> Source:
    if plan.query.source == "list":
        return IdList(hub, plan.query)
    if plan.query.source == "hub-stats":
        return HubStats(hub, plan.query, since=plan.since)
    return ApiListing(hub, plan.query, page_size=page_size, since=plan.since)


def _list(
    hub: Hub,
    state: CrawlState,
    plan: Plan,
    page_size: int,
    loadable: Callable[[], Loadable],
    should_stop: Callable[[], bool],
    say: Say,
) -> None:
    """Save every page that isn't saved yet, decided."""
    seen = sum(len(table) for table in state.pages(["id"]))
    # What has come since isn't filtered by the Hub, so it is here.
    query = replace(plan.query, list_all=True) if plan.since else plan.query
    with stage("listing models", unit="models") as at:
        for batch in _source(hub, plan, page_size).batches(state.cursor()):
            table = decide_page(batch.rows, query, loadable(), batch.left_open)
            if batch.refused:
                table = _refuse(table, batch)
            if state.plan() != plan:
                state.save_plan(plan)
            state.add_page(table, batch.cursor)
            seen += len(table)
            at.reach(seen, detail=f"page {state.number_of_pages}")
            new = f"{len(table)} new, {seen} so far"
            say(f"page {state.number_of_pages}: {new} ({batch.words})")
            if should_stop():
                raise StoppedError(
                    f"stopped after page {state.number_of_pages}", hint="the same command goes on"
                )


def _refuse(table: pa.Table, batch: Batch) -> pa.Table:
    """A page with the reasons that its source knows in place of those of empty rows."""
    reasons = [
        batch.refused.get(number, reason)
        for number, reason in enumerate(table["reason"].to_pylist())
    ]
    place = table.schema.get_field_index("reason")
    return table.set_column(place, table.schema.field(place), pa.array(reasons, pa.string()))


def _flags(catalog: Catalog, task: str) -> dict[str, tuple[str, ...]]:
    """Flag -> the models of the task that have it."""
    flagged: dict[str, tuple[str, ...]] = {}
    for entry in catalog.models:
        for flag in catalog.flags.get(entry.repo_id, ()) if entry.task == task else ():
            flagged[flag] = (*flagged.get(flag, ()), entry.repo_id)
    return flagged
