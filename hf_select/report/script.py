"""`train.py`: the winner's fine-tuning as a script of plain transformers and Accelerate.

It is put together from the pieces under `assets/train/`: what the task needs, the metric, and the
loop that all tasks share. With the same seed, on one CPU process, it repeats the winner's training
step by step; elsewhere it comes out within the noise of sums in another order.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from hf_select.errors import InputError
from hf_select.metrics import METRICS
from hf_select.records import TASK_KINDS, Recipe
from hf_select.report.svg import asset

SCRIPT = "train.py"
DATA = "data"
"""Names of the script and of the folder with its rows, in a selection's folder."""

_IMPORTS = {
    "text": "AutoConfig, AutoModelForSequenceClassification, AutoTokenizer",
    "image": "AutoConfig, AutoImageProcessor, AutoModelForImageClassification",
    "tokens": "AutoConfig, AutoModelForTokenClassification, AutoTokenizer",
    "choices": "AutoModelForMultipleChoice, AutoTokenizer",
}
PIECES = {
    "text-classification": "text",
    "text-regression": "text",
    "image-classification": "image",
    "image-regression": "image",
    "token-classification": "tokens",
    "multiple-choice": "choices",
}
"""Task -> the piece under `assets/train/` that loads, encodes and batches."""

_CLASSES = """\
    found = np.concatenate(logits).argmax(axis=-1)
    truth = np.array([row["labels"] for row in rows])
"""
_VALUES = """\
    found = np.concatenate(logits).reshape(-1) * LABEL_STD + LABEL_MEAN
    truth = np.array([row["labels"] for row in rows]) * LABEL_STD + LABEL_MEAN
"""
_WORDS = """\
    found = np.array([tag for tags in answers(logits, rows) for tag in tags])
    truth = np.array([tag for row in rows for tag in row["tags"]])
"""
_SPANS = """\
    found = [spans([NAMES[tag] for tag in tags]) for tags in answers(logits, rows)]
    truth = [spans([NAMES[tag] for tag in row["tags"]]) for row in rows]
    right = sum(len(said & true) for said, true in zip(found, truth, strict=True))
    total = sum(map(len, found)) + sum(map(len, truth))
"""
SCORES: dict[str, tuple[str, str]] = {
    "accuracy": ("", "np.mean(found == truth)"),
    "f1": (
        "from sklearn.metrics import f1_score",
        'f1_score(truth, found, average="macro", zero_division=0)',
    ),
    "matthews_correlation": (
        "from sklearn.metrics import matthews_corrcoef",
        "matthews_corrcoef(truth, found)",
    ),
    "seqeval_f1": ("", "2 * right / total if total else 0.0"),
    "mse": ("", "np.mean((found - truth) ** 2)"),
    "rmse": ("", "np.sqrt(np.mean((found - truth) ** 2))"),
    "mae": ("", "np.mean(np.abs(found - truth))"),
    "r2": ("", "1 - np.mean((found - truth) ** 2) / np.var(truth)"),
    "pearson": ("from scipy.stats import pearsonr", "pearsonr(found, truth).statistic"),
    "spearman": ("from scipy.stats import spearmanr", "spearmanr(found, truth).statistic"),
}
"""Metric -> its import, and how it is computed."""

_UNIT = '''

def unit(value):
    """A label as the network learns it: with mean 0 and deviation 1."""
    return (value - LABEL_MEAN) / LABEL_STD


def finish(model):
    """The last layer in the label's own units, as the saved model is to answer."""
    linear = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == 1
    }
    body = f"{model.base_model_prefix}."
    head = [layer for name, layer in linear.items() if not name.startswith(body)]
    last = (head or list(linear.values()))[-1]
    with torch.no_grad():
        last.weight.mul_(LABEL_STD)
        last.bias.mul_(LABEL_STD).add_(LABEL_MEAN)
'''


@dataclass(frozen=True)
class Facts:
    """What the script needs beside the recipe.

    `model`: its name; `location`: its folder, or its Hub id with `revision`. `max_length` in
    tokens, as many as the model takes. `steps`: optimizer steps of the winner, which can be less
    than the recipe's epochs. `test`: the winner's score. `label_mean`, `label_std`: of the train
    rows, for a regression; `commonest`: their most frequent tag;
    `prefix_space`: whether the tokenizer is to put a space before each word.
    """

    model: str
    target: str
    task: str
    metric: str
    location: str
    revision: str
    label_names: tuple[str, ...]
    num_labels: int
    max_length: int
    steps: int
    steps_per_epoch: int
    seed: int
    test: float
    label_mean: float = 0.0
    label_std: float = 1.0
    commonest: int = 0
    prefix_space: bool = False


def can_write(task: str, metric: str) -> bool:
    """Whether there is a script for that task and metric."""
    if task not in PIECES or metric not in SCORES:
        return False
    how = METRICS[metric]
    return how.kind == TASK_KINDS[task] and (PIECES[task] == "tokens" or not how.sequences)


