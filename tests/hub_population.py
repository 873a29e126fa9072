"""Models for a local Hub: some that a crawl accepts, and some of every kind that it rejects."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

TASK = "text-classification"
OLD, NEW = "2020-05-01T00:00:00.000Z", "2026-05-01T00:00:00.000Z"
BASE = "lab/base"


def weights(seed: int, numbers: int = 64) -> bytes:
    """A safetensors file with one tensor of that many numbers."""
    data = bytes((seed * 31 + i) % 251 for i in range(4 * numbers))
    header = {"w": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def card(**values: Any) -> str:
    """A README.md with that metadata."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---", "# A model"])


@dataclass
class Model:
    """A repository to be made; the defaults are those of a model that is accepted."""

    id: str
    expected: str = ""
    """The code of the reason that a crawl rejects it for."""
    seed: int = 0
    downloads: int = 1000
    modified: str = NEW
    config: dict[str, Any] | None = field(
        default_factory=lambda: {
            "model_type": "bert",
            "architectures": ["BertForSequenceClassification"],
        }
    )
    card: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes | str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def add_to(self, hub: Any) -> str:
        """Make it; returns its commit."""
        metadata = {
            "license": "apache-2.0",
            "language": "en",
            "pipeline_tag": TASK,
            **self.card,
        }
        files: dict[str, bytes | str] = {
            "README.md": card(**{k: v for k, v in metadata.items() if v is not None}),
            "model.safetensors": weights(self.seed),
            "vocab.txt": "[PAD]\n",
            **self.files,
        }
        if self.config is not None:
            files["config.json"] = json.dumps(self.config)
        for name in self.without:
            del files[name]
        options = {"created": OLD, "modified": self.modified, **self.settings}
        return hub.add("model", self.id, files, downloads=self.downloads, **options)


BERT = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}


def cheap_rejects() -> list[Model]:
    """Models that their row in the listing is rejected for, three of each kind."""
    found: list[Model] = []

    def add(reason: str, name: str = "", **values: Any) -> None:
        for i in range(3):
            found.append(Model(f"lab/{name or reason}-{i}", reason, **values))

    add("gated", settings={"gated": "manual"})
    add("disabled", settings={"disabled": True})
    add("no_commit", settings={"extra": {"sha": None}})
    add("custom_code", config={**BERT, "auto_map": {"AutoModel": "m.Model"}})
    add("no_safetensors", files={"pytorch_model.bin": b"x"}, without=("model.safetensors",))
    add("no_config", config={"hidden_size": 4})
    add("unsupported_architecture", config={"model_type": "whisper"})
    add("quantized", config={**BERT, "quantization_config": {"quant_method": "gptq"}})
    add("wrong_language", card={"language": "de"})
    add("unknown_license", card={"license": None})
    add("other_license", card={"license": "cc-by-nc-4.0"})
    add("too_large", settings={"extra": {"safetensors": {"total": 10**9}}})
    add("too_small", settings={"extra": {"safetensors": {"total": 3}}})
    add("few_downloads", downloads=3)
    add("not_modified", modified="2023-01-01T00:00:00.000Z")
    add("merge", card={"base_model": [BASE, "lab/other"], "tags": ["merge"]})
    add(
        "adapter",
        files={"adapter_config.json": "{}", "adapter_model.safetensors": b"x"},
        card={"base_model": BASE},
        config=None,
        without=("model.safetensors",),
    )
    add(
        "gguf",
        files={"model.gguf": b"GGUF"},
        card={"base_model": BASE},
        without=("model.safetensors",),
    )
    found.append(Model("alice/private-0", "private", settings={"private": True}))
    found.append(Model("lab/evil", "invalid_id", settings={"extra": {"id": "../../etc/passwd"}}))
    found.append(Model("lab/odd", "invalid_id", settings={"extra": {"id": "lab/a\x1b[2Jb\n"}}))
    return found


def close_rejects() -> list[Model]:
    """Models that are rejected after a closer look, or beside others."""
    issues = [{"path": "model.safetensors", "level": "unsafe"}]
    scan = {"securityRepoStatus": {"scansDone": True, "filesWithIssues": issues}}
    return [
        Model("lab/twin", "same_weights", seed=1, downloads=500),
        Model("lab/unsafe", "unsafe", seed=40, downloads=900, settings={"extra": scan}),
        Model("lab/cut", "bad_files", downloads=900, files={"model.safetensors": weights(41)[:90]}),
        Model(
            "lab/huge-header",
            "bad_files",
            downloads=900,
            files={"model.safetensors": struct.pack("<Q", 10**10) + b"{}"},
        ),
        *(
            Model(
                f"lab/child-{i}",
                "" if i < 2 else "family_full",
                seed=50 + i,
                downloads=800 - i,
                card={"base_model": BASE, "datasets": ["imdb"]},
            )
            for i in range(4)
        ),
    ]


def good() -> list[Model]:
    """Models that are accepted."""
    return [
        Model(BASE, seed=1, downloads=90_000, card={"pipeline_tag": "fill-mask"}),
        *(Model(f"lab/fine-{i}", seed=2 + i, downloads=2000 + i) for i in range(8)),
    ]


def population() -> list[Model]:
    """All of them."""
    return [*good(), *close_rejects(), *cheap_rejects()]


def populate(hub: Any) -> dict[str, str]:
    """Make them all. Returns id (as the listing spells it) -> expected reason."""
    expected = {}
    for model in population():
        model.add_to(hub)
        name = model.settings.get("extra", {}).get("id", model.id)
        expected[name] = model.expected
    return expected


FILTERS: dict[str, Any] = {
    "languages": ("en",),
    "licenses": ("apache-2.0", "mit"),
    "min_parameters": 10,
    "max_parameters": 10**8,
    "downloads_at_least": 10,
    "modified_after": "2024-01-01T00:00:00.000Z",
}
"""What the expected reasons are for, with `list_all`, and at most 2 models a base."""
