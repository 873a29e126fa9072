"""Token classification and multiple choice, the whole way through the command line, on WordNet.

Small encoders of the starter zoo are benchmarked, one is selected for another set, and what is
handed over is loaded by plain transformers and measured again from the target's own file.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hf_select.cli.app import run
from hf_select.locations import demo_folder
from hf_select.results.repo import ResultsRepo

DATA = Path(__file__).parents[1] / "data" / "wordnet-lists"
MODELS = ("bert-glosses-2", "distilbert-glosses-1", "distilbert-random-control")
RECIPE = ["--learning-rate", "2e-3", "--batch-size", "8", "--max-length", "32"]
SHORT = ["--epochs", "1", "--max-train-samples", "80"]
LONGER = ["--epochs", "2", "--max-train-samples", "240"]


class Way:
    """The commands of one task, in one folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *arguments: object) -> dict:
        """The document that a command prints."""
        assert run([*map(str, arguments), "--json", "--quiet"]) == 0, self._capsys.readouterr()
        return json.loads(self._capsys.readouterr().out)

    def benchmark(self, task: str, sets: list[Path], *options: object) -> ResultsRepo:
        """A record of the models on those sets."""
        models = ",".join(str(demo_folder() / "models" / name) for name in MODELS)
        found = self(
            *("benchmark", "--results", self.folder / "record", "--task", task),
            *("--models", models, "--datasets", ",".join(map(str, sets)), "--jobs", "2"),
            *(*RECIPE, *options),
        )
        assert (found["done"], found["failed"]) == (len(MODELS) * len(sets), 0)
        return ResultsRepo.open(self.folder / "record")

    def recall_by_a_look(self, target: Path) -> None:
        """One look at each model tells the pre-trained ones from the control."""
        document = self(
            *("recall", target, "--results", self.folder / "record"),
            *("--method", "proxy:linear-probe"),
        )
        assert [row["model"] for row in document["candidates"]][-1] == MODELS[-1]
        assert {row["model"] for row in document["candidates"]} == set(MODELS)


@pytest.fixture
def way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Way:
    return Way(tmp_path, capsys)


def sentences(path: Path) -> list[tuple[list[str], list[str]]]:
    """Words and tags of a file, read without anything of ours."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    rows = [[line.split("\t") for line in block.split("\n")] for block in blocks]
    return [([word for word, _ in row], [tag for _, tag in row]) for row in rows]


def spans_of(rows: list[list[str]]) -> set[tuple[int, int, int, str]]:
    """(row, first, last, type) of spans in tags that begin with B."""
    found = set()
    for number, tags in enumerate(rows):
        start, last = -1, "O"
        for i, tag in enumerate([*tags, "O"]):
            inside = tag.startswith("I-") and tag[2:] == last[2:] and start >= 0
            if start >= 0 and not inside:
                found.add((number, start, i - 1, last[2:]))
                start = -1
            if tag != "O" and not inside:
                start = i
            last = tag
    return found


def tags_said(folder: Path, rows: list[tuple[list[str], list[str]]]) -> list[list[str]]:
    """What the model in a folder says of every word."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    said = []
    for words, _ in rows:
        encoded = tokenizer(
            words, is_split_into_words=True, truncation=True, max_length=32, return_tensors="pt"
        )
        with torch.no_grad():
            ids = model(**encoded).logits[0].argmax(-1).tolist()
        tags = ["O"] * len(words)  # for what was cut off: the most frequent tag
        for place, word in reversed(list(enumerate(encoded.word_ids(0)))):
            if word is not None:
                tags[word] = model.config.id2label[ids[place]]
        said.append(tags)
    return said


def test_named_entities(way: Way) -> None:
    target = DATA / "tokens" / "names"
    seen = way("inspect", target)
    assert (seen["task"], seen["metric"]) == ("token-classification", "seqeval_f1")
    sets = [DATA / "tokens" / "things", DATA / "tokens" / "classes"]
    record = way.benchmark(seen["task"], sets, *SHORT)
    matrix = record.matrix(seen["task"])
    assert dict(zip(matrix.datasets, matrix.metrics, strict=True)) == {
        "classes": "accuracy",
        "things": "seqeval_f1",
    }
    assert np.isfinite(matrix.scores).all()
    assert {row.proxy for row in record.proxies(seen["task"])} >= {"logme", "knn", "linear-probe"}

    way.recall_by_a_look(target)
    out = way.folder / "out"
    document = way(
        *("select", target, "--results", way.folder / "record", "--out", out),
        *("--top", "2", "--policy", "halving", *RECIPE, *LONGER),
    )
    winner = document["winner"]
    rows = sentences(target / "test.conll")
    said, true = spans_of(tags_said(out, rows)), spans_of([tags for _, tags in rows])
    f1 = 2 * len(said & true) / (len(said) + len(true))
    assert winner["test"] == pytest.approx(f1)
    assert f1 > document["trivial"]["test"] + 0.2
    assert (out / "report.html").is_file()


def choices_said(folder: Path, rows: list[dict[str, str]]) -> list[int]:
    """Which of the choices the model in a folder takes."""
    import torch
    from transformers import AutoModelForMultipleChoice, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMultipleChoice.from_pretrained(folder).eval()
    said = []
    for row in rows:
        choices = [row[f"choice{i}"] for i in range(4)]
        pairs = tokenizer(
            [row["question"]] * 4,
            choices,
            padding=True,
            truncation=True,
            max_length=32,
            return_tensors="pt",
        )
        with torch.no_grad():
            logits = model(**{name: values[None] for name, values in pairs.items()}).logits
        said.append(int(logits[0].argmax()))
    return said


@pytest.mark.slow
def test_multiple_choice(way: Way) -> None:
    target = DATA / "choices" / "kinds"
    seen = way("inspect", target)
    assert (seen["task"], seen["metric"]) == ("multiple-choice", "accuracy")
    sets = [DATA / "choices" / "actions", DATA / "choices" / "hypernyms"]
    record = way.benchmark(seen["task"], sets, *SHORT)
    assert np.isfinite(record.matrix(seen["task"]).scores).all()
    way.recall_by_a_look(target)
    out = way.folder / "out"
    document = way(
        *("select", target, "--results", way.folder / "record", "--out", out),
        *("--top", "2", "--policy", "halving", *RECIPE, *LONGER),
    )
    with (target / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = choices_said(out, rows)
    right = np.mean([str(place) == row["label"] for place, row in zip(said, rows, strict=True)])
    assert document["winner"]["test"] == pytest.approx(right)
    assert right > document["trivial"]["test"] + 0.1
    assert (out / "report.html").is_file()
