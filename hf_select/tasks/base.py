"""What a task is, and the table of tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

from hf_select.errors import UnknownNameError
from hf_select.tasks.choices import ChoiceEncoded, MultipleChoice
from hf_select.tasks.encoded import Encoded, Plain
from hf_select.tasks.image import ImageClassification, ImageEncoded, ImageRegression
from hf_select.tasks.text import TextClassification, TextEncoded, TextRegression
from hf_select.tasks.tokens import TokenClassification, TokenEncoded

if TYPE_CHECKING:
    import datasets
    import torch
    from transformers import PreTrainedModel

Kind = Literal["classification", "regression"]


class Task(Protocol):
    """A kind of problem, named as the Hub names it. Stateless.

    `input_columns` are the normalised columns that it can take (see `data.TargetData`);
    `kind` is that of the metrics that fit it; `head` a row of `models.HEADS`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def default_metric(self) -> str: ...  # noqa: D102
    @property
    def input_columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def head(self) -> str: ...  # noqa: D102

    def load_model(
        self,
        location: str | Path,
        *,
        num_labels: int,
        label_names: tuple[str, ...] = (),
    ) -> PreTrainedModel:
        """A model (float32, on the CPU) with a head for the target.

        A head that doesn't fit is made anew from torch's random numbers: seed them before.
        Raises `ModelError` with the model's name and the reason.
        """

    def load_checkpoint(self, location: str | Path) -> tuple[PreTrainedModel, bool]:
        """The model with its own head, and whether that head came trained with it."""

    def load_processor(self, location: str | Path) -> Any:
        """The tokenizer or image processor that belongs to the model."""

    def encode(self, processor: Any, split: datasets.Dataset, *, max_length: int) -> Encoded:
        """A split as model input; `max_length` in tokens, capped by the model's own maximum."""

    def predict(self, logits: torch.Tensor) -> NDArray:
        """Logits (U, C) as class ids (U,), or (U, 1) as values (U,), of U units."""


TASKS: dict[str, Task] = {
    "text-classification": TextClassification(),
    "text-regression": TextRegression(),
    "image-classification": ImageClassification(),
    "token-classification": TokenClassification(),
    "multiple-choice": MultipleChoice(),
    "image-regression": ImageRegression(),
}

ENCODED: dict[str, Callable[[Plain], Encoded]] = {
    "text": TextEncoded.of_plain,
    "image": ImageEncoded.of_plain,
    "tokens": TokenEncoded.of_plain,
    "choices": ChoiceEncoded.of_plain,
}
"""By the kind of a `Plain`: what makes the encoded split of it."""


def get_task(name: str) -> Task:
    """The task of that name; an unknown one is an `UnknownNameError` that lists the rest."""
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]
