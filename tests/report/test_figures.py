"""hf_select.report.figures: valid XML, every candidate drawn, nothing on top of each other."""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from report.stepwise import make_stepwise

from hf_select.metrics import METRICS
from hf_select.report import curves, heatmap
from hf_select.report.curves import curve_series, learning_curves_svg
from hf_select.report.forecasts import fitting, forecasts
from hf_select.report.heatmap import matrix_svg
from hf_select.report.svg import asset, esc, overlap, short_names

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('x')</script>&\"]]>\x00\ud800"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.encode("utf-8"))


def plot_of(document):
    series = curve_series(document)
    shown = curves._score_range(series, (), None)
    return curves._Plot.around(series, (0, 0, 800, 400), shown)


@pytest.mark.parametrize(
    "name", ["document", "regression_document", "bare_document", "old_document", "stepwise"]
)
def test_standalone_figures_are_valid_xml(name, request):
    document = request.getfixturevalue(name)
    for svg in (learning_curves_svg(document), matrix_svg(document)):
        assert parse(svg).tag == f"{SVG}svg"


def test_a_hostile_name_stays_text(document):
    evil = copy.deepcopy(document)
    evil["target"] = evil["metric"] = EVIL
    name = evil["ranking"][1]["model"]
    evil["ranking"][1]["model"] = EVIL
    evil["curves"][EVIL] = evil["curves"].pop(name)
    evil["matrix"]["models"][0] = evil["matrix"]["datasets"][0] = EVIL
    evil["matrix"]["metrics"] = [EVIL] * 10
    evil["clusters"]["groups"][0]["models"][0] = EVIL
    evil["clusters"]["groups"][0]["id"] = EVIL
    for svg in (learning_curves_svg(evil), matrix_svg(evil)):
        root = parse(svg)
        assert not list(root.iter(f"{SVG}script"))
        assert "<script" not in svg


def test_every_candidate_has_a_line_that_ends_where_it_stopped(document):
    root = parse(learning_curves_svg(document))
    drawn = [g for g in root.iter(f"{SVG}g") if "series" in g.get("class", "").split()]
    assert len(drawn) == len(document["curves"])
    by_rank = {int(g.get("data-i")): g for g in drawn}
    for rank, row in enumerate(document["ranking"], 1):
        if row["model"] not in document["curves"]:
            continue
        path = by_rank[rank].findall(f"{SVG}path")[1].get("d")
        assert path.count(" ") == len(document["curves"][row["model"]]["epochs"])
        assert row["model"] in by_rank[rank].get("aria-label")
    roles = [g.get("class").split()[1] for g in drawn]
    assert roles.count("winner") == 1
    assert roles.count("finalist") == document["funnel"]["finalists"] - 1


@pytest.mark.parametrize("name", ["document", "regression_document", "bare_document"])
def test_labels_stay_in_the_picture_and_off_each_other(name, request):
    root = parse(learning_curves_svg(request.getfixturevalue(name)))
    tags = [g for g in root.iter(f"{SVG}g") if g.get("class") == "tag"]
    assert len(tags) == 10
    boxes = []
    for tag in tags:
        text = tag.find(f"{SVG}text")
        x, y = float(text.get("x")), float(text.get("y"))
        boxes.append((x, y - 9, x + 6 * len(text.text), y + 2))
    for i, a in enumerate(boxes):
        assert a[0] > 0
        assert a[2] < 970
        assert a[1] > 0
        assert a[3] < 470
        assert not any(overlap(a, b) for b in boxes[:i])


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("options", [{}, {"ended": "the budget"}, {"rates": True}])
def test_forecasts_stand_in_columns_beside_the_curves(options, named):
    document = make_stepwise(**options)
    width = 960 if named else 372
    root = parse(learning_curves_svg(document, width=width, named=named))
    columns = [g for g in root.iter(f"{SVG}g") if "forecast" in g.get("class", "").split()]
    roles = [g.get("class").split()[1] for g in columns]
    assert roles[:3] == ["winner", "finalist", "dropped"] or roles[:3] == [
        "winner",
        "dropped",
        "finalist",
    ]
    assert set(roles[3:]) == {"untrained"}
    places = [float(g.find(f"{SVG}circle").get("cx")) for g in columns]
    assert places == sorted(places)
    assert min(b - a for a, b in itertools.pairwise(places)) >= 14
    assert max(places) < width
    horizon = max(float(p[0]) for p in points_of(root))
    assert min(places) > horizon
    assert columns[0].get("aria-label").startswith(f"1. {document['winner']['candidate']}: 0.950")


