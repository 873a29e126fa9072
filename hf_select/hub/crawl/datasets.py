"""Hub -> benchmark datasets of a catalog: list, decide, look at the rows of the best, write down.

A dataset that is turned down by what the listing says costs no request. Those that are left are
looked at, the most downloaded first, until there are as many as asked for. Pages and what was
found in the rows are saved as they come, so a killed crawl goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_select.catalog import Catalog
from hf_select.errors import AccessError, HubError, InputError, SetupError, StoppedError
from hf_select.files import write_atomic
from hf_select.hub.client import Hub
from hf_select.hub.crawl.dataset_decide import Candidate, ReadCard, bounded, decide, rejected
from hf_select.hub.crawl.dataset_query import EXPAND, DatasetQuery, asked_for
from hf_select.hub.crawl.dataset_table import FILE, read_decisions, write_decisions
from hf_select.hub.crawl.facts import parse
from hf_select.hub.crawl.listing import ask, refusal
from hf_select.hub.crawl.state import CrawlState
from hf_select.progress import stage
from hf_select.records import DatasetEntry

PAGE_SIZE = 100
"""Datasets a page. A row names all files of a repository, which can be a hundred thousand."""

LIMIT = 20
"""Datasets that a crawl accepts if nobody says otherwise; each is downloaded to look at it."""

Look = Callable[[str, str, str], tuple[DatasetEntry, str]]
"""(repo_id, config, commit) -> its entry and the fingerprint of its rows.

Raises `InputError` for rows that can't be used, `HubError` if they can't be had.
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class CrawledDatasets:
    """What a crawl has come to: configs of datasets, in the order of downloads."""

    accepted: tuple[Candidate, ...]
    rejected: tuple[Candidate, ...]
    pages: int
    resumed_after: int
    requests: int

    @property
    def seen(self) -> int:
        """How many configs were decided about."""
        return len(self.accepted) + len(self.rejected)

    @property
    def counts(self) -> dict[str, int]:
        """Code of `REASONS` -> how many were rejected for it, most first."""
        return count_reasons(self.rejected)


def crawl_datasets(
    hub: Hub,
    query: DatasetQuery,
    catalog: Path,
    *,
    read_card: ReadCard,
    look: Look,
    limit: int = LIMIT,
    restart: bool = False,
    page_size: int = PAGE_SIZE,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = lambda _: None,
) -> CrawledDatasets:
    """Find up to `limit` (0: all) datasets that `query` asks for; write the catalog's two files.

    `datasets.parquet` has every config that was decided about, `catalog.json` the accepted ones
    beside what else it holds. A crawl that was cut off goes on; `restart` forgets it. Raises
    `InputError` if a crawl of another query was cut off there, `StoppedError` when told to stop,
    and what the client raises.
    """
    if page_size < 1 or limit < 0:
        raise InputError("a page has at least one dataset, and a limit is 0 (none) or more")
    before = hub.requests
    with CrawlState(catalog, f"datasets-{query.task}") as state:
        if restart:
            state.restart()
        _begin(state, query, say)
        resumed_after = state.number_of_pages
        crawl = _Crawl(
            hub,
            query,
            state,
            read_card=read_card,
            look=look,
            page_size=page_size,
            should_stop=should_stop,
            say=say,
        )
        decisions = crawl.decisions(limit)
        pages = state.number_of_pages
        write_decisions(catalog / FILE, query.task, decisions)
        _write_catalog(catalog, query.task, decisions)
        state.restart()  # done: nothing to go on with
    return CrawledDatasets(
        accepted=tuple(found for found in decisions if not found.reason),
        rejected=tuple(found for found in decisions if found.reason),
        pages=pages,
        resumed_after=resumed_after,
        requests=hub.requests - before,
    )


