"""Splits that are stated: other files, other folders, other splits of the same source."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets
import pytest
from tiny import tiny_image_folder, tiny_text_csv

from hf_select.errors import DataError, InputError
from hf_select.pipeline.inspecting import told_options
from hf_select.tasks.data import load_target
from hf_select.tasks.splitnames import SPLITS


def sizes(source: Path, **stated: object) -> list[int]:
    target = load_target(source, **stated)  # type: ignore[arg-type]
    return [len(target.split(split)) for split in SPLITS]


def test_files_for_validation_and_test(tmp_path: Path) -> None:
    train, val, test = (
        tiny_text_csv(tmp_path / f"{name}.csv", rows, seed=rows)
        for name, rows in (("a", 40), ("b", 20), ("c", 10))
    )
    assert sizes(train, validation=str(val), test=test) == [40, 20, 10]
    assert sizes(train, test=test)[2] == 10
    assert sum(sizes(train, test=test)) == 50
    target = load_target(train, validation=val, test=test)
    assert target.name == "a"
    assert target.fingerprint != load_target(train).fingerprint


def test_a_given_split_gives_way_to_a_stated_one(tmp_path: Path) -> None:
    for name, rows in (("train", 40), ("validation", 20), ("test", 12)):
        tiny_text_csv(tmp_path / "d" / f"{name}.csv", rows, seed=rows)
    other = tiny_text_csv(tmp_path / "other.csv", 30, seed=5)
    assert sizes(tmp_path / "d") == [40, 20, 12]
    assert sizes(tmp_path / "d", test=other) == [40, 20, 30]
    notes = load_target(tmp_path / "d", test=other).notes
    assert "splits that are not used: test" in notes


def test_splits_of_the_source_by_other_names(tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    rows = {
        name: datasets.Dataset.from_csv(str(tiny_text_csv(tmp_path / f"{name}.csv", n, seed=n)))
        for name, n in (("full", 40), ("held_out", 16), ("validation", 12))
    }
    datasets.DatasetDict(rows).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(DataError, match="no train split") as caught:
        load_target(tmp_path / "d")
    assert "full, held_out, validation; --train" in caught.value.hint
    assert sizes(tmp_path / "d", train="full", test="held_out") == [40, 12, 16]
    swapped = load_target(tmp_path / "d", train="full", test="validation")
    assert len(swapped.test) == 12
    assert len(swapped.train) + len(swapped.validation) == 40  # validation is made of train rows
    assert swapped.origins == {"train": "full", "test": "validation"}
    with pytest.raises(DataError, match="heldout is to be the test split") as caught:
        load_target(tmp_path / "d", train="full", test="heldout")
    assert "held_out" in caught.value.hint


def test_folders_of_images_with_the_same_classes_or_fewer(tmp_path: Path) -> None:
    folder = tiny_image_folder(tmp_path / "a", 24, classes=3)
    test = tiny_image_folder(tmp_path / "b", 10, classes=2, seed=3)
    target = load_target(folder, test=test)
    assert target.label_names == ("bad", "good", "odd")
    names = {target.label_names[i] for i in target.labels("test")}
    assert (len(target.test), names) == (10, {"bad", "good"})
    path = target.test.with_format("arrow")[:1].column("image")[0].as_py()["path"]
    assert Path(path).parent.name == target.label_names[target.labels("test")[0]]
    strange = tiny_image_folder(tmp_path / "c", 12, classes=4)
    with pytest.raises(DataError, match="doesn't have the classes that the train split has"):
        load_target(folder, test=strange)


def test_images_that_files_list_are_found_beside_each_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny_image_folder(tmp_path / name, 20, seed=ord(name))
        with (tmp_path / name / "list.csv").open("w", newline="") as file:
            found = sorted((tmp_path / name).glob("*/*.png"))
            listed = [(p.relative_to(tmp_path / name), p.parent.name) for p in found]
            csv.writer(file).writerows([("image", "label"), *listed])
    target = load_target(tmp_path / "a" / "list.csv", test=tmp_path / "b" / "list.csv")
    assert (target.task, len(target.test)) == ("image-classification", 20)
    path = target.test.with_format("arrow")[:1].column("image")[0].as_py()["path"]
    assert Path(path).is_relative_to(tmp_path / "b")


def test_the_file_for_test_must_have_the_columns(tmp_path: Path) -> None:
    train = tiny_text_csv(tmp_path / "a.csv", 40)
    (tmp_path / "b.csv").write_text("text,answer\nx,y\n")
    with pytest.raises(DataError, match=r"b\.csv has no column 'label'"):
        load_target(train, test=tmp_path / "b.csv")


def test_an_encoding_and_a_delimiter_that_are_none(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv", 40)
    with pytest.raises(InputError, match="no text encoding 'nonsense'"):
        load_target(path, encoding="nonsense")
    with pytest.raises(InputError, match="one character"):
        load_target(path, delimiter="--")


def test_a_card_names_files_but_not_where_they_lie(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "held.csv", 10)
    stated = {"test": path, "train": "full", "header": False, "task": "text-classification"}
    assert told_options(stated) == {**stated, "test": "held.csv"}
    told = told_options({"metric": f"evaluate:{tmp_path}/mine:better=lower"})
    assert told == {"metric": "evaluate:./mine:better=lower"}
