"""How the wall-clock of N cells falls with workers, and what a cell costs beyond its own work.

Two tables. *Simulated*: cells that only sleep, so that there can be more workers than cores, by
each
executor: what is left over the ideal, ceil(N / workers) x seconds, is the executor's own. *Real*: a
matrix of tiny models on this machine's cores.

    python benchmarks/executors.py [--cells 24] [--seconds 1] [--workers 1,2] [--executors local]

Prints tables, writes JSON beside this file's results folder (`--out`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "training")]
os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])


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
    """Print the tables, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cells", type=int, default=24)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--workers", default="1,2,4,8")
    options.add_argument("--executors", default="local,ray,slurm")
    options.add_argument("--real", default="1,2", help="workers of real cells")
    options.add_argument("--out", default=str(HERE.parent / "build" / "executors.json"))
    chosen = options.parse_args()
    numbers = [int(n) for n in chosen.workers.split(",")]
    rows = []
    print(f"{chosen.cells} cells that sleep {chosen.seconds:g} s")
    print(
        f"{'executor':<10}{'workers':>8}{'ideal':>9}{'took':>9}{'speed-up':>10}{'over a cell':>13}"
    )
    for executor in chosen.executors.split(","):
        for workers in numbers:
            row = simulated(executor, workers, chosen.cells, chosen.seconds)
            rows.append(row)
            print(
                f"{executor:<10}{workers:>8}{row['ideal']:>8.1f}s{row['seconds']:>8.1f}s"
                f"{row['speedup']:>9.1f}x{1000 * row['overhead_per_cell']:>10.0f} ms",
                flush=True,
            )
    print("\nreal cells: tiny fine-tunings")
    print(f"{'workers':>8}{'cells':>7}{'took':>9}{'training':>10}{'else, a cell':>14}")
    trained = []
    for workers in map(int, chosen.real.split(",")):
        row = real(workers, chosen.cells)
        trained.append(row)
        print(
            f"{workers:>8}{row['cells']:>7}{row['seconds']:>8.1f}s{row['training_seconds']:>9.1f}s"
            f"{1000 * row['outside_per_cell']:>11.0f} ms",
            flush=True,
        )
    out = Path(chosen.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"simulated": rows, "real": trained}, indent=1))
    print(f"\n{out}")


if __name__ == "__main__":
    main()
