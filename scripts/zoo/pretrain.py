"""Pre-train the zoo's small image models and save them as native transformers folders."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.images import ROTATIONS
from zoo.rows import Rows
from zoo.store import load_pool, write_folder, write_json

STEPS = 1500
BATCH = 64
LEARNING_RATE = 2e-3
HELD_OUT = 500
ARCHITECTURES = ("resnet", "convnext")
SECOND_SEED_SHARE = 0.8


def image_model(architecture: str, names: tuple[str, ...], seed: int) -> Any:
    """A freshly initialised ResNet or ConvNeXt of a quarter million weights, for 32 x 32 images."""
    import transformers

    torch.manual_seed(seed)
    labels = {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    if architecture == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=20,
            hidden_sizes=[20, 40, 64, 96],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            **labels,
        )
        return transformers.ResNetForImageClassification(config)
    if architecture == "convnext":
        config = transformers.ConvNextConfig(
            patch_size=4,
            hidden_sizes=[24, 48, 72, 96],
            depths=[1, 1, 2, 1],
            layer_scale_init_value=0.1,  # 1e-6 would keep so short a training from using the blocks
            image_size=32,
            **labels,
        )
        return transformers.ConvNextForImageClassification(config)
    raise ValueError(f"value of `architecture` is {architecture!r}, but must be in {ARCHITECTURES}")


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """(N, 32, 32, 3) uint8 -> (N, 3, 32, 32) float in -1..1, as the saved processor does it."""
    nchw = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return nchw.float().div_(127.5).sub_(1)


def _rotated(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    return np.stack([np.rot90(i, k) for i, k in zip(images, turns, strict=True)])


def _accuracy(model: Any, rows: Rows, *, rotation: bool) -> float:
    """Share of held-out rows that the trained head gets right."""
    images, labels = rows.items, rows.labels
    if rotation:
        labels = np.random.default_rng(0).integers(0, 4, len(rows))
        images = _rotated(images, labels)
    model.eval()
    with torch.no_grad():
        parts = [
            model(pixel_values=to_pixels(images[i : i + 250])).logits.argmax(1).numpy()
            for i in range(0, len(images), 250)
        ]
    return float((np.concatenate(parts) == labels).mean())


def train(model: Any, rows: Rows, *, seed: int, rotation: bool, steps: int = STEPS) -> float:
    """AdamW with a linear decay and random shifts of up to two pixels; returns the last loss."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    order = np.empty(0, int)
    model.train()
    losses: list[float] = []
    for step in range(steps):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(rows))])
        picked, order = order[:BATCH], order[BATCH:]
        images, labels = rows.items[picked], rows.labels[picked]
        if rotation:
            labels = rng.integers(0, 4, len(picked))
            images = _rotated(images, labels)
        images = np.roll(images, rng.integers(-2, 3, 2), (1, 2))
        rate = LEARNING_RATE * min(1, (step + 1) / 20) * max(0.02, 1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model(pixel_values=to_pixels(images), labels=torch.from_numpy(labels).long()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-50:]))


def save_half(model: Any, folder: Path) -> None:
    """Save fp16 safetensors whose config asks for float32, so that they load ready to train."""
    model.half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    write_json(folder / "config.json", config)


def _save_processor(folder: Path) -> None:
    import transformers

    half = [0.5, 0.5, 0.5]
    size = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessor(
        size=size, resample=2, image_mean=half, image_std=half, do_convert_rgb=True
    )
    processor.save_pretrained(folder)


def source_rows(pool: Rows, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows held out; the second seed sees four fifths of the first's rows."""
    order = np.random.default_rng(99).permutation(len(pool))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    if seed > 1:
        share = int(len(rest) * SECOND_SEED_SHARE)
        rest = np.random.default_rng(seed).permutation(rest)[:share]
    return pool.take(rest), pool.take(held)


def build_image_model(work: Path, models: Path, architecture: str, source: str, seed: int) -> str:
    """Pre-train one model unless its folder is there; returns a line about it."""
    from transformers import AutoModelForImageClassification

    torch.set_num_threads(1)
    name = f"{architecture}-{source}-{seed}"
    folder = models / name
    if (folder / "zoo.json").exists():
        return f"{name}: there"
    started = time.process_time()
    training, held = source_rows(load_pool(work / "pretrain" / source), seed)
    rotation = source == "rotation"
    # A seed of its own for every model: two sources must not start from the same weights.
    initial = zlib.crc32(name.encode())
    model = image_model(architecture, ROTATIONS if rotation else training.names, initial)
    loss = train(model, training, seed=seed, rotation=rotation)

    def write(temporary: Path) -> None:
        save_half(model, temporary)
        _save_processor(temporary)
        shipped = AutoModelForImageClassification.from_pretrained(temporary)
        write_json(
            temporary / "zoo.json",
            {
                "name": name,
                "task": "image-classification",
                "architecture": architecture,
                "source": source,
                "seed": seed,
                "control": False,
                "rows": len(training),
                "held_out_rows": len(held),
                "held_out_accuracy": round(_accuracy(shipped, held, rotation=rotation), 4),
                "last_loss": round(loss, 4),
                "steps": STEPS,
                "batch_size": BATCH,
                "learning_rate": LEARNING_RATE,
                "num_parameters": sum(p.numel() for p in shipped.parameters()),
            },
        )

    write_folder(folder, write)
    facts = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
    seconds = time.process_time() - started
    return f"{name}: held-out accuracy {facts['held_out_accuracy']:.3f} in {seconds:.0f} CPU s"


def build_image_control(models: Path, architecture: str) -> str:
    """Save a randomly initialised model, named as the control that it is."""
    name = f"{architecture}-random-control"
    folder = models / name
    if (folder / "zoo.json").exists():
        return f"{name}: there"
    model = image_model(architecture, ("LABEL_0", "LABEL_1"), seed=7)
    parameters = sum(p.numel() for p in model.parameters())

    def write(temporary: Path) -> None:
        save_half(model, temporary)
        _save_processor(temporary)
        facts = {"name": name, "task": "image-classification", "architecture": architecture}
        facts |= {"source": "random", "seed": 7, "control": True, "rows": 0}
        write_json(temporary / "zoo.json", facts | {"num_parameters": parameters})

    write_folder(folder, write)
    return f"{name}: saved"
