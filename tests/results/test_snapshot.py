"""One snapshot read in parts: the same answers as the repository's, and how little is read."""

import io
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from made import RECIPE, TASK, dataset, model, run

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import MissingError, RecordError, UnknownNameError
from hf_select.records import LearningCurve, ProxyRow, Recipe
from hf_select.results import schema
from hf_select.results.repo import MANIFEST, ResultsRepo
from hf_select.results.snapshot import FolderSource, Snapshot

OTHER = Recipe(learning_rate=1.0)
IMAGES = "image-classification"


def record(path: Path) -> ResultsRepo:
    """Recipes, tasks, seeds, revisions, metrics, a failure, a disagreement, gaps."""
    repo = ResultsRepo.create(path)
    rng = np.random.default_rng(0)
    names = [f"org/{c}" for c in "abcdefgh"] + ["Org/Z", "é/ü", "漢/字", "\U0001f600/m"]
    runs = []
    for i, name in enumerate(names):
        for j, column in enumerate(("x", "y", "lab/z")):
            for seed in range(1 + (i + j) % 3):
                if (i * 3 + j) % 5 == 0:
                    continue
                count = 3 + (i + seed) % 2
                curve = LearningCurve(
                    np.array([0.125, 0.5, 1.0, 2.0])[:count],
                    rng.integers(0, 301, count) / 300,
                    *rng.random((3, count)).astype(np.float32),
                )
                runs.append(
                    run(
                        name,
                        column,
                        rng.integers(0, 401) / 400,
                        seed=seed,
                        curve=curve,
                        baseline=float("nan") if j == 2 else 0.5,
                        created=f"2025-01-{1 + i:02}",
                    )
                )
    runs += [
        run("org/a", "x", seed=9, status="diverged"),
        run("org/failed", "x", status="oom"),
        # of the dataset's later commit there are fewer models; of a model's, the newest counts
        run("org/b", "x", 0.5, key={"dataset_revision": "e" * 40}, created="2026"),
        run("org/c", "y", 0.25, key={"model_revision": "d" * 40}, created="2026"),
        run("org/c", "w", 0.25, key={"model_revision": "c" * 40}, created="2024"),
        # one dataset, two configs; another metric on one that has a metric already
        *(run("org/d", "glue", 0.5, key={"config": c}) for c in ("cola", "sst2")),
        run("org/e", "x", 0.125, metric="f1", seed=5),
        run("org/e", "only-f1", 0.125, metric="f1", baseline=float("nan")),
        *(run(m, "x", 0.5, key={"recipe": OTHER.digest()}) for m in ("org/a", "é/ü")),
        *(run(m, "x", 0.5, key={"recipe": "imported-glue"}) for m in names[:6]),
        run("vit", "cifar", 0.75, task=IMAGES),
    ]
    repo.append(
        runs,
        models=[model(n, num_parameters=7 * i) for i, n in enumerate(names)]
        + [model("org/c", revision="d" * 40, num_parameters=99), model("vit", task=IMAGES)],
        datasets=[dataset("x"), dataset("lab/z", baseline=0.375), dataset("cifar", task=IMAGES)],
        proxies=[
            ProxyRow("org/a", "0", "x", "0", "logme", 0.5, 1.0, 100, TASK),
            ProxyRow("org/a", "0", "x", "0", "leep", -0.5, 1.0, 100, TASK),
        ],
        recipes=[RECIPE, OTHER],
    )
    repo.append([run("org/a", "x", 0.9, seed=1, created="2030")])  # disagrees
    repo.compact(cluster=cluster_models)
    return repo


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    return record(tmp_path_factory.mktemp("record") / "r")


@pytest.fixture
def snapshot(repo):
    return Snapshot(FolderSource(repo.path), name="lab/record")


def same(one: object, other: object) -> None:
    """Equal field by field, arrays bit by bit."""
    assert type(one) is type(other)
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), field.name
            assert a.tobytes() == b.tobytes(), field.name
        elif isinstance(a, float) and np.isnan(a):
            assert np.isnan(b)
        else:
            assert a == b, field.name


CHOICES = [
    {},
    {"recipe": RECIPE.digest()},
    {"recipe": OTHER.digest()},
    {"recipe": "imported-glue"},
    {"metric": "accuracy"},
    {"metric": "f1"},
    {"recipe": OTHER.digest(), "metric": "accuracy"},
]


