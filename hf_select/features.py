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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from hf_select.tasks.encoded import processor_digest, ranges

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from hf_select.tasks.encoded import Encoded

VERSION = 2
"""Part of the cache key: raise it whenever the same call gives other numbers."""

MOST_ROWS, FEWEST_ROWS, SHARE_OF_ROWS = 2000, 300, 4
"""Train rows that a pass sees: a quarter of them, but at least 300, and at most 2,000."""
KEPT = 3
"""Last layers that are kept one by one: what the proxies look at."""
_LOADING = threading.Lock()
"""transformers changes settings of the whole process while it loads a model."""
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Tokens of a batch by type of device. On a CPU as many as leave the activations in its cache: on
a 2022 server core 8192 tokens of a MiniLM take 1.6 times the time, 64 images of 224 x 224 pixels
1.3 (ResNet-18) to 3.5 times (MobileNetV2)."""
BATCH_ROWS = 256


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with its own head and its processor: one load for passes over several targets."""

    model: PreTrainedModel
    processor: Any
    head_is_trained: bool


class LastEncoding:
    """The encoded rows of one pass, for the next model whose processor does the same."""

    def __init__(self) -> None:
        self._key = ""
        self._rows: Encoded | None = None

    def get(self, key: str, make: Callable[[], Encoded]) -> Encoded:
        """The rows of that key; those of another are let go before they are made."""
        if key != self._key or self._rows is None:
            self._key, self._rows = key, None
            self._rows = make()
        return self._rows


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
    max_rows: int | None = None,
    max_length: int = 128,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    key: str = "",
    loaded: Loaded | None = None,
    encoding: LastEncoding | None = None,
) -> Features:
    """Pooled features and source probabilities of a stratified sample of train rows.

    Of words with tags each word is one of the N, a stratified sample of `MOST_ROWS` of them, with
    the features of its first token. Of questions with choices each pair of both is one, right or
    wrong, with its features less their mean over the question's choices.

    `location` is the model's folder, `max_length` in tokens. `max_rows`: `look_rows` where it isn't
    given. `key`: names the model's content in
    the cache; without one it is the digest of the folder's content. With `cache`, a folder, the
    result is kept there and found again for the same model, data, rows, seed and length.
    `loaded`: the model, where it is in memory already; `encoding`: the rows as the model before
    this one had them, taken if its processor does the same. `seconds` is what encoding and the pass
    took (the first time). Raises `ModelError` if the model can't be loaded or fails on these rows.
    """
    rows = looked_rows(target, max_rows, seed)
    path = None
    if cache is not None:
        key = key or folder_revision(location)
        path = Path(cache) / f"{_cache_key(task, target, key, rows, max_length)}.npz"
        found = _load(path)
        if found is not None:
            return found
    if loaded is None:
        loaded = load(task, location)
    # One output is a value, and a probability of 1 for every row says nothing.
    head = loaded.head_is_trained and loaded.model.config.num_labels > 1
    start = time.perf_counter()
    encoding = encoding or LastEncoding()
    processor = loaded.processor
    encoded = encoding.get(
        digest(
            [task.name, processor_digest(processor), target.fingerprint, rows.tolist(), max_length]
        ),
        lambda: task.encode(processor, target.train.select(rows), max_length=max_length),
    )
    questions, encoded = len(encoded), encoded.looked()
    every = np.arange(len(encoded))
    labels, units = encoded.unit_labels(every), None
    if len(labels) > len(encoded):  # words: as many as there would be rows
        units = sample_rows(labels, MOST_ROWS, seed)
        labels = labels[units]
    head = head and len(encoded) == questions
    try:
        passed = forward(loaded.model, encoded, device=device, head=head, units=units)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{location} fails on rows of {target.name}: {reason}") from error
    if not passed.is_finite():
        raise ModelError(f"{location} gives values that are not finite on rows of {target.name}")
    if len(encoded) > questions:
        passed = passed.less_the_mean_of(questions)
    features = Features(
        layers=passed.layers,
        labels=labels,
        source_probs=None if passed.logits is None else _softmax(passed.logits),
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
    max_rows: int | None = None,
    max_length: int = 128,
    seed: int = 0,
) -> Features | None:
    """What `extract_features` has kept for the same arguments; no model is loaded or looked up."""
    rows = looked_rows(target, max_rows, seed)
    return _load(Path(cache) / f"{_cache_key(task, target, key, rows, max_length)}.npz")


