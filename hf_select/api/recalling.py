"""`recall`: phase one, from Python."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.api.frames import frame
from hf_select.api.listening import Progress, heard
from hf_select.api.targets import Results, Target, given, target_of, where
from hf_select.records import Novelty, Rejected

if TYPE_CHECKING:
    import pandas as pd

    from hf_select.records import RecallResult


@dataclass(frozen=True)
class Recalled:
    """One model that is worth fine-tuning, and why.

    `predicted`, `spread` (its standard deviation) and `prior` are in skill: 0 is the trivial
    predictor, 1 is perfect. `p_best`: the chance that it is the best of all. `proxies`: its raw
    proxy scores on the target. `evidence`: what each source adds to the prediction. NaN where the
    method says nothing of the kind.
    """

    rank: int
    model: str
    revision: str
    predicted: float
    spread: float
    prior: float
    p_best: float
    cluster: int | None
    reason: str
    score: float = float("nan")
    proxies: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recall:
    """Phase one: the candidates, best first, and what is to be thought of them.

    `nearest`: benchmarks of the record that are most like the target, with their likeness in
    [-1, 1]. `novelty` says whether the target is unlike all of them (None: nothing can be said).
    `outside`: the chance that the best model is not among the candidates. `skipped`: model -> why
    it couldn't be looked at; `excluded`: model -> the limit that ruled it out.
    """

    target: str
    task: str
    method: str
    candidates: tuple[Recalled, ...]
    nearest: Mapping[str, float]
    novelty: Novelty | None
    outside: float
    looked: int
    skipped: Mapping[str, str]
    excluded: Mapping[str, str]
    seconds: float

    @classmethod
    def of(cls, found: RecallResult, excluded: Iterable[Rejected] = ()) -> Recall:
        """What the pipeline found."""
        return cls(
            target=found.target,
            task=found.task,
            method=found.method,
            candidates=tuple(
                Recalled(
                    rank=rank,
                    model=c.model,
                    revision=c.revision,
                    predicted=c.predicted,
                    spread=c.spread,
                    prior=c.prior,
                    p_best=c.p_best,
                    cluster=c.cluster if c.cluster >= 0 else None,
                    reason=c.reason,
                    score=c.score,
                    proxies=dict(c.proxies),
                    evidence=dict(c.evidence),
                )
                for rank, c in enumerate(found.candidates, 1)
            ),
            nearest=dict(found.nearest_benchmarks),
            novelty=found.novelty,
            outside=found.outside,
            looked=found.looked,
            skipped={bad.repo_id: bad.reason for bad in found.skipped},
            excluded={bad.repo_id: bad.reason for bad in excluded},
            seconds=found.seconds,
        )

    def to_pandas(self) -> pd.DataFrame:
        """A row a candidate, by rank; a column `proxy:<name>` for each proxy score."""
        rows = []
        for candidate in self.candidates:
            row = asdict(candidate)
            scores, _ = row.pop("proxies"), row.pop("evidence")
            rows.append({**row, **{f"proxy:{name}": value for name, value in scores.items()}})
        return frame(rows, index="rank")

    def _repr_html_(self) -> str:
        """The candidates as a table, for a notebook."""
        from hf_select.api.html import recall_html

        return recall_html(self)


def recall(
    target: Target,
    results: Results,
    *,
    top: int | None = None,
    method: str | None = None,
    proxy: str | Sequence[str] | None = None,
    looks: int | None = None,
    preset: str | None = None,
    threshold: float | None = None,
    catalog: str | Path | None = None,
    max_params: int | str | None = None,
    max_memory: int | str | None = None,
    license: str | Collection[str] = (),
    language: str | Collection[str] = (),
    architecture: str | Collection[str] = (),
    exclude: str | Collection[str] = (),
    task: str | None = None,
    config: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    choice_columns: Sequence[str] | None = None,
    metric: str | None = None,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    name: str | None = None,
    seed: int = 0,
    progress: Progress = False,
) -> Recall:
    """Rank the models of a record for the target, and say why; nothing is trained.

    Only train rows of the target are looked at. The arguments are those of `select`.

    Raises:
        InputError: bad input, before any model is looked at.

    >>> recall("reviews.csv", "demo").to_pandas()                         # doctest: +SKIP
    """
    from hf_select import pipeline

    reading = given(
        {
            "task": task,
            "config": config,
            "text_column": text_column,
            "text_pair_column": text_pair_column,
            "image_column": image_column,
            "label_column": label_column,
            "choice_columns": choice_columns,
            "metric": metric,
            "train": train,
            "validation": validation,
            "test": test,
            "encoding": encoding,
            "delimiter": delimiter,
            "header": header,
            "name": name,
        }
    )
    with heard(progress) as say, target_of(target, reading) as rows:
        found = pipeline.recall(
            rows,
            where(results),
            top=top,
            method=method,
            proxy=proxy,
            looks=looks,
            preset=preset,
            threshold=threshold,
            catalog=catalog,
            max_params=max_params,
            max_memory=max_memory,
            license=license,
            language=language,
            architecture=architecture,
            exclude=exclude,
            seed=seed,
            say=say,
        )
    return Recall.of(found.result, found.excluded)
