"""Multiple choice: which of C answers goes with a text (SWAG, ARC, RACE)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.tasks.encoded import Encoded, Plain, label_array, label_tensor
from hf_select.tasks.models import load_network, load_processor
from hf_select.tasks.text import CHUNK, TextEncoded, encode_texts

if TYPE_CHECKING:
    import datasets
    import torch
    from transformers import PreTrainedModel

    from hf_select.tasks.base import Kind


class ChoiceEncoded(Encoded):
    """N questions with C choices each, as N*C pairs of texts, a question's one after the other.

    `pairs` has them, each labelled 1 if it is the right one, else 0. `lengths` (N,): C times the
    longest of a row, as all are padded to it.
    """

    def __init__(self, pairs: TextEncoded, labels: NDArray[np.int64]) -> None:
        self.pairs, self.labels = pairs, labels
        self._choices = len(pairs) // max(len(labels), 1)
        self.lengths = pairs.lengths.reshape(len(labels), -1).max(axis=1) * self._choices

    def plain(self) -> Plain:
        """See `Encoded`."""
        pairs = self.pairs.plain()
        arrays = {**pairs.arrays, "labels": self.labels}
        return Plain("choices", arrays, pairs.settings)

    @classmethod
    def of_plain(cls, plain: Plain) -> ChoiceEncoded:
        """The inverse of `plain`."""
        labels = plain.arrays["labels"]
        choices = len(plain.arrays["lengths"]) // max(len(labels), 1)
        arrays = {**plain.arrays, "labels": right_ones(labels, choices)}
        return cls(TextEncoded.of_plain(Plain("text", arrays, plain.settings)), labels)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays that it holds in memory."""
        return super().num_bytes + self.pairs.num_bytes

    def __getitem__(self, i: int) -> dict[str, Any]:
        """One row: `choices`, a row of `pairs` each, and `labels`."""
        i = range(len(self))[i]
        each = range(i * self._choices, (i + 1) * self._choices)
        return {"choices": [self.pairs[j] for j in each], "labels": self.labels[i]}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch (B, C, longest)."""
        pairs = self.pairs.padded([pair for row in rows for pair in row["choices"]])
        return {**self._by_row(pairs), "labels": label_tensor(rows)}

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`; (B, C, longest)."""
        each = (rows[:, None] * self._choices + np.arange(self._choices)).reshape(-1)
        return self._by_row(self.pairs.inputs(each))

    def looked(self) -> Encoded:
        """See `Encoded`: the pairs, each right or wrong."""
        return self.pairs

    def _by_row(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: value.reshape(-1, self._choices, value.shape[-1]) for name, value in batch.items()
        }


class MultipleChoice:
    """The right one of C answers to a text. `multiple-choice` on the Hub.

    Columns of a split: `text`, `choices` (C texts) and `label`, the place of the right one.
    """

    name = "multiple-choice"
    kind: Kind = "classification"
    default_metric = "accuracy"
    head = "choices"
    input_columns: tuple[str, ...] = ("text", "choices")

    def load_model(
        self, location: str | Path, *, num_labels: int, label_names: tuple[str, ...] = ()
    ) -> PreTrainedModel:
        """See `base.Task`. Its head gives one number a choice, whatever their number and names.

        The config says two labels, as transformers does where nobody has said anything.
        """
        model, _ = load_network(self.head, location, num_labels=2)
        return model

    def load_checkpoint(self, location: str | Path) -> tuple[PreTrainedModel, bool]:
        """See `base.Task`."""
        return load_network(self.head, location)

    def load_processor(self, location: str | Path) -> Any:
        """See `base.Task`."""
        return load_processor(self.head, location)

    def encode(self, processor: Any, split: datasets.Dataset, *, max_length: int) -> ChoiceEncoded:
        """See `base.Task`. Of a text and its choice the longer one is cut off first."""
        labels = label_array(split)
        choices = len(split[0]["choices"]) if len(split) else 1

        def pairs(start: int) -> tuple[list[str], ...]:
            rows = split[start : start + CHUNK // choices + 1]
            texts = [text for text in rows["text"] for _ in range(choices)]
            return texts, [choice for row in rows["choices"] for choice in row]

        encoded = encode_texts(
            processor,
            (pairs(start) for start in range(0, len(split), CHUNK // choices + 1)),
            right_ones(labels, choices),
            pair=True,
            max_length=max_length,
        )
        return ChoiceEncoded(encoded, labels)

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`: logits (N, C), one number a choice."""
        return logits.detach().argmax(dim=-1).cpu().numpy()


def right_ones(labels: NDArray[np.int64], choices: int) -> NDArray[np.int64]:
    """1 for each right one of the N*C pairs, 0 for the others."""
    return (labels[:, None] == np.arange(choices)).astype(np.int64).reshape(-1)
