"""Tiny targets of words with tags and of questions with choices, for the models of `tinytrial`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tinytrial import WORDS

from hf_select.tasks.data import TargetData, load_target

SPLITS = (("train", 52), ("validation", 21), ("test", 23))
KINDS = ("spans", "words", "choices")


def make_list_target(folder: Path, kind: str, *, longest: int = 9) -> TargetData:
    """`spans`: runs of words of the first half are spans; `words`: a tag a half; `choices`: the
    right one of three is a word of the first half.

    Some words are three tokens (`w3-w4`), and sentences have up to `longest` words.
    """
    numbers = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    make = {"spans": _spans, "words": _words, "choices": _choices}[kind]
    for split, count in SPLITS:
        rows = [make(numbers, longest) for _ in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return load_target(folder)


def _sentence(numbers: np.random.Generator, longest: int) -> tuple[list[str], list[bool]]:
    places = numbers.integers(0, 60, size=int(numbers.integers(3, longest + 1)))
    joined = numbers.random(len(places)) < 0.2
    words = [
        f"{WORDS[i]}-{WORDS[i]}" if twice else WORDS[i]
        for i, twice in zip(places.tolist(), joined.tolist(), strict=True)
    ]
    return words, (places < 30).tolist()


def _words(numbers: np.random.Generator, longest: int) -> dict:
    words, low = _sentence(numbers, longest)
    return {"tokens": words, "pos_tags": ["LOW" if is_low else "HIGH" for is_low in low]}


def _spans(numbers: np.random.Generator, longest: int) -> dict:
    words, low = _sentence(numbers, longest)
    before = [False, *low[:-1]]
    tags = [
        ("I-LOW" if was_low else "B-LOW") if is_low else "O"
        for is_low, was_low in zip(low, before, strict=True)
    ]
    return {"tokens": words, "ner_tags": tags}


def _choices(numbers: np.random.Generator, longest: int) -> dict:
    words, _ = _sentence(numbers, longest)
    place = int(numbers.integers(0, 3))
    choices = [" ".join(WORDS[int(numbers.integers(30, 60))] for _ in range(2)) for _ in range(3)]
    choices[place] = WORDS[int(numbers.integers(0, 30))]
    return {"question": " ".join(words), "choices": choices, "answer": place}
