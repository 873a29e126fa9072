"""Other people's tables: long, wide and the paper's; what is taken and what is named."""

from pathlib import Path

import numpy as np
import pytest

from hf_select.errors import DataError, InputError, UnknownNameError
from hf_select.results.foreign import IMPORTED, import_table, read_paper_matrix
from hf_select.results.repo import ResultsRepo

TASK = "text-classification"
PAPER = Path(__file__).parents[3] / "shared" / "data" / "paper"


@pytest.fixture
def table(tmp_path):
    """Write a table and import it as accuracies."""

    def read(text: str, name: str = "scores.csv", **values):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return import_table(path, **{"task": TASK, "metric": "accuracy", **values})

    return read


# ---------------------------------------------------------------------------------- wide


def test_wide(table):
    got = table("model,cola,sst2\nbert,0.5,0.9\norg/roberta,,0.95\n")
    assert got.rejected == []
    found = {(r.key.model, r.key.dataset): r.test for r in got.rows}
    assert found == {("bert", "cola"): 0.5, ("bert", "sst2"): 0.9, ("org/roberta", "sst2"): 0.95}
    (row, *_) = got.rows
    assert row.origin == "imported:scores.csv"
    assert row.key.recipe == "imported-scores"
    assert row.key.model_revision == row.key.dataset_revision == IMPORTED == "0" * 40
    assert len(row.curve) == 0
    assert sorted(m.repo_id for m in got.models) == ["bert", "org/roberta"]
    assert [(d.repo_id, d.metric) for d in got.datasets] == [
        ("cola", "accuracy"),
        ("sst2", "accuracy"),
    ]


@pytest.mark.parametrize(
    "text", ["model;x\na;0.5\n", "model\tx\r\na\t0.5\r\n", "\ufeffmodel,x\na,0.5"]
)
def test_separators_line_ends_and_byte_order_mark(table, text):
    (row,) = table(text).rows
    assert (row.key.model, row.key.dataset, row.test) == ("a", "x", 0.5)


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "-", " ", "null"])
def test_an_empty_cell_is_not_measured(table, cell):
    got = table(f"model,x,y\na,{cell},0.5\n")
    assert len(got.rows) == 1
    assert got.rejected == []


def test_cells_that_cannot_be_used_are_named_and_the_rest_stays(table):
    got = table("model,x,y\na,1.7,0.5\nb,85,0.6\nc,good,0.7\nd,0.4\n,0.1,0.2\na,0.5,0.5\n")
    assert [r.test for r in got.rows] == [0.5, 0.6, 0.7]
    said = {bad.repo_id: bad.reason for bad in got.rejected}
    assert "1.7 is outside the range of accuracy [0, 1]" in said["line 2, column 'x'"]
    assert "divide percentages by 100" in said["line 3, column 'x'"]
    assert "'good'" in said["line 4, column 'x'"]
    assert "2 cells for 3 columns" in said["line 5"]
    assert "'model' is empty" in said["line 6"]
    assert "on line 2 already" in said["line 7"]


def test_metric_by_dataset(table):
    text = "model,cola,sst2\na,-0.04,0.9\n"
    got = table(text)
    assert [r.key.dataset for r in got.rows] == ["sst2"]
    assert "-0.04" in got.rejected[0].reason
    for metric in (
        "accuracy,cola=matthews_correlation",
        {"*": "accuracy", "cola": "matthews_correlation"},
    ):
        got = table(text, metric=metric)
        assert [(r.metric, r.test) for r in got.rows] == [
            ("matthews_correlation", -0.04),
            ("accuracy", 0.9),
        ]


# ---------------------------------------------------------------------------------- long


def test_long(table):
    got = table(
        "model,dataset,score,seed,seconds,baseline\na,x,0.5,0,12.5,0.3\na,x,0.6,1,,\nb,y,0.7,0,,\n"
    )
    assert got.rejected == []
    assert [(r.key.model, r.key.seed, r.test) for r in got.rows] == [
        ("a", 0, 0.5),
        ("a", 1, 0.6),
        ("b", 0, 0.7),
    ]
    assert (got.rows[0].seconds, got.rows[0].baseline) == (12.5, 0.3)
    assert np.isnan(got.rows[1].seconds)


