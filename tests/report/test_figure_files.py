"""hf_select.report.figures: files that stand alone, of a selection and of a record."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest
from report.conftest import make_document
from report.contract import with_everything
from report.made_records import made_record, made_task

from hf_select.errors import InputError, UnknownNameError
from hf_select.report.figures import check_formats, drawings, write_figures
from hf_select.report.record_document import record_document

OF_A_SELECTION = [
    "learning-curves", "map", "tree", "matrix", "price", "efficiency-size", "efficiency-latency",
]  # fmt: skip


def test_each_figure_is_a_file_of_its_own_style(tmp_path):
    paths = write_figures(with_everything(make_document()), tmp_path / "new" / "figures")
    assert [path.name for path in paths] == [f"{name}.svg" for name in OF_A_SELECTION]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text
        assert "prefers-color-scheme" not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_those_of_several_tasks_begin_with_the_task():
    one = drawings(made_record())
    assert list(one) == ["map", "tree", "matrix", "benchmarks", "price"]
    two = record_document("r", [made_task(), made_task(task="image-classification")])
    assert [name for name in drawings(two) if name.endswith("map")] == [
        "text-classification-map",
        "image-classification-map",
    ]


def test_what_a_document_has_no_data_for_is_not_drawn(bare_document):
    assert list(drawings(bare_document)) == ["learning-curves"]


def test_bad_wishes(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="figure format"):
        check_formats(["gif"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_figures(make_document(), tmp_path / "file")
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(InputError, match="PNG") as caught:
        write_figures(make_document(), tmp_path / "none", formats=("svg", "png"))
    assert "hf-select[figures]" in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_png(tmp_path):
    pytest.importorskip("resvg_py", reason="hf-select[figures] is not installed")
    from PIL import Image

    paths = write_figures(with_everything(make_document()), tmp_path, formats=("png",))
    assert [path.suffix for path in paths] == [".png"] * len(OF_A_SELECTION)
    for path in paths:
        with Image.open(path) as image:
            assert image.width > 600
            colours = {image.convert("RGB").getpixel((x, 4)) for x in (0, image.width - 1)}
            assert colours == {(0xFC, 0xFB, 0xF8)}
            assert len(image.convert("RGB").getcolors(1 << 20)) > 20
