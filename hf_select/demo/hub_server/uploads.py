"""What a commit is made of: preupload, large files, and the commit itself."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from hf_select.demo.hub_server.access import commit_at, open_to, writable
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.community import (
    add_event,
    may_push,
    open_pull_request,
    pull_request_at,
)
from hf_select.demo.hub_server.store import BIG, Blob, Commit, Repo, Store, User


def preupload(store: Store, call: Call, *, type: str, id: str, revision: str) -> Answer:
    """How each file is to be sent, and the id of the one it replaces.

    A .gitignore is not looked at: nothing is told to be ignored.
    """
    repo, _ = _target(store, call, type, id, revision)
    commit = commit_at(repo, revision)
    rows = []
    for wanted in call.json().get("files", []):
        path, old = wanted["path"], commit.files.get(wanted["path"])
        mode = "lfs" if repo.is_large(path, wanted["size"]) else "regular"
        found = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        if old is not None:
            found["oid"] = old.etag
        rows.append(found)
    return Answer({"files": rows})


def batch(store: Store, call: Call, *, type: str, id: str) -> Answer:
    """Git LFS's batch call: where to put the large files that aren't here yet."""
    open_to(store, call.user, type, id)
    objects = []
    for wanted in call.json().get("objects", []):
        found = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
        if wanted["oid"] not in store.uploads:
            put = {"href": f"{store.endpoint}/lfs/{wanted['oid']}", "header": {}}
            verify = {"href": f"{store.endpoint}/lfs-verify", "header": {}}
            found["actions"] = {"upload": put, "verify": verify}
        objects.append(found)
    return Answer(
        {"transfer": "basic", "objects": objects},
        headers={"Content-Type": "application/vnd.git-lfs+json"},
    )


def put(store: Store, call: Call, *, oid: str) -> Answer:
    """A large file's bytes."""
    blob = Blob(call.body, large=True)
    if blob.sha256 != oid:
        raise Refused(400, f"the content of {oid} has another sha256")
    store.uploads[oid] = blob
    return Answer(headers={"ETag": f'"{oid}"'})


def verify(store: Store, call: Call) -> Answer:
    """Whether a large file has arrived whole."""
    form = call.json()
    blob = store.uploads.get(form.get("oid", ""))
    if blob is None or len(blob.data) != form.get("size"):
        raise Refused(404, f"LFS object {form.get('oid')} is missing or has another size")
    return Answer({})


def commit(store: Store, call: Call, *, type: str, id: str, revision: str) -> Answer:
    """One commit, from lines of JSON: a header, then files.

    With `parentCommit` it is made on that commit or refused with 412; with `create_pr` it opens a
    pull request. A commit that changes nothing is made all the same, as on the Hub.
    """
    repo, user = _target(store, call, type, id, revision)
    change = _read(store, call)
    opens = call.flag("create_pr")
    ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    with store.lock:
        if opens:
            base = commit_at(repo, change.parent or revision)
        elif ref in repo.refs:
            base = repo.commits[repo.refs[ref]]
        else:
            raise Refused(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        if change.parent not in (None, base.sha):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = _changed(base, change)
        request = pull_request_at(repo, ref)
        if opens:
            request = open_pull_request(repo, change.title, change.message, user, base=base)
            ref = request.ref
        made = repo.commit(
            ref,
            files,
            title=change.title,
            message=change.message,
            author=user.name,
            parent=base.sha,
        )
        if request is not None:
            add_event(request, "commit", user.name, {"subject": made.title, "oid": made.sha})
    page = f"{store.endpoint}{repo.page}"
    answer = {
        "success": True,
        "commitOid": made.sha,
        "commitUrl": f"{page}/commit/{made.sha}",
        "hookOutput": "",
    }
    if opens and request is not None:
        answer["pullRequestUrl"] = f"{page}/discussions/{request.num}"
    return Answer(answer)


@dataclass
class _Change:
    title: str
    message: str
    parent: str | None
    files: list[tuple[str, Blob]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    deleted_folders: list[str] = field(default_factory=list)


def _target(store: Store, call: Call, type: str, id: str, revision: str) -> tuple[Repo, User]:
    """The repository, if the caller may commit there in the way they ask for."""
    if call.flag("create_pr"):
        return open_to(store, call.user, type, id)
    if revision.startswith("refs/pr/"):
        repo, user = open_to(store, call.user, type, id)
        may_push(repo, user, revision)
        return repo, user
    return writable(store, call.user, type, id)


def _read(store: Store, call: Call) -> _Change:
    """The body of a commit; large files must have arrived."""
    change: _Change | None = None
    for number, line in enumerate(call.body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            key, value = _keyed(json.loads(line))
            if key == "header":
                change = _Change(
                    value["summary"],
                    value.get("description") or "",
                    value.get("parentCommit") or None,
                )
                continue
            if change is None:
                raise Refused(400, "the first line of a commit must be its header")
            _add(store, change, key, value)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise Refused(400, f"line {number} of the commit can't be read: {error!r}") from None
    if change is None or not change.title:
        raise Refused(400, "a commit needs a header with a summary")
    return change


def _keyed(document: Any) -> tuple[str, dict[str, Any]]:
    return document["key"], document["value"]


def _add(store: Store, change: _Change, key: str, value: dict[str, Any]) -> None:
    path = value["path"]
    if key not in ("file", "lfsFile", "deletedFile", "deletedFolder"):
        raise Refused(400, f"unknown operation {key!r} in a commit")
    parts = path.rstrip("/").split("/") if key == "deletedFolder" else path.split("/")
    if any(part in ("", ".", "..", ".git") for part in parts):
        raise Refused(400, f"Invalid path: {path!r}")
    if key == "deletedFile":
        change.deleted.append(path)
    elif key == "deletedFolder":
        change.deleted_folders.append(path.rstrip("/") + "/")
    elif key == "file":
        encoded = value.get("encoding") == "base64"
        content = value["content"]
        data = base64.b64decode(content, validate=True) if encoded else content.encode()
        if len(data) >= BIG:
            raise Refused(400, f"{path} is too large for a regular file: send it as a large one")
        change.files.append((path, Blob(data)))
    else:
        large = store.uploads.get(value["oid"])
        if large is None:
            message = f"LFS pointer pointed to a file that does not exist: {path}"
            raise Refused(400, message)
        change.files.append((path, large))


def _changed(base: Commit, change: _Change) -> dict[str, Blob]:
    """The files after the change."""
    files = dict(base.files)
    for path in change.deleted:
        if files.pop(path, None) is None:
            message = f"A file with this name doesn't exist: {path}"
            raise Refused(404, message, code="EntryNotFound")
    for folder in change.deleted_folders:
        kept = {path: blob for path, blob in files.items() if not path.startswith(folder)}
        if len(kept) == len(files):
            message = f"A folder with this name doesn't exist: {folder}"
            raise Refused(404, message, code="EntryNotFound")
        files = kept
    return files | dict(change.files)
