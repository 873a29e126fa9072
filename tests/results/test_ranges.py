"""Rows of a parquet file by the statistics in its footer."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_select.results.ranges import PartialTable
from hf_select.results.schema import ShardError

NAMES = ["a", "a", "b", "d", "d", "é", "漢", "\U0001f600"]


def written(**options) -> bytes:
    table = pa.table({"name": NAMES, "number": range(8), "kind": ["x"] * 4 + ["y"] * 3 + ["z"]})
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"row_group_size": 2} | options)
    return sink.getvalue()


def partial(data: bytes) -> PartialTable:
    return PartialTable(lambda: io.BytesIO(data))


WITHOUT = {"write_statistics": False}


@pytest.mark.parametrize("options", [{}, WITHOUT, {"use_dictionary": False}])
@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a"], [0, 1]),
        (["d", "b"], [2, 3, 4]),
        (["c", "zzz", ""], []),
        ([], []),
        (["é", "\U0001f600"], [5, 7]),
        (NAMES, list(range(8))),
    ],
)
def test_the_rows_with_those_names(options, names, numbers):
    found = partial(written(**options)).rows({"name": names})
    assert found["number"].to_pylist() == numbers
    assert found.column_names == ["name", "number", "kind"]


def test_several_conditions_and_some_columns():
    found = partial(written()).rows({"name": ["d", "b"], "kind": {"y"}}, ["number", "name", "kind"])
    assert found["number"].to_pylist() == [4]
    assert partial(written()).rows({})["number"].to_pylist() == list(range(8))


def test_what_a_column_holds_as_far_as_the_footer_tells():
    table = partial(written())
    assert table.values("kind", {"name": ["a", "b"]}) == {"x"}
    assert table.values("kind", {"name": ["b", "d", "é"]}) == {"x", "y"}
    assert table.values("kind", {"name": ["漢"]}) is None  # y and z in one group
    assert table.values("kind", {"name": ["0"]}) == set()
    assert partial(written(**WITHOUT)).values("kind", {"name": ["a"]}) is None


@pytest.mark.parametrize("data", [b"", b"PAR1", written()[:-9], b"<html>" * 20])
def test_what_is_no_parquet_file(data):
    with pytest.raises(ShardError, match="not a readable parquet file"):
        partial(data).rows({"name": ["a"]})


def test_a_column_that_is_not_there():
    with pytest.raises(ShardError):
        partial(written()).rows({"surname": ["a"]})


def test_what_reading_raises_comes_through():
    """A Hub that gives up in the middle is no damaged file."""

    class Lost(Exception):
        pass

    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise Lost("the line is down")

    with pytest.raises(Lost):
        PartialTable(lambda: Broken(written())).rows({"name": ["a"]})