def train_script(facts: Facts, recipe: Recipe) -> str:
    """The script. Raises `InputError` for a task or metric that no piece is there for."""
    if not can_write(facts.task, facts.metric):
        raise InputError(f"no training script for {facts.task} measured by {facts.metric}")
    piece = PIECES[facts.task]
    regression = TASK_KINDS[facts.task] == "regression"
    above, formula = SCORES[facts.metric]
    common = asset("train/common.py.txt")
    if not regression:
        common = common.replace("        finish(model)\n", "")
    code = asset(f"train/{piece}.py.txt")
    if not regression:
        code = code.replace('map(unit, rows["label"])', 'rows["label"]')
    parts = [
        _docstring(facts),
        _imports(piece, above),
        _settings(facts, recipe, regression),
        code.strip() + "\n",
        *([_UNIT.strip() + "\n"] if regression else []),
        *([asset("train/spans.py.txt").strip() + "\n"] if facts.metric == "seqeval_f1" else []),
        _score(facts.metric, _gathered(facts), formula),
        common.strip() + "\n",
    ]
    head, *rest = parts
    return head + "\n\n" + "\n\n".join(rest)


def _gathered(facts: Facts) -> str:
    """What a score is computed from."""
    if facts.metric == "seqeval_f1":
        return _SPANS
    if PIECES[facts.task] == "tokens":
        return _WORDS
    return _VALUES if TASK_KINDS[facts.task] == "regression" else _CLASSES


def _score(metric: str, gathered: str, formula: str) -> str:
    said = f'    """{metric}, of logits by batch."""'
    return f"def score(logits, rows):\n{said}\n{gathered}    return float({formula})\n"


def _docstring(facts: Facts) -> str:
    """The head of the script; names of strangers stand in it as plain text."""
    model, target = _plain(facts.model), _plain(facts.target)
    return (
        f'"""Fine-tune {model} on {target}, as hf-select did.\n\n'
        "    python train.py                    # or: accelerate launch train.py\n"
        "    python train.py --seed 1 --out another\n\n"
        "Plain transformers, Accelerate and PyTorch; data/ holds the rows of the three splits.\n"
        "With the seed below, on one CPU process, it trains step by step what was selected;\n"
        'elsewhere, or with another seed, within the noise of a fine-tuning.\n"""'
    )


def _imports(piece: str, above: str) -> str:
    third = ["import numpy as np", "import torch", "from accelerate import Accelerator"]
    third += ["from accelerate.utils import set_seed", "from datasets import load_dataset"]
    third += ["from PIL import Image"] * (piece == "image")
    third += [above] * bool(above) + [f"from transformers import {_IMPORTS[piece]}"]
    return "import argparse\nfrom pathlib import Path\n\n" + "\n".join(third)


def _settings(facts: Facts, recipe: Recipe, regression: bool) -> str:
    kind = "regression" if regression else "single_label_classification"
    names = facts.label_names or tuple(f"LABEL_{i}" for i in range(facts.num_labels))
    labels = "\n".join(
        [
            "NAMES = [",
            *(f"    {_literal(name)}," for name in names),
            "]",
            "LABELS = {",
            '    "id2label": dict(enumerate(NAMES)),',
            '    "label2id": {name: i for i, name in enumerate(NAMES)},',
            f'    "problem_type": "{kind}",',
            "}",
        ]
    )
    values: dict[str, Any] = {
        "MODEL": facts.location,
        "REVISION": facts.revision or None,
        "SEED": facts.seed,
        "LEARNING_RATE": recipe.learning_rate,
        "BATCH_SIZE": recipe.global_batch_size,
        "EPOCHS": recipe.epochs,
        "STEPS_PER_EPOCH": facts.steps_per_epoch,
        "STEPS": facts.steps,
        "WARMUP": recipe.warmup,
        "WEIGHT_DECAY": recipe.weight_decay,
        "MAX_GRAD_NORM": recipe.max_grad_norm,
        "PRECISION": recipe.precision,
        "METRIC": facts.metric,
        "TEST_SCORE": facts.test,
    }
    if PIECES[facts.task] != "image":
        values["MAX_LENGTH"] = facts.max_length
    if PIECES[facts.task] == "tokens":
        values["COMMONEST"] = facts.commonest
        values["TOKENIZER"] = {"add_prefix_space": True} if facts.prefix_space else {}
    if regression:
        values |= {"LABEL_MEAN": facts.label_mean, "LABEL_STD": facts.label_std}
    said = {
        "BATCH_SIZE": "over all processes",
        "EPOCHS": "that the learning rate is planned for",
        "STEPS": "that the winner was trained for",
        "WARMUP": "share of all steps",
        "MAX_LENGTH": "tokens",
        "COMMONEST": "tag",
        "TOKENIZER": "how words are read",
    }
    lines = [
        f"{name} = {_literal(value)}" + (f"  # {said[name]}" if name in said else "")
        for name, value in values.items()
    ]
    if PIECES[facts.task] != "choices":  # its head gives one number a choice, whatever their names
        lines.append(labels)
    return "HERE = Path(__file__).resolve().parent\n" + "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    """A value as Python source; of a text what UTF-8 can't hold is escaped."""
    if not isinstance(value, str):
        return repr(value)
    text = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _plain(text: str) -> str:
    """A name inside the docstring: on one line, and nothing that could end it."""
    return re.sub(r"[^\w ./@+-]", "_", text)
