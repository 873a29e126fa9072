"""Which function answers which path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlencode

from hf_select.demo.hub_server import community, files, jobs, listing, repos, uploads
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.store import Store

_KIND = "/api/(?P<type>models|datasets|spaces)"
_REPO = _KIND + "/(?P<id>[^/]+(?:/[^/]+)?)"
_PAGE = "/(?:(?P<type>datasets|spaces)/)?(?P<id>[^/]+(?:/[^/]+)?)"
_REV = "/(?P<revision>[^/]+)"
_NAME = "/(?P<name>[^/]+)"
_TALK = _REPO + "/discussions"
_JOBS = "/api/jobs/(?P<namespace>[^/]+)"
_JOB = _JOBS + "/(?P<job>[^/]+)"


@dataclass(frozen=True)
class Route:
    """A method, a pattern over the encoded path, and what answers; groups are its arguments."""

    method: str
    pattern: str
    function: Callable[..., Answer]


ROUTES = (
    Route("GET", "/api/whoami-v2", repos.whoami),
    Route("POST", "/api/validate-yaml", repos.validate_yaml),
    Route("POST", "/api/repos/create", repos.create),
    Route("DELETE", "/api/repos/delete", repos.delete),
    Route("GET", _KIND, listing.list_repos),
    Route("GET", _REPO + "/revision" + _REV, repos.info),
    Route("GET", _REPO + "/tree" + _REV + "(?:/(?P<path>.+))?", files.tree),
    Route("POST", _REPO + "/paths-info" + _REV, files.paths_info),
    Route("GET", _REPO + "/refs", repos.refs),
    Route("GET", _REPO + "/commits" + _REV, repos.history),
    Route("PUT", _REPO + "/settings", repos.settings),
    Route("GET", _REPO + "/auth-check(?:/(?P<right>write))?", repos.auth_check),
    Route("POST", _REPO + "/branch" + _NAME, repos.create_branch),
    Route("DELETE", _REPO + "/branch" + _NAME, repos.delete_branch),
    Route("POST", _REPO + "/tag" + _NAME, repos.create_tag),
    Route("DELETE", _REPO + "/tag" + _NAME, repos.delete_tag),
    Route("POST", _REPO + "/super-squash" + _NAME, repos.squash),
    Route("POST", _REPO + "/preupload" + _REV, uploads.preupload),
    Route("POST", _REPO + "/commit" + _REV, uploads.commit),
    Route("POST", _PAGE + r"\.git/info/lfs/objects/batch", uploads.batch),
    Route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", uploads.put),
    Route("POST", "/lfs-verify", uploads.verify),
    Route("GET", _TALK, community.listing),
    Route("POST", _TALK, community.start),
    Route("GET", _TALK + r"/(?P<num>\d+)", community.details),
    Route("POST", _TALK + r"/(?P<num>\d+)/comment", community.comment),
    Route("POST", _TALK + r"/(?P<num>\d+)/title", community.rename),
    Route("POST", _TALK + r"/(?P<num>\d+)/status", community.change_status),
    Route("POST", _TALK + r"/(?P<num>\d+)/merge", community.merge),
    Route("GET", "/api/jobs/hardware", jobs.hardware),
    Route("GET", _JOBS, jobs.listing),
    Route("POST", _JOBS, jobs.start),
    Route("GET", _JOB, jobs.details),
    Route("POST", _JOB + "/cancel", jobs.cancel),
    Route("GET", _JOB + "/logs", jobs.logs),
    Route("GET", _PAGE + "/resolve" + _REV + "/(?P<path>.+)", files.resolve),
    Route("GET", _REPO, repos.info),  # last: it would take any two words for a repository
)
_COMPILED = [(route, re.compile(route.pattern)) for route in ROUTES]


def answer(store: Store, call: Call) -> Answer:
    """Answer a call. Raises Refused for the Hub's own errors, and where there is no such path."""
    method = "GET" if call.method == "HEAD" else call.method
    for route, pattern in _COMPILED:
        match = pattern.fullmatch(call.path) if route.method == method else None
        if match:
            groups = match.groupdict()
            if "type" in groups:
                groups["type"] = (groups["type"] or "models").removesuffix("s")
            given = {name: unquote(text) for name, text in groups.items() if text is not None}
            new = store.moved.get((given.get("type", ""), given.get("id", "")))
            if new is not None and (given["type"], given["id"]) not in store.repos:
                return _moved(call, match.span("id"), new)
            return route.function(store, call, **given)
    raise Refused(404, f"Sorry, we can't find the page you are looking for: {method} {call.path}")


def _moved(call: Call, old: tuple[int, int], new: str) -> Answer:
    """What the Hub says of a repository that was renamed: ask the same there."""
    query = f"?{urlencode(call.query, doseq=True)}" if call.query else ""
    place = f"{call.path[: old[0]]}{new}{call.path[old[1] :]}{query}"
    return Answer(f"Temporary Redirect. Redirecting to {place}", 307, {"Location": place})
