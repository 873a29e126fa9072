"""What fine-tuning a model takes in memory: by its size, and by two rows sent through it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_select.launched import place
from hf_select.records import Recipe
from hf_select.tasks.base import Task, get_task
from hf_select.tasks.columns import is_image_feature

if TYPE_CHECKING:
    import datasets

    from hf_select.tasks.data import TargetData

ROWS = 2
"""Rows that are sent through: batch statistics can't be taken of a single one."""
TRANSIENT = 1.35
"""What comes and goes in a backward pass, beside what is kept for it: the peak of a process was
1.29 to 1.31 times what was counted (three BERTs of 11 to 35 million parameters, on a CPU). On a
GPU, whose attention keeps less, a training took 0.56 to 0.68 of all that is counted."""
COPIES = 4
"""Of each weight in 32 bits: itself, its gradient, AdamW's two moments."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that a training holds at most, without the libraries and the data.

    weights: weights, gradients, two moments, and buffers. activations: what a batch's forward pass
    keeps for the backward pass, and what that takes beside it, in 32 bits (a recipe in bf16 or fp16
    takes about half of it).
    """

    weights: int
    activations: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.weights + self.activations


def footprint(location: str | Path, target: TargetData, recipe: Recipe) -> Footprint:
    """What fine-tuning the model in that folder on the target takes, by one process of those here.

    The two longest train rows go through the network once, on the CPU, and all that is kept for the
    backward pass is counted and multiplied to a batch. Raises `ModelError` if it can't be loaded,
    and what its own code raises on this data.
    """
    task = get_task(target.task)
    module: torch.nn.Module = task.load_model(
        location, num_labels=target.num_labels, label_names=target.label_names
    )
    module.float().train()
    own = [*module.parameters(), *module.buffers()]
    weights = COPIES * sum(p.nbytes for p in module.parameters())
    weights += sum(b.nbytes for b in module.buffers())
    batch = _longest(task, location, target, recipe)
    rows = len(batch["labels"])
    if task.kind == "regression":
        batch["labels"] = batch["labels"].float()
    kept = kept_for_backward(module, batch, own)
    world = 1 if place().apart else place().world  # one that trains alone has whole batches
    share = math.ceil(recipe.global_batch_size / world)
    return Footprint(weights, math.ceil(TRANSIENT * kept / rows * share))


def kept_for_backward(
    module: torch.nn.Module, batch: dict[str, torch.Tensor], own: list[torch.Tensor]
) -> int:
    """Bytes that autograd saves in a forward pass, each storage once, the network's `own` aside."""
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    saved: dict[int, torch.Tensor] = {}  # the tensors themselves, so that no address comes again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in known:
            saved[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(**batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _longest(
    task: Task, location: str | Path, target: TargetData, recipe: Recipe
) -> dict[str, torch.Tensor]:
    """A batch of the longest train rows."""
    rows = longest_rows(task, target.train)
    encoded = task.encode(
        task.load_processor(location), target.train.select(rows), max_length=recipe.max_length
    )
    return encoded.batch(np.arange(len(rows)))


def longest_rows(task: Task, split: datasets.Dataset) -> list[int]:
    """The rows whose input has the most characters, at most `ROWS`; of images the first ones."""
    lengths = np.zeros(len(split), dtype=np.int64)
    for name in task.input_columns:
        if name in split.features and not is_image_feature(split.features[name]):  # none is decoded
            lengths += np.array([_characters(value) for value in split[name]], dtype=np.int64)
    found: list[int] = np.argsort(-lengths, kind="stable")[:ROWS].tolist()
    return found


def _characters(value: str | Sequence[str] | None) -> int:
    """Those of a text, or of all texts of a list."""
    return len(value) if isinstance(value, str) else sum(len(text or "") for text in value or ())
