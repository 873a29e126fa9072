"""Features: what one forward pass of a model over train rows of a target gives to the proxies.

Every hidden layer (text) or stage (images) is pooled in the same pass, and the probabilities of
the model's own head come with it. The last three layers are kept, and the mean over all of the last
one's width. Only rows of the train split are ever looked at.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hf_select.catalog import folder_revision
from hf_select.errors import ModelError
from hf_select.records import Features, digest
from hf_select.tasks.base import Task
from hf_select.tasks.data import TargetData

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from hf_select.tasks.encoded import Encoded

VERSION = 2
"""Part of the cache key: raise it whenever the same call gives other numbers."""

ROWS = 2000
"""Train rows that a pass sees, at most."""
KEPT = 3
"""Last layers that are kept one by one: what the proxies look at."""
_LOADING = threading.Lock()
"""transformers changes settings of the whole process while it loads a model."""
BATCH_TOKENS = 8192
BATCH_ROWS = 64


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with its own head and its processor: one load for passes over several targets."""

    model: PreTrainedModel
    processor: Any
    head_is_trained: bool


def load(task: Task, location: str | Path) -> Loaded:
    """Model and processor of a folder, on the CPU. Raises `ModelError`."""
    with _LOADING:
        processor = task.load_processor(location)
        model, head_is_trained = task.load_checkpoint(location)
    return Loaded(model, processor, head_is_trained)


def extract_features(
    task: Task,
    location: str | Path,
    target: TargetData,
    *,
    max_rows: int = ROWS,
    max_length: int = 128,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    key: str = "",
    loaded: Loaded | None = None,
) -> Features:
    """Pooled features and source probabilities of a stratified sample of train rows.

    `location` is the model's folder, `max_length` in tokens. `key`: names the model's content in
    the cache; without one it is the digest of the folder's content. With `cache`, a folder, the
    result is kept there and found again for the same model, data, rows, seed and length.
    `loaded`: the model, where it is in memory already. `seconds` is what encoding and the pass took
    (the first time). Raises `ModelError` if the model can't be loaded or fails on these rows.
    """
    rows = sample_rows(target.labels("train"), max_rows, seed)
    path = None
    if cache is not None:
        key = key or folder_revision(location)
        path = Path(cache) / f"{_cache_key(task, target, key, rows, max_length)}.npz"
        found = _load(path)
        if found is not None:
            return found
    if loaded is None:
        loaded = load(task, location)
    start = time.perf_counter()
    encoded = task.encode(loaded.processor, target.train.select(rows), max_length=max_length)
    try:
        passed = forward(loaded.model, encoded, device=device)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{location} fails on rows of {target.name}: {reason}") from error
    outputs: list[NDArray[Any]] = [*passed.layers, passed.logits]
    if passed.mean is not None:
        outputs.append(passed.mean)
    if not all(np.isfinite(values).all() for values in outputs):
        raise ModelError(f"{location} gives values that are not finite on rows of {target.name}")
    # One output is a value, and a probability of 1 for every row says nothing.
    has_classes = loaded.head_is_trained and passed.logits.shape[1] > 1
    features = Features(
        layers=passed.layers,
        labels=encoded.labels,
        source_probs=_softmax(passed.logits) if has_classes else None,
        seconds=time.perf_counter() - start,
        layer_mean=passed.mean,
    )
    if path is not None:
        _save(path, features)
    return features


def cached_features(
    task: Task,
    target: TargetData,
    *,
    cache: Path,
    key: str,
    max_rows: int = ROWS,
    max_length: int = 128,
    seed: int = 0,
) -> Features | None:
    """What `extract_features` has kept for the same arguments; no model is loaded or looked up."""
    rows = sample_rows(target.labels("train"), max_rows, seed)
    return _load(Path(cache) / f"{_cache_key(task, target, key, rows, max_length)}.npz")


def sample_rows(labels: NDArray, max_rows: int, seed: int) -> NDArray[np.int64]:
    """Rising row numbers of at most `max_rows` rows, stratified; all of them if they fit.

    Classes keep their shares (largest remainder), and each keeps at least one row while there is
    room. Float labels are taken at even steps of their order, from a random start.
    """
    if len(labels) <= max_rows:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    # Rows in the order of their labels, random within equal ones: even steps through that order
    # give every class (or every range of values) its share.
    ordered = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = np.floor((np.arange(max_rows) + rng.random()) * len(labels) / max_rows)
    picked = ordered[steps.astype(np.int64)]
    if labels.dtype.kind != "f":
        picked = _add_missing_classes(labels, picked, ordered)
    return np.sort(picked)


