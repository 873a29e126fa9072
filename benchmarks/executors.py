"""How the wall-clock of N cells falls with workers, and what a cell costs beyond its own work.

Two tables. *Simulated*: cells that only sleep, so that there can be more workers than cores, by
each
executor: what is left over the ideal, ceil(N / workers) x seconds, is the executor's own. *Real*: a
matrix of tiny models on this machine's cores.

    python benchmarks/executors.py [--cells 24] [--seconds 1] [--workers 1,2] [--executors local]

Prints both tables, writes them into docs/results.md, and JSON beside the other benchmarks'.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from live_support import JSON, PAGE, markdown, publish, say

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "training")]
os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])


WORDS = """\
## What an executor adds to a cell, and how the wall-clock falls with workers

Made by `python benchmarks/executors.py`, on {cores} cores. First {cells} cells that only sleep for
{seconds:g} s, so that workers stand for devices; what is above the ideal, by the rounds of cells,
is the executor's own. A first round of empty cells is counted apart: it starts the fork server, the
cluster, the first processes. `slurm` is submitit's local executor. A job of Ray's or SLURM's is a
Python process of its own, which many workers start at once on few cores."""
REAL = """\
Then real cells: fine-tunings of a DistilBERT with one layer of 16, a process each on this machine,
one thread a job. What is left of a worker's time beside its trainings, a cell:"""


def sleeps(argument: float, stop: Any) -> None:
    """A cell that only takes time."""
    time.sleep(argument)


def simulated(executor: str, workers: int, cells: int, seconds: float) -> dict[str, Any]:
    """Seconds of sleeping cells, with what an executor needs to be up counted apart.

    The start is that of a first round of one empty cell a worker by an executor of its own.
    """
    from executors import sleeps as cell  # by its name, as another process finds it

    from hf_select.training.executors.base import Job
    from hf_select.training.executors.engine import Engine

    options = {"local": {}, "ray": {"num_cpus": "0.1"}, "slurm": {"cluster": "local"}}[executor]
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(executor, options)

        def run(count: int, length: float) -> float:
            made = engine.start(cell, logs=Path(folder) / "logs", jobs=workers)
            jobs = [Job(f"cell{i}", length) for i in range(count)]
            ended: list[Any] = []
            began = time.perf_counter()
            made.run(jobs, on_end=ended.append)
            assert [outcome.status for outcome in ended] == ["ok"] * count, ended
            return time.perf_counter() - began

        up = run(workers, 0.0)
        took = run(cells, seconds)
    ideal = math.ceil(cells / workers) * seconds
    rounds = math.ceil(cells / workers)
    return {
        "executor": executor,
        "workers": workers,
        "cells": cells,
        "cell_seconds": seconds,
        "first_round_seconds": up,
        "seconds": took,
        "ideal": ideal,
        "overhead_per_cell": (took - ideal) / rounds,
        "speedup": cells * seconds / took,
    }


def real(workers: int, cells: int) -> dict[str, Any]:
    """Seconds of tiny fine-tunings, each in a process of its own, by `run_benchmark`."""
    import tinytrial

    from hf_select.results.repo import ResultsRepo
    from hf_select.training.benchmark import run_benchmark

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        catalog = tinytrial.make_catalog(place / "zoo", models=2, datasets=2, train=400)
        repo = ResultsRepo.open_or_create(place / "results")
        seeds = range(cells // 4)
        began = time.perf_counter()
        summary = run_benchmark(catalog, repo, tinytrial.RECIPE, seeds=seeds, jobs=workers)
        took = time.perf_counter() - began
        inside = sum(run.seconds for run in repo.runs())
    assert summary.done == 4 * len(seeds), summary
    return {
        "workers": workers,
        "cells": summary.done,
        "seconds": took,
        "training_seconds": inside,
        "outside_per_cell": (took * workers - inside) / summary.done,
    }


def main() -> None:
    """Print the tables, write them to the page, and the JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cells", type=int, default=16)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--workers", default="1,2,4,8")
    options.add_argument("--executors", default="local,ray,slurm")
    options.add_argument("--real", default="1,2", help="workers of real cells")
    options.add_argument("--page", type=Path, default=PAGE)
    options.add_argument("--json", type=Path, default=JSON / "executors.json")
    chosen = options.parse_args()
    workers = [int(n) for n in chosen.workers.split(",")]
    sleeping, trained = [], []
    for executor in chosen.executors.split(","):
        for number in workers:
            say(f"{executor}, {number} workers")
            sleeping.append(simulated(executor, number, chosen.cells, chosen.seconds))
    for number in map(int, chosen.real.split(",")):
        say(f"real cells, {number} workers")
        trained.append(real(number, chosen.cells))
    found = {"simulated": sleeping, "real": trained}
    publish("executors", page(sleeping, trained), found, chosen.page, chosen.json)


def page(sleeping: list[dict[str, Any]], trained: list[dict[str, Any]]) -> str:
    """Both tables as the section of the page."""
    first = sleeping[0]
    simulated_rows = [
        [
            row["executor"],
            row["workers"],
            f"{row['ideal']:.1f}",
            f"{row['seconds']:.1f}",
            f"{row['speedup']:.1f}",
            f"{1000 * row['overhead_per_cell']:.0f}",
            f"{row['first_round_seconds']:.1f}",
        ]
        for row in sleeping
    ]
    real_rows = [
        [
            row["workers"],
            row["cells"],
            f"{row['seconds']:.1f}",
            f"{row['training_seconds']:.1f}",
            f"{1000 * row['outside_per_cell']:.0f}",
        ]
        for row in trained
    ]
    columns = ["executor", "workers", "ideal, s", "took, s", "speed-up", "ms a cell", "start, s"]
    reals = ["workers", "cells", "took, s", "in trainings, s", "else, ms a cell"]
    what = WORDS.format(
        cores=len(os.sched_getaffinity(0)), cells=first["cells"], seconds=first["cell_seconds"]
    )
    parts = [
        what,
        "",
        *markdown(columns, simulated_rows),
        "",
        REAL,
        "",
        *markdown(reals, real_rows),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
