"""What every stage starts with: open a record, check names, read a target, take a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hf_select.errors import (
    InputError,
    MissingError,
    RecordError,
    UnknownNameError,
)
from hf_select.files import is_writable
from hf_select.locations import (
    demo_folder,
    find_data,
)
from hf_select.progress import stage
from hf_select.records import (
    Clustering,
    CurveSet,
    DatasetEntry,
    ModelEntry,
    PerformanceMatrix,
    ProxyRow,
    ProxyScores,
    Recipe,
    Rung,
    RunRecord,
    check_task_name,
)
from hf_select.results.card import check_card
from hf_select.results.matrix import dataset_name
from hf_select.results.repo import ResultsRepo

if TYPE_CHECKING:
    from hf_select.clustering.growth import Drift
    from hf_select.tasks.data import TargetData

PRESETS = ("paper",)
Say = Callable[[str], None]
OnRung = Callable[[Rung, str], None]
"""What is told of every decision, with the name of the metric of its scores."""


def silent(_: str) -> None:
    """The listener of somebody who wants no messages."""


class Record(Protocol):
    """What the stages read of a record, whether it is a folder or on the Hub.

    `ResultsRepo` and `Snapshot` say what each of these gives and raises.
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def tasks(self) -> list[str]:
        """The tasks that it holds anything of."""

    def recipes(self, task: str) -> dict[str, int]:
        """Recipe digest -> number of successful runs, most first."""

    def recipe(self, digest: str) -> Recipe | None:
        """What a recipe digest means."""

    def sizes(self, task: str) -> dict[str, int]:
        """Model -> number of parameters, of all that have an entry."""

    def models(
        self, task: str | None = None, names: Collection[str] | None = None
    ) -> list[ModelEntry]:
        """Model entries; with `names` only those are read."""

    def datasets(self, task: str | None = None) -> list[DatasetEntry]:
        """Dataset entries."""

    def runs(
        self, task: str, *, recipe: str | None = None, status: str | None = None
    ) -> list[RunRecord]:
        """One run a key, failed ones too; reads all of them."""

    def matrix(
        self, task: str, *, recipe: str | None = None, metric: str | None = None
    ) -> PerformanceMatrix:
        """The performance matrix."""

    def clustering(self, task: str) -> Clustering | None:
        """The clusters of `matrix(task)` that were made when the record was compacted."""

    def last_clustering(self, task: str) -> Clustering | None:
        """Those clusters, even where the matrix has changed since."""

    def curves(
        self,
        task: str,
        *,
        recipe: str | None = None,
        metric: str | None = None,
        models: Collection[str] | None = None,
    ) -> CurveSet:
        """The learning curves; with `models` only theirs are read."""

    def proxies(self, task: str | None = None, proxy: str | None = None) -> list[ProxyRow]:
        """Recorded proxy scores."""


@dataclass(frozen=True)
class RecordFacts:
    """Which record was read, and how much of it came over the network.

    `repo` and `revision` (40 hex digits) are those of a record on the Hub, None of a folder.
    """

    name: str
    repo: str | None = None
    revision: str | None = None
    bytes: int = 0
    requests: int = 0


def open_results(results: str | Path) -> Record:
    """A record to read: a folder, the shipped one for the word `demo`, or OWNER/NAME[@REVISION].

    One on the Hub is pinned to a commit and read in parts, as they are needed. Raises
    `RecordError` if there is none, and what `HubRecord` raises.
    """
    from hf_select.hub.record.remote import HubRecord, split_id

    found = split_id(results) if isinstance(results, str) else None
    if found is None or Path(results).exists():
        return open_folder(results)
    from hf_select.hub.client import Hub
    from hf_select.hub.record.contents import of_another_type

    try:
        return HubRecord(Hub(), *found)
    except MissingError as error:
        if error.missing != "repository":
            raise
        other = of_another_type(Hub(), found[0])
        if other is not None:
            raise other from error
        raise RecordError(
            f"there is no folder {results}, and no results dataset of that name on the Hub that "
            "this token can see",
            hint="look at the name; `hf auth login` for a private one",
        ) from error


