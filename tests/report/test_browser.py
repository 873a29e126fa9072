"""The pages in headless Chromium: silent, without network, usable, at two widths, light and dark.

One browser for the file. Its path: HF_SELECT_CHROMIUM, or what is installed.
"""

from __future__ import annotations

import copy
import os
import shutil

import pytest
from report.conftest import make_document
from report.contract import with_everything
from report.made_records import made_record, made_task
from report.stepwise import make_stepwise
from report.test_page import poison

from hf_select.report.page import render
from hf_select.report.record_document import record_document
from hf_select.report.record_page import render_record

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
WHERE = os.environ.get("HF_SELECT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser", "chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(
    WHERE is None, reason="no Chromium found; HF_SELECT_CHROMIUM says where one is"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")

NAMES = (
    "<script>alert(1)</script>",
    "a\"b'c & <i>d</i>",
    "\u202eevil\u202c \u200frtl \u05d0\u05d1\u05d2",
    "x" * 200,
)


def hostile() -> dict:
    """A selection whose models are called what nobody should be called."""
    document = with_everything(make_stepwise())
    return poison(copy.deepcopy(document), ("status", "metric", "level", "score_is", "kind"))


def strangers() -> dict:
    """A record whose models are called what nobody should be called."""
    task = made_task()
    names = (*NAMES, *task.matrix.models[len(NAMES) :])
    swap = dict(zip(task.matrix.models, names, strict=True))
    document = record_document("owner/results", [task])

    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return swap.get(value, value) if isinstance(value, str) else value

    return renamed(document)


PAGES = {
    "selection": lambda: render(with_everything(make_document())),
    "stepwise": lambda: render(make_stepwise()),
    "hostile": lambda: render(hostile()),
    "record": lambda: render_record(made_record()),
    "strangers": lambda: render_record(strangers()),
}


class Opened:
    """A page, and what it had to say."""

    def __init__(self, context, path):
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda m: self.faults.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def look(self, width, scheme):
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=WHERE, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in PAGES.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(make(), encoding="utf-8")
    return found


@pytest.fixture
def open_page(browser, files):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield lambda name: Opened(context, files[name])
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_it_is_silent_asks_for_nothing_and_fits(name, open_page, files):
    opened = open_page(name)
    for width in WIDTHS:
        for scheme in SCHEMES:
            opened.look(width, scheme)
            wide = opened.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (width, scheme)
    assert opened.faults == []
    assert opened.asked == [files[name].as_uri()]
    assert opened.page.evaluate("document.documentElement.classList.contains('js')")


def serious(opened):
    """What axe finds serious or critical, everything unfolded."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.run(opened.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (v["id"], v["nodes"][0]["html"][:200], v["nodes"][0].get("failureSummary"))
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_axe_finds_nothing_serious(width, scheme, open_page):
    opened = open_page("stepwise" if width == 390 else "record")
    opened.look(width, scheme)
    assert serious(opened) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_anywhere(name, width, scheme, open_page):
    opened = open_page(name)
    opened.look(width, scheme)
    assert serious(opened) == []


def test_names_of_strangers_stay_words(open_page):
    page = open_page("strangers").page
    heads = page.locator(".heat tbody th").all_inner_texts()
    assert NAMES[0] in heads
    assert NAMES[1] in heads
    assert page.locator("main script, main i i").count() == 0
    assert "\ufffdevil\ufffd" in next(name for name in heads if "evil" in name)
    assert not any("\u202e" in name for name in heads)
    page.fill(".find-models", "alert")
    page.locator(".heat td[data-row]").first.hover()
    assert NAMES[0] in page.locator(".tip").inner_text()
    assert page.locator(".tip script").count() == 0


def tip(page):
    node = page.locator(".tip")
    return node.inner_text() if node.is_visible() else None


@pytest.mark.parametrize("width", WIDTHS)
def test_curves_can_be_hovered_walked_along_and_hidden(width, open_page):
    opened = open_page("selection")
    opened.look(width, "light")
    page, shown = opened.page, ".wide" if width > 600 else ".narrow"
    line = page.locator(f".chart {shown} .series.winner")
    line.scroll_into_view_if_needed()
    box = line.locator("circle").first.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    assert "after 1/8 epoch" in tip(page)
    page.mouse.move(2, 2)
    assert tip(page) is None
    line.focus()
    page.keyboard.press("ArrowLeft")
    assert "after 4 epochs" in tip(page)
    page.keyboard.press("ArrowRight")
    assert "after 5 epochs" in tip(page)
    page.keyboard.press("Escape")
    assert tip(page) is None
    button = page.locator(".chart .legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not line.is_visible()
    button.click()
    assert line.is_visible()


@pytest.mark.parametrize("name", ["selection", "record"])
def test_the_map_can_be_hovered_and_walked_and_a_cluster_hidden(name, open_page):
    page = open_page(name).page
    map_ = page.locator(".clustered .wide svg.hfs-map")
    point = map_.locator(".pt").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "mean skill" in tip(page)
    page.mouse.move(2, 2)
    map_.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    seen = {tip(page)}
    for _ in range(30):
        page.keyboard.press("ArrowRight")
        seen.add(tip(page))
    assert len(seen) == map_.locator(".pt").count()
    assert page.locator(".said").inner_text().split(":")[0] in tip(page)
    key = page.locator(".clustered button[data-kind=k0]")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert map_.locator(".pt.k0:not(.off)").count() == 0
    assert map_.locator(".pt.k1:not(.off)").count() > 0
    key.click()
    assert map_.locator(".pt.off").count() == 0


@pytest.mark.parametrize("figure", ["hfs-price", "hfs-efficiency"])
def test_other_points_are_read_out_too(figure, open_page):
    page = open_page("selection").page
    page.locator(f".wide svg.{figure}").first.focus()
    page.keyboard.press("ArrowRight")
    assert tip(page)


def column(page, at):
    return page.locator(f".heat tbody tr td:nth-child({at})").all_inner_texts()


def test_the_heat_map_is_searched_and_sorted(open_page):
    page = open_page("selection").page
    names = page.locator(".heat tbody th").all_inner_texts()
    assert len(names) == 24
    page.fill(".find-models", "VIT faces")
    few = page.locator(".heat tbody th").all_inner_texts()
    assert sorted(few) == ["zoo/faces-vit-s0", "zoo/faces-vit-s1"]
    assert page.locator(".heat .found").inner_text() == "2 models"
    page.fill(".find-models", "nobody")
    assert page.locator(".heat tbody tr").count() == 0
    page.fill(".find-models", "")
    page.fill(".find-datasets", "mnist")
    assert page.locator(".heat thead th.set:visible").all_inner_texts() == ["mnist-small"]
    page.fill(".find-datasets", "")

    by_set = page.locator(".heat thead th.set button").nth(4)
    by_set.click()
    numbers = [int(t.replace("−", "-")) for t in column(page, 8) if t != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert column(page, 8)[-1] == "–"  # what was not measured comes last, either way
    by_set.click()
    assert [int(t.replace("−", "-")) for t in column(page, 8) if t != "–"] == numbers[::-1]
    assert page.locator(".heat th[aria-sort=ascending]").count() == 1
    page.locator(".heat thead th.mean button").click()
    means = [int(t) for t in column(page, 3)]
    assert means == sorted(means, reverse=True)
    page.locator(".heat thead th.model button").click()
    assert page.locator(".heat tbody th").all_inner_texts() == sorted(names)


def test_the_heat_map_is_walked_by_keys(open_page):
    page = open_page("selection").page
    page.locator(".heat thead th.model button").focus()
    assert page.locator(".heat td[tabindex='0']").count() == 1
    page.locator(".heat td[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    place = "[document.activeElement.dataset.column, document.activeElement.parentNode.rowIndex]"
    assert page.evaluate(place) == ["1", 2]
    assert "on fashion" in tip(page)
    assert "accuracy, skill 0." in tip(page)
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.column") == "9"


def test_large_records_show_more_rows_when_asked(browser, tmp_path):
    path = tmp_path / "large.html"
    path.write_text(render_record(made_record(models=200, datasets=5)), encoding="utf-8")
    context = browser.new_context()
    page = Opened(context, path).page
    assert page.locator(".heat tbody tr").count() == 60
    assert page.locator(".heat .found").inner_text() == "60 of 200 models shown"
    page.locator(".heat .more button").click()
    assert page.locator(".heat tbody tr").count() == 200
    assert not page.locator(".heat .more button").is_visible()
    context.close()


def test_light_and_dark_by_system_and_by_button(open_page):
    opened = open_page("selection")
    page, paper = opened.page, "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    opened.look(1280, "dark")
    dark = page.evaluate(paper)
    assert light != dark
    assert page.locator(".theme").inner_text() == "Light"
    page.locator(".theme").click()
    assert page.evaluate(paper) == light
    page.locator(".theme").click()
    assert page.evaluate(paper) == dark
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_paper_has_all_and_no_controls(open_page):
    page = open_page("selection").page
    hidden = page.locator("details.reasons .why-out").first
    assert not hidden.is_visible()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 900})
    assert hidden.is_visible()
    assert page.locator(".steps table, .reasons h3").first.is_visible()
    for control in (".theme", ".controls", ".keys", "nav"):
        assert not page.locator(control).first.is_visible(), control
    assert page.locator(".chart .wide").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
