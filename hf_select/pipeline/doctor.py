"""Is all here that a run needs? What a doctor looks at, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hf_select.environment import library_versions, version_of
from hf_select.errors import HfSelectError
from hf_select.files import is_writable
from hf_select.launched import busy_cores
from hf_select.locations import demo_folder
from hf_select.progress import stage
from hf_select.redaction import redact
from hf_select.results.repo import ResultsRepo

LEVELS = ("ok", "note", "problem")
"""Fine; good to know; something that will break."""
PACKAGE = "hf-select"
EXTRAS = {
    "ray": ("ray", "--executor ray"),
    "slurm": ("submitit", "--executor slurm"),
    "figures": ("resvg_py", "`report --png`"),
}
"""Extra -> the module by which it is known to be installed, and what needs it."""
TRACKERS = ("tensorboard", "trackio")
LITTLE, TOO_LITTLE = 5e9, 0.5e9
"""Bytes of free disk below which a few models fill it, and below which none fits."""
PATIENCE = 3.0
"""Seconds that the Hub may take to answer, and that the cache's files are counted for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `todo`: what to do about it, "" where there is nothing."""

    what: str
    level: str
    text: str
    todo: str = ""


@stage("looking at this machine")
def doctor() -> dict[str, Any]:
    """Versions, devices, the Hub, disk, cache, threads, extras, and the shipped record.

    Nothing is changed, and nothing raises: trouble is a finding. JSON-able; `ok` is False if
    anything was found that will break a run.
    """
    from huggingface_hub import constants

    hub = hub_state()
    cache = Path(constants.HF_HUB_CACHE)
    problems = ResultsRepo.open(demo_folder() / "results").verify()
    devices, torch = _devices()
    findings = [
        *_libraries(),
        torch,
        _hub(hub),
        _token(hub),
        _room("current folder", Path.cwd()),
        _room("cache", cache),
        _cached(cache),
        _threads(),
        *_extras(),
        Finding("demo record", "ok", "whole")
        if not problems
        else Finding("demo record", "problem", "; ".join(problems), _again()),
    ]
    return with_findings(
        {
            "versions": {**library_versions(), "huggingface_hub": version_of("huggingface_hub")},
            "devices": devices,
            "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
            "cache": str(cache),
            "hub": hub,
            "demo": "whole" if not problems else "; ".join(problems),
        },
        findings,
    )


