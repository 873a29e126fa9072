"""Local records to publish, and what a results dataset on the local Hub holds, row by row."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

from results.made import RECIPE, dataset, model, run

from hf_select.hub.record import publish as room
from hf_select.records import RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import decode

publish = partial(room.publish, allow_local=True)
"""The tests' made-up models and data sets are not on the Hub."""


def grow(path: Path, models: str = "ab", datasets: str = "xy", **values) -> ResultsRepo:
    """A record with a run of each model on each dataset, all that it needs to be taken included.

    Models and datasets are named by letters; a run's score depends on its letters only.
    """
    repo = ResultsRepo.open_or_create(path)
    repo.append(
        [run(m, d, score(m, d), submitter="local", **values) for m in models for d in datasets],
        models=[model(m) for m in models],
        datasets=[dataset(d) for d in datasets],
        recipes=[RECIPE],
    )
    return repo


def score(model: str, dataset: str) -> float:
    """A made-up accuracy."""
    return 0.3 + (7 * ord(model[-1]) + 3 * ord(dataset[-1])) % 64 / 100


def cells(models: str = "ab", datasets: str = "xy") -> Counter[tuple[str, str]]:
    """Each of those runs once."""
    return Counter((m, d) for m in models for d in datasets)


def stored_rows(hub, repo_id: str, revision: str = "main") -> list:
    """Every row in the snapshot and in the inbox, as often as it is stored."""
    files = hub.files("dataset", repo_id, revision)
    manifest = json.loads(files["manifest.json"])
    derived = ("matrix", "clusters", "sizes")
    names = [e["path"] for e in manifest["snapshots"] if e["kind"] not in derived]
    names += [name for name in files if name.startswith("inbox/")]
    return [row for name in names for row in decode(files[name]).rows]


def stored_cells(hub, repo_id: str, revision: str = "main") -> Counter[tuple[str, str]]:
    """Model and dataset of every run that is stored, as often as it is."""
    rows = stored_rows(hub, repo_id, revision)
    return Counter((r.key.model, r.key.dataset) for r in rows if isinstance(r, RunRecord))


def snapshot_of(hub, repo_id: str) -> dict:
    """All that a test compares to see that nothing was written: files, commits, pull requests."""
    return {
        "files": hub.files("dataset", repo_id),
        "commits": hub.commits("dataset", repo_id),
        "pull requests": hub.pull_requests("dataset", repo_id),
    }


def files_in(folder: Path) -> dict[str, bytes]:
    """Content of all files below a folder, scratch left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".work" not in path.parts
    }
