"""Token classification: a tag for every word of a sentence (named entities, parts of speech)."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import ModelError
from hf_select.tasks.encoded import Answers, Plain, label_array, ranges, reference_array
from hf_select.tasks.models import load_network, load_processor
from hf_select.tasks.text import CHUNK, TextEncoded, add_ids, padding_of, room

if TYPE_CHECKING:
    import datasets
    import torch
    from transformers import PreTrainedModel

    from hf_select.tasks.base import Kind

IGNORED = -100
"""The label of tokens that no loss is taken of, as transformers has it."""


class TokenEncoded(TextEncoded):
    """N sentences of words. The first token of each word carries its tag, the others `IGNORED`.

    `labels` (N,) is what rows are sampled by; tags (W,) are those of all words, counts (N,) the
    words of each row. seen (W,): words that a token is left of; the others were cut off by the
    maximal length, or the tokenizer makes nothing of them. Each row has one at least: where no word
    leaves a token, the row's first token stands for its first word.
    """

    def __init__(
        self,
        values: dict[str, NDArray[np.int64]],
        lengths: NDArray[np.int64],
        labels: NDArray,
        *,
        tags: NDArray[np.int64],
        counts: NDArray[np.int64],
        seen: NDArray[np.bool_],
        padding: dict[str, int],
        pad_left: bool,
    ) -> None:
        padding = {**padding, "labels": IGNORED}
        super().__init__(values, lengths, labels, padding=padding, pad_left=pad_left)
        self._tags, self._counts, self._seen = tags, counts, seen
        self._words = np.cumsum(counts) - counts  # a row's first word
        self._units = np.add.reduceat(seen.astype(np.int64), self._words)

    def plain(self) -> Plain:
        """See `Encoded`."""
        arrays = {
            **{f"token_{name}": array for name, array in self._values.items()},
            "lengths": self.lengths,
            "labels": self.labels,
            "tags": self._tags,
            "counts": self._counts,
            "seen": self._seen,
        }
        padding = {name: value for name, value in self._padding.items() if name != "labels"}
        return Plain("tokens", arrays, {"padding": padding, "pad_left": self._pad_left})

    @classmethod
    def of_plain(cls, plain: Plain) -> TokenEncoded:
        """The inverse of `plain`."""
        mark = "token_"
        values = {
            name.removeprefix(mark): array
            for name, array in plain.arrays.items()
            if name.startswith(mark)
        }
        lengths, labels, tags, counts, seen = (
            plain.arrays[name] for name in ("lengths", "labels", "tags", "counts", "seen")
        )
        return cls(values, lengths, labels, tags=tags, counts=counts, seen=seen, **plain.settings)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """One row: `input_ids` (n,), `token_type_ids` (n,) where there are any, `labels` (n,)."""
        row = super().__getitem__(i)
        i = range(len(self))[i]
        row["labels"] = self._values["labels"][self._offsets[i] : self._offsets[i + 1]]
        return row

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch (B, longest); so are its `labels`."""
        return self.padded(rows)

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`."""
        batch = super().inputs(rows)
        del batch["labels"]
        return batch

    def batch(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`; `labels` are (B, longest)."""
        return super().inputs(rows)

    def units(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Encoded`: the words that are seen."""
        return self._units[rows]

    def unit_labels(self, rows: NDArray[np.int64]) -> NDArray:
        """See `Encoded`."""
        words = self._words_of(rows)
        return self._tags[words[self._seen[words]]]

    def places(self, labels: torch.Tensor) -> torch.Tensor:
        """See `Encoded`: where words begin. Asked of labels on the CPU, so that no GPU waits."""
        return (labels.reshape(-1) != IGNORED).nonzero()[:, 0]

    def answers(
        self, rows: NDArray[np.int64], predictions: NDArray, *, otherwise: int = 0
    ) -> Answers:
        """See `Encoded`."""
        words = self._words_of(rows)
        said = np.full(len(words), otherwise, dtype=np.int64)
        said[self._seen[words]] = predictions
        return Answers(said, self._tags[words], np.cumsum(self._counts[rows]))

    def _words_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return ranges(self._words[rows], self._counts[rows])


