"""Pull requests and discussions: listing, details, comments, status, merge."""

from __future__ import annotations

import hashlib
from typing import Any

from hf_select.demo.hub_server.access import commit_at, open_to, readable
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.store import MAIN, Commit, Discussion, Repo, Store, User, now

PAGE = 50
_CLOSED = ("closed", "merged")


def listing(store: Store, call: Call, *, type: str, id: str) -> Answer:
    """GET .../discussions?p=0, newest first, by `type`, `status` and `author`."""
    repo = readable(store, call.user, type, id)
    kind, status, author = call.value("type"), call.value("status"), call.value("author")
    with store.lock:
        found = sorted(repo.discussions.values(), key=lambda one: -one.num)
    found = [
        one
        for one in found
        if kind in ("", "all", "pull_request" if one.is_pull_request else "discussion")
        and status in ("", "all", "closed" if one.status in _CLOSED else "open")
        and author in ("", one.author)
    ]
    page = call.value("p", "0")
    if not page.isdecimal():
        raise Refused(400, f"Invalid page {page!r}")
    begin = PAGE * int(page)
    rows = [_summary(repo, one) for one in found[begin : begin + PAGE]]
    return Answer({"discussions": rows, "count": len(found), "start": begin})


def details(store: Store, call: Call, *, type: str, id: str, num: str) -> Answer:
    """GET .../discussions/NUM: with events, and what a merge would meet."""
    repo = readable(store, call.user, type, id)
    one = _find(repo, num)
    found = {**_summary(repo, one), "events": list(one.events)}
    if one.is_pull_request:
        found["filesWithConflicts"] = [] if one.status in _CLOSED else conflicts(repo, one)
        found["changes"] = {"base": MAIN}
        if one.merge_commit:
            found["changes"]["mergeCommitId"] = one.merge_commit
    return Answer(found)


def start(store: Store, call: Call, *, type: str, id: str) -> Answer:
    """POST .../discussions: a discussion, or an empty pull request in draft."""
    repo, user = open_to(store, call.user, type, id)
    form = call.json()
    title, text = str(form.get("title", "")), str(form.get("description", ""))
    if not 3 <= len(title) <= 200:
        raise Refused(400, "a title has 3 to 200 characters")
    with store.lock:
        if form.get("pullRequest"):
            one = open_pull_request(repo, title, text, user, base=repo.head)
            one.status = "draft"
            repo.refs[one.ref] = repo.head.sha
        else:
            one = _open(repo, title, text, user, base=None)
    return Answer({"num": one.num, "pullRequest": one.is_pull_request})


def comment(store: Store, call: Call, *, type: str, id: str, num: str) -> Answer:
    """POST .../discussions/NUM/comment."""
    repo, user = open_to(store, call.user, type, id)
    text = str(call.json().get("comment", ""))
    if not text:
        raise Refused(400, "a comment needs a text")
    with store.lock:
        event = add_event(_find(repo, num), "comment", user.name, _text(text, user.name))
    return Answer({"newMessage": event})


def rename(store: Store, call: Call, *, type: str, id: str, num: str) -> Answer:
    """POST .../discussions/NUM/title."""
    repo, user = open_to(store, call.user, type, id)
    with store.lock:
        one = _managed(repo, user, num)
        data = {"from": one.title, "to": str(call.json().get("title", ""))}
        one.title = data["to"]
        event = add_event(one, "title-change", user.name, data)
    return Answer({"newTitle": event})


def change_status(store: Store, call: Call, *, type: str, id: str, num: str) -> Answer:
    """POST .../discussions/NUM/status: open or close."""
    repo, user = open_to(store, call.user, type, id)
    form = call.json()
    status = form.get("status")
    if status not in ("open", "closed"):
        raise Refused(400, f"Invalid status {status!r}: expected open or closed")
    with store.lock:
        one = _managed(repo, user, num)
        if one.status == "merged":
            raise Refused(403, "This pull request was merged")
        if form.get("comment"):
            add_event(one, "comment", user.name, _text(form["comment"], user.name))
        one.status = status
        event = add_event(one, "status-change", user.name, {"status": status})
    return Answer({"newStatus": event})


def merge(store: Store, call: Call, *, type: str, id: str, num: str) -> Answer:
    """POST .../discussions/NUM/merge: one commit on main."""
    repo, user = open_to(store, call.user, type, id)
    if not user.belongs_to(repo.namespace):
        raise Refused(403, "Authorization error.")
    with store.lock:
        one = _find(repo, num)
        if call.json().get("comment"):
            add_event(one, "comment", user.name, _text(call.json()["comment"], user.name))
        merge_into_main(repo, one, user.name)
    return Answer({})


