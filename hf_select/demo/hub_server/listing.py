"""/api/models, /api/datasets, /api/spaces: filters, order, properties, pages."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from hf_select.demo.hub_server.access import is_visible
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.pages import page_length, paged, read_cursor
from hf_select.demo.hub_server.properties import EXPANDABLE, OF_ONE_ONLY, row
from hf_select.demo.hub_server.store import Store

LONGEST_PAGE = 1000
SORTS: dict[str, Any] = {
    "createdAt": "",
    "downloads": 0,
    "lastModified": "",
    "likes": 0,
    "trendingScore": 0,
}
"""What can be sorted by, newest or largest first, and what stands for a missing value."""

_PARAMETERS = """author cardData config cursor direction expand filter full gated limit
    num_parameters pipeline_tag search sort"""
_SHORT = """_id createdAt downloads id library_name likes modelId pipeline_tag private sdk tags
    trendingScore"""
_DATASET = "author disabled gated lastModified sha"
_FULL = "author cardData disabled gated lastModified sha siblings"
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def list_repos(store: Store, call: Call, *, type: str) -> Answer:
    """One page of the repositories that the caller may see and that pass the filters.

    A parameter that isn't served here is refused: an ignored filter would look like a result.
    """
    unknown = call.query.keys() - set(_PARAMETERS.split())
    if unknown:
        raise Refused(400, f"this Hub has no listing parameter {', '.join(sorted(unknown))}")
    sort = call.value("sort", "trendingScore")
    if sort not in SORTS or call.value("direction", "-1") != "-1":
        raise Refused(400, f"Invalid sort {sort!r}: expected one of {', '.join(SORTS)}, descending")
    wanted = _properties(call, type)
    with store.lock:
        repos = [repo for (kind, _), repo in store.repos.items() if kind == type]
    rows = [row(repo) for repo in repos if is_visible(repo, call.user)]
    rows = [found for found in rows if _passes(call, found)]

    def value(found: dict[str, Any]) -> Any:
        return SORTS[sort] if found.get(sort) is None else found[sort]

    rows.sort(key=lambda found: found["id"])
    rows.sort(key=value, reverse=True)
    rows = _after(read_cursor(call), rows, value)
    size = page_length(call, min(store.page_size or LONGEST_PAGE, LONGEST_PAGE))
    page = rows[:size]
    cursor = [value(page[-1]), page[-1]["id"]] if len(rows) > size else None
    shown = [{name: found[name] for name in found if name in wanted} for found in page]
    return paged(store, call, shown, cursor)


def shown_properties(
    call: Call, type: str, *, but: Collection[str] = frozenset()
) -> set[str] | None:
    """What `expand` asks for, which may be none of `but`; None where it wasn't given."""
    if "expand" not in call.query:
        return None
    names = set(call.query["expand"])
    valid = [name for name in EXPANDABLE[type].split() if name not in but]
    unknown = names - set(valid)
    if unknown:
        raise Refused(
            400, f"Invalid expand {', '.join(sorted(unknown))}: expected one of {', '.join(valid)}"
        )
    return {"_id", "id", *names}


def _properties(call: Call, type: str) -> set[str]:
    expanded = shown_properties(call, type, but=OF_ONE_ONLY)
    if expanded is not None:
        return expanded
    names = _SHORT.split() + (_DATASET.split() if type == "dataset" else [])
    if call.flag("full"):
        names += _FULL.split()
    return {*names, *(name for name in ("cardData", "config") if call.flag(name))}


def _passes(call: Call, found: dict[str, Any]) -> bool:
    tags = found.get("tags", [])
    filters = [tag for value in call.query.get("filter", []) for tag in value.split(",")]
    if any(tag not in tags for tag in filters):
        return False
    if any(text.lower() not in found["id"].lower() for text in call.query.get("search", [])):
        return False
    if call.value("author") not in ("", found["author"]):
        return False
    if call.value("pipeline_tag") not in ("", found.get("pipeline_tag")):
        return False
    if call.value("gated") and call.flag("gated") != bool(found["gated"]):
        return False
    limits = call.value("num_parameters")
    return not limits or _has_size(found, limits)


def _has_size(found: dict[str, Any], limits: str) -> bool:
    """`min:1M,max:200M`, either alone; a model of unknown size passes no limit."""
    total = (found.get("safetensors") or {}).get("total")
    for limit in limits.split(","):
        match = re.fullmatch(r"(min|max):(\d+(?:\.\d+)?)([KMBT]?)", limit)
        if not match:
            raise Refused(400, f"Invalid num_parameters {limits!r}: expected min:6B,max:128B")
        bound = float(match[2]) * _UNITS[match[3]]
        if total is None or (total < bound if match[1] == "min" else total > bound):
            return False
    return True


def _after(cursor: Any, rows: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """The sorted rows behind the one that the cursor names, whether it is still there or not."""
    if cursor is None:
        return rows
    try:
        last, id = cursor
        return [
            found
            for found in rows
            if value(found) < last or (value(found) == last and found["id"] > id)
        ]
    except (TypeError, ValueError):
        raise Refused(400, f"Invalid cursor: {cursor}") from None
