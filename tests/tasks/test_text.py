"""Text: encoding, padding, pairs, truncation, predictions."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from tiny import tiny_text_csv, tiny_text_model

from hf_select.errors import InputError
from hf_select.tasks.base import get_task
from hf_select.tasks.data import load_target
from hf_select.tasks.text import TextEncoded

TASK = get_task("text-classification")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_model(tmp_path_factory.mktemp("text") / "bert", architecture="bert")


def split(
    texts: list[str], pairs: list[str] | None = None, labels: list | None = None
) -> datasets.Dataset:
    columns = {"text": texts, "label": labels or [0] * len(texts)}
    return datasets.Dataset.from_dict({**columns, **({"text_pair": pairs} if pairs else {})})


def test_rows_equal_the_tokenizers_own(bert: Path) -> None:
    processor = TASK.load_processor(bert)
    texts, pairs = ["the film", "good", "a very bad plot"], ["was odd", "this scene end", "the"]
    encoded = TASK.encode(processor, split(texts, pairs, [0, 1, 0]), max_length=32)
    batch = encoded.collate([encoded[i] for i in range(3)])
    expected = processor(texts, pairs, padding=True, return_tensors="pt")
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        assert torch.equal(batch[name], expected[name])
    assert batch["labels"].tolist() == [0, 1, 0]
    assert encoded.lengths.tolist() == expected["attention_mask"].sum(1).tolist()
    assert len(encoded) == 3


def test_padding_is_to_the_longest_of_the_batch(bert: Path) -> None:
    texts = ["film " * n for n in (1, 5, 20)]
    encoded = TASK.encode(TASK.load_processor(bert), split(texts), max_length=32)
    assert encoded.lengths.tolist() == [3, 7, 22]
    assert encoded.collate([encoded[0], encoded[1]])["input_ids"].shape == (2, 7)
    assert encoded[-1]["input_ids"].shape == (22,)
    with pytest.raises(IndexError):
        encoded[3]


def test_padding_follows_the_tokenizers_side(bert: Path) -> None:
    processor = TASK.load_processor(bert)
    processor.padding_side = "left"
    encoded = TASK.encode(processor, split(["film", "film film film"]), max_length=32)
    batch = encoded.collate([encoded[0], encoded[1]])
    assert batch["attention_mask"][0].tolist() == [0, 0, 1, 1, 1]
    assert batch["input_ids"][0].tolist() == [0, 0, 2, processor.vocab["film"], 3]


@pytest.mark.parametrize("labels", [[0, 2, 1, 0, 1], [0.5, -1.0, 0.1, 3.0, 7.0]])
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_by_number_are_the_batch_of_those_rows(
    bert: Path, side: str, paired: bool, labels: list
) -> None:
    processor = TASK.load_processor(bert)
    processor.padding_side = side
    texts = ["film", "a very bad plot", "good film", "film " * 30, ""]
    pairs = ["odd", "the", "a", "b", "c"] if paired else None
    encoded = TASK.encode(processor, split(texts, pairs, labels), max_length=24)
    for rows in ([0], [3, 1], [4, 0, 2, 1, 3], [2, 2]):
        expected = encoded.collate([encoded[i] for i in rows])
        found = encoded.batch(np.array(rows))
        assert list(found) == list(expected)
        assert list(encoded.inputs(np.array(rows))) == [n for n in found if n != "labels"]
        for name, values in expected.items():
            assert torch.equal(found[name], values)
            assert found[name].dtype == values.dtype


def test_long_texts_are_cut_at_both_maxima(bert: Path) -> None:
    processor = TASK.load_processor(bert)
    long = split(["film " * 200])
    assert TASK.encode(processor, long, max_length=10).lengths.tolist() == [10]
    assert TASK.encode(processor, long, max_length=500).lengths.tolist() == [64]


def test_a_length_without_room_for_text(bert: Path) -> None:
    with pytest.raises(InputError, match="max_length is 2"):
        TASK.encode(TASK.load_processor(bert), split(["film"]), max_length=2)


def test_an_empty_text_is_a_row_too(tmp_path: Path) -> None:
    """GPT's tokenizer puts no marks around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({"[PAD]": 0, "film": 1, "[UNK]": 2}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    processor = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]")
    encoded = TASK.encode(processor, split(["", "film film"]), max_length=8)
    assert encoded.lengths.tolist() == [1, 2]
    assert encoded[0]["input_ids"].tolist() == [0]


def test_selected_rows_are_encoded_in_their_order(bert: Path) -> None:
    processor = TASK.load_processor(bert)
    rows = split([f"{'film ' * i}end" for i in range(6)], labels=[0, 1, 0, 1, 0, 1])
    encoded = TASK.encode(processor, rows.select([4, 1, 3]), max_length=32)
    assert encoded.lengths.tolist() == [7, 4, 6]
    assert encoded.labels.tolist() == [0, 1, 1]


def test_many_chunks_are_one_split(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = TASK.load_processor(bert)
    rows = split([f"{'film ' * (i % 5)}end" for i in range(25)])
    whole = TASK.encode(processor, rows, max_length=32)
    monkeypatch.setattr("hf_select.tasks.text.CHUNK", 4)
    parts = TASK.encode(processor, rows, max_length=32)
    assert isinstance(whole, TextEncoded)
    for i in range(25):
        assert np.array_equal(whole[i]["input_ids"], parts[i]["input_ids"])


def test_a_data_loader_takes_it(bert: Path) -> None:
    encoded = TASK.encode(TASK.load_processor(bert), split(["film end"] * 10), max_length=32)
    loader = torch.utils.data.DataLoader(encoded, batch_size=4, collate_fn=encoded.collate)
    assert [len(batch["labels"]) for batch in loader] == [4, 4, 2]


def test_regression_labels_stay_raw(tmp_path: Path) -> None:
    task = get_task("text-regression")
    folder = tiny_text_model(tmp_path / "m")
    target = load_target(tiny_text_csv(tmp_path / "r.csv", 60, regression=True))
    encoded = task.encode(task.load_processor(folder), target.train, max_length=16)
    assert encoded.labels.dtype == np.float32
    assert np.array_equal(encoded.labels, target.labels("train"))
    batch = encoded.collate([encoded[0], encoded[1]])
    assert batch["labels"].dtype == torch.float32
    model = task.load_model(folder, num_labels=1)
    output = model(**batch)
    assert output.logits.shape == (2, 1)
    expected = ((output.logits[:, 0] - batch["labels"]) ** 2).mean()
    assert output.loss.item() == pytest.approx(expected.item())
    assert np.allclose(task.predict(output.logits), output.logits[:, 0].tolist())


def test_predictions() -> None:
    logits = torch.tensor([[0.1, 2.0, 0.3], [5.0, 1.0, 1.0]], dtype=torch.bfloat16)
    assert TASK.predict(logits).tolist() == [1, 0]
    values = get_task("text-regression").predict(
        torch.tensor([[0.5], [-1.5]], dtype=torch.bfloat16)
    )
    assert values.tolist() == [0.5, -1.5]
    assert values.shape == (2,)
