"""A row of the Hub's listing -> `Facts`: what a decision is made from, whatever the row holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from hf_select.hub.crawl.query import COMMIT, spell_time

RELATIONS = ("finetune", "adapter", "merge", "quantized")
"""How a model can come from its base model, in the Hub's words."""

_INFERENCE_ONLY = """gptq awq bitsandbytes bnb 4-bit 8-bit exl2 exl3 hqq aqlm eetq
    compressed-tensors"""
QUANTIZED = frozenset(_INFERENCE_ONLY.split())
"""Tags of weights that were made for inference and can't be fine-tuned as they are."""

ADAPTERS = frozenset(["peft", "adapters", "adapter-transformers"])
"""Libraries whose repositories hold a part of a model."""

_ISO_639_1 = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
    lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
    pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
    tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
LANGUAGES = frozenset([*_ISO_639_1.split(), "multilingual"])
"""ISO 639-1; a plain tag of the Hub says of no longer code that it is a language."""


class Facts(NamedTuple):
    """What one row says of a model. Empty strings, zeros and empty lists: it doesn't say.

    A tuple and no dataclass because a crawl makes millions of them; the field names are the
    columns of `candidates.parquet`. Times are ISO 8601, UTC.
    """

    id: str
    commit: str
    pipeline_tag: str
    library: str
    model_type: str
    architecture: str
    num_parameters: int
    safetensors: bool
    gguf: bool
    quantized: bool
    merged: bool
    custom_code: bool
    gated: bool
    private: bool
    disabled: bool
    license: str
    languages: list[str]
    trained_datasets: list[str]
    base_models: list[str]
    relation: str
    downloads: int
    likes: int
    created: str
    modified: str


def parse(row: Mapping[str, Any], languages: Iterable[str] = ()) -> Facts:
    """The facts of a row of `/api/models`, or of one model's answer. Never raises.

    `languages` are codes that are to be recognised besides the two-letter ones.
    """
    known_languages = LANGUAGES.union(languages) if languages else LANGUAGES
    tags = row.get("tags")
    plain: set[str] = set()
    licenses: list[str] = []
    spoken: list[str] = []
    datasets: list[str] = []
    bases: list[str] = []
    relation = ""
    for tag in tags if isinstance(tags, list) else ():
        if not isinstance(tag, str):
            continue
        head, colon, rest = tag.partition(":")
        if not colon:
            plain.add(tag)
            if tag in known_languages:
                spoken.append(tag)
        elif not rest.isprintable():
            continue
        elif head == "license":
            licenses.append(rest)
        elif head == "language":
            spoken.append(rest)
        elif head == "dataset":
            datasets.append(rest)
        elif head == "base_model":
            kind, colon, base = rest.partition(":")
            if colon and kind in RELATIONS:
                relation = kind
            else:
                base = rest
            if base not in bases:
                bases.append(base)
    config = _mapping(row, "config")
    library = _text(row, "library_name")
    quantized = "quantization_config" in config or not plain.isdisjoint(QUANTIZED)
    merged = relation == "merge" or not plain.isdisjoint(("merge", "mergekit"))
    if bases and not relation:  # as the Hub infers it
        relation = (
            "adapter"
            if library in ADAPTERS
            else "quantized"
            if quantized
            else "merge"
            if merged or len(bases) > 1
            else "finetune"
        )
    weights = _mapping(row, "safetensors")
    commit = _text(row, "sha")
    architectures = config.get("architectures")
    return Facts(
        _text(row, "id"),
        commit if COMMIT.fullmatch(commit) else "",
        _text(row, "pipeline_tag"),
        library,
        _text(config, "model_type"),
        _first(architectures),
        _number(weights, "total"),
        bool(weights) or "safetensors" in plain,
        "gguf" in plain or library == "gguf",
        quantized or relation == "quantized",
        merged or relation == "merge",
        "auto_map" in config
        or "custom_code" in plain
        or bool(_mapping(row, "transformersInfo").get("custom_class")),
        row.get("gated") not in (None, False, "", "False", "false"),
        row.get("private") is True,
        row.get("disabled") is True,
        ", ".join(licenses),
        spoken,
        datasets,
        bases,
        relation,
        _number(row, "downloads"),
        _number(row, "likes"),
        _time(row, "createdAt"),
        _time(row, "lastModified"),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        return ""
    if value.isprintable():
        return value
    # Nothing that a terminal obeys, or that UTF-8 can't hold, gets any further than here.
    return value.encode("unicode_escape").decode()


def _first(values: Any) -> str:
    return _text({"": values[0]}, "") if isinstance(values, list) and values else ""


def _number(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    good = isinstance(value, int | float) and 0 <= value < 2**63  # neither NaN nor infinite
    return int(value) if good else 0  # type: ignore[arg-type]


def _mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _time(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and len(value) == 24 and value[-1] == "Z":
        return value  # as the Hub spells it; anything else costs a hundred times as much
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value or "")
    except (TypeError, ValueError):
        return ""
    return spell_time(moment)
