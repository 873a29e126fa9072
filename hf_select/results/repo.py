"""ResultsRepo: a folder that is also the Hub dataset; an append-only record of runs by key.

    manifest.json                                  schema version, generation, sha256 of snapshots
    inbox/<yyyy-mm>/<submitter>/<sha256>.parquet   immutable, named after their content
    snapshots/<generation>/recipes.parquet         what each recipe digest means
    snapshots/<generation>/task=<task>/{runs,models,datasets,proxies,matrix}.parquet
    quarantine/                                    folded shards that had rows nobody can use
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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hf_select.errors import InputError, RecordError, UnknownNameError
from hf_select.records import (
    CurveSet,
    DatasetEntry,
    ModelEntry,
    PerformanceMatrix,
    ProxyRow,
    Recipe,
    RunRecord,
    canonical_json,
)
from hf_select.results import files
from hf_select.results.card import write_card
from hf_select.results.matrix import curve_set, long_table, performance_matrix
from hf_select.results.schema import (
    SAFE_NAME,
    SCHEMA_VERSION,
    Shard,
    ShardError,
    check,
    decode,
    encode,
    write_table,
)
from hf_select.results.state import Disagreement, State, run_order

MANIFEST = "manifest.json"
QUARANTINE = "quarantine"
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
        self._cached: tuple[Any, State] | None = None

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
        files.create_atomic(self.path / MANIFEST, _manifest_bytes(0, []))

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
    ) -> list[Path]:
        """Add rows, one new shard a kind; returns the shards (none if all was there already).

        A run whose key is there with the same status and score is skipped; one with another
        score is kept beside it (see `disagreements`). Entries, proxy scores and recipes are
        replaced by later ones. Any row that can't be stored is an `InputError` before anything
        is written.
        """
        if not SAFE_NAME.fullmatch(submitter):
            raise InputError(
                f"submitter is {submitter!r}, but must be letters, digits, '.', '_' and '-'"
            )
        datasets = list(datasets)
        known = self._load()
        rows: dict[str, list[Any]] = {
            "recipes": list(recipes),
            "models": list(models),
            "datasets": datasets,
            "proxies": [self._with_task(row, datasets, known) for row in proxies],
            "runs": [run if run.submitter else replace(run, submitter=submitter) for run in runs],
        }
        seen = State()
        created = datetime.now(UTC)
        fresh: dict[str, bytes] = {}
        for kind, candidates in rows.items():
            try:
                checked = [check(row) for row in candidates]
            except ValueError as error:
                raise InputError(f"{kind}: {error}") from error
            new = [row for row in checked if known.lacks(row) and seen.add(row)]
            if new:
                fresh[kind] = encode(kind, new, created.isoformat())
        folder = self.path / "inbox" / created.strftime("%Y-%m") / submitter
        written = []
        for data in fresh.values():  # runs last: a run that is there has its entries there
            path = folder / f"{files.sha256(data)}.parquet"
            files.write_atomic(path, data)
            written.append(path)
        return written

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

    def models(self, task: str | None = None) -> list[ModelEntry]:
        """All model entries, by name; of several revisions the one added last comes last."""
        return [e for e in self._load().models() if task in (None, e.task)]

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
        counts = Counter(run.key.recipe for run in self.runs(task, status="ok"))
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

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
        self, task: str, *, recipe: str | None = None, metric: str | None = None
    ) -> CurveSet:
        """The learning curves of the same runs, models and datasets as `matrix`."""
        recipe = self._recipe_for(task, recipe)
        return curve_set(
            self.runs(task, recipe=recipe), metric=metric, baselines=self._load().baselines(task)
        )

    def _recipe_for(self, task: str, recipe: str | None) -> str:
        counts = self.recipes(task)
        if not counts:
            have = sorted({run.task for run in self._load().best() if run.status == "ok"})
            failed = len(self.runs(task))
            why = f"none of its {failed} runs of" if failed else "it has no runs of"
            end = " succeeded" if failed else ""
            raise RecordError(
                f"{self.path} can't be used for {task!r}: {why} that task{end}",
                hint=f"tasks with successful runs: {', '.join(have) or 'none'}",
            )
        if recipe is None:  # measured runs come before any number of imported ones
            return next((r for r in counts if not r.startswith("imported-")), next(iter(counts)))
        if recipe not in counts:
            raise UnknownNameError("recipe", recipe, counts)
        return recipe

    def disagreements(self) -> list[Disagreement]:
        """Keys with several different successful test scores; see `Disagreement`."""
        return self._load().disagreements()

    @property
    def problems(self) -> list[str]:
        """Inbox files and rows that could not be used, each with its reason."""
        return list(self._load().problems)

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
        for path in sorted((self.path / QUARANTINE).rglob("*.parquet")):
            name = path.relative_to(self.path).as_posix()
            shard = self._read_shard(name)
            said = shard.problems if isinstance(shard, Shard) else (shard,)
            found += [f"{name}: {problem}" for problem in said]
        used = {run.key.recipe for run in state.best() if run.origin == "measured"}
        found += [f"recipe {d} is not described" for d in sorted(used - set(state.recipes()))]
        return found

    # ------------------------------------------------------------------------------ compact

    def compact(self, *, wait: float = 60.0) -> int:
        """Fold the inbox into a new snapshot; returns the generation that is then current.

        Keeps the generation before it for readers that are under way, removes older ones and
        the folded shards, and sweeps what a killed writer left. A shard of which some rows
        can't be used is moved to `quarantine/`, one that can't be read at all stays where it
        is. With nothing new there is no new generation. `RecordError` if another compaction
        still runs after `wait` seconds.
        """
        with files.exclusive(self.path / ".work" / "compact.lock", wait=wait):
            files.sweep(self.path)
            manifest = self._manifest()
            generation = int(manifest["generation"])
            state, changed, folded = self._compactable(manifest)
            entries = manifest["snapshots"]
            if changed:
                self._remove_snapshots(keep={generation, generation - 1})
                generation += 1
                entries = self._write_snapshot(generation, state)
                files.write_atomic(self.path / MANIFEST, _manifest_bytes(generation, entries))
            for name, shard in folded:  # oldest first: of what a kill leaves, the newest wins
                self._shards.pop(name, None)
                if shard.problems:
                    aside = self.path / QUARANTINE / name.removeprefix("inbox/")
                    aside.parent.mkdir(parents=True, exist_ok=True)
                    (self.path / name).replace(aside)
                else:
                    (self.path / name).unlink(missing_ok=True)
            self._remove_snapshots(keep={generation, generation - 1})
            if entries:
                write_card(self.path, generation, entries)
        self._cached = None
        return generation

    def _compactable(self, manifest: dict[str, Any]) -> tuple[State, bool, list[tuple[str, Shard]]]:
        """All rows, whether the inbox adds any, and the shards that they come from."""
        inbox = self._inbox()
        state = self._read_snapshots(manifest)
        if state.problems:
            raise RecordError(
                f"{self.path}: the snapshot has rows that can't be read: {state.problems[0]}",
                hint="it is left as it is; nothing was lost",
            )
        folded = self._ordered(inbox)
        changed = False
        for _, shard in folded:
            for row in shard.rows:
                changed |= state.add(row)
        return state, changed, folded

    def _write_snapshot(self, generation: int, state: State) -> list[dict[str, Any]]:
        tables: list[tuple[str, str, int, bytes]] = []
        recipes = list(state.recipes().values())
        if recipes:
            tables.append(("", "recipes", len(recipes), encode("recipes", recipes)))
        everything: dict[str, list[Any]] = {
            "runs": sorted((run for v in state.runs.values() for run in v), key=run_order),
            "models": state.models(),
            "datasets": state.datasets(),
            "proxies": state.proxies(),
        }
        best = sorted(state.best(), key=run_order)
        for task in state.tasks():
            for kind, rows in everything.items():
                mine = [row for row in rows if row.task == task]
                if mine:
                    tables.append((task, kind, len(mine), encode(kind, mine)))
            own = [run for run in best if run.task == task]
            columns = long_table(own, task=task, baselines=state.baselines(task))
            if columns["model"]:
                tables.append(
                    (task, "matrix", len(columns["model"]), write_table("matrix", columns))
                )
        entries = []
        for task, kind, count, data in tables:
            folder = f"task={task}/" if task else ""
            name = f"snapshots/{generation}/{folder}{kind}.parquet"
            files.write_atomic(self.path / name, data)
            entries.append(
                {
                    "path": name,
                    "rows": count,
                    "sha256": files.sha256(data),
                    "kind": kind,
                    "task": task,
                }
            )
        return entries

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
                state = self._read_snapshots(manifest)
                for _, shard in self._ordered(inbox, problems=state.problems):
                    for row in shard.rows:
                        state.add(row)
            except FileNotFoundError:
                continue
            self._cached = (mark, state)
            return state
        missing = [e["path"] for e in manifest["snapshots"] if not (self.path / e["path"]).exists()]
        raise RecordError(
            f"{self.path}: {missing[0] if missing else 'a file'} is in the manifest but missing",
            hint="fetch the repository again, or restore the file",
        )

    def _manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = int(manifest["schema_version"])
            int(manifest["generation"])
            for entry in manifest["snapshots"]:
                parts = Path(entry["path"]).parts
                if parts[0] != "snapshots" or ".." in parts:
                    raise ValueError(f"path {entry['path']!r} leaves the repository")
                entry["sha256"], entry["kind"], entry["task"]
        except FileNotFoundError as error:
            raise RecordError(f"{self.path} is not a results repository (no {MANIFEST})") from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RecordError(
                f"{path} can't be read: {error!r}", hint="is this a results repository?"
            ) from error
        if version > SCHEMA_VERSION:
            raise RecordError(
                f"{self.path} has schema version {version}, newer than {SCHEMA_VERSION}",
                hint="upgrade hf-select to read it",
            )
        return manifest

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
            if entry["kind"] == "matrix":
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

    def _ordered(
        self, inbox: Sequence[str], problems: list[str] | None = None
    ) -> list[tuple[str, Shard]]:
        """The readable shards, oldest first; the others are named in `problems`."""
        found = []
        for name in inbox:
            shard = self._shards.get(name) or self._read_shard(name)
            if isinstance(shard, Shard):
                self._shards[name] = shard
                found.append((name, shard))
            said = shard.problems if isinstance(shard, Shard) else (shard,)
            if problems is not None:
                problems += [f"{name}: {problem}" for problem in said]
        return sorted(found, key=lambda item: (item[1].created, item[0]))

    def _read_shard(self, name: str) -> Shard | str:
        data = (self.path / name).read_bytes()
        if files.sha256(data) != Path(name).stem:
            return "cut off or changed: its content is not what its name says"
        try:
            return decode(data)
        except ShardError as error:
            return str(error)


# --------------------------------------------------------------------------------- helpers


def _manifest_bytes(generation: int, entries: list[dict[str, Any]]) -> bytes:
    document = {"schema_version": SCHEMA_VERSION, "generation": generation, "snapshots": entries}
    return (json.dumps(document, indent=1) + "\n").encode()
