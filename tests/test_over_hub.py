"""The whole way over real HTTP, as two people on two machines would go it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tiny import tiny_text_csv, tiny_text_model

from hf_select import proxies

TASK = "text-classification"
PROXIES = len([p for p in proxies.PROXIES.values() if "classification" in p.kinds])
RECIPE = ("--epochs", "1", "--batch-size", "8", "--max-length", "16", "--learning-rate", "0.03")
CARD = "---\nlicense: {license}\nlanguage: {language}\npipeline_tag: {tag}\n{more}---\n# A model\n"
ACCEPTED = 34


def card(license="mit", language="en", tag="text-classification", more=""):
    return CARD.format(license=license, language=language, tag=tag, more=more)


def stock_models(hub, folder: Path) -> dict[str, str]:
    """66 models: `ACCEPTED` that can be had, the others of every kind that can't; id -> reason."""
    weights = {}
    for seed in range(ACCEPTED):
        made = tiny_text_model(folder / f"m{seed}", seed=seed, layers=1)
        files = {path.name: path.read_bytes() for path in made.iterdir()}
        weights[seed] = files
        files = {**files, "README.md": card(more=f"datasets: [lab/corpus-{seed}]\n")}
        hub.add("model", f"lab/good-{seed:02d}", files, downloads=1000 - seed)
    good = weights[0]
    config = json.loads(good["config.json"])
    only_body = {k: v for k, v in good.items() if k != "model.safetensors"}
    bad: dict[str, str] = {}

    def add(name: str, reason: str, files: dict[str, Any], count: int = 2, **options: Any) -> None:
        for number in range(count):
            hub.add("model", f"else/{name}-{number}", files, downloads=5 + number, **options)
            bad[f"else/{name}-{number}"] = reason

    def with_card(**options: Any) -> dict[str, Any]:
        return {**weights[1], "README.md": card(**options)}

    def based(relation: str) -> dict[str, Any]:
        return with_card(more=f"base_model: lab/good-00\nbase_model_relation: {relation}\n")

    add(
        "pickled",
        "no_safetensors",
        {**only_body, "pytorch_model.bin": b"\x80\x04.", "README.md": card()},
    )
    own = json.dumps({**config, "auto_map": {"AutoModel": "modeling.Mine"}})
    add("own-code", "custom_code", {**with_card(), "config.json": own, "modeling.py": "1 / 0"})
    add("gated", "gated", with_card(), gated="manual")
    add("disabled", "disabled", with_card(), disabled=True)
    add("adapter", "adapter", based("adapter"))
    add("merge", "merge", based("merge"))
    add("quantised", "quantized", based("quantized"))
    add(
        "gguf",
        "gguf",
        {"model.gguf": b"GGUF", "README.md": card(more="tags: [gguf]\nlibrary_name: gguf\n")},
    )
    add(
        "unlicensed",
        "unknown_license",
        {**weights[1], "README.md": "---\nlanguage: en\npipeline_tag: text-classification\n---\n"},
    )
    add("paid", "other_license", with_card(license="cc-by-nc-4.0"))
    add("german", "wrong_language", with_card(language="de"))
    big = {"safetensors": {"parameters": {"F32": 7 * 10**9}, "total": 7 * 10**9}}
    add("big", "too_large", with_card(), extra=big)
    strange = json.dumps({**config, "model_type": "no-such-architecture"})
    add("strange", "unsupported_architecture", {**with_card(), "config.json": strange})
    # What only a closer look at the shortlisted shows.
    hub.add("model", "else/copy", {**good, "README.md": card()}, downloads=3)
    bad["else/copy"] = "same_weights"
    broken = bytes(8) + good["model.safetensors"][8:]
    hub.add("model", "else/broken", {**with_card(), "model.safetensors": broken}, downloads=900)
    bad["else/broken"] = "bad_files"
    unsafe = {
        "securityRepoStatus": {
            "scansDone": True,
            "filesWithIssues": [{"path": "model.safetensors", "level": "unsafe"}],
        }
    }
    hub.add("model", "else/infected", with_card(), downloads=901, extra=unsafe)
    bad["else/infected"] = "unsafe"
    for number in range(3):
        files = with_card(more="base_model: lab/good-00\ndatasets: [lab/corpus-x]\n")
        made = tiny_text_model(folder / f"family{number}", seed=100 + number, layers=1)
        files["model.safetensors"] = (made / "model.safetensors").read_bytes()
        hub.add("model", f"else/family-{number}", files, downloads=50 - number)
    bad["else/family-2"] = "family_full"
    return bad


def stock_datasets(hub, folder: Path) -> None:
    """6 data sets, of which 3 can be used."""
    front = "---\nlicense: mit\nlanguage: en\ntask_categories: [text-classification]\n---\n"
    for seed, name in enumerate(("reviews", "news", "mail"), 10):
        data = tiny_text_csv(folder / f"{name}.csv", 60, seed=seed).read_bytes()
        hub.add("dataset", f"lab/{name}", {"README.md": front, "train.csv": data}, downloads=9)
    data = (folder / "mail.csv").read_bytes()
    hub.add("dataset", "else/script", {"README.md": front, "script.py": "1 / 0", "x.zip": b"PK"})
    hub.add("dataset", "else/gated", {"README.md": front, "train.csv": data}, gated="manual")
    one = "text,label\n" + "a word,same\n" * 40
    hub.add("dataset", "else/one-class", {"README.md": front, "train.csv": one})


