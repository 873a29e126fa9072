"""What a column holds, and which columns are taken where no name tells."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hf_select.errors import DataError
from hf_select.tasks.columns import choose_columns
from hf_select.tasks.contents import Contents, holds_paths, look_at
from hf_select.tasks.frames import Frame

LONG = [f"number {i} of many words here" for i in range(40)]
SHORT = [f"title {i} again" for i in range(40)]
CLASSES = ["yes", "no"] * 20
IDS = [f"id{i}" for i in range(40)]


def column(cells: list) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells)])


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (LONG, "texts", "6 words a row"),
        (CLASSES, "words", "2 values"),
        (IDS, "words", "a value of its own in each row"),
        (["1,5", "2", "3"], "numbers", "numbers, a value of its own in each row"),
        ([1, 2, 2], "numbers", "numbers, 2 values"),
        ([True, False, True], "words", "2 values"),
        (["2020-01-02", "1.2.2021"], "dates", "dates, a value of its own in each row"),
        (["a/b.png", "c d.JPEG"], "image paths", "image paths, a value of its own in each row"),
        (["", "", None], "nothing", "nothing"),
        (["x", "x"], "words", "one value only"),
        ([[1], [2]], "other", "a value of its own in each row"),
    ],
)
def test_kinds(cells: list, kind: str, words: str) -> None:
    found = look_at(column(cells))
    assert (found.kind, str(found)) == (kind, words)


def test_a_long_column_is_looked_at_all_along() -> None:
    found = look_at(column(["a"] * 10_000 + ["b"] * 10_000))
    assert (found.distinct, found.rows) == (2, 2000)


def test_a_sentence_about_a_picture_is_no_path() -> None:
    assert holds_paths(column(["a.png"] * 30))
    assert not holds_paths(column(["see a.png", "nothing here"] * 9))
    assert not holds_paths(column([1, 2]))


def choose(columns: dict[str, list], **stated: str) -> tuple[tuple[str, ...], str]:
    frame = Frame(pa.table(columns))
    found = choose_columns(
        frame.features, where="x", look=lambda name: look_at(frame.data.column(name)), **stated
    )
    assert all(note for note in found.notes)
    return found.inputs, found.label


def test_the_column_with_by_far_the_longest_texts() -> None:
    columns = {"a": IDS, "b": SHORT, "c": [f"{t} {t}" for t in LONG], "d": CLASSES}
    assert choose(columns) == (("c",), "d")
    assert choose(dict(reversed(columns.items()))) == (("c",), "d")


def test_names_that_are_words_are_a_text_if_nothing_else_is() -> None:
    assert choose({"first name": IDS, "gender": CLASSES, "n": [*range(40)]})[0] == ("first name",)


def test_no_guess_between_two_that_are_alike() -> None:
    with pytest.raises(DataError, match=r"2 could be: 'a' \(6 words a row\), 'b'") as caught:
        choose({"a": LONG, "b": LONG[::-1], "c": CLASSES})
    assert "--text-column a" in caught.value.hint
    with pytest.raises(DataError, match="which column is the label"):
        choose({"a": LONG, "b": CLASSES, "c": CLASSES[::-1]})


def test_a_regression_takes_the_column_of_many_numbers() -> None:
    columns = {"a": LONG, "b": CLASSES, "c": [f"{i}.5" for i in range(40)]}
    assert choose(columns)[1] == "b"
    assert choose(columns, task="text-regression")[1] == "c"


def test_spelling_of_names_does_not_count() -> None:
    columns = {"Sentence 1": LONG, "SENTENCE-2": SHORT, "Label ": CLASSES}
    assert choose(columns) == (("Sentence 1", "SENTENCE-2"), "Label ")
    twice = {"Text": SHORT, "text": LONG, "label": CLASSES}
    assert choose(twice)[0] == ("text",)


def test_a_hundred_columns_are_not_all_listed() -> None:
    with pytest.raises(DataError) as caught:
        choose({f"c{i}": CLASSES for i in range(100)})
    assert len(caught.value.message) + len(caught.value.hint) < 800
    assert "100 in all" in caught.value.hint


def test_unlike_and_constant() -> None:
    assert Contents("words", 10, 10).unlike
    assert not Contents("words", 10, 9).unlike
    assert Contents("words", 10, 1).constant
