"""Files of a commit: the tree, chosen paths, and their bytes."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, quote

from hf_select.demo.hub_server.access import commit_at, downloadable, readable
from hf_select.demo.hub_server.answers import Answer, Call, Refused, is_true
from hf_select.demo.hub_server.pages import page_length, paged, read_cursor
from hf_select.demo.hub_server.store import Blob, Commit, Repo, Store

LONGEST_TREE = 1000
LONGEST_EXPANDED_TREE = 50
MOST_PATHS = 1000


def tree(store: Store, call: Call, *, type: str, id: str, revision: str, path: str = "") -> Answer:
    """Files and folders below a path, sorted by name; all levels with `recursive`."""
    repo = readable(store, call.user, type, id)
    commit = commit_at(repo, revision)
    path = path.strip("/")
    if path and not commit.has_folder(path):
        message = f'{path} does not exist on "{revision}"'
        raise Refused(404, message, code="EntryNotFound", headers={"X-Repo-Commit": commit.sha})
    names = _below(commit, path, recursive=call.flag("recursive"))
    last = read_cursor(call)
    if last is not None:
        names = [name for name in names if name > str(last)]
    expand = call.flag("expand")
    size = page_length(call, LONGEST_EXPANDED_TREE if expand else LONGEST_TREE)
    page = names[:size]
    rows = [entry(repo, commit, name, expand=expand) for name in page]
    return paged(store, call, rows, page[-1] if len(names) > size else None)


def paths_info(store: Store, call: Call, *, type: str, id: str, revision: str) -> Answer:
    """The same about chosen paths; those that don't exist are left out."""
    repo = readable(store, call.user, type, id)
    commit = commit_at(repo, revision)
    if "json" in call.content_type:
        form = call.json()
        paths, expand = form.get("paths", []), is_true(form.get("expand", ""))
    else:
        fields = parse_qs(call.body.decode(), keep_blank_values=True)
        paths, expand = fields.get("paths", []), is_true(fields.get("expand", [""])[0])
    paths = [paths] if isinstance(paths, str) else paths
    if len(paths) > MOST_PATHS:
        raise Refused(413, f"{len(paths)} paths in one request; at most {MOST_PATHS}")
    found = [path.rstrip("/") for path in paths]
    found = [path for path in found if path in commit.files or commit.has_folder(path)]
    return Answer([entry(repo, commit, path, expand=expand) for path in found])


def resolve(store: Store, call: Call, *, type: str, id: str, revision: str, path: str) -> Answer:
    """The bytes of a file; ranges are cut by the handler."""
    repo = downloadable(store, call.user, type, id)
    commit = commit_at(repo, revision)
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    blob = commit.files.get(path)
    if blob is None:
        raise Refused(404, "Entry not found", code="EntryNotFound", headers=headers)
    headers["ETag"] = f'"{blob.etag}"'
    headers["Content-Type"] = "application/octet-stream"
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.rsplit('/', 1)[-1])}"
    if blob.large:
        headers["X-Linked-ETag"] = f'"{blob.sha256}"'
        headers["X-Linked-Size"] = str(len(blob.data))
    return Answer(blob.data, headers=headers)


def siblings(commit: Commit) -> list[dict[str, Any]]:
    """The files as a repository's info lists them when asked for `blobs`."""
    rows = []
    for path, blob in sorted(commit.files.items()):
        found: dict[str, Any] = {"rfilename": path, "size": len(blob.data), "blobId": blob.oid}
        if blob.large:
            found["lfs"] = {
                "sha256": blob.sha256,
                "size": len(blob.data),
                "pointerSize": len(blob.pointer),
            }
        rows.append(found)
    return rows


def entry(repo: Repo, commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
    """A file or a folder; `expand` adds its last commit and, for a file, its security scan."""
    blob = commit.files.get(path)
    if blob is None:
        names = sorted(name for name in commit.files if name.startswith(f"{path}/"))
        content = "".join(f"{name} {commit.files[name].oid}\n" for name in names)
        oid = hashlib.sha1(content.encode()).hexdigest()
        found: dict[str, Any] = {"type": "directory", "oid": oid, "size": 0, "path": path}
    else:
        found = {"type": "file", "oid": blob.oid, "size": len(blob.data), "path": path}
        if blob.large:
            found["lfs"] = {
                "oid": blob.sha256,
                "size": len(blob.data),
                "pointerSize": len(blob.pointer),
            }
    if expand:
        last = repo.last_change(commit, path)
        found["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
        if blob is not None:
            found["securityFileStatus"] = _scan(repo, path, blob)
    return found


def security_status(repo: Repo) -> dict[str, Any]:
    """The result of the repository's scan: clean, unless `extra` says otherwise."""
    clean = {"scansDone": True, "filesWithIssues": []}
    status: dict[str, Any] = repo.extra.get("securityRepoStatus", clean)
    return status


def _scan(repo: Repo, path: str, blob: Blob) -> dict[str, Any]:
    """A file's scan; its status is the level of its issue in the repository's."""
    issues = {issue["path"]: issue["level"] for issue in security_status(repo)["filesWithIssues"]}
    level = issues.get(path, "safe" if security_status(repo)["scansDone"] else "queued")
    return {
        "status": level,
        "avScan": {"status": level, "version": "local"},
        "pickleImportScan": None if path.endswith(".safetensors") else {"status": level},
        "blobId": blob.oid,
    }


def _below(commit: Commit, path: str, *, recursive: bool) -> list[str]:
    """Names of the files and folders below a path."""
    start = f"{path}/" if path else ""
    names = set()
    for name in commit.files:
        if name.startswith(start):
            parts = name[len(start) :].split("/")
            depth = len(parts) if recursive else 1
            names |= {start + "/".join(parts[:level]) for level in range(1, depth + 1)}
    return sorted(names)