def _begin(state: CrawlState, query: DatasetQuery, say: Say) -> None:
    """Refuse to mix what is asked for with what a crawl that was cut off asked for."""
    path = state.folder / "plan.json"
    if not path.exists():
        return
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))["query"]
        differs = query.differs(saved)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} can't be read: {error!r}", hint="start the crawl anew with --restart"
        ) from error
    if differs:
        raise InputError(
            f"{state.catalog} holds an unfinished crawl that asked for something else ({differs})",
            hint="ask for the same, crawl into another folder, or start anew with --restart",
        )
    say(f"going on after {state.number_of_pages} saved pages")


class _Crawl:
    """Decisions in the order of the listing, from saved pages and answers, then from new ones."""

    def __init__(
        self,
        hub: Hub,
        query: DatasetQuery,
        state: CrawlState,
        *,
        read_card: ReadCard,
        look: Look,
        page_size: int,
        should_stop: Callable[[], bool],
        say: Say,
    ) -> None:
        self.hub, self.query, self.state = hub, query, state
        self.read_card, self.look, self.page_size = read_card, look, page_size
        self.should_stop, self.say = should_stop, say
        self._looked = state.answers("findings")
        self._local = set(_catalog(state.catalog).locations)
        self._before = {
            (row["repo_id"], row["config"]): row
            for row in read_decisions(state.catalog / FILE)
            if row["task"] == query.task and not row["reason"]
        }

    def decisions(self, limit: int) -> list[Candidate]:
        """What became of every config, up to the page on which there were enough."""
        done: dict[tuple[str, str], Candidate] = {}
        accepted = 0
        with stage("looking at data sets", total=limit or None, unit="accepted") as at:
            for page in self._pages():
                for candidate in page:
                    if candidate.key in done:  # the listing has moved while it was read
                        continue
                    full = bool(limit) and accepted >= limit
                    if not candidate.reason:
                        candidate = (
                            rejected(candidate, "over_limit") if full else self._look(candidate)
                        )
                        accepted += not candidate.reason
                    done[candidate.key] = candidate
                    at.reach(accepted, detail=f"{len(done)} seen")
                if limit and accepted >= limit:
                    break
        return list(done.values())

    # ------------------------------------------------------------------------------- pages

    def _pages(self) -> Iterator[list[Candidate]]:
        """Saved pages, then those that come after them."""
        for table in self.state.pages():
            yield [_from_json(text) for text in table["candidate"].to_pylist()]
        for page, cursor in self._named() if self.query.ids else self._listed():
            if not (self.state.folder / "plan.json").exists():
                plan = {"query": asdict(self.query)}
                write_atomic(self.state.folder / "plan.json", json.dumps(plan, indent=1).encode())
            texts = pa.array([json.dumps(asdict(found)) for found in page], pa.string())
            self.state.add_page(pa.table({"candidate": texts}), cursor)
            good = sum(1 for found in page if not found.reason)
            self.say(
                f"page {self.state.number_of_pages}: {good} of {len(page)} datasets and configs "
                "may fit"
            )
            self._stop_if_asked()
            yield page

    def _listed(self) -> Iterator[tuple[list[Candidate], dict[str, Any]]]:
        """Pages of the listing that aren't saved yet, each with where it goes on."""
        cursor = self.state.cursor() or {"next": "/api/datasets"}
        params = None if self.state.number_of_pages else self.query.listing(self.page_size)
        while cursor["next"]:
            page = self.hub.get_page(cursor["next"], params)
            params = None
            if not isinstance(page.rows, list) or not all(isinstance(r, dict) for r in page.rows):
                raise HubError("the listing is no list of datasets", hint="look at HF_ENDPOINT")
            at_end = not page.rows or self.query.stops_at(parse(page.rows[-1]).downloads)
            cursor = {"next": None if at_end else page.next}
            yield (
                [found for row in page.rows for found in decide(row, self.query, self.read_card)],
                cursor,
            )

    def _named(self) -> Iterator[tuple[list[Candidate], dict[str, Any]]]:
        """The datasets of a list, a request each; the cursor counts those that are done."""
        done = (self.state.cursor() or {"done": 0})["done"]
        for number, name in enumerate(self.query.ids[done:], done + 1):
            repo_id, config, revision = asked_for(name)
            query = replace(self.query, config=config or self.query.config)
            row = self._ask(repo_id, revision)
            if isinstance(row, str):
                page = [rejected(Candidate(repo_id, config), row)]
            else:
                page = decide(row, query, self.read_card)
            yield page, {"done": number}

    def _ask(self, repo_id: str, revision: str = "") -> dict[str, Any] | str:
        """One dataset's row, or the reason for which the Hub doesn't give it."""
        return ask(self.hub, repo_id, revision, repo_type="dataset", expand=EXPAND)

    # ---------------------------------------------------------------------------- the rows

    def _look(self, candidate: Candidate) -> Candidate:
        """The candidate after its rows were read, now or in a run that was cut off."""
        if candidate.repo_id in self._local:
            return rejected(candidate, "local")
        key = f"{candidate.name}@{candidate.commit}"
        if key not in self._looked:
            self._stop_if_asked()
            self.say(f"looking at {candidate.name}")
            try:
                entry, fingerprint = self.look(
                    candidate.repo_id, candidate.config, candidate.commit
                )
                answer = {"entry": asdict(entry), "fingerprint": fingerprint}
            except SetupError:
                raise
            except AccessError as error:
                answer = {"reason": refusal(error), "detail": error.message}
            except InputError as error:
                answer = {"reason": "unusable", "detail": error.message}
            except HubError as error:
                if isinstance(self._ask(candidate.repo_id), str):
                    raise
                # The Hub is there: it is this dataset's trouble. Not saved: it may pass.
                return rejected(candidate, "unreadable", error.message)
            self.state.add_answer("findings", key, answer)
            self._looked[key] = answer
        return self._after_look(candidate, self._looked[key])

    def _after_look(self, candidate: Candidate, answer: Mapping[str, Any]) -> Candidate:
        if "reason" in answer:
            return rejected(candidate, answer["reason"], answer["detail"])
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in answer["entry"].items()
        }
        entry = replace(DatasetEntry(**values), license=candidate.license)
        seen = replace(
            candidate,
            config=entry.config,
            rows=entry.splits,
            num_labels=entry.num_labels,
            fingerprint=answer["fingerprint"],
        )
        seen = bounded(seen, self.query)
        if seen.reason:
            return seen
        before = self._before.get(seen.key)
        if before is not None and before["fingerprint"] == seen.fingerprint != "":
            # Runs are kept under the commit: one that only changed the card must not undo them.
            entry = replace(entry, revision=before["commit"])
        return replace(seen, commit=entry.revision, entry=entry)

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            raise StoppedError(
                f"stopped after {len(self._looked)} datasets were looked at",
                hint="the same command goes on",
            )


