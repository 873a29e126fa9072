"""Pagination: a page, and the `Link: rel=next` to the one after it.

A cursor says after which row to go on, never how many rows came before, so that it stays valid
when rows are added and when the server starts anew.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.store import Store


def page_length(call: Call, longest: int) -> int:
    """How many rows this call gets: what `limit` asks for, up to the longest page."""
    text = call.value("limit", str(longest))
    if not text.isdecimal() or int(text) < 1:
        raise Refused(400, f"limit must be a positive number, not {text!r}")
    return min(int(text), longest)


def read_cursor(call: Call) -> Any:
    """What `paged` wrote; None on the first page."""
    text = call.value("cursor")
    if not text:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(text.encode()))
    except ValueError:
        raise Refused(400, f"Invalid cursor: {text}") from None


def paged(store: Store, call: Call, rows: list[Any], cursor: Any) -> Answer:
    """The rows, and where to go on unless `cursor` is None."""
    if cursor is None:
        return Answer(rows)
    text = base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()
    query = urlencode({**call.query, "cursor": [text]}, doseq=True)
    return Answer(rows, headers={"Link": f'<{store.endpoint}{call.path}?{query}>; rel="next"'})
