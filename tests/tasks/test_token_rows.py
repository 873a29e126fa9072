"""Words with tags as a target: what is found in columns of lists, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_select.errors import DataError, InputError
from hf_select.tasks.data import TargetData, dataset_entry, load_benchmark, load_target

ROWS = [
    row
    for i in range(10)
    for row in (
        (["EU", "rejects", "German", f"call{i}"], ["B-ORG", "O", "B-MISC", "O"]),
        (["Peter", f"Blackburn{i}"], ["B-PER", "I-PER"]),
        (["so", "what", f"{i}"], ["O", "O", "O"]),
    )
]


def jsonl(path: Path, rows: list, names: tuple[str, str] = ("tokens", "ner_tags")) -> Path:
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_list_of_words_beside_a_list_of_tags_says_the_task(tmp_path: Path) -> None:
    target = load_target(jsonl(tmp_path / "x.jsonl", ROWS))
    assert (target.task, target.metric) == ("token-classification", "seqeval_f1")
    assert target.label_names == ("B-MISC", "B-ORG", "B-PER", "I-PER", "O")
    assert target.trivial() == 0.0
    assert target.majority == target.label_names.index("O")
    row = target.train[0]
    tags = {tuple(words): tags for words, tags in ROWS}
    assert [target.label_names[i] for i in row["tags"]] == tags[tuple(row["tokens"])]


def test_a_row_is_sampled_by_its_rarest_tag(tmp_path: Path) -> None:
    rows = [*ROWS, *((["EU", f"Peter{i}"], ["B-ORG", "B-PER"]) for i in range(5))]
    target = load_target(jsonl(tmp_path / "x.jsonl", rows))
    of: dict[int, set[str]] = {}
    for row in target.train:
        of.setdefault(len(row["tokens"]), set()).add(target.label_names[row["label"]])
    # MISC and I-PER stand in 10 words, ORG and PER in 15, O in 50
    assert of[4] == {"B-MISC"}
    assert of[3] == {"O"}
    assert of[2] - {"B-ORG", "B-PER"} == {"I-PER"}
    assert len(of[2]) == 2


def test_every_kind_of_source_gives_the_same_target(tmp_path: Path) -> None:
    names = ["B-MISC", "B-ORG", "B-PER", "I-PER", "O"]
    rows = {"words": [w for w, _ in ROWS], "tags": [t for _, t in ROWS]}
    features = datasets.Features(
        {
            "words": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    saved = datasets.Dataset.from_dict(rows, features=features)
    saved.save_to_disk(tmp_path / "saved")
    saved.to_parquet(tmp_path / "x.parquet")
    conll = "\n".join("".join(f"{w} {t}\n" for w, t in zip(*row, strict=True)) for row in ROWS)
    (tmp_path / "x.conll").write_text(conll, encoding="utf-8")
    sources = ["saved", "x.parquet", "x.conll", jsonl(tmp_path / "x.jsonl", ROWS).name]
    targets = [load_target(tmp_path / name) for name in sources]
    assert len({target.fingerprint for target in targets}) == 1
    assert {target.label_names for target in targets} == {tuple(names)}
    other = [*ROWS[:-1], (["so", "what", "9"], ["O", "O", "B-PER"])]
    changed = load_target(jsonl(tmp_path / "y.jsonl", other))
    assert changed.fingerprint != targets[0].fingerprint


def test_words_without_spans_are_scored_word_by_word(tmp_path: Path) -> None:
    kinds = {True: "NOUN", False: "X"}
    pos = [(words, [kinds[i % 2 == 0] for i in range(len(words))]) for words, _ in ROWS]
    target = load_target(jsonl(tmp_path / "x.jsonl", pos, ("tokens", "pos_tags")))
    assert target.metric == "accuracy"
    tags = target.references("test")
    assert target.trivial() == max(np.mean(tags == 0), np.mean(tags == 1))
    with pytest.raises(InputError, match="the tags mark no spans"):
        load_target(tmp_path / "x.jsonl", metric="seqeval_f1")
    with pytest.raises(InputError, match="the task is text-classification"):
        load_target(tmp_path / "x.jsonl", task="text-classification", metric="seqeval_f1")
    mixed = [(words, [t.removeprefix("B-") for t in tags]) for words, tags in ROWS]
    target = load_target(jsonl(tmp_path / "y.jsonl", mixed))
    assert target.metric == "f1"
    assert any("'I-PER' looks like a span's tag, but not all do" in n for n in target.notes)


def test_stated_columns_and_the_one_that_is_preferred(tmp_path: Path) -> None:
    rows = [
        {"id": str(i), "tokens": words, "pos_tags": ["X"] * len(words), "ner_tags": tags}
        for i, (words, tags) in enumerate(ROWS)
    ]
    for row in rows:
        row["pos_tags"][0] = "Y"
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    target = load_target(path)
    assert target.label_column == "ner_tags"
    assert any("others: pos_tags" in note for note in target.notes)
    target = load_target(path, task="token-classification", label_column="pos_tags")
    assert (target.input_columns, target.label_column) == (("tokens",), "pos_tags")
    entry = dataset_entry(target, repo_id="tiny/words")
    again = load_benchmark(entry, path)
    assert (again.fingerprint, again.label_column) == (target.fingerprint, "pos_tags")
    with pytest.raises(DataError, match="no column 'ner'"):
        load_target(path, task="token-classification", label_column="ner")
    with pytest.raises(InputError, match="takes no second text"):
        load_target(path, task="token-classification", text_column="tokens", text_pair_column="id")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((["one", "two"], ["O"]), "row 4 has 2 words in column 'tokens', but 1 tags in column"),
        ((["one", None], ["O", "O"]), "nothing in a list of row 4, column 'tokens'"),
        ((["one", "two"], ["O", None]), "nothing in a list of row 4, column 'ner_tags'"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_row(tmp_path: Path, bad: tuple, said: str) -> None:
    path = jsonl(tmp_path / "x.jsonl", [*ROWS[:3], bad, *ROWS[4:]])
    with pytest.raises(DataError, match=said):
        load_target(path)


def test_class_ids_beyond_the_names_are_an_error(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
        }
    )
    data = datasets.Dataset.from_dict(
        {"tokens": [["a", "b"], ["c"]], "tags": [[0, 1], [-1]]}, features=features
    )
    data.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="tag -1 in row 2, column 'tags', but there are 2 classes"):
        load_target(tmp_path / "saved")


def test_rows_without_words_are_left_out_and_said(tmp_path: Path) -> None:
    target = load_target(jsonl(tmp_path / "x.jsonl", [*ROWS, ([], []), ([], [])]))
    assert any("2 rows of" in note and "without a word" in note for note in target.notes)
    assert sum(len(target.split(s)) for s in ("train", "validation", "test")) == len(ROWS)


def folder_of(tmp_path: Path, **splits: list) -> TargetData:
    for name, rows in splits.items():
        jsonl(tmp_path / f"{name}.jsonl", rows)
    return load_target(tmp_path)


def test_a_tag_that_train_does_not_hold_is_a_note_not_an_error(tmp_path: Path) -> None:
    test = [*ROWS[:6], (["Rome"], ["B-LOC"])]
    target = folder_of(tmp_path, train=ROWS, test=test)
    assert "in test but not in train: B-LOC" in target.notes
    assert "B-LOC" in target.label_names


def test_a_test_split_without_tags_is_replaced(tmp_path: Path) -> None:
    target = folder_of(tmp_path, train=ROWS, test=[(words, []) for words, _ in ROWS])
    assert any("test split has no tags" in note for note in target.notes)
    assert len(target.test) == 6


def test_rows_keep_their_numbers_behind_those_without_a_word(tmp_path: Path) -> None:
    rows = [ROWS[0], ([], []), *ROWS[1:]]
    target = load_target(jsonl(tmp_path / "x.jsonl", rows))
    for split in ("train", "validation", "test"):
        words = [rows[number - 1][0] for number in target.rows[split]]
        assert target.split(split)["tokens"][:] == words
    bad = [*rows, (["one", None], ["O", "O"])]
    with pytest.raises(DataError, match=f"nothing in a list of row {len(bad)}, column 'tokens'"):
        load_target(jsonl(tmp_path / "y.jsonl", bad))


def test_a_class_id_beyond_the_names_is_told_by_its_own_row(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
        }
    )
    data = datasets.Dataset.from_dict(
        {"tokens": [["a", "b"], [], ["c"]], "tags": [[0, 1], [], [-1]]}, features=features
    )
    data.save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="tag -1 in row 3, column 'tags'"):
        load_target(tmp_path / "saved")


@pytest.mark.parametrize("as_text", [True, False])
def test_what_a_training_leaves_out_is_no_class(tmp_path: Path, as_text: bool) -> None:
    rows = [(words, [int(t != "O") for t in tags]) for words, tags in ROWS]
    rows.insert(1, ([], []))
    rows[4] = (["so", "what"], [0, -100])
    if as_text:
        rows = [(words, [str(tag) for tag in tags]) for words, tags in rows]
    path = jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match=r"tag -100 in row 5, column 'ner_tags' \(1 of \d+ words\)"):
        load_target(path)
