"""The winner of a selection -> a model repository on the Hub: one commit, or one pull request.

What is sent is what the repository lacks, so a second push sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hf_select.catalog import local_model
from hf_select.errors import AccessError, InputError, MissingError, SetupError
from hf_select.hub.client import FileInfo, Hub
from hf_select.hub.commit import Change, commit
from hf_select.hub.content import Content
from hf_select.hub.record.pull_requests import open_pull_requests
from hf_select.hub.winner.cards import CardFacts, is_untouched, one_line, winner_card
from hf_select.hub.winner.files import (
    CARD,
    DOCUMENT,
    PAGE,
    check_nothing_private,
    class_names,
    model_files,
    other_files,
    public_document,
    to_json,
)
from hf_select.hub.winner.scores import eval_results_file

ATTRIBUTES = ".gitattributes"
LICENSE_LEVELS = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "wtfpl"), 0),
    **dict.fromkeys(("mit", "isc", "zlib", "bsd", "bsd-2-clause", "bsd-3-clause", "ncsa"), 1),
    "apache-2.0": 1,
}
"""How much a licence asks for: 0 nothing, 1 to be named. What is changed under one of these may be
under another one of its level or above; whatever isn't listed, and asks for more, stays."""
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx")
LOOKED_THROUGH = 20
"""Open pull requests of one's own that are compared with what is to be proposed."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Pushed:
    """What a push did. `files` are the paths that were sent: none if all was there already.

    `commit` is where it is all to be found, None where it waits in the pull request number
    `pull_request`. `deleted` are paths of another model that were removed. `notes` are sentences
    about what was left out or left alone, and why.
    """

    repo_id: str
    url: str
    commit: str | None
    pull_request: int | None = None
    files: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    bytes_sent: int = 0
    created: bool = False
    notes: tuple[str, ...] = ()


def push_winner(
    hub: Hub,
    folder: Path,
    document: Mapping[str, Any],
    repo_id: str,
    *,
    render: Callable[[Mapping[str, Any]], str],
    private: bool = False,
    create_pr: bool = False,
    replace_other: bool = False,
    license: str | None = None,
) -> Pushed:
    """Send the model in `folder`, with card, document and page, to the model repository `repo_id`.

    `document` is that of a finished selection; `render` draws the page of one. A repository that
    isn't there is made. One that holds something else is refused, unless the winner is only
    proposed (`create_pr`) or shall take its place (`replace_other`). `license` is the winner's
    where its base's isn't known, or lets it be another.

    Raises `ModelError` for a folder without a safe model, `InputError` for a repository that isn't
    free, `AccessError` where the token has not the right, and `HubError` if the Hub gave up; then
    the same call goes on, and nothing is sent twice.
    """
    if not _HUB_ID.fullmatch(repo_id):
        raise InputError(f"--to is {repo_id!r}, but a model on the Hub is named OWNER/NAME")
    model = local_model(folder, document["task"])
    winner = document["winner"]
    hub.user()
    there = _look(hub, repo_id, create_pr=create_pr)
    base = find_base(hub, winner)
    license = choose_license(winner.get("license") or base.license, license or "")
    facts = CardFacts(
        repo_id,
        base_model=base.repo_id,
        base_commit=base.commit,
        license=license,
        labels=class_names(folder),
        size=model.num_parameters,
        endpoint=hub.endpoint,
    )
    content = model_files(folder)
    notes = _notes(winner["model"], base.repo_id, license, other_files(folder, content))
    try:
        shown = public_document(document, repo_id, folder)
        content[DOCUMENT] = to_json(shown)
        content[PAGE] = render(shown).encode()
        content[CARD] = winner_card(shown, facts).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / DOCUMENT} is not the document of a finished selection: {error!r}",
            hint="select again into a new folder",
        ) from error
    content |= eval_results_file(hub, shown)
    check_nothing_private(hub, content)
    push = _Push(
        hub,
        repo_id,
        {path: Content.of(data) for path, data in sorted(content.items())},
        f"Add {one_line(winner['model'])}, fine-tuned on {one_line(document['target'])}",
        create_pr,
        replace_other,
    )
    if there is None:
        _create(hub, repo_id, private=private)
    elif private and not there.private:
        notes.append(f"{repo_id} is public and stays so: --private is for one that is made")
    return replace(push.run(), created=there is None, notes=(*notes, *push.notes))


def _notes(model: str, base: str, license: str, left_out: list[str]) -> list[str]:
    notes = [f"left out of the push: {', '.join(left_out)}"] if left_out else []
    if not base:
        notes.append(f"no base_model in the card: {model}, as it was recorded, isn't on the Hub")
    if not license:
        notes.append("no licence in the card: the base model's isn't known; --license states one")
    return notes


# ------------------------------------------------------------------------ what the card may say


@dataclass(frozen=True)
class Base:
    """The model that a winner started from, as it is on the Hub; empty where it isn't there."""

    repo_id: str = ""
    commit: str = ""
    license: str = ""


