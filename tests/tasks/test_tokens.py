"""Words as tokens: which token carries a tag, which words nothing is left of, which models can."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_byte_level_model, tiny_text_model

from hf_select.errors import InputError, ModelError
from hf_select.locations import demo_folder
from hf_select.tasks.base import get_task
from hf_select.tasks.data import TargetData, load_target
from hf_select.tasks.tokens import IGNORED, TokenEncoded

TASK = get_task("token-classification")
MODEL = demo_folder() / "models" / "bert-glosses-2"
SENTENCES = [
    (["the", "antediluvian", "cat"], ["O", "B-x", "O"]),
    (["\u200b", "a", "b", "c", "d", "e", "f"], ["O", "O", "B-x", "O", "B-x", "O", "B-x"]),
    (["\u200b"], ["B-x"]),
] * 4


@pytest.fixture
def target(tmp_path: Path) -> TargetData:
    for split in ("train", "validation", "test"):
        lines = [json.dumps({"tokens": w, "ner_tags": t}) for w, t in SENTENCES]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return load_target(tmp_path)


def encode(target: TargetData, length: int = 32) -> tuple[TokenEncoded, object]:
    processor = TASK.load_processor(MODEL)
    return TASK.encode(processor, target.train, max_length=length), processor  # type: ignore[return-value]


def test_the_first_token_of_a_word_carries_its_tag(target: TargetData) -> None:
    encoded, processor = encode(target)
    row = encoded[0]
    pieces = processor.convert_ids_to_tokens(row["input_ids"].tolist())  # type: ignore[attr-defined]
    tags = [
        "-" if label == IGNORED else target.label_names[label] for label in row["labels"].tolist()
    ]
    assert pieces[0] == "[CLS]"
    assert len(pieces) > 5  # the middle word is more than one token
    assert tags == ["-", "O", "B-x", *["-"] * (len(pieces) - 5), "O", "-"]


def test_words_that_leave_no_token_are_answered_with_the_most_frequent_tag(
    target: TargetData,
) -> None:
    encoded, _ = encode(target, 6)  # four tokens beside the marks
    rows = np.array([0, 1, 2])
    assert encoded.units(rows).tolist()[1:] == [4, 1]
    outside, inside = target.label_names.index("O"), target.label_names.index("B-x")
    units = int(encoded.units(rows).sum())
    answers = encoded.answers(rows, np.full(units, inside), otherwise=outside)
    # row 1: its first word leaves no token, and e and f are cut off
    one = answers.predictions[answers.ends[0] : answers.ends[1]]  # type: ignore[index]
    assert one.tolist() == [outside, *[inside] * 4, outside, outside]
    assert answers.references.tolist() == [
        target.label_names.index(tag) for _, tags in SENTENCES[:3] for tag in tags
    ]
    assert answers.as_tags(target.label_names).references.tolist() == [
        tag for _, tags in SENTENCES[:3] for tag in [*tags, ""]
    ]


def test_a_row_without_a_word_that_is_seen_has_its_first_token(target: TargetData) -> None:
    encoded, _ = encode(target)
    labels = encoded[2]["labels"]
    assert labels[0] == target.label_names.index("B-x")
    assert (labels[1:] == IGNORED).all()


def test_labels_of_a_batch_are_padded_and_places_are_where_words_begin(target: TargetData) -> None:
    encoded, _ = encode(target)
    batch = encoded.batch(np.array([2, 1]))
    assert batch["labels"].shape == batch["input_ids"].shape
    places = encoded.places(batch["labels"])
    found = batch["labels"].reshape(-1)[places].numpy()
    assert found.tolist() == encoded.unit_labels(np.array([2, 1])).tolist()
    assert "labels" not in encoded.inputs(np.array([0]))
    by_row = encoded.collate([encoded[2], encoded[1]])
    assert all((by_row[name] == value).all() for name, value in batch.items())


def test_too_short_a_length_is_refused(target: TargetData) -> None:
    with pytest.raises(InputError, match="max_length is 2"):
        encode(target, 2)


def test_a_byte_level_tokenizer_gets_a_space_before_each_word(tmp_path: Path) -> None:
    tiny_byte_level_model(tmp_path / "m")
    processor = TASK.load_processor(tmp_path / "m")
    encoded = processor(["the", "film"], is_split_into_words=True)
    assert processor.decode(encoded["input_ids"], skip_special_tokens=True).split() == [
        "the",
        "film",
    ]
    model, trained = TASK.load_checkpoint(tmp_path / "m")
    assert type(model).__name__ == "RobertaForTokenClassification"
    assert not trained


def test_a_tokenizer_that_knows_no_words_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = tiny_text_model(tmp_path / "m")
    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "is_fast", False)
    with pytest.raises(ModelError, match="can't say which word a token comes from"):
        TASK.load_processor(folder)


@pytest.mark.parametrize(
    ("task", "words"),
    [("token-classification", "token classification"), ("multiple-choice", "multiple choice")],
)
def test_a_network_without_such_a_head_is_refused(tmp_path: Path, task: str, words: str) -> None:
    import transformers

    transformers.BartModel(
        transformers.BartConfig(
            vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8,
            decoder_ffn_dim=8, encoder_attention_heads=2, decoder_attention_heads=2,
            max_position_embeddings=16,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    if task == "multiple-choice" and transformers.BartConfig in (
        transformers.AutoModelForMultipleChoice._model_mapping
    ):
        pytest.skip("this version of transformers has one")
    with pytest.raises(ModelError, match=f"'bart' model, which can't do {words}"):
        get_task(task).load_model(tmp_path, num_labels=2)
