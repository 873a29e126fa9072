"""hf_select.report.efficiency: skill against size and latency, told without collisions."""

from __future__ import annotations

import copy
import itertools
import re
from xml.etree import ElementTree

import pytest
from report.conftest import make_document
from report.contract import with_everything

from hf_select.report.efficiency import charts, efficiency_svg, front_of
from hf_select.report.page import render
from hf_select.report.sections.efficiency import _caption
from hf_select.report.words import bytes_text, millions, milliseconds

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def full():
    return with_everything(make_document())


def measured(*rows):
    keys = ("model", "score", "size_bytes", "latency_ms", "num_parameters", "score_is")
    models = [dict(zip(keys, row, strict=True)) for row in rows]
    return {
        "metric": "accuracy",
        "winner": {"model": "a"},
        "efficiency": {"models": models},
    }


def test_the_front_by_hand():
    document = measured(
        ("a", 0.9, 400e6, 20.0, 100e6, "validation"),
        ("b", 0.8, 40e6, 30.0, 10e6, "validation"),
        ("c", 0.7, 80e6, 5.0, 20e6, "forecast"),
    )
    assert front_of(document, "size") == ["b", "a"]
    assert front_of(document, "latency") == ["c", "a"]
    assert front_of({**document, "metric": "rmse"}, "size") == ["b", "c"]
    root = ElementTree.fromstring(efficiency_svg(document, "latency"))
    kinds = {
        c.get("aria-label").split(":")[0]: c.get("class").split() for c in root.iter(f"{SVG}circle")
    }
    assert "on" in kinds["a"]
    assert "ours" in kinds["a"]
    assert "on" not in kinds["b"]
    assert "guess" in kinds["c"]
    spots = {
        c.get("aria-label").split(":")[0]: (float(c.get("cx")), float(c.get("cy")))
        for c in root.iter(f"{SVG}circle")
    }
    assert spots["c"][0] < spots["a"][0] < spots["b"][0]
    assert spots["a"][1] < spots["b"][1] < spots["c"][1]


def test_the_caption_is_of_what_is_drawn():
    both = measured(
        ("a", 0.9, 400e6, 20.0, 100e6, "validation"),
        ("b", 0.8, 40e6, 30.0, 10e6, "forecast"),
    )
    told = _caption(both, ["size", "latency"])
    assert "On the dashed line" in told
    assert "the gap to it that was expected" in told
    alone = measured(
        ("a", 0.9, 40e6, 2.0, 10e6, "validation"),
        ("b", 0.8, 400e6, 30.0, 100e6, "validation"),
    )
    told = _caption(alone, ["size", "latency"])
    assert "dashed" not in told
    assert "Hollow" not in told


def test_models_of_about_one_size_look_like_that():
    document = measured(
        ("a", 0.9, 2_500_000, 1.0, 600_000, "validation"),
        ("b", 0.8, 2_510_000, 1.1, 600_100, "validation"),
    )
    root = ElementTree.fromstring(efficiency_svg(document, "size", width=470))
    near = [float(c.get("cx")) for c in root.iter(f"{SVG}circle")]
    assert abs(near[0] - near[1]) < 5
    ticks = [
        (t.text, float(t.get("x")))
        for t in root.iter(f"{SVG}text")
        if re.fullmatch(r"[\d.]+ [kM]B", t.text or "")
    ]
    assert len({words for words, _ in ticks}) == len(ticks) >= 2
    assert all(50 <= x <= 454 for _, x in ticks)


def test_lower_is_better_is_drawn_higher():
    document = measured(
        ("a", 1.0, 4e6, 2.0, 1e6, "validation"), ("b", 2.0, 8e6, 4.0, 2e6, "validation")
    )
    root = ElementTree.fromstring(efficiency_svg({**document, "metric": "rmse"}, "size"))
    a, b = (float(c.get("cy")) for c in root.iter(f"{SVG}circle"))
    assert a < b


def test_what_was_not_measured_makes_no_chart(full):
    assert charts(full) == ["size", "latency"]
    blind = copy.deepcopy(full)
    for row in blind["efficiency"]["models"]:
        row["latency_ms"] = row["size_bytes"] = None
    assert charts(blind) == ["parameters"]
    assert charts({}) == []
    assert "Nothing was measured" in efficiency_svg({}, "size")
    assert "Smaller or faster" not in render(make_document())
    assert "Smaller or faster" in render(blind)


@pytest.mark.parametrize("width", [372, 470])
@pytest.mark.parametrize("chart", ["size", "latency"])
def test_names_cover_neither_points_nor_each_other(full, chart, width):
    root = ElementTree.fromstring(efficiency_svg(full, chart, width=width))
    boxes = [
        (
            float(t.get("x")),
            float(t.get("y")) - 9,
            float(t.get("x")) + 5.4 * len(t.text),
            float(t.get("y")),
        )
        for t in root.iter(f"{SVG}text")
        if "label" in (t.get("class") or "")
    ]
    assert len(boxes) >= 6
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for (left, top, right, bottom), (x, y) in itertools.product(boxes, dots):
        assert not (left < x < right and top < y < bottom)


def test_the_page_has_table_and_front(full):
    text = render(full)
    words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    assert "Latency is the median of 128 rows, one at a time, on cpu (2 cores)." in words
    assert "On the front of size, beside the winner: zoo/textures-vit-s0" in words
    assert "zoo/textures-vit-s0 24.3 points less, 15 times smaller, 9 times faster" in words
    assert text.count("hfs-efficiency") == 4 + text.count(".hfs-efficiency")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (millions(241_678), "242k"),
        (millions(66_362_880), "66M"),
        (millions(999_999_999), "1B"),
        (millions(None), "–"),
        (bytes_text(981_296), "981 kB"),
        (bytes_text(1_340_000_000), "1.3 GB"),
        (milliseconds(0.42), "0.42 ms"),
        (milliseconds(184.4), "184 ms"),
        (milliseconds(1200), "1.2 s"),
    ],
)
def test_numbers_in_words(said, expected):
    assert said == expected
