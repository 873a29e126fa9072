"""What a publish will need of the Hub, asked before anything that takes long is begun."""

from __future__ import annotations

from hf_select.errors import AccessError, InputError, MissingError, SetupError
from hf_select.hub.client import Hub, checked_id


def check_can_publish(hub: Hub, repo_id: str, *, create_pr: bool = False) -> None:
    """Refuse a results dataset that this token's user can't publish to.

    One that doesn't exist may be made under one's own name, or an organization's. Raises
    `SetupError` without a token, `AccessError` without the right, `InputError` for a name without
    an owner.
    """
    user = hub.user()
    if checked_id(repo_id).count("/") != 1:
        raise InputError(f"{repo_id!r}: a dataset on the Hub is named OWNER/NAME")
    try:
        hub.call(
            hub.api.auth_check,
            repo_id,
            repo_type="dataset",
            write=not create_pr,
            what=f"dataset {repo_id}",
        )
    except MissingError:
        if create_pr:
            raise
        _check_can_make(hub, repo_id, user)
    except SetupError:
        raise
    except AccessError as error:
        if create_pr:
            raise
        raise AccessError(
            f"{user} may not write to {repo_id} with this token: {error.message}",
            hint="use a token with write access, or contribute by a pull request (--create-pr)",
        ) from error


def _check_can_make(hub: Hub, repo_id: str, user: str) -> None:
    """Refuse a new dataset under somebody else's name, or with a token that only reads."""
    owner = repo_id.partition("/")[0]
    found = hub.get_json("/api/whoami-v2", what="the token")
    if owner not in {user, *(org.get("name") for org in found.get("orgs") or [])}:
        raise AccessError(
            f"{repo_id} does not exist, or {user} can't see it, and can't make it either",
            hint="publish under a name of your own, or of an organization that you write for",
        )
    token = (found.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise AccessError(
            f"{repo_id} does not exist, and this token only reads, so it can't be made",
            hint="use a token with write access",
        )