def open_folder(results: str | Path) -> ResultsRepo:
    """The results repository of a folder, or the shipped one for the word `demo`."""
    return ResultsRepo.open(results_folder(results))


def results_folder(results: str | Path) -> Path:
    """The folder of a record, or of the shipped one for the word `demo`; it is not read."""
    path = demo_folder() / "results" if str(results) == "demo" else Path(results)
    if not path.exists():
        from hf_select.hub.record.remote import split_id

        on_hub = split_id(results) if isinstance(results, str) else None
        hint = "make one with `hf-select benchmark` or `hf-select import`, or use `demo`"
        if on_hub is not None:  # where one on the Hub would do, nobody asks for its folder
            hint = f"one on the Hub, pull first: `hf-select pull {results} --results DIR`"
        raise RecordError(f"no results repository at {path}", hint=hint)
    return path


def record_facts(record: Record) -> RecordFacts:
    """Which record it is, and what has been read of it so far."""
    from hf_select.hub.record.remote import HubRecord

    if isinstance(record, HubRecord):
        read = record.reading
        return RecordFacts(record.name, read.repo_id, read.revision, read.bytes, read.requests)
    shipped = isinstance(record, ResultsRepo) and record.path == demo_folder() / "results"
    # The folder's own name is enough: where it lies is nobody's business.
    return RecordFacts("demo" if shipped else Path(record.name).resolve().name)


def tell_reading(record: Record, say: Say) -> None:
    """Say what was read of a record on the Hub, and what of it could not be seen."""
    from hf_select.hub.record.remote import HubRecord

    if not isinstance(record, HubRecord):
        return
    count, more = record.waiting()
    if count:
        shards = f"{'more than ' * more}{count} shard{'s' * (count > 1 or more)}"
        say(f"not read: {shards} in the inbox of {record.name}, until the next `hf-select compact`")
    say(str(record.reading))


def tell_left_out(record: Record, matrix: PerformanceMatrix, say: Say) -> None:
    """Say which models have runs by other recipes only: a matrix holds those of one."""
    if len(record.recipes(matrix.task)) < 2:
        return
    others = sorted(set(record.sizes(matrix.task)) - set(matrix.models))
    if others:
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        say(
            f"left out: {len(others)} model{'s' * (len(others) != 1)} of {record.name} ({named}) "
            f"without a run by the recipe {matrix.recipe} that most have; recipes aren't mixed"
        )


def check_own_results(results: str | Path) -> None:
    """Refuse to write to the shipped record, which `demo` stands for wherever it is read."""
    if str(results) == "demo":
        raise InputError(
            "the record `demo` ships with the package and can't be written to",
            hint="name a folder with --results",
        )


def check_writable(results: str | Path) -> None:
    """Refuse to write to the shipped record, one on the Hub, one with a broken card, or read-only.

    Raises `InputError` (`RecordError` for what is wrong with the folder).
    """
    from hf_select.hub.record.remote import split_id

    check_own_results(results)
    path = Path(results)
    found = split_id(results) if isinstance(results, str) else None
    if found is not None and not path.exists() and not path.parent.is_dir():
        raise InputError(
            f"{results} is no folder, and a record on the Hub isn't written to directly",
            hint=f"`hf-select pull {found[0]} --results DIR` makes a folder of it; for a new "
            f"folder of that name say ./{results}",
        )
    check_card(path)
    for folder in (path, path / ".work", path / "inbox"):
        if not (path.is_file() or is_writable(folder)):  # of a file more is said when it is opened
            raise RecordError(
                f"{folder} can't be written to", hint="name another folder with --results"
            )


def check_preset(preset: str | None) -> bool:
    """True for the paper's preset; an unknown name is an error."""
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    return preset == "paper"


