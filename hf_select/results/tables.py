"""The tables of a snapshot: all rows as they are stored, and what is derived from them, and back.

Derived are `matrix` (one row a measured cell), `clusters` (one row a model of the matrix that a
recall starts from) and `sizes` (one row a model): small, and all that a recall reads whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hf_select.errors import InputError
from hf_select.files import sha256
from hf_select.records import Clustering, PerformanceMatrix
from hf_select.results.matrix import (
    Columns,
    default_recipe,
    matrix_table,
    recipe_counts,
    recorded,
)
from hf_select.results.schema import encode, write_table
from hf_select.results.state import State, run_order

Integers = NDArray[np.integer]
Cluster = Callable[[PerformanceMatrix, Clustering | None], Clustering]
"""Groups the models of a matrix, given the groups of the snapshot before (None if there are none),
whose ids it keeps where it can; `InputError` where there is nothing to group."""


@dataclass(frozen=True)
class Table:
    """One file of a snapshot. `recipes`: of runs, recipe digest -> number of successful ones."""

    task: str
    kind: str
    rows: int
    data: bytes
    recipes: Mapping[str, int] | None = None

    def entry(self, generation: int) -> dict[str, Any]:
        """What the manifest says of it; `path` is where it lies in the repository."""
        folder = f"snapshots/{generation}" + (f"/task={self.task}" if self.task else "")
        entry: dict[str, Any] = {
            "path": f"{folder}/{self.kind}.parquet",
            "rows": self.rows,
            "bytes": len(self.data),
            "sha256": sha256(self.data),
            "kind": self.kind,
            "task": self.task,
        }
        return entry if self.recipes is None else {**entry, "recipes": dict(self.recipes)}


# ------------------------------------------------------------------------------ rows -> tables


def snapshot_tables(
    state: State, cluster: Cluster | None, old: Mapping[str, Clustering] | None = None
) -> Iterator[Table]:
    """Everything that a repository holds as the tables of a snapshot.

    Clusters are made of each task's matrix where `cluster` is given, and left out where it raises
    `InputError`. `old` are those of the snapshot before, by task.
    """
    rows = state.rows()
    if rows.recipes:
        yield Table("", "recipes", len(rows.recipes), encode("recipes", rows.recipes))
    best = sorted(state.best(), key=run_order)
    for task in state.tasks():
        successes = [run for run in best if run.task == task and run.status == "ok"]
        counts = recipe_counts(successes)
        for kind, every in rows.by_kind().items():
            mine = [row for row in every if getattr(row, "task", None) == task]
            if mine:
                data = encode(kind, mine)
                yield Table(task, kind, len(mine), data, counts if kind == "runs" else None)
        sizes = {e.repo_id: e.num_parameters for e in rows.models if e.task == task}
        yield from _derived(task, "sizes", sizes_table(task, sizes))
        matrices = recorded(successes, task=task, baselines=state.baselines(task))
        yield from _derived(task, "matrix", matrix_table(matrices.values()))
        if cluster is not None and matrices:
            recipe = default_recipe(counts)
            found = _grouped(matrices[recipe].matrix, cluster, (old or {}).get(task))
            if found is not None:
                yield from _derived(
                    task, "clusters", cluster_table(found, task=task, recipe=recipe)
                )


def _grouped(
    matrix: PerformanceMatrix, cluster: Cluster, old: Clustering | None
) -> Clustering | None:
    """The clusters of a matrix, None where there is nothing to group."""
    if len(matrix.models) < 2:
        return None
    try:
        return cluster(matrix, old)
    except InputError:  # scores that can't be compared
        return None


def _derived(task: str, kind: str, columns: Mapping[str, Any]) -> Iterator[Table]:
    count = len(columns["model"])
    if count:
        yield Table(task, kind, count, write_table(kind, columns))


def sizes_table(task: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The columns of `sizes`: model -> number of parameters."""
    return {
        "task": [task] * len(sizes),
        "model": list(sizes),
        "num_parameters": list(sizes.values()),
    }


