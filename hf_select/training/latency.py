"""How fast a model answers: forward passes of one row, and of a batch, timed for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_select.tasks.base import get_task

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData

BATCH = 32
"""Rows in the batch that tells rows a second."""
SECONDS = 0.35
"""How long each of the two is timed, at most, but for a pass that is under way."""
MOST, WARM = 50, 2
"""Passes that are timed at most, and those before them that aren't."""


@dataclass(frozen=True)
class Latency:
    """latency_ms: median milliseconds of a forward pass of one row of the usual length.
    rows_per_second: in a batch of `rows`. num_parameters, size_bytes: with the target's head."""

    latency_ms: float
    rows_per_second: float
    rows: int
    num_parameters: int
    size_bytes: int


def measure_latency(
    location: str | Path,
    target: TargetData,
    *,
    max_length: int,
    device: str = "cpu",
    seconds: float = SECONDS,
) -> Latency:
    """Time the model in that folder, in 32 bits and with the threads that there are.

    The rows are validation rows, spread over the split; the single one is that of the median length
    among them. What a processor does with texts and images beforehand isn't timed. Raises
    `ModelError` if it can't be loaded, and what its own code raises.
    """
    task = get_task(target.task)
    module: torch.nn.Module = task.load_model(
        location, num_labels=target.num_labels, label_names=target.label_names
    )
    module = module.float().eval().to(device)
    count = min(BATCH, len(target.validation))
    rows = np.unique(np.linspace(0, len(target.validation) - 1, count).round().astype(int))
    encoded = task.encode(
        task.load_processor(location), target.validation.select(rows), max_length=max_length
    )
    by_length = np.argsort(encoded.lengths, kind="stable")
    single, every = by_length[[len(by_length) // 2]], np.arange(len(rows))

    def timed(chosen: np.ndarray) -> float:
        inputs = {name: value.to(device) for name, value in encoded.inputs(chosen).items()}

        def run() -> None:
            module(**inputs)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)

        with torch.inference_mode():
            return median_seconds(run, seconds=seconds)

    one, batch = timed(single), timed(every)
    parameters = list(module.parameters())
    return Latency(
        latency_ms=1000 * one,
        rows_per_second=len(rows) / batch,
        rows=len(rows),
        num_parameters=sum(p.numel() for p in parameters),
        size_bytes=sum(t.nbytes for t in (*parameters, *module.buffers())),
    )


def median_seconds(
    run: Callable[[], object],
    *,
    seconds: float = SECONDS,
    most: int = MOST,
    warm: int = WARM,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The median of a run's seconds, after `warm` runs, over `most` runs or until time is up.

    Time is up after `seconds`, the warm-up included; one run is timed in any case.
    """
    end = clock() + seconds
    for _ in range(warm):
        run()
        if clock() >= end:
            break
    taken: list[float] = []
    while len(taken) < most and (not taken or clock() < end):
        began = clock()
        run()
        taken.append(clock() - began)
    return float(np.median(taken))
