"""Two hundred tiny cells while processes are killed at random: all there once, none twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import tinytrial

from hf_select.catalog import Catalog
from hf_select.results.repo import ResultsRepo
from hf_select.training.cells import missing_cells
from hf_select.training.events import BenchmarkEvent

SCRIPT = Path(__file__).with_name("benchmark_script.py")
SEEDS = 50  # x 2 models x 2 data sets
KILLS = 3.0  # seconds between two, at most


def start(folder, **more):
    command = [sys.executable, str(SCRIPT), str(folder / "catalog.json"), str(folder / "results")]
    options = {"seeds": list(range(SEEDS)), "jobs": 2, "checkpoint_every": 0, **more}
    command += [json.dumps(tinytrial.RECIPE.to_dict()), json.dumps(options)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def workers(parent):
    """The processes that train: what has left the group of the process that has started them."""
    try:
        below = psutil.Process(parent.pid).children(recursive=True)
        return [p.pid for p in below if os.getpgid(p.pid) == p.pid]
    except (psutil.NoSuchProcess, ProcessLookupError):
        return []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_two_hundred_cells_under_random_kills(tmp_path):
    catalog = tinytrial.make_catalog(tmp_path, train=52)
    catalog.save(tmp_path / "catalog.json")
    dice = random.Random(0)
    killed: Counter[str] = Counter()
    process = start(tmp_path)
    ends = time.monotonic() + 1500
    while time.monotonic() < ends:
        time.sleep(dice.uniform(0.2, KILLS))
        if process.poll() is not None:
            assert process.returncode in (0, -signal.SIGKILL), process.communicate()
            if process.returncode == 0:
                break
            process.communicate()
            process = start(tmp_path)
            continue
        victims = workers(process)
        if dice.random() < 0.1:
            killed["parent"] += 1
            process.kill()
        elif victims:
            killed["worker"] += 1
            os.kill(dice.choice(victims), signal.SIGKILL)
    assert process.returncode == 0
    repo = ResultsRepo.open(tmp_path / "results")
    every = missing_cells(
        Catalog.load(tmp_path / "catalog.json"),
        ResultsRepo.create(tmp_path / "empty"),
        tinytrial.RECIPE,
        range(SEEDS),
    )
    assert len(every) == 4 * SEEDS
    runs = repo.runs()
    assert Counter(run.key.id for run in runs) == Counter(cell.key.id for cell in every)
    assert repo.verify() == []
    # one that was killed three times in a row is there with the reason
    assert all("killed by SIGKILL" in run.reason for run in runs if run.status != "ok")
    work = tmp_path / "results" / ".work"
    lines = (work / "events.jsonl").read_text().splitlines()
    seen = [BenchmarkEvent.from_json(line) for line in lines]
    done = Counter(event.key for event in seen if event.kind == "done")
    assert set(done.values()) == {1}
    after: set[str] = set()
    for event in seen:  # what is done is never begun again
        assert not (event.kind == "start" and event.key in after)
        if event.kind == "done":
            after.add(event.key)
    for name in ("trials", "finished", "locks"):
        assert not list((work / name).iterdir())
    unlucky = sum(run.status != "ok" for run in runs)
    sys.stderr.write(f"killed: {dict(killed)}; three times in a row: {unlucky} cells\n")
    calm = start(tmp_path, retry_failed=True)
    _, error = calm.communicate(timeout=600)
    assert calm.returncode == 0, error
    again = ResultsRepo.open(tmp_path / "results")
    assert {run.status for run in again.runs()} == {"ok"}
    assert len(again.runs()) == 4 * SEEDS
    assert killed["worker"] > 20, killed
    assert killed["parent"] > 1, killed
