"""Cells: one fine-tuning each, of a model on a benchmark. Which there are, which are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_select.catalog import Catalog
from hf_select.errors import InputError
from hf_select.records import DatasetEntry, ModelEntry, Recipe, RunKey, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.training.seeds import check_seed

RETRIED = ("failed", "timeout", "oom")
"""How a run can end that may end otherwise the next time."""


@dataclass(frozen=True)
class Cell:
    """One fine-tuning to do: what, from where (None = the Hub), and where the results go."""

    model: ModelEntry
    dataset: DatasetEntry
    recipe: Recipe
    seed: int
    results: Path
    model_location: Path | None = None
    dataset_location: Path | None = None
    checkpoint_every: float = 60.0  # seconds
    submitter: str = ""

    @property
    def key(self) -> RunKey:
        """What the run is recorded under."""
        return RunKey(
            model=self.model.repo_id,
            model_revision=self.model.revision,
            dataset=self.dataset.repo_id,
            dataset_revision=self.dataset.revision,
            config=self.dataset.config,
            recipe=self.recipe.digest(),
            seed=self.seed,
        )

    @property
    def work(self) -> Path:
        """The folder for working files."""
        return self.results / ".work"

    @property
    def scratch(self) -> Path:
        """The folder for this cell's checkpoints."""
        return self.work / "trials" / self.key.id

    @property
    def finished_file(self) -> Path:
        """Where its record waits until it is taken into the repository."""
        return self.work / "finished" / f"{self.key.id}.json"

    @property
    def lock_file(self) -> Path:
        """Held by the process that is training it."""
        return self.work / "locks" / self.key.id

    @property
    def needs_hub(self) -> bool:
        """Whether model or data must be fetched."""
        return self.model_location is None or self.dataset_location is None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `Cell.from_dict` reads them back."""
        values = asdict(self)
        values["recipe"] = self.recipe.to_dict()
        for name in ("results", "model_location", "dataset_location"):
            values[name] = None if values[name] is None else str(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """The inverse of `to_dict`, also after JSON has made lists of tuples."""
        values = dict(values)
        values["model"] = ModelEntry(**_tuples(values["model"]))
        values["dataset"] = DatasetEntry(**_tuples(values["dataset"]))
        values["recipe"] = Recipe.from_dict(values["recipe"])
        for name in ("results", "model_location", "dataset_location"):
            values[name] = None if values[name] is None else Path(values[name])
        return cls(**values)


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}


def check_arguments(
    *,
    seeds: Sequence[int] = (0,),
    jobs: int | None = None,
    timeout: float | None = None,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
) -> None:
    """Refuse values that no benchmark can run with, by `InputError`. Loads and writes nothing."""
    if not seeds:
        raise InputError("there are no seeds, but at least one is needed")
    for seed in seeds:
        check_seed(seed)
    twice = [seed for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise InputError(f"seed {twice[0]} is there twice, but each seed must be there once")
    if jobs is not None and jobs < 1:
        raise InputError(
            f"value of `jobs` is {jobs}, but must be at least 1",
            hint="leave it out for one per GPU, or per core",
        )
    if timeout is not None and not timeout > 0:
        raise InputError(
            f"value of `timeout` is {timeout:g}, but must be above 0 seconds",
            hint="leave it out for no limit",
        )
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"shard is {index}/{count}, but must be i/n with 0 <= i < n")
    if not checkpoint_every >= 0:
        raise InputError(
            f"value of `checkpoint_every` is {checkpoint_every:g}, but must be 0 seconds or more"
        )


def missing_cells(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    *,
    retry_failed: bool = False,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
    submitter: str = "",
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """The cells without a record: each model on each dataset of its task, for each seed.

    In an order that spreads over models and datasets, so that a part of the matrix is a fair
    sample of it. `retry_failed` takes those again that failed, timed out or ran out of memory.
    `shard` (i, n) keeps the i-th of n parts, split by key; `only` the cells whose keys have these
    ids, in their order.
    """
    check_arguments(seeds=seeds, shard=shard, checkpoint_every=checkpoint_every)
    cells = all_cells(
        catalog,
        repo,
        recipe,
        seeds,
        shard=shard,
        checkpoint_every=checkpoint_every,
        submitter=submitter,
        only=only,
    )
    known = recorded(repo, retry_failed)
    return [cell for cell in cells if cell.key.id not in known]


def all_cells(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    *,
    shard: tuple[int, int] = (0, 1),
    checkpoint_every: float = 60.0,
    submitter: str = "",
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """As `missing_cells`, with those that have a record."""
    every = _every_cell(catalog, repo, recipe, seeds, checkpoint_every, submitter)
    return _sharded(_only(every, only), shard)


def seconds_an_epoch(runs: Sequence[RunRecord]) -> dict[tuple[str, str, str], float]:
    """(model, data set, config) -> what an epoch took there, the fastest of the runs."""
    found: dict[tuple[str, str, str], float] = {}
    for run in runs:
        if not len(run.curve) or not run.curve.epochs[-1] > 0:
            continue
        seconds = float(run.curve.seconds[-1]) / float(run.curve.epochs[-1])
        if seconds == seconds:
            place = (run.key.model, run.key.dataset, run.key.config)
            found[place] = min(seconds, found.get(place, seconds))
    return found


def check_timeout(cells: Sequence[Cell], runs: Sequence[RunRecord], timeout: float) -> None:
    """Refuse a time-out in which some cell wouldn't get through one epoch, by the record's runs.

    An estimate: the record may be of another machine, of which the fastest is believed. Raises
    `InputError` with the slowest cell.
    """
    known = seconds_an_epoch(runs)
    places = {(c.key.model, c.key.dataset, c.key.config): c for c in cells}
    least = min(known.values(), default=0.0)  # what nobody has run takes no less than anything has
    late = [(known.get(p, least), p) for p in places if known.get(p, least) > timeout]
    if late:
        seconds, (model, dataset, _) = max(late)
        others = len(late) - 1
        more = f" (and {others} more such cell{'s' * (others > 1)})" if others else ""
        raise InputError(
            f"a timeout of {timeout:g} s is shorter than an epoch of {model} on {dataset}{more}: "
            f"an estimated {seconds:.3g} s, by the record",
            hint="allow more time, or leave the model out",
        )


def _every_cell(
    catalog: Catalog,
    repo: ResultsRepo,
    recipe: Recipe,
    seeds: Sequence[int],
    checkpoint_every: float,
    submitter: str,
) -> list[Cell]:
    cells = []
    for seed in seeds:
        for shift in range(len(catalog.datasets)):
            for i, model in enumerate(catalog.models):
                dataset = catalog.datasets[(i + shift) % len(catalog.datasets)]
                if model.task == dataset.task:
                    cells.append(
                        Cell(
                            model=model,
                            dataset=dataset,
                            recipe=recipe,
                            seed=seed,
                            results=repo.path.absolute(),
                            model_location=absolute(catalog.location(model.repo_id)),
                            dataset_location=absolute(catalog.location(dataset.repo_id)),
                            checkpoint_every=checkpoint_every,
                            submitter=submitter,
                        )
                    )
    return cells


def _only(cells: list[Cell], ids: Sequence[str] | None) -> list[Cell]:
    if ids is None:
        return cells
    by_id = {cell.key.id: cell for cell in cells}
    return [by_id[name] for name in ids if name in by_id]


def _sharded(cells: list[Cell], shard: tuple[int, int]) -> list[Cell]:
    index, count = shard
    return [cell for cell in cells if int(cell.key.id, 16) % count == index]


def recorded(repo: ResultsRepo, retry_failed: bool) -> set[str]:
    """Ids of the keys that have a run; with `retry_failed` only those that can't end otherwise."""
    return {run.key.id for run in repo.runs() if not (retry_failed and run.status in RETRIED)}


def absolute(path: Path | None) -> Path | None:
    """The path from the root, where there is one."""
    return None if path is None else path.absolute()