def check_task(repo: Record, task: str) -> None:
    """Refuse a task that the record has no runs of."""
    check_task_name(task)
    have = repo.tasks()
    if task not in have:
        raise RecordError(
            f"{repo.name} holds no {task} runs", hint=f"it holds: {', '.join(have) or 'nothing'}"
        )


@stage("reading the target")
def as_target(target: str | Path | TargetData, options: Mapping[str, Any]) -> TargetData:
    """A target that is loaded already, or the source loaded with the options.

    A Hub data set, `owner/name[/config][@revision]`, is read at one commit.
    """
    from hf_select.tasks.data import TargetData, load_target

    if isinstance(target, TargetData):
        return target
    return load_target(find_data(target, config=options.get("config")), **options)


def columns_of(target: TargetData, repo: Record) -> list[str]:
    """The record's columns that are the target itself: by content, or by its Hub name.

    So are copies of what that Hub data set held at another commit.
    """
    mine = [
        name
        for name, entry in _named(repo, target.task)
        if target.fingerprint in (entry.fingerprint, entry.revision) or name == target.name
    ]
    twins = twin_columns(repo, target.task)
    return list(dict.fromkeys([*mine, *(twin for name in mine for twin in twins.get(name, ()))]))


def twin_columns(repo: Record, task: str) -> dict[str, tuple[str, ...]]:
    """Column -> the other columns with the same content, of those that have any."""
    held: dict[str, dict[str, None]] = {}
    for name, entry in _named(repo, task):
        if entry.fingerprint:
            held.setdefault(entry.fingerprint, {})[name] = None
    found: dict[str, dict[str, None]] = {}
    for names in held.values():
        for name in names:
            found.setdefault(name, {}).update(dict.fromkeys(n for n in names if n != name))
    return {name: tuple(others) for name, others in found.items() if others}


def with_rows(curves: CurveSet, repo: Record, task: str) -> CurveSet:
    """The curves with the rows that scores on each dataset rest on, where the entries say so."""
    splits = {name: entry.splits for name, entry in _named(repo, task)}

    def rows(split: str) -> dict[str, int]:
        return {name: sizes[split] for name, sizes in splits.items() if sizes.get(split)}

    return replace(curves, val_rows=rows("validation"), test_rows=rows("test"))


LEARNT_FROM = 300
"""Models whose curves a forecast learns from, at most: those of a larger record tell no more."""


