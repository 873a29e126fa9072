"""What a card says of the rows: real shapes of cards, and nonsense."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hf_select.tasks.cards import CardConfig, read_card

TEXT = "text-classification"


def configs(card: str, task: str = TEXT, **columns: str) -> list[CardConfig]:
    return read_card(yaml.safe_load(card), where="lab/rows", task=task, columns=columns)


# As push_to_hub writes it.
ONE = """
dataset_info:
  config_name: plain_text
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  splits:
  - name: train
    num_bytes: 33432823
    num_examples: 25000
  - name: test
    num_bytes: 32650685
    num_examples: 24000
  - name: unsupervised
    num_bytes: 67106794
    num_examples: 50000
  download_size: 83446840
  dataset_size: 133190302
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
"""

SEVERAL = """
configs:
- config_name: ax
  data_files: ax/*
- config_name: mnli
  data_files: mnli/*
- config_name: stsb
  data_files: stsb/*
- config_name: unknown
  data_files: unknown/*
dataset_info:
- config_name: ax
  features: &pair
  - {name: premise, dtype: string}
  - {name: hypothesis, dtype: string}
  - {name: label, dtype: {class_label: {names: {'0': a, '1': b, '2': c}}}}
  - {name: idx, dtype: int32}
  splits: [{name: test, num_bytes: 1, num_examples: 1104}]
- config_name: mnli
  features: *pair
  splits:
  - {name: train, num_bytes: 1, num_examples: 392702}
  - {name: validation_matched, num_bytes: 1, num_examples: 9815}
  - {name: validation_mismatched, num_bytes: 1, num_examples: 9832}
  - {name: test_matched, num_bytes: 1, num_examples: 9796}
- config_name: stsb
  features:
  - {name: sentence1, dtype: string}
  - {name: sentence2, dtype: string}
  - {name: label, dtype: float32}
  splits: [{name: train, num_bytes: 1, num_examples: 5749}]
"""


def test_a_card_with_one_config() -> None:
    assert configs(ONE) == [
        CardConfig(rows={"train": 25000, "test": 24000}, num_labels=2, bytes=83446840)
    ]


def test_a_card_with_several() -> None:
    ax, mnli, stsb, unknown = configs(SEVERAL)
    assert (ax.config, ax.reason, ax.detail) == ("ax", "no_train_split", "its splits are test")
    assert mnli == CardConfig(
        "mnli", rows={"train": 392702, "validation": 9815, "test": 9796}, num_labels=3
    )
    assert (stsb.reason, stsb.detail) == (
        "other_labels",
        "column 'label' holds float32: values, not classes",
    )
    assert unknown == CardConfig("unknown")


def test_the_same_card_for_regression() -> None:
    _, mnli, stsb, _ = configs(SEVERAL, "text-regression")
    assert mnli.reason == "other_labels"
    assert stsb == CardConfig("stsb", rows={"train": 5749}, num_labels=1)


def features(*columns: tuple[str, Any]) -> str:
    rows = [{"name": name, "dtype": kind} for name, kind in columns]
    return yaml.safe_dump({"dataset_info": {"features": rows}})


def classes(*names: str) -> dict[str, Any]:
    return {"class_label": {"names": {str(i): name for i, name in enumerate(names)}}}


@pytest.mark.parametrize(
    ("card", "task", "reason", "words"),
    [
        (features(("text", "string"), ("label", classes("a"))), TEXT, "one_class", "'a' only"),
        (features(("a", "string"), ("b", "string")), TEXT, "no_usable_columns", "which column"),
        (features(("text", "string"), ("a", "int8"), ("b", "int8")), TEXT, "no_usable_columns", ""),
        (features(("label", classes("a", "b"))), "image-classification", "no_usable_columns", ""),
        (
            features(("question1", "int64"), ("question2", "string"), ("label", "int64")),
            TEXT,
            "no_usable_columns",
            "'question1' holds no text",
        ),
        (features(("text", "string"), ("label", "string")), "text-regression", "other_labels", ""),
        (features(("text", "string"), ("label", "float64")), TEXT, "other_labels", "float64"),
        (features(("text", "string"), ("label", "string")), TEXT, "", ""),
        (features(("text", "string"), ("label", "bool")), TEXT, "", ""),
        (
            features(("img", "image"), ("fine_label", classes("a", "b"))),
            "image-classification",
            "",
            "",
        ),
    ],
)
def test_columns_and_labels(card: str, task: str, reason: str, words: str) -> None:
    (found,) = configs(card, task)
    assert found.reason == reason
    assert words in found.detail


def test_several_labels_a_row() -> None:
    card = yaml.safe_load(features(("text", "string")))
    card["dataset_info"]["features"].append({"name": "labels", "list": classes("a", "b")})
    (found,) = configs(yaml.safe_dump(card))
    assert (found.reason, found.detail) == (
        "other_labels",
        "column 'labels' holds more than one label a row",
    )


def test_stated_columns_win() -> None:
    card = features(("a", "string"), ("b", "string"), ("c", "int64"))
    assert configs(card)[0].reason == "no_usable_columns"
    assert configs(card, text="b", label="c")[0].reason == ""
    assert configs(card, text="b", label="d")[0].reason == "no_usable_columns"


@pytest.mark.parametrize(
    "card",
    [
        "{}",
        "dataset_info: [1, 2]",
        "dataset_info: {features: 7, splits: x}",
        "dataset_info: {splits: [{name: train}]}",
        "dataset_info: {features: [{name: text, dtype: nonsense}]}",
        "configs: nonsense",
        "configs: [1, {}]",
        "dataset_info: {download_size: many}",
    ],
)
def test_nonsense_says_nothing(card: str, capfd: pytest.CaptureFixture[str]) -> None:
    (found,) = configs(card)
    assert (found.config, found.rows, found.bytes, found.reason) == ("", {}, 0, "")
    assert capfd.readouterr().err == ""


# As push_to_hub writes CoNLL 2003: lists of words, and lists of classes.
WORDS = """
dataset_info:
  features:
  - name: id
    dtype: string
  - name: tokens
    sequence: string
  - name: ner_tags
    sequence:
      class_label:
        names:
          '0': O
          '1': B-PER
          '2': I-PER
  splits:
  - name: train
    num_examples: 14041
  - name: test
    num_examples: 3453
"""


def test_words_with_tags_have_as_many_classes_as_there_are_tags() -> None:
    (found,) = configs(WORDS, "token-classification")
    assert (found.num_labels, found.reason) == (3, "")
    assert found.rows == {"train": 14041, "test": 3453}
    (found,) = configs(WORDS, "token-classification", label="id")
    assert (found.reason, found.detail) == ("other_labels", "column 'id' holds no lists of tags")
    (found,) = configs(WORDS, "token-classification", label="tags")
    assert found.reason == "no_usable_columns"
    (found,) = configs(WORDS)
    assert found.reason == "no_usable_columns"


# As push_to_hub writes ARC: choices with their keys.
CHOICES = """
dataset_info:
  features:
  - name: question
    dtype: string
  - name: choices
    struct:
    - name: text
      sequence: string
    - name: label
      sequence: string
  - name: answerKey
    dtype: string
  splits:
  - name: train
    num_examples: 1119
"""


def test_questions_with_choices() -> None:
    (found,) = configs(CHOICES, "multiple-choice")
    assert (found.num_labels, found.reason) == (0, "")
    (found,) = configs(ONE, "multiple-choice")
    assert found.reason == "no_usable_columns"
    assert "which columns hold the choices" in found.detail
