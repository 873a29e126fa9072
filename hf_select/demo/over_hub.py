"""`demo --hub`: crawl, publish, pull, select and push against a small Hub on 127.0.0.1.

Every step is the command that a user would type, in a process of its own, through the real client
and real HTTP. Alice keeps a record; Bob, with another account and another cache, chooses from it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_select.catalog import Catalog
from hf_select.demo.hub_server import LocalHub
from hf_select.demo.run import judge
from hf_select.demo.targets import DEMO_TASKS, check_demo_task, write_target
from hf_select.errors import HfSelectError, InputError
from hf_select.locations import demo_folder
from hf_select.records import ModelEntry
from hf_select.selection.folder import DOCUMENT

RECORD, WINNER = "lab/fine-tunings", "bob/demo-winner"
ALICE, BOB = "hf_alice", "hf_bob"
KINDS = (
    ("listing", re.compile(r"GET /api/(models|datasets)$")),
    ("file tree", re.compile(r"GET /api/.*/tree/|POST /api/.*/paths-info/")),
    ("commit", re.compile(r"POST /api/.*/(commit|preupload)/")),
    ("upload", re.compile(r"PUT |POST .*/info/lfs/|POST /lfs-verify")),
    ("file", re.compile(r"GET .*/resolve/")),
    ("file head", re.compile(r"HEAD ")),
)


@dataclass(frozen=True)
class Step:
    """One command and what it did on the wire; bytes are those of bodies."""

    name: str
    who: str
    command: str
    output: str
    seconds: float
    requests: dict[str, int]
    bytes_down: int
    bytes_up: int


def run_hub_demo(
    task: str,
    out: Path,
    *,
    top: int | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, Any]:
    """Run all steps for `image` or `text`; `on_step` is told of each when it is done.

    Returns the select document plus `oracle`, `regret` and `steps`. Raises `HfSelectError` with
    what the command said if a step fails.
    """
    check_demo_task(task)
    if top is not None and top < 1:
        raise InputError(f"top is {top}, but must be at least 1")
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise InputError(f"{out} is not empty", hint="name a new folder with --out")
    target = write_target(task, out / "target")
    with LocalHub() as hub:
        stock(hub, Catalog.load(demo_folder()))
        steps = []
        for name, token, command in _commands(DEMO_TASKS[task], target, top):
            steps.append(_run(hub, out, name, token, command))
            on_step(steps[-1])
    document = json.loads((out / "chosen" / DOCUMENT).read_text(encoding="utf-8"))
    oracle, regret = judge(task, document["winner"]["model"])
    return {
        **document,
        "oracle": oracle,
        "regret": regret,
        "steps": [asdict(step) for step in steps],
    }


def _commands(task: str, target: Path, top: int | None) -> list[tuple[str, str, list[str]]]:
    """Name, token and arguments of each step; paths are relative to the demo's folder."""
    head = "Image" if task == "image-classification" else "Sequence"
    load = (
        f"from transformers import AutoModelFor{head}Classification as Auto; "
        f"print(Auto.from_pretrained('{WINNER}').config.id2label)"
    )
    where = str(target.relative_to(target.parents[1]))
    # The models are on this Hub, the benchmarks' data only in the starter zoo.
    publish = ["publish", "--results", "demo", "--to", RECORD, "--allow-local"]
    crawl = ["crawl", "models", "--task", task, "--license", "apache-2.0", "--max-params", "10M"]
    select = ["select", where, "--results", RECORD, "--out", "chosen"]
    select += [] if top is None else ["--top", str(top)]
    return [
        ("crawl", ALICE, ["hf-select", *crawl, "--out", "catalog"]),
        ("publish", ALICE, ["hf-select", *publish]),
        ("publish again", ALICE, ["hf-select", *publish]),
        ("pull", BOB, ["hf-select", "pull", RECORD, "--results", "record", "--task", task]),
        ("select", BOB, ["hf-select", *select]),
        ("push", BOB, ["hf-select", "push", "chosen", "--to", WINNER]),
        ("load", BOB, ["python", "-c", load]),
    ]


def _run(hub: LocalHub, out: Path, name: str, token: str, command: Sequence[str]) -> Step:
    before = len(hub.log)
    started = time.perf_counter()
    program = [sys.executable, *(["-m", "hf_select"] if command[0] == "hf-select" else [])]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(out / "homes" / ("alice" if token == ALICE else "bob")),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",  # the zoo's models are too small to share between cores
    }
    done = subprocess.run(
        [*program, *command[1:]],
        cwd=out,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise HfSelectError(
            f"the demo's step {name!r} ended with exit code {done.returncode}: "
            f"{lines[-1] if lines else 'it said nothing'}"
        )
    requests = hub.log[before:]
    return Step(
        name=name,
        who="alice" if token == ALICE else "bob",
        command=shlex.join(command),
        output=done.stdout.rstrip(),
        seconds=round(time.perf_counter() - started, 2),
        requests=dict(Counter(_kind(f"{r.method} {r.path}") for r in requests)),
        bytes_down=sum(r.bytes_out for r in requests),
        bytes_up=sum(int(r.headers.get("content-length", 0)) for r in requests),
    )


def _kind(request: str) -> str:
    return next((name for name, pattern in KINDS if pattern.match(request)), "other")


# ------------------------------------------------------------------------- what the Hub holds


def stock(hub: LocalHub, catalog: Catalog) -> None:
    """The starter zoo under the commits of its record, and models that a crawl turns down."""
    for rank, entry in enumerate(catalog.models):
        hub.add(
            "model",
            entry.repo_id,
            _files(catalog, entry),
            commit=entry.revision,
            downloads=1000 - rank,
        )
    entry = next(e for e in catalog.models if e.task == "image-classification")
    files = _files(catalog, entry)
    settings = json.loads(files["config.json"])
    for name, changed, options in (
        ("pickled", {"model.safetensors": None, "pytorch_model.bin": b"\x80\x04."}, {}),
        (
            "own-code",
            {"config.json": json.dumps({**settings, "auto_map": {"AutoModel": "m.M"}})},
            {},
        ),
        ("gated", {}, {"gated": "manual"}),
        ("disabled", {}, {"disabled": True}),
        ("copy", {}, {}),
        ("no-licence", {"README.md": "---\npipeline_tag: image-classification\n---\n"}, {}),
        ("adapter", {"README.md": _card(entry, "adapter")}, {}),
        ("quantised", {"README.md": _card(entry, "quantized")}, {}),
    ):
        kept = {path: data for path, data in {**files, **changed}.items() if data is not None}
        hub.add("model", f"others/{name}", kept, **options)


def _files(catalog: Catalog, entry: ModelEntry) -> dict[str, Any]:
    folder = catalog.location(entry.repo_id)
    if folder is None:
        raise InputError(f"{entry.repo_id} of the starter zoo has no folder")
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def _card(entry: ModelEntry, relation: str) -> str:
    return (
        "---\nlicense: apache-2.0\npipeline_tag: image-classification\n"
        f"base_model: {entry.repo_id}\nbase_model_relation: {relation}\n---\n"
    )
