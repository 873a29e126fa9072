"""Which commit a dataset of the Hub is at, and whether its rows may be read: one question.

A repository may have been renamed, or be asked for in other capitals: the Hub sends whoever asks by
an old name on to the new one, which is what a record has to know it by.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from hf_select.errors import AccessError
from hf_select.hub.client import COMMIT, Hub, checked_id


class Pin(NamedTuple):
    """A dataset or model by the name that it has now, at a commit of 40 hex digits."""

    repo_id: str
    commit: str


def pin_dataset(hub: Hub, repo_id: str, revision: str | None = None) -> Pin:
    """The commit of a branch or tag (main if not given) of a dataset that this token may read.

    Raises `MissingError` or `AccessError` for one that is unknown, private, gated or disabled.
    """
    where, what = f"/api/datasets/{checked_id(repo_id)}", f"dataset {repo_id}"
    if revision is not None:
        where += f"/revision/{quote(revision, safe='')}"
    row = hub.get_json(where, {"expand": ["sha", "gated", "disabled"]}, what=what)
    name, commit = str(row.get("id")), str(row.get("sha"))
    if row.get("disabled"):
        raise AccessError(f"{what} was disabled by the Hub", hint="choose another one")
    if not COMMIT.fullmatch(commit):
        raise AccessError(f"{what}: the Hub names no commit of it")
    if row.get("gated"):  # seen by everybody, read by those who were let in
        hub.call(hub.api.auth_check, name, repo_type="dataset", what=what)
    return Pin(name, commit)


def pin_model(hub: Hub, repo_id: str) -> Pin:
    """The newest commit of a model. Raises `MissingError` or `AccessError`."""
    row = hub.get_json(
        f"/api/models/{checked_id(repo_id)}", {"expand": ["sha"]}, what=f"model {repo_id}"
    )
    return Pin(str(row["id"]), str(row["sha"]))
