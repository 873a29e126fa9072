"""A page as a static Space: `index.html` with a card, in one commit, once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from hf_select.errors import AccessError, InputError, MissingError, SetupError
from hf_select.hub.client import FileInfo, Hub, checked_id
from hf_select.hub.commit import Change, commit
from hf_select.hub.content import Content
from hf_select.hub.winner.files import check_nothing_private
from hf_select.results.markdown import escape

PAGE, CARD = "index.html", "README.md"

OURS = b'<meta name="generator" content="hf-select">'
"""What every page of ours says: one that doesn't is somebody else's, and stays."""

MARK = "<!-- Made by hf-select; publish writes it anew as long as this line is here. -->"
"""The line of a card that nobody has taken over."""

TEMPLATE = b"Welcome to your static Space!"
"""What the Hub puts into the index.html of a new static Space; a page about one lacks it."""

_FRONT = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class PublishedPage:
    """What publishing a page did: `files` are the paths that were sent, none if all was there.

    `url` is the Space's page, `commit` where it is all to be found. `notes` are sentences about
    what was left alone, and why.
    """

    repo_id: str
    url: str
    commit: str
    files: tuple[str, ...] = ()
    created: bool = False
    notes: tuple[str, ...] = ()


def publish_page(
    hub: Hub,
    repo_id: str,
    page: str,
    *,
    title: str,
    about: str,
    datasets: tuple[str, ...] = (),
    private: bool = False,
) -> PublishedPage:
    """Put `page` up as the static Space `repo_id`, which is made if there is none.

    `title` and `about` are words for its card, `datasets` the results datasets that it was drawn
    from. Where the Space has the same bytes already, nothing is sent. A card that was edited by
    hand stays. Raises `InputError` for a Space that holds something else, `AccessError` where the
    token has not the right, and `HubError` if the Hub gave up; then the same call goes on.
    """
    if checked_id(repo_id).count("/") != 1:
        raise InputError(f"{repo_id!r}: a Space on the Hub is named OWNER/NAME")
    content = {PAGE: page.encode(), CARD: _card(title, about, datasets).encode()}
    check_nothing_private(hub, content)
    hub.user()
    made = _create_if_none(hub, repo_id, private=private)
    it = _Publication(hub, repo_id, {path: Content.of(data) for path, data in content.items()})
    landed = commit(hub, repo_id, it.plan, repo_type="space")
    return PublishedPage(
        repo_id,
        f"{hub.endpoint}/spaces/{repo_id}",
        (landed and landed.commit) or it.head,
        tuple(it.sent) if landed else (),
        made,
        tuple(it.notes),
    )


@dataclass
class _Publication:
    """One page on its way; `plan` is asked before every attempt, see `hub.commit`."""

    hub: Hub
    repo_id: str
    content: Mapping[str, Content]
    head: str = ""
    sent: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def plan(self) -> Change | None:
        """What the Space lacks now; None if it has all of it."""
        self.head = self.hub.head_commit(self.repo_id, repo_type="space")
        found = self.hub.tree(self.repo_id, repo_type="space", revision=self.head)
        there = {info.path: info for info in found}
        self._check_free(there)
        wanted = dict(self.content)
        self.notes = []
        if not self._may_write_card(there):
            del wanted[CARD]
            self.notes = ["the card there was edited by hand and stays"]
        add = {path: file.data for path, file in wanted.items() if not file.is_at(there.get(path))}
        self.sent = tuple(add)
        if not add:
            return None
        return Change(self.head, "Draw the record anew", add=add, pinned=True)

    def _check_free(self, there: Mapping[str, FileInfo]) -> None:
        """Refuse to put the page in the place of what somebody else has put there."""
        if PAGE not in there:
            others = sorted(set(there) - {CARD, ".gitattributes", "style.css"})
            if others:
                self._refuse(others[0])
            return
        text = self._read(PAGE)
        if OURS not in text and TEMPLATE not in text:
            self._refuse(PAGE)

    def _refuse(self, path: str) -> None:
        raise InputError(
            f"the Space {self.repo_id} is there already and holds something else ({path})",
            hint="name another Space",
        )

    def _may_write_card(self, there: Mapping[str, FileInfo]) -> bool:
        """Whether the card is ours, or nobody's; one of a Space that isn't static is refused."""
        if CARD not in there:
            return True
        text = self._read(CARD).decode(errors="replace")
        front = _FRONT.match(text)
        settings = _settings(front[1]) if front else {}
        if settings.get("sdk") not in (None, "static"):
            raise InputError(
                f"the Space {self.repo_id} runs {settings['sdk']!r}, but a page needs a static one",
                hint="name another Space",
            )
        rest = text[front.end() :] if front else text
        return MARK in text or not rest.strip() or "spaces-config-reference" in rest

    def _read(self, path: str) -> bytes:
        return self.hub.read(self.repo_id, path, repo_type="space", revision=self.head)


def _settings(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:  # then it is nobody's to overwrite, and says nothing of an sdk
        return {}
    return found if isinstance(found, dict) else {}


def _create_if_none(hub: Hub, repo_id: str, *, private: bool) -> bool:
    """Make the Space where there is none; whether it was made."""
    try:
        hub.head_commit(repo_id, repo_type="space")
        return False
    except MissingError as error:
        if error.missing != "repository":
            raise
    try:
        hub.call(
            hub.api.create_repo,
            repo_id,
            repo_type="space",
            space_sdk="static",
            private=private,
            exist_ok=True,
            what=f"space {repo_id}",
        )
    except SetupError:
        raise
    except AccessError as error:
        raise AccessError(
            f"the Space {repo_id} does not exist and can't be made: {error.message}",
            hint="name a Space of your own, or of an organization that you write for, with a token "
            "that may write",
        ) from error
    return True


def _card(title: str, about: str, datasets: tuple[str, ...]) -> str:
    """The Space's card; every word of a stranger is escaped."""
    settings: dict[str, Any] = {
        "title": title[:100],
        "emoji": "\N{BAR CHART}",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "pinned": False,
        "short_description": "Which pre-trained model to fine-tune: a record",
        "tags": ["hf-select", "model-selection"],
    }
    if datasets:
        settings["datasets"] = list(datasets)
    front = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n# {escape(title)}\n\n{escape(about, longest=600)}\n\n{MARK}\n"
