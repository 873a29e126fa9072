"""What the Hub tells of a repository: from its files (once a commit), and from its settings."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml

from hf_select.demo.hub_server.store import Blob, Commit, Repo

EXPANDABLE = {
    "model": """author baseModels cardData childrenModelCount config createdAt disabled downloads
        downloadsAllTime evalResults gated gguf inference inferenceProviderMapping lastModified
        library_name likes mask_token model-index pipeline_tag private resourceGroup safetensors sha
        siblings spaces tags transformersInfo trendingScore usedStorage widgetData""",
    "dataset": """author cardData citation createdAt description disabled downloads downloadsAllTime
        gated lastModified likes mainSize paperswithcode_id private resourceGroup sha siblings tags
        trendingScore usedStorage""",
    "space": """author cardData createdAt datasets disabled lastModified likes models private region
        resourceGroup runtime sdk sha siblings subdomain tags trendingScore usedStorage""",
}
"""The properties `expand` may ask for. One that nobody measured here is absent, as on the Hub."""

OF_ONE_ONLY = frozenset(["baseModels", "childrenModelCount", "usedStorage"])
"""Of these, which a listing refuses: they are told of one repository at a time."""

HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
}
"""Task of an architecture, by the end of its name, where the card names none."""

_WEIGHT_TAGS = {
    "*.safetensors": "safetensors",
    "*.gguf": "gguf",
    "*.onnx": "onnx",
    "pytorch_model*.bin": "pytorch",
    "tf_model.h5": "tf",
    "flax_model.msgpack": "jax",
}
_DATA_FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".json": "json"}
_DATASET_TAGS = """annotations_creators language_creators task_categories task_ids multilinguality
    source_datasets language license size_categories"""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # much the faster, where it was built
_CARD = re.compile(r"^\s*---[\r\n]+([\S\s]*?)[\r\n]+---(?:\r\n|\n|$)")


def row(repo: Repo, commit: Commit | None = None) -> dict[str, Any]:
    """Every property of a repository at a commit (main's newest by default), by its API name."""
    commit = commit or repo.head
    derived = repo.properties.get(commit.sha)
    if derived is None:
        derived = repo.properties[commit.sha] = from_files(repo, commit.files)
    return {
        "_id": hashlib.md5(f"{repo.type}/{repo.id}".encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.sha,
        "lastModified": repo.head.date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "downloads": repo.downloads,
        "downloadsAllTime": repo.downloads,
        "likes": repo.likes,
        "trendingScore": repo.likes,
        **derived,
        **repo.extra,
    }


def from_files(repo: Repo, files: Mapping[str, Blob]) -> dict[str, Any]:
    """The properties that follow from the files alone."""
    card = read_card(files)
    size = sum(len(blob.data) for blob in files.values())
    found: dict[str, Any] = {
        "cardData": card,
        "siblings": [{"rfilename": path} for path in sorted(files)],
        "usedStorage": size,
    }
    if repo.type == "model":
        found |= _model(repo.id, card, files)
    elif repo.type == "dataset":
        found |= {"tags": _dataset_tags(card, files), "mainSize": size}
    else:
        found |= {"tags": [*_texts(card.get("tags")), "region:us"], "sdk": card.get("sdk")}
    return {name: value for name, value in found.items() if value is not None}


def read_card(files: Mapping[str, Blob]) -> dict[str, Any]:
    """The YAML head of README.md; empty where there is none or it can't be read."""
    readme = files.get("README.md")
    head = _CARD.match(readme.data.decode("utf-8", "replace")) if readme else None
    try:
        card = yaml.load(head[1], _LOADER) if head else None
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def _model(id: str, card: dict[str, Any], files: Mapping[str, Blob]) -> dict[str, Any]:
    settings = _json(files, "config.json")
    adapter = _json(files, "adapter_config.json")
    names = [path.rsplit("/", 1)[-1] for path in files]
    heads = [
        end
        for name in _texts((settings or {}).get("architectures"))
        for end in HEADS
        if name.endswith(end)
    ]
    library = card.get("library_name")
    if library is None and adapter is not None:
        library = "peft"
    if library is None and "modules.json" in files:
        library = "sentence-transformers"
    if library is None and settings is not None and "model_type" in settings:
        library = "transformers"
    task = card.get("pipeline_tag") or (HEADS[heads[0]] if heads else None)
    config: dict[str, Any] = {}
    for name in ("architectures", "model_type", "auto_map", "quantization_config"):
        if settings is not None and name in settings:
            config[name] = settings[name]
    if adapter is not None:
        wanted = ("base_model_name_or_path", "task_type")
        config["peft"] = {name: adapter[name] for name in wanted if name in adapter}
    parents = _texts(card.get("base_model"))
    relation = _relation(card, adapter, names, config, len(parents))
    tags = [
        *_texts(library),
        *[tag for glob, tag in _WEIGHT_TAGS.items() if any(fnmatchcase(n, glob) for n in names)],
        *_texts(config.get("model_type")),
        *_texts(task),
        *_texts(card.get("tags")),
        *(["custom_code"] if config.get("auto_map") else []),
        *_texts(card.get("language")),
        *[f"dataset:{name}" for name in _texts(card.get("datasets"))],
        *[f"base_model:{name}" for name in parents],
        *[f"base_model:{relation}:{name}" for name in parents],
        *[f"license:{name}" for name in _texts(card.get("license"))],
        "region:us",
    ]
    return {
        "modelId": id,
        "tags": list(dict.fromkeys(tags)),
        "library_name": library,
        "pipeline_tag": task,
        "config": config or None,
        "safetensors": _parameters(files),
        "model-index": card.get("model-index"),
        "transformersInfo": {"auto_model": f"AutoModel{heads[0]}", "pipeline_tag": task}
        if heads
        else None,
        "baseModels": {"relation": relation, "models": [{"id": name} for name in parents]}
        if parents
        else None,
        "evalResults": _eval_results(files),
    }


def _relation(
    card: dict[str, Any],
    adapter: dict[str, Any] | None,
    names: list[str],
    config: dict[str, Any],
    parents: int,
) -> str:
    """What a model is to its base model, as the Hub infers it where the card doesn't say."""
    if card.get("base_model_relation"):
        return str(card["base_model_relation"])
    if adapter is not None:
        return "adapter"
    if "quantization_config" in config or any(name.endswith(".gguf") for name in names):
        return "quantized"
    if parents > 1 or {"merge", "mergekit"} & set(_texts(card.get("tags"))):
        return "merge"
    return "finetune"


def _parameters(files: Mapping[str, Blob]) -> dict[str, Any] | None:
    """Parameter counts by dtype, from the headers of the weights; None where one is broken."""
    if "model.safetensors" in files:
        shards = ["model.safetensors"]
    else:
        index = _json(files, "model.safetensors.index.json") or {}
        weights = index.get("weight_map")
        shards = sorted(set(_texts(list(weights.values())))) if isinstance(weights, dict) else []
    counts: Counter[str] = Counter()
    for shard in shards:
        header = _header(files[shard].data) if shard in files else None
        if header is None:
            return None
        counts += header
    return {"parameters": dict(counts), "total": counts.total()} if counts else None


def _header(data: bytes) -> Counter[str] | None:
    """Parameters by dtype of one file; None where its header can't be read."""
    length = int.from_bytes(data[:8], "little")
    counts: Counter[str] = Counter()
    try:
        for name, tensor in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                counts[tensor["dtype"]] += math.prod(tensor["shape"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return counts


def _dataset_tags(card: dict[str, Any], files: Mapping[str, Blob]) -> list[str]:
    formats = {
        f"format:{form}"
        for path in files
        for ending, form in _DATA_FORMATS.items()
        if path.endswith(ending)
    }
    tags = [
        *[f"{name}:{value}" for name in _DATASET_TAGS.split() for value in _texts(card.get(name))],
        *sorted(formats),
        *(["library:datasets"] if formats else []),
        "region:us",
        *_texts(card.get("tags")),
    ]
    return list(dict.fromkeys(tags))


def _eval_results(files: Mapping[str, Blob]) -> list[dict[str, Any]] | None:
    """The scores of `.eval_results/*.yaml`; a file that can't be read is named with its error."""
    entries: list[dict[str, Any]] = []
    for path, blob in sorted(files.items()):
        if not fnmatchcase(path, ".eval_results/*.yaml"):
            continue
        try:
            found = yaml.load(blob.data, _LOADER)
        except yaml.YAMLError as error:
            entries.append({"filename": path, "error": str(error)})
            continue
        scores = found if isinstance(found, list) else []
        entries += [{"data": score, "filename": path, "verified": False} for score in scores]
    return entries or None


def _json(files: Mapping[str, Blob], path: str) -> dict[str, Any] | None:
    try:
        document = json.loads(files[path].data) if path in files else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _texts(value: object) -> list[str]:
    """A card's value as a list of texts: people write one or several, or something else."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]
