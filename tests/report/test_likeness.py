"""Map, tree, strips and what they are made of: distances, colours, places."""

from __future__ import annotations

import copy
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from report.made_records import made_record, made_task

from hf_select.clustering.distances import paper_distance
from hf_select.report import likeness
from hf_select.report.clustermap import cluster_map_svg
from hf_select.report.dendrogram import MAX_LEAVES, dendrogram_svg
from hf_select.report.record_document import record_document
from hf_select.report.record_page import render_record
from hf_select.report.sections.benchmarks import strips_of
from hf_select.report.shapes import mark
from hf_select.report.strips import Strip, strips_svg

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg):
    return ElementTree.fromstring(svg)


def points_of(root):
    return [p for p in root.iter() if "pt" in (p.get("class") or "").split()]


@pytest.fixture(scope="module")
def part():
    return made_record()["tasks"][0]


def test_distances_are_those_that_clusters_are_made_of(document):
    found = likeness.likeness(document)
    skill = likeness.skill_of(document)
    assert found.distance == pytest.approx(paper_distance(skill))
    assert found.models == tuple(document["matrix"]["models"])
    assert found.winner == document["winner"]["model"]
    assert found.left_out == 0


def test_a_colour_a_cluster_and_none_for_the_lonely(document):
    kinds, names, heads = likeness.cluster_kinds(document)
    groups = document["clusters"]["groups"]
    for place, group in enumerate(g for g in groups if len(g["models"]) > 1):
        assert {kinds[m] for m in group["models"]} == {f"k{place}"}
        assert {names[m] for m in group["models"]} == {f"cluster {group['id']}"}
        assert group["representative"] in heads
    assert [kinds[g["models"][0]] for g in groups if len(g["models"]) == 1] == ["alone"] * 2


def test_more_clusters_than_colours_are_grey():
    many = {
        "clusters": {
            "groups": [
                {"id": k, "models": [f"{k}a", f"{k}b"], "representative": None} for k in range(9)
            ]
        }
    }
    kinds = likeness.cluster_kinds(many)[0]
    assert [kinds[f"{k}a"] for k in range(9)] == [f"k{k}" for k in range(7)] + ["small"] * 2


def test_better_models_stand_further_right(document):
    found = likeness.likeness(document)
    places, told = found.plane
    assert np.corrcoef(places[:, 0], found.mean)[0, 1] > 0.9
    assert abs(np.corrcoef(places[:, 1], found.mean)[0, 1]) < 0.1
    assert told > 0.8


def test_every_model_is_on_the_map_once(document):
    root = parse(cluster_map_svg(document))
    said = [p.get("aria-label").split(":")[0] for p in points_of(root)]
    assert sorted(said) == sorted(document["matrix"]["models"])
    rings = [c.get("class") for c in root.iter(f"{SVG}circle")]
    assert sorted(rings) == ["halo", *["halo taken"] * 9]
    names = [t.text for t in root.iter(f"{SVG}text")]
    assert document["winner"]["model"].split("/")[1] in names


def test_names_on_the_map_do_not_cover_each_other(document):
    for width, height in ((560, 440), (372, 340)):
        root = parse(cluster_map_svg(document, width=width, height=height))
        boxes = []
        for text in root.iter(f"{SVG}text"):
            if "label" not in (text.get("class") or ""):
                continue
            x, y = float(text.get("x")), float(text.get("y"))
            boxes.append((x, y - 9, x + 5.6 * len(text.text), y + 2))
        assert len(boxes) >= 4
        for one, other in itertools.combinations(boxes, 2):
            apart = (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )
            assert apart, (one, other)
        assert max(box[2] for box in boxes) <= width + 8


def test_the_tree_has_a_leaf_a_model_and_joins_them_all(document):
    root = parse(dendrogram_svg(document))
    assert len(points_of(root)) == 24
    branches = [p for p in root.iter(f"{SVG}path") if "branch" in (p.get("class") or "")]
    assert len(branches) == 23
    ends = [float(re.search(r"H([\d.]+)V", b.get("d"))[1]) for b in branches]
    found = likeness.likeness(document)
    heights = sorted(found.tree[:, 2])
    far = sorted(ends)
    scale = (far[-1] - far[0]) / (heights[-1] - heights[0])
    for end, height in zip(far, heights, strict=True):
        assert end - far[0] == pytest.approx(scale * (height - heights[0]), abs=0.2)


def test_the_cut_is_drawn_where_this_tree_was_cut(document):
    assert 'class="cut"' in dendrogram_svg(document)
    for change in ({"algorithm": "kmeans"}, {"threshold": None}, {"threshold": 9.0}):
        other = copy.deepcopy(document)
        other["clusters"] |= change
        assert 'class="cut"' not in dendrogram_svg(other)
    assert 'class="cut"' not in dendrogram_svg({**document, "settings": {"preset": "paper"}})


def test_a_large_tree_is_folded_and_says_how_many_stand_where():
    part = made_record(models=120)["tasks"][0]
    root = parse(dendrogram_svg(part))
    assert len(points_of(root)) == MAX_LEAVES
    names = [t.text for t in root.iter(f"{SVG}text")]
    more = sum(int(n.rsplit("+", 1)[1]) for n in names if re.search(r" \+\d+$", n or ""))
    assert MAX_LEAVES + more == 120


