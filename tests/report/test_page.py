"""hf_select.report.page: self-contained, escaped, complete, and it runs in a browser."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from report.contract import with_everything
from report.stepwise import make_stepwise

from hf_select.report.markup import embed_json
from hf_select.report.page import render, write_report
from hf_select.report.words import seconds_text

EVIL = "<script>alert(1)</script></script><!-- \"'& --><img src=x onerror=alert(2)>\x00\ud800"
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, checks that they nest, and keeps what is visible."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def poison(value, keep=()):
    """The document with every free text made hostile (names alike everywhere)."""
    if isinstance(value, dict):
        return {
            (f"{k}{EVIL}" if "/" in k else k): v if k in keep else poison(v, keep)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [poison(item, keep) for item in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


@pytest.mark.parametrize(
    "name", ["document", "regression_document", "bare_document", "old_document", "stepwise"]
)
def test_every_candidate_and_reason_appears(name, request):
    document = request.getfixturevalue(name)
    words = Page(render(document)).words
    for row in document["ranking"]:
        assert row["model"] in words
        assert " ".join(row["reason"].split()) in words
    for candidate in document["recall"]["candidates"]:
        assert candidate["reason"] in words
    for note in document["data"]["notes"]:
        assert note in words
    assert document["recipe"]["digest"] in words


def test_it_is_drawn_from_the_json_file_alone(document):
    assert render(json.loads(json.dumps(document))) == render(document)


def test_the_answer_comes_first(document):
    words = Page(render(document)).words
    start = words.index("choose")
    assert document["winner"]["model"] in words[start : start + 80]
    assert "always answering the majority class scores 0.101" in words
    assert "Choosing it among 24 models cost 1.5×" in words
    assert "training them all would have cost 24×, successive halving 9.2×" in words


def test_regression_says_what_is_better(regression_document):
    words = Page(render(regression_document)).words
    assert "RMSE" in words
    assert "lower is better" in words
    assert "always answering the mean scores 1.432" in words


def test_the_oracle_of_a_demo_is_shown(document):
    words = Page(
        render({**document, "oracle": {"model": "zoo/best", "test": 0.931}, "regret": 0.57})
    ).words
    assert "zoo/best with 0.931" in words
    assert "0.57 points" in words


def test_nothing_is_loaded(document):
    text = render(document)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    for tag, attributes in Page(text).tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "action", "data", "srcset"):
            inside = (attributes.get(name) or "").startswith("#")
            assert inside or attributes.get(name) in (None, "data:,"), (tag, name)
        assert not any(name.startswith("on") for name in attributes)


def test_only_our_script_may_run(document):
    parsed = Page(render(document))
    policies = [a["content"] for t, a in parsed.tags if a.get("http-equiv")]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "unsafe" not in policies[0]
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        proof = re.search(rf"{kind} '(sha256-[^']+)';", policies[0])[1]
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", render(document), re.DOTALL)
        digest = hashlib.sha256(inner[-1].encode()).digest()
        assert proof == f"sha256-{base64.b64encode(digest).decode()}"
    assert not [tag for tag, attributes in parsed.tags if "style" in attributes]


def test_a_stepwise_selection_is_told_as_it_went(stepwise):
    words = Page(render(stepwise)).words
    assert "3 trained at all" in words
    assert "were dropped by recall’s word alone, without any training" in words
    assert "The numbers on top" not in words
    assert "How it went, in 7 steps" in words
    assert "0.950 (0.870 to 1.000)" in words
    assert "validation rows before epoch 1 200" in words
    assert "used up" not in words


def test_what_was_expected_stands_beside_what_it_cost(stepwise, old_document):
    words = Page(render(stepwise)).words
    assert (
        "Expected before it began: a price of 1.4× (24 models looked at and 1.2 full trainings), "
        "about 15 s; it came to 1.5×."
    ) in words
    assert "What was expected of it" in words
    assert "xpected" not in Page(render(old_document)).words.replace("expected in", "")


def test_a_budget_that_ended_it_is_said_at_the_top():
    ended = "the rest of 3 epochs pays for no further step; zoo/c0 was trained for 1 of 2 epochs"
    document = make_stepwise(ended=ended)
    words = Page(render(document)).words
    assert words.index("The budget was used up before it was over. The rest of 3") < 600
    assert "trained for 1 of 2 epochs and tested" in words
    assert "Ahead when the budget was used up, the best with 33 %" in words
    assert "trained to the end" not in words


def test_learning_rates_are_named_where_several_ran():
    document = make_stepwise(rates=True)
    words = Page(render(document)).words
    assert "Fine-tuned with a learning rate of 0.0001, of 0.0001 and 5e-05 tried" in words
    for row in document["ranking"]:
        assert row["candidate"] in words
    assert document["funnel"]["trained"] == 2
    drawn = re.findall(r'class="series (\w+)"', render(document))
    assert len(drawn) == 2 * 3


def test_what_others_found_out_is_told(document):
    full = with_everything(document)
    words = Page(render(full)).words
    assert "<li>12 test rows are also in the train split" in render(full)
    start = words.index("Look at the data first. 12 test rows are also in the train split")
    assert start < 500
    assert "within the limits 5 ruled out by what was asked" in words
    assert "4 by the limit max-params, 1 by the limit exclude, 1 could not be ranked" in words
    for row in full["excluded"]:
        assert f"{row['model']} {row['reason']}" in words
    assert words.index("Warning leakage") < words.index("Note class balance")
    assert words.index("Note class balance") < words.index("Fine duplicates")
    assert "Its card says that it was tuned on this." in words
    assert "max params 100000000" in words
    assert full["command"] in words


def test_a_document_without_any_of_that_says_nothing_of_it(document):
    words = Page(render(document)).words
    for unsaid in ("Look at the data first", "within the limits", "The command", "Warning"):
        assert unsaid not in words


def test_replayed_policies_are_drawn_with_their_numbers(stepwise):
    evil = "<b>luck</b>"
    replayed = {
        "trend": {"regret": 0.3, "regret_ci": [0.1, 0.5], "price": 1.8},
        evil: {"regret": 2.0, "regret_ci": None, "price": 1.0},
        "halving": {"regret": 0.4, "price": 9.0},
    }
    text = render({**stepwise, "replayed": replayed})
    words = Page(text).words
    assert "What choosing costs, policy by policy" in words
    assert "policy by policy" not in Page(render(stepwise)).words
    assert evil in words
    assert evil not in text
    assert text.count('class="pt point on ours"') == 2


def test_hostile_text_stays_text(document):
    keep = ("status", "metric", "created")
    text = render(poison(copy.deepcopy(document), keep))
    parsed = Page(text)
    assert [t for t, _ in parsed.tags].count("script") == 2
    assert not [t for t, _ in parsed.tags if t == "img"]
    assert not any(name.startswith("on") for _, a in parsed.tags for name in a)
    assert "<script>alert" not in text
    assert text.count("</script>") == 2
    assert "<!--" not in text
    assert len(parsed.scripts) == 2
    shown = json.loads(parsed.scripts[0])
    assert EVIL[:60] in shown["curves"]["1"]["name"]
    assert html.escape(EVIL[:25]) in text
    assert "\x00" not in text
    text.encode("utf-8")


def test_hostile_text_of_a_stepwise_selection_stays_text(stepwise):
    shown = {**stepwise, "ended": "spent", "replayed": {"trend": {"regret": 1.0, "price": 2.0}}}
    text = render(poison(copy.deepcopy(shown), ("status", "metric", "created")))
    parsed = Page(text)
    assert [t for t, _ in parsed.tags].count("script") == 2
    assert "<script>alert" not in text
    assert not [t for t, _ in parsed.tags if t == "img"]


def test_a_hostile_metric_and_status_stay_text(document):
    evil = copy.deepcopy(document)
    evil["metric"] = EVIL
    for row in evil["ranking"]:
        row["status"] = EVIL
    Page(render(evil))
    assert "<script>alert" not in render(evil)
    assert "<img" not in render(evil)


def test_embedded_json_cannot_end_its_script():
    text = embed_json({"a": "</script><!--&>"})
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text) == {"a": "</script><!--&>"}
    with pytest.raises(ValueError, match="JSON"):
        embed_json(float("nan"))


def test_it_is_small(document):
    assert len(render(document).encode()) < 250_000


def test_a_large_record_still_makes_a_page_under_a_megabyte(document):
    large = copy.deepcopy(document)
    names = [f"organisation/model-with-a-name-{i}" for i in range(2000)]
    large["matrix"]["models"] = names
    large["matrix"]["skill"] = [[0.5] * 10 for _ in names]
    large["matrix"]["scores"] = [[0.55] * 10 for _ in names]
    large["clusters"]["groups"] = [
        {"id": k, "models": names[k * 100 : k * 100 + 100], "representative": names[k * 100]}
        for k in range(20)
    ]
    large["recall"]["ranking"] = names
    large["funnel"]["record"] = 2000
    assert len(render(large).encode()) < 1_000_000


def test_little_is_enough():
    parsed = Page(render({}))
    assert "hf-select" in " ".join(a.get("content") or "" for _, a in parsed.tags) + parsed.words
    Page(render({"winner": {"model": "m", "test": None}, "target": "t", "metric": "accuracy"}))


def test_parts_that_are_not_there_leave_no_empty_section(bare_document):
    words = Page(render(bare_document)).words
    assert "The record behind it" not in words
    assert "P(best)" not in words
    assert "forecast" not in words
    assert "Why the others were not chosen" in words


def test_ids_are_unique_and_labels_lead_somewhere(document):
    parsed = Page(render(document))
    ids = [a["id"] for _, a in parsed.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.tags:
        if attributes.get("aria-labelledby"):
            assert attributes["aria-labelledby"] in ids


def test_write_report_replaces_the_file_whole(document, tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.html"
    assert write_report(document, path) == path
    assert path.read_text(encoding="utf-8") == render(document)
    path.write_text("old", encoding="utf-8")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(document, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (8.44, "8.4 s"), (59.6, "1 min 0 s"), (108, "1 min 48 s"), (7500, "2 h 5 min")],
)
def test_seconds_text(seconds, text):
    assert seconds_text(seconds) == text


def test_the_report_room_imports_nothing_heavy():
    code = (
        "import sys, hf_select.report.page; "
        "print(sorted({'torch', 'transformers', 'datasets', 'sklearn', 'matplotlib'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