def _add_missing_classes(
    labels: NDArray, picked: NDArray[np.int64], ordered: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give a row to each class that has none, from the class that has most."""
    picked = picked.copy()
    for missing in np.setdiff1d(labels, labels[picked]):
        classes, counts = np.unique(labels[picked], return_counts=True)
        if counts.max() < 2:
            break
        largest = classes[np.argmax(counts)]
        place = np.flatnonzero(labels[picked] == largest)[-1]
        picked[place] = ordered[np.argmax(labels[ordered] == missing)]
    return picked


@dataclass(frozen=True, eq=False)
class Pass:
    """What `forward` gives, in the rows' order.

    layers: the last `KEPT` pooled layers, (N, d_l) each; mean (N, d) over all layers of the last
    one's width, None where `layers` holds them all; logits (N, Z).
    """

    layers: tuple[NDArray[np.float32], ...]
    mean: NDArray[np.float32] | None
    logits: NDArray[np.float64]


def forward(model: PreTrainedModel, encoded: Encoded, *, device: str = "cpu") -> Pass:
    """One pass over all rows: every layer pooled, the last ones kept, and the logits.

    Rows are batched by length, so that little is padding; results are in the rows' order. Where
    the network goes on after its last hidden state (a final norm or convolution), that output is
    the last layer.
    """
    import torch

    body: list[Any] = []
    hook = model.base_model.register_forward_hook(lambda *call: body.append(call[2]))
    model.to(device).eval()
    n = len(encoded)
    layers: list[NDArray[np.float32]] = []
    mean: NDArray[np.float32] | None = None
    logits = np.empty((0, 0))
    try:
        with torch.inference_mode():
            for batch in _batches(encoded.lengths):
                inputs = encoded.collate([encoded[i] for i in batch])
                del inputs["labels"]
                inputs = {name: value.to(device) for name, value in inputs.items()}
                body.clear()
                output = model(**inputs, output_hidden_states=True)
                mask = inputs.get("attention_mask")
                pooled = [_pool(s, mask) for s in _states(output, body)]
                kept = pooled[-KEPT:]
                same = [p for p in pooled if p.shape == kept[-1].shape]
                if not layers:
                    layers = [np.empty((n, p.shape[1]), dtype=np.float32) for p in kept]
                    if len(same) > sum(p.shape == kept[-1].shape for p in kept):
                        mean = np.empty((n, kept[-1].shape[1]), dtype=np.float32)
                    logits = np.empty((n, output.logits.shape[1]))
                for layer, values in zip(layers, kept, strict=True):
                    layer[batch] = values.cpu().numpy()
                if mean is not None:
                    mean[batch] = torch.stack(same).mean(dim=0).cpu().numpy()
                logits[batch] = output.logits.float().cpu().numpy()
    finally:
        hook.remove()
    return Pass(tuple(layers), mean, logits)


def _batches(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Row numbers, longest rows first, at most BATCH_ROWS rows and BATCH_TOKENS tokens each."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = min(BATCH_ROWS, max(1, BATCH_TOKENS // int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def _states(output: Any, body: list[Any]) -> list[torch.Tensor]:
    """The hidden states after each layer or stage, and the body's own output if it is another.

    The first hidden state is the embedding (or stem), which is no layer yet.
    """
    import torch

    states = list(output.hidden_states[1:]) or list(output.hidden_states)
    last = getattr(body[-1], "last_hidden_state", None) if body else None
    if last is not None and not (last.shape == states[-1].shape and torch.equal(last, states[-1])):
        states.append(last)
    return states


def _pool(state: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """One vector a row (B, d), in float32.

    (B, n, d) tokens: mean over the tokens that `mask` (B, n) keeps; (B, d, H, W) feature maps:
    mean over positions; (B, d): as it is.
    """
    state = state.float()
    if state.ndim == 4:
        return state.mean(dim=(2, 3))
    if state.ndim == 3 and mask is not None and mask.shape == state.shape[:2]:
        weights = mask.unsqueeze(-1).to(state.dtype)
        return (state * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return state.mean(dim=1) if state.ndim == 3 else state


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


# ----------------------------------------------------------------------------------- cache


def _cache_key(
    task: Task, target: TargetData, key: str, rows: NDArray[np.int64], max_length: int
) -> str:
    """Names everything that the numbers depend on: the rows stand for size, seed and sampling."""
    return digest(
        {
            "version": VERSION,
            "task": task.name,
            "model": key,
            "data": target.fingerprint,
            "rows": rows.tolist(),
            "max_length": max_length,
        },
        32,
    )


def _load(path: Path) -> Features | None:
    """Cached features; None if there are none, or if the file is damaged (it is made again)."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        return Features(
            layers=tuple(kept[f"layer{i}"] for i in range(int(kept["layers"]))),
            labels=kept["labels"],
            source_probs=kept.get("source_probs"),
            seconds=float(kept["seconds"]),
            layer_mean=kept.get("mean"),
        )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _save(path: Path, features: Features) -> None:
    """Write to a temporary file, then rename: a reader finds a whole file or none."""
    arrays: dict[str, Any] = {f"layer{i}": layer for i, layer in enumerate(features.layers)}
    arrays["layers"] = len(features.layers)
    for name, values in (("source_probs", features.source_probs), ("mean", features.layer_mean)):
        if values is not None:
            arrays[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, labels=features.labels, seconds=features.seconds, **arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
