"""Questions with choices as pairs of texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_text_model

from hf_select.tasks.base import get_task
from hf_select.tasks.choices import ChoiceEncoded
from hf_select.tasks.data import load_target

TASK = get_task("multiple-choice")


@pytest.fixture
def encoded(tmp_path: Path) -> ChoiceEncoded:
    choices = [["good film", "bad film", "odd"], ["the plot was very long", "bad", "good"]]
    rows = [
        {"question": f"which film {i}", "choices": choices[i % 2], "answer": "ABC"[i % 3]}
        for i in range(12)
    ]
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    target = load_target(tmp_path)
    processor = TASK.load_processor(tiny_text_model(tmp_path / "m", architecture="bert"))
    return TASK.encode(processor, target.train, max_length=32)  # type: ignore[return-value]


def test_a_batch_is_rows_by_choices_by_tokens(encoded: ChoiceEncoded) -> None:
    batch = encoded.batch(np.array([0, 1]))
    longest = 3 + 3 + 5  # marks, question, the longest choice
    assert batch["input_ids"].shape == (2, 3, longest)
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    assert batch["labels"].tolist() == [0, 1]
    assert batch["attention_mask"][0, :, :].sum(dim=1).tolist() == [8, 8, 7]
    by_row = encoded.collate([encoded[0], encoded[1]])
    assert all((by_row[name] == value).all() for name, value in batch.items())


def test_lengths_are_what_a_row_takes_with_all_its_choices(encoded: ChoiceEncoded) -> None:
    assert encoded.lengths[:2].tolist() == [3 * 8, 3 * 11]
    assert encoded.num_bytes > encoded.pairs.num_bytes


def test_a_look_sees_pairs_each_right_or_wrong(encoded: ChoiceEncoded) -> None:
    looked = encoded.looked()
    assert len(looked) == 3 * len(encoded)
    assert looked.labels[:6].tolist() == [1, 0, 0, 0, 1, 0]


def test_a_head_gives_one_number_a_choice(encoded: ChoiceEncoded, tmp_path: Path) -> None:
    model = TASK.load_model(tiny_text_model(tmp_path / "n"), num_labels=3, label_names=("A", "B"))
    assert type(model).__name__ == "DistilBertForMultipleChoice"
    inputs = encoded.inputs(np.array([0, 1, 2]))
    inputs.pop("token_type_ids")
    logits = model(**inputs).logits
    assert logits.shape == (3, 3)
    assert TASK.predict(logits).tolist() == logits.argmax(-1).tolist()