class TokenClassification:
    """One tag a word. `token-classification` on the Hub.

    Columns of a split: `tokens` (words), `tags` (as many class ids) and `label`, the tag of the row
    that is rarest in the data, by which rows are sampled.
    """

    name = "token-classification"
    kind: Kind = "classification"
    default_metric = "accuracy"  # of tags that mark spans it is seqeval_f1
    head = "tokens"
    input_columns: tuple[str, ...] = ("tokens",)

    def load_model(
        self, location: str | Path, *, num_labels: int, label_names: tuple[str, ...] = ()
    ) -> PreTrainedModel:
        """See `base.Task`."""
        model, _ = load_network(self.head, location, num_labels=num_labels, label_names=label_names)
        return model

    def load_checkpoint(self, location: str | Path) -> tuple[PreTrainedModel, bool]:
        """See `base.Task`."""
        return load_network(self.head, location)

    def load_processor(self, location: str | Path) -> Any:
        """See `base.Task`. A tokenizer that can say which word a token is of."""
        processor = load_processor(self.head, location)
        if not getattr(processor, "is_fast", False):
            raise ModelError(
                f"the tokenizer of {location} can't say which word a token comes from, so it is of "
                "no use for token classification",
                hint="a model with a fast tokenizer (tokenizer.json) is needed",
            )
        return processor

    def encode(self, processor: Any, split: datasets.Dataset, *, max_length: int) -> TokenEncoded:
        """See `base.Task`. Words behind the last token that fits are not seen."""
        most = room(processor, max_length, pair=False)
        parts: dict[str, list[NDArray[np.int64]]] = {}
        lengths: list[int] = []
        words: list[NDArray[np.int64]] = []  # of each token, its word in the row; -1: of none
        counts: list[int] = []
        for start in range(0, len(split), CHUNK):
            rows = split[start : start + CHUNK]["tokens"]
            encoded = processor(
                rows,
                is_split_into_words=True,
                truncation=True,
                max_length=most,
                return_attention_mask=False,
            )
            found = [encoded.word_ids(i) or [None] for i in range(len(rows))]
            add_ids(parts, encoded, processor)
            lengths += [len(ids) for ids in found]
            flat = (-1 if word is None else word for word in chain.from_iterable(found))
            words.append(np.fromiter(flat, dtype=np.int64))
            counts += [len(row) for row in rows]
        sizes, of_row = np.asarray(lengths, dtype=np.int64), np.asarray(counts, dtype=np.int64)
        tags = reference_array(split)
        labels, seen = _aligned(np.concatenate(words), sizes, tags, of_row)
        values = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        return TokenEncoded(
            {**values, "labels": labels},
            sizes,
            label_array(split),
            tags=tags,
            counts=of_row,
            seen=seen,
            padding=padding_of(processor),
            pad_left=processor.padding_side == "left",
        )

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`."""
        return logits.detach().argmax(dim=-1).cpu().numpy()


def _aligned(
    words: NDArray[np.int64],
    lengths: NDArray[np.int64],
    tags: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels (T,) of all tokens, and which words (W,) carry one.

    words (T,): of each token the word of its row that it comes from, -1 of none; lengths (N,) in
    tokens, counts (N,) in words, tags (W,).
    """
    begins = np.cumsum(lengths) - lengths
    first = words >= 0
    same = np.concatenate([[False], words[1:] == words[:-1]])
    same[begins] = False
    first &= ~same
    rows = np.repeat(np.arange(len(lengths)), lengths)
    lost = np.setdiff1d(np.arange(len(lengths)), rows[first])  # rows without any
    words = words.copy()
    words[begins[lost]], first[begins[lost]] = 0, True
    place = (np.cumsum(counts) - counts)[rows] + words
    labels = np.full(len(words), IGNORED, dtype=np.int64)
    labels[first] = tags[place[first]]
    seen = np.zeros(len(tags), dtype=np.bool_)
    seen[place[first]] = True
    return labels, seen