def test_twins_and_ties_do_not_unfold_the_tree():
    part = copy.deepcopy(made_record(models=120)["tasks"][0])
    part["matrix"]["skill"] = [[0.5] * 6 for _ in range(120)]
    root = parse(dendrogram_svg(part))
    assert len(points_of(root)) == MAX_LEAVES


@pytest.mark.parametrize("figure", [cluster_map_svg, dendrogram_svg])
def test_too_few_models_make_a_small_figure(figure, bare_document):
    assert "Too few models" in figure(bare_document)
    parse(figure({}))


def test_of_very_many_models_the_telling_ones_are_taken(document, monkeypatch):
    monkeypatch.setattr(likeness, "MOST", 12)
    found = likeness.likeness(document)
    assert (len(found.models), found.left_out) == (12, 12)
    assert {found.winner, *found.recalled} <= set(found.models)


def test_each_kind_has_a_shape_of_its_own():
    shapes = {mark(f"k{k}", 10, 10) for k in range(7)}
    assert len(shapes) == 7
    assert mark("alone", 10, 10) == mark("k0", 10, 10)
    for shape in shapes:
        assert "nan" not in shape
        assert shape.startswith("M")


def test_strips_go_from_the_easiest_to_the_hardest_and_name_the_best(part):
    strips = strips_of(part)
    means = [float(s.skill.mean()) for s in strips]
    assert means == sorted(means, reverse=True)
    root = parse(strips_svg(strips))
    assert len(points_of(root)) == 6
    for row, point in zip(part["benchmarks"], points_of(root), strict=True):
        assert row["best"] in point.get("aria-label")
        assert "1.3 points between seeds" in point.get("aria-label")  # 0.01 / (1 - 0.25)
    dots = [c for c in root.iter(f"{SVG}circle") if c.get("class") == "one"]
    assert len(dots) == sum(row["models"] for row in part["benchmarks"])


def test_strips_of_many_models_are_boxes():
    rng = np.random.default_rng(0)
    root = parse(strips_svg([Strip("s", rng.uniform(size=500), "m", float("nan"))]))
    assert [r.get("class") for r in root.iter(f"{SVG}rect")].count("box") == 1
    assert not [c for c in root.iter(f"{SVG}circle") if c.get("class") == "one"]
    assert "seeds" not in points_of(root)[0].get("aria-label")
    assert parse(strips_svg([])).tag == f"{SVG}svg"


# ---------------------------------------------------------------------- the record's document


def test_what_the_document_counts():
    task = made_task(models=12, datasets=6)
    part = record_document("r", [task])["tasks"][0]
    counts = part["counts"]
    measured = int(np.isfinite(task.matrix.scores).sum())
    assert counts["measured"] == measured < counts["cells"] == 72
    assert (counts["runs"], counts["failed"], counts["seeds"]) == (12, 1, 1)
    assert counts["seconds"] == 720.0
    assert part["failures"] == [{"status": "failed", "reason": "the loss became NaN", "runs": 1}]
    best = part["leaders"][0]
    means = np.nanmean(task.matrix.skill, axis=1)
    assert best["model"] == task.matrix.models[int(np.argmax(means))]
    assert best["mean"] == pytest.approx(means.max(), abs=1e-4)
    assert sum(row["wins"] for row in part["leaders"]) >= 6
    assert best["num_parameters"] == 1_000_000 * (int(best["model"].split("-")[1]) + 1)


def test_the_same_record_gives_the_same_document_and_page():
    from hf_select.report.record_page import render_record

    assert made_record() == made_record()
    assert render_record(made_record()) == render_record(made_record())


def test_a_page_of_1500_models_is_small_and_says_what_is_left_out():
    from hf_select.report.record_page import render_record

    document = made_record(models=1500, datasets=20, name="some-organisation/a-model-{}")
    text = render_record(document)
    assert len(text.encode()) < 3_000_000
    assert "the lowest branches are folded" in text
    assert "smaller clusters, and those alone" in text
    assert text.count("some-organisation/a-model-1499") >= 2  # on the map, and in the heat map


def test_what_the_heat_map_has_no_room_for_is_counted(document, monkeypatch):
    from hf_select.report.page import render
    from hf_select.report.sections import matrix

    monkeypatch.setattr(matrix, "MAX_CELLS", 60)
    monkeypatch.setattr(matrix, "MAX_COLUMNS", 5)
    text = render(document)
    assert "Left out, so that the page stays small: 12 models and 5 benchmarks." in text
    rows = re.findall(r'<tr[^>]*><th scope="row"><span>([^<]+)</span></th><td class="group">', text)
    assert len(rows) == 12
    assert document["winner"]["model"] in rows


def test_a_model_of_two_tasks_is_counted_once():
    document = record_document("r", [made_task(), made_task(task="text-regression")])
    count = document["tasks"][0]["counts"]["models"]
    assert document["models"] == count
    assert f"{count} models fine-tuned on" in render_record(document)
