"""What other processes do in the tests of the results repository; some are killed at it.

Imports little, because every process that is started imports it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

from results.made import run

from hf_select import files
from hf_select.records import RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.results.schema import Row
from hf_select.results.state import Rows

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "hf_select.results.repo"])


def compact_in_a_process(path: Path) -> None:
    ResultsRepo.open(path).compact()


def die_at(path: Path, step: int) -> None:
    """Compact, and be killed before the n-th change to the file system."""
    count = 0

    def counted(real):
        def call(*args, **values):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **values)

        return call

    Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
    shutil.rmtree = counted(shutil.rmtree)
    ResultsRepo.open(path).compact()


def die_in_append(path: Path) -> None:
    repo = ResultsRepo.open(path)
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    repo.append([run("lost")])


def add(repo: ResultsRepo, rows: Rows, **values: str) -> list[Path]:
    """Append rows of every kind."""
    return repo.append(
        rows.runs,
        models=rows.models,
        datasets=rows.datasets,
        proxies=rows.proxies,
        recipes=rows.recipes,
        **values,
    )


def die_at_shard(path: Path, source: Path, step: int) -> None:
    """Append what `source` has, and be killed before the n-th shard is in its place."""
    repo = ResultsRepo.open(path)
    real, count = Path.replace, 0

    def counted(*args: Path) -> Path:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    Path.replace = counted
    add(repo, ResultsRepo.open(source).state().rows())


def refuse_bad(row: Row) -> str | None:
    """What a compaction may be told to refuse."""
    return "it is bad" if isinstance(row, RunRecord) and row.key.model == "bad" else None


def die_setting_aside(path: Path) -> None:
    """Compact, and be killed between the reasons and the shard that they are about."""
    real = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if "quarantine" in target.parts and target.suffix == ".parquet":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, target)

    Path.replace = watched
    ResultsRepo.open(path).compact(refuse=refuse_bad)


def write_rows(path: Path, worker: int) -> None:
    repo = ResultsRepo.open_or_create(path)
    for n in range(8):
        repo.append([run(f"w{worker}", f"d{n}"), run("shared", f"d{n}")], submitter=f"w{worker}")


def die_before_rename(path: Path) -> None:
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    files.write_atomic(path, b"new")
