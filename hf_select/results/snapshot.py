"""One snapshot of a record, read in parts: from a folder, or from wherever a `Source` gets it.

The manifest says which files there are. Small ones (`matrix`, `clusters`, `sizes`, `datasets`,
`proxies`, `recipes`) are read whole when they are first asked for, and must have the sha256 of the
manifest. Of `models` and `runs`, which grow with the record, the rows of a few models are read by
ranges. What came in since the snapshot was made is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import pyarrow as pa

from hf_select.errors import MissingError, RecordError
from hf_select.files import sha256
from hf_select.records import (
    Clustering,
    CurveSet,
    DatasetEntry,
    ModelEntry,
    PerformanceMatrix,
    ProxyRow,
    Recipe,
    RunRecord,
)
from hf_select.results.manifest import MANIFEST, read_manifest
from hf_select.results.matrix import (
    curve_set,
    curves_in,
    most_first,
    performance_matrix,
    pick_recipe,
    recipe_counts,
)
from hf_select.results.ranges import PartialTable
from hf_select.results.schema import (
    READ_FOR_CURVES,
    Shard,
    ShardError,
    curve_runs,
    decode,
    derived,
    rows_of,
)
from hf_select.results.state import State, run_order
from hf_select.results.tables import read_clustering, read_columns, read_matrix, read_sizes

T = TypeVar("T")


class Source(Protocol):
    """Where the files of one version of a record come from.

    All that it gives must belong together: a folder nobody changes, or one commit. A file that
    isn't there is a `FileNotFoundError` or a `MissingError`.
    """

    def read(self, path: str) -> bytes:
        """A whole small file."""

    def open(self, path: str) -> BinaryIO:
        """A seekable file, for reading parts of a big one."""


class FolderSource:
    """The files of a folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def read(self, path: str) -> bytes:
        """A whole small file."""
        return (self.folder / path).read_bytes()

    def open(self, path: str) -> BinaryIO:
        """A seekable file, for reading parts of a big one."""
        return (self.folder / path).open("rb")


