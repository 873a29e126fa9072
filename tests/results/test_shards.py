"""The files that rows travel in: their names, whose they are, the same every time."""

from pathlib import Path

import pytest
from made import RECIPE, dataset, model, run

from hf_select.errors import InputError
from hf_select.files import sha256
from hf_select.results.schema import decode
from hf_select.results.shards import shards
from hf_select.results.state import Rows

ROWS = Rows(
    runs=(run("a", submitter=""), run("b", submitter="local"), run("c", submitter="bob")),
    models=(model("a"),),
    datasets=(dataset(),),
    recipes=(RECIPE,),
)
MOMENT = "2025-03-31T23:30:00+00:00"


def test_one_file_a_kind_named_after_its_content_runs_last():
    found = shards(ROWS, submitter="jane", created=MOMENT)
    kinds = [decode(data).kind for data in found.values()]
    assert kinds == ["recipes", "models", "datasets", "runs"]
    for path, data in found.items():
        assert path == f"inbox/2025-03/jane/{sha256(data)}.parquet"
        assert decode(data).created == MOMENT
    assert shards(Rows(), submitter="jane", created=MOMENT) == {}


def test_the_same_rows_and_time_are_the_same_files():
    one = shards(ROWS, submitter="jane", created=MOMENT)
    assert one == shards(ROWS, submitter="jane", created=MOMENT)
    assert one == shards(ROWS, submitter="jane", created="2025-04-01T01:30:00+02:00")
    assert one == shards(ROWS, submitter="jane", created="2025-03-31T23:30:00")
    assert not set(one) & set(shards(ROWS, submitter="jane", created="2025-04-01"))


def test_runs_of_nobody_become_the_submitters():
    *_, data = shards(ROWS, submitter="jane", created=MOMENT).values()
    assert [row.submitter for row in decode(data).rows] == ["jane", "jane", "bob"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 97])
def test_a_submitter_must_be_able_to_name_a_folder(name):
    with pytest.raises(InputError, match="submitter") as error:
        shards(ROWS, submitter=name, created=MOMENT)
    assert "for example" in error.value.hint


def test_a_token_in_a_reason_is_blotted_out():
    token = "hf_" + "x" * 30
    rows = Rows(runs=(run(status="failed", reason=f"401 Client Error for {token}"),))
    (data,) = shards(rows, submitter="jane", created=MOMENT).values()
    (row,) = decode(data).rows
    assert row.reason == "401 Client Error for [removed]"
    assert token.encode() not in data


def test_paths_are_plain():
    for path in shards(ROWS, submitter="jane", created=MOMENT):
        assert not Path(path).is_absolute()
        assert Path(path).parts[:3] == ("inbox", "2025-03", "jane")
