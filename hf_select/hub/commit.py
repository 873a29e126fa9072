"""One commit, exactly once: after any error the repository is read before anything is sent again.

A commit that was answered with a 500, or not at all, may have been applied. So a writer gives no
change but a plan: a function that reads the repository as it is now and says what is still to do.
It is asked before every attempt, and a change that has arrived after all leaves it nothing to do.
Once an attempt has ended in doubt, the next ones are pinned to the commit that the plan has read:
were the first one applied a moment later, the second would be refused instead of doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import ConflictError, HubError
from hf_select.hub import wording
from hf_select.hub.client import RETRIED, Hub
from hf_select.redaction import redact

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

TRIES = 10
"""Attempts of one commit before the writer gives up."""


@dataclass(frozen=True)
class Change:
    """What one commit does to a repository as it was at the commit `head`.

    `delete` names files, and folders by a `/` at the end. With `pinned` the commit is refused if
    `head` isn't the newest any more; without, it may land on top of whatever else was committed,
    which only a change that just adds files of names of its own can afford. With `pull_request`
    it isn't applied but proposed.
    """

    head: str
    message: str
    add: Mapping[str, bytes | Path] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    description: str = ""
    pinned: bool = False
    revision: str = "main"
    pull_request: bool = False


@dataclass(frozen=True)
class Landed:
    """How a commit ended: the Hub confirmed it, or it was found there after an error.

    `commit` and `pull_request` are what the Hub answered; None where no answer came.
    """

    commit: str | None = None
    pull_request: int | None = None


def commit(
    hub: Hub,
    repo_id: str,
    plan: Callable[[], Change | None],
    *,
    repo_type: str = "dataset",
    tries: int = TRIES,
) -> Landed | None:
    """Do what `plan` says is to do, once; None if from the start there was nothing.

    Raises `AccessError` where the token has not the right, `ConflictError` or `HubError` when
    `tries` attempts did not get through; the same call goes on then.
    """
    doubt = False
    for attempt in range(1, tries + 1):
        change = plan()
        if change is None:
            return Landed() if attempt > 1 else None
        try:
            info = hub.call(
                _send(hub, repo_id, repo_type, change, pinned=change.pinned or doubt),
                what=f"{repo_type} {repo_id}",
                retry_server_errors=False,
            )
            return Landed(info.oid, info.pr_num)
        except HubError as error:
            asked = wording.asked_wait(error.__cause__) if error.__cause__ else None
            if attempt == tries or _is_refusal(error) or (asked or 0.0) > hub.longest_wait:
                raise
            doubt |= not isinstance(error, ConflictError)
        hub.pause(attempt, at_least=asked or 0.0)
    raise AssertionError("the last attempt returns or raises")


def _send(
    hub: Hub, repo_id: str, repo_type: str, change: Change, *, pinned: bool
) -> Callable[[], CommitInfo]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def send() -> CommitInfo:
        # The client marks operations as it goes: each attempt needs new ones.
        operations: list[Any] = [
            CommitOperationAdd(path, data) for path, data in change.add.items()
        ]
        operations += [CommitOperationDelete(path) for path in change.delete]
        with _no_bars(), _uploads(hub, f"{repo_type} {repo_id}"):
            return hub.api.create_commit(
                repo_id,
                operations,
                commit_message=redact(change.message),
                commit_description=redact(change.description),
                repo_type=repo_type,
                revision=None if change.pull_request else change.revision,
                create_pr=change.pull_request,
                parent_commit=change.head if pinned or change.pull_request else None,
            )

    return send


class RefusedError(HubError):
    """What was to be sent is not taken, and won't be at the next try either."""


@contextmanager
def _uploads(hub: Hub, what: str) -> Iterator[None]:
    """In our words what `create_commit` raises that is no error of HTTP.

    A `RuntimeError` is an upload that broke off, by hf_xet or as an LFS file; a `ValueError` a
    refusal: a card with an invalid head, a quota that is used up.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, wording.caught()):
            raise
        hub.blot(error)
        words = " ".join(str(error).split())
        if isinstance(error, ValueError):
            raise RefusedError(f"{what}: {words}", hint="nothing was committed") from error
        raise HubError(
            f"{what}: an upload failed: {words}", hint="the same command goes on"
        ) from error


@contextmanager
def _no_bars() -> Iterator[None]:
    """No progress bars of the Hub's client inside: they would be in any log, `--quiet` or not."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()


def _is_refusal(error: HubError) -> bool:
    """Whether the Hub refuses the commit for what it is, so that sending it again is no use."""
    if isinstance(error, RefusedError | ConflictError):
        return isinstance(error, RefusedError)
    status = wording.status_of(error.__cause__) if error.__cause__ else None
    # The client has waited out a 429 already, as often and as long as it may.
    return status is not None and status < 500 and (status == 429 or status not in RETRIED)
