"""The tables of a snapshot: what is derived, and how it comes back."""

import numpy as np
import pytest
from made import RECIPE, TASK, dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import InputError
from hf_select.records import Clustering
from hf_select.results.matrix import performance_matrix
from hf_select.results.schema import DERIVED, ShardError, derived, encode, write_table
from hf_select.results.state import State
from hf_select.results.tables import (
    cluster_table,
    read_clustering,
    read_columns,
    read_matrix,
    read_sizes,
    sizes_table,
    snapshot_tables,
)

SCORES = {"a": (0.5, 0.9), "b": (0.55, 0.85), "c": (0.9, 0.1)}


def state() -> State:
    found = State()
    for row in (
        *(run(m, d, s) for m, two in SCORES.items() for d, s in zip("xy", two, strict=True)),
        run("a", "x", status="oom", seed=3),
        run("a", "x", 0.25, key={"recipe": "other"}),
        run("q", status="oom", task="image-classification"),
        *(model(m, num_parameters=ord(m)) for m in "ab"),
        dataset("x"),
        RECIPE,
    ):
        found.add(row)
    return found


def tables(cluster=None) -> dict:
    return {(t.task, t.kind): t for t in snapshot_tables(state(), cluster)}


def test_a_table_a_kind_and_task():
    images = ("image-classification", "runs")
    stored = {("", "recipes"), images, *((TASK, k) for k in ("runs", "models", "datasets"))}
    assert set(tables()) == {*stored, (TASK, "matrix"), (TASK, "sizes")}
    found = tables(cluster_models)
    assert set(found) == {*stored, *((TASK, kind) for kind in DERIVED)}
    assert found["", "recipes"].entry(3)["path"] == "snapshots/3/recipes.parquet"
    entry = found[TASK, "runs"].entry(3)
    assert entry["path"] == f"snapshots/3/task={TASK}/runs.parquet"
    assert (entry["rows"], entry["bytes"]) == (8, len(found[TASK, "runs"].data))
    assert entry["recipes"] == {RECIPE.digest(): 6, "other": 1}
    assert "recipes" not in found[TASK, "matrix"].entry(3)
    rows = {kind: table.rows for (task, kind), table in found.items() if task == TASK}
    assert rows == {"runs": 8, "models": 2, "datasets": 1, "sizes": 2, "matrix": 7, "clusters": 3}
    assert found[TASK, "runs"].recipes == {RECIPE.digest(): 6, "other": 1}
    assert found[images].recipes == {}
    assert found[TASK, "matrix"].recipes is None


def test_the_same_rows_are_the_same_bytes():
    assert tables(cluster_models) == tables(cluster_models)


def test_the_matrix_of_each_recipe():
    table = derived(tables()[TASK, "matrix"].data, "matrix")
    for recipe in (RECIPE.digest(), "other"):
        mine = [r for r in state().best() if r.task == TASK and r.key.recipe == recipe]
        made = performance_matrix(mine, task=TASK, recipe=recipe)
        found = read_matrix(table, task=TASK, recipe=recipe)
        assert (found.models, found.datasets) == (made.models, made.datasets)
        assert (found.metrics, found.recipe, found.task) == (made.metrics, recipe, TASK)
        assert found.scores.tobytes() == made.scores.tobytes()
        assert found.spread.tobytes() == made.spread.tobytes()
        assert found.baselines.tobytes() == made.baselines.tobytes()
    columns = read_columns(table, recipe=RECIPE.digest())
    assert columns.datasets == ("x", "y")
    assert columns.revisions == (dataset("x").revision, dataset("y").revision)


def test_sizes_come_back():
    sizes = {"a": 3, "é": 0, "漢": 2**40}
    assert read_sizes(derived(write_table("sizes", sizes_table(TASK, sizes)), "sizes")) == sizes


@pytest.mark.parametrize("silhouette", [0.1 + 0.2, float("nan")])
def test_clusters_come_back(silhouette):
    made = Clustering(
        models=("b", "a", "c", "d"),  # whatever the order
        labels=np.array([1, 0, 0, 1]),
        distance=np.zeros((4, 4)),
        representatives={0: 2, 1: 0},
        algorithm="kmeans",
        threshold=float("nan"),
        silhouette=silhouette,
    )
    data = write_table("clusters", cluster_table(made, task=TASK, recipe="r"))
    found = read_clustering(derived(data, "clusters"))
    assert found.models == made.models
    assert found.labels.tobytes() == made.labels.tobytes()
    assert (found.representatives, found.algorithm) == (made.representatives, "kmeans")
    np.testing.assert_equal([found.threshold, found.silhouette], [np.nan, silhouette])
    assert found.distance is None


def test_nothing_is_clustered_where_nothing_can_be():
    def refuses(matrix, old):
        raise InputError("nothing to compare")

    assert (TASK, "clusters") not in tables(refuses)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PAR1", "not a readable parquet file"),
        (encode("models", [model()]), "no sizes table"),
        (write_table("sizes", sizes_table(TASK, {"a": 1}))[:-10], "not a readable"),
    ],
)
def test_a_derived_file_of_another_shape_is_refused(data, words):
    with pytest.raises(ShardError, match=words):
        derived(data, "sizes")