def find_base(hub: Hub, winner: Mapping[str, Any]) -> Base:
    """The winner's base model on the Hub.

    It is where the Hub has the recorded commit, or, for a model that was measured from a local
    folder, where the weights of the repository of that name are the recorded ones.
    """
    model, weights = str(winner["model"]), winner.get("weights_sha256")
    if not _HUB_ID.fullmatch(model):
        return Base()
    try:
        return _base(hub, model, str(winner["revision"]))
    except MissingError as error:
        if error.missing == "repository" or not weights:
            return Base()
    base = _base(hub, model, "main")
    files = hub.tree(model, repo_type="model", revision=base.commit)
    return base if any(info.sha256 == weights for info in files) else Base()


def _base(hub: Hub, model: str, revision: str) -> Base:
    """A model at a revision, with the licence that its card states there."""
    where = f"/api/models/{model}/revision/{quote(revision, safe='')}"
    info = hub.get_json(where, what=f"model {model}")
    stated = [tag[len("license:") :] for tag in info.get("tags") or [] if tag[:8] == "license:"]
    return Base(model, str(info["sha"]), stated[0] if len(stated) == 1 else "")


def choose_license(base: str, given: str) -> str:
    """The licence of the winner: its base's, or the one that was named where the base's lets it.

    "" where nobody knows one. Raises `InputError` where the named one isn't allowed.
    """
    base, given = base.strip().lower(), given.strip().lower()
    if base in ("", "unknown"):
        return given
    level = LICENSE_LEVELS.get(base)
    free = level is not None and LICENSE_LEVELS.get(given, 2) >= level
    if given not in ("", base) and not free:
        raise InputError(
            f"--license is {given!r}, but the base model is under {base!r}, which doesn't let what "
            "is made of it be under that",
            hint="leave --license out",
        )
    return given or base


# --------------------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class _There:
    """A repository as it was found."""

    private: bool


def _look(hub: Hub, repo_id: str, *, create_pr: bool) -> _There | None:
    """The repository, None if there is none; refuses the name of a dataset or a Space."""
    try:
        info = hub.call(hub.api.model_info, repo_id, what=f"model {repo_id}")
        return _There(private=bool(info.private))
    except MissingError as error:
        if create_pr:
            raise InputError(
                f"there is no model {repo_id} to make a pull request to",
                hint="without --create-pr it is made",
            ) from error
    for kind in ("dataset", "space"):
        try:
            hub.head_commit(repo_id, repo_type=kind)
        except MissingError:
            continue
        raise InputError(
            f"{repo_id} is a {kind} on the Hub, but a winner is a model",
            hint="name another repository with --to",
        )
    return None


def _create(hub: Hub, repo_id: str, *, private: bool) -> None:
    """Make the repository."""
    try:
        hub.call(
            hub.api.create_repo,
            repo_id,
            repo_type="model",
            private=private,
            exist_ok=True,
            what=f"model {repo_id}",
        )
    except SetupError:
        raise
    except AccessError as error:
        raise AccessError(
            f"{repo_id} does not exist and can't be made: {error.message}",
            hint="push under a name of your own, or of an organization that you write for, with a "
            "token that may write",
        ) from error


