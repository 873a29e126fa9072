"""The dataset card of a results repository: made, refreshed, edited by hand, loaded."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from made import RECIPE, TASK, dataset, model, run

from hf_select.errors import RecordError
from hf_select.records import Clustering, ProxyRow
from hf_select.results.card import CARD, END, START, check_card, render_card, write_card
from hf_select.results.repo import ResultsRepo
from hf_select.results.state import State

FILES = [
    {"path": "p", "rows": 12, "sha256": "", "kind": kind, "task": TASK}
    for kind in ("runs", "matrix", "sizes")
] + [{"path": "p", "rows": 1, "sha256": "", "kind": "recipes", "task": ""}]


def state_of(*rows) -> State:
    state = State()
    for row in rows:
        state.add(row)
    return state


STATE = state_of(RECIPE, model(), dataset(), run())


def front(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def refreshed(old: str, generation: int = 2) -> str:
    return render_card(old, generation, FILES, STATE)


CARDS = {
    "new": "",
    "of us": render_card("", 1, FILES, STATE, name="lab/record", license="mit"),
}


# -------------------------------------------------------------------------------- a new card


def test_a_new_card():
    text = CARDS["of us"]
    values = front(text)
    assert values["license"] == "mit"
    assert values["pretty_name"] == "record"
    assert {"hf-select", "model-selection"} <= set(values["tags"])
    folder = "snapshots/1"
    assert values["configs"] == [
        {"config_name": "matrix", "data_files": f"{folder}/task=*/matrix.parquet", "default": True},
        {"config_name": "runs", "data_files": f"{folder}/task=*/runs.parquet"},
        {"config_name": "recipes", "data_files": f"{folder}/recipes.parquet"},
    ]
    assert text.count(START) == text.count(END) == 1
    assert f"| {TASK} | 1 | 1 | 1 | 0 | 1 |" in text
    assert 'load_dataset("lab/record", "matrix"' in text


def test_a_card_that_nobody_named_says_what_to_put_in():
    text = render_card("", 1, FILES, STATE)
    assert "license" not in front(text)
    assert "--results OWNER/NAME" in text


def test_writing_twice_writes_once(tmp_path):
    write_card(tmp_path, 1, FILES, STATE)
    before = (tmp_path / CARD).stat()
    write_card(tmp_path, 1, FILES, STATE)
    assert (tmp_path / CARD).stat().st_mtime_ns == before.st_mtime_ns
    assert (tmp_path / CARD).stat().st_ino == before.st_ino


def test_the_name_it_is_published_under_stays_until_it_changes():
    again = refreshed(CARDS["of us"])
    assert 'load_dataset("lab/record"' in again
    moved = render_card(again, 3, FILES, STATE, name="team/record")
    assert "lab/record" not in moved.partition(START)[2]
    assert "team/record" in refreshed(moved)
    assert "`OWNER" not in refreshed(moved)


def test_the_card_of_the_shipped_record_lies_with_the_other_cards_too():
    root = Path(__file__).parents[2]
    shipped = (root / "hf_select" / "demo" / "results" / CARD).read_text()
    assert (root / "model_cards" / "hf-select-demo-results.md").read_text() == shipped


# ---------------------------------------------------------------------------- edited by hand


def test_an_edited_card_keeps_its_words():
    edited = CARDS["of us"].replace("license: mit", "license: apache-2.0  # ours\nlanguage: [en]")
    edited = edited.replace("Scores and learning curves", "Our scores") + "\nThanks to all.\n"
    text = refreshed(edited)
    assert (
        text.partition(START)[0].replace("snapshots/2/", "snapshots/1/")
        == (edited.partition(START)[0])
    )
    assert text.endswith(f"{END}\n\nThanks to all.\n")
    assert "snapshots/1/" not in text
    assert refreshed(text) == text


FRONTS = {
    "nothing": "",
    "no configs": "license: mit\n",
    "first": "configs:\n- config_name: a\n  data_files: b\nlicense: mit\n",
    "last, after a comment": "# mine\nlicense: mit # here\n\nconfigs:\n  - config_name: a\n",
    "comments below": "configs:\n- config_name: a\n  # inside\n# about the licence\nlicense: mit\n",
    "in one line": "configs: []  # none yet\nlicense: mit\n",
    "over lines, in brackets": "configs: [\n{config_name: a},\n]\nlicense: mit\n",
    "quoted": '"configs":\n- config_name: a\nlicense: mit\n',
    "null": "license: mit\nconfigs:\n",
    "twice": "configs: []\nlicense: mit\nconfigs:\n- config_name: a\n",
    "indented": "  license: mit\n  configs:\n  - config_name: a\n  tags: [x]\n",
    "folded text": "pretty_name: >\n  configs: none\n  of them\nlicense: mit\n",
}


@pytest.mark.parametrize("name", FRONTS)
def test_front_matter_keeps_all_but_its_configs(name):
    text = refreshed(f"---\n{FRONTS[name]}---\n\nWords.\n")
    old = yaml.safe_load(FRONTS[name]) or {}
    new = front(text)
    assert [c["config_name"] for c in new.pop("configs")] == ["matrix", "runs", "recipes"]
    assert new == {key: value for key, value in old.items() if key != "configs"}
    for comment in re.findall(r"^# .*$", FRONTS[name], re.MULTILINE):
        assert comment in text
    assert text.endswith("---\n\nWords.\n")
    assert refreshed(text) == text


def test_a_card_without_marks_keeps_its_whole_body():
    text = refreshed("# Mine\n\nWords.\n")
    assert text.startswith("---\nconfigs:\n")
    assert text.endswith("---\n# Mine\n\nWords.\n")


def test_line_ends_of_windows_stay():
    windows = CARDS["of us"].replace("\n", "\r\n")
    text = refreshed(windows)
    assert "\n" not in text.replace("\r\n", "")
    assert text.replace("\r\n", "\n") == refreshed(CARDS["of us"])


BROKEN = {
    "no YAML": ("---\nlicense: [mit\n---\nx\n", "not YAML.*line"),
    "a tab": ("---\nconfigs:\n\t- a\n---\nx\n", "not YAML.*line 3"),
    "a list": ("---\n- license\n---\nx\n", "sequence"),
    "a sentence": ("---\njust words\n---\nx\n", "scalar"),
    "no end": ("---\nlicense: mit\n\n# Title\n", "has no end"),
    "flow style": ("---\n{license: mit, configs: []}\n---\nx\n", "can't be replaced"),
    "a shared anchor": ("---\nconfigs: &a [x]\ntags: *a\n---\nx\n", "can't be replaced"),
    "one mark": (f"text\n{START}\ntext\n", "1 and 0 times"),
    "the other mark": (f"text\n{END}\ntext\n", "0 and 1 times"),
    "marks twice": (f"{START}\n{END}\n{START}\n{END}\n", "2 and 2 times"),
    "the wrong order": (f"{END}\ntext\n{START}\n", "wrong order"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_card_that_cannot_be_kept_is_refused_before_anything_is_written(tmp_path, name):
    text, words = BROKEN[name]
    repo = ResultsRepo.create(tmp_path / "r")
    repo.append([run()], models=[model()], datasets=[dataset()], recipes=[RECIPE])
    (repo.path / CARD).write_text(text)
    before = {p: p.read_bytes() for p in repo.path.rglob("*") if p.is_file()}
    with pytest.raises(RecordError, match=words) as error:
        check_card(repo.path)
    assert str(repo.path / CARD) in error.value.message
    assert error.value.hint
    assert "\n" not in error.value.message
    with pytest.raises(RecordError, match=words):
        repo.compact()
    after = {p: p.read_bytes() for p in repo.path.rglob("*") if p.is_file()}
    after.pop(repo.path / ".work" / "compact.lock")
    assert after == before


def test_a_card_that_is_no_text_is_refused(tmp_path):
    (tmp_path / CARD).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="UTF-8"):
        check_card(tmp_path)


# -------------------------------------------------------------------------------- strangers

EVIL = (
    "<script>alert(1)</script>",
    "x](http://evil.example)",
    "![p](http://evil.example/p.png)",
    "a|b|c",
    "`x` **y** _z_",
    "line\n\n# break",
    "&lt;img src=x onerror=alert(1)&gt;",
    "https://evil.example",
    f"{END}",
    f"{START}",
    "---\nlicense: evil",
)


class _Page(HTMLParser):
    """The tags and the text of a rendered card."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.targets += [value for name, value in attrs if name in ("href", "src", "onerror")]

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("evil", EVIL)
def test_fault_36_names_labels_and_reasons_are_only_words(evil):
    markdown = pytest.importorskip("markdown_it")
    rows = [
        model(evil, architecture=evil, license=evil),
        dataset(evil, label_names=(evil, evil), license=evil, label_column=evil),
        run(evil, evil, key={"config": evil}, submitter=evil, hardware=evil),
        run("b", evil, status="oom", reason=evil, submitter=evil),
        run("c", evil, key={"recipe": f"imported-{evil}"}, origin=f"imported:{evil}"),
        RECIPE,
    ]
    groups = Clustering(
        (evil, "b"), np.zeros(2, np.int64), np.zeros((2, 2)), {0: 0}, evil, 0.1, 0.5
    )
    state = state_of(*rows)
    text = render_card("", 1, FILES, state, clusterings={TASK: groups})
    plain = render_card("", 1, FILES, STATE)
    assert front(text) == front(plain)
    assert text.count(START) == text.count(END) == 1
    assert render_card(text, 1, FILES, state, clusterings={TASK: groups}) == text
    renderer = markdown.MarkdownIt("commonmark", {"html": True}).enable("table")
    page = _Page(renderer.render(text.split("---\n", 2)[2]))
    assert page.tags <= _Page(renderer.render(plain)).tags | {"h3"}
    assert page.targets == []
    shown = " ".join(html.unescape(evil).split()) if "&" not in evil else evil
    assert shown in page.words
    for row in (line for line in text.splitlines() if line.startswith("| ")):
        assert row.count("|") in (4, 3, 7)