def with_findings(document: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The document with more findings, and whether all is well."""
    found = [*document.get("findings", []), *map(asdict, findings)]
    return {**document, "findings": found, "ok": all(f["level"] != "problem" for f in found)}


# ---------------------------------------------------------------------------------- software


def _libraries() -> Iterator[Finding]:
    """Whether every dependency is there, in a version that will do."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        yield Finding("libraries", "note", f"{PACKAGE} runs from its sources: nothing to compare")
        return
    bad = []
    for one in wanted:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(one.name)
        except PackageNotFoundError:
            bad.append((one, "not installed"))
            continue
        if not one.specifier.contains(there, prereleases=True):
            bad.append((one, f"{there} is installed"))
    for requirement, what in bad:
        words = f"{requirement.name}{requirement.specifier}"
        yield Finding("libraries", "problem", f"{words}: {what}", f"pip install '{words}'")
    if not bad:
        yield Finding("libraries", "ok", f"{PACKAGE} {version(PACKAGE)} has all that it needs")
    if find_spec("evaluate") is None:
        yield Finding("evaluate", "problem", "not installed", "pip install evaluate")
    else:
        yield Finding("evaluate", "ok", f"{version_of('evaluate')}: any of its metrics by name")


def _extras() -> Iterator[Finding]:
    for extra, (module, wants) in EXTRAS.items():
        if find_spec(module) is None:
            text = f"not installed: {wants} needs it"
            yield Finding(f"extra {extra}", "note", text, f"pip install '{PACKAGE}[{extra}]'")
        else:
            yield Finding(f"extra {extra}", "ok", version_of(module))
    here = [name for name in TRACKERS if find_spec(name) is not None]
    missing = [name for name in TRACKERS if name not in here]
    text = f"--log-with {' or '.join(here)}" if here else "none for --log-with"
    todo = f"pip install {' '.join(missing)}" if missing else ""
    yield Finding("trackers", "note" if missing else "ok", text, todo)


def _again() -> str:
    return f"pip install --force-reinstall --no-deps {PACKAGE}"


# ----------------------------------------------------------------------------------- machine


def _devices() -> tuple[list[str], Finding]:
    """The GPUs that torch sees, with their memory, or the CPU."""
    cores = f"cpu ({os.cpu_count()} cores)"
    try:
        import torch
    except (ImportError, OSError) as error:  # a library that it needs is missing, say
        text = f"torch can't be imported: {error}"
        return [cores], Finding("devices", "problem", text, "pip install torch")
    found = []
    for i in range(torch.cuda.device_count()):
        there = torch.cuda.get_device_properties(i)
        found.append(f"{there.name} ({there.total_memory / 2**30:.0f} GiB)")
    if found:
        return found, Finding("devices", "ok", ", ".join(found))
    if shutil.which("nvidia-smi") is not None:
        return [cores], Finding(
            "devices",
            "note",
            f"{cores}: there is an NVIDIA driver, but torch {torch.__version__} sees no GPU",
            "install a CUDA build of torch (pytorch.org), and look at CUDA_VISIBLE_DEVICES",
        )
    return [cores], Finding("devices", "ok", f"{cores}, no GPU")


def _threads() -> Finding:
    said = os.environ.get("OMP_NUM_THREADS")
    text = f"OMP_NUM_THREADS={said}" if said else f"all {os.cpu_count()} cores"
    busy = busy_cores()
    if busy:
        return Finding("threads", "note", f"{text}; {busy}", "export OMP_NUM_THREADS=1")
    return Finding("threads", "ok", text)


def _room(what: str, folder: Path) -> Finding:
    """Whether there is room, and the right to write."""
    there = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    text = f"{folder}: {free / 1e9:.1f} GB free"
    elsewhere = "HF_HOME names another place" if what == "cache" else "--out names another place"
    if not is_writable(folder):
        # Results can go elsewhere; without a cache nothing of the Hub can be had.
        level = "problem" if what == "cache" else "note"
        return Finding(what, level, f"{folder} can't be written to", elsewhere)
    if free < TOO_LITTLE:
        return Finding(what, "problem", text, f"make room; {elsewhere}")
    if free < LITTLE:
        return Finding(what, "note", f"{text}: a few models fill that", elsewhere)
    return Finding(what, "ok", text)


def _cached(cache: Path) -> Finding:
    """How much the cache holds; a big one isn't counted to the end."""
    started, total, whole = time.monotonic(), 0, True
    for folder, _, names in os.walk(cache):
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                try:
                    total += path.stat().st_size
                except OSError:  # removed meanwhile
                    continue
        if time.monotonic() - started > PATIENCE:
            whole = False
            break
    amount = f"{'' if whole else 'more than '}{total / 1e9:.1f} GB"
    todo = "`hf cache` shows what is in it, and removes it" if total > 50e9 else ""
    return Finding("cache size", "note" if todo else "ok", amount, todo)


# --------------------------------------------------------------------------------------- Hub


def hub_state() -> dict[str, Any]:
    """Which Hub, as whom, and whether it answers: one request; trouble is told, not raised.

    `token` says whether there is one, never which.
    """
    from huggingface_hub import constants, get_token

    from hf_select.errors import SetupError
    from hf_select.hub.client import Hub

    user, problem, reachable, setup = None, "", False, False
    try:
        hub = Hub(attempts=1, timeout=PATIENCE)
        if get_token():
            user = hub.user()
        else:
            hub.get_page("/api/models", {"limit": 1}, what="a look at the Hub")
        reachable = True
    except SetupError as error:
        problem, setup = error.message, not constants.is_offline_mode()
    except HfSelectError as error:
        problem = f"not reachable: {error.message}"
        setup = "user or password" in error.message
    return {
        "endpoint": redact(constants.ENDPOINT),
        "user": user,
        "token": bool(get_token()),
        "reachable": reachable,
        "offline": constants.is_offline_mode(),
        "problem": problem,
        "setup": setup,
    }


def _hub(state: Mapping[str, Any]) -> Finding:
    where = state["endpoint"]
    if state["offline"]:
        text = f"{where}, offline mode (HF_HUB_OFFLINE): only what the cache holds"
        return Finding("hub", "note", text, "unset HF_HUB_OFFLINE to reach it")
    if state["setup"]:
        todo = "look at HF_TOKEN (`hf auth login`) and at HF_ENDPOINT"
        return Finding("hub", "problem", f"{where}: {state['problem']}", todo)
    if state["problem"]:
        todo = "look at the network and at HF_ENDPOINT; HF_HUB_OFFLINE=1 works with the cache alone"
        return Finding("hub", "note", f"{where}: {state['problem']}", todo)
    who = f"as {state['user']}" if state["user"] else "without a token"
    return Finding("hub", "ok", f"{where}, reachable {who}")


def _token(state: Mapping[str, Any]) -> Finding:
    if state["token"]:
        return Finding("token", "ok", "there is one")
    todo = "`hf auth login`, to publish and to read what is private or gated"
    return Finding("token", "note", "none", todo)
