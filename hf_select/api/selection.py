"""A finished selection as Python sees it: the winner, the ranking, the price, and all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hf_select.api.frames import frame
from hf_select.records import LearningCurve

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel

T = TypeVar("T")


@dataclass(frozen=True)
class Winner:
    """The model that was chosen. `val` and `test` are raw values of `metric`, after `epochs`.

    `folder` holds the fine-tuned model: `from_pretrained(winner.folder)` loads it. `model` and
    `revision` are what it was fine-tuned from.
    """

    model: str
    revision: str
    val: float
    test: float
    metric: str
    folder: Path
    learning_rate: float | None = None
    epochs: float | None = None


@dataclass(frozen=True)
class Ranked:
    """One candidate, and what became of it. Scores are raw; None where nothing is known.

    `predicted` with its 95 % `interval`, and `p_best`, are what was expected of it when it was last
    looked at; `dropped_at` is in epochs. `num_parameters`, `size_bytes` and `license` are the
    model's, `cost_epochs` and `cost_seconds` what was spent on it. `status`: winner, finished,
    dropped, failed or untrained.
    """

    rank: int
    model: str
    val: float | None
    predicted: float | None
    interval: tuple[float, float] | None
    p_best: float | None
    status: str
    epochs: float
    dropped_at: float | None
    reason: str
    candidate: str = ""
    revision: str = ""
    learning_rate: float | None = None
    num_parameters: int | None = None
    size_bytes: int | None = None
    license: str | None = None
    cost_epochs: float | None = None
    cost_seconds: float | None = None


@dataclass(frozen=True)
class Cost:
    """What was spent: `epochs` trained in `seconds`; `proxy_epochs` for looks, by their time."""

    epochs: float
    seconds: float
    proxy_epochs: float


@dataclass(frozen=True, eq=False)
class Selection:
    """Both phases, done. `price`: the whole cost over that of training the winner alone.

    `target`, `task`, `metric` are what was understood; `ranking` has the winner first; `rungs` are
    the decisions, one by one, and `curves` the validation scores of each candidate, as they stand
    in the `document` (selection.json), which holds everything. `notes` say what of the data was
    inferred or made; `excluded`: model -> the limit that ruled it out. `efficiency`: what was
    measured of the finalists, as in the document: latency, size, who is on the Pareto front.
    """

    target: str
    task: str
    metric: str
    winner: Winner
    ranking: tuple[Ranked, ...]
    cost: Cost
    price: float
    curves: Mapping[str, LearningCurve]
    rungs: tuple[Mapping[str, Any], ...]
    folder: Path
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    efficiency: tuple[Mapping[str, Any], ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, document: Mapping[str, Any], folder: Path) -> Selection:
        """What a selection's document says. `folder`: where it lies."""
        won, curves = document["winner"], document["curves"]
        folder = Path(folder)
        return cls(
            target=document["target"],
            task=document["task"],
            metric=document["metric"],
            winner=Winner(
                **_known(Winner, {**won, "metric": document["metric"], "folder": folder})
            ),
            ranking=tuple(
                Ranked(**_known(Ranked, {**row, "rank": rank, "interval": _pair(row["interval"])}))
                for rank, row in enumerate(document["ranking"], 1)
            ),
            cost=Cost(**_known(Cost, document["cost"])),
            price=document["price"],
            curves={name: LearningCurve.from_dict(curve) for name, curve in curves.items()},
            rungs=tuple(document["rungs"]),
            folder=folder,
            notes=tuple(document["data"]["notes"]),
            excluded={row["model"]: row["reason"] for row in document.get("excluded") or ()},
            efficiency=tuple((document.get("efficiency") or {}).get("models", ())),
            document=document,
        )

    @classmethod
    def open(cls, folder: str | Path) -> Selection:
        """The selection that finished in that folder, whoever made it.

        Raises `InputError` if there is none.
        """
        from hf_select.pipeline.reporting import finished_document

        return cls.of(finished_document(folder), Path(folder))

    @property
    def report(self) -> Path:
        """The page that says why, as a file."""
        return self.folder / "report.html"

    def load(self) -> tuple[PreTrainedModel, Any]:
        """The fine-tuned winner, and its tokenizer or image processor.

        Raises `ModelError` where the folder doesn't hold it any more.
        """
        from hf_select.tasks import get_task

        task = get_task(self.task)
        return task.load_checkpoint(self.winner.folder)[0], task.load_processor(self.winner.folder)

    def to_pandas(self) -> pd.DataFrame:
        """The ranking: a row a candidate, by rank."""
        return frame((asdict(row) for row in self.ranking), index="rank")

    def curves_to_pandas(self) -> pd.DataFrame:
        """The learning curves: a row a candidate and evaluation point."""
        names = [f.name for f in fields(LearningCurve)]
        return frame(
            {"candidate": model, **dict(zip(names, point, strict=True))}
            for model, curve in self.curves.items()
            for point in zip(*(getattr(curve, name).tolist() for name in names), strict=True)
        )

    def efficiency_to_pandas(self) -> pd.DataFrame:
        """A row a finalist: its size, latency, score, and whether anything beats it in both."""
        return frame(self.efficiency)

    def __str__(self) -> str:
        won = self.winner
        return (
            f"{won.model} for {self.target}: test {won.metric} {won.test:.4f}, price of choosing "
            f"{self.price:.2f}; {won.folder}"
        )

    def _repr_html_(self) -> str:
        """The answer, the curves and the ranking, for a notebook."""
        from hf_select.api.html import selection_html

        return selection_html(self.document, self.folder)


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the dataclass has a field for: documents may hold more, older ones less."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}


def _pair(ends: Any) -> tuple[float, float] | None:
    return (ends[0], ends[1]) if ends else None