class Machine:
    """A folder, a cache and a token of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        folder.mkdir()

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """`hf-select ... --json`: its document."""
        done = subprocess.run(
            [sys.executable, "-m", "hf_select", *arguments, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "hf_select", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def python(self, code: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def crawl_is_killed_and_goes_on(hub, alice: Machine, bad: dict[str, str]) -> None:
    crawl = (
        "crawl",
        "models",
        "--task",
        TASK,
        "--language",
        "en",
        "--license",
        "mit",
        "--list-all",
    )
    crawl = (*crawl, "--max-params", "10M", "--max-per-base", "2", "--page-size", "10")
    crawl = (*crawl, "--out", "catalog")
    hub.fault("GET", "/api/models?*", after=4, delay=30)
    process = alice.start(*crawl)
    pages = alice.folder / "catalog" / ".crawl" / f"models-{TASK}" / "pages"
    wait_for(lambda: len(list(pages.glob("*.arrow"))) >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.faults.clear()
    hub.log.clear()
    crawled = alice.run(*crawl)
    assert crawled["resumed_after"] >= 3

    table = pq.read_table(alice.folder / "catalog" / "candidates.parquet")
    rows = table.select(["id", "reason"]).to_pylist()
    assert len(rows) == len({row["id"] for row in rows}) == ACCEPTED + len(bad) + 2 >= 60
    assert {row["id"]: row["reason"] for row in rows if row["reason"]} == bad
    assert crawled["accepted"] == ACCEPTED + 2
    # Only models that were looked at more closely have cost a request of their own.
    closer = {"else/copy", "else/broken", "else/infected", "else/family-2"}
    asked = {r.path for r in hub.log if "/api/models/" in r.path or "/resolve/" in r.path}
    for name in set(bad) - closer:
        assert not [path for path in asked if name in path], name


@pytest.mark.slow
def test_crawl_benchmark_publish_contribute_select_and_push(hub, hub_env, tmp_path) -> None:
    bad = stock_models(hub, tmp_path / "made")
    stock_datasets(hub, tmp_path)
    alice = Machine(tmp_path / "alice", hub_env(hub, home=tmp_path / "home-a"))
    bob = Machine(tmp_path / "bob", hub_env(hub, home=tmp_path / "home-b", token="hf_bob"))

    crawl_is_killed_and_goes_on(hub, alice, bad)
    found = alice.run("crawl", "datasets", "--task", TASK, "--out", "catalog")
    assert len(found["accepted"]) == 3

    trained = alice.run(
        "benchmark", "--catalog", "catalog", "--results", "record", "--task", TASK,
        "--models", "lab/good-00,lab/good-01", "--jobs", "2", *RECIPE,
    )  # fmt: skip
    assert (trained["done"], trained["failed"]) == (6, 0)
    assert (trained["proxies"]["scored"], trained["proxies"]["failed"]) == (6, 0)
    sent = alice.run("publish", "--results", "record", "--to", "lab/record")
    assert (sent["rows"]["runs"], sent["rows"]["proxies"]) == (6, 6 * PROXIES)
    assert alice.run("publish", "--results", "record", "--to", "lab/record")["rows"] == {}
    assert len(hub.commits("dataset", "lab/record")) == 2  # made, and filled

    pulled = bob.run("pull", "lab/record", "--results", "record")
    assert pulled["rows"]["runs"] == 6
    trained = bob.run(
        "benchmark", "--results", "record", "--task", TASK, "--models", "lab/good-02", "--jobs", "2"
    )
    assert (trained["done"], trained["failed"]) == (3, 0)
    refused = bob.run("publish", "--results", "record", "--to", "lab/record", code=2)
    assert refused["error"]["type"] == "AccessError"
    sent = bob.run("publish", "--results", "record", "--to", "lab/record", "--create-pr")
    assert sent["rows"]["runs"] == 3
    number = sent["pull_request"]

    checked = alice.run("validate", "lab/record", "--pull-request", str(number))
    assert checked["refused"] == []
    hub.merge("dataset", "lab/record", number)
    assert alice.run("compact", "lab/record")["generation"] == 2
    configs = ("matrix", "runs", "models", "datasets", "clusters", "recipes")
    rows = bob.python(
        "from datasets import load_dataset\n"
        f"for name in {configs!r}: print(len(load_dataset('lab/record', name)['train']))"
    )
    assert rows == ["9", "9", "3", "3", "3", "1"]

    tiny_text_csv(bob.folder / "target.csv", 80, seed=77)
    chosen = bob.run(
        "select", "target.csv", "--results", "lab/record", "--top", "2", "--out", "chosen"
    )
    assert chosen["record"]["repo"] == "lab/record"
    assert chosen["record"]["revision"] == hub.commits("dataset", "lab/record")[0].sha
    assert 0 < chosen["record"]["bytes"] < 200_000
    bob.run("push", "chosen", "--to", "bob/winner")
    front = hub.files("model", "bob/winner")["README.md"].decode()
    assert f"base_model: {chosen['winner']['model']}" in front
    with (bob.folder / "target.csv").open() as file:
        text = next(csv.DictReader(file))["text"]
    same = bob.python(
        "from transformers import AutoModelForSequenceClassification as Model, AutoTokenizer as T\n"
        "for name in ('bob/winner', 'chosen'):\n"
        f"    batch = T.from_pretrained(name)({text!r}, return_tensors='pt')\n"
        "    print(Model.from_pretrained(name)(**batch).logits.tolist()[0][0])"
    )
    assert same[0] == same[1]
    assert not leaks(tmp_path)


def leaks(folder: Path) -> list[Path]:
    """Files that hold somebody's token."""
    tokens = (b"hf_alice", b"hf_bob")
    found = []
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            if path.is_file() and any(token in path.read_bytes() for token in tokens):
                found.append(path)
    return found
