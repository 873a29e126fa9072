"""Tiny models and data sets that train in well under a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hf_select.catalog import Catalog
from hf_select.records import ModelEntry, Recipe
from hf_select.tasks.data import TargetData, dataset_entry, load_target

WORDS = [f"w{i}" for i in range(60)]
RECIPE = Recipe(learning_rate=3e-3, epochs=2, global_batch_size=8, max_length=16, fractions=(0.5,))


def make_model(folder: Path, *, seed: int = 0, dropout: float = 0.1, width: int = 16) -> Path:
    """A DistilBERT with random weights and a tokenizer of 60 words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    from hf_select.tasks.models import quiet

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=32,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    network = DistilBertModel(
        DistilBertConfig(
            vocab_size=len(vocabulary),
            dim=width,
            hidden_dim=2 * width,
            n_layers=1,
            n_heads=2,
            max_position_embeddings=32,
            dropout=dropout,
            attention_dropout=dropout,
            seq_classif_dropout=dropout,
            pad_token_id=0,
        )
    )
    with quiet():
        network.save_pretrained(folder)
    torch.set_rng_state(state)
    return folder


def make_rows(count: int, *, seed: int = 0, regression: bool = False) -> list[dict]:
    """Texts of 3 to 10 words; the label is the share of words from the first half, or its side."""
    numbers = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        share = numbers.random()
        words = [
            WORDS[int(numbers.integers(0, 30)) + (0 if numbers.random() < share else 30)]
            for _ in range(int(numbers.integers(3, 11)))
        ]
        mean = np.mean([int(w[1:]) < 30 for w in words])
        label = 100.0 + 50.0 * float(mean) if regression else ("low", "high")[int(mean > 0.5)]
        rows.append({"text": " ".join(words), "label": label})
    return rows


def make_target(
    folder: Path, *, train: int = 52, test: int = 23, regression: bool = False
) -> TargetData:
    """A target: reviews of 3 to 10 words, or their ratings."""
    make_dataset(folder, train=train, test=test, regression=regression)
    return load_target(folder, task="text-regression" if regression else "text-classification")


def make_dataset(
    folder: Path, *, seed: int = 0, train: int = 52, test: int = 23, regression: bool = False
) -> Path:
    """A folder with train.jsonl, validation.jsonl and test.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (split, count) in enumerate((("train", train), ("validation", 21), ("test", test))):
        rows = make_rows(count, seed=10 * seed + i, regression=regression)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def make_catalog(
    folder: Path,
    *,
    models: int = 2,
    datasets: int = 2,
    train: int = 52,
    width: int = 16,
    dropout: float = 0.1,
) -> Catalog:
    """Models m0, m1, ... and data sets d0, d1, ... in a folder, and the catalog of them."""
    names = [f"m{i}" for i in range(models)]
    sets = [f"d{i}" for i in range(datasets)]
    locations = {
        n: make_model(folder / n, seed=i, width=width, dropout=dropout) for i, n in enumerate(names)
    }
    for i, name in enumerate(sets):
        locations[name] = make_dataset(folder / name, seed=i, train=train)
    task = "text-classification"
    return Catalog(
        models=tuple(ModelEntry(n, f"{i:040x}", task) for i, n in enumerate(names)),
        datasets=tuple(dataset_entry(load_target(locations[n], task=task)) for n in sets),
        locations=locations,
    )