def test_rows_with_an_epoch_form_a_curve(table):
    got = table(
        "model,dataset,score,epoch,val,seconds\n"
        "a,x,,2,0.6,20\na,x,,0.5,0.4,5\na,x,0.55,1,0.5,10\nb,x,0.9,,,\n"
    )
    assert got.rejected == []
    a, b = got.rows
    assert a.curve.epochs.tolist() == [0.5, 1, 2]
    assert a.curve.val.tolist() == [0.4, 0.5, 0.6]
    assert a.curve.seconds.tolist() == [5, 10, 20]
    assert (a.test, a.seconds) == (0.55, 20)
    assert (b.test, len(b.curve)) == (0.9, 0)


def test_the_final_score_may_be_repeated_on_every_row(table):
    (row,) = table("model,dataset,score,epoch,val\na,x,0.6,1,0.5\na,x,0.6,2,0.55\n").rows
    assert (row.test, len(row.curve)) == (0.6, 2)


def test_long_rows_that_cannot_be_used(table):
    got = table(
        "model,dataset,score,seed,epoch,val\n"
        "ok,x,0.5,0,,\n"
        "twice,x,0.5,0,,\ntwice,x,0.6,0,,\n"
        "nofinal,x,,0,1,0.5\n"
        "clash,x,0.5,0,1,0.4\nclash,x,0.6,0,2,0.5\n"
        "again,x,0.5,0,1,0.4\nagain,x,0.5,0,1,0.5\n"
        "seed,x,0.5,one,,\n"
        "neg,x,0.5,-1,,\n"
        "epoch,x,0.5,0,-1,0.4\n"
        ",x,0.5,0,,\n"
        "../up,x,0.5,0,,\n"
        "inf,x,inf,0,,\n"
    )
    assert [r.key.model for r in got.rows] == ["ok"]
    said = {bad.repo_id: bad.reason for bad in got.rejected}
    assert "several runs need a `seed`" in said["line 3"]
    assert "no final score" in said["line 5"]
    assert "scores 0.5, 0.6" in said["line 6"]
    assert "epoch twice" in said["line 8"]
    assert "'one'" in said["line 10"]
    assert "'-1'" in said["line 11"]
    assert "above 0" in said["line 12"]
    assert "'model' is empty" in said["line 13"]
    assert "safe name" in said["line 14"]
    assert "finite" in said["line 15"]
    assert len(said) == 10


def test_a_recipe_column_keeps_runs_apart(table):
    got = table("model,dataset,score,recipe\na,x,0.5,lr 1e-5\na,x,0.6,big\n")
    first, second = (r.key.recipe for r in got.rows)
    assert second == "imported-big"
    assert first.startswith("imported-")
    assert " " not in first


def test_two_files_mix_only_under_one_recipe_name(table):
    alone = table("model,x\na,0.5\n", "one.csv"), table("model,x\nb,0.5\n", "two.csv")
    assert len({got.rows[0].key.recipe for got in alone}) == 2
    named = table("model,x\na,0.5\n", recipe="glue"), table("model,x\nb,0.5\n", recipe="glue")
    assert {got.rows[0].key.recipe for got in named} == {"imported-glue"}


def test_a_metric_column(table):
    got = table(
        "model,dataset,score,metric\na,x,-0.5,matthews_correlation\na,y,0.5,\na,z,0.5,magic\n"
    )
    assert [r.metric for r in got.rows] == ["matthews_correlation", "accuracy"]
    assert "unknown metric 'magic'" in got.rejected[0].reason


def test_columns_can_be_mapped(table):
    got = table(
        "Name,Task,Acc\na,x,0.5\n", mapping={"model": "Name", "dataset": "Task", "score": "Acc"}
    )
    assert [(r.key.model, r.key.dataset, r.test) for r in got.rows] == [("a", "x", 0.5)]
    (row,) = table("x,checkpoint\n0.5,a\n", mapping={"model": "checkpoint"}, format="wide").rows
    assert (row.key.model, row.key.dataset) == ("a", "x")


# ------------------------------------------------------------------------------- proxies


