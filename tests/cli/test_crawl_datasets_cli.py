"""From the Hub's datasets to a benchmark and a selection, over HTTP, as commands."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from tiny import tiny_text_csv, tiny_text_model

from hf_select.catalog import Catalog, local_model
from hf_select.results.repo import ResultsRepo

TASK = "text-classification"
RECIPE = {
    "learning_rate": 3e-2,
    "epochs": 1,
    "global_batch_size": 8,
    "max_length": 16,
    "warmup": 0.0,
    "fractions": [0.5],
}
NO_SOCKETS = """
import socket, sys
def refuse(*_): raise AssertionError("a socket in offline mode")
socket.socket.connect = socket.getaddrinfo = refuse
from hf_select.cli.app import main
main(sys.argv[1:])
"""


def command(*args: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hf_select", *args],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def readme(**head: object) -> str:
    base = {"license": "mit", "language": ["en"], "task_categories": [TASK]}
    return f"---\n{yaml.safe_dump({**base, **head})}---\n# Rows\n"


def as_parquet(text: str, names: list[str]) -> bytes:
    rows = list(csv.DictReader(io.StringIO(text)))
    sink = io.BytesIO()
    labels = [names.index(row["label"]) for row in rows]
    parquet.write_table(pa.table({"text": [row["text"] for row in rows], "label": labels}), sink)
    return sink.getvalue()


@pytest.fixture
def filled(hub, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Six datasets of text classification, one with numbers to predict."""

    def text(**options: Any) -> str:
        return tiny_text_csv(tmp_path / "rows.csv", **options).read_text()

    labels = {"class_label": {"names": {"0": "good", "1": "bad"}}}
    info = {
        "features": [{"name": "text", "dtype": "string"}, {"name": "label", "dtype": labels}],
        "splits": [{"name": "train", "num_bytes": 1, "num_examples": 80}],
        "download_size": 1000,
    }
    one_class = "text,label\n" + "".join(f"text {i},yes\n" for i in range(20))
    made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "reviews": ({"train.csv": text(rows=80, seed=1)}, {}),
        "moods": (
            {
                "data/train-00000-of-00001.parquet": as_parquet(
                    text(rows=80, seed=2), ["good", "bad"]
                ),
                "README.md": readme(dataset_info=info),
            },
            {},
        ),
        "pairs": ({"train.csv": text(rows=80, pair=True, seed=3)}, {}),
        "scripted": ({"scripted.py": "raise SystemExit", "train.csv": text(rows=40)}, {}),
        "gated": ({"train.csv": text(rows=40)}, {"gated": "manual"}),
        "one": ({"train.csv": one_class}, {}),
        "rated": ({"train.csv": text(rows=80, regression=True, seed=4)}, {}),
    }
    for i, (name, (files, settings)) in enumerate(made.items()):
        files = {"README.md": readme(), **files}
        hub.add("dataset", f"lab/{name}", files, downloads=100 - i, **settings)
    return hub


@pytest.fixture
def env(hub_env, filled) -> dict[str, str]:  # type: ignore[no-untyped-def]
    # The download counter of `datasets` is on a host that isn't the Hub.
    return hub_env(filled, token="hf_bob") | {"HF_UPDATE_DOWNLOAD_COUNTS": "0"}


