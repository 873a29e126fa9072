"""ResultsRepo: a folder that is also the Hub dataset; an append-only record of runs by key.

    manifest.json                                  schema version, generation, sha256 of snapshots
    inbox/<yyyy-mm>/<submitter>/<sha256>.parquet   immutable, named after their content
    snapshots/<generation>/recipes.parquet         what each recipe digest means
    snapshots/<generation>/task=<task>/{runs,models,datasets,proxies}.parquet
    snapshots/<generation>/task=<task>/{matrix,clusters,sizes}.parquet    derived from those
    quarantine/                                    shards that had rows nobody can use, and why
    README.md                                      dataset card, so that `load_dataset` works
    .work/                                         scratch of running jobs; no reader looks there

Writers only add inbox shards, so any number of processes can write at the same time. A reader
takes the snapshot and the inbox together and counts a row that is in both once. `compact` folds
the inbox into a new snapshot; its manifest is written last, and only then are the folded shards
removed, so a kill at any point loses nothing and doubles nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from hf_select import files
from hf_select.errors import InputError, RecordError
from hf_select.records import (
    Clustering,
    CurveSet,
    DatasetEntry,
    ModelEntry,
    PerformanceMatrix,
    ProxyRow,
    Recipe,
    RunRecord,
    canonical_json,
)
from hf_select.results.card import check_card, write_card
from hf_select.results.manifest import MANIFEST, manifest_bytes, read_manifest
from hf_select.results.matrix import curve_set, performance_matrix, pick_recipe, recipe_counts
from hf_select.results.schema import (
    DERIVED,
    NewerSchemaError,
    Row,
    Shard,
    ShardError,
    check,
    decode,
    derived,
)
from hf_select.results.shards import check_submitter, shards
from hf_select.results.state import Disagreement, Rows, State, run_order
from hf_select.results.tables import Cluster, Table, read_clustering, snapshot_tables

QUARANTINE = "quarantine"
REASONS = ".reasons.json"
"""Beside a shard in quarantine: which of its rows were refused, and why."""
_OWN = {MANIFEST, QUARANTINE, "inbox", "snapshots", "README.md", "LICENSE"}


class ResultsRepo:
    """A results repository on disk. Make one with `create`, `open` or `open_or_create`.

    >>> import tempfile
    >>> repo = ResultsRepo.create(Path(tempfile.mkdtemp()) / "results")
    >>> len(repo)
    0
    """

    def __init__(self, path: str | Path) -> None:
        """Use `open`, `create` or `open_or_create`: they check what is there."""
        self.path = Path(path)
        self._shards: dict[str, Shard] = {}
        self._cached: tuple[Any, State, set[str]] | None = None

    # ------------------------------------------------------------------------ open, create

    @classmethod
    def create(cls, path: str | Path) -> ResultsRepo:
        """A new, empty repository; `RecordError` if the folder holds anything else."""
        repo = cls(path)
        if repo._exists():
            raise RecordError(f"{repo.path} is a results repository already", hint="open it")
        repo._create()
        return repo

    @classmethod
    def open(cls, path: str | Path) -> ResultsRepo:
        """An existing repository, read and checked.

        Raises `RecordError` if it is missing, no results repository, of a newer schema version,
        or if a snapshot's sha256 differs from the manifest's.
        """
        repo = cls(path)
        if not repo._exists():
            what = "is not a results repository" if repo.path.exists() else "does not exist"
            raise RecordError(
                f"{repo.path} {what} (no {MANIFEST})",
                hint="`hf-select benchmark` or `hf-select import` make one",
            )
        repo._load()
        return repo

    @classmethod
    def open_or_create(cls, path: str | Path) -> ResultsRepo:
        """Open it, or make it if nothing is there; safe when several processes do so at once."""
        repo = cls(path)
        if not repo._exists():
            repo._create()
        repo._load()
        return repo

    def _exists(self) -> bool:
        return (self.path / MANIFEST).is_file()

    def _create(self) -> None:
        if self.path.is_file():
            raise RecordError(f"{self.path} is a file, but must be a folder")
        if self.path.is_dir():
            other = sorted(
                entry.name
                for entry in self.path.iterdir()
                if entry.name not in _OWN and not entry.name.startswith(".")
            )
            if other:
                raise RecordError(
                    f"{self.path} is not a results repository: it holds {other[0]!r} "
                    f"and no {MANIFEST}",
                    hint="name a new or an empty folder",
                )
        files.create_atomic(self.path / MANIFEST, manifest_bytes(0, []))

    # -------------------------------------------------------------------------------- write

    def append(
        self,
        runs: Iterable[RunRecord] = (),
        *,
        models: Iterable[ModelEntry] = (),
        datasets: Iterable[DatasetEntry] = (),
        proxies: Iterable[ProxyRow] = (),
        recipes: Iterable[Recipe] = (),
        submitter: str = "local",
        created: str | None = None,
    ) -> list[Path]:
        """Add rows, one new shard a kind; returns the shards (none if all was there already).

        A run whose key is there with the same status and score is skipped; one with another
        score is kept beside it (see `disagreements`). Entries, proxy scores and recipes are
        replaced by later ones. Tokens in the reasons of failed runs are blotted out. `created` is
        the shards' time (ISO 8601; now). Any row that can't be stored is an `InputError` before
        anything is written.
        """
        check_submitter(submitter)
        datasets = list(datasets)
        known = self._load()
        rows: dict[str, list[Any]] = {
            "recipes": list(recipes),
            "models": list(models),
            "datasets": datasets,
            "proxies": [self._with_task(row, datasets, known) for row in proxies],
            "runs": list(runs),
        }
        seen = State()
        fresh: dict[str, tuple[Any, ...]] = {}
        for kind, candidates in rows.items():
            try:
                checked = [check(row) for row in candidates]
            except ValueError as error:
                raise InputError(f"{kind}: {error}") from error
            fresh[kind] = tuple(row for row in checked if known.lacks(row) and seen.add(row))
        created = created or datetime.now(UTC).isoformat()
        found = shards(Rows(**fresh), submitter=submitter, created=created)
        for name, data in found.items():  # runs last: a run that is there has its entries there
            files.write_atomic(self.path / name, data)
        return [self.path / name for name in found]

    def _with_task(self, row: ProxyRow, datasets: Sequence[DatasetEntry], state: State) -> ProxyRow:
        if row.task:
            return row
        tasks = {
            entry.task for entry in (*datasets, *state.datasets()) if entry.repo_id == row.dataset
        }
        if len(tasks) != 1:
            raise InputError(
                f"proxies: the task of {row.dataset!r} is not known",
                hint="give the row a task, or add the dataset's entry",
            )
        return replace(row, task=tasks.pop())

    # --------------------------------------------------------------------------------- read

    @property
    def name(self) -> str:
        """What it is called in messages, as a `Snapshot` has it: its folder."""
        return str(self.path)

    def __len__(self) -> int:
        """Number of run keys."""
        return len(self._load().runs)

    def keys(self, status: str | None = None) -> set[str]:
        """The ids of all recorded runs (of that status)."""
        return {run.key.id for run in self._load().best() if status in (None, run.status)}

    def runs(
        self, task: str | None = None, *, recipe: str | None = None, status: str | None = None
    ) -> list[RunRecord]:
        """One run a key, in a fixed order: by task, recipe, dataset, model and seed."""
        found = [
            run
            for run in self._load().best()
            if task in (None, run.task)
            and recipe in (None, run.key.recipe)
            and status in (None, run.status)
        ]
        return sorted(found, key=run_order)

    def models(
        self, task: str | None = None, names: Collection[str] | None = None
    ) -> list[ModelEntry]:
        """All model entries (of those names), by name.

        Of several revisions the one added last comes last.
        """
        wanted = None if names is None else set(names)
        return [
            entry
            for entry in self._load().models()
            if task in (None, entry.task) and (wanted is None or entry.repo_id in wanted)
        ]

    def sizes(self, task: str) -> dict[str, int]:
        """Model -> number of parameters (0 = unknown), of all models that have an entry."""
        return {entry.repo_id: entry.num_parameters for entry in self.models(task)}

    def datasets(self, task: str | None = None) -> list[DatasetEntry]:
        """All dataset entries, by name; of several revisions the one added last comes last."""
        return [e for e in self._load().datasets() if task in (None, e.task)]

    def proxies(self, task: str | None = None, proxy: str | None = None) -> list[ProxyRow]:
        """Recorded proxy scores, by dataset, model and proxy."""
        return [
            row
            for row in self._load().proxies()
            if task in (None, row.task) and proxy in (None, row.proxy)
        ]

    def tasks(self) -> list[str]:
        """The tasks that it holds anything of."""
        return self._load().tasks()

    def recipes(self, task: str) -> dict[str, int]:
        """Recipe digest -> number of successful runs of the task, most first."""
        return recipe_counts(self.runs(task, status="ok"))

    def recipe(self, digest: str) -> Recipe | None:
        """What a recipe digest means; None if nobody said (imported results)."""
        return self._load().recipes().get(digest)

    def matrix(
        self, task: str, *, recipe: str | None = None, metric: str | None = None
    ) -> PerformanceMatrix:
        """The performance matrix of a task: mean test score over seeds (see `results.matrix`).

        One recipe only: the given one, or the one with most successful runs. Models and
        datasets without a successful run have no row or column. Raises `RecordError` when
        there are no runs of the task, `UnknownNameError` for a recipe that it doesn't have.
        """
        recipe = self._recipe_for(task, recipe)
        return performance_matrix(
            self.runs(task, recipe=recipe),
            task=task,
            recipe=recipe,
            metric=metric,
            baselines=self._load().baselines(task),
        )

    def curves(
        self,
        task: str,
        *,
        recipe: str | None = None,
        metric: str | None = None,
        models: Collection[str] | None = None,
    ) -> CurveSet:
        """The learning curves of the same runs, models and datasets as `matrix`.

        With `models` only the rows of those that have one, and the seeds and evaluation points
        that these have; the datasets are the same.
        """
        recipe = self._recipe_for(task, recipe)
        return curve_set(
            self.runs(task, recipe=recipe),
            metric=metric,
            baselines=self._load().baselines(task),
            models=models,
        )

    def clustering(self, task: str) -> Clustering | None:
        """The clusters of `matrix(task)` that the last compaction made, without their distances.

        None where it made none, and where rows that came in since have changed the matrix.
        """
        self._load()
        if self._cached is None or task in self._cached[2]:
            return None
        return self.last_clustering(task)

    def last_clustering(self, task: str) -> Clustering | None:
        """The clusters that the last compaction made, whatever has come in since."""
        return self._clusterings(self._manifest()["snapshots"]).get(task)

    def _clusterings(self, entries: Sequence[dict[str, Any]]) -> dict[str, Clustering]:
        """Task -> the clusters that a snapshot holds."""
        found = {}
        for entry in entries:
            if entry["kind"] == "clusters":
                try:
                    table = derived(self._bytes(entry["path"], entry["sha256"]), "clusters")
                except ShardError as error:
                    raise RecordError(f"{self.path}: {entry['path']}: {error}") from error
                found[entry["task"]] = read_clustering(table)
        return found

    def state(self) -> State:
        """All rows, of the snapshot and of the inbox, to be read and not changed.

        What can't be read is left out; `problems` says so.
        """
        return self._load()

    def _recipe_for(self, task: str, recipe: str | None) -> str:
        return pick_recipe(
            recipe,
            self.recipes(task),
            where=self.name,
            task=task,
            failed=len(self.runs(task)),
            others=sorted({run.task for run in self._load().best() if run.status == "ok"}),
        )

    def disagreements(self) -> list[Disagreement]:
        """Keys with several different successful test scores; see `Disagreement`."""
        return self._load().disagreements()

    @property
    def problems(self) -> list[str]:
        """Inbox files and rows that could not be used, each with its reason."""
        return list(self._load().problems)

    def damaged(self) -> list[str]:
        """A sentence about each snapshot that is missing or isn't what the manifest says.

        Raises `RecordError` where there is no manifest, or one of a newer schema.
        """
        found, manifest = [], self._manifest()
        for entry in manifest["snapshots"]:
            try:
                self._bytes(entry["path"], entry["sha256"])
            except FileNotFoundError:
                found.append(f"{self.path}: {entry['path']} is in the manifest but missing")
            except RecordError as error:
                found.append(error.message)
        # A compaction may have replaced meanwhile what was looked at.
        return found if manifest == self._manifest() else self.damaged()

    def parts(self) -> tuple[State, list[tuple[str, Shard | str]]]:
        """The snapshot's rows, and the inbox apart from them, oldest first.

        Of each shard of the inbox: its path and what it holds, or why it can't be read. Raises
        `RecordError` if a snapshot is missing or damaged.
        """
        for _ in range(20):
            try:
                inbox = self._ordered(self._inbox())
                return self._read_snapshots(self._manifest()), inbox
            except FileNotFoundError:  # a compaction runs meanwhile
                continue
        raise self._missing()

    def verify(self) -> list[str]:
        """Read every byte again and say what is wrong; an empty list when nothing is."""
        fresh = ResultsRepo(self.path)
        try:
            state = fresh._load()
        except RecordError as error:
            return [error.message]
        found = list(state.problems)
        for clash in fresh.disagreements():
            scores = ", ".join(f"{run.test:.6g} ({run.submitter})" for run in clash.runs)
            degree = "far apart" if clash.flagged else "within three standard errors"
            found.append(
                f"run {clash.key.id} ({clash.key.model} on {clash.key.dataset}, seed "
                f"{clash.key.seed}) has several scores, {degree}: {scores}"
            )
        found += self.quarantined()
        used = {run.key.recipe for run in state.best() if run.origin == "measured"}
        found += [f"recipe {d} is not described" for d in sorted(used - set(state.recipes()))]
        return found

    def quarantined(self) -> list[str]:
        """What is wrong with each shard that a compaction has set aside, row by row."""
        found = []
        for path in sorted((self.path / QUARANTINE).rglob("*.parquet")):
            name = path.relative_to(self.path).as_posix()
            shard = self._read_shard(name)
            said = list(shard.problems) if isinstance(shard, Shard) else [shard]
            reasons = path.with_suffix(REASONS)
            if reasons.is_file():
                said += json.loads(reasons.read_text(encoding="utf-8"))
            said = said or ["nothing is wrong with it: move it back to the inbox"]
            found += [f"{name}: {problem}" for problem in said]
        return found

    # ------------------------------------------------------------------------------ compact

    def compact(
        self,
        *,
        wait: float = 60.0,
        cluster: Cluster | None = None,
        refuse: Callable[[Row], str | None] | None = None,
        published_as: str = "",
    ) -> int:
        """Fold the inbox into a new snapshot; returns the generation that is then current.

        Keeps the generation before it for readers that are under way, removes older ones and
        the folded shards, and sweeps what a killed writer left. `cluster` groups the models of
        each task's matrix, for `clustering`; it is given the groups of the snapshot before.
        `refuse` says why a row of the inbox is not to be folded, None if it may be. A shard
        with such rows, or with rows or bytes that can't be read, is moved to `quarantine/` once its
        good rows are folded (see `quarantined`); one of a newer schema version waits in the inbox.
        `published_as` is the dataset on the Hub, for the card; without it the one that the card
        knows stays. With nothing new, and nothing derived that was not derived before, there is no
        new generation. `RecordError` if another compaction still runs after `wait` seconds, or if
        the card can't be refreshed (see `card`).
        """
        with files.exclusive(self.path / ".work" / "compact.lock", wait=wait):
            check_card(self.path)
            files.sweep(self.path)
            manifest = self._manifest()
            generation = int(manifest["generation"])
            entries = manifest["snapshots"]
            inbox = self._ordered(self._inbox())
            state, changed, refused = self._folded(manifest, inbox, refuse)
            tables = []
            if changed or self._lacks_derived(state, entries, cluster):
                tables = list(snapshot_tables(state, cluster, self._clusterings(entries)))
                known = {(entry["kind"], entry["task"]) for entry in entries}
                changed = changed or not {(t.kind, t.task) for t in tables} <= known
            if changed:
                self._remove_snapshots(keep={generation, generation - 1})
                generation += 1
                entries = [self._write_table(generation, table) for table in tables]
                files.write_atomic(self.path / MANIFEST, manifest_bytes(generation, entries))
            for name, shard in inbox:  # oldest first: of what a kill leaves, the newest wins
                self._put_away(name, shard, refused.get(name, []))
            self._remove_snapshots(keep={generation, generation - 1})
            if entries:
                clusterings = self._clusterings(entries)
                write_card(
                    self.path,
                    generation,
                    entries,
                    state,
                    clusterings=clusterings,
                    name=published_as,
                )
        self._cached = None
        return generation

    def _folded(
        self,
        manifest: dict[str, Any],
        inbox: Sequence[tuple[str, Shard | str]],
        refuse: Callable[[Row], str | None] | None,
    ) -> tuple[State, bool, dict[str, list[str]]]:
        """All rows, whether the inbox adds any, and shard -> reasons of the rows left out."""
        state = self._read_snapshots(manifest)
        if state.problems:
            raise RecordError(
                f"{self.path}: the snapshot has rows that can't be read: {state.problems[0]}",
                hint="it is left as it is; nothing was lost",
            )
        changed = False
        refused: dict[str, list[str]] = {}
        for name, shard in inbox:
            if not isinstance(shard, Shard):
                continue
            for number, row in zip(shard.numbers, shard.rows, strict=True):
                why = refuse(row) if refuse is not None else None
                if why is None:
                    changed |= state.add(row)
                else:
                    refused.setdefault(name, []).append(f"row {number}: {why}")
        return state, changed, refused

    def _lacks_derived(
        self, state: State, entries: Sequence[dict[str, Any]], cluster: Cluster | None
    ) -> bool:
        """Whether a snapshot may lack a table that could be made of its rows."""
        known = {(entry["kind"], entry["task"]) for entry in entries}
        tasks = {run.task for run in state.best() if run.status == "ok"}
        expected = {("matrix", task) for task in tasks}
        expected |= {("sizes", entry.task) for entry in state.models()}
        if cluster is not None:
            expected |= {("clusters", task) for task in tasks}
        return not expected <= known

    def _write_table(self, generation: int, table: Table) -> dict[str, Any]:
        """Write one file of a snapshot; returns its entry in the manifest."""
        entry = table.entry(generation)
        files.write_atomic(self.path / entry["path"], table.data)
        return entry

    def _put_away(self, name: str, shard: Shard | str, refused: list[str]) -> None:
        """Remove a folded shard, or set it aside with the reasons if not all of it was folded."""
        self._shards.pop(name, None)
        if isinstance(shard, str) and self._is_newer(name):
            return
        if isinstance(shard, Shard) and not shard.problems and not refused:
            (self.path / name).unlink(missing_ok=True)
            return
        aside = self.path / QUARANTINE / name.removeprefix("inbox/")
        aside.parent.mkdir(parents=True, exist_ok=True)
        if refused:
            text = json.dumps(refused, indent=1, ensure_ascii=False) + "\n"
            files.write_atomic(aside.with_suffix(REASONS), text.encode())
        (self.path / name).replace(aside)

    def _remove_snapshots(self, *, keep: set[int]) -> None:
        """Remove generations that no manifest points at: older ones and half-written ones."""
        folder = self.path / "snapshots"
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.isdigit() and int(path.name) not in keep:
                shutil.rmtree(path)
                for name in [n for n in self._shards if n.startswith(f"snapshots/{path.name}/")]:
                    del self._shards[name]

    # ------------------------------------------------------------------------- reading files

    def _load(self) -> State:
        """The whole record. A compaction that runs meanwhile only makes it read again."""
        for _ in range(20):
            inbox = self._inbox()  # before the manifest: a shard that goes is in a newer one
            manifest = self._manifest()
            mark = (tuple(inbox), canonical_json(manifest))
            if self._cached and self._cached[0] == mark:
                return self._cached[1]
            try:
                state, changed = self._read_snapshots(manifest), set()
                for name, shard in self._ordered(inbox):
                    said = shard.problems if isinstance(shard, Shard) else (shard,)
                    state.problems += [f"{name}: {problem}" for problem in said]
                    for row in shard.rows if isinstance(shard, Shard) else ():
                        if state.add(row) and _moves_scores(row):
                            changed.add(row.task)
            except FileNotFoundError:
                continue
            self._cached = (mark, state, changed)
            return state
        raise self._missing()

    def _missing(self) -> RecordError:
        named = [entry["path"] for entry in self._manifest()["snapshots"]]
        missing = [name for name in named if not (self.path / name).exists()]
        return RecordError(
            f"{self.path}: {missing[0] if missing else 'a file'} is in the manifest but missing",
            hint="fetch the repository again, or restore the file",
        )

    def _manifest(self) -> dict[str, Any]:
        try:
            data = (self.path / MANIFEST).read_bytes()
        except FileNotFoundError as error:
            raise RecordError(f"{self.path} is not a results repository (no {MANIFEST})") from error
        return read_manifest(data, str(self.path))

    def _inbox(self) -> list[str]:
        """Shards by relative path."""
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in (self.path / "inbox").rglob("*.parquet")
            if not path.name.startswith(".")
        )

    def _read_snapshots(self, manifest: dict[str, Any]) -> State:
        state = State()
        for entry in manifest["snapshots"]:
            if entry["kind"] in DERIVED:
                self._bytes(entry["path"], entry["sha256"])
                continue
            if entry["path"] not in self._shards:
                try:
                    data = self._bytes(entry["path"], entry["sha256"])
                    self._shards[entry["path"]] = decode(data)
                except ShardError as error:
                    raise RecordError(f"{self.path}: {entry['path']}: {error}") from error
            shard = self._shards[entry["path"]]
            state.problems += [f"{entry['path']}: {problem}" for problem in shard.problems]
            for row in shard.rows:
                state.add(row)
        return state

    def _bytes(self, name: str, sha256: str) -> bytes:
        data = (self.path / name).read_bytes()
        if files.sha256(data) != sha256:
            raise RecordError(
                f"{self.path}: {name} was changed or damaged: its sha256 is not the manifest's",
                hint="fetch the repository again, or restore the file",
            )
        return data

    def _ordered(self, inbox: Sequence[str]) -> list[tuple[str, Shard | str]]:
        """The shards, oldest first; in place of one that can't be read, why."""
        found: list[tuple[str, Shard | str]] = []
        for name in inbox:
            shard = self._shards.get(name) or self._read_shard(name)
            if isinstance(shard, Shard):
                self._shards[name] = shard
            found.append((name, shard))
        return sorted(found, key=lambda item: (getattr(item[1], "created", ""), item[0]))

    def _read_shard(self, name: str) -> Shard | str:
        data = (self.path / name).read_bytes()
        if files.sha256(data) != Path(name).stem:
            return "cut off or changed: its content is not what its name says"
        try:
            return decode(data)
        except ShardError as error:
            return str(error)

    def _is_newer(self, name: str) -> bool:
        """Whether a shard that can't be read is whole, but of a newer schema version."""
        data = (self.path / name).read_bytes()
        if files.sha256(data) != Path(name).stem:
            return False
        try:
            decode(data)
        except NewerSchemaError:
            return True
        except ShardError:
            return False
        return False


def _moves_scores(row: Row) -> TypeGuard[RunRecord | DatasetEntry]:
    """Whether a row that came in can change a matrix: a score, or a baseline."""
    return isinstance(row, DatasetEntry) or (isinstance(row, RunRecord) and row.status == "ok")
