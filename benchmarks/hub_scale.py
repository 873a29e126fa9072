"""What a large record costs on disk and on the wire, and how fast a large crawl is written down.

    python benchmarks/hub_scale.py [--models 100000] [--benchmarks 50] [--density 0.05]
                                   [--crawl 1000000] [--repeat 3]
                                   [--json benchmarks/results/hub_scale.json]

The record is synthetic (see synthetic_record.py). A recall reads it from a local Hub over HTTP, in
a fresh process with an empty cache, as `hf-select recall` does: the matrix, the clusters and sizes,
then entries and curves of the ten best; of three such processes the fastest counts. The crawl
decides on pages of made-up listing rows, saves them, and writes the catalog. `seconds` are those of
that work on the clock, `cpu_seconds` without what other programs took meanwhile, `process_seconds`
those of a whole process, imports and all.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from synthetic_record import TASK, listing_pages, write_record

from hf_select.files import sha256
from hf_select.results.manifest import MANIFEST

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "lab/record"
TARGETS = {"downloaded_mb": 10.0, "seconds": 2.0, "peak_mb": 1000.0, "crawled_per_second": 20_000.0}
CURVE = ("epochs", "val", "val_loss", "train_loss", "curve_seconds")
METHODS = ("mean", "rank")


# ------------------------------------------------------------------------------- on disk


def on_disk(folder: Path, cells: int) -> dict[str, Any]:
    """Sizes of files, and what a cell and a curve take."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    files = {entry["kind"]: entry["bytes"] for entry in manifest["snapshots"]}
    runs = next(entry["path"] for entry in manifest["snapshots"] if entry["kind"] == "runs")
    footer = pq.ParquetFile(folder / runs).metadata
    columns: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        for i in range(footer.num_columns):
            chunk = footer.row_group(group).column(i)
            name = chunk.path_in_schema.partition(".")[0]
            columns[name] = columns.get(name, 0) + chunk.total_compressed_size
    curve = {name: round(columns[name] / cells, 2) for name in CURVE}
    return {
        "files": files,
        "bytes_per_cell": round(files["matrix"] / cells, 2),
        "bytes_per_curve": round(sum(curve.values()), 2),
        "bytes_per_curve_by_column": curve,
        "bytes_per_run": round(files["runs"] / cells, 2),
    }


# --------------------------------------------------------------------------------- one recall


def recall_over_http(folder: Path, top: int, repeat: int) -> dict[str, Any]:
    """Serve the record as a dataset of a local Hub and recall from it: method -> the best run."""
    from hf_select.demo.hub_server import LocalHub

    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    found = {}
    with LocalHub() as hub:
        hub.add("dataset", REPOSITORY, files)
        for method in METHODS:
            runs = []
            for _ in range(repeat):
                before = len(hub.log)
                with tempfile.TemporaryDirectory() as home:
                    environment = {
                        "HF_ENDPOINT": hub.endpoint,
                        "HF_HOME": home,
                        "HF_HUB_OFFLINE": "0",
                        "HF_HUB_DISABLE_XET": "1",
                        "HF_HUB_DISABLE_TELEMETRY": "1",
                    }
                    run = in_a_process("--recall", method, "--top", top, **environment)
                runs.append({**run, "sent_bytes": sum(r.bytes_out for r in hub.log[before:])})
            best = min(runs, key=lambda run: run["seconds"])
            found[method] = {**best, "seconds_of_each": sorted(run["seconds"] for run in runs)}
    return found