def test_proxy_scores_long_and_wide(table):
    long = table(
        "model,dataset,proxy,value,seconds\na,x,leep,-0.7,2\nb,x,logme,nan,\n", kind="proxies"
    )
    (row,) = long.rows
    assert (row.proxy, row.value, row.seconds, row.task) == ("leep", -0.7, 2.0, TASK)
    mapped = table(
        "net,set,name,x\na,x,leep,-0.7\nb,x,logme,nan\n",
        kind="proxies",
        mapping={"model": "net", "dataset": "set", "proxy": "name", "value": "x"},
    )
    assert [(row.model, row.proxy, row.value) for row in mapped.rows[:1]] == [("a", "leep", -0.7)]
    wide = table("model,x,y\na,-0.7,-12\nb,-0.8,\n", kind="proxies", metric="leep")
    assert [(r.model, r.dataset, r.proxy, r.value) for r in wide.rows] == [
        ("a", "x", "leep", -0.7),
        ("a", "y", "leep", -12.0),
        ("b", "x", "leep", -0.8),
    ]
    assert [m.repo_id for m in wide.models] == ["a", "b"]
    bad = table("model,dataset,score\na,x,1\na,x,2\na,y,high\n", kind="proxies", metric="leep")
    assert [b.repo_id for b in bad.rejected] == ["line 3", "line 4"]


# -------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("name,x\na,0.5\n", "neither long nor wide"),
        ("model\na\n", "no dataset column"),
        ("model,x,x\na,1,1\n", "'x' twice"),
        ("model,x,\na,1,\n", "column 3 has no name"),
        ("model,dataset,score,colour\na,x,1,red\n", "unknown column 'colour'"),
        ("model,dataset,score,epoch\na,x,1,1\n", "none called 'val'"),
        ("model,dataset,score,val\na,x,1,1\n", "none called 'epoch'"),
        (b"model,x\n\xff\xfe,0.5\n", "not UTF-8"),
        ('model,x\n"a,0.5\n', "line"),
    ],
)
def test_a_table_that_cannot_be_used(table, text, words):
    with pytest.raises(DataError, match=words) as error:
        table(text)
    assert "scores.csv" in error.value.message


def test_wrong_arguments(table, tmp_path):
    text = "model,x\na,0.5\n"
    with pytest.raises(DataError, match="no file"):
        import_table(tmp_path / "no.csv", task=TASK, metric="accuracy")
    for words, values in {
        "metric 'acc'": {"metric": "acc"},
        "kind": {"kind": "models"},
        "format": {"format": "tall"},
        "column": {"mapping": {"colour": "x"}},
    }.items():
        with pytest.raises(UnknownNameError, match=words):
            table(text, **values)
    for words, values in {
        "task": {"task": "../x"},
        "metric is": {"metric": "accuracy,,"},
        "no column 'y'": {"mapping": {"model": "y"}},
        "is a column already": {"mapping": {"model": "x"}},
        "no column 'dataset'": {"format": "long"},
        "dataset names": {"format": "paper"},
    }.items():
        with pytest.raises(InputError, match=words):
            table(text, **values)
    got = table("model,x,y\na,0.5,0.5\n", metric={"x": "accuracy"})
    assert len(got.rows) == 1
    assert "no metric" in got.rejected[0].reason


def test_a_metric_of_another_kind_of_task_is_refused_before_the_file_is_read(tmp_path):
    for task, metric in {
        "text-regression": "accuracy",
        "text-classification": "rmse",
        "image-classification": "accuracy,x=mae",
    }.items():
        with pytest.raises(InputError, match=f"is a metric for .* but {task} is") as error:
            import_table(tmp_path / "never-read.csv", task=task, metric=metric)
        assert not isinstance(error.value, DataError)
        assert ("rmse" if task == "text-regression" else "accuracy") in error.value.hint


def test_a_metric_column_of_another_kind_rejects_its_row(table):
    got = table("model,dataset,score,metric\na,x,0.5,accuracy\nb,x,0.5,rmse\n")
    assert [row.key.model for row in got.rows] == ["a"]
    assert "rmse is a metric for regression" in got.rejected[0].reason


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("text-classification", "accuracy"),
        ("image-classification", "accuracy"),
        ("text-regression", "rmse"),
    ],
)
def test_without_a_metric_it_is_the_tasks_own(table, task, metric):
    got = table("model,x\na,0.5\n", task=task, metric=None)
    assert [row.metric for row in got.rows] == [metric]
    assert [entry.metric for entry in got.datasets] == [metric]


def test_a_default_metric_needs_a_known_task(table):
    with pytest.raises(UnknownNameError, match="fill-mask"):
        table("model,x\na,0.5\n", task="fill-mask", metric=None)


def test_proxy_scores_say_whose_they_are(table):
    got = table("model,dataset,proxy,value\na,x,leep,-0.5\n", kind="proxies", metric=None)
    assert [row.proxy for row in got.rows] == ["leep"]
    for text in ("model,dataset,value\na,x,-0.5\n", "model,x\na,-0.5\n"):
        with pytest.raises(DataError, match="which proxy") as error:
            table(text, kind="proxies", metric=None)
        assert "`proxy`" in error.value.hint


