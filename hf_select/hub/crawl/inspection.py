"""A closer look at one model: what its files say, before any of its weights is downloaded."""

from __future__ import annotations

from hf_select.errors import AccessError
from hf_select.hub.client import Hub
from hf_select.hub.crawl.listing import refusal
from hf_select.hub.crawl.shortlist import Finding
from hf_select.hub.models import Inspection, inspect_model

TOKENIZERS = frozenset(
    ["tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "bpe.codes", "dict.txt"]
)
PROCESSORS = frozenset(
    ["preprocessor_config.json", "image_processor_config.json", "processor_config.json"]
)
SENTENCEPIECE = (".model", ".spm")


def look_closer(hub: Hub, repo_id: str, commit: str, *, task: str) -> Finding:
    """What the files of a model say: a few requests. Raises `HubError`, `SetupError`."""
    try:
        found = inspect_model(hub, repo_id, commit)
    except AccessError as error:
        return Finding(refusal(error), detail=error.message)
    reason, detail = reason_of(found, task)
    return Finding(
        reason=reason,
        detail=detail,
        security=found.security,
        weights_sha256=found.weights_sha256 or "",
        num_parameters=found.num_parameters,
    )


def reason_of(found: Inspection, task: str) -> tuple[str, str]:
    """Which of `REASONS` an inspection is one for, and its words; "" and "" if all is well."""
    names = [info.path for info in found.files]
    if not found.problems:
        return ("", "") if has_processor(names, task) else ("no_processor", "")
    words = found.problems[0]
    if found.security == "unsafe":
        return "unsafe", words
    if not found.config:
        return "no_config", words
    if "auto_map" in found.config:
        return "custom_code", words
    has_weights = any(name.endswith(".safetensors") for name in names)
    return ("bad_files" if has_weights else "no_safetensors"), words


def has_processor(names: list[str], task: str) -> bool:
    """Whether there is what makes a model's input of a text or an image."""
    if task.startswith("image"):
        return not PROCESSORS.isdisjoint(names)
    return not TOKENIZERS.isdisjoint(names) or any(n.endswith(SENTENCEPIECE) for n in names)
