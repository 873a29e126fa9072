"""Image classification and image regression."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import ModelError
from hf_select.tasks.encoded import Encoded, Plain, label_array, label_tensor
from hf_select.tasks.models import load_network, load_processor, quiet
from hf_select.tasks.pixels import as_rgb

if TYPE_CHECKING:
    import datasets
    import torch
    from PIL.Image import Image
    from transformers import PreTrainedModel

    from hf_select.tasks.base import Kind

CHUNK = 256
"""Images a processor gets at once."""

PATCH = 16 * 16
"""Pixels that count as much as a token."""

IN_MEMORY = 2**30
"""Bytes of pixel values that a split may take; a bigger one is processed row by row, each time."""


class ImageEncoded(Encoded):
    """Pixel values of N images: one array (N, 3, H, W), or made anew when a row is asked for."""

    _processor: Any
    _split: Any

    def __init__(self, processor: Any, split: datasets.Dataset, *, limit: int = IN_MEMORY) -> None:
        self.labels = label_array(split)
        self.lengths = np.ones(len(split), dtype=np.int64)
        self._processor, self._split = processor, split
        self._pixels: NDArray[np.float32] | None = None
        if len(split):
            first = self._process(split[:1]["image"])
            if first.nbytes * len(split) < limit:
                self._pixels = np.empty((len(split), *first.shape[1:]), dtype=np.float32)
                for start in range(0, len(split), CHUNK):
                    rows = split[start : start + CHUNK]["image"]
                    self._pixels[start : start + CHUNK] = self._process(rows)

    def plain(self) -> Plain | None:
        """See `Encoded`. None if the pixels are made anew each time."""
        if self._pixels is None:
            return None
        return Plain("image", {"pixels": self._pixels, "labels": self.labels}, {})

    @classmethod
    def of_plain(cls, plain: Plain) -> ImageEncoded:
        """The inverse of `plain`."""
        made = cls.__new__(cls)
        made._pixels, made.labels = plain.arrays["pixels"], plain.arrays["labels"]
        made.lengths = np.ones(len(made.labels), dtype=np.int64)
        made._processor = made._split = None
        return made

    def __getitem__(self, i: int) -> dict[str, Any]:
        """One row: `pixel_values` (3, H, W) and `labels`."""
        i = range(len(self))[i]
        if self._pixels is not None:
            pixels = self._pixels[i]
        else:
            pixels = self._process([self._split[i]["image"]])[0]
        return {"pixel_values": pixels, "labels": self.labels[i]}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch (B, 3, H, W)."""
        import torch

        pixels = np.stack([row["pixel_values"] for row in rows])
        return {"pixel_values": torch.from_numpy(pixels), "labels": label_tensor(rows)}

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """See `Encoded`."""
        import torch

        if self._pixels is None:
            pixels = self._process(self._split[rows.tolist()]["image"])
        else:
            pixels = self._pixels[rows]
        return {"pixel_values": torch.from_numpy(pixels)}

    def work(self) -> NDArray[np.int64]:
        """See `Encoded`. An image counts by its patches of 16 x 16 pixels, as in a ViT."""
        patches = 1 if not len(self) else int(np.prod(self[0]["pixel_values"].shape[1:])) // PATCH
        return np.full(len(self), max(1, patches), dtype=np.int64)

    def _process(self, images: list[Image]) -> NDArray[np.float32]:
        try:
            with quiet():
                values = self._processor([as_rgb(image) for image in images], return_tensors="np")
            return np.asarray(values["pixel_values"], dtype=np.float32)
        except ValueError as error:
            raise ModelError(
                f"the image processor can't make one size of these images: {error}",
                hint="its preprocessor_config.json must resize or crop to a fixed size",
            ) from error


class ImageClassification:
    """One class an image. `image-classification` on the Hub."""

    name = "image-classification"
    kind: Kind = "classification"
    default_metric = "accuracy"
    head = "image"
    input_columns: tuple[str, ...] = ("image",)

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

    def encode(self, processor: Any, split: datasets.Dataset, *, max_length: int) -> ImageEncoded:
        """See `base.Task`. `max_length` says nothing about images."""
        return ImageEncoded(processor, split)

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`."""
        return logits.detach().argmax(dim=-1).cpu().numpy()


class ImageRegression(ImageClassification):
    """One number an image (an angle, an age, a price). Labels stay raw.

    The Hub has no word for it: its models are those of `image-classification`.
    """

    name = "image-regression"
    kind: Kind = "regression"
    default_metric = "rmse"

    def predict(self, logits: torch.Tensor) -> NDArray:
        """See `base.Task`."""
        return logits.detach().float().reshape(-1).cpu().numpy()