class Snapshot:
    """A record as of its last compaction; reads as `ResultsRepo` does, file by file when needed.

    `name` stands for the record in errors. Raises `RecordError` if there is no record, none that
    was compacted, or one of a newer schema version; later for a file that is missing, damaged, or
    isn't what the manifest says.

    >>> from tempfile import mkdtemp
    >>> from hf_select.results.repo import ResultsRepo
    >>> repo = ResultsRepo.create(Path(mkdtemp()) / "results")
    >>> Snapshot(FolderSource(repo.path), name="mine")
    Traceback (most recent call last):
    hf_select.errors.RecordError: mine holds no snapshot yet
    """

    def __init__(self, source: Source, *, name: str) -> None:
        self.name = name
        self._source = source
        try:
            manifest = read_manifest(source.read(MANIFEST), name)
        except (FileNotFoundError, MissingError) as error:
            if isinstance(error, MissingError) and error.missing != "file":
                raise  # it says better what is missing
            raise RecordError(
                f"{name} is not a results repository (no {MANIFEST})",
                hint="name what `hf-select benchmark`, `import` or `publish` has made, or `demo`",
            ) from error
        self.generation = int(manifest["generation"])
        self._entries: dict[tuple[str, str], dict[str, Any]] = {
            (entry["kind"], entry["task"]): entry for entry in manifest["snapshots"]
        }
        if not self._entries:
            raise RecordError(
                f"{name} holds no snapshot yet", hint="`hf-select compact` makes one of its rows"
            )
        self._read: dict[tuple[str, str], Any] = {}
        self._parts: dict[tuple[str, str], PartialTable] = {}

    # ----------------------------------------------------------------------------- what it holds

    def tasks(self) -> list[str]:
        """The tasks that it holds anything of."""
        return sorted({task for _, task in self._entries if task})

    def recipes(self, task: str) -> dict[str, int]:
        """Recipe digest -> number of successful runs of the task, most first."""
        entry = self._entries.get(("runs", task))
        if entry is None:
            return {}
        if "recipes" in entry:
            return most_first(entry["recipes"])
        return recipe_counts(self._state(task).best())  # from before manifests counted them

    def recipe(self, digest: str) -> Recipe | None:
        """What a recipe digest means; None if nobody said (imported results)."""
        described = {recipe.digest(): recipe for recipe in self._rows("recipes", "")}
        return described.get(digest)

    def models(
        self, task: str | None = None, names: Collection[str] | None = None
    ) -> list[ModelEntry]:
        """All model entries by name, or those of some names without reading all.

        Of several revisions the one added last comes last.
        """
        if names is None:
            return self._all("models", task)
        found: list[ModelEntry] = []
        for kind, of in self._files("models", task):
            with self._reading(kind, of) as part:
                found += _usable(rows_of(part.rows({"repo_id": names})))
        return found

    def sizes(self, task: str) -> dict[str, int]:
        """Model -> number of parameters (0 = unknown), of all models that have an entry."""
        table = self._table("sizes", task)
        if table is None:
            return {entry.repo_id: entry.num_parameters for entry in self.models(task)}
        with self._reading("sizes", task):
            return read_sizes(table)

    def datasets(self, task: str | None = None) -> list[DatasetEntry]:
        """All dataset entries, by name; of several revisions the one added last comes last."""
        return self._all("datasets", task)

    def proxies(self, task: str | None = None, proxy: str | None = None) -> list[ProxyRow]:
        """Recorded proxy scores, by dataset, model and proxy."""
        return [row for row in self._all("proxies", task) if proxy in (None, row.proxy)]

    def runs(
        self, task: str, *, recipe: str | None = None, status: str | None = None
    ) -> list[RunRecord]:
        """One run a key, as of `ResultsRepo.runs`; reads the whole file."""
        found = [
            run
            for run in self._state(task).best()
            if recipe in (None, run.key.recipe) and status in (None, run.status)
        ]
        return sorted(found, key=run_order)

    # --------------------------------------------------------------------------------- as arrays

    def matrix(
        self, task: str, *, recipe: str | None = None, metric: str | None = None
    ) -> PerformanceMatrix:
        """The performance matrix of a task, as of `ResultsRepo.matrix`; the same errors."""
        recipe = self._recipe_for(task, recipe)
        table = self._answer(task, recipe, metric)
        if table is None:
            return performance_matrix(
                self._runs(task, recipe),
                task=task,
                recipe=recipe,
                metric=metric,
                baselines=self._state(task).baselines(task),
            )
        with self._reading("matrix", task):
            return read_matrix(table, task=task, recipe=recipe)

    def clustering(self, task: str) -> Clustering | None:
        """The clusters of `matrix(task)`, without their distances; None if there are none."""
        table = self._table("clusters", task)
        if table is None:
            return None
        with self._reading("clusters", task):
            return read_clustering(table)

    def last_clustering(self, task: str) -> Clustering | None:
        """The same: what came in since isn't seen."""
        return self.clustering(task)

    def curves(
        self,
        task: str,
        *,
        recipe: str | None = None,
        metric: str | None = None,
        models: Collection[str] | None = None,
    ) -> CurveSet:
        """The learning curves, as of `ResultsRepo.curves`; with `models` without reading all."""
        recipe = self._recipe_for(task, recipe)
        table = None if models is None else self._answer(task, recipe, metric)
        if table is None or models is None:
            return curve_set(
                self._runs(task, recipe),
                metric=metric,
                baselines=self._state(task).baselines(task),
                models=models,
            )
        where = {"recipe": [recipe], "model": models, "status": ["ok"]}
        with self._reading("runs", task) as part:
            runs = curve_runs(part.rows(where, READ_FOR_CURVES))
        with self._reading("matrix", task):
            return curves_in(read_columns(table, recipe=recipe), _best(runs))

    def _recipe_for(self, task: str, recipe: str | None) -> str:
        counts = self.recipes(task)
        rows = int(self._entries.get(("runs", task), {}).get("rows", 0))
        others = [other for other in self.tasks() if self.recipes(other)] if not counts else []
        return pick_recipe(recipe, counts, where=self.name, task=task, failed=rows, others=others)

    def _answer(self, task: str, recipe: str, metric: str | None) -> pa.Table | None:
        """The matrix table if it tells what is asked for.

        It holds one metric a column, the one with most models. With a `metric` it is therefore
        known to be all there is only where the recipe's runs have no other metric.
        """
        if metric is not None:
            with self._reading("runs", task) as part:
                if part.values("metric", {"recipe": [recipe]}) != {metric}:
                    return None
        return self._table("matrix", task)

    # ------------------------------------------------------------------------------ reading files

    def _files(self, kind: str, task: str | None) -> list[tuple[str, str]]:
        return sorted(key for key in self._entries if key[0] == kind and task in (None, key[1]))

    def _all(self, kind: str, task: str | None) -> list[Any]:
        return [row for _, of in self._files(kind, task) for row in self._rows(kind, of)]

    def _rows(self, kind: str, task: str) -> list[Any]:
        """The rows of a whole file; none if there is no such file."""
        return self._once(kind, task, lambda data: _usable(decode(data))) or []

    def _table(self, kind: str, task: str) -> pa.Table | None:
        """The table of a derived kind; None if there is no such file."""
        return self._once(kind, task, lambda data: derived(data, kind))

    def _once(self, kind: str, task: str, read: Callable[[bytes], T]) -> T | None:
        """What `read` makes of a whole file, whose sha256 is that of the manifest."""
        entry = self._entries.get((kind, task))
        if entry is None:
            return None
        if (kind, task) not in self._read:
            with self._reading(kind, task):
                data = self._source.read(entry["path"])
                if sha256(data) != entry["sha256"]:
                    raise RecordError(
                        f"{self.name}: {entry['path']} was changed or damaged: its sha256 is not "
                        "the manifest's",
                        hint="fetch the repository again, or restore the file",
                    )
                self._read[kind, task] = read(data)
        found: T = self._read[kind, task]
        return found

    @contextmanager
    def _reading(self, kind: str, task: str) -> Iterator[PartialTable]:
        """A file to read parts of; what goes wrong inside becomes an error that names it."""
        path = self._entries[kind, task]["path"]
        if (kind, task) not in self._parts:
            self._parts[kind, task] = PartialTable(lambda: self._source.open(path))
        try:
            yield self._parts[kind, task]
        except (FileNotFoundError, MissingError) as error:
            raise RecordError(
                f"{self.name}: {path} is in the manifest but missing",
                hint="fetch the repository again, or restore the file",
            ) from error
        except (ShardError, ValueError) as error:
            raise RecordError(f"{self.name}: {path}: {error}") from error

    def _runs(self, task: str, recipe: str) -> list[RunRecord]:
        """All runs of a recipe, one a key; reads the whole file."""
        return self.runs(task, recipe=recipe)

    def _state(self, task: str) -> State:
        """All runs and datasets of a task; reads these files whole."""
        state = State()
        for kind in ("runs", "datasets"):
            for row in self._rows(kind, task):
                state.add(row)
        return state


def _usable(shard: Shard) -> list[Any]:
    """The rows of a shard, all of which must be of use."""
    if shard.problems:
        raise ShardError(shard.problems[0])
    return list(shard.rows)


def _best(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """One run a key, in the order in which runs are listed."""
    state = State()
    for run in runs:
        state.add(run)
    return sorted(state.best(), key=run_order)
