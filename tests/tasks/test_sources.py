"""Reading files and folders: what is recognised, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from tiny import tiny_image_folder

from hf_select.errors import DataError, InputError
from hf_select.tasks.hubdata import quiet_datasets
from hf_select.tasks.sources import read_source, with_parts
from hf_select.tasks.textfile import Reading


def test_a_single_file_is_not_split(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,1\nb,2\n")
    source = read_source(tmp_path / "rows.csv")
    assert (source.name, list(source.splits)) == ("rows", ["all"])
    assert source.splits["all"].data.to_pylist()[1] == {"text": "b", "label": "2"}
    assert list(read_source(tmp_path).splits) == ["all"]


def test_shards_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for i in range(3):
        rows = datasets.Dataset.from_dict({"text": [f"t{i}"], "label": [i]})
        rows.to_parquet(tmp_path / "data" / f"train-0000{i}-of-00003.parquet")
    source = read_source(tmp_path)
    assert source.splits["train"].data.column("text").to_pylist() == ["t0", "t1", "t2"]
    assert "2 more" in source.where["train"]


@pytest.mark.parametrize("name", ["valid", "val", "dev", "validation"])
def test_names_of_the_validation_split(tmp_path: Path, name: str) -> None:
    for split in ("train", name):
        (tmp_path / f"{split}.csv").write_text("text,label\na,1\n")
    assert list(read_source(tmp_path).splits) == (
        ["validation", "train"] if name == "dev" else ["train", "validation"]
    )


def test_json_lines_and_json_lists(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b", "label": 1}, {"text": "2020-01-01T00:00:00", "label": 2.5}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    for name in ("a.jsonl", "b.json"):
        read = read_source(tmp_path / name).splits["all"].data
        assert read.column("text").to_pylist() == [r["text"] for r in rows]


def test_class_names_survive_parquet(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    rows.to_parquet(tmp_path / "a.parquet")
    assert read_source(tmp_path / "a.parquet").splits["all"].features["label"] == label


def test_empty_class_folders_are_told(tmp_path: Path) -> None:
    tiny_image_folder(tmp_path, 6)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    source = read_source(tmp_path)
    assert source.splits["all"].features["label"].names == ["bad", "good"]
    assert source.notes == ("folders without images left out: empty",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\na,1\nb,2,3\n",
            r"a.csv: row 2 \(line 3\) has 3 cells, but the header has 2",
        ),
        ("a.csv", "text,text\na,1\n", "two columns named 'text'"),
        ("a.jsonl", '{"text": 1}\n{"text"\n', r"a.jsonl: row 2 \(line 2\) is not JSON"),
        ("a.jsonl", '{"text": 1}\n[1]\n', "row 2 is list"),
        ("a.parquet", "nothing of the kind", "not a parquet file"),
        ("a.xlsx", "x", "ending '.xlsx'"),
        ("a.csv", " \n", "a.csv is empty"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_source(tmp_path / name)


def test_one_split_in_two_formats(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,1\n")
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(DataError, match="more than one format"):
        read_source(tmp_path)


def test_a_damaged_saved_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(DataError, match="can't be read"):
        read_source(tmp_path)


def test_a_slip_in_what_could_be_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "reviews").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="data/reveiws, and as a Hub data set") as caught:
        read_source("data/reveiws")
    assert "did you mean 'data/reviews'?" in caught.value.hint


def test_progress_bars_are_as_before() -> None:
    datasets.enable_progress_bars()
    with quiet_datasets():
        assert datasets.are_progress_bars_disabled()
    assert not datasets.are_progress_bars_disabled()


def test_that_both_end_in_csv_is_no_likeness(tmp_path: Path) -> None:
    (tmp_path / "onecl.csv").write_text("text,label\na,1\n")
    with pytest.raises(DataError) as caught:
        read_source(tmp_path / "nosuch.csv")
    assert "did you mean" not in str(caught.value.hint)
    with pytest.raises(DataError) as caught:
        read_source(tmp_path / "onecll.tsv")
    assert "onecl.csv" in str(caught.value.hint)


def test_a_note_on_two_files_is_told_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text;label\na b;1\nc d;2\n")
    source = with_parts(read_source(tmp_path / "a.csv"), {"test": tmp_path / "b.csv"})
    assert source.notes == ("columns are separated by semicolons",)


def test_an_unknown_encoding_is_refused_though_the_file_tells_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\n", encoding="utf-8-sig")
    with pytest.raises(InputError, match="no text encoding 'latin99'"):
        read_source(tmp_path / "a.csv", reading=Reading("latin99"))
