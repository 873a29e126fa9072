"""What each candidate of a selection would cost to keep and to run, measured on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError
from hf_select.locations import locate
from hf_select.pipeline.base import Say
from hf_select.records import ModelEntry, digest
from hf_select.report.tradeoff import Measured, efficiency

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.latency import Latency

LONG = 20.0
"""Seconds after which candidates that were never trained aren't measured any more."""
_NAMES = frozenset(
    [
        *("_name_or_path", "architectures", "id2label", "label2id", "problem_type"),
        *("torch_dtype", "dtype", "transformers_version", "finetuning_task", "num_labels"),
    ]
)
"""Settings that say nothing of what a network computes."""


def measure_candidates(
    document: Mapping[str, Any],
    entries: Mapping[str, ModelEntry],
    catalog: Catalog,
    target: TargetData,
    *,
    max_length: int,
    untrained: bool = True,
    should_stop: Callable[[], bool],
    say: Say,
) -> dict[str, Any]:
    """The `efficiency` of a document: of every candidate that is on this machine.

    Those that were trained come first; of the others, where `untrained`, only as many as there is
    time for. Models of
    one shape are measured once, so that none of them seems faster by chance. One that can't be
    measured is left without numbers.
    """
    from hf_select.training import memory
    from hf_select.training.latency import measure_latency
    from hf_select.training.live import FAULTS

    device = str(memory.processes().device)
    trained: dict[str, bool] = {}
    for row in document["ranking"]:
        trained[row["model"]] = trained.get(row["model"], False) or row["epochs"] > 0
    count = len(trained) if untrained else sum(trained.values())
    say(f"measuring size and latency of {count} candidates")
    began = time.monotonic()
    by_shape: dict[str, Latency] = {}
    measured: dict[str, Measured] = {}
    for name in sorted(trained, key=lambda name: not trained[name]):
        late = time.monotonic() - began > LONG
        skipped = not trained[name] and (late or not untrained)
        if should_stop() or skipped or not is_here(entries[name], catalog):
            continue
        try:
            folder = locate(entries[name], catalog)
            shape = shape_of(folder)
            if shape not in by_shape:
                by_shape[shape] = measure_latency(
                    folder, target, max_length=max_length, device=device
                )
        except (HfSelectError, OSError, *FAULTS) as error:
            say(f"{name}: its latency can't be measured: {error}")
            continue
        found = by_shape[shape]
        measured[name] = Measured(
            found.num_parameters, found.size_bytes, found.latency_ms, found.rows_per_second
        )
    rows = max((found.rows for found in by_shape.values()), default=0)
    return efficiency(document, measured, device=_device_name(device), batch_size=rows, rows=rows)


def is_here(entry: ModelEntry, catalog: Catalog) -> bool:
    """Whether a model lies on this machine, so that it can be loaded without the network."""
    if catalog.location(entry.repo_id) is not None:
        return True
    from hf_select.hub import models

    return models.is_here(entry)


def shape_of(folder: Path) -> str:
    """What two model folders have in common whose networks compute the same, but for the weights.

    Raises `OSError`, and `ValueError` for a config.json that isn't JSON.
    """
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if key not in _NAMES}
    return digest(kept)


def _device_name(device: str) -> str:
    """The device in words: that of a GPU, or how many threads torch takes."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device}, {threads} thread{'s' * (threads > 1)}"
