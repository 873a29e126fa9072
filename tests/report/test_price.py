"""hf_select.report.price: every policy named, the front right, no name on top of another."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hf_select.report.price import pareto, price_svg, write_price_svg
from hf_select.report.svg import overlap

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('x')</script>&\"]]>\x00\ud800"
FEW = {
    "brute-force": {"price": 24.0, "regret": 0.6, "regret_ci": [0.2, 1.0]},
    "halving": {"price": 9.2, "regret": 0.4},
    "trend": {"price": 3.0, "regret": 0.5, "regret_ci": [0.4, 0.7], "calibration": {}},
    "worse": {"price": 4.0, "regret": 0.9},
    "no-price": {"price": None, "regret": 0.1},
    "no-number": {"price": 2.0, "regret": float("nan")},
    "free": {"price": 0.0, "regret": 0.1},
}


def crowd(count, seed):
    """Policies whose prices and regrets lie close together."""
    rng = np.random.default_rng(seed)
    return {
        f"policy-number-{k}:{'x' * (k % 5)}": {
            "price": float(np.exp(rng.normal(1.2, 0.5))),
            "regret": float(abs(rng.normal(1.0, 0.3))),
            "regret_ci": [0.2, 2.5],
        }
        for k in range(count)
    }


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.encode("utf-8"))


def boxes_of(root):
    names = [t for t in root.iter(f"{SVG}text") if "label" in (t.get("class") or "")]
    for text in names:
        x, y = float(text.get("x")), float(text.get("y"))
        yield text.text, (x, y - 9, x + 6 * len(text.text), y + 2)


def test_the_front_is_what_nothing_beats():
    root = parse(price_svg(FEW))
    dots = list(root.iter(f"{SVG}circle"))
    on = [c.get("aria-label").split(":")[0] for c in dots if " on" in c.get("class")]
    assert on == ["trend", "halving"]
    assert len(dots) == 4
    ours = [c.get("aria-label") for c in dots if "ours" in c.get("class")]
    assert ours == ["trend: price 3, regret 0.50 points (0.40 to 0.70)"]
    assert len([p for p in root.iter(f"{SVG}path") if "whisker" in (p.get("class") or "")]) == 2


def test_pareto_takes_the_first_of_equal_ones():
    assert pareto([(1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 0.5)]) == [0, 3]
    assert pareto([]) == []


def test_ours_may_have_parameters_or_another_name():
    svg = price_svg({"trend:tolerance=1": {"price": 2.0, "regret": 0.2}})
    assert 'class="pt point on ours"' in svg
    assert 'class="pt point on ours"' in price_svg(FEW, ours="halving")
    assert "ours" not in price_svg({"halving": {"price": 2.0, "regret": 0.2}}).split("</style>")[1]


@pytest.mark.parametrize("width", [372, 760])
@pytest.mark.parametrize(("count", "seed"), itertools.product((1, 8, 12), range(3)))
def test_names_stay_in_the_picture_and_off_each_other(count, seed, width):
    summary = crowd(count, seed)
    boxes = list(boxes_of(parse(price_svg(summary, width=width))))
    assert sorted(name for name, _ in boxes) == sorted(summary)
    for (_, a), (_, b) in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    assert all(a[0] >= 0 and a[2] <= width + 12 and a[1] > 0 and a[3] < 460 for _, a in boxes)


def test_the_price_axis_is_logarithmic_and_its_numbers_stand_apart():
    root = parse(price_svg(FEW))
    ticks = {
        float(t.text[:-1]): float(t.get("x"))
        for t in root.iter(f"{SVG}text")
        if re.fullmatch(r"[\d.]+×", t.text or "")
    }
    assert {1.0, 2.0, 5.0, 10.0, 20.0} <= set(ticks)
    assert ticks[2] - ticks[1] == pytest.approx(ticks[20] - ticks[10], abs=0.2)
    places = sorted(ticks.values())
    assert min(b - a for a, b in itertools.pairwise(places)) >= 30


def test_a_better_policy_is_lower_and_further_left():
    root = parse(price_svg(FEW))
    at = {
        c.get("aria-label").split(":")[0]: (float(c.get("cx")), float(c.get("cy")))
        for c in root.iter(f"{SVG}circle")
    }
    assert at["trend"][0] < at["worse"][0]
    assert at["trend"][1] > at["worse"][1]


def test_hostile_names_stay_text():
    svg = price_svg({EVIL: {"price": 2.0, "regret": 2.0}}, heading=EVIL)
    assert not list(parse(svg).iter(f"{SVG}script"))
    assert "<script" not in svg


@pytest.mark.parametrize("summary", [{}, {"free": FEW["free"]}])
def test_nothing_to_draw_is_said(summary):
    assert "No policy to compare" in price_svg(summary)


def test_the_file_stands_alone(tmp_path):
    path = write_price_svg(FEW, tmp_path / "figures" / "price.svg", heading="Text & images")
    text = path.read_text(encoding="utf-8")
    assert parse(text).tag == f"{SVG}svg"
    assert "var(" not in text  # not every program that draws SVG knows variables
    assert "Text &amp; images" in text