@dataclass
class _Push:
    """One push on its way; `plan` is asked before every attempt, see `hub.commit`."""

    hub: Hub
    repo_id: str
    files: Mapping[str, Content]
    message: str
    create_pr: bool
    replace_other: bool
    notes: list[str] = field(default_factory=list)
    head: str = ""  # of main, when the plan was made
    sent: Change | None = None
    request: int | None = None  # the pull request that proposes it all

    def run(self) -> Pushed:
        """Commit until the repository, or a pull request on it, holds all files."""
        landed = commit(self.hub, self.repo_id, self.plan, repo_type="model")
        request = (landed.pull_request if landed else None) or self.request
        url = f"{self.hub.endpoint}/{self.repo_id}"
        sent = self.sent if landed is not None else None
        return Pushed(
            self.repo_id,
            url if request is None else f"{url}/discussions/{request}",
            None if request is not None else (landed and landed.commit) or self.head,
            pull_request=request,
            files=tuple(sent.add) if sent else (),
            deleted=sent.delete if sent else (),
            bytes_sent=sum(self.files[path].size for path in sent.add) if sent else 0,
        )

    def plan(self) -> Change | None:
        """What the repository lacks now; None if it, or an open pull request, has all of it."""
        self.head = self.hub.head_commit(self.repo_id, repo_type="model")
        there = self._tree(self.head)
        same = self._holds_this_model(there)
        if not (same or self.create_pr or self.replace_other):
            self._check_free(there)
        files = dict(self.files)
        self.notes = []
        if same and CARD in there and not self.replace_other and not self._is_our_card():
            del files[CARD]
            self.notes = ["the card there was edited by hand and stays; --replace writes it anew"]
        add = {path: file.data for path, file in files.items() if not file.is_at(there.get(path))}
        stale = () if same else tuple(sorted(set(there) - set(files) - {ATTRIBUTES}))
        if not add and not stale:
            return None
        if self.create_pr:
            self.request = self._find_request(files)
            if self.request is not None:
                return None
        self.sent = Change(
            self.head,
            self.message,
            add=add,
            delete=stale,
            pinned=True,
            pull_request=self.create_pr,
        )
        return self.sent

    def _tree(self, revision: str) -> dict[str, FileInfo]:
        found = self.hub.tree(self.repo_id, repo_type="model", revision=revision)
        return {info.path: info for info in found}

    def _holds_this_model(self, there: Mapping[str, FileInfo]) -> bool:
        weights = [path for path in self.files if path.endswith(".safetensors")]
        return all(self.files[path].is_at(there.get(path)) for path in weights)

    def _check_free(self, there: Mapping[str, FileInfo]) -> None:
        """Refuse to put the winner in the place of what somebody else has put there."""
        other = sorted(set(there) - {ATTRIBUTES})
        if not other or (other == [CARD] and _is_blank(self._card())):
            return
        found = next((path for path in other if path.endswith(WEIGHTS)), other[0])
        raise InputError(
            f"{self.repo_id} is there already and holds something else ({found})",
            hint="--create-pr proposes the winner, --replace puts it in the place of all that is "
            "there, or name another repository with --to",
        )

    def _card(self) -> str:
        data = self.hub.read(self.repo_id, CARD, repo_type="model", revision=self.head)
        return data.decode(errors="replace")

    def _is_our_card(self) -> bool:
        card = self._card()
        return _is_blank(card) or is_untouched(card)

    def _find_request(self, files: Mapping[str, Content]) -> int | None:
        """An open pull request of this user that proposes the same."""
        mine = open_pull_requests(self.hub, self.repo_id, author=self.hub.user(), repo_type="model")
        for request in mine[:LOOKED_THROUGH]:
            there = self._tree(request.ref)
            if all(file.is_at(there.get(path)) for path, file in files.items()):
                return request.num
        return None


def _is_blank(card: str) -> bool:
    """Whether a card has front matter at most, as one has that was made on the Hub's pages."""
    return not re.sub(r"\A---\r?\n.*?\r?\n---\s*", "", card, flags=re.DOTALL).strip()
