"""Where rows come from: the Hub's listing page by page, or a list of ids one by one.

A source yields batches of rows as the API spells them, each with a cursor: what it needs to go on
after that batch. `hubstats.HubStats` is the third one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from hf_select.errors import AccessError, HubError, MissingError, SetupError
from hf_select.hub.client import Hub
from hf_select.hub.crawl.facts import parse
from hf_select.hub.crawl.query import EXPAND, ModelQuery, is_repo_id

IDS_A_BATCH = 20


@dataclass(frozen=True)
class Batch:
    """Rows, where the source goes on after them, and what to tell the person who waits.

    `refused`: number of a row -> code of `decide.REASONS`, for models that the Hub didn't answer
    for; such a row has nothing but an id. `left_open`: codes that can't be decided because the
    source has no column for them.
    """

    rows: list[dict[str, Any]]
    cursor: Any
    words: str
    refused: Mapping[int, str] = field(default_factory=dict)
    left_open: frozenset[str] = frozenset()


class Source(Protocol):
    """What a crawl reads."""

    def batches(self, cursor: Any) -> Iterator[Batch]:
        """The batches after a cursor, all of them after None."""


class ApiListing:
    """`/api/models`, a listing for each combination of filters, one request a page.

    With `since` newest first, up to the first model that was modified before.
    """

    def __init__(self, hub: Hub, query: ModelQuery, *, page_size: int, since: str = "") -> None:
        self._hub, self._query, self._since = hub, query, since
        self._listings = query.listings(page_size=page_size, since=since)
        self._page_size = page_size

    def batches(self, cursor: Any) -> Iterator[Batch]:
        """As `Source` says; a cursor is [number of the listing, address of its next page]."""
        number, url = cursor or (0, None)
        url = url and _resized(url, self._page_size)
        while number < len(self._listings):
            listing = self._listings[number]
            page = self._hub.get_page(url or "/api/models", None if url else listing)
            if not isinstance(page.rows, list) or not all(isinstance(r, dict) for r in page.rows):
                raise HubError("the listing is no list of models", hint="look at HF_ENDPOINT")
            url = page.next
            if url is None or self._at_end(page.rows):
                number, url = number + 1, None
            words = ", ".join([listing["pipeline_tag"], *listing.get("filter", [])])
            yield Batch(page.rows, [number, url], words)

    def _at_end(self, rows: list[dict[str, Any]]) -> bool:
        if not rows:
            return True
        last = parse(rows[-1])
        return self._query.stops_at(
            downloads=last.downloads, modified=last.modified, since=self._since
        )


def _resized(url: str, page_size: int) -> str:
    """The address of a page of another size: a large one may take the Hub longer than it may."""
    parts = urlsplit(url)
    fields = [(name, text) for name, text in parse_qsl(parts.query) if name != "limit"]
    return f"{parts.path}?{urlencode([*fields, ('limit', str(page_size))])}"


class IdList:
    """Models that were named, asked for one by one; a name may be `id@revision`."""

    def __init__(self, hub: Hub, query: ModelQuery) -> None:
        self._hub, self._ids = hub, query.ids

    def batches(self, cursor: Any) -> Iterator[Batch]:
        """As `Source` says; a cursor is the number of names that are done."""
        for start in range(cursor or 0, len(self._ids), IDS_A_BATCH):
            names = self._ids[start : start + IDS_A_BATCH]
            rows: list[dict[str, Any]] = []
            refused: dict[int, str] = {}
            for number, name in enumerate(names):
                repo_id, _, revision = name.partition("@")
                row = ask(self._hub, repo_id, revision)
                if isinstance(row, str):
                    refused[number] = row
                    row = {"id": repo_id}
                rows.append(row)
            done = start + len(names)
            yield Batch(rows, done, f"{done} of {len(self._ids)} named models", refused)


def ask(
    hub: Hub,
    repo_id: str,
    revision: str = "",
    *,
    repo_type: str = "model",
    expand: Sequence[str] = EXPAND,
) -> dict[str, Any] | str:
    """One model's or dataset's row, or the reason why the Hub doesn't give it (as in `REASONS`).

    What is wrong with the token or the network, and not with the repository, raises.
    """
    if not is_repo_id(repo_id):
        return "invalid_id"
    where = f"/api/{repo_type}s/{repo_id}"
    if revision:
        where += f"/revision/{quote(revision, safe='')}"
    try:
        row = hub.get_json(where, {"expand": list(expand)}, what=f"{repo_type} {repo_id}")
    except AccessError as error:
        return refusal(error)
    return row if isinstance(row, dict) else "not_found"


def refusal(error: AccessError) -> str:
    """The reason to reject a model that the Hub refuses; what is no model's fault is raised."""
    from huggingface_hub import errors

    if isinstance(error, SetupError):
        raise error
    if isinstance(error, MissingError):
        return "not_found"
    if isinstance(error.__cause__, errors.GatedRepoError):
        return "gated"
    return "disabled" if isinstance(error.__cause__, errors.DisabledRepoError) else "no_access"