@pytest.mark.parametrize("choice", CHOICES)
def test_the_matrix_is_the_repositorys_bit_for_bit(repo, snapshot, choice):
    same(repo.matrix(TASK, **choice), snapshot.matrix(TASK, **choice))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    "names",
    [None, ["org/a"], ["org/c", "漢/字", "\U0001f600/m"], ["org/failed", "nobody", "é/ü"], []],
)
def test_curves_of_some_models_are_the_repositorys(repo, snapshot, choice, names):
    mine, theirs = (r.curves(TASK, models=names, **choice) for r in (repo, snapshot))
    same(mine, theirs)
    whole = repo.curves(TASK, **choice)
    rows = [whole.models.index(m) for m in theirs.models]
    assert set(theirs.models) == set(whole.models).intersection(names or whole.models) or not names
    assert theirs.datasets == whole.datasets
    for row, name in zip(rows, theirs.models, strict=True):
        for j, column in enumerate(whole.datasets):
            for s, seed in enumerate(whole.seeds):
                if seed not in theirs.seeds:
                    assert np.isnan(whole.test[row, j, s])
                    continue
                assert theirs.curve(name, column, seed) == whole.curve(name, column, seed)
                at = theirs.seeds.index(seed)
                test = theirs.test[theirs.models.index(name), j, at]
                np.testing.assert_equal(test, whole.test[row, j, s])


def test_all_else_is_the_repositorys(repo, snapshot):
    assert snapshot.name == "lab/record"
    assert snapshot.generation == 1
    assert snapshot.tasks() == repo.tasks() == [IMAGES, TASK]
    for task in (None, TASK, IMAGES, "nothing"):
        assert snapshot.models(task) == repo.models(task)
        assert snapshot.proxies(task) == repo.proxies(task)
        assert repr(snapshot.datasets(task)) == repr(repo.datasets(task))
        for names in ([], ["org/c", "vit"], {"漢/字", "zzz"}):
            assert snapshot.models(task, names) == repo.models(task, names)
    assert [p.proxy for p in snapshot.proxies(TASK, "leep")] == ["leep"]
    for task in (TASK, IMAGES, "nothing"):
        assert list(snapshot.recipes(task).items()) == list(repo.recipes(task).items())
        assert snapshot.sizes(task) == repo.sizes(task)
    assert snapshot.sizes(TASK)["org/c"] == 99  # the revision that was added last
    for digest in (RECIPE.digest(), OTHER.digest(), "imported-glue"):
        assert snapshot.recipe(digest) == repo.recipe(digest)
    same(snapshot.clustering(TASK), repo.clustering(TASK))
    made = cluster_models(repo.matrix(TASK))
    assert snapshot.clustering(TASK).labels.tobytes() == made.labels.tobytes()
    assert snapshot.clustering(IMAGES) is None


def test_the_errors_are_the_repositorys(repo, snapshot):
    for ask in ("matrix", "curves"):
        for reader in (repo, snapshot):
            with pytest.raises(UnknownNameError, match="recipe 'nonsense'"):
                getattr(reader, ask)(TASK, recipe="nonsense")
            with pytest.raises(RecordError, match="no runs of that task") as error:
                getattr(reader, ask)("text-regression")
            assert error.value.hint.endswith(f"{IMAGES}, {TASK}")
            with pytest.raises(RecordError, match="metric 'r2'"):
                getattr(reader, ask)(TASK, metric="r2")


def test_a_task_of_failures_alone(tmp_path):
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run(status="oom")])
    repo.compact()
    for reader in (repo, Snapshot(FolderSource(repo.path), name="r")):
        assert reader.recipes(TASK) == {}
        with pytest.raises(RecordError, match=r"none of its 1 runs of that task succeeded"):
            reader.matrix(TASK)


def test_the_inbox_is_not_seen(tmp_path):
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run("a")])
    repo.compact()
    repo.append([run("b")])
    assert Snapshot(FolderSource(repo.path), name="r").matrix(TASK).models == ("a",)