def points_of(root):
    for group in root.iter(f"{SVG}g"):
        if "series" in group.get("class", "").split():
            yield from re.findall(r"([\d.]+) ([\d.]+)", group.findall(f"{SVG}path")[1].get("d"))


def test_labels_keep_clear_of_the_columns_and_of_each_other(stepwise):
    root = parse(learning_curves_svg(stepwise))
    strip = next(p for p in root.iter(f"{SVG}path") if p.get("class") == "wash").get("d")
    left = float(re.match(r"M([\d.]+)", strip)[1])
    boxes = []
    for tag in (g for g in root.iter(f"{SVG}g") if g.get("class") == "tag"):
        text = tag.find(f"{SVG}text")
        x, y, long = float(text.get("x")), float(text.get("y")), 6 * len(text.text)
        start = x - long if "end" in text.get("class").split() else x
        boxes.append((start, y - 9, start + long, y + 2))
    assert len(boxes) == 3
    for i, box in enumerate(boxes):
        assert box[2] <= left
        assert not any(overlap(box, other) for other in boxes[:i])


def test_intervals_end_where_the_metric_does(stepwise):
    high = copy.deepcopy(stepwise)
    for row in high["ranking"]:
        row["interval"] = [-0.5, 1.5] if row["interval"] else None
    found = forecasts(high, {})
    assert {(f.low, f.high) for f in found} == {(0.0, 1.0)}
    series = curve_series(high)
    assert curves._score_range(series, found, METRICS["accuracy"])[1] <= 1.05


def test_wide_intervals_do_not_flatten_the_curves(stepwise):
    series = curve_series(stepwise)
    narrow = curves._score_range(series, (), METRICS["accuracy"])
    found = [replace(f, low=0.0, high=1.0, role="winner") for f in forecasts(stepwise, {})]
    wide = curves._score_range(series, found, METRICS["accuracy"])
    assert wide[1] - wide[0] < 2.1 * (narrow[1] - narrow[0])


def test_untrained_forecasts_outside_the_picture_are_left_out(stepwise):
    found = forecasts(stepwise, {1: "winner", 2: "dropped", 3: "dropped"})
    assert [f.rank for f in fitting(found, (0.55, 1.0), 9)] == [1, 2, 3, 4, 5, 6]
    assert [f.rank for f in fitting(found, (0.55, 1.0), 4)] == [1, 2, 3, 4]


def test_guides_of_common_rungs_are_not_drawn_for_single_steps(stepwise, old_document):
    assert ">live<" not in learning_curves_svg(stepwise)
    assert ">live<" in learning_curves_svg(old_document)


def test_the_axis_reaches_the_horizon_where_the_budget_ended():
    root = parse(learning_curves_svg(make_stepwise(ended="the budget")))
    ticks = [t.text for t in root.iter(f"{SVG}text") if "tick" in (t.get("class") or "")]
    assert ticks[-2:] == ["1", "2"] or ticks[:2] == ["2", "1"]


def test_one_candidate_makes_a_figure(stepwise):
    single = copy.deepcopy(stepwise)
    single["ranking"] = single["ranking"][:1]
    parse(learning_curves_svg(single))
    parse(learning_curves_svg(single, width=372, named=False))


def test_a_better_score_is_higher_on_the_page_and_a_lower_error_lower(document):
    root = parse(learning_curves_svg(document))
    winner = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "series winner")
    points = re.findall(r"([\d.]+) ([\d.]+)", winner.findall(f"{SVG}path")[1].get("d"))
    assert float(points[-1][1]) < float(points[0][1])
    assert float(points[-1][0]) > float(points[0][0])


