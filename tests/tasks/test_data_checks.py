"""The checks of a target's rows: each finds its own fault, and is quiet without it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tiny import tiny_image_folder, tiny_text_csv

from hf_select.errors import DataError
from hf_select.tasks.checks import Check, as_dicts
from hf_select.tasks.data import TargetData, load_target

GOOD = [
    (f"a film of its own, number {i}, and more words", ("pos", "neg")[i % 2]) for i in range(900)
]


def write(path: Path, rows: list[tuple]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def checks(target: TargetData) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in target.checks:
        found.setdefault(check.check, []).append(check)
    return found


def test_good_rows_have_nothing_to_be_told(tmp_path: Path) -> None:
    found = load_target(write(tmp_path / "a.csv", GOOD * 3)).checks
    levels = {check.check: check.level for check in found}
    assert levels.pop("duplicates") == "warning"
    assert set(levels.values()) == {"ok"}
    assert len(found) == len({check.text for check in found})


def test_checks_are_made_once(tmp_path: Path) -> None:
    target = load_target(write(tmp_path / "a.csv", GOOD[:60]))
    assert target.checks is target.checks


def test_copies_within_train_and_between_splits(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.csv", [*GOOD[:400], GOOD[3]])
    write(tmp_path / "d" / "validation.csv", GOOD[390:700])
    write(tmp_path / "d" / "test.csv", [*GOOD[700:], GOOD[699]])
    found = checks(load_target(tmp_path / "d"))
    (copies,), (leak,) = found["duplicates"], found["leakage"]
    assert copies.level == "note"
    assert "1 of 401 train rows repeats another one (row 4 and row 401)" in copies.text
    assert copies.example.startswith("'a film of its own, number 3")
    assert leak.level == "warning"
    assert "10 of 310 validation rows are in train, too (row 1 is row 391 of train)" in leak.text
    assert "1 of 201 test rows are in validation, too (row 201 is row 310" in leak.text
    assert "test rows are in train" not in leak.text
    for check in (copies, leak):
        assert "a film" not in check.text
        assert check.told == f"{check.text}; for example {check.example}"
        assert check.to_dict()["example"] == check.example


def test_rows_keep_their_numbers_where_some_were_left_out(tmp_path: Path) -> None:
    rows: list[tuple] = list(GOOD[:300])
    rows[2] = ("", "")  # says nothing
    rows[10] = ("text", "label")  # the header again
    rows[20] = ("a film", "")
    rows[30] = (GOOD[0][0], "neg")
    rows[40] = (GOOD[39][0], GOOD[39][1])
    target = load_target(write(tmp_path / "a.csv", rows))
    for split in ("train", "validation", "test"):
        assert target.split(split)["text"][:] == [rows[n - 1][0] for n in target.rows[split]]
    found = checks(target)
    assert "1 row of 298 in " in found["missing-labels"][0].text
    assert "(the first: row 21)" in found["missing-labels"][0].text
    assert "row 1 of " in found["conflicting-labels"][0].text
    assert "row 31 of " in found["conflicting-labels"][0].text
    copies = found["duplicates"][0].text + found["leakage"][0].text
    assert "row 40" in copies
    assert "row 41" in copies
    values = [(text, i / 7) for i, (text, _) in enumerate(GOOD[:60])]
    values[5], values[50] = ("", ""), (GOOD[50][0], "many")
    with pytest.raises(DataError, match="'many' in row 51"):
        load_target(write(tmp_path / "b.csv", values))


def test_shards_are_counted_through(tmp_path: Path) -> None:
    first, second = list(GOOD[:100]), list(GOOD[100:200])
    first[-1] = second[3] = ("", "")
    write(tmp_path / "d" / "train-00000-of-00002.csv", first)
    write(tmp_path / "d" / "train-00001-of-00002.csv", second)
    target = load_target(tmp_path / "d")
    both = [*first, *second]
    for split in ("train", "validation", "test"):
        assert target.split(split)["text"][:] == [both[n - 1][0] for n in target.rows[split]]


def test_one_input_with_two_labels(tmp_path: Path) -> None:
    rows = [*GOOD[:300], (GOOD[0][0], "neg"), (GOOD[0][0], "pos")]
    (found,) = checks(load_target(write(tmp_path / "a.csv", rows)))["conflicting-labels"]
    assert found.level == "note"
    assert found.text.startswith("3 rows share 1 input with other labels: row 1 of ")
    assert "row 301 of" in found.text
    assert "a film" not in found.text
    assert "a film" in found.example


def test_conflicts_of_numbers(tmp_path: Path) -> None:
    rows = [(text, i / 7) for i, (text, _) in enumerate(GOOD[:300])]
    assert (
        checks(load_target(write(tmp_path / "a.csv", rows)))["conflicting-labels"][0].level == "ok"
    )
    rows.append((rows[0][0], 5.5))
    (found,) = checks(load_target(write(tmp_path / "b.csv", rows)))["conflicting-labels"]
    assert "is 5.5" in found.text


def test_rare_classes_and_a_class_that_dominates(tmp_path: Path) -> None:
    rows = [(text, "rare" if i % 90 == 0 else "usual") for i, (text, _) in enumerate(GOOD)]
    (found,) = checks(load_target(write(tmp_path / "a.csv", rows)))["class-balance"]
    assert found.level == "warning"
    assert "1 class of 2 has fewer than 8 train rows: 'rare' (7)" in found.text
    assert "99 % of train rows are 'usual'" in found.text
    assert "--metric f1" in found.text
    (other,) = checks(load_target(tmp_path / "a.csv", metric="f1"))["class-balance"]
    assert "--metric" not in other.text


def test_a_small_split_says_how_little_its_score_says(tmp_path: Path) -> None:
    small = checks(load_target(write(tmp_path / "a.csv", GOOD[:60])))["small-split"]
    assert [check.level for check in small] == ["warning", "warning"]
    assert "10 validation rows is known to about 22.1 points" in small[0].text
    middle = checks(load_target(write(tmp_path / "b.csv", GOOD)))["small-split"]
    assert [check.level for check in middle] == ["note", "note"]
    rated = checks(load_target(tiny_text_csv(tmp_path / "r.csv", 80, regression=True)))
    assert "% of itself" in rated["small-split"][0].text


def test_names_of_classes_that_may_be_a_mistake(tmp_path: Path) -> None:
    kinds = ("Pos", "pos", "neg", "none")
    rows = [(text, kinds[i % 4]) for i, (text, _) in enumerate(GOOD)]
    found = checks(load_target(write(tmp_path / "a.csv", rows)))
    assert "'Pos' (157 rows) and 'pos' (157 rows)" in found["similar-labels"][0].text
    assert "'none' (157 rows)" in found["label-names"][0].text
    rows = [(text, ("1", "2", "x")[i % 3]) for i, (text, _) in enumerate(GOOD)]
    found = checks(load_target(write(tmp_path / "b.csv", rows)))
    assert "among classes that are numbers: 'x'" in found["label-names"][0].text


@pytest.mark.parametrize(
    ("word", "level"), [("word " * 5, "ok"), ("word " * 150, "note"), ("语" * 400, "warning")]
)
def test_texts_of_which_a_model_would_see_the_beginning(
    tmp_path: Path, word: str, level: str
) -> None:
    rows = [(f"{i} {word}", label) for i, (_, label) in enumerate(GOOD[:60])]
    assert checks(load_target(write(tmp_path / "a.csv", rows)))["long-texts"][0].level == level


def test_inputs_that_are_no_texts(tmp_path: Path) -> None:
    rows = [(str(1000 + i), label) for i, (_, label) in enumerate(GOOD[:60])]
    (found,) = checks(load_target(write(tmp_path / "a.csv", rows)))["input"]
    assert found.text == "column 'text' is read as text, but holds numbers"
    rows = [("" if i < 2 else text, label) for i, (text, label) in enumerate(GOOD[:60])]
    (empty,) = checks(load_target(write(tmp_path / "b.csv", rows)))["empty-texts"]
    assert "2 of" in empty.text


def test_images_and_numbers_have_the_checks_that_apply(tmp_path: Path) -> None:
    found = checks(load_target(tiny_image_folder(tmp_path / "i", 24)))
    assert set(found) == {
        *("duplicates", "leakage", "conflicting-labels", "small-split", "class-balance")
    }
    picture = sorted((tmp_path / "i").glob("*/*.png"))[0]
    copy = picture.with_name("copy.png")
    copy.write_bytes(picture.read_bytes())
    (copies,) = checks(load_target(tmp_path / "i"))["duplicates"]
    assert copies.level == "note"
    assert picture.name in copies.example
    assert picture.name not in copies.text
    rated = checks(load_target(tiny_text_csv(tmp_path / "r.csv", 80, regression=True)))
    assert "class-balance" not in rated


def test_words_with_tags_and_choices_are_checked_too(tmp_path: Path) -> None:
    words = [f"w{i}\tO\nParis\tB-LOC\nx\t{'B-PER' if i == 0 else 'O'}\n" for i in range(60)]
    (tmp_path / "a.conll").write_text("\n".join([*words, words[7]]))
    found = checks(load_target(tmp_path / "a.conll"))
    assert "1 of" in found["duplicates"][0].text
    assert "'w7 Paris x..." in found["duplicates"][0].example
    assert "train words: 'B-PER' (1)" in found["class-balance"][0].text
    rows = [(f"question {i}?", "one", "two", "AB"[i % 2]) for i in range(60)]
    with (tmp_path / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("question", "A", "B", "answer"), *rows])
    target = load_target(tmp_path / "b.csv", choice_columns=["A", "B"])
    assert {check.check for check in target.checks} >= {"duplicates", "leakage", "class-balance"}


def test_the_serious_ones_come_first() -> None:
    found = as_dicts([Check("a", "ok", "1"), Check("b", "warning", "2"), Check("c", "note", "3")])
    assert [check["check"] for check in found] == ["b", "c", "a"]
    assert found[0] == {"check": "b", "level": "warning", "text": "2"}