# ----------------------------------------------------------------------- what can't be used


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"lab/x is not a results repository"):
        Snapshot(FolderSource(tmp_path), name="lab/x")
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run()])
    with pytest.raises(RecordError, match="holds no snapshot yet") as error:
        Snapshot(FolderSource(repo.path), name="lab/x")
    assert "compact" in error.value.hint
    repo.compact()
    document = json.loads((repo.path / MANIFEST).read_text())
    (repo.path / MANIFEST).write_text(json.dumps({"schema_version": 2, "other": document}))
    with pytest.raises(RecordError, match="schema version 2, newer than 1") as error:
        Snapshot(FolderSource(repo.path), name="lab/x")
    assert "upgrade" in error.value.hint
    (repo.path / MANIFEST).write_text("<html>")
    with pytest.raises(RecordError, match=r"lab/x/manifest\.json can't be read"):
        Snapshot(FolderSource(repo.path), name="lab/x")


@pytest.mark.parametrize("missing", ["file", "repository"])
def test_what_a_hub_says_is_missing(missing):
    class Nothing(FolderSource):
        def read(self, path):
            raise MissingError("there is no such thing", missing=missing)

    with pytest.raises((RecordError, MissingError)) as error:
        Snapshot(Nothing("."), name="lab/x")
    assert ("not a results repository" in error.value.message) == (missing == "file")


READS = {
    "matrix": lambda s: s.matrix(TASK),
    "clusters": lambda s: s.clustering(TASK),
    "sizes": lambda s: s.sizes(TASK),
    "datasets": lambda s: s.datasets(),
    "proxies": lambda s: s.proxies(),
    "recipes": lambda s: s.recipe("x"),
    "models": lambda s: s.models(),
    "runs": lambda s: s.curves(TASK),
}


@pytest.mark.parametrize("kind", READS)
def test_a_file_with_another_sha256_is_refused_and_named(tmp_path, kind):
    repo = record(tmp_path / "r")
    (path,) = [
        repo.path / e["path"]
        for e in repo._manifest()["snapshots"]
        if e["kind"] == kind and e["task"] in ("", TASK)
    ]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    snapshot = Snapshot(FolderSource(repo.path), name="lab/x")  # others can be read
    with pytest.raises(RecordError, match=rf"lab/x: .*{kind}\.parquet was changed or damaged"):
        READS[kind](snapshot)
    path.unlink()
    snapshot = Snapshot(FolderSource(repo.path), name="lab/x")
    with pytest.raises(RecordError, match=rf"{kind}\.parquet is in the manifest but missing"):
        READS[kind](snapshot)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("models", lambda s: s.models(TASK, ["org/a"])),
        ("runs", lambda s: s.curves(TASK, models=["org/a"])),
    ],
)
@pytest.mark.parametrize("harm", ["cut", "text", "gone", "newer", "column"])
def test_a_file_read_by_ranges_that_is_no_table_is_named(tmp_path, monkeypatch, kind, read, harm):
    repo = record(tmp_path / "r")
    path = repo.path / f"snapshots/1/task={TASK}/{kind}.parquet"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif harm == "text":
        path.write_bytes(b"<html>not found</html>")
    elif harm == "gone":
        path.unlink()
    else:
        rows = repo.models(TASK) if kind == "models" else repo.runs(TASK)
        if harm == "newer":
            monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
        else:
            monkeypatch.setitem(schema.SCHEMAS, kind, schema.SCHEMAS[kind].remove(1))
            monkeypatch.setitem(schema._STATISTICS, kind, True)
        path.write_bytes(schema.encode(kind, rows))
        monkeypatch.undo()
    with pytest.raises(RecordError, match=rf"{kind}\.parquet"):
        read(Snapshot(FolderSource(repo.path), name="lab/x"))


def test_a_snapshot_of_an_older_manifest(repo, tmp_path):
    """Without `bytes`, `recipes`, and sizes: all of it can be told from the rows."""

    class Old(FolderSource):
        def read(self, path):
            data = super().read(path)
            if path != MANIFEST:
                return data
            document = json.loads(data)
            kept = [e for e in document["snapshots"] if e["kind"] not in ("sizes", "clusters")]
            for entry in kept:
                del entry["bytes"]
                entry.pop("recipes", None)
            return json.dumps({**document, "snapshots": kept}).encode()

    old = Snapshot(Old(repo.path), name="old")
    assert list(old.recipes(TASK).items()) == list(repo.recipes(TASK).items())
    assert old.sizes(TASK) == repo.sizes(TASK)
    assert old.clustering(TASK) is None
    same(old.matrix(TASK), repo.matrix(TASK))


