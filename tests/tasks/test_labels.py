"""Labels: what is a class, what is a value, and what is a mistake."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hf_select.errors import DataError
from hf_select.tasks.labels import Labels, read_labels


def read(cells: list, **options: object) -> Labels:
    array = pa.chunked_array([pa.array(cells)])
    column = str(options.pop("column", "label"))
    return read_labels({"all": array}, column=column, where={"all": "a.csv"}, **options)  # type: ignore[arg-type]


def test_words_become_classes_by_letter() -> None:
    labels = read(["b", " a", "b ", "c"])
    assert labels.names == ("a", "b", "c")
    assert labels.values["all"].tolist() == [1, 0, 1, 2]


def test_numbers_become_classes_by_size() -> None:
    for cells in ([10, 2, 10], ["10", "2", "10"], [10.0, 2.0, 10.0]):
        labels = read(cells)
        assert labels.names == ("2", "10")
        assert labels.values["all"].tolist() == [1, 0, 1]


def test_big_numbers_keep_their_names() -> None:
    assert read([10_000_001, 10_000_002]).names == ("10000001", "10000002")


def test_true_and_false() -> None:
    assert read([True, False]).names == ("false", "true")


def test_all_splits_share_the_classes() -> None:
    columns = {
        name: pa.chunked_array([[*cells]]) for name, cells in (("train", "ba"), ("test", "cb"))
    }
    labels = read_labels(columns, column="label", where=dict.fromkeys(columns, "x"))
    assert labels.names == ("a", "b", "c")
    assert labels.values["test"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("cells", "column", "regression"),
    [
        ([0.5, 1.0, 0.5, 1.0], "label", True),  # decimals
        ([1.0, 2.0, 1.0, 5.0], "label", False),  # whole numbers stored as decimals
        ([*range(21)], "label", True),  # many numbers, one row each
        ([*range(77)] * 5, "label", False),  # many classes, enough rows each
        ([*range(77)] * 5, "score", True),  # the same under a telling name
        ([1, 2, 3, 4, 5] * 4, "rating", False),
    ],
)
def test_classes_or_values(cells: list, column: str, regression: bool) -> None:
    labels = read(cells, column=column)
    assert labels.regression is regression
    assert column in " ".join(labels.notes)
    assert read(cells, column=column, regression=True).regression
    assert not read(cells, column=column, regression=False).regression


def test_ids_with_names() -> None:
    labels = read([1, 0, 1], class_names=("no", "yes"))
    assert labels.names == ("no", "yes")
    assert labels.values["all"].tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="class 2 in row 3"):
        read([1, 0, 2], class_names=("no", "yes"))
    assert read([1, -1, 0], class_names=("no", "yes")).rows["all"].tolist() == [0, 2]


def test_rating_classes_as_values() -> None:
    labels = read([0, 1, 2], class_names=("1", "2.5", "4"), regression=True)
    assert labels.values["all"].tolist() == [1.0, 2.5, 4.0]
    assert labels.values["all"].dtype == np.float32


def test_a_few_words_among_decimals_are_a_mistake() -> None:
    cells = [f"{i / 7:.3f}" for i in range(40)]
    cells[11] = "unsure"
    with pytest.raises(DataError, match=r"'unsure' in row 12.*1 of 40"):
        read(cells)


@pytest.mark.parametrize("word", ["N/A", "nan", "null", "?", "-", ""])
def test_words_for_no_number_are_no_label_among_numbers(word: str) -> None:
    labels = read([f"{i / 7:.3f}" if i != 11 else word for i in range(40)])
    assert labels.regression
    assert labels.rows["all"].tolist() == [i for i in range(40) if i != 11]
    assert len(labels.values["all"]) == 39


def test_among_words_they_are_a_class() -> None:
    assert read(["a", "NA", "a", "NA"]).names == ("NA", "a")


@pytest.mark.parametrize("bad", [None, float("nan")])
def test_rows_without_a_label_are_left_out(bad: float | None) -> None:
    labels = read([0.5, 1.5, bad, 2.0])
    assert labels.values["all"].tolist() == [0.5, 1.5, 2.0]
    assert labels.rows["all"].tolist() == [0, 1, 3]
    with pytest.raises(DataError, match="no label in any of its 2 rows"):
        read([bad, bad])


@pytest.mark.parametrize("bad", [float("inf"), 1e300])
def test_values_that_are_no_32_bit_numbers(bad: float) -> None:
    with pytest.raises(DataError, match="in row 2"):
        read([0.5, bad, 2.0])


def test_too_many_classes_and_lists() -> None:
    with pytest.raises(DataError, match="1001 different values"):
        read([f"word {i}" for i in range(1001)])
    with pytest.raises(DataError, match="one class or one number"):
        read([[1, 2], [3]])


def test_text_order_of_classes_does_not_depend_on_the_rows() -> None:
    cells = [*"cabacb"]
    labels, back = read(cells), read(cells[::-1])
    assert labels.names == back.names
    assert labels.values["all"].tolist() == back.values["all"].tolist()[::-1]
