"""Loading a target: every kind of source gives the same thing; bad data is named and refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
from tiny import tiny_image_folder, tiny_text_csv

from hf_select.errors import DataError, InputError, UnknownNameError
from hf_select.metrics import get_metric
from hf_select.tasks.data import dataset_entry, load_benchmark, load_target

ROWS = [(f"text number {i} {'good' if i % 2 else 'bad'}", i % 2) for i in range(40)]


def write_csv(path: Path, rows: list[tuple], header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def three_files(folder: Path, train: list, validation: list, test: list) -> Path:
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        write_csv(folder / f"{name}.csv", rows)
    return folder


# ------------------------------------------------------------------------- what is inferred


def test_a_csv_of_words_is_a_classification(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "films.csv", 60, classes=3))
    assert (target.name, target.task, target.metric) == ("films", "text-classification", "accuracy")
    assert target.label_names == ("bad", "good", "odd")
    assert (target.num_labels, target.input_columns, target.label_column) == (3, ("text",), "label")
    assert (target.label_mean, target.label_std) == (0.0, 1.0)
    assert target.train.column_names == ["text", "label"]
    assert len(target.train) + len(target.validation) + len(target.test) == 60


def test_a_csv_of_decimals_is_a_regression_with_raw_labels(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "rated.csv", 80, regression=True))
    assert (target.task, target.metric, target.num_labels) == ("text-regression", "rmse", 1)
    labels = target.labels("train")
    assert labels.dtype == np.float32
    assert target.label_mean == pytest.approx(labels.mean(), rel=1e-6)
    assert target.label_std == pytest.approx(labels.std(), rel=1e-5)
    test = target.labels("test").astype(float)
    assert target.trivial() == pytest.approx(test.std(), rel=1e-6)  # the RMSE of the mean


def test_a_pair_is_found_by_its_names(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "pairs.csv", 40, pair=True))
    assert target.input_columns == ("sentence1", "sentence2")
    assert target.train.column_names == ["text", "text_pair", "label"]


def test_an_image_folder(tmp_path: Path) -> None:
    target = load_target(tiny_image_folder(tmp_path / "colours", 24, classes=3))
    assert (target.task, target.label_names) == ("image-classification", ("bad", "good", "odd"))
    assert target.train[0]["image"].size == (16, 16)


def test_an_image_folder_with_splits(tmp_path: Path) -> None:
    folder = tiny_image_folder(tmp_path / "colours", 8, splits=("train", "val", "test"))
    target = load_target(folder)
    assert [len(target.split(s)) for s in ("train", "validation", "test")] == [8, 8, 8]
    assert not any("set apart" in note for note in target.notes)


def test_everything_that_was_inferred_is_in_the_notes(tmp_path: Path) -> None:
    notes = " | ".join(load_target(tiny_text_csv(tmp_path / "a.csv", 60)).notes)
    for part in ("'text'", "'label'", "task:", "no test split", "no validation split", "seed 0"):
        assert part in notes


def test_stated_columns_leave_nothing_to_infer(tmp_path: Path) -> None:
    rows = [(f"t{i}", f"other{i}", i % 2, 0.5 * i) for i in range(30)]
    path = write_csv(tmp_path / "a.csv", rows, "first,second,kind,score")
    target = load_target(
        path, task="text-classification", text_column="second", label_column="kind", metric="f1"
    )
    assert target.train[0]["text"].startswith("other")
    assert (target.metric, target.input_columns, target.label_column) == ("f1", ("second",), "kind")
    assert all("set apart" in note for note in target.notes)
    other = load_target(path, text_column="first", label_column="score")
    assert other.task == "text-regression"


def test_image_paths_in_a_csv_are_relative_to_it(tmp_path: Path) -> None:
    tiny_image_folder(tmp_path / "files", 12)
    paths = sorted((tmp_path / "files").glob("*/*.png"))
    rows = [(p.relative_to(tmp_path).as_posix(), p.parent.name) for p in paths]
    path = write_csv(tmp_path / "list.csv", rows, "image,label")
    target = load_target(path, task="image-classification")
    assert target.train[0]["image"].size == (16, 16)
    assert target.fingerprint == load_target(path, image_column="image").fingerprint


# ------------------------------------------------------------------- one content, many files


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    parts = {"train": ROWS[:24], "validation": ROWS[24:32], "test": ROWS[32:]}
    three_files(tmp_path / "csv", *parts.values())
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    saved = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"text": [t for t, _ in rows], "label": [y for _, y in rows]}, features=features
            )
            for split, rows in parts.items()
        }
    )
    datasets.disable_progress_bars()
    saved.save_to_disk(str(tmp_path / "disk"))
    (tmp_path / "parquet").mkdir()
    (tmp_path / "json").mkdir()
    for split, rows in parts.items():
        saved[split].to_parquet(tmp_path / "parquet" / f"{split}-00000-of-00001.parquet")
        lines = [json.dumps({"text": t, "label": y}) for t, y in rows]
        (tmp_path / "json" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        cells = ["text\tlabel", *(f"{t}\t{y}" for t, y in rows)]
        (tmp_path / "tsv").mkdir(exist_ok=True)
        (tmp_path / "tsv" / f"{split}.tsv").write_text("\n".join(cells), encoding="utf-8")
    found = {
        kind: load_target(tmp_path / kind) for kind in ("csv", "disk", "parquet", "json", "tsv")
    }
    assert len({target.fingerprint for target in found.values()}) == 1
    assert len(found["csv"].fingerprint) == 40
    assert found["disk"].label_names == ("no", "yes")
    assert found["csv"].label_names == ("0", "1")


def test_the_fingerprint_sees_every_text_label_and_split(tmp_path: Path) -> None:
    def of(train: list, test: list) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return load_target(three_files(folder, train, ROWS[20:30], test)).fingerprint

    base = of(ROWS[:20], ROWS[30:])
    assert base == of(ROWS[:20], ROWS[30:])
    assert base != of([("changed", 0), *ROWS[1:20]], ROWS[30:])
    assert base != of([(ROWS[0][0], 1), *ROWS[1:20]], ROWS[30:])
    assert base != of(ROWS[:20], ROWS[30:][::-1])


def test_images_are_fingerprinted_by_what_they_show(tmp_path: Path) -> None:
    from PIL import Image

    folder = tiny_image_folder(tmp_path / "a", 12)
    before = load_target(folder).fingerprint
    for path in folder.glob("*/*.png"):
        with Image.open(path) as image:
            image.load()
        image.save(path, compress_level=0)
    assert load_target(folder).fingerprint == before
    image.putpixel((0, 0), (1, 2, 3))
    image.save(path)
    assert load_target(folder).fingerprint != before


def test_cells_of_a_csv_stay_text(tmp_path: Path) -> None:
    cells = ["NA", "007", "2020-01-01", "null", "1.50", *(f"0{i}" for i in range(25))]
    path = write_csv(tmp_path / "a.csv", [(cell, "ab"[i % 2]) for i, cell in enumerate(cells)])
    target = load_target(path)
    splits = (target.train, target.validation, target.test)
    assert {row["text"] for split in splits for row in split} == set(cells)


def test_quoted_cells_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    lines = ["\ufefftext;label", *(f'"line {i}\nnext; ""quoted""";{i % 2}' for i in range(30))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    target = load_target(path)
    assert target.train[0]["text"].endswith('\nnext; "quoted"')
    assert target.label_names == ("0", "1")