# --------------------------------------------------------------------------- how little is read


class Counting(FolderSource):
    """Counts the bytes of each file that are read."""

    def __init__(self, folder):
        super().__init__(folder)
        self.bytes: dict[str, int] = {}
        self.reads = 0

    def read(self, path):
        data = super().read(path)
        self._count(path, len(data))
        return data

    def open(self, path):
        source = self

        class File(io.FileIO):
            def read(self, size=-1):
                data = super().read(size)
                source._count(path, len(data))
                return data

        return File(self.folder / path)

    def _count(self, path, count):
        name = Path(path).name
        self.bytes[name] = self.bytes.get(name, 0) + count
        self.reads += 1


def test_only_what_is_asked_for_is_read(repo):
    source = Counting(repo.path)
    snapshot = Snapshot(source, name="r")
    snapshot.tasks(), snapshot.recipes(TASK)
    assert set(source.bytes) == {"manifest.json"}
    snapshot.matrix(TASK)
    snapshot.clustering(TASK)
    snapshot.matrix(TASK, recipe=OTHER.digest())
    files = {"manifest.json", "matrix.parquet", "clusters.parquet"}
    assert set(source.bytes) == files
    snapshot.curves(TASK, models=["org/a"])
    assert set(source.bytes) == {*files, "runs.parquet"}
    snapshot.models(TASK, ["org/a"])
    assert set(source.bytes) == {*files, "runs.parquet", "models.parquet"}
    folder = repo.path / "snapshots" / "1" / f"task={TASK}"
    assert source.bytes["matrix.parquet"] == (folder / "matrix.parquet").stat().st_size


def test_a_few_models_of_many_cost_a_few_row_groups(tmp_path):
    repo = ResultsRepo.create(tmp_path / "r")
    names = [f"org{i // 100:02}/model-{i:04}" for i in range(4000)]
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 401, (4000, 2)) / 400
    repo.append(
        [
            run(
                name,
                column,
                scores[i, j],
                curve=LearningCurve([1.0, 2.0], *rng.random((4, 2)).astype(np.float32)),
            )
            for i, name in enumerate(names)
            for j, column in enumerate("xy")
        ],
        models=[model(n, weights_sha256=rng.bytes(32).hex()) for n in names],
    )
    repo.compact()
    folder = repo.path / "snapshots" / "1" / f"task={TASK}"
    size = {kind: (folder / f"{kind}.parquet").stat().st_size for kind in ("runs", "models")}
    source = Counting(repo.path)
    snapshot = Snapshot(source, name="r")
    few = [names[17], names[3999]]
    assert [entry.repo_id for entry in snapshot.models(TASK, few)] == few
    # the end of a file is read in 64 kB, where its footer is
    assert source.bytes["models.parquet"] < 2**16 + size["models"] / 4
    before = source.reads
    curves = snapshot.curves(TASK, models=few)
    assert source.bytes["runs.parquet"] < 2**16 + size["runs"] / 4
    assert source.reads - before <= 2 + 1 + 2 + 1  # footer, matrix, one for each row group
    np.testing.assert_array_equal(curves.test[:, :, 0], scores[[17, 3999]])
    read = source.bytes["runs.parquet"]
    snapshot.curves(TASK, models=few)
    assert source.bytes["runs.parquet"] - read == read - 2**16  # the footer is known by now
    matrix = snapshot.matrix(TASK, metric="accuracy")
    np.testing.assert_array_equal(matrix.scores, scores)
    assert source.bytes["runs.parquet"] < 2 * read  # nothing but the footer was asked


def test_reading_imports_no_pandas(repo):
    code = (
        "import sys\n"
        "from hf_select.results.snapshot import FolderSource, Snapshot\n"
        "snapshot = Snapshot(FolderSource(sys.argv[1]), name='r')\n"
        "task = 'text-classification'\n"
        "models = snapshot.matrix(task, metric='f1').models\n"
        "snapshot.curves(task, models=models[:2]), snapshot.models(task, models[:2])\n"
        "snapshot.clustering(task), snapshot.sizes(task), snapshot.matrix(task)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(repo.path)], check=True)
