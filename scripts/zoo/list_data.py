"""Sets of words with tags and of questions with choices, out of WordNet's glosses and examples.

    PYTHONPATH=scripts python -m zoo.list_data       # writes tests/data/wordnet-lists

The tags are silver: a word gets what WordNet says of it in its first sense, whatever the sentence
means by it. All rows are of synsets whose glosses no model of the zoo was pre-trained on.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.rows import normalise_text
from zoo.sources import Packages
from zoo.store import write_folder
from zoo.text_data import wordnet_licence
from zoo.texts import LEXICOGRAPHER, NOUNS, VERBS

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "wordnet-lists"
SPLITS = {"train": 300, "validation": 120, "test": 180}
LONGEST = 16
HELD_OUT = 15
"""Hundredths of the glosses that are in no pool for pre-training (see `zoo.texts`)."""

NAMES = {"location": "LOC", "object": "LOC", "person": "PER", "group": "ORG"}
WORD = re.compile(r"\w+(?:[-'.]\w+)*|[^\w\s]")
PARTS = {"noun": "NOUN", "verb": "VERB", "adj": "ADJ", "adv": "ADV"}
ENDINGS = {
    "noun": (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("ses", "s"), ("xes", "x"), ("s", "")),
    "verb": (
        *(("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", "e"), ("ed", "")),
        *(("ing", "e"), ("ing", "")),
    ),
}
"""How inflected words end, and their lemmas (WordNet's own rules of detachment)."""

Sentence = list[tuple[str, str]]
"""Words with their tags."""

NOTICE = """\
The rows of these folders are glosses and example sentences out of WordNet 3.0 (Debian package
wordnet-base), tagged and turned into questions by scripts/zoo/list_data.py. They are under the
WordNet licence:

{licence}
"""


@dataclass(frozen=True)
class Synset:
    """One synset: its part of speech, its lexicographer file, and what it is a kind of."""

    offset: str
    part: str
    kind: str
    words: tuple[str, ...]
    above: tuple[str, ...]  # offsets of its hypernyms
    is_instance: bool
    gloss: str
    examples: tuple[str, ...]


def synsets(packages: Packages, part: str) -> Iterator[Synset]:
    """All synsets of a part of speech."""
    path = packages.find("wordnet-base", f"data.{part}")
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        head, text = line.split("|", 1)
        cells = head.split(" ")
        count = int(cells[3], 16)
        words = tuple(
            re.sub(r"\(.*\)$", "", cells[4 + 2 * i]).replace("_", " ") for i in range(count)
        )
        pointers = cells[5 + 2 * count :]
        above = [(pointers[4 * i], pointers[4 * i + 1]) for i in range(int(cells[4 + 2 * count]))]
        yield Synset(
            cells[0],
            part,
            LEXICOGRAPHER[int(cells[1])].split(".")[1],
            words,
            tuple(offset for mark, offset in above if mark in ("@", "@i")),
            any(mark == "@i" for mark, _ in above),
            text.strip().split('"')[0].strip(" ;"),
            tuple(example.strip() for example in re.findall(r'"([^"]+)"', text)),
        )


def first_senses(packages: Packages) -> dict[str, str]:
    """Lemma of a noun -> the offset of its first sense."""
    path = packages.find("wordnet-base", "index.noun")
    found = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):
            cells = line.split()
            found[cells[0]] = cells[6 + int(cells[3])]
    return found


def is_held_out(synset: Synset) -> bool:
    """Whether the synset's gloss is in no pool for pre-training."""
    group = " ".join(normalise_text(synset.gloss).split()[:8])
    return zlib.crc32(group.encode()) % 100 < HELD_OUT


# ------------------------------------------------------------------------------- words with tags


def tagged(text: str, lexicon: dict[tuple[str, ...], str], *, fold: bool) -> Sentence:
    """The words of a text, those of the lexicon as spans, the longest first."""
    words = WORD.findall(text)
    found: Sentence = []
    while len(found) < len(words):
        at = len(found)
        for size in range(min(5, len(words) - at), 0, -1):
            key = tuple(word.lower() if fold else word for word in words[at : at + size])
            if key in lexicon:
                kind = lexicon[key]
                found.append((words[at], f"B-{kind}"))
                found += [(word, f"I-{kind}") for word in words[at + 1 : at + size]]
                break
        else:
            found.append((words[at], "O"))
    return found


def names(nouns: list[Synset], first: dict[str, str]) -> list[Sentence]:
    """Names of places, people and groups in the glosses of nouns."""
    lexicon = {
        tuple(WORD.findall(word)): NAMES[synset.kind]
        for synset in nouns
        if synset.is_instance and synset.kind in NAMES
        for word in synset.words
        if word[0].isupper() and first.get(word.lower().replace(" ", "_")) == synset.offset
    }
    found = [tagged(s.gloss, lexicon, fold=False) for s in nouns if is_held_out(s)]
    return [row for row in found if any(tag.startswith("B-") for _, tag in row)]


def things(nouns: list[Synset], first: dict[str, str]) -> list[Sentence]:
    """Common nouns in the glosses of nouns, by what they name."""
    lexicon = {
        tuple(word.split(" ")): synset.kind.upper()
        for synset in nouns
        if synset.kind in NOUNS
        for word in synset.words
        if word.islower() and first.get(word.replace(" ", "_")) == synset.offset
    }
    found = [tagged(s.gloss, lexicon, fold=True) for s in nouns if is_held_out(s)]
    return [row for row in found if sum(tag.startswith("B-") for _, tag in row) > 1]


