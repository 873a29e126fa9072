"""Jobs that do what jobs do at their worst. Importable, as executors need them to be."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hf_select.errors import StoppedError


def act(argument, stop):
    """`argument` = (what to do, folder to leave files in)."""
    what, folder = argument
    folder = Path(folder)
    (folder / f"{what}-{os.getpid()}.started").touch()
    if what == "segfault":
        ctypes.string_at(0)
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "raise":
        sys.stdout.write("a line of output\n")
        sys.stdout.flush()
        raise ValueError("no such thing as 3.5 layers")
    elif what == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "grandchild.pid").write_text(str(child.pid))
        time.sleep(600)
    elif what.startswith("nap"):
        time.sleep(2)
    elif what == "until stopped once" and list(folder.glob("*.saved")):
        pass
    elif what.startswith("until stopped"):
        while not stop():
            time.sleep(0.01)
        (folder / f"{os.getpid()}.saved").touch()
        raise StoppedError("stopped")
    elif what == "describe":
        import torch

        total = (torch.ones(200, 200) @ torch.ones(200, 200)).sum().item()
        described = [
            os.environ["OMP_NUM_THREADS"],
            os.environ.get("CUDA_VISIBLE_DEVICES"),
            torch.get_num_threads(),
            total,
        ]
        (folder / "described").write_text(repr(described))
    (folder / f"{what}.ended").touch()


def die_for_m1(argument, stop):
    """As the benchmark's job, but model m1 brings the process down."""
    from hf_select.training.benchmark import run_job

    if argument["model"]["repo_id"] == "m1":
        ctypes.string_at(0)
    run_job(argument, stop)


def slowly(argument, stop):
    """As the benchmark's job, but a step takes so long that a signal can hit the middle."""
    from hf_select.training.benchmark import run_job

    def slow_stop():
        time.sleep(0.05)
        return stop()

    run_job(argument, slow_stop)


def hang(argument, stop):
    """Never ends."""
    time.sleep(600)


def look_and_die_for_m1(argument, stop):
    """As the scoring's job, but model m1 brings the process down after its first data set."""
    from hf_select.training.scoring import run_model_job

    calls = []

    def deadly_stop():
        calls.append(1)
        if argument.model.repo_id == "m1" and len(calls) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return stop()

    run_model_job(argument, deadly_stop)


def look_slowly(argument, stop):
    """As the scoring's job, but there is time for a kill before each data set."""
    from hf_select.training.scoring import run_model_job

    def slow_stop():
        time.sleep(0.3)
        return stop()

    run_model_job(argument, slow_stop)


def slowly_counted(argument, stop):
    """As `slowly`, and a file grows by a byte a step, for whoever waits for the middle."""
    from hf_select.training.benchmark import run_job

    def slow_stop():
        with (Path(argument["results"]) / "steps").open("a") as file:
            file.write(".")
        time.sleep(0.05)
        return stop()

    run_job(argument, slow_stop)
