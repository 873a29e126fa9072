"""The folder that a selection leaves behind, and the state that lets a killed one go on.

out/                    config.json, model.safetensors, ...: the fine-tuned winner
    selection.json      everything; written last, so a folder that has it is complete
    report.html
    .select/            only while it runs: settings.json, journal.jsonl, features/, trials/;
                        replaced.json: the document while another winner takes the first one's place
    best-so-far/        the best candidate until then, of a selection that was stopped
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hf_select.errors import InputError
from hf_select.files import is_writable, write_atomic
from hf_select.records import digest

STATE = ".select"
SO_FAR = "best-so-far"
DOCUMENT = "selection.json"
REPLACED = "replaced.json"

UNREADABLE = frozenset(["target", "recipe", "record", "excluded", "offered", "revision"])
"""Settings whose values are digests: that they differ says more than what they are."""
NAMES = {
    "budget seconds": "budget (seconds)",
    "budget epochs": "max-epochs",
    "budget price": "max-cost",
    "target": "the target's rows",
    "record": "the record",
    "proxies": "the record's proxy scores",
    "offered": "the models on offer",
    "excluded": "the models that are ruled out",
}
"""Settings that are called otherwise where they are asked for, or not asked for by name."""
SHORT = 24
"""Characters of a value that a message shows."""


class SelectionFolder:
    """An output folder, bound to the settings that decide what is put into it.

    Raises `InputError` where the folder holds something else. Creating the object writes nothing.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.state = self.path / STATE
        self.settings = dict(settings)
        self.digest = digest(self.settings)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file, but must be a folder")
        self._check_owner()
        if not is_writable(self.path):
            raise InputError(
                f"{self.path} can't be written to", hint="name another folder with --out"
            )

    def finished(self, *, to_replace: bool = False) -> dict[str, Any] | None:
        """The document of this very selection, if the folder holds it already.

        `to_replace`: another winner shall take the first one's place, so what an earlier try at
        that has left is kept. Without it, a folder in which such a try was cut off while it wrote
        holds two winners in pieces: an `InputError`.
        """
        file, replaced = self.path / DOCUMENT, self.state / REPLACED
        if not file.is_file() and replaced.is_file():
            if not to_replace:
                raise InputError(
                    f"{self.path} was being given another winner when that was cut off",
                    hint="the same command with --choose goes on; or remove the folder",
                )
            file = replaced
        if not file.is_file():
            return None
        if not to_replace:
            shutil.rmtree(self.state, ignore_errors=True)  # a kill can have left it
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return document

    def is_whole(self) -> bool:
        """Whether a finished selection's winner lies there, not one that is being replaced."""
        return (self.path / DOCUMENT).is_file()

    def make_way(self, files: Iterable[str]) -> None:
        """Set the document aside and remove the first winner's files; `finish` puts the other one
        there. Harmless where it was done before."""
        if (self.path / DOCUMENT).is_file():
            (self.path / DOCUMENT).replace(self.state / REPLACED)
        for name in files:
            (self.path / name).unlink(missing_ok=True)

    def start(self) -> None:
        """Make the folder and its state; harmless where they exist."""
        self.state.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"digest": self.digest, "settings": self.settings}, indent=1)
        write_atomic(self.state / "settings.json", text.encode())

    def forget(self) -> None:
        """Remove the state of a selection that can't be made, and the folder if nothing else is
        there."""
        shutil.rmtree(self.state, ignore_errors=True)
        with suppress(OSError):  # it holds something else
            self.path.rmdir()

    def finish(
        self, document: dict[str, Any], save_winner: Callable[[Path], None], report: str
    ) -> dict[str, Any]:
        """Put the winner, the report and, last of all, the document there; drop the state.

        Returns the document as it was written.
        """
        save_winner(self.path)
        for file in self.path.iterdir():
            if file.is_file():
                file.chmod(0o644)  # safetensors writes 0600, and a winner is there to be shared
        write_atomic(self.path / "report.html", report.encode())
        asked = json.loads(json.dumps(self.settings))  # as it will be read
        document = {**document, "asked": asked, "settings_digest": self.digest}
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / DOCUMENT, text.encode())
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.path / SO_FAR, ignore_errors=True)
        return document

    def _check_owner(self) -> None:
        """Refuse a folder that holds another selection, or anything that isn't ours."""
        owner, asked = None, None
        for file, key, settings in (
            (self.path / DOCUMENT, "settings_digest", "asked"),
            (self._settings, "digest", "settings"),
        ):
            if file.is_file():
                try:
                    found = json.loads(file.read_text(encoding="utf-8"))
                    owner, asked = found.get(key), found.get(settings)
                except ValueError as error:
                    raise InputError(f"{file} is not valid JSON: {error}") from error
                break
        else:
            # A state without settings: a kill (or another process) between the two.
            if self.path.is_dir() and any(p.name != STATE for p in self.path.iterdir()):
                raise InputError(
                    f"{self.path} is not empty, and what it holds isn't a selection",
                    hint="name a new folder with --out",
                )
            return
        if owner != self.digest:
            raise InputError(
                f"{self.path} holds a selection with other settings or another target"
                f"{_differences(asked, self.settings)}",
                hint="name another folder with --out, or remove that one",
            )

    @property
    def _settings(self) -> Path:
        return self.state / "settings.json"


def _differences(there: Mapping[str, Any] | None, here: Mapping[str, Any]) -> str:
    """In which settings two selections differ, with both values where they are short.

    >>> _differences({"target": "ab", "seed": 0}, {"target": "ac", "seed": 1})
    ": the target's rows; seed is 0 there, 1 here"
    """
    if not there:  # an older version didn't keep them
        return ""
    # As they are once written: a tuple is a list then.
    old, new = _flat(there), _flat(json.loads(json.dumps(here)))
    said = []
    for key in dict.fromkeys((*new, *old)):
        mine, its = new.get(key), old.get(key)
        if mine == its:
            continue
        words = NAMES.get(key, key.replace("_", "-"))
        shown = [_shown(its), _shown(mine)]
        if key not in UNREADABLE and max(map(len, shown)) <= SHORT:
            words += f" is {shown[0]} there, {shown[1]} here"
        said.append(words)
    return f": {'; '.join(said)}" if said else ""


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with those of the budget one by one."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inner = value if isinstance(value, dict) else {"": value}
        found |= {f"{key} {name}".strip(): each for name, each in inner.items()}
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "not given"
    return "not given" if value is None else str(value)
