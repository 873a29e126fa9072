"""Spans out of tags: each scheme by hand, sequences that break their rules, and F1."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.spans import are_span_tags, span_f1, spans


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        # IOB2: every span begins with B
        ("B-P I-P O B-L", {(0, 1, "P"), (3, 3, "L")}),
        # IOB1: B only between two spans of a type that touch
        ("I-P I-P B-P O I-L", {(0, 1, "P"), (2, 2, "P"), (4, 4, "L")}),
        # IOBES, and the same as BILOU
        ("B-P I-P E-P S-L O S-P", {(0, 2, "P"), (3, 3, "L"), (5, 5, "P")}),
        ("B-P I-P L-P U-L O U-P", {(0, 2, "P"), (3, 3, "L"), (5, 5, "P")}),
        # a new type, and a sentence's end, end a span
        ("I-P I-L | I-L O", {(0, 0, "P"), (1, 1, "L"), (3, 3, "L")}),
        ("B-P | I-P", {(0, 0, "P"), (2, 2, "P")}),
        # what breaks the rules of IOBES is read all the same
        ("E-P I-P S-P I-P", {(0, 0, "P"), (1, 1, "P"), (2, 2, "P"), (3, 3, "P")}),
        ("O I-P E-P E-P", {(1, 2, "P"), (3, 3, "P")}),
        # no types, types with a hyphen, other tags
        ("B I O I", {(0, 1, ""), (3, 3, "")}),
        ("B-a-b I-a-b I-b", {(0, 1, "a-b"), (2, 2, "b")}),
        ("O NOUN O", set()),
    ],
)
def test_spans_by_hand(tags: str, found: set) -> None:
    words = ["" if tag == "|" else tag for tag in tags.split()]
    assert spans(np.array(words)) == found


def by_state_machine(tags: list[str]) -> set[tuple[int, int, str]]:
    """The same, a tag at a time, as conlleval's script goes."""
    found, begin, last = set(), -1, ("O", "")
    for i, tag in enumerate([*tags, "O"]):
        mark, kind = (tag[0], tag[2:]) if tag not in ("", "O") else ("O", "")
        goes_on = mark in "IE" and last[0] in "BI" and last[1] == kind and mark != "O"
        if begin >= 0 and not goes_on:
            found.add((begin, i - 1, last[1]))
            begin = -1
        if mark != "O" and not goes_on:
            begin = i
        last = (mark, kind)
    return found


def test_any_sequence_is_read_as_by_a_state_machine() -> None:
    rng = np.random.default_rng(0)
    names = ["", "O", *(f"{mark}-{kind}" for mark in "BIES" for kind in "xy")]
    for _ in range(300):
        tags = [names[i] for i in rng.integers(0, len(names), size=int(rng.integers(1, 12)))]
        assert spans(np.array(tags)) == by_state_machine(tags), tags


@pytest.mark.parametrize(
    ("names", "marks"),
    [
        (["O", "B-PER", "I-PER"], True),
        (["O", "I-PER", "I-LOC"], True),
        (["O", "B-x", "I-x", "E-x", "S-x"], True),
        (["O", "B-x", "I-x", "L-x", "U-x"], True),
        (["B-street", "I-street"], True),
        (["O", "B", "I"], True),
        (["B", "I"], False),  # two tags that are called so
        (["O"], False),
        (["O", "PER", "LOC"], False),
        (["O", "B-PER", "PER"], False),
        (["O", "B-x", "E-x", "L-x"], False),  # marks of two schemes
        (["NOUN", "VERB", "I-x"], False),
    ],
)
def test_which_tags_mark_spans(names: list[str], marks: bool) -> None:
    assert are_span_tags(names) is marks


def test_f1_counts_whole_spans() -> None:
    true = np.array(["B-P", "I-P", "O", "B-L", "", "B-L"])
    assert span_f1(true, true) == 1.0
    # one word short, one of the wrong type, one right: 1 of 3 and 3
    said = np.array(["B-P", "O", "O", "B-P", "", "B-L"])
    assert span_f1(said, true) == pytest.approx(1 / 3)
    # two more than there are: precision 3/4, recall 1
    more = np.array(["B-P", "I-P", "B-P", "B-L", "", "B-L"])
    assert span_f1(more, true) == pytest.approx(2 * 3 / (4 + 3))
    nothing = np.array(["O", "O", "O", "O", "", "O"])
    assert span_f1(nothing, true) == 0.0
    assert span_f1(nothing, nothing) == 0.0
