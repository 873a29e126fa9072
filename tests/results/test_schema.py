"""Rows to parquet and back; what may not enter the record."""

import io
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import RECIPE, dataset, model, run

from hf_select.metrics import METRICS
from hf_select.records import STATUSES, LearningCurve, ProxyRow, RunKey, RunRecord
from hf_select.results.schema import (
    META_VERSION,
    READ_FOR_CURVES,
    SCHEMA_VERSION,
    SCHEMAS,
    STORED,
    ShardError,
    check,
    curve_runs,
    decode,
    encode,
)

ROWS = {
    "runs": [run(), run("b", status="diverged"), run("c", curve=LearningCurve.empty())],
    "models": [model(), model("b", base_model="a", relation="finetune", languages=())],
    "datasets": [dataset(), dataset("y", baseline=float("nan"), splits={}, label_names=())],
    "proxies": [ProxyRow("a", "0", "x", "0", "logme", -0.5, 1.5, 200, "text-classification")],
    "recipes": [RECIPE],
}


def same(one: object, other: object) -> bool:
    """Equal field by field, NaN equal to NaN."""
    if isinstance(one, float) and np.isnan(one):
        return isinstance(other, float) and bool(np.isnan(other))
    if hasattr(one, "__dataclass_fields__") and not isinstance(one, LearningCurve):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return one == other


@pytest.mark.parametrize("kind", STORED)
def test_every_kind_survives_a_round_trip(kind):
    shard = decode(encode(kind, ROWS[kind], "2025-01-01"))
    assert (shard.kind, shard.created, shard.problems) == (kind, "2025-01-01", ())
    assert len(shard.rows) == len(ROWS[kind])
    assert all(same(a, b) for a, b in zip(ROWS[kind], shard.rows, strict=True))


@pytest.mark.parametrize("kind", STORED)
def test_same_rows_give_the_same_bytes(kind):
    assert encode(kind, ROWS[kind], "t") == encode(kind, ROWS[kind], "t")


names = st.text("abcXYZ019-_./é漢 ", min_size=1, max_size=20).filter(
    lambda s: s.strip() and not s.startswith("/") and ".." not in s
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
single = st.floats(width=32, allow_infinity=False, allow_nan=True)


@st.composite
def records(draw: st.DrawFn) -> RunRecord:
    metric = draw(st.sampled_from(sorted(METRICS)))
    low, high = METRICS[metric].bounds
    score = st.floats(max(low, -1e300), min(high, 1e300))
    points = sorted(draw(st.sets(st.floats(1e-3, 1e3), max_size=6)))
    count = len(points)

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    curve = LearningCurve(
        points,
        column(score | st.just(float("nan"))),
        *(column(single) for _ in range(3)),
    )
    status = draw(st.sampled_from(STATUSES))
    return RunRecord(
        RunKey(draw(names), draw(texts), draw(names), draw(texts), draw(texts), draw(names), 3),
        task="image-classification",
        metric=metric,
        status=status,
        curve=curve,
        test=draw(score) if status == "ok" else float("nan"),
        baseline=draw(score | st.just(float("nan"))),
        reason=draw(texts.filter(bool)),
        seconds=draw(single),
        hardware=draw(texts),
        versions=draw(st.dictionaries(texts, texts, max_size=2)),
        submitter=draw(texts),
        created=draw(texts),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(records(), max_size=4))
def test_any_run_survives_a_round_trip(runs):
    back = decode(encode("runs", runs))
    assert back.problems == ()
    assert all(same(a, b) for a, b in zip(runs, back.rows, strict=True))


def test_losses_are_float32_and_scores_are_exact():
    third = 1 / 3
    curve = LearningCurve([0.1, 0.7], [third, third], [third, third], [third] * 2, [third] * 2)
    (back,) = decode(encode("runs", [run(test=third, curve=curve)])).rows
    assert back.test == third
    assert back.curve.val.tolist() == [third, third]
    assert back.curve.epochs.tolist() == [0.1, 0.7]
    assert back.curve.val_loss[0] == float(np.float32(third)) != third


def rewrite(data: bytes, change) -> bytes:
    """The table in `data` after `change(table)`, as parquet bytes."""
    table = change(pq.read_table(io.BytesIO(data)))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_a_row_that_cannot_be_used_is_named_and_the_others_stay():
    data = encode("runs", [run("a"), run("b"), run("c")])

    def spoil(table: pa.Table) -> pa.Table:
        at = table.column_names.index("test")
        return table.set_column(at, "test", pa.array([0.5, 1.7, 0.25]))

    shard = decode(rewrite(data, spoil))
    assert [row.key.model for row in shard.rows] == ["a", "c"]
    assert len(shard.problems) == 1
    assert "row 1" in shard.problems[0]
    assert "1.7" in shard.problems[0]


def metadata(**values: str):
    return lambda table: table.replace_schema_metadata(
        {
            **(table.schema.metadata or {}),
            **{f"hf_select.{k}".encode(): v for k, v in values.items()},
        }
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (metadata(schema_version=str(SCHEMA_VERSION + 1)), "newer"),
        (metadata(kind="pickles"), "pickles"),
        (lambda t: t.replace_schema_metadata({}), "schema_version"),
        (lambda t: t.append_column("surprise", pa.array([1])), "surprise"),
        (lambda t: t.drop_columns(["seed"]), "seed"),
        (lambda t: t.set_column(0, "task", pa.array([[1]])), "type"),
    ],
)
def test_a_table_of_another_shape_is_refused(change, words):
    with pytest.raises(ShardError, match=words):
        decode(rewrite(encode("runs", [run()]), change))


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_bytes_that_were_cut_off_are_refused(cut):
    with pytest.raises(ShardError, match="not a readable parquet"):
        decode(encode("runs", [run()])[:cut])