def cluster_table(clustering: Clustering, *, task: str, recipe: str) -> dict[str, Any]:
    """The columns of `clusters`; the distances are left out, they follow from the matrix."""
    count = len(clustering.models)
    heads = np.zeros(count, dtype=bool)
    heads[list(clustering.representatives.values())] = True
    return {
        "task": [task] * count,
        "recipe": [recipe] * count,
        "model": clustering.models,
        "cluster": clustering.labels,
        "representative": heads,
        "algorithm": [clustering.algorithm] * count,
        "threshold": np.full(count, clustering.threshold),
        "silhouette": np.full(count, clustering.silhouette),
    }


# ------------------------------------------------------------------------------ tables -> arrays


def read_sizes(table: pa.Table) -> dict[str, int]:
    """Model -> number of parameters."""
    codes, names = _codes(table, "model")
    sizes = _numbers(table, "num_parameters").tolist()
    return dict(zip((names[code] for code in codes), sizes, strict=True))


def read_clustering(table: pa.Table) -> Clustering:
    """The clustering that `cluster_table` was made of, without its distances."""
    codes, names = _codes(table, "model")
    labels = _numbers(table, "cluster")
    heads = np.flatnonzero(table["representative"].to_pylist()).tolist()
    algorithm, algorithms = _codes(table, "algorithm")
    return Clustering(
        models=tuple(names[code] for code in codes),
        labels=labels,
        distance=None,
        representatives={int(labels[head]): head for head in sorted(heads, key=labels.__getitem__)},
        algorithm=algorithms[algorithm[0]],
        threshold=float(_numbers(table, "threshold")[0]),
        silhouette=float(_numbers(table, "silhouette")[0]),
    )


def read_matrix(table: pa.Table, *, task: str, recipe: str) -> PerformanceMatrix:
    """The performance matrix of one recipe, from the table that `matrix_table` made."""
    cells = _cells(table, recipe)
    columns, column = _columns(table, cells)
    models, row, _ = _axis(table, "model", cells)
    scores = np.full((len(models), len(columns.datasets)), np.nan)
    spread = scores.copy()
    scores[row, column] = _numbers(table, "score")[cells]
    spread[row, column] = _numbers(table, "spread")[cells]
    return PerformanceMatrix(
        scores,
        spread,
        models,
        columns.datasets,
        columns.metrics,
        columns.baselines,
        recipe=recipe,
        task=task,
    )


def read_columns(table: pa.Table, *, recipe: str) -> Columns:
    """What the columns of that matrix stand for."""
    return _columns(table, _cells(table, recipe))[0]


def _cells(table: pa.Table, recipe: str) -> Integers:
    """The rows of the table (n,) that belong to a recipe."""
    codes, names = _codes(table, "recipe")
    return np.flatnonzero(codes == names.index(recipe)) if recipe in names else np.empty(0, int)


def _columns(table: pa.Table, cells: Integers) -> tuple[Columns, Integers]:
    """The columns of a matrix, and which of them each cell is in (n,)."""
    datasets, column, first = _axis(table, "dataset", cells)
    named = {}
    for name in ("dataset_revision", "metric"):
        codes, names = _codes(table, name)
        named[name] = tuple(names[code] for code in codes[cells[first]])
    baselines = _numbers(table, "baseline")[cells[first]]
    return Columns(datasets, named["dataset_revision"], named["metric"], baselines), column


def _axis(
    table: pa.Table, name: str, cells: Integers
) -> tuple[tuple[str, ...], Integers, Integers]:
    """The names along an axis, sorted; where each cell is on it (n,); a cell at each place."""
    codes, names = _codes(table, name)
    codes = codes[cells]
    cell = np.full(len(names), -1)
    cell[codes] = np.arange(len(codes))
    present = sorted(np.flatnonzero(cell >= 0).tolist(), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[present] = np.arange(len(present))
    return tuple(names[code] for code in present), place[codes], cell[present]


def _codes(table: pa.Table, name: str) -> tuple[Integers, list[str]]:
    """A column of texts as codes (n,) into a list of them."""
    texts = table[name].chunk(0)
    return np.asarray(np.from_dlpack(texts.indices), dtype=np.int64), texts.dictionary.to_pylist()


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    return np.array(np.from_dlpack(table[name].chunk(0)))  # Arrow's own way imports pandas
