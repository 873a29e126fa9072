"""What a contribution must be, row by row, before it becomes a part of a record.

Each rule is a function `rule(row, known) -> str | None`: why the row is refused. `RULES` lists
them by the kind of row. A file that can't be read at all is refused whole (see `schema.decode`);
of any other file the good rows stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hf_select.metrics import get_metric
from hf_select.records import (
    TASK_KINDS,
    DatasetEntry,
    ModelEntry,
    ProxyRow,
    Recipe,
    RunRecord,
)
from hf_select.results.card import card_problems
from hf_select.results.foreign import IMPORTED
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import SAFE_NAME, Row, Shard
from hf_select.results.state import Disagreement, State

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST = 366 * 24 * 3600.0
"""No fine-tuning takes more seconds than that: a year."""
AHEAD = timedelta(days=1)
"""How far a contributor's clock may be ahead of ours."""


# ---------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Refusal:
    """A row of a contribution that can't be used, and why; `row` None means the whole file."""

    file: str
    row: int | None
    reason: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file} row {self.row}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class Report:
    """What `validate` found.

    `files` and `rows` count what was contributed; `problems` are what is wrong with the record
    itself; `quarantined` what is wrong with the files that compactions have set aside.
    """

    files: int = 0
    rows: int = 0
    refused: tuple[Refusal, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    problems: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()

    @property
    def accepted(self) -> int:
        """Contributed rows that can be used."""
        return self.rows - sum(refusal.row is not None for refusal in self.refused)

    @property
    def ok(self) -> bool:
        """Whether all can be used, and no two scores of a run are far apart."""
        flagged = any(clash.flagged for clash in self.disagreements)
        return not (self.refused or self.problems or flagged)

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return {
            "ok": self.ok,
            "files": self.files,
            "rows": self.rows,
            "accepted": self.accepted,
            "refused": [asdict(refusal) for refusal in self.refused],
            "disagreements": [_clash(clash) for clash in self.disagreements],
            "problems": list(self.problems),
            "quarantined": list(self.quarantined),
        }


def _clash(clash: Disagreement) -> dict[str, Any]:
    return {
        "model": clash.key.model,
        "dataset": clash.key.dataset,
        "config": clash.key.config,
        "seed": clash.key.seed,
        "recipe": clash.key.recipe,
        "scores": [{"test": run.test, "submitter": run.submitter} for run in clash.runs],
        "flagged": clash.flagged,
    }


# ------------------------------------------------------------------------------ the way in


def validate(
    results: str | Path | ResultsRepo,
    *,
    accept_new_recipes: bool = False,
    any_submitter: bool = False,
    files: Collection[str] | None = None,
) -> Report:
    """Judge every row of the inbox against the record; nothing is written.

    `accept_new_recipes` takes described recipes that the record doesn't use yet;
    `any_submitter` takes rows that name somebody else than the folder that they lie in. With
    `files` (paths inside the repository, those of a pull request) only these are reported; what
    else lies in the inbox still counts as known if it is good. Raises `RecordError` for what is no
    results repository, or one of a newer schema. A card that a compaction would refuse is a problem
    of the record's.
    """
    repo = results if isinstance(results, ResultsRepo) else ResultsRepo(results)
    damaged = repo.damaged()
    if damaged:  # what is known can't be told, so no contribution is judged by it
        return Report(problems=tuple(damaged), quarantined=tuple(repo.quarantined()))
    report = Refuser(
        repo, accept_new_recipes=accept_new_recipes, any_submitter=any_submitter
    ).validate(files)
    if files is None:  # a contribution isn't to blame for the card that is there
        report = replace(report, problems=(*report.problems, *card_problems(repo.path)))
    return report


class Refuser:
    """For `ResultsRepo.compact`: says why a row can't be folded, or None if it can.

    It reads the repository when it is asked of a row for the first time. That is inside the
    compaction's lock, so all that is folded is known to it, whoever may have added rows meanwhile.
    """

    def __init__(
        self,
        repo: ResultsRepo,
        *,
        accept_new_recipes: bool = False,
        any_submitter: bool = False,
    ) -> None:
        self._repo = repo
        self._accept_new_recipes = accept_new_recipes
        self._any_submitter = any_submitter
        self._read: tuple[State, list[tuple[str, Shard | str]], Known] | None = None
        self._asked = False

    def __call__(self, row: Row) -> str | None:
        """Which row it is and why it is refused."""
        if not self._asked:
            self._asked, self._read = True, None
        why = judge(row, self._parts()[2])
        return None if why is None else f"{label(row)}: {why}"

    def validate(self, files: Collection[str] | None = None) -> Report:
        """What `validate` says of the repository as it was when it was last read."""
        state, inbox, known = self._parts()
        shards = [(name, shard) for name, shard in inbox if files is None or name in files]
        refused: list[Refusal] = []
        rows = 0
        everything, touched = State(), set()
        for row in _rows_of(state):
            everything.add(row)
        for name, shard in inbox:
            reported = files is None or name in files
            found = _refusals(name, shard, known)
            refused += found if reported else []
            if isinstance(shard, str):
                continue
            rows += (len(shard.rows) + len(shard.problems)) * reported
            bad = {refusal.row for refusal in found}
            for number, row in zip(shard.numbers, shard.rows, strict=True):
                if number not in bad:
                    everything.add(row)
                    if reported and isinstance(row, RunRecord):
                        touched.add(row.key)
        clashes = everything.disagreements()
        return Report(
            files=len(shards),
            rows=rows,
            refused=tuple(refused),
            disagreements=tuple(c for c in clashes if files is None or c.key in touched),
            problems=tuple(_problems(state)) if files is None else (),
            quarantined=tuple(self._repo.quarantined()) if files is None else (),
        )

    def _parts(self) -> tuple[State, list[tuple[str, Shard | str]], Known]:
        if self._read is None:
            state, inbox = self._repo.parts()
            known = Known.of(
                state,
                inbox,
                accept_new_recipes=self._accept_new_recipes,
                any_submitter=self._any_submitter,
            )
            self._read = state, inbox, known
        return self._read


def _refusals(name: str, shard: Shard | str, known: Known) -> list[Refusal]:
    """The rows of one shard that can't be used, in their order."""
    if isinstance(shard, str):
        return [Refusal(name, None, shard)]
    count = len(shard.rows) + len(shard.problems)
    unread = [number for number in range(count) if number not in set(shard.numbers)]
    found = [
        Refusal(name, number, problem.removeprefix(f"row {number}: "))
        for number, problem in zip(unread, shard.problems, strict=True)
    ]
    for number, row in zip(shard.numbers, shard.rows, strict=True):
        why = judge(row, known)
        if why is not None:
            found.append(Refusal(name, number, f"{label(row)}: {why}"))
    return sorted(found, key=lambda refusal: refusal.row or 0)


def _problems(state: State) -> list[str]:
    """What is wrong with rows that are in the snapshot; many of one kind become one line."""
    known = Known.of(state, (), accept_new_recipes=True, any_submitter=True)
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for row in _rows_of(state):
        why = judge(row, known)
        if why is not None:
            counts[why] += 1
            first.setdefault(why, label(row))
    said = [
        f"{first[why]}: {why}" + (f" (and {count - 1} more rows)" if count > 1 else "")
        for why, count in counts.items()
    ]
    return [*state.problems, *said]


def _rows_of(state: State) -> Iterable[Row]:
    yield from state.entries.values()
    for variants in state.runs.values():
        yield from variants


def label(row: Row) -> str:
    """What a row is about, in a few words."""
    if isinstance(row, RunRecord):
        return f"{row.key.model} on {row.key.dataset} seed {row.key.seed}"
    if isinstance(row, ProxyRow):
        return f"{row.proxy} of {row.model} on {row.dataset}"
    return row.digest() if isinstance(row, Recipe) else row.repo_id


# -------------------------------------------------------------- what rows are judged against


@dataclass(frozen=True)
class Known:
    """All that a record and a contribution say about models, datasets and recipes.

    `used` are the recipes of the record's own measured runs, by task; `misplaced` marks runs that
    lie in another submitter's folder than they name.
    """

    recipes: Mapping[str, Recipe]
    used: Mapping[str, Collection[str]]
    models: dict[tuple[str, str, str], ModelEntry] = field(default_factory=dict)
    datasets: dict[tuple[str, str, str, str], DatasetEntry] = field(default_factory=dict)
    misplaced: frozenset[tuple] = frozenset()
    accept_new_recipes: bool = False

    @classmethod
    def of(
        cls,
        state: State,
        inbox: Sequence[tuple[str, Shard | str]],
        *,
        accept_new_recipes: bool = False,
        any_submitter: bool = False,
    ) -> Known:
        """From a record and its inbox, oldest first; bad entries count for nothing."""
        shards = [(name, shard) for name, shard in inbox if isinstance(shard, Shard)]
        used: dict[str, set[str]] = {}
        for variants in state.runs.values():
            for run in variants:
                if run.origin == "measured":
                    used.setdefault(run.task, set()).add(run.key.recipe)
        recipes = state.recipes()
        for _, shard in shards:
            recipes |= {row.digest(): row for row in shard.rows if isinstance(row, Recipe)}
        misplaced = frozenset() if any_submitter else _misplaced(shards)
        known = cls(recipes, used, misplaced=misplaced, accept_new_recipes=accept_new_recipes)
        for entry in state.entries.values():
            known._learn(entry)
        for _, shard in shards:
            for row in shard.rows:
                if isinstance(row, ModelEntry | DatasetEntry) and judge(row, known) is None:
                    known._learn(row)
        return known

    def _learn(self, entry: Any) -> None:
        """Take an entry in; what is known already stays, so that nobody can redefine it."""
        if isinstance(entry, ModelEntry):
            self.models.setdefault((entry.task, entry.repo_id, entry.revision), entry)
        if isinstance(entry, DatasetEntry):
            place = (entry.task, entry.repo_id, entry.config, entry.revision)
            self.datasets.setdefault(place, entry)


def _misplaced(shards: Iterable[tuple[str, Shard]]) -> frozenset[tuple]:
    """Marks of the runs that no folder of their own submitter holds."""
    own: set[tuple] = set()
    foreign: set[tuple] = set()
    for name, shard in shards:
        for row in shard.rows:
            if isinstance(row, RunRecord):
                (own if row.submitter == Path(name).parent.name else foreign).add(_mark(row))
    return frozenset(foreign - own)


def _mark(run: RunRecord) -> tuple:
    return (run.key, run.status, repr(run.test), run.submitter, run.created)


# ---------------------------------------------------------------------------------- the rules


def judge(row: Row, known: Known) -> str | None:
    """Why the row can't become a part of the record, or None if it can."""
    reasons = (rule(row, known) for rule in RULES[type(row)])
    return next((reason for reason in reasons if reason is not None), None)


def _run_is_whose_it_says(run: RunRecord, known: Known) -> str | None:
    if not SAFE_NAME.fullmatch(run.submitter):
        return f"submitter is {run.submitter!r}, but must be letters, digits, '.', '_' and '-'"
    if _mark(run) in known.misplaced:
        return f"submitter is {run.submitter!r}, but it lies in somebody else's folder"
    return None


def _run_has_an_origin(run: RunRecord, known: Known) -> str | None:
    kind, _, file = run.origin.partition(":")
    if run.origin != "measured" and (kind != "imported" or not file):
        return f"origin is {run.origin!r}, but must be 'measured' or 'imported:<file>'"
    return None


def _run_has_a_seed(run: RunRecord, known: Known) -> str | None:
    return f"seed is {run.key.seed}, but must be 0 or more" if run.key.seed < 0 else None


def _run_has_known_commits(run: RunRecord, known: Known) -> str | None:
    key, imported = run.key, run.origin != "measured"
    for name in ("model_revision", "dataset_revision"):
        revision = getattr(key, name)
        if not COMMIT.fullmatch(revision):
            return f"{name} is {revision!r}, but must be 40 hex digits"
        if (revision == IMPORTED) != imported:
            return (
                f"{name} is {revision!r}, which is for imported results only"
                if not imported
                else f"{name} is {revision!r}, but imported results have none: {IMPORTED!r}"
            )
    if (run.task, key.model, key.model_revision) not in known.models:
        return _no_entry("model", key.model, key.model_revision)
    if (run.task, key.dataset, key.config, key.dataset_revision) not in known.datasets:
        return _no_entry("dataset", key.dataset, key.dataset_revision)
    return None


def _no_entry(kind: str, name: str, revision: str) -> str:
    return f"nothing is known of {kind} {name!r} at commit {revision}; its entry must come along"


def _run_has_a_known_recipe(run: RunRecord, known: Known) -> str | None:
    recipe = run.key.recipe
    if run.origin != "measured":
        good = recipe.startswith("imported-")
        return None if good else f"recipe of imported results is {recipe!r}, not 'imported-...'"
    if recipe not in known.recipes:
        return f"recipe {recipe!r} is described nowhere; its settings must come along"
    used = known.used.get(run.task, ())
    if used and recipe not in used and not known.accept_new_recipes:
        return (
            f"recipe is {recipe!r}, but the record's {run.task} runs use "
            f"{', '.join(repr(name) for name in sorted(used))}; a maintainer can accept a new one"
        )
    return None


def _run_has_its_datasets_metric(run: RunRecord, known: Known) -> str | None:
    key = run.key
    entry = known.datasets[run.task, key.dataset, key.config, key.dataset_revision]
    if run.metric != entry.metric:
        return f"metric is {run.metric!r}, but {key.dataset} is scored by {entry.metric!r}"
    return None


def _run_has_possible_scores(run: RunRecord, known: Known) -> str | None:
    # Ranges were looked at when the row was read; those of some metrics end in infinity.
    if np.isinf(run.test):
        return f"test score is {run.test}"
    return _possible("baseline", run.baseline, run.metric)


def _run_has_a_sane_curve(run: RunRecord, known: Known) -> str | None:
    curve = run.curve
    if not np.isfinite(curve.epochs).all() or (curve.epochs < 0).any():
        return f"curve has an epoch that is no number from 0 on: {curve.epochs.tolist()}"
    for name in ("val", "val_loss", "train_loss"):
        if np.isinf(getattr(curve, name)).any():
            return f"curve has an infinite {name}"
    recipe = known.recipes.get(run.key.recipe)
    if recipe is not None and len(curve) and curve.epochs[-1] > recipe.epochs + 1e-9:
        return f"curve ends at epoch {curve.epochs[-1]:g}, but its recipe at {recipe.epochs}"
    return None


def _run_has_sane_times(run: RunRecord, known: Known) -> str | None:
    seconds = run.curve.seconds[~np.isnan(run.curve.seconds)]
    if np.any(np.diff(seconds) < 0):
        return f"curve has seconds that fall: {seconds.tolist()}"
    found = next((reason for s in (*seconds, run.seconds) if (reason := _time(s))), None)
    return found or _moment(run.created)


def _model_is_pinned(entry: ModelEntry, known: Known) -> str | None:
    if not COMMIT.fullmatch(entry.revision):
        return f"revision is {entry.revision!r}, but must be 40 hex digits"
    if entry.num_parameters < 0:
        return f"num_parameters is {entry.num_parameters}, but must be 0 or more"
    weights = entry.weights_sha256
    if weights and not SHA256.fullmatch(weights):
        return f"weights_sha256 is {weights!r}, but must be 64 hex digits"
    old = known.models.get((entry.task, entry.repo_id, entry.revision))
    if old and weights and old.weights_sha256 and weights != old.weights_sha256:
        return f"weights_sha256 is {weights}, but this commit's is known as {old.weights_sha256}"
    return None


def _dataset_is_pinned(entry: DatasetEntry, known: Known) -> str | None:
    if not COMMIT.fullmatch(entry.revision):
        return f"revision is {entry.revision!r}, but must be 40 hex digits"
    if not entry.config.isprintable() or ".." in entry.config.split("/"):
        return f"config is {entry.config!r}, which is not a safe name"
    if entry.num_labels < 0 or any(rows < 0 for rows in entry.splits.values()):
        return "it has a negative number of labels or of rows"
    return None


def _dataset_has_one_metric(entry: DatasetEntry, known: Known) -> str | None:
    kind = TASK_KINDS.get(entry.task)
    if kind is not None and not get_metric(entry.metric).fits(kind):
        return f"metric {entry.metric!r} is not for {entry.task}"
    old = known.datasets.get((entry.task, entry.repo_id, entry.config, entry.revision))
    if old is not None and old.metric != entry.metric:
        return f"metric is {entry.metric!r}, but the record scores it by {old.metric!r}"
    return _possible("baseline", entry.baseline, entry.metric)


def _proxy_has_known_commits(row: ProxyRow, known: Known) -> str | None:
    imported = (row.model_revision, row.dataset_revision) == (IMPORTED, IMPORTED)
    for name in ("model_revision", "dataset_revision"):
        revision = getattr(row, name)
        if not COMMIT.fullmatch(revision):
            return f"{name} is {revision!r}, but must be 40 hex digits"
        if revision == IMPORTED and not imported:
            return f"{name} is {revision!r}, which is for imported results only"
    if (row.task, row.model, row.model_revision) not in known.models:
        return _no_entry("model", row.model, row.model_revision)
    place = (row.task, row.dataset, row.config, row.dataset_revision)
    if place not in known.datasets and not imported:  # imported ones come without the dataset's
        return _no_entry("dataset", row.dataset, row.dataset_revision)
    return None


def _proxy_is_sane(row: ProxyRow, known: Known) -> str | None:
    if np.isinf(row.value):
        return f"value is {row.value}"
    if row.rows < 0:
        return f"rows is {row.rows}, but must be 0 or more"
    return _time(row.seconds)


def _possible(name: str, value: float, metric: str) -> str | None:
    if np.isnan(value) or (np.isfinite(value) and get_metric(metric).valid(value)):
        return None
    return f"{name} {value} is outside the range of {metric}"


def _time(seconds: float) -> str | None:
    if np.isnan(seconds) or 0 <= seconds <= LONGEST:
        return None
    return f"it took {seconds} seconds, but must take from 0 to {LONGEST:.0f}"


def _moment(created: str) -> str | None:
    """The oldest score of a run counts, and a model's newest commit: both go by this time."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return f"created is {created!r}, but must be a time in ISO 8601"
    if moment.tzinfo is None:
        return f"created is {created!r}, but must say its time zone"
    if moment > datetime.now(UTC) + AHEAD:
        return f"created is {created!r}, which is in the future"
    return None


RULES: dict[type, tuple[Callable[[Any, Known], str | None], ...]] = {
    RunRecord: (
        _run_is_whose_it_says,
        _run_has_an_origin,
        _run_has_a_seed,
        _run_has_known_commits,
        _run_has_a_known_recipe,
        _run_has_its_datasets_metric,
        _run_has_possible_scores,
        _run_has_a_sane_curve,
        _run_has_sane_times,
    ),
    ModelEntry: (_model_is_pinned,),
    DatasetEntry: (_dataset_is_pinned, _dataset_has_one_metric),
    ProxyRow: (_proxy_has_known_commits, _proxy_is_sane),
    Recipe: (),
}