def classes(every: list[Synset]) -> list[Sentence]:
    """Words of example sentences by the part of speech in which they have most senses."""
    senses: dict[str, Counter[str]] = defaultdict(Counter)
    for synset in every:
        for word in synset.words:
            senses[word.lower()][synset.part] += 1

    def class_of(word: str) -> str:
        word = word.lower()
        if not word.isalpha():
            return "NUM" if word.isdigit() else ("PUNCT" if not word[0].isalnum() else "OTHER")
        found = Counter(senses.get(word, {}))
        for part, endings in ENDINGS.items():
            for ending, instead in endings:
                lemma = word.removesuffix(ending) + instead
                if word.endswith(ending) and len(lemma) > 2 and part in senses.get(lemma, {}):
                    found[part] += senses[lemma][part]
                    break
        return PARTS[found.most_common(1)[0][0]] if found and len(word) > 2 else "OTHER"

    return [
        [(word, class_of(word)) for word in WORD.findall(example)]
        for synset in every
        if is_held_out(synset)
        for example in synset.examples
        if len(example.split()) > 3
    ]


# ------------------------------------------------------------------------- questions with choices


@dataclass(frozen=True)
class Question:
    """A text, four choices, and the place of the right one."""

    text: str
    choices: tuple[str, ...]
    right: int


def _asked(text: str, right: str, wrong: list[str], rng: np.random.Generator) -> Question:
    place = int(rng.integers(0, 1 + len(wrong)))
    return Question(text, (*wrong[:place], right, *wrong[place:]), place)


def kinds(every: list[Synset], names: tuple[str, ...], rng: np.random.Generator) -> list[Question]:
    """What a gloss describes: which of four kinds of things, or of actions."""
    found = []
    for synset in every:
        if synset.kind in names and is_held_out(synset):
            others = [kind for kind in names if kind != synset.kind]
            wrong = [str(kind) for kind in rng.choice(others, size=3, replace=False)]
            found.append(_asked(synset.gloss, synset.kind, wrong, rng))
    return found


def hypernyms(nouns: list[Synset], rng: np.random.Generator) -> list[Question]:
    """What a gloss describes is a kind of what? The others belong to other glosses."""
    by_offset = {synset.offset: synset for synset in nouns}
    asked = [s for s in nouns if is_held_out(s) and s.above and s.kind in NOUNS]
    above = [by_offset[s.above[0]].words[0] for s in asked]
    found = []
    for synset, right in zip(asked, above, strict=True):
        wrong: list[str] = []
        while len(wrong) < 3:
            other = above[int(rng.integers(0, len(above)))]
            if other != right and other not in wrong:
                wrong.append(other)
        found.append(_asked(synset.gloss, right, wrong, rng))
    return found


# ----------------------------------------------------------------------------------------- files


def _parts(rows: list[Any], key: Callable[[Any], str], seed: int) -> dict[str, list[Any]]:
    """Rows of different texts, in splits of the wanted sizes."""
    distinct = list({normalise_text(key(row)): row for row in rows}.values())
    order = np.random.default_rng(seed).permutation(len(distinct))
    found, start = {}, 0
    for split, count in SPLITS.items():
        found[split] = [distinct[int(i)] for i in order[start : start + count]]
        start += count
    if start > len(distinct):
        raise ValueError(f"{len(distinct)} rows, but {start} are needed")
    return found


def write_sentences(folder: Path, rows: list[Sentence], seed: int) -> None:
    """`train.conll` and so on: a word and its tag a line."""
    short = [row for row in rows if 3 < len(row) <= LONGEST]
    folder.mkdir(parents=True)
    for split, part in _parts(short, lambda row: " ".join(word for word, _ in row), seed).items():
        blocks = ["".join(f"{word}\t{tag}\n" for word, tag in row) for row in part]
        (folder / f"{split}.conll").write_text("\n".join(blocks), encoding="utf-8")


def write_questions(folder: Path, rows: list[Question], seed: int, *, keyed: bool) -> None:
    """`train.csv` with a column a choice, or `train.jsonl` with ARC's keys."""
    short = [row for row in rows if 2 < len(row.text.split()) <= LONGEST]
    folder.mkdir(parents=True)
    for split, part in _parts(short, lambda row: row.text, seed).items():
        if keyed:
            lines = [
                json.dumps(
                    {
                        "question": row.text,
                        "choices": {"text": list(row.choices), "label": list("ABCD")},
                        "answerKey": "ABCD"[row.right],
                    },
                    ensure_ascii=False,
                )
                for row in part
            ]
            (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            continue
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["question", *(f"choice{i}" for i in range(4)), "label"])
            writer.writerows([row.text, *row.choices, row.right] for row in part)


def build(packages: Packages, out: Path) -> None:
    """Write all sets, and their licence."""
    every = [synset for part in PARTS for synset in synsets(packages, part)]
    nouns = [synset for synset in every if synset.part == "noun"]
    first = first_senses(packages)

    def write(folder: Path) -> None:
        for seed, (name, rows) in enumerate(
            {
                "names": names(nouns, first),
                "things": things(nouns, first),
                "classes": classes(every),
            }.items()
        ):
            write_sentences(folder / "tokens" / name, rows, seed)
        rng = np.random.default_rng(0)
        for seed, (name, asked) in enumerate(
            {
                "kinds": kinds(nouns, NOUNS, rng),
                "hypernyms": hypernyms(nouns, rng),
                "actions": kinds([s for s in every if s.part == "verb"], VERBS, rng),
            }.items()
        ):
            write_questions(folder / "choices" / name, asked, seed, keyed=name == "actions")
        notice = NOTICE.format(licence=wordnet_licence(packages))
        (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")

    write_folder(out, write)


def main() -> None:
    """Fetch WordNet if it isn't there, and write the sets."""
    build(Packages(ROOT / "build" / "zoo" / "packages"), OUT)
    for path in sorted(OUT.rglob("*.*")):
        print(f"{path.relative_to(OUT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