def in_a_process(*arguments: object, **environment: str) -> dict[str, Any]:
    """What this file prints when it is called so, and how long that took."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "process_seconds": round(time.perf_counter() - began, 2)}


def recall_once(method: str, top: int) -> dict[str, Any]:
    """Phase one from a record on the Hub, and what phase two needs of it; both without a target."""
    from hf_select.hub.client import Hub
    from hf_select.hub.record.remote import HubRecord
    from hf_select.recall import recall_models

    hub, clock = Hub(), Clock()
    traffic: dict[str, dict[str, int]] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        requests, read = hub.requests, hub.bytes_read
        with clock.time(name):
            yield
        traffic[name] = {"bytes": hub.bytes_read - read, "requests": hub.requests - requests}

    with step("manifest"):
        record = HubRecord(hub, REPOSITORY)
    with step("matrix"):
        matrix = record.matrix(TASK)
    with step("clusters"):
        clustering = record.clustering(TASK)
    with step("sizes"):
        sizes = record.sizes(TASK)
    with step("ranking"):
        matrix = matrix.only_models([name for name in matrix.models if name in sizes])
        result = recall_models(
            method,
            target="a target",
            task=TASK,
            matrix=matrix,
            clustering=clustering,
            sizes=sizes,
            top=top,
        )
    names = [candidate.model for candidate in result.candidates]
    with step("entries"):
        entries = record.models(TASK, names)
    with step("curves"):
        curves = record.curves(TASK, models=names)
    if {entry.repo_id for entry in entries} != set(names) or set(curves.models) != set(names):
        raise RuntimeError("not all of the recalled models came back")
    return {
        "downloaded_bytes": hub.bytes_read,
        "requests": hub.requests,
        "seconds": round(sum(clock.seconds.values()), 3),
        "cpu_seconds": round(clock.busy, 3),
        "peak_mb": round(peak_memory() / 1e6, 1),
        "steps": {
            name: {"seconds": round(clock.seconds[name], 3), **counts}
            for name, counts in traffic.items()
        },
        "recalled": names,
    }


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


# ---------------------------------------------------------------------------------- the crawl


def crawl_speed(models: int, folder: Path) -> dict[str, Any]:
    """Decide on pages that are in memory, save each, then write the catalog's two files.

    Only what the Hub would be asked about single models is made up: of the 200 that are accepted
    each is found fine, and no base model is known.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.crawl.builder import CatalogBuilder
    from hf_select.hub.crawl.candidates import decide_page
    from hf_select.hub.crawl.lineage import Parent
    from hf_select.hub.crawl.models import LIMIT, MAX_PER_BASE
    from hf_select.hub.crawl.query import ModelQuery
    from hf_select.hub.crawl.shortlist import Candidate, Finding
    from hf_select.hub.crawl.state import CrawlState, Plan

    class WithoutHub(CatalogBuilder):
        def _ask(self, candidate: Candidate) -> Finding:
            return Finding(weights_sha256=sha256(candidate.id.encode()), num_parameters=10**8)

        def _ask_parent(self, name: str, asked: dict[str, Any]) -> Parent:
            return Parent()

    query = ModelQuery(task=TASK)
    plan = Plan(query, started="2026-01-01T00:00:00.000Z")
    loadable = frozenset(["bert", "roberta"])
    clock = Clock()
    with CrawlState(folder, f"models-{TASK}") as state:
        state.save_plan(plan)
        for number, page in enumerate(listing_pages(models, np.random.default_rng(0))):
            with clock.time("deciding"):
                table = decide_page(page, query, loadable)
            with clock.time("saving pages"):
                state.add_page(table, {"page": number})
        with clock.time("writing the catalog"):
            builder = WithoutHub(
                Hub(), state, plan, loadable=lambda: loadable, should_stop=lambda: False
            )
            builder.build(LIMIT, MAX_PER_BASE, lambda _: None)
    total = sum(clock.seconds.values())
    return {
        "models": models,
        "seconds": round(total, 2),
        "cpu_seconds": round(clock.busy, 2),
        "seconds_by_step": {name: round(value, 2) for name, value in clock.seconds.items()},
        "models_per_second": round(models / total),
        "models_per_cpu_second": round(models / clock.busy),
        "bytes_per_model": round((folder / "candidates.parquet").stat().st_size / models, 1),
        "peak_mb": round(peak_memory() / 1e6, 1),
    }


