"""Text classification and text regression, for a single text or a pair of texts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError
from hf_select.tasks.encoded import Encoded, Plain, label_array, label_tensor
from hf_select.tasks.models import load_network, load_processor

if TYPE_CHECKING:
    import datasets
    import torch
    from transformers import PreTrainedModel

    from hf_select.tasks.base import Kind

CHUNK = 4096
"""Texts a tokenizer gets at once: enough to be fast, few enough to keep memory flat."""


class TextEncoded(Encoded):
    """Token ids of N texts, one after the other in one array per input, cut by `offsets`."""

    def __init__(
        self,
        values: dict[str, NDArray[np.int64]],
        lengths: NDArray[np.int64],
        labels: NDArray,
        *,
        padding: dict[str, int],
        pad_left: bool,
    ) -> None:
        self.lengths, self.labels = lengths, labels
        self._values, self._padding, self._pad_left = values, padding, pad_left
        self._offsets = np.concatenate([[0], np.cumsum(lengths)])

    def plain(self) -> Plain:
        """See `Encoded`."""
        arrays = {**self._values, "lengths": self.lengths, "labels": self.labels}
        return Plain("text", arrays, {"padding": self._padding, "pad_left": self._pad_left})

    @classmethod
    def of_plain(cls, plain: Plain) -> TextEncoded:
        """The inverse of `plain`."""
        arrays = dict(plain.arrays)
        lengths, labels = arrays.pop("lengths"), arrays.pop("labels")
        return cls(arrays, lengths, labels, **plain.settings)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """One row: `input_ids` (n,), `token_type_ids` (n,) where there are any, `labels`."""
        i = range(len(self))[i]
        start, end = self._offsets[i], self._offsets[i + 1]
        row: dict[str, Any] = {name: value[start:end] for name, value in self._values.items()}
        row["labels"] = self.labels[i]
        return row

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch (B, longest) with its `attention_mask`, on the tokenizer's padding side."""
        return {**self.padded(rows), "labels": label_tensor(rows)}

    def padded(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The same without labels."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        arrays = {
            name: np.full((len(rows), longest), self._padding[name], dtype=np.int64)
            for name in self._values
        }
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for b, row in enumerate(rows):
            n = len(row["input_ids"])
            part = slice(longest - n, longest) if self._pad_left else slice(0, n)
            mask[b, part] = 1
            for name, array in arrays.items():
                array[b, part] = row[name]
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {**batch, "attention_mask": torch.from_numpy(mask)}

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`. All rows at once, without a step in Python for each."""
        import torch

        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        places = columns - (len(columns) - lengths)[:, None] if self._pad_left else columns[None]
        mask = (places >= 0) & (places < lengths[:, None])
        flat = np.where(mask, self._offsets[rows][:, None] + places, 0)
        batch = {
            name: torch.from_numpy(np.where(mask, values[flat], self._padding[name]))
            for name, values in self._values.items()
        }
        return {**batch, "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def room(processor: Any, max_length: int, *, pair: bool) -> int:
    """The most tokens a text may have: `max_length`, or the model's own maximum.

    Raises `InputError` if the marks around a text leave no room for it.
    """
    most = min(max_length, processor.model_max_length)
    special = processor.num_special_tokens_to_add(pair=pair)
    if most <= special:
        raise InputError(
            f"max_length is {most}, but {special} tokens are spent on marks alone",
            hint="raise the recipe's max_length",
        )
    return int(most)


def encode_texts(
    processor: Any,
    chunks: Iterable[tuple[list[str], ...]],
    labels: NDArray,
    *,
    pair: bool,
    max_length: int,
) -> TextEncoded:
    """N texts, or pairs of texts, a chunk at a time. Raises what `room` does."""
    most = room(processor, max_length, pair=pair)
    parts: dict[str, list[NDArray[np.int64]]] = {}
    lengths: list[int] = []
    for texts in chunks:
        encoded = processor(*texts, truncation=True, max_length=most, return_attention_mask=False)
        add_ids(parts, encoded, processor)
        lengths += [len(ids) for ids in encoded["input_ids"]]
    return TextEncoded(
        {name: np.concatenate(arrays) for name, arrays in parts.items()},
        np.asarray(lengths, dtype=np.int64),
        labels,
        padding=padding_of(processor),
        pad_left=processor.padding_side == "left",
    )


def add_ids(parts: dict[str, list[NDArray[np.int64]]], encoded: Any, processor: Any) -> None:
    """Append what a tokenizer gave for some texts, flat, to the arrays of each input.

    A model without marks (GPT) sees no token at all in an empty text: it gets a padding token.
    """
    empty = [i for i, ids in enumerate(encoded["input_ids"]) if not ids]
    for name in ("input_ids", "token_type_ids"):
        if name in encoded:
            for i in empty:
                encoded[name][i] = [processor.pad_token_id if name == "input_ids" else 0]
            flat = chain.from_iterable(encoded[name])
            parts.setdefault(name, []).append(np.fromiter(flat, dtype=np.int64))


def padding_of(processor: Any) -> dict[str, int]:
    """What fills up each input of a batch."""
    return {
        "input_ids": processor.pad_token_id,
        "token_type_ids": processor.pad_token_type_id,
    }


class TextClassification:
    """One class a text, or a pair of texts. `text-classification` on the Hub."""

    name = "text-classification"
    kind: Kind = "classification"
    default_metric = "accuracy"
    head = "text"
    input_columns: tuple[str, ...] = ("text", "text_pair")

    def load_model(
        self,
        location: str | Path,
        *,
        num_labels: int,
        label_names: tuple[str, ...] = (),
    ) -> PreTrainedModel:
        """See `base.Task`."""
        model, _ = load_network(
            self.head,
            location,
            num_labels=num_labels,
            label_names=label_names,
            regression=self.kind == "regression",
        )
        return model

    def load_checkpoint(self, location: str | Path) -> tuple[PreTrainedModel, bool]:
        """See `base.Task`."""
        return load_network(self.head, location)

    def load_processor(self, location: str | Path) -> Any:
        """See `base.Task`."""
        return load_processor(self.head, location)

    def encode(self, processor: Any, split: datasets.Dataset, *, max_length: int) -> TextEncoded:
        """See `base.Task`. Longer texts are cut off, of a pair the longer one first."""
        columns = [name for name in self.input_columns if name in split.column_names]
        return encode_texts(
            processor,
            (
                tuple(split[start : start + CHUNK][name] for name in columns)
                for start in range(0, len(split), CHUNK)
            ),
            label_array(split),
            pair=len(columns) > 1,
            max_length=max_length,
        )

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`."""
        return logits.detach().argmax(dim=-1).cpu().numpy()


class TextRegression(TextClassification):
    """One number a text, or a pair of texts (similarity, rating). Labels stay raw."""

    name = "text-regression"
    kind: Kind = "regression"
    default_metric = "rmse"

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`."""
        return logits.detach().float().reshape(-1).cpu().numpy()
