"""Who may see and do what, and how the Hub says no."""

from __future__ import annotations

from hf_select.demo.hub_server.answers import Refused
from hf_select.demo.hub_server.store import Commit, Repo, Store, User


def identify(store: Store, authorization: str | None) -> User | None:
    """The user of an `Authorization` header; None without one."""
    if not authorization:
        return None
    user = store.users.get(authorization.removeprefix("Bearer ").strip())
    if user is None:
        raise Refused(401, "Invalid credentials in Authorization header")
    return user


def is_visible(repo: Repo, user: User | None) -> bool:
    """Whether the repository exists as far as this user can tell."""
    return not repo.private or (user is not None and user.belongs_to(repo.namespace))


def readable(store: Store, user: User | None, type: str, id: str) -> Repo:
    """A repository whose properties, refs and file names this user may see."""
    repo = store.repos.get((type, id))
    if repo is None or not is_visible(repo, user):
        if user is None:
            raise Refused(401, "Invalid username or password.", code="RepoNotFound")
        raise Refused(404, "Repository not found", code="RepoNotFound")
    if repo.disabled:
        raise Refused(403, "Access to this resource is disabled.")
    return repo


def downloadable(store: Store, user: User | None, type: str, id: str) -> Repo:
    """A repository whose files this user may read: gated ones want more than to be seen."""
    repo = readable(store, user, type, id)
    if repo.gated and not (user and user.belongs_to(repo.namespace)):
        start = f"Access to {type} {id} is restricted"
        if user is None:
            needs = "You must have access to it and be authenticated to access it. Please log in."
            raise Refused(401, f"{start}. {needs}", code="GatedRepo")
        page = f"{store.endpoint}{repo.page}"
        message = f"{start} and you are not in the authorized list. Visit {page} to ask for access."
        raise Refused(403, message, code="GatedRepo")
    return repo


def open_to(store: Store, user: User | None, type: str, id: str) -> tuple[Repo, User]:
    """A repository that this user may open pull requests and discussions on."""
    repo = readable(store, user, type, id)
    return repo, writer(user)


def writable(store: Store, user: User | None, type: str, id: str) -> tuple[Repo, User]:
    """A repository that this user may change."""
    repo, someone = open_to(store, user, type, id)
    if not someone.belongs_to(repo.namespace):
        raise Refused(403, "Authorization error.")
    return repo, someone


def writer(user: User | None) -> User:
    """A user whose token may write at all."""
    if user is None:
        raise Refused(401, "Invalid username or password.")
    if user.role != "write":
        raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
    return user


def commit_at(repo: Repo, revision: str) -> Commit:
    """The commit of a revision."""
    commit = repo.find(revision)
    if commit is None:
        raise Refused(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
    return commit