class Clock:
    """Seconds by what they were spent on, and the processor's seconds of all together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.busy = 0.0

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Count what is done inside."""
        began, busy = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
        self.busy += time.process_time() - busy


# -------------------------------------------------------------------------------- the report


def measure(
    models: int, benchmarks: int, density: float, crawl: int, top: int, repeat: int
) -> dict[str, Any]:
    """Everything, as the document that is written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        cells = write_record(folder, models, benchmarks, density)
        writing = time.perf_counter() - began
        document: dict[str, Any] = {
            "record": {
                "models": models,
                "benchmarks": benchmarks,
                "cells": len(cells),
                "seconds_to_make": round(writing, 1),
                **on_disk(folder, len(cells)),
            },
            "recall": recall_over_http(folder, top, repeat),
        }
    if crawl:
        document["crawl"] = in_a_process("--crawl-only", crawl)  # its memory is its own
    document["targets"] = met(document)
    return document


def met(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each target with what was measured."""
    recalls = document["recall"].values()
    found = {
        "downloaded_mb": max(recall["downloaded_bytes"] for recall in recalls) / 1e6,
        "seconds": max(recall["seconds"] for recall in recalls),
        "peak_mb": max(recall["peak_mb"] for recall in recalls),
    }
    if "crawl" in document:
        found["crawled_per_second"] = document["crawl"]["models_per_second"]
    return {
        name: {
            "target": TARGETS[name],
            "measured": round(value, 3),
            "met": value >= TARGETS[name]
            if name.endswith("per_second")
            else value <= TARGETS[name],
        }
        for name, value in found.items()
    }


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    record = document["record"]
    yield (
        f"{record['models']:,} models x {record['benchmarks']} benchmarks, {record['cells']:,} "
        f"cells: {record['bytes_per_cell']} bytes a cell, {record['bytes_per_curve']} a curve, "
        f"{record['bytes_per_run']} a run"
    )
    for kind, size in record["files"].items():
        yield f"  {kind:20} {size / 1e6:8.3f} MB"
    for method, recall in document["recall"].items():
        yield (
            f"recall by {method}: {recall['downloaded_bytes'] / 1e6:.2f} MB in "
            f"{recall['requests']} requests, {recall['seconds']} s (cpu {recall['cpu_seconds']} s, "
            f"the process {recall['process_seconds']} s), {recall['peak_mb']} MB of memory"
        )
        for name, step in recall["steps"].items():
            size = f"{step['bytes'] / 1e6:8.3f} MB" if step["bytes"] else ""
            yield f"  {name:20} {step['seconds']:7.3f} s {size}"
    if "crawl" in document:
        crawl = document["crawl"]
        yield (
            f"a crawl of {crawl['models']:,} models: {crawl['models_per_second']:,} a second "
            f"({crawl['models_per_cpu_second']:,} a cpu second), {crawl['bytes_per_model']} bytes "
            f"each, {crawl['peak_mb']} MB of memory"
        )
        for name, value in crawl["seconds_by_step"].items():
            yield f"  {name:20} {value:7.2f} s"
    for name, target in document["targets"].items():
        yield f"{'met   ' if target['met'] else 'MISSED'} {name}: {target['measured']}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--benchmarks", type=int, default=50)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--crawl", type=int, default=1_000_000, help="models; 0 leaves it out")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3, help="recalls by each method")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/hub_scale.json")
    parser.add_argument("--recall", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--crawl-only", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.recall:
        print(json.dumps(recall_once(options.recall, options.top)))
        return
    if options.crawl_only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(crawl_speed(options.crawl_only, Path(folder))))
        return
    document = measure(
        options.models,
        options.benchmarks,
        options.density,
        options.crawl,
        options.top,
        options.repeat,
    )
    for line in lines(document):
        print(line)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