def open_pull_request(repo: Repo, title: str, text: str, user: User, *, base: Commit) -> Discussion:
    """A new pull request from a commit; its ref is moved by whoever commits to it."""
    return _open(repo, title, text, user, base=base.sha)


def merge_into_main(repo: Repo, one: Discussion, author: str) -> Commit:
    """Squash an open pull request into a commit on main; 409 where both changed a file."""
    if not one.is_pull_request or one.status in _CLOSED:
        raise Refused(400, f"discussion {one.num} is no open pull request")
    clash = conflicts(repo, one)
    if clash:
        raise Refused(409, f"Conflicts in {', '.join(clash)}")
    files = dict(repo.head.files)
    for path, blob in _changes(repo, one).items():
        files.pop(path, None)
        if blob is not None:
            files[path] = blob
    title = f"{one.title} (#{one.num})"
    made = repo.commit(MAIN, files, title=title, author=author, parent=repo.head.sha)
    one.status, one.merge_commit = "merged", made.sha
    add_event(one, "status-change", author, {"status": "merged"})
    return made


def conflicts(repo: Repo, one: Discussion) -> list[str]:
    """Files that main changed since, other than the pull request does."""
    base, main = repo.commits[one.base or ""], repo.head
    return sorted(
        path
        for path, blob in _changes(repo, one).items()
        if main.files.get(path) not in (base.files.get(path), blob)
    )


def pull_request_at(repo: Repo, ref: str) -> Discussion | None:
    """The pull request whose commits go to that ref."""
    requests = (one for one in list(repo.discussions.values()) if one.is_pull_request)
    return next((one for one in requests if one.ref == ref), None)


def may_push(repo: Repo, user: User, ref: str) -> None:
    """Refuse a commit to somebody else's pull request, and to one that is closed."""
    one = pull_request_at(repo, ref)
    if one is None:
        raise Refused(404, f"Invalid rev id: {ref}", code="RevisionNotFound")
    if user.name != one.author and not user.belongs_to(repo.namespace):
        raise Refused(403, "Authorization error.")
    if one.status in _CLOSED:
        raise Refused(403, f"Pull request {one.num} is {one.status}")


def add_event(one: Discussion, type: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    """Write down what happened."""
    identity = f"{one.num}/{len(one.events)}/{one.created}"
    event = {
        "id": hashlib.sha1(identity.encode()).hexdigest()[:24],
        "type": type,
        "createdAt": now(),
        "author": {"name": author},
        "data": data,
    }
    one.events.append(event)
    return event


def _open(repo: Repo, title: str, text: str, user: User, *, base: str | None) -> Discussion:
    num = len(repo.discussions) + 1
    one = Discussion(num, title, user.name, now(), base)
    repo.discussions[num] = one
    if text:
        add_event(one, "comment", user.name, _text(text, user.name))
    return one


def _find(repo: Repo, num: str) -> Discussion:
    one = repo.discussions.get(int(num))
    if one is None:
        raise Refused(404, f"Discussion {num} not found")
    return one


def _managed(repo: Repo, user: User, num: str) -> Discussion:
    """A discussion that this user may close or rename: their own, or in their repository."""
    one = _find(repo, num)
    if user.name != one.author and not user.belongs_to(repo.namespace):
        raise Refused(403, "Authorization error.")
    return one


def _changes(repo: Repo, one: Discussion) -> dict[str, Any]:
    """What the pull request does to each file it touches: its new content, or None."""
    base, head = repo.commits[one.base or ""].files, commit_at(repo, one.ref).files
    paths = base.keys() | head.keys()
    return {path: head.get(path) for path in paths if base.get(path) != head.get(path)}


def _summary(repo: Repo, one: Discussion) -> dict[str, Any]:
    return {
        "num": one.num,
        "title": one.title,
        "author": {"name": one.author},
        "createdAt": one.created,
        "status": one.status,
        "isPullRequest": one.is_pull_request,
        "repo": {"name": repo.id, "type": repo.type},
    }


def _text(text: str, author: str) -> dict[str, Any]:
    latest = {"raw": text, "html": "", "updatedAt": now(), "author": {"name": author}}
    return {"edited": False, "hidden": False, "latest": latest, "history": []}
