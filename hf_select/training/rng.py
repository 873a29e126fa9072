"""The state of the process's random number generators, taken and put back as plain values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def capture() -> dict[str, Any]:
    """The state of Python's, NumPy's, torch's and CUDA's generators; safe for `weights_only`."""
    kind, key, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (str(kind), [int(k) for k in key], int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        # asking an uninitialised CUDA would create a context on every device
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(state: dict[str, Any]) -> None:
    """Put a state from `capture` back."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, key, position, has_gauss, cached = state["numpy"]
    key = np.asarray(key, dtype=np.uint32)
    np.random.set_state((kind, key, position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