def test_the_epoch_axis_gives_every_doubling_the_same_room(document):
    plot = plot_of(document)
    steps = [plot.x(b) - plot.x(a) for a, b in ((0.125, 0.25), (0.25, 0.5), (1, 2), (2, 4))]
    assert steps == pytest.approx([steps[0]] * 4)


def test_a_diverged_run_does_not_flatten_the_others(document):
    wild = copy.deepcopy(document)
    loser = wild["ranking"][3]["model"]
    wild["curves"][loser]["val"] = [-1e6] * len(wild["curves"][loser]["val"])
    plot = plot_of(wild)
    assert plot.y_range[0] > 0
    assert plot.y(-1e6) == 400
    assert "off the scale" in learning_curves_svg(wild)


def test_one_point_is_enough(document):
    short = copy.deepcopy(document)
    short["curves"] = {
        model: {"epochs": [1.0], "val": [0.5], "seconds": [None]} for model in short["curves"]
    }
    parse(learning_curves_svg(short))


@pytest.mark.parametrize("figure", [learning_curves_svg, matrix_svg])
def test_an_empty_document_gives_a_small_valid_figure(figure):
    assert parse(figure({})).tag == f"{SVG}svg"


def test_the_matrix_has_every_cell_and_every_name(document):
    root = parse(matrix_svg(document))
    cells = [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert len(cells) == 240
    assert sum(r.get("class") == "none" for r in cells) == 2
    text = " ".join(t.text or "" for t in root.iter(f"{SVG}text"))
    for name in document["matrix"]["models"]:
        assert name.split("/")[1] in text
    for name in document["matrix"]["datasets"]:
        assert name in text


def test_a_large_matrix_is_cut_to_its_recalled_models_first(document):
    large = copy.deepcopy(document)
    many = 3000
    matrix = large["matrix"]
    extra = [f"other/{i}" for i in range(many)]
    matrix["models"] += extra
    matrix["skill"] += [[0.99] * 10 for _ in extra]
    matrix["scores"] += [[0.99] * 10 for _ in extra]
    svg = matrix_svg(large)
    assert len(svg) < 500_000
    for candidate in large["recall"]["candidates"]:
        assert candidate["model"] in svg


def test_rows_stand_by_cluster(document):
    skill = np.array(
        [[np.nan if v is None else v for v in row] for row in document["matrix"]["skill"]]
    )
    rows, groups = heatmap._matrix_rows(document, skill)
    order = [groups[i] for i in rows]
    assert order == sorted(order, key=lambda g: (isinstance(g, str), g))


def test_short_names_stay_apart():
    assert short_names(["a/x", "b/x", "a/y"]) == {"a/x": "a/x", "b/x": "b/x", "a/y": "y"}
    long = [f"org/a-very-long-common-name-number-{i}-finetuned-on-something" for i in range(30)]
    labels = short_names(long)
    assert len(set(labels.values())) == 30
    assert max(map(len, labels.values())) <= 26


def test_esc_takes_out_what_xml_forbids():
    assert esc("a<b>&\"'\x00\ud800") == "a&lt;b&gt;&amp;&quot;&#x27;\ufffd\ufffd"


def test_the_palette_meets_aa():
    """Text at 4.5 or more, lines at 3 or more, in light, dark and print."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for name in ("light.vars", "dark.vars", "print.vars"):
        colour = dict(re.findall(r"--([\w-]+): (#\w+)", asset(name)))
        for text in ("ink", "soft", "accent", "second"):
            assert contrast(colour[text], colour["paper"]) >= 4.5, (name, text)
            assert contrast(colour[text], colour["wash"]) >= 4.5, (name, text)
        assert contrast(colour["line"], colour["paper"]) >= 3
        for k in range(7):
            assert contrast(colour[f"k{k}"], colour["paper"]) >= 3, (name, k)
        for level in range(9):
            number = colour["h-high" if level >= 6 else "h-low"]
            assert contrast(number, colour[f"h{level}"]) >= 4.5, (name, level)
