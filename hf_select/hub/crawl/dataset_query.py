"""What a crawl of datasets asks for, and how the Hub's listing spells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hf_select.errors import InputError
from hf_select.records import check_task_name, digest

CATEGORIES = {
    "text-classification": "text-classification",
    "text-regression": "text-classification",
    "image-classification": "image-classification",
    "image-regression": "image-classification",
    "token-classification": "token-classification",
    "multiple-choice": "multiple-choice",
}
"""Task -> what the Hub calls datasets for it; it has no words of its own for regression."""

EXPAND = (
    *("sha", "createdAt", "lastModified", "downloads", "likes", "gated", "private", "disabled"),
    *("tags", "cardData", "siblings", "mainSize"),
)
"""The properties that a decision needs: with them one row of a listing is enough."""


@dataclass(frozen=True, kw_only=True)
class DatasetQuery:
    """Which datasets are asked for. Empty values and zeros ask for nothing.

    What the Hub can filter, it filters: such datasets never arrive. With `list_all` it filters by
    the task alone, and whatever doesn't fit is rejected here, with its reason.
    `columns`: what is stated of them (text, text_pair, image, label), sorted. `ids` are asked for
    one by one instead of being listed: `owner/name`, `owner/name/config`, either with `@revision`.
    """

    task: str
    search: str = ""
    languages: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    min_rows: int = 0
    max_rows: int = 0
    max_classes: int = 0
    downloads_at_least: int = 0
    config: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    list_all: bool = False
    allow_unknown_license: bool = False

    def __post_init__(self) -> None:
        check_task_name(self.task)
        for name in ("min_rows", "max_rows", "max_classes", "downloads_at_least"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"value of `{name}` is {getattr(self, name)}, but must be 0 or more"
                )
        if 0 < self.max_rows < self.min_rows:
            raise InputError(
                f"no dataset has at least {self.min_rows} and at most {self.max_rows} rows"
            )
        if self.max_classes == 1:
            raise InputError("value of `max_classes` is 1, but a task has at least 2 classes")

    @property
    def digest(self) -> str:
        """16 hex digits that name the query."""
        return digest(asdict(self))

    def differs(self, other: Mapping[str, Any]) -> str:
        """The names of the settings that are not those of a saved query, for a message."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        names = [name for name in mine if digest(mine[name]) != digest(other.get(name))]
        return ", ".join(name.replace("_", " ") for name in names)

    def listing(self, page_size: int) -> dict[str, Any]:
        """The parameters of `/api/datasets`, most downloaded first.

        The Hub's filters are joined by "and": it gets those of which one value is asked for, the
        others are looked at here. So are sizes: a dataset without a size category may well fit.
        """
        filters = [f"task_categories:{CATEGORIES[self.task]}"]
        common = {"sort": "downloads", "limit": page_size, "expand": list(EXPAND)}
        if self.list_all:
            return {"filter": filters, **common}
        if len(self.languages) == 1:
            filters.append(f"language:{self.languages[0]}")
        if len(self.licenses) == 1 and not self.allow_unknown_license:
            filters.append(f"license:{self.licenses[0]}")
        search = {"search": self.search} if self.search else {}
        return {"filter": filters, **search, **common}

    def stops_at(self, downloads: int) -> bool:
        """Whether a listing has nothing more for us after a dataset with so many downloads."""
        return downloads < self.downloads_at_least and not self.list_all


def asked_for(name: str) -> tuple[str, str, str]:
    """The repository, config and revision that a line of a list names.

    >>> asked_for("nyu-mll/glue/sst2@main")
    ('nyu-mll/glue', 'sst2', 'main')
    """
    name, _, revision = name.partition("@")
    parts = name.split("/", 2)
    return "/".join(parts[:2]), parts[2] if len(parts) > 2 else "", revision