@pytest.mark.slow
def test_crawl_benchmark_inspect_and_select(filled, env, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = command(
        "crawl", "datasets", "-t", TASK, "-o", "catalog", "--json", env=env, cwd=tmp_path
    )
    crawled = document(done)
    assert [found["name"] for found in crawled["accepted"]] == [
        *("lab/reviews", "lab/moods", "lab/pairs")
    ]
    assert crawled["rejected"] == {"needs_code": 1, "gated": 1, "unusable": 2}
    because = {found["name"]: found["detail"] for found in crawled["rejected_datasets"]}
    assert "one class ('yes')" in because["lab/one"]
    assert crawled["requests"] == 1
    for name in ("scripted", "gated"):  # nothing of what the listing speaks against is fetched
        assert not filled.requests(path=f"*lab/{name}*")
    catalog = Catalog.load(tmp_path / "catalog")
    found = {entry.repo_id: entry for entry in catalog.datasets}
    moods = found["lab/moods"]
    assert moods.revision == filled.repo("dataset", "lab/moods").head.sha
    assert (moods.label_names, moods.metric) == (("good", "bad"), "accuracy")
    assert sum(moods.splits.values()) == 80
    assert found["lab/pairs"].input_columns == ("sentence1", "sentence2")

    for path in (tmp_path / "catalog").rglob("*"):
        assert path.is_dir() or b"hf_bob" not in path.read_bytes()

    # Main moves on; the benchmark stays where it was pinned, and asks the Hub for nothing.
    filled.push("dataset", "lab/moods", {"data/train-00000-of-00001.parquet": b"broken"})
    before = len(filled.log)
    model = tiny_text_model(tmp_path / "models" / "ant")
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    common = ["--results", "record", "--recipe", "recipe.json", "--catalog", "both.json", "--json"]
    ant = replace(local_model(model, TASK), repo_id="me/ant")
    both = replace(catalog, models=(ant,), locations={"me/ant": model})
    both.save(tmp_path / "both.json")
    ran = document(
        command("benchmark", *common, "--datasets", "moods,pairs", env=env, cwd=tmp_path)
    )
    assert (ran["done"], ran["failed"]) == (2, 0)
    assert len(filled.log) == before
    (run,) = [r for r in ResultsRepo.open(tmp_path / "record").runs() if "moods" in r.key.dataset]
    assert run.key.dataset_revision == moods.revision

    # A target by its id: the commit that main is at now.
    inspected = document(command("inspect", "lab/reviews", "--json", env=env, cwd=tmp_path))
    assert inspected["revision"] == found["lab/reviews"].revision
    assert inspected["target"] == "lab/reviews"
    options = ["--out", "chosen", "--method", "mean", *common]
    selected = document(command("select", "lab/reviews", *options, env=env, cwd=tmp_path))
    assert selected["winner"]["model"] == "me/ant"
    assert selected["target"] == "lab/reviews"


def test_regression_and_stated_columns(filled, env, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "list.txt").write_text("# mine\nlab/rated\nlab/reviews\nlab/nothing\n")
    args = ["-t", "text-regression", "-o", "catalog", "--from-list", "list.txt", "--json"]
    done = command("crawl", "datasets", *args, "--label-column", "score", env=env, cwd=tmp_path)
    crawled = document(done)
    (rated,) = crawled["accepted"]
    assert (rated["name"], rated["label_column"], rated["num_labels"]) == ("lab/rated", "score", 1)
    assert rated["metric"] == "rmse"
    assert crawled["rejected"] == {"unusable": 1, "not_found": 1}


@pytest.mark.slow
def test_offline_a_target_that_was_read_once_makes_no_socket(filled, env, tmp_path) -> None:  # type: ignore[no-untyped-def]
    online = document(command("inspect", "lab/reviews", "--json", env=env, cwd=tmp_path))
    code = [sys.executable, "-c", NO_SOCKETS, "inspect", "--json"]
    options: dict[str, Any] = {"env": env | {"HF_HUB_OFFLINE": "1"}, "cwd": tmp_path}
    done = subprocess.run([*code, "lab/reviews"], **options, capture_output=True, text=True)
    assert document(done) == online
    done = subprocess.run([*code, "lab/moods"], **options, capture_output=True, text=True)
    assert "offline mode" in document(done, code=2)["error"]["message"]


def test_a_split_without_rows_is_named(hub, env, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = "text,label\n" + "".join(f"word {i},{'ab'[i % 2]}\n" for i in range(20))
    hub.add("dataset", "lab/hollow", {"train.csv": rows, "test.csv": "text,label\n"})
    done = command("inspect", "lab/hollow", env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "data set lab/hollow can't be loaded: its test split is empty" in done.stderr


@pytest.mark.parametrize(
    ("target", "token", "code", "words"),
    [
        ("lab/nothing", "hf_bob", 2, "no such repository"),
        ("lab/gated", "hf_bob", 2, "gated"),
        ("lab/reviews/none", "hf_bob", 2, "unknown config"),
        ("lab/scripted", "hf_bob", 2, "code of its own"),
        ("lab/reviews", "hf_nobody_knows_this", 2, "doesn't know this token"),
    ],
)
def test_one_line_that_says_what_to_do(  # type: ignore[no-untyped-def]
    filled, env, tmp_path: Path, target: str, token: str, code: int, words: str
) -> None:
    done = command("inspect", target, env=env | {"HF_TOKEN": token}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert token not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) in (["hf-home", "rows.csv"], ["rows.csv"])


@pytest.mark.slow
def test_killed_it_goes_on_with_the_page_that_was_missing(filled, env, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL while the second page is under way, after the rows of two datasets were read."""
    args = ["crawl", "datasets", "-t", TASK, "-o", "catalog", "--page-size", "2", "--json"]
    fault = filled.fault(path="*cursor=*", delay=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_select", *args],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    findings = tmp_path / "catalog" / ".crawl" / f"datasets-{TASK}" / "findings.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if fault.struck:
            break
        assert process.poll() is None
        time.sleep(0.05)
    assert len(findings.read_bytes().splitlines()) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "catalog" / "catalog.json").exists()
    before = len(filled.log)
    done = document(command(*args, env=env, cwd=tmp_path))
    assert done["resumed_after"] == 1
    assert [found["name"] for found in done["accepted"]] == [
        "lab/reviews",
        "lab/moods",
        "lab/pairs",
    ]
    asked = filled.log[before:]
    assert all("cursor=" in r.target for r in asked if r.path == "/api/datasets")
    assert not [r for r in asked if "lab/reviews" in r.path or "lab/moods" in r.path]