def test_errors_are_kept_though_nothing_can_be_made_of_them_alone(table, tmp_path):
    """Raw errors without the trivial predictor's are stored; with it they have a skill."""
    task = "text-regression"
    bare = table("model,x\na,0.5\nb,0.6\n", task=task, metric="rmse")
    repo = ResultsRepo.open_or_create(tmp_path / "bare")
    repo.append(bare.rows, models=bare.models, datasets=bare.datasets)
    matrix = repo.matrix(task)
    np.testing.assert_array_equal(matrix.scores, [[0.5], [0.6]])
    assert np.isnan(matrix.skill).all()
    text = "model,dataset,score,baseline\na,x,0.5,1.0\nb,x,0.6,1.0\n"
    known = table(text, task=task, metric="rmse")
    repo = ResultsRepo.open_or_create(tmp_path / "known")
    repo.append(known.rows, models=known.models, datasets=known.datasets)
    np.testing.assert_allclose(repo.matrix(task).skill, [[0.5], [0.4]])


# ----------------------------------------------------------------------------- the paper's


def test_the_papers_matrix_format(tmp_path):
    (tmp_path / "m.txt").write_bytes(b"a\tb\r\n0.1\t0.2\r\n0.3\t\r\n\r\n")
    (tmp_path / "d.txt").write_text("x\ny")
    scores, models, datasets = read_paper_matrix(tmp_path / "m.txt", tmp_path / "d.txt")
    assert (models, datasets) == (("a", "b"), ("x", "y"))
    np.testing.assert_array_equal(scores, [[0.1, 0.3], [0.2, np.nan]])
    got = import_table(
        tmp_path / "m.txt",
        task=TASK,
        metric="accuracy",
        format="paper",
        datasets_file=tmp_path / "d.txt",
    )
    assert [(r.key.model, r.key.dataset, r.test) for r in got.rows] == [
        ("a", "x", 0.1),
        ("a", "y", 0.3),
        ("b", "x", 0.2),
    ]


@pytest.mark.parametrize(
    ("matrix", "names", "words"),
    [
        ("a\tb\n1\t1\n", "x\ny\n", "1 lines of scores.*2 datasets"),
        ("a\tb\n1\n", "x\n", "line 2.*1 scores for 2"),
        ("a\tb\n1\tz\n", "x\n", "line 2.*b is 'z'"),
        ("a\ta\n1\t1\n", "x\n", "'a' is there twice"),
        ("", "x\n", "empty"),
    ],
)
def test_a_paper_matrix_that_cannot_be_used(tmp_path, matrix, names, words):
    (tmp_path / "m.txt").write_text(matrix)
    (tmp_path / "d.txt").write_text(names)
    with pytest.raises(DataError, match=words):
        read_paper_matrix(tmp_path / "m.txt", tmp_path / "d.txt")


@pytest.mark.skipif(not PAPER.is_dir(), reason="the paper's files are not here")
@pytest.mark.parametrize(("name", "shape"), [("nlp", (39, 21)), ("cv", (30, 6))])
def test_the_papers_own_matrices(tmp_path, name, shape):
    files = PAPER / f"{name}_matrix.txt", PAPER / f"{name}_datasets.txt"
    scores, models, datasets = read_paper_matrix(*files)
    assert scores.shape == shape
    wide = tmp_path / "wide.csv"
    rows = [",".join(map(str, (m, *r))) for m, r in zip(models, scores.tolist(), strict=True)]
    wide.write_text("\n".join([",".join(("model", *datasets)), *rows]) + "\n")
    metric = "accuracy,cola=matthews_correlation"
    got = import_table(wide, task=TASK, metric=metric)
    same = import_table(files[0], task=TASK, metric=metric, format="paper", datasets_file=files[1])
    assert got.rejected == same.rejected == []
    assert [(r.key.model, r.key.dataset, r.test) for r in got.rows] == [
        (r.key.model, r.key.dataset, r.test) for r in same.rows
    ]
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append(got.rows, models=got.models, datasets=got.datasets)
    repo.compact()
    matrix = ResultsRepo.open(repo.path).matrix(TASK)
    order = [models.index(m) for m in matrix.models], [datasets.index(d) for d in matrix.datasets]
    np.testing.assert_array_equal(matrix.scores, scores[np.ix_(*order)])
    assert repo.verify() == []
