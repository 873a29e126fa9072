"""The weekly round: what is done already is done once, whenever it was cut off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import tiny_text_csv, tiny_text_model

TASK = "text-classification"
CARD = "---\nlicense: mit\nlanguage: en\npipeline_tag: text-classification\n---\n"
DATA = "---\nlicense: mit\nlanguage: en\ntask_categories: [text-classification]\n---\n"
RECIPE = ("--epochs", "1", "--batch-size", "8", "--max-length", "16", "--learning-rate", "0.03")
UPDATE = ("update", "--catalog", "catalog", "--results", "record", "--to", "lab/record")
UPDATE = (*UPDATE, "--task", TASK, "--jobs", "2", *RECIPE)


@pytest.fixture
def world(hub, hub_env, tmp_path):
    """A Hub with two models and two data sets, and a catalog that was crawled from it."""
    for seed in range(2):
        add_model(hub, tmp_path, seed)
    for seed, name in enumerate(("reviews", "news")):
        data = tiny_text_csv(tmp_path / f"{name}.csv", 60, seed=seed).read_bytes()
        hub.add("dataset", f"lab/{name}", {"README.md": DATA, "train.csv": data})
    environment = hub_env(hub)

    def run(*arguments: str, code: int = 0) -> dict:
        done = subprocess.run(
            [sys.executable, "-m", "hf_select", *arguments, "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)

    run("crawl", "models", "--task", TASK, "--limit", "3", "--out", "catalog")
    run("crawl", "datasets", "--task", TASK, "--out", "catalog")
    return hub, run, environment, tmp_path


def add_model(hub, folder: Path, seed: int) -> None:
    made = tiny_text_model(folder / f"m{seed}", seed=seed, layers=1)
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    hub.add("model", f"lab/m{seed}", {**files, "README.md": CARD}, downloads=100 - seed)


def runs_on(hub) -> set[tuple[str, str]]:
    """Model and data set of each run that the Hub's record holds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[tuple[str, str]] = []
    for path, data in hub.files("dataset", "lab/record").items():
        generation = json.loads(hub.files("dataset", "lab/record")["manifest.json"])["generation"]
        if path.endswith("runs.parquet") and f"/{generation}/" in path:
            table = pq.ParquetFile(pa.BufferReader(data)).read(columns=["model", "dataset"])
            found += [(row["model"], row["dataset"]) for row in table.to_pylist()]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.slow
def test_a_round_measures_what_is_new_and_one_that_was_killed_goes_on(world) -> None:
    hub, run, environment, folder = world
    first = run(*UPDATE, "--max-cells", "2")
    assert (first["pulled"], first["trained"]["done"], first["published"]["runs"]) == (None, 2, 2)
    assert len(runs_on(hub)) == 2

    add_model(hub, folder, 7)
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_select", *UPDATE],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    events, end = folder / "record" / ".work" / "events.jsonl", time.monotonic() + 60
    known = events.read_text().count('"done"')
    while events.read_text().count('"done"') == known:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    second = run(*UPDATE)
    assert second["crawled"]["accepted"] == 3
    assert second["trained"]["failed"] == 0
    assert runs_on(hub) == {
        (f"lab/m{m}", f"lab/{d}") for m in (0, 1, 7) for d in ("news", "reviews")
    }

    commits = len(hub.commits("dataset", "lab/record"))
    third = run(*UPDATE)
    assert (third["trained"]["done"], third["published"]) == (0, {})
    assert len(hub.commits("dataset", "lab/record")) == commits


def test_a_catalog_without_benchmarks_is_refused_before_anything_is_asked(world) -> None:
    hub, run, _, folder = world
    catalog = json.loads((folder / "catalog" / "catalog.json").read_text())
    (folder / "catalog" / "catalog.json").write_text(json.dumps({**catalog, "datasets": []}))
    hub.log.clear()
    refused = run(*UPDATE, code=2)
    assert "crawl datasets" in refused["error"]["hint"]
    assert not hub.log
    assert not (folder / "record").exists()