def curves_to_learn_from(
    record: Record, task: str, candidates: Sequence[str], known: Sequence[str]
) -> CurveSet:
    """The curves of the candidates, and of other models of the record while there is room."""
    others = [name for name in known if name not in set(candidates)]
    room = max(0, LEARNT_FROM - len(candidates))
    step = -(-len(others) // room) if room else 0
    wanted = [*candidates, *(others[::step] if step else ())]
    return with_rows(record.curves(task, models=wanted), record, task)


def _named(repo: Record, task: str) -> list[tuple[str, DatasetEntry]]:
    """The dataset entries, each with its name in a matrix."""
    return [(dataset_name(e.repo_id, e.config), e) for e in repo.datasets(task)]


def recorded_proxies(repo: Record, task: str) -> dict[tuple[str, str], ProxyScores]:
    """(proxy, dataset) -> the proxy scores that the record holds.

    As in a matrix, those of several commits of a dataset aren't mixed: the one on which most models
    have a score counts. Of several commits of a model the one added last does, but a score counts
    before none.
    """
    every: dict[str, dict[str, list[ProxyRow]]] = {}
    for row in repo.proxies(task):
        commits = every.setdefault(dataset_name(row.dataset, row.config), {})
        commits.setdefault(row.dataset_revision, []).append(row)
    rows: dict[tuple[str, str], dict[str, ProxyRow]] = {}

    def models_on(commit: list[ProxyRow]) -> int:
        return len({row.model for row in commit if np.isfinite(row.value)})

    for column, commits in every.items():
        for row in max(commits.values(), key=models_on):
            found = rows.setdefault((row.proxy, column), {})
            if row.model not in found or np.isfinite(row.value):
                found[row.model] = row
    return {
        (proxy, dataset): ProxyScores(
            proxy,
            tuple(found),
            np.array([row.value for row in found.values()]),
            {},
            float(np.nansum([row.seconds for row in found.values()])),
        )
        for (proxy, dataset), found in rows.items()
    }


def choose_recipe(file: Path | None, values: Mapping[str, Any]) -> Recipe | None:
    """The recipe of a JSON file with single values replaced; None if neither was given.

    The keys of `values` are those of the command line (`batch_size` is the global one).
    """
    if file is None and not values:
        return None
    settings: dict[str, Any] = {} if file is None else _read_recipe(file)
    Recipe.from_dict(settings)  # before anything is put on top of it
    names = {"batch_size": "global_batch_size"}
    return Recipe.from_dict(
        settings | {names.get(key, key): value for key, value in values.items()}
    )


def choose_recipes(
    file: Path | None, values: Mapping[str, Any]
) -> tuple[Recipe | None, tuple[float, ...]]:
    """As `choose_recipe`, and the learning rates to try, where the file lists several."""
    if file is None:
        return choose_recipe(None, values), ()
    settings = _read_recipe(file)
    rates = settings.get("learning_rate") if isinstance(settings, Mapping) else None
    if not isinstance(rates, list):
        return choose_recipe(file, values), ()
    if not rates:
        raise InputError(f"{file}: the list of learning rates is empty")
    each = [Recipe.from_dict({**settings, "learning_rate": rate}) for rate in rates]
    names = {"batch_size": "global_batch_size"}
    given = {names.get(key, key): value for key, value in values.items()}
    recipe = Recipe.from_dict({**settings, "learning_rate": rates[0], **given})
    return recipe, tuple(one.learning_rate for one in each)


def _read_recipe(file: Path) -> Any:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not a recipe: {error}") from error


def record_recipe(repo: Record, task: str) -> Recipe:
    """The recipe that most runs of the record used, so that its curves say something here."""
    counts = repo.recipes(task)
    for found in sorted(counts, key=lambda name: -counts[name]):
        recipe = repo.recipe(found)
        if recipe is not None:
            return recipe
    return Recipe()


class Grouping:
    """What groups the models of a record in a compaction, and keeps the ids of its clusters.

    `drift`: task -> how the clusters differ from those of the snapshot before; a task that had
    none, or that wasn't grouped anew, is left out. A change is said.
    """

    def __init__(self, say: Say = silent) -> None:
        self.drift: dict[str, Drift] = {}
        self._say = say

    def __call__(self, matrix: PerformanceMatrix, old: Clustering | None = None) -> Clustering:
        """The clusters of a matrix; `InputError` where there is nothing to group."""
        from hf_select.clustering.algorithms import cluster_models
        from hf_select.clustering.growth import stable_ids

        found = cluster_models(matrix)
        if old is None:
            return found
        stable = stable_ids(found, old)
        self.drift[matrix.task] = stable.drift
        said = drift_in_words(stable.drift)
        if said:
            self._say(f"{matrix.task}: {said}")
        return stable.clustering


def drift_in_words(drift: Drift) -> str:
    """What has changed between two groupings; "" if nothing has."""
    words = []
    if drift.changed:
        words.append(
            f"{drift.changed} of {drift.common} models changed their cluster "
            f"(adjusted Rand index {drift.rand:.2f})"
        )
    counts = (
        (drift.new, "new model", "new models"),
        (drift.gone, "model gone", "models gone"),
        (drift.opened, "new cluster", "new clusters"),
        (drift.closed, "cluster gone", "clusters gone"),
    )
    words += [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
    return ", ".join(words)
