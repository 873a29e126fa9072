"""Repositories themselves: info, create, delete, settings, refs, history; and who the caller is."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hf_select.demo.hub_server.access import commit_at, downloadable, readable, writable, writer
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.files import security_status, siblings
from hf_select.demo.hub_server.listing import shown_properties
from hf_select.demo.hub_server.pages import page_length, paged, read_cursor
from hf_select.demo.hub_server.properties import row
from hf_select.demo.hub_server.store import MAIN, TYPES, Commit, Repo, Store, valid_id

LONGEST_HISTORY = 50
_ON_REQUEST = """baseModels downloadsAllTime evalResults mainSize securityRepoStatus
    trendingScore"""
"""Properties that an info shows only when asked for them."""


def info(store: Store, call: Call, *, type: str, id: str, revision: str = "main") -> Answer:
    """Everything about one repository, or what `expand` asks for."""
    repo = readable(store, call.user, type, id)
    commit = commit_at(repo, revision)
    found = row(repo, commit)
    wanted = shown_properties(call, type)
    if wanted is not None:
        return Answer({name: value for name, value in found.items() if name in wanted})
    shown = {name: value for name, value in found.items() if name not in _ON_REQUEST.split()}
    if call.flag("blobs"):
        shown["siblings"] = siblings(commit)
    if call.flag("securityStatus"):
        shown["securityRepoStatus"] = security_status(repo)
    return Answer(shown)


def create(store: Store, call: Call) -> Answer:
    """POST /api/repos/create: 409 with the address of the one that has the name."""
    user = writer(call.user)
    type, id, form = _named(call, user.name)
    if not user.belongs_to(id.split("/")[0]):
        owner = id.split("/")[0]
        raise Refused(
            403, f'You don\'t have the rights to create a {type} under the namespace "{owner}"'
        )
    if not valid_id(id):
        raise Refused(400, f"Invalid repo name: {id}")
    private = form.get("visibility") == "private" or form.get("private") is True
    files = _template(form.get("sdk")) if type == "space" else {}
    try:
        repo = store.create(type, id, files, author=user.name, private=private)
    except ValueError:
        url = f"{store.endpoint}{Repo(type, id).page}"
        message = f"You already created this {type} repo"
        raise Refused(409, message, body={"error": message, "url": url}) from None
    return Answer({"url": f"{store.endpoint}{repo.page}", "name": id, "id": id})


def _template(sdk: Any) -> dict[str, str]:
    """What the Hub puts into a new Space."""
    if sdk not in ("docker", "gradio", "static"):
        raise Refused(400, "A Space needs an sdk: docker, gradio or static")
    card = f"---\ntitle: Space\nsdk: {sdk}\npinned: false\n---\n\nCheck out the configuration "
    card += "reference at https://huggingface.co/docs/hub/spaces-config-reference\n"
    if sdk != "static":
        return {"README.md": card}
    page = "<!doctype html><title>My static Space</title><h1>Welcome to your static Space!</h1>"
    return {"README.md": card, "index.html": page, "style.css": "body { padding: 2rem; }"}


def delete(store: Store, call: Call) -> Answer:
    """DELETE /api/repos/delete."""
    type, id, _ = _named(call, writer(call.user).name)
    repo, _ = writable(store, call.user, type, id)
    with store.lock:
        store.repos.pop((repo.type, repo.id), None)
    return Answer({})


def settings(store: Store, call: Call, *, type: str, id: str) -> Answer:
    """PUT .../settings: visibility and gating."""
    repo, _ = writable(store, call.user, type, id)
    form = call.json()
    with store.lock:
        if "visibility" in form or "private" in form:
            repo.private = form.get("visibility") == "private" or form.get("private") is True
        repo.gated = form.get("gated", repo.gated)
    return Answer({"private": repo.private, "gated": repo.gated})


def auth_check(store: Store, call: Call, *, type: str, id: str, right: str = "") -> Answer:
    """GET .../auth-check and .../auth-check/write: the error, or nothing."""
    if right == "write":
        writable(store, call.user, type, id)
    else:
        downloadable(store, call.user, type, id)
    return Answer({})


def refs(store: Store, call: Call, *, type: str, id: str) -> Answer:
    """Branches and tags, and the refs of pull requests with `include_prs`."""
    repo = readable(store, call.user, type, id)
    kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
    if call.flag("include_prs"):
        kinds["pullRequests"] = "refs/pr/"
    with store.lock:
        all_refs = sorted(repo.refs.items())
    return Answer(
        {
            kind: [
                {"name": ref.removeprefix(start), "ref": ref, "targetCommit": sha}
                for ref, sha in all_refs
                if ref.startswith(start)
            ]
            for kind, start in kinds.items()
        }
    )


def history(store: Store, call: Call, *, type: str, id: str, revision: str) -> Answer:
    """Commits of a revision, newest first."""
    repo = readable(store, call.user, type, id)
    commits = list(repo.history(commit_at(repo, revision)))
    last = read_cursor(call)
    if last is not None:
        shas = [commit.sha for commit in commits]
        commits = commits[shas.index(last) + 1 :] if last in shas else []
    page = commits[: page_length(call, LONGEST_HISTORY)]
    cursor = page[-1].sha if len(commits) > len(page) else None
    return paged(store, call, [_described(commit) for commit in page], cursor)


def create_branch(store: Store, call: Call, *, type: str, id: str, name: str) -> Answer:
    """POST .../branch/NAME, from `startingPoint`."""
    repo, _ = writable(store, call.user, type, id)
    return _create_ref(store, repo, f"refs/heads/{name}", call.json().get("startingPoint", "main"))


def create_tag(store: Store, call: Call, *, type: str, id: str, name: str) -> Answer:
    """POST .../tag/REVISION, whose body names the tag."""
    repo, _ = writable(store, call.user, type, id)
    tag = call.json().get("tag")
    if not tag:
        raise Refused(400, "a tag needs a name")
    return _create_ref(store, repo, f"refs/tags/{tag}", name)


def delete_branch(store: Store, call: Call, *, type: str, id: str, name: str) -> Answer:
    """DELETE .../branch/NAME; main stays."""
    repo, _ = writable(store, call.user, type, id)
    if name == "main":
        raise Refused(403, "Cannot delete main branch")
    return _delete_ref(store, repo, f"refs/heads/{name}")


def delete_tag(store: Store, call: Call, *, type: str, id: str, name: str) -> Answer:
    """DELETE .../tag/NAME."""
    repo, _ = writable(store, call.user, type, id)
    return _delete_ref(store, repo, f"refs/tags/{name}")


def squash(store: Store, call: Call, *, type: str, id: str, name: str) -> Answer:
    """POST .../super-squash/BRANCH: one commit without a past."""
    repo, user = writable(store, call.user, type, id)
    with store.lock:
        if f"refs/heads/{name}" not in repo.refs:
            raise Refused(404, f"Invalid rev id: {name}", code="RevisionNotFound")
        files = repo.commits[repo.refs[f"refs/heads/{name}"]].files
        title = call.json().get("message") or "Super-squash branch"
        repo.commit(f"refs/heads/{name}", files, title=title, author=user.name, parent=None)
    return Answer({})


def whoami(store: Store, call: Call) -> Answer:
    """GET /api/whoami-v2."""
    user = call.user
    if user is None:
        raise Refused(401, "Invalid username or password.")
    orgs = [{"type": "org", "id": org, "name": org, "roleInOrg": "write"} for org in user.orgs]
    token = {"displayName": "local", "role": user.role}
    return Answer(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "isPro": False,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def validate_yaml(store: Store, call: Call) -> Answer:
    """POST /api/validate-yaml: is the head of a README.md readable?"""
    text = str(call.json().get("content", ""))
    head = re.match(r"^\s*---[\r\n]+([\S\s]*?)[\r\n]+---(?:\r\n|\n|$)", text)
    try:
        card = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError as error:
        return Answer({"errors": [{"message": f"YAML: {error}"}], "warnings": []}, 400)
    if card is not None and not isinstance(card, dict):
        return Answer({"errors": [{"message": "metadata must be a mapping"}], "warnings": []}, 400)
    message = "empty or missing yaml metadata in repo card"
    return Answer({"errors": [], "warnings": [] if card else [{"message": message}]})


def _named(call: Call, user: str) -> tuple[str, str, dict[str, Any]]:
    """Type and id that the body of a creation or deletion names."""
    form = call.json()
    type = form.get("type") or "model"
    if type not in TYPES or not form.get("name"):
        raise Refused(400, f"a repository needs a name and a type: one of {', '.join(TYPES)}")
    return type, f"{form.get('organization') or user}/{form['name']}", form


def _create_ref(store: Store, repo: Repo, ref: str, revision: str) -> Answer:
    if ref.startswith("refs/heads/refs/"):
        raise Refused(400, f"Invalid reference for a branch: {ref.removeprefix('refs/heads/')}")
    with store.lock:
        if ref in repo.refs:
            raise Refused(409, f"Reference {ref} already exists")
        repo.refs[ref] = commit_at(repo, revision).sha
    return Answer({})


def _delete_ref(store: Store, repo: Repo, ref: str) -> Answer:
    with store.lock:
        if ref == MAIN or repo.refs.pop(ref, None) is None:
            raise Refused(404, f"Invalid rev id: {ref}", code="RevisionNotFound")
    return Answer({})


def _described(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.message,
        "date": commit.date,
        "authors": [{"user": commit.author}],
    }