# -------------------------------------------------------------------------------- splits


def test_made_splits_are_seeded_stratified_and_apart(tmp_path: Path) -> None:
    rows = [(f"text {i}", "rare" if i % 10 == 0 else "often") for i in range(200)]
    path = write_csv(tmp_path / "a.csv", rows)
    one, same, other = load_target(path), load_target(path), load_target(path, seed=1)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    texts = [set(one.split(s)["text"]) for s in ("train", "validation", "test")]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 200
    for split in ("train", "validation", "test"):
        assert np.mean(one.labels(split) == 1) == pytest.approx(0.1, abs=0.01)
    assert [len(one.split(s)) for s in ("validation", "test")] == [30, 30]


def test_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    rows = [(f"text {i // 3}", i // 3 % 2) for i in range(120)]
    target = load_target(write_csv(tmp_path / "a.csv", rows))
    texts = [set(target.split(s)["text"]) for s in ("train", "validation", "test")]
    assert sum(map(len, texts)) == 40
    assert not any("copy" in note for note in target.notes)


def test_copies_across_given_splits_are_told(tmp_path: Path) -> None:
    folder = three_files(tmp_path / "d", ROWS[:20], ROWS[18:28], ROWS[28:])
    notes = load_target(folder).notes
    assert "2 of 10 validation rows have a copy in train" in notes
    assert not any("test rows" in note for note in notes)


def test_a_test_split_without_labels_is_replaced(tmp_path: Path) -> None:
    """As GLUE publishes it: every label of the test split is -1."""
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )

    def part(n: int, label: int | None) -> datasets.Dataset:
        labels = [i % 2 if label is None else label for i in range(n)]
        texts = [f"{n} {i}" for i in range(n)]
        return datasets.Dataset.from_dict({"sentence": texts, "label": labels}, features=features)

    saved = datasets.DatasetDict(
        {"train": part(40, None), "validation": part(10, None), "test": part(12, -1)}
    )
    saved.save_to_disk(str(tmp_path / "glue"))
    target = load_target(tmp_path / "glue")
    assert len(target.train) + len(target.test) == 40
    assert "the test split has no labels, so it is not used" in target.notes


# --------------------------------------------------------------------------- the catalog


def test_a_benchmark_comes_back_from_its_entry(tmp_path: Path) -> None:
    for path in (
        tiny_text_csv(tmp_path / "pair.csv", 60, pair=True),
        tiny_text_csv(tmp_path / "rated.csv", 60, regression=True),
        tiny_image_folder(tmp_path / "images", 20),
    ):
        target = load_target(path, name="set")
        entry = dataset_entry(target, repo_id="me/set", license="mit")
        assert entry.revision == target.fingerprint
        assert entry.splits["test"] == len(target.test)
        metric = get_metric(target.metric)
        assert entry.baseline == target.trivial("test") == metric.trivial(target.labels("test"))
        again = load_benchmark(entry, path)
        assert again.fingerprint == target.fingerprint
        assert (again.name, again.task, again.metric) == ("me/set", target.task, target.metric)


def test_a_changed_benchmark_is_refused(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv", 60)
    entry = dataset_entry(load_target(path))
    tiny_text_csv(path, 60, seed=1)
    with pytest.raises(DataError, match="not what the catalog lists"):
        load_benchmark(entry, path)


# -------------------------------------------------------------------------------- errors


def refuse(source: object, *parts: str, error: type[InputError] = DataError, **stated: str) -> None:
    """The error comes at once and its message (or hint) has all the parts."""
    start = time.process_time()  # of this process, whatever else the machine does
    with pytest.raises(error) as caught:
        load_target(source, **stated)  # type: ignore[arg-type]
    assert time.process_time() - start < 1
    text = f"{caught.value.message} {caught.value.hint}"
    for part in parts:
        assert part in text, text


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing.csv", "nothing.csv")
    refuse("nothing.csv", "nothing.csv")
    refuse("a folder that is not there", "a folder")


def test_a_hub_id_without_a_network() -> None:
    refuse("nobody/nothing", "nobody/nothing", "HF_HUB_OFFLINE")


def test_a_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refuse(tmp_path, tmp_path.name, "save_to_disk")


def test_unknown_column_lists_the_columns(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv")
    refuse(path, "'lable'", "did you mean 'label'", "text, label", label_column="lable")
    refuse(path, "a.csv", "'body'", text_column="body")


def test_a_column_that_only_train_has(tmp_path: Path) -> None:
    folder = three_files(tmp_path / "d", ROWS[:20], ROWS[20:30], ROWS[30:])
    write_csv(folder / "test.csv", ROWS[30:], "body,label")
    refuse(folder, "test.csv", "'text'")


def test_a_test_file_without_the_label_is_not_used(tmp_path: Path) -> None:
    """As contests publish it."""
    folder = three_files(tmp_path / "d", ROWS[:20], ROWS[20:30], ROWS[30:])
    write_csv(folder / "test.csv", ROWS[30:], "text,answer")
    target = load_target(folder)
    assert "the test split has no column 'label', so it is not used" in target.notes
    assert len(target.train) + len(target.test) == 20
    refuse(folder / "train.csv", "test.csv", "'label'", test=str(folder / "test.csv"))


def test_one_class_only(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [(f"t{i}", "same") for i in range(20)])
    refuse(path, "a.csv", "one class ('same') only", "'label'")
    folder = three_files(tmp_path / "d", ROWS[:20], ROWS[20:30], [("x", 1), ("y", 1)])
    refuse(folder, "test.csv", "one class ('1') only")


def test_empty_split(tmp_path: Path) -> None:
    folder = three_files(tmp_path / "d", ROWS[:20], [], ROWS[30:])
    refuse(folder, "validation.csv", "empty")
    (tmp_path / "zero.csv").write_bytes(b"")
    refuse(tmp_path / "zero.csv", "zero.csv", "empty")
    refuse(write_csv(tmp_path / "header.csv", []), "header.csv", "empty")


def test_too_few_rows_for_splits(tmp_path: Path) -> None:
    refuse(write_csv(tmp_path / "a.csv", ROWS[:2]), "empty", "was made")


def test_a_class_that_train_lacks(tmp_path: Path) -> None:
    folder = three_files(tmp_path / "d", ROWS[:20], ROWS[20:30], [*ROWS[30:], ("new", 7)])
    refuse(folder, "class '7' is in test (row 11) but not in train")


def test_equal_regression_targets(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [(f"t{i}", 2.5) for i in range(20)])
    refuse(path, "a.csv", "one value (2.5) only", "'label'")


def test_rows_without_a_label_are_left_out_and_told(tmp_path: Path) -> None:
    def told(path: Path) -> str:
        target = load_target(path)
        (check,) = [check for check in target.checks if check.check == "missing-labels"]
        rows = np.concatenate([target.rows[split] for split in ("train", "validation", "test")])
        total = sum(len(target.split(split)) for split in ("train", "validation", "test"))
        assert len(rows) == len(set(rows.tolist())) == total
        assert check.level == "warning"
        return check.text

    rows = [*ROWS[:3], ("no label", ""), *ROWS[4:]]
    text = told(write_csv(tmp_path / "a.csv", rows))
    assert "1 row of 40" in text
    assert "the first: row 4" in text
    values = [(f"t{i}", 0.5 * i) for i in range(20)]
    values[6] = ("t", "nan")  # type: ignore[assignment]
    assert "row 7" in told(write_csv(tmp_path / "b.csv", values))
    lines = [json.dumps({"text": f"t{i}", "label": None if i == 4 else i / 3}) for i in range(19)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    assert "row 5" in told(tmp_path / "c.jsonl")
    refuse(write_csv(tmp_path / "d.csv", [("t", ""), ("u", "")]), "d.csv", "any of its 2 rows")


def test_rows_without_a_text_are_left_out_and_told(tmp_path: Path) -> None:
    lines = [json.dumps({"text": None if i == 2 else f"t{i}", "label": i % 2}) for i in range(19)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    target = load_target(tmp_path / "a.jsonl")
    texts = {check.check: check.text for check in target.checks}
    assert "the first: row 3" in texts["missing-inputs"]
    assert len(target.train) + len(target.validation) + len(target.test) == 18
    assert not any(3 in target.rows[split] for split in ("train", "validation", "test"))


def test_images_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = tiny_image_folder(tmp_path / "a", 12)
    path = sorted(folder.glob("*/*.png"))[5]
    good = path.read_bytes()
    path.write_bytes(b"")
    refuse(folder, path.name, "0 bytes")
    path.write_bytes(good[: len(good) // 2])
    refuse(folder, path.name, "can't be decoded")
    path.write_bytes(b"no image at all")
    refuse(folder, path.name, "can't be decoded")


def test_text_that_is_not_utf8_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"text,label\nplain,a\ncaf\xe9,b\n")
    refuse(path, "latin.csv", "UTF-8", "line 3")


def test_unknown_task_and_metric(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv")
    refuse(path, "text-regression", error=UnknownNameError, task="text-regresion")
    refuse(path, "accuracy", error=UnknownNameError, metric="acuracy")


def test_a_metric_of_the_wrong_kind(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv")
    refuse(path, "'rmse'", "classification", error=InputError, metric="rmse")
    refuse(
        "not even looked at.csv",
        "'accuracy'",
        error=InputError,
        task="text-regression",
        metric="accuracy",
    )


def test_regression_asked_of_words(tmp_path: Path) -> None:
    refuse(tiny_text_csv(tmp_path / "a.csv"), "'good' in row 1", task="text-regression")


def test_columns_of_the_wrong_kind_for_the_task(tmp_path: Path) -> None:
    path = tiny_text_csv(tmp_path / "a.csv")
    refuse(path, "no image column", task="image-classification")
    refuse(path, "text column", error=InputError, task="image-classification", text_column="text")
    refuse(path, "image column", error=InputError, task="text-regression", image_column="text")


def test_an_error_writes_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("t", "same")] * 5)
    before = sorted(tmp_path.rglob("*"))
    refuse(path, "one class")
    assert sorted(tmp_path.rglob("*")) == before


def test_loading_a_saved_folder_writes_nothing(tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    rows = {"text": [t for t, _ in ROWS], "label": [y for _, y in ROWS]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "d"))
    before = sorted(tmp_path.rglob("*"))
    target = load_target(tmp_path / "d")
    target.train.select([3, 1, 2])
    assert sorted(tmp_path.rglob("*")) == before


def test_no_torch_for_data() -> None:
    """What makes a bad file an error at once."""
    import subprocess
    import sys

    code = (
        "import sys, hf_select.tasks\n"
        "from hf_select.errors import DataError\n"
        "try: hf_select.tasks.load_target('no.csv')\n"
        "except DataError: pass\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