# --------------------------------------------------------------------- loaded with nothing of ours

LOAD = """
import json, sys
sys.modules["hf_select"] = None  # nothing of ours
from datasets import get_dataset_config_names, load_dataset
folder, cache = sys.argv[1:]
found = {}
for name in get_dataset_config_names(folder):
    rows = load_dataset(folder, name, split="train", cache_dir=cache)
    found[name] = [rows.column_names, len(rows), str(rows[0])]
found[""] = [[], len(load_dataset(folder, split="train", cache_dir=cache)), ""]
print(json.dumps(found))
"""


def test_every_config_loads_with_nothing_of_ours_installed(tmp_path):
    from hf_select.clustering.algorithms import cluster_models

    repo = ResultsRepo.create(tmp_path / "r")
    scores = {"a": (0.5, 0.9), "b": (0.52, 0.88), "c": (0.9, 0.1)}
    repo.append(
        [run(m, d, s) for m, two in scores.items() for d, s in zip("xy", two, strict=True)]
        + [
            run("i", "x", 0.5, task="image-classification"),
            run("j", "x", status="oom", task="image-classification"),
        ],
        models=[*map(model, "abc"), model("i", task="image-classification")],
        datasets=[*map(dataset, "xy"), dataset("x", task="image-classification")],
        proxies=[ProxyRow("a", "0", "x", "0", "logme", 0.5, 1.0, 100, TASK)],
        recipes=[RECIPE],
    )
    repo.compact(cluster=cluster_models)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(repo.path), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    kinds = ["matrix", "runs", "models", "datasets", "clusters", "proxies", "recipes"]
    assert [name for name in found if name] == kinds
    rows = {name: count for name, (_, count, _) in found.items()}
    assert rows == {
        "matrix": 7,
        "runs": 8,
        "models": 4,
        "datasets": 3,
        "clusters": 3,
        "proxies": 1,
        "recipes": 1,
        "": 7,
    }
    assert {"model", "dataset", "score", "seeds"} <= set(found["matrix"][0])
    assert {"epochs", "val", "test", "status"} <= set(found["runs"][0])
    assert {"model", "cluster", "representative"} <= set(found["clusters"][0])