def looked_rows(target: TargetData, max_rows: int | None, seed: int) -> NDArray[np.int64]:
    """The train rows of a look (see `sample_rows`); a row with C choices counts C times."""
    labels = target.labels("train")
    if "choices" in target.train.column_names:
        most = MOST_ROWS // target.num_labels
        max_rows = min(look_rows(len(labels)) if max_rows is None else max_rows, most)
    return sample_rows(labels, max_rows, seed)


def look_rows(rows: int) -> int:
    """How many of a target's train rows a look takes where nobody says: it shall cost little
    compared with an epoch, and a few hundred rows told nearly as much as all of them."""
    return min(MOST_ROWS, max(FEWEST_ROWS, rows // SHARE_OF_ROWS))


def sample_rows(labels: NDArray, max_rows: int | None, seed: int) -> NDArray[np.int64]:
    """Rising row numbers of at most `max_rows` rows, stratified; all of them if they fit.

    None: `look_rows` of them.
    Classes keep their shares (largest remainder), and each keeps at least one row while there is
    room. Float labels are taken at even steps of their order, from a random start.
    """
    max_rows = look_rows(len(labels)) if max_rows is None else max_rows
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
    one's width, None where `layers` holds them all; logits (N, Z), None if they weren't asked for.
    """

    layers: tuple[NDArray[np.float32], ...]
    mean: NDArray[np.float32] | None
    logits: NDArray[np.float32] | None

    def less_the_mean_of(self, groups: int) -> Pass:
        """Features less the mean of their group: rows one after the other, N / `groups` each."""

        def centred(values: NDArray[np.float32]) -> NDArray[np.float32]:
            by_group = values.reshape(groups, -1, values.shape[1])
            return (by_group - by_group.mean(axis=1, keepdims=True)).reshape(values.shape)

        mean = None if self.mean is None else centred(self.mean)
        return Pass(tuple(centred(layer) for layer in self.layers), mean, self.logits)

    def is_finite(self) -> bool:
        """Whether all values are numbers."""
        arrays = (*self.layers, self.mean, self.logits)
        return all(bool(np.isfinite(values).all()) for values in arrays if values is not None)


def forward(
    model: PreTrainedModel,
    encoded: Encoded,
    *,
    device: str = "cpu",
    head: bool = True,
    units: NDArray[np.int64] | None = None,
) -> Pass:
    """One pass over all rows: every layer pooled, the last ones kept, and the logits if `head`.

    Rows are batched by length, so that little is padding; results are in the rows' order. Where
    the network goes on after its last hidden state (a final norm or convolution), that output is
    the last layer. float32 on a CPU; on a GPU bfloat16 (if it has it), pooled in float32.
    Where the rows have several units each (`Encoded.units`), these are what is returned, in their
    order; `units`: which of them, rising, all if None.
    """
    import torch

    model.to(device).eval()
    network = _Network(model, device, head)
    each = encoded.units(np.arange(len(encoded)))
    starts, total = np.cumsum(each) - each, int(each.sum())
    slots = np.arange(total)
    if units is not None:
        slots[:], total = -1, len(units)
        slots[units] = np.arange(total)
    rows: dict[str, NDArray[np.float32]] = {}
    batches = _batches(encoded.work(), BATCH_TOKENS["cuda" if "cuda" in device else "cpu"])
    batches.reverse()
    with network.hooked(), torch.inference_mode():
        while batches:
            batch = batches.pop()
            wanted = slots[ranges(starts[batch], each[batch])]
            kept_here = wanted >= 0
            if not kept_here.any():
                continue
            try:
                inputs = encoded.batch(batch)
                places = encoded.places(inputs.pop("labels"))
                if places is not None:
                    places = places[torch.from_numpy(kept_here)]
                seen = network(inputs, places)
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                continue
            for name, values in seen.items():
                if name not in rows:
                    rows[name] = np.empty((total, values.shape[1]), dtype=np.float32)
                rows[name][wanted[kept_here]] = values.cpu().numpy()
    kept = sorted(name for name in rows if name.startswith("layer"))
    return Pass(tuple(rows[name] for name in kept), rows.get("mean"), rows.get("logits"))


class _Network:
    """A model as the function from a batch to pooled arrays (B, d) by name."""

    def __init__(self, model: PreTrainedModel, device: str, head: bool) -> None:
        from transformers import PreTrainedModel

        self._device, self._head, self._body = device, head, model.base_model
        # Without its head a network is the body alone; some bodies are no networks of transformers.
        whole = head or not isinstance(self._body, PreTrainedModel)
        self._model = model if whole else self._body
        self._outputs: list[Any] = []
        self._goes_on: bool | None = None

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """While inside, the body's own output is seen."""
        hook = self._body.register_forward_hook(lambda *call: self._outputs.append(call[2]))
        try:
            yield
        finally:
            hook.remove()

    def __call__(
        self, inputs: Mapping[str, torch.Tensor], places: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """layer0, layer1, ... (at most `KEPT`), mean and logits, where there are any; float32.

        With `places` (U,) in the flattened tokens they are those tokens', not a row's.
        """
        import torch

        inputs = {name: value.to(self._device) for name, value in inputs.items()}
        self._outputs.clear()
        with _precision(self._device):
            output = self._model(**inputs, output_hidden_states=True)
        mask = inputs.get("attention_mask")
        if places is not None:
            places = places.to(self._device)
        pooled = [_pool(state, mask, places) for state in self._states(output)]
        kept = pooled[-KEPT:]
        seen = {f"layer{i}": values for i, values in enumerate(kept)}
        same = [values for values in pooled if values.shape == kept[-1].shape]
        if len(same) > sum(values.shape == kept[-1].shape for values in kept):
            seen["mean"] = torch.stack(same).mean(dim=0)
        if self._head:
            logits = output.logits.float()
            flat = logits if places is None else logits.reshape(-1, logits.shape[-1])[places]
            seen["logits"] = flat
        return seen

    def _states(self, output: Any) -> list[torch.Tensor]:
        """The states after each layer or stage, and the body's own output if it is another.

        The first hidden state is the embedding (or stem), which is no layer yet.
        """
        import torch

        hidden = getattr(output, "hidden_states", None)
        if hidden is None:
            hidden = getattr(output, "encoder_hidden_states", None)
        if not hidden:
            raise ValueError("it gives no hidden states")
        states = list(hidden[1:]) or list(hidden)
        last = getattr(self._outputs[-1], "last_hidden_state", None) if self._outputs else None
        if self._goes_on is None:
            same = last is None or (
                last.shape == states[-1].shape and torch.equal(last, states[-1])
            )
            self._goes_on = not same
        if self._goes_on and last is not None:
            states.append(last)
        return states


def _precision(device: str) -> AbstractContextManager[Any]:
    import torch

    if "cuda" in device and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _batches(work: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
    """Row numbers, longest rows first, at most BATCH_ROWS rows and `tokens` tokens a batch."""
    order = np.argsort(-work, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = min(BATCH_ROWS, max(1, tokens // int(work[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def _pool(
    state: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor | None = None
) -> torch.Tensor:
    """One vector a row (B, d), in float32; with `places` in (B*n, d) one of each of them (U, d).

    (B, n, d) tokens: mean over the tokens that `mask` (B, n) keeps; (B, d, H, W) feature maps:
    mean over positions; (B, d): as it is.
    """
    import torch

    if places is not None:
        if state.ndim != 3:
            raise ValueError(f"its hidden states {tuple(state.shape)} are not those of tokens")
        return state.reshape(-1, state.shape[-1])[places].float()
    state = state.float()
    if state.ndim == 4:
        return state.mean(dim=(2, 3))
    if state.ndim == 3 and mask is not None and mask.shape == state.shape[:2]:
        weights = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.bmm(weights.to(state.dtype).unsqueeze(1), state).squeeze(1)
    return state.mean(dim=1) if state.ndim == 3 else state


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


# ----------------------------------------------------------------------------------- cache


def _cache_key(
    task: Task, target: TargetData, key: str, rows: NDArray[np.int64], max_length: int
) -> str:
    """Names what the numbers depend on: the rows stand for size, seed and sampling.

    Not the device: what a GPU rounds is less than a proxy can tell apart.
    """
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