def test_a_missing_value_is_a_problem_not_a_crash():
    def blank(table: pa.Table) -> pa.Table:
        at = table.column_names.index("dataset")
        return table.set_column(at, "dataset", pa.array([None], pa.string()))

    shard = decode(rewrite(encode("runs", [run()]), blank))
    assert shard.rows == ()
    assert "dataset" in shard.problems[0]


@pytest.mark.parametrize(
    "name", ["", "  ", "/etc/passwd", "../../up", "a/../b", "two\nlines", "\0"]
)
def test_unsafe_names_are_refused(name):
    with pytest.raises(ValueError, match="model"):
        check(run(name))


@pytest.mark.parametrize("task", ["", "a/b", "..", "../x", "a b", ".hidden", "x" * 200])
def test_a_task_must_be_a_plain_name(task):
    with pytest.raises(ValueError, match="task"):
        check(run(task=task))


def test_a_failed_run_must_say_why():
    with pytest.raises(ValueError, match="reason"):
        check(run(status="oom", reason=""))


def test_validation_scores_must_be_possible():
    curve = LearningCurve.of([1, 2], [0.5, 1.5])
    with pytest.raises(ValueError, match=r"1\.5.*accuracy"):
        check(run(curve=curve))
    check(replace(run(), metric="rmse", curve=curve, test=3.0))


def test_a_recipe_row_must_have_its_own_digest():
    def lie(table: pa.Table) -> pa.Table:
        return table.set_column(0, "digest", pa.array(["0" * 16]))

    shard = decode(rewrite(encode("recipes", [RECIPE]), lie))
    assert shard.rows == ()
    assert "digest" in shard.problems[0]


def test_columns_in_another_order_are_the_same_table():
    """As they stood before the columns that curves need were put side by side."""

    def turn(table: pa.Table) -> pa.Table:
        return table.select(table.column_names[::-1])

    (row,) = decode(rewrite(encode("runs", [run()]), turn)).rows
    assert same(row, run())


def test_a_column_that_came_later_may_be_missing():
    def drop(table: pa.Table) -> pa.Table:
        return table.drop_columns(["fingerprint"])

    (row,) = decode(rewrite(encode("datasets", [dataset(fingerprint="f" * 40)]), drop)).rows
    assert row == dataset(fingerprint="")


def test_runs_read_for_their_curves_are_blank_otherwise():
    rows = [run("a"), run("b", curve=LearningCurve.empty())]
    table = pq.read_table(io.BytesIO(encode("runs", rows)), columns=READ_FOR_CURVES)
    for found, row in zip(curve_runs(table), rows, strict=True):
        assert (found.key, found.test, found.created) == (row.key, row.test, row.created)
        assert found.curve.val.tolist() == row.curve.val.tolist()
        assert found.curve.seconds.tolist() == row.curve.seconds.tolist()
        assert np.isnan(found.curve.val_loss).all()
    bad = table.set_column(READ_FOR_CURVES.index("test"), "test", pa.array([0.5, 1.7]))
    with pytest.raises(ShardError, match=r"the run of b on x: test score 1\.7"):
        curve_runs(bad)
    with pytest.raises(ShardError, match="'val'"):
        curve_runs(table.drop_columns(["val"]))


def test_the_columns_that_curves_need_are_one_range_of_a_row_group():
    footer = pq.ParquetFile(io.BytesIO(encode("runs", [run(m) for m in "abc"]))).metadata
    group = footer.row_group(0)
    names = [group.column(i).path_in_schema.partition(".")[0] for i in range(group.num_columns)]
    assert names[: len(READ_FOR_CURVES)] == READ_FOR_CURVES


def test_row_groups_are_small_where_single_rows_are_read_and_only_there():
    def groups(kind, rows):
        return pq.ParquetFile(io.BytesIO(encode(kind, rows))).metadata.num_row_groups

    assert groups("models", [model(f"m{i:04}") for i in range(1200)]) == 3
    assert groups("proxies", [replace(ROWS["proxies"][0], model=f"m{i}") for i in range(1200)]) == 1
    assert groups("runs", [run(f"m{i:04}") for i in range(1200)]) == 2


def test_the_version_is_in_every_file():
    for kind in STORED:
        schema = pq.read_schema(io.BytesIO(encode(kind, ROWS[kind])))
        assert schema.metadata[META_VERSION] == str(SCHEMA_VERSION).encode()
        assert schema.names == SCHEMAS[kind].names


def test_reading_and_writing_import_no_pandas():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from made import run\n"
        "from hf_select.results.schema import decode, encode\n"
        "decode(encode('runs', [run()])); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], check=True)
