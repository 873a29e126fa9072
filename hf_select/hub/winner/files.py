"""What of a finished selection may leave this machine: the model's files, and its document.

Only named kinds of files go, and none that holds a token or says where something lies here.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hf_select.errors import InputError, ModelError
from hf_select.foreign_metrics import public_metric
from hf_select.hub.client import Hub
from hf_select.hub.models import BESIDE, ENDINGS, SETTINGS
from hf_select.hub.winner.cards import command
from hf_select.redaction import VARIABLES

CARD, DOCUMENT, PAGE = "README.md", "selection.json", "report.html"
OWN = ("train.py", "data", "figures", "reproduced")
"""What a selection leaves for whoever has the folder: rows of the target, and paths to them."""
WEIGHTS = (".safetensors", ".safetensors.index.json")
LOCAL_KEYS = frozenset(["_name_or_path", "name_or_path", "tokenizer_file", "vocab_file"])
"""Keys of transformers' settings that say where a file lay on the machine that wrote it."""

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
_PATH = re.compile(
    r"(?:file://|(?<![\w:/.<+~]))(?:[A-Za-z]:\\|~?/)(?:[^\s'\"<>|:*?]+[/\\])+([^\s'\"<>|:*?/\\]+)"
)
"""An absolute path with a folder in it, in a sentence; its last name is the group."""
_METRIC = re.compile(r"evaluate:[^\s'\":]+")
_PROSE = frozenset(["reason", "notes", "text"])


def model_files(folder: Path) -> dict[str, bytes | Path]:
    """The files of a model folder that make the model, by name; settings without local paths."""
    content: dict[str, bytes | Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and _makes_the_model(path.name):
            content[path.name] = _settings(path) if path.name in SETTINGS else path
    return content


def _makes_the_model(name: str) -> bool:
    """Whether `from_pretrained` reads a file of that name: as of a model that is fetched."""
    return name in SETTINGS or name in BESIDE or name.endswith((*WEIGHTS, *ENDINGS))


def other_files(folder: Path, sent: Iterable[str]) -> list[str]:
    """What lies in the folder and is neither sent nor written anew."""
    known = {*sent, CARD, DOCUMENT, PAGE, *OWN}
    return sorted(
        path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name not in known
    )


def class_names(folder: Path) -> tuple[str, ...]:
    """The class names in a model's settings, in the order of their ids; none for a regression."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = settings.get("id2label")
    if settings.get("problem_type") == "regression" or not isinstance(named, dict):
        return ()
    return tuple(str(named[i]) for i in sorted(named, key=lambda i: (len(i), i)))


def public_document(document: Mapping[str, Any], repo_id: str, folder: Path) -> dict[str, Any]:
    """The document without a path of this machine, and without rows of the data.

    Its checkpoint is the repository, its command that of the card.
    """
    places = {str(folder.absolute().parent), str(Path.cwd()), *_places()} - {"/"}
    roots = [f"{place}/" for place in sorted(places, key=len, reverse=True)]

    def clean(value: Any, *, prose: bool = False) -> Any:
        if isinstance(value, Mapping):
            return {
                public_metric(str(key)): clean(item, prose=prose or key in _PROSE)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [clean(item, prose=prose) for item in value]
        if not isinstance(value, str):
            return value
        value = _METRIC.sub(lambda found: public_metric(found[0]), public_metric(value))
        for root in roots:
            value = value.replace(root, "")
        return _PATH.sub(r"\1", value) if prose else value

    shown: dict[str, Any] = clean(document)
    shown["winner"] = {**shown["winner"], "checkpoint": repo_id}
    for check in (shown.get("data") or {}).get("checks") or []:
        check.pop("example", None)
    if shown.get("command"):
        shown["command"] = command(shown)
    return shown


def to_json(value: Any) -> bytes:
    """A JSON file's bytes."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def check_nothing_private(hub: Hub, content: Mapping[str, bytes | Path]) -> None:
    """Refuse to send a token, or settings that name a place on this machine."""
    secrets = _secrets(hub)
    for name, data in content.items():
        if name.endswith(WEIGHTS):
            continue
        text = (data if isinstance(data, bytes) else data.read_bytes()).decode(errors="replace")
        if _TOKEN.search(text) or any(secret in text for secret in secrets):
            raise InputError(
                f"{name} holds what looks like a token of the Hub, so nothing was pushed",
                hint="take it out, and revoke the token if it is a real one",
            )
        # A vocabulary may know the word; in settings it can only be a file of this machine.
        found = [place for place in _places() if name in SETTINGS and f"{place}/" in text]
        if found:
            raise InputError(
                f"{name} names a place on this machine ({found[0]}/...), so nothing was pushed",
                hint="take it out of the file",
            )


def _settings(path: Path) -> bytes:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict) or not LOCAL_KEYS & set(values):
        return path.read_bytes()
    return to_json({key: value for key, value in values.items() if key not in LOCAL_KEYS})


def _places() -> list[str]:
    """Folders of this machine whose names say something about it or its user."""
    return [place for place in (str(Path.home()), tempfile.gettempdir()) if place != "/"]


def _secrets(hub: Hub) -> set[str]:
    from huggingface_hub import get_token

    known = [hub.api.token, get_token(), *(os.environ.get(name) for name in VARIABLES)]
    return {token for token in known if isinstance(token, str) and len(token) >= 6}
