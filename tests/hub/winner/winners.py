"""A finished selection as files, made without any training, and what is on a Hub after a push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hub_population import weights
from report.conftest import make_document

from hf_select.report.page import render

BASE = "lab/base"
BASE_COMMIT = "a" * 40
LOCAL = "/home/somebody/models/secret-project"
MODEL_FILES = {
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
}
PUSHED = MODEL_FILES | {"README.md", "selection.json", "report.html"}


def finished(**changes: Any) -> dict[str, Any]:
    """The document of a selection whose winner is `lab/base`, as `select` leaves it."""
    document = make_document()
    old = document["winner"]["model"]
    document = json.loads(json.dumps(document).replace(f'"{old}"', f'"{BASE}"'))
    document["winner"] |= {
        "revision": BASE_COMMIT,
        "checkpoint": "out/winner",
        "license": "mit",
        "languages": ["en"],
        "num_parameters": 64,
        "weights_sha256": None,
    }
    document["data"] |= {"input_columns": ["image"], "label_column": "digit"}
    document["record"] = {
        "name": "lab/record",
        "repo": "lab/record",
        "revision": "b" * 40,
        "bytes": 1,
        "requests": 1,
    }
    document["source"] = {
        "repo": "lab/digits",
        "config": None,
        "revision": "c" * 40,
        "splits": {"train": "train", "test": "test"},
    }
    document["settings"] = {"top": 10, "policy": "fractional-halving", "exclude": [], "seed": 0}
    document["settings_digest"] = "0123456789abcdef"
    return {**document, **changes}


def write_winner(
    folder: Path, document: dict[str, Any] | None = None, *, seed: int = 0, labels: Any = ("a", "b")
) -> Path:
    """A selection's folder: a model of one tensor, its document and its page."""
    folder.mkdir(parents=True, exist_ok=True)
    document = document or finished()
    settings = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "id2label": {str(i): name for i, name in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "preprocessor_config.json").write_text('{"size": 32}')
    (folder / "model.safetensors").write_bytes(weights(seed))
    (folder / "selection.json").write_text(json.dumps(document))
    (folder / "report.html").write_text(render(document))
    return folder


def state_of(hub: Any) -> dict[str, Any]:
    """All that a test compares to see that nothing was written anywhere."""
    return {
        key: ([commit.sha for commit in hub.commits(*key)], hub.pull_requests(*key))
        for key in sorted(hub.store.repos)
    }