def count_reasons(decisions: Iterable[Candidate]) -> dict[str, int]:
    """Code of `REASONS` -> how many were rejected for it, most first."""
    return dict(Counter(found.reason for found in decisions if found.reason).most_common())


def _from_json(text: str) -> Candidate:
    values = json.loads(text)
    return Candidate(**{**values, "languages": tuple(values["languages"])})


def _catalog(folder: Path) -> Catalog:
    path = folder / "catalog.json"
    return Catalog.load(path) if path.exists() else Catalog()


def _write_catalog(folder: Path, task: str, decisions: Iterable[Candidate]) -> None:
    """Put the accepted ones beside what else the catalog holds.

    An earlier entry goes if it was decided about again; local ones, and those of another task or
    of which there were enough without, stay.
    """
    old = _catalog(folder)
    decided = {found.key: found for found in decisions if found.reason != "over_limit"}
    kept = [
        entry
        for entry in old.datasets
        if entry.task != task
        or entry.repo_id in old.locations
        or (entry.repo_id, entry.config) not in decided
    ]
    new = [found.entry for found in decided.values() if found.entry is not None]
    counts = {kind: dict(of) for kind, of in old.rejected_counts.items()}
    counts.setdefault("datasets", {})[task] = count_reasons(decisions)
    replace(
        old,
        datasets=tuple(sorted((*kept, *new), key=lambda e: (e.repo_id, e.config, e.task))),
        rejected_counts=counts,
    ).save(folder / "catalog.json")
