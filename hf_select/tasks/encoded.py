"""One split, ready for a model: rows that a data loader takes, and how they form a batch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.records import digest

if TYPE_CHECKING:
    import datasets
    import torch
    from torch.utils.data import Dataset

    _Dataset = Dataset[dict[str, Any]]
else:
    # A data loader asks for `__len__` and `__getitem__` only. Naming torch's class as the base at
    # run time would make every check of a data file wait for torch to be imported.
    _Dataset = object


@dataclass(frozen=True, eq=False)
class Plain:
    """An encoded split as plain values: a name in `base.ENCODED`, arrays, JSON-able settings."""

    kind: str
    arrays: Mapping[str, NDArray]
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a score is taken of: predictions (W,) and references (W,), ids or values.

    `ends` (N,): behind which of them each row ends; None where a row has one.
    """

    predictions: NDArray
    references: NDArray
    ends: NDArray[np.int64] | None = None

    def as_tags(self, names: tuple[str, ...]) -> Answers:
        """The same with the names of the ids, and "" between two rows."""
        assert self.ends is not None, "one answer a row is no sequence"
        words = np.array(names)
        return Answers(
            np.insert(words[self.predictions], self.ends, ""),
            np.insert(words[self.references], self.ends, ""),
        )


class Encoded(ABC, _Dataset):
    """A map-style dataset of N encoded rows, in the order of the split.

    lengths (N,): token counts, 1 for images; labels (N,): int64 class ids or float32 values, raw.
    A model answers once a row, or, in a task of words, once for each **unit**, a word that it sees.
    Then `labels` is what the rows are sampled by, and the units have labels of their own.
    """

    lengths: NDArray[np.int64]
    labels: NDArray

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, i: int) -> dict[str, Any]:
        """One row: numpy arrays by input name, and `labels`."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch (B, ...) of rows, padded to the longest of them; includes `labels` (B,)."""

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """What a model takes of those rows (B,): as `collate` gives it, without labels.

        The tasks of this package do it without a step in Python for each row.
        """
        batch = self.collate([self[int(i)] for i in rows])
        del batch["labels"]
        return batch

    def batch(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """`inputs` and `labels` (B,) of those rows: what `collate` makes of them one by one."""
        import torch

        return {**self.inputs(rows), "labels": torch.from_numpy(self.labels[rows])}

    def units(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many answers of the model those rows (B,) ask for: (B,), each at least 1."""
        return np.ones(len(rows), dtype=np.int64)

    def unit_labels(self, rows: NDArray[np.int64]) -> NDArray:
        """The right answers (U,) for those rows, one row's after the other's."""
        return self.labels[rows]

    def places(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Where the U answers to a batch's `labels` stand in its output, flattened to (B*n, C).

        None: the output is (B, C).
        """
        return None

    def answers(
        self, rows: NDArray[np.int64], predictions: NDArray, *, otherwise: int = 0
    ) -> Answers:
        """Predictions (U,) for those rows beside what is right, for everything that was asked.

        What the model doesn't get to see (words cut off by the maximal length) is answered with
        class `otherwise`.
        """
        return Answers(predictions, self.labels[rows])

    def looked(self) -> Encoded:
        """The rows as a look takes them, before any fine-tuning: with labels that fit their
        features."""
        return self

    def work(self) -> NDArray[np.int64]:
        """How much a model has to do for each row (N,), in tokens."""
        return self.lengths

    def plain(self) -> Plain | None:
        """What it consists of, for its class's `of_plain`; None if that isn't just arrays.

        The arrays that `of_plain` gets may be read-only.
        """
        return None

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays that it holds in memory."""
        held: list[Any] = []
        for value in vars(self).values():
            held += value.values() if isinstance(value, dict) else [value]
        return sum(value.nbytes for value in held if isinstance(value, np.ndarray))


class EncodedRows(Encoded):
    """Some rows of an encoded split, in the order of `rows` (n,); nothing is copied."""

    def __init__(self, encoded: Encoded, rows: NDArray[np.int64]) -> None:
        self.lengths, self.labels = encoded.lengths[rows], encoded.labels[rows]
        self._encoded, self._rows = encoded, rows

    def __getitem__(self, i: int) -> dict[str, Any]:
        """See `Encoded`."""
        return self._encoded[int(self._rows[i])]

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """See `Encoded`."""
        return self._encoded.collate(rows)

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`."""
        return self._encoded.inputs(self._rows[rows])

    def batch(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`."""
        return self._encoded.batch(self._rows[rows])

    def units(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Encoded`."""
        return self._encoded.units(self._rows[rows])

    def unit_labels(self, rows: NDArray[np.int64]) -> NDArray:
        """See `Encoded`."""
        return self._encoded.unit_labels(self._rows[rows])

    def places(self, labels: torch.Tensor) -> torch.Tensor | None:
        """See `Encoded`."""
        return self._encoded.places(labels)

    def answers(
        self, rows: NDArray[np.int64], predictions: NDArray, *, otherwise: int = 0
    ) -> Answers:
        """See `Encoded`."""
        return self._encoded.answers(self._rows[rows], predictions, otherwise=otherwise)

    def work(self) -> NDArray[np.int64]:
        """See `Encoded`."""
        return self._encoded.work()[self._rows]


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The whole numbers from each start on, one range after the other.

    >>> ranges(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(starts - before, counts)


def label_tensor(rows: list[dict[str, Any]]) -> torch.Tensor:
    """The labels of a batch (B,), int64 or float32."""
    import torch

    return torch.from_numpy(np.asarray([row["labels"] for row in rows]))


def label_array(split: datasets.Dataset) -> NDArray:
    """The label column (N,) as int64 class ids or float32 values."""
    array = np.asarray(split["label"][:])
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def reference_array(split: datasets.Dataset) -> NDArray:
    """What a score compares with: the label column (N,), or the tags of all words (W,), if any."""
    if "tags" not in split.column_names:
        return label_array(split)
    cells = split.with_format("arrow")["tags"][:].combine_chunks()
    return np.asarray(cells.flatten(), dtype=np.int64)


def processor_digest(processor: Any) -> str:
    """What a processor does to its input: two that agree can share encoded splits."""
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is not None:
        settings = {
            name: getattr(processor, name, None)
            for name in ("model_input_names", "padding_side", "truncation_side", "pad_token_id")
        }
        content = [backend.to_str(), settings, processor.model_max_length]
    else:
        content = [json.dumps(processor.to_dict(), sort_keys=True, default=str)]
    return digest([type(processor).__name__, *content])
