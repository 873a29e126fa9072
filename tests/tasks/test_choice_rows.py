"""Questions with choices as a target: each form that people write them in, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from hf_select.errors import DataError, InputError
from hf_select.tasks.choice_rows import stated_choices
from hf_select.tasks.data import dataset_entry, load_benchmark, load_target

COLOURS = ("red", "green", "blue")


def table(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def questions(count: int = 30) -> list[tuple[str, list[str], int]]:
    """A text, three choices in an order that turns, and the place of the right one."""
    found = []
    for i in range(count):
        order = [COLOURS[(i + j) % 3] for j in range(3)]
        found.append((f"which is like {COLOURS[i % 2]} number {i}?", order, i // 2 % 3))
    return found


def test_every_form_gives_the_same_target(tmp_path: Path) -> None:
    asked = questions()
    columns = ["question", "choice0", "choice1", "choice2", "label"]
    paths = [
        table(tmp_path / "a.csv", columns, [[q, *c, right] for q, c, right in asked]),
        table(
            tmp_path / "b.csv",
            ["question", "A", "B", "C", "answer"],
            [[q, *c, "ABC"[right]] for q, c, right in asked],
        ),
        table(
            tmp_path / "c.csv",
            ["question", "option1", "option2", "option3", "answer"],
            [[q, *c, right + 1] for q, c, right in asked],
        ),
        table(
            tmp_path / "d.csv",
            ["goal", "sol1", "sol2", "sol3", "label"],
            [[q, *c, f"sol{right + 1}"] for q, c, right in asked],
        ),
        table(
            tmp_path / "e.csv",
            ["question", "choice_a", "choice_b", "choice_c", "answer"],
            [[q, *c, c[right]] for q, c, right in asked],
        ),
        lines(
            tmp_path / "f.jsonl",
            [{"question": q, "choices": c, "answer": right} for q, c, right in asked],
        ),
        lines(
            tmp_path / "g.jsonl",
            [
                {
                    "question": q,
                    "choices": {"text": c, "label": ["A", "B", "C"] if i % 2 else ["1", "2", "3"]},
                    "answerKey": "ABC"[right] if i % 2 else "123"[right],
                }
                for i, (q, c, right) in enumerate(asked)
            ],
        ),
        lines(
            tmp_path / "h.jsonl",
            [{"ctx": q, "endings": c, "label": str(right)} for q, c, right in asked],
        ),
    ]
    targets = [load_target(path) for path in paths]
    assert {t.task for t in targets} == {"multiple-choice"}
    assert len({t.fingerprint for t in targets}) == 1
    assert targets[1].label_names == ("A", "B", "C")
    by_text = {q: c[right] for q, c, right in asked}
    for row in targets[0].test:
        assert row["choices"][row["label"]] == by_text[row["text"]]
    for target, path in zip(targets, paths, strict=True):
        again = load_benchmark(dataset_entry(target), path)
        assert (again.fingerprint, again.input_columns) == (
            target.fingerprint,
            target.input_columns,
        )


def test_swag_says_the_beginning_of_each_ending(tmp_path: Path) -> None:
    header = ["sent1", "sent2", "ending0", "ending1", "ending2", "ending3", "label"]
    rows = [[f"He sits {i}.", "She", "eats.", "runs.", "sings.", "is.", i % 4] for i in range(40)]
    target = load_target(table(tmp_path / "x.csv", header, rows))
    assert target.num_labels == 4
    assert target.train[0]["choices"][0] == "She eats."
    assert target.input_columns[:2] == ("sent1", "sent2")
    again = load_benchmark(dataset_entry(target), tmp_path / "x.csv")
    assert again.fingerprint == target.fingerprint
    assert stated_choices(target.input_columns) == ("sent1", tuple(header[2:6]))


def test_stated_columns(tmp_path: Path) -> None:
    rows = [[q, *c, right] for q, c, right in questions()]
    path = table(tmp_path / "x.csv", ["what", "foo", "bar", "baz", "which"], rows)
    target = load_target(
        path, text_column="what", choice_columns=["foo", "bar", "baz"], label_column="which"
    )
    assert target.task == "multiple-choice"
    assert target.input_columns == ("what", "foo", "bar", "baz")
    with pytest.raises(DataError, match="no column 'quux'"):
        load_target(path, text_column="what", choice_columns=["foo", "quux"], label_column="which")
    with pytest.raises(DataError, match="which columns hold the choices"):
        load_target(path, task="multiple-choice", text_column="what", label_column="which")
    with pytest.raises(InputError, match="text-classification takes no choices"):
        load_target(path, task="text-classification", choice_columns=["foo", "bar"])


@pytest.mark.parametrize("first", [0, 1])
def test_where_places_could_be_counted_either_way_the_columns_tell(
    tmp_path: Path, first: int
) -> None:
    header = ["question", *(f"choice{first + i}" for i in range(3)), "label"]
    rows = [[q, *c, 1 + right % 2] for q, c, right in questions()]
    target = load_target(table(tmp_path / "x.csv", header, rows))
    assert f"label: the right choice by its place, counted from {first}" in target.notes


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["what?", ["a", "b"], 0], "row 4 has 2 choices, but the first one has 3"),
        (["what?", ["a", None, "b"], 0], "a choice is missing in row 4, column 'choices'"),
        (["what?", None, 0], "a choice is missing in row 4"),
        ([None, ["a", "b", "c"], 0], "nothing in row 4, column 'question'"),
        (["what?", ["a", "b", "c"], 3], "'3' in row 4, column 'label', names none of the 3"),
        (["what?", ["a", "b", "c"], None], "no label in row 4"),
        (["what?", ["a", "b", "c"], float("nan")], "no label in row 4"),
        (["what?", ["a", "b", "c"], float("inf")], "'inf' in row 4, column 'label', names none"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_row(tmp_path: Path, row: list, said: str) -> None:
    rows = [[q, c, right] for q, c, right in questions()]
    rows[0][2] = 0  # so that places are counted from 0
    rows[3] = row
    names = ("question", "choices", "label")
    path = lines(tmp_path / "x.jsonl", [dict(zip(names, r, strict=True)) for r in rows])
    with pytest.raises(DataError, match=said):
        load_target(path)


def test_places_that_may_begin_at_0_or_1_are_not_guessed(tmp_path: Path) -> None:
    rows = [
        {"question": q, "choices": c, "label": 1 + i % 2} for i, (q, c, _) in enumerate(questions())
    ]
    rows[0] |= {"choices": ["x", "y", "z"], "label": 1}
    path = lines(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match="'1' in row 1, column 'label', may be 'y'") as caught:
        load_target(path)
    assert "'y' (by its place, counted from 0) or 'x' (by its place, counted from 1)" in str(
        caught.value.message
    )
    assert "letters" in (caught.value.hint or "")
    for other in (0, 3):  # one row tells
        rows[5]["label"] = other
        target = load_target(lines(tmp_path / "y.jsonl", rows))
        assert f"label: the right choice by its place, counted from {other // 3}" in target.notes


def test_class_ids_are_counted_from_0(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "choices": datasets.List(datasets.Value("string")),
            "label": datasets.ClassLabel(names=["a", "b", "c"]),
        }
    )
    rows = [
        {"question": q, "choices": c, "label": 1 + i % 2} for i, (q, c, _) in enumerate(questions())
    ]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "saved")
    target = load_target(tmp_path / "saved")
    assert "label: the right choice by its place, counted from 0" in target.notes


def test_texts_that_are_also_places_are_not_guessed(tmp_path: Path) -> None:
    sums = [(f"how much is {i} and {i}?", ["1", "2", "3", "0"], i % 4) for i in range(40)]

    def load(name: str, labels: list[Any]) -> Any:
        rows = [
            {"question": q, "choices": c, "answer": label}
            for (q, c, _), label in zip(sums, labels, strict=True)
        ]
        return load_target(lines(tmp_path / name, rows))

    with pytest.raises(DataError, match=r"'1' in row 1, .* may be '2' \(by its place, counted"):
        load("text.jsonl", [c[right] for _, c, right in sums])
    by_letter = load("letter.jsonl", ["ABCD"[right] for *_, right in sums])
    by_place = load("place.jsonl", [right for *_, right in sums])
    assert by_letter.fingerprint == by_place.fingerprint
    more = [(q, ["7", "2", "9", "0"], right) for q, _, right in sums]
    sums = more  # 9 is no place
    assert (
        "label: the right choice by its text" in load("9.jsonl", [c[r] for _, c, r in sums]).notes
    )


def test_a_letter_that_is_also_a_text_is_not_guessed(tmp_path: Path) -> None:
    rows = [
        {"question": q, "choices": ["B", "A", "C"], "answer": "ABC"[right]}
        for q, _, right in questions()
    ]
    with pytest.raises(DataError, match=r"'A' in row 1, .*'B' \(by its letter\) or 'A'") as caught:
        load_target(lines(tmp_path / "x.jsonl", rows))
    assert "places counted from 0" in (caught.value.hint or "")


def test_a_stated_columns_name_counts_before_its_place(tmp_path: Path) -> None:
    rows = [[q, *c, "ABC"[right]] for q, c, right in questions()]
    path = table(tmp_path / "x.csv", ["question", "A", "B", "C", "answer"], rows)
    turned = load_target(
        path, text_column="question", choice_columns=["C", "B", "A"], label_column="answer"
    )
    by_text = {q: c[right] for q, c, right in questions()}
    assert all(row["choices"][row["label"]] == by_text[row["text"]] for row in turned.train)


def test_rows_keep_their_numbers_behind_empty_ones(tmp_path: Path) -> None:
    header = ["question", "A", "B", "C", "answer"]
    rows = [[q, *c, "ABC"[right]] for q, c, right in questions()]
    rows.insert(1, [""] * 5)
    target = load_target(table(tmp_path / "x.csv", header, rows))
    numbers = np.concatenate(list(target.rows.values()))
    assert sorted(numbers.tolist()) == [1, *range(3, 32)]
    rows[9][-1] = "D"
    with pytest.raises(DataError, match="'D' in row 10"):
        load_target(table(tmp_path / "y.csv", header, rows))
    rows[9][-1] = ""
    with pytest.raises(DataError, match="no label in row 10"):
        load_target(table(tmp_path / "z.csv", header, rows))


def test_a_test_split_without_labels_is_replaced(tmp_path: Path) -> None:
    header = ["question", "A", "B", "C", "answer"]
    rows = [[q, *c, "ABC"[right]] for q, c, right in questions()]
    table(tmp_path / "train.csv", header, rows)
    table(tmp_path / "test.csv", header, [[*row[:-1], ""] for row in rows])
    target = load_target(tmp_path)
    assert any("test split has no labels" in note for note in target.notes)
    assert len(target.test) > 0


def test_a_table_of_texts_with_classes_is_none(tmp_path: Path) -> None:
    rows = [[f"good film {i}", "yes" if i % 2 else "no"] for i in range(30)]
    target = load_target(table(tmp_path / "x.csv", ["question", "answer"], rows))
    assert target.task == "text-classification"
