"""Tiny models and data sets for tests: random weights, a few rows, made in milliseconds.

The rows can be learned: a text's class shows in its words, an image's class in its colour, a
text's rating in how many of its words are good ones.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

NEUTRAL = ("the", "a", "film", "was", "plot", "very", "this", "that", "scene", "end")
SIGNS = (
    ("good", "great", "fine", "nice"),
    ("bad", "poor", "dull", "weak"),
    ("odd", "strange", "weird", "queer"),
    ("long", "slow", "wide", "deep"),
)
NAMES = ("good", "bad", "odd", "long")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_text_model(
    folder: str | Path,
    *,
    architecture: str = "distilbert",
    num_labels: int = 2,
    head: bool = True,
    layers: int = 2,
    width: int = 16,
    max_tokens: int = 64,
    seed: int = 0,
) -> Path:
    """A folder with a random BERT or DistilBERT and a word tokenizer; `head=False`: body only."""
    import torch
    import transformers as tf

    folder = Path(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        common = {"vocab_size": len(_vocabulary()), "pad_token_id": 0, "num_labels": num_labels}
        if architecture == "bert":
            settings = tf.BertConfig(
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=2,
                intermediate_size=2 * width,
                max_position_embeddings=max_tokens,
                **common,
            )
            kind = tf.BertForSequenceClassification if head else tf.BertModel
        else:
            settings = tf.DistilBertConfig(
                dim=width,
                n_layers=layers,
                n_heads=2,
                hidden_dim=2 * width,
                max_position_embeddings=max_tokens,
                **common,
            )
            kind = tf.DistilBertForSequenceClassification if head else tf.DistilBertModel
        _save(kind(settings), folder)
    _tokenizer(max_tokens, segments=architecture == "bert").save_pretrained(folder)
    return folder


def tiny_byte_level_model(folder: str | Path) -> Path:
    """A folder with a random RoBERTa body and a tokenizer of bytes that knows the texts' words."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder = Path(folder)
    words = [*NEUTRAL, *(word for signs in SIGNS for word in signs)]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([f" {' '.join(words)}"] * 9, vocab_size=400, special_tokens=[])
    bpe.add_special_tokens(["<s>", "</s>", "<pad>", "<unk>", "<mask>"])
    (folder / "plain").mkdir(parents=True)
    bpe.save_model(str(folder / "plain"))
    RobertaTokenizerFast.from_pretrained(folder / "plain").save_pretrained(folder)
    settings = RobertaConfig(
        vocab_size=420,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=80,
    )
    _save(RobertaModel(settings), folder)
    shutil.rmtree(folder / "plain")
    return folder


def tiny_image_model(
    folder: str | Path,
    *,
    architecture: str = "resnet",
    num_labels: int = 3,
    head: bool = True,
    size: int = 16,
    seed: int = 0,
) -> Path:
    """A folder with a random ResNet or ConvNeXt of two stages and an image processor."""
    import torch
    import transformers as tf

    folder = Path(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "convnext":
            settings = tf.ConvNextConfig(
                hidden_sizes=[8, 12],
                depths=[1, 1],
                num_stages=2,
                patch_size=2,
                num_labels=num_labels,
            )
            kind = tf.ConvNextForImageClassification if head else tf.ConvNextModel
        else:
            settings = tf.ResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 12],
                depths=[1, 1],
                layer_type="basic",
                num_labels=num_labels,
            )
            kind = tf.ResNetForImageClassification if head else tf.ResNetModel
        _save(kind(settings), folder)
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    ViTImageProcessorPil(
        size={"height": size, "width": size}, image_mean=[0.5] * 3, image_std=[0.25] * 3
    ).save_pretrained(folder)
    return folder


def tiny_text_csv(
    path: str | Path,
    rows: int = 60,
    *,
    classes: int = 2,
    pair: bool = False,
    regression: bool = False,
    seed: int = 0,
) -> Path:
    """A CSV with `text,label`, `sentence1,sentence2,label` or, for regression, `text,score`."""
    rng = np.random.default_rng(seed)
    table = [[*_texts(rng, i, classes, pair=pair, regression=regression)] for i in range(rows)]
    header = ["sentence1", "sentence2"] if pair else ["text"]
    header.append("score" if regression else "label")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *table])
    return path


def tiny_image_folder(
    path: str | Path,
    rows: int = 30,
    *,
    classes: int = 2,
    splits: tuple[str, ...] = (),
    size: int = 16,
    seed: int = 0,
) -> Path:
    """Class folders of small PNGs, `rows` in all; with `splits`, that many in each split."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    path = Path(path)
    for split in splits or (".",):
        for i in range(rows):
            folder = path / split / NAMES[i % classes]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
            pixels[..., (i % classes) % 3] += 120 if i % classes < 3 else 60
            Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    return path


def _texts(
    rng: np.random.Generator, i: int, classes: int, *, pair: bool, regression: bool
) -> list[str | float]:
    """The cells of one row."""
    filler = [str(word) for word in rng.choice(NEUTRAL, size=int(rng.integers(3, 9)))]
    if regression:
        count = int(rng.integers(0, 5))
        words = [*rng.choice(SIGNS[0], size=count), *rng.choice(SIGNS[1], size=4 - count)]
        score = round(count + float(rng.normal(0, 0.1)), 4)
        cells: list[str | float] = [_mix(rng, filler, words)]
    else:
        kind = i % classes
        score = NAMES[kind]
        words = list(rng.choice(SIGNS[kind], size=2))
        cells = [_mix(rng, filler, words)]
    if pair:
        cells.append(_mix(rng, filler, []))
    return [*cells, score]


def _mix(rng: np.random.Generator, filler: list[str], words: list) -> str:
    return " ".join(str(word) for word in rng.permutation([*filler, *words]))


def _vocabulary() -> dict[str, int]:
    words = [*SPECIAL, *NEUTRAL, *(word for group in SIGNS for word in group)]
    return {word: i for i, word in enumerate(words)}


def _tokenizer(max_tokens: int, *, segments: bool):  # type: ignore[no-untyped-def]
    """A fast tokenizer of whole words that builds `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = Tokenizer(models.WordLevel(_vocabulary(), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=names if segments else [names[0], names[2]],
    )


def _save(model, folder: Path) -> None:  # type: ignore[no-untyped-def]
    """Write safetensors without a progress bar."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
