"""What a crawl of models asks for, and how the Hub's listing spells it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

from hf_select.errors import InputError, UnknownNameError
from hf_select.records import check_task_name, digest

_TEXT = (
    "fill-mask",
    "text-classification",
    "feature-extraction",
    "sentence-similarity",
    "zero-shot-classification",
    "text-ranking",
)
_IMAGE = ("image-classification", "image-feature-extraction")
PIPELINE_TAGS = {
    "text-classification": _TEXT,
    "text-regression": _TEXT,
    "image-classification": _IMAGE,
    "image-regression": _IMAGE,
    "token-classification": (*_TEXT, "token-classification"),
    "multiple-choice": (*_TEXT, "multiple-choice"),
}
"""Task -> what its backbones are called on the Hub, by which they are listed."""

EXPAND = (
    *("sha", "createdAt", "lastModified", "downloads", "likes", "gated", "private", "disabled"),
    *("tags", "pipeline_tag", "library_name", "safetensors", "config", "transformersInfo"),
)
"""The properties that a decision needs: with them one row of a listing is enough."""

SOURCES = ("api", "hub-stats", "list")
PAGE_SIZE = 1000
UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
COMMIT = re.compile(r"[0-9a-f]{40}")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", re.IGNORECASE)
_REPO_ID = re.compile(
    r"(?!.*(?:--|\.\.))(?:[A-Za-z0-9_](?:[\w.-]*\w)?/)?[A-Za-z0-9_](?:[\w.-]*\w)?(?<!\.git)",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class ModelQuery:
    """Which models are asked for. Empty values and zeros ask for nothing.

    What the Hub can filter, it filters: such models never arrive. With `list_all` it filters by
    the task alone, and whatever doesn't fit is rejected here, with its reason. `ids` (with
    `source="list"`) are asked for one by one instead of being listed.
    """

    task: str
    search: str = ""
    languages: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    library: str = ""
    trained_dataset: str = ""
    min_parameters: int = 0
    max_parameters: int = 0
    downloads_at_least: int = 0
    modified_after: str = ""
    source: str = "api"
    ids: tuple[str, ...] = ()
    list_all: bool = False
    allow_gated: bool = False
    allow_unknown_license: bool = False

    def __post_init__(self) -> None:
        check_task_name(self.task)
        if self.source not in SOURCES:
            raise UnknownNameError("source", self.source, SOURCES)
        if self.max_parameters and self.max_parameters < self.min_parameters:
            raise InputError(
                f"no model has at least {self.min_parameters} and at most "
                f"{self.max_parameters} parameters"
            )

    @property
    def digest(self) -> str:
        """16 hex digits that name the query."""
        return digest(asdict(self))

    @property
    def pipeline_tags(self) -> tuple[str, ...]:
        """What the backbones of the task are called on the Hub."""
        return PIPELINE_TAGS[self.task]

    def differs(self, other: ModelQuery) -> str:
        """The names of the settings that are not the same, for a message."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        return ", ".join(name.replace("_", " ") for name in names)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelQuery:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        settings: dict[str, Any] = {
            f.name: tuple(values[f.name]) if isinstance(values[f.name], list) else values[f.name]
            for f in fields(cls)
        }
        return cls(**settings)

    def listings(self, *, page_size: int = PAGE_SIZE, since: str = "") -> list[dict[str, Any]]:
        """The parameters of `/api/models`, one set a listing; together they hold every candidate.

        The Hub's filters can only be joined by "and", so there is a listing for each pipeline tag,
        licence and language. Sorted by downloads, or newest first where only new ones are wanted.
        With `since` the Hub filters by the task alone: of a model that has lost what was asked for
        we'd hear nothing.
        """
        newest_first = bool(since or (self.modified_after and not self.downloads_at_least))
        common: dict[str, Any] = {
            "sort": "lastModified" if newest_first else "downloads",
            "limit": page_size,
            "expand": list(EXPAND),
        }
        if self.list_all or since:
            return [{"pipeline_tag": tag, **common} for tag in self.pipeline_tags]
        if self.search:
            common["search"] = self.search
        if self.min_parameters or self.max_parameters:
            common["num_parameters"] = _bounds(self.min_parameters, self.max_parameters)
        always = [f"dataset:{self.trained_dataset}"] * bool(self.trained_dataset)
        always += [self.library] * bool(self.library)
        licenses = [f"license:{name}" for name in self.licenses]
        listings = []
        for tag, *chosen in product(
            self.pipeline_tags, licenses or [""], list(self.languages) or [""]
        ):
            filters = [*always, *(name for name in chosen if name)]
            listings.append(
                {"pipeline_tag": tag, **({"filter": filters} if filters else {}), **common}
            )
        return listings

    def stops_at(self, *, downloads: int, modified: str, since: str = "") -> bool:
        """Whether a listing in that order has nothing more for us after such a model."""
        if since:
            return modified < since
        if self.list_all:
            return False
        if self.downloads_at_least:
            return downloads < self.downloads_at_least
        return bool(self.modified_after) and modified < self.modified_after


def _bounds(least: int, most: int) -> str:
    parts = [f"min:{short_count(least)}"] * bool(least) + [f"max:{short_count(most)}"] * bool(most)
    return ",".join(parts)


def parse_count(text: str) -> int:
    """`200M`, `1.5B` or `66000000` as a number.

    >>> parse_count("1.5M")
    1500000
    """
    found = _COUNT.fullmatch(text.strip().replace(",", "").replace("_", ""))
    if not found:
        raise InputError(f"{text!r} is not a number", hint="for example 66000000, 200M or 1.5B")
    return round(float(found[1]) * UNITS[found[2].upper()])


def short_count(value: int) -> str:
    """A number as the Hub's filters and people spell it, without losing a digit.

    >>> short_count(1_500_000), short_count(999), short_count(110_000_000)
    ('1.5M', '999', '110M')
    """
    unit = max((u for u in UNITS if UNITS[u] <= value), key=lambda u: UNITS[u], default="")
    whole, rest = divmod(value, UNITS[unit])
    digits = f"{rest:0{len(str(UNITS[unit])) - 1}d}".rstrip("0") if unit else ""
    return f"{whole}.{digits}{unit}" if digits else f"{whole}{unit}"


def parse_date(text: str) -> str:
    """A date or a time in ISO 8601, spelled as the Hub does: in UTC, to the millisecond.

    >>> parse_date("2026-05-01")
    '2026-05-01T00:00:00.000Z'
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"{text!r} is not a date", hint="for example 2026-05-01") from error
    return spell_time(moment)


def spell_time(moment: datetime) -> str:
    """A time as the Hub spells it; without a time zone it is taken for UTC."""
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_repo_id(name: str) -> bool:
    """Whether a repository can be called that: no path pieces, no control characters, not too long.

    >>> [is_repo_id(n) for n in ("gpt2", "a/b.c", "../x", "a/b/c", "a/b\\n", "a/..", "/etc/x")]
    [True, True, False, False, False, False, False]
    """
    return bool(_REPO_ID.fullmatch(name)) and max(len(part) for part in name.partition("/")) <= 96


def asked_ids(text: str) -> tuple[str, ...]:
    """The ids of a list, one a line, optionally `id@revision`; `#` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def with_ids(query: ModelQuery, text: str) -> ModelQuery:
    """The query for the models of a list; an `InputError` if it names none."""
    ids = asked_ids(text)
    if not ids:
        raise InputError("the list names no model", hint="one id a line, such as owner/name")
    return replace(query, source="list", ids=ids)
