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
    elif what == "kill" or (what == "kill once" and len(list(folder.glob(f"{what}-*"))) == 1):
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
    from hf_select.training.cell_job import run_job

    if argument["model"]["repo_id"] == "m1":
        ctypes.string_at(0)
    run_job(argument, stop)


def slowly(argument, stop):
    """As the benchmark's job, but a step takes so long that a signal can hit the middle."""
    from hf_select.training.cell_job import run_job

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
            os.kill(os.getpid(), signal.SIGABRT)
        return stop()

    run_model_job(argument, deadly_stop)


def look_slowly(argument, stop):
    """As the scoring's job, but there is time for a kill before each data set."""
    from hf_select.training.scoring import run_model_job

    def slow_stop():
        time.sleep(0.3)
        return stop()

    run_model_job(argument, slow_stop)


def counted(argument, stop):
    """As the benchmark's job, but each split that is encoded is a line in a file."""
    from hf_select.tasks.text import TextClassification
    from hf_select.training.cell_job import run_job

    encode = TextClassification.encode

    def count(self, processor, split, *, max_length):
        with (Path(argument["results"]) / "encoded.txt").open("a") as file:
            file.write(f"{len(split)}\n")
        return encode(self, processor, split, max_length=max_length)

    TextClassification.encode = count
    run_job(argument, stop)


def prepare(argument):
    """As `act`, before its turn: `argument` = (what to do, folder)."""
    what, folder = argument
    folder = Path(folder)
    (folder / f"{what}-{os.getpid()}.preparing").touch()
    if "raise early" in what:
        raise ValueError("no such thing as 2.5 heads")
    if "leave early" in what:
        raise SystemExit(0)
    if "kill early" in what:
        os.kill(os.getpid(), signal.SIGKILL)
    if "prepare for ever" in what:
        time.sleep(600)
    seen = (os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("HF_SELECT_JOB_BEGAN"))
    (folder / f"{what}.prepared").write_text(repr(time.time()))
    return what, folder, seen


def act_prepared(argument, stop):
    """What `prepare` has left: sleep, wait to be stopped, or say what is visible."""
    what, folder, seen = argument
    (folder / f"{what}.began").write_text(repr(time.time()))
    if what.startswith("sleep"):
        time.sleep(1.0)
    elif what.startswith("until stopped"):
        while not stop():
            time.sleep(0.01)
        raise StoppedError("stopped")
    elif what.startswith("describe"):
        now = os.environ.get("CUDA_VISIBLE_DEVICES")
        late = time.time() - float(os.environ["HF_SELECT_JOB_BEGAN"])
        (folder / f"{what}.described").write_text(repr((*seen, now, 0 <= late < 30)))
    (folder / f"{what}.ended").write_text(repr(time.time()))


def keep(argument):
    """Before its turn, a job sees no device; torch is asked, as a library would."""
    import torch

    if torch.cuda.is_available() or torch.cuda.is_initialized():
        raise AssertionError("a device was seen before the turn")
    return argument


def ask_the_driver(argument):
    """What must not happen before the turn."""
    import torch

    torch._C._cuda_getDeviceCount()
    return argument


def device(argument, stop):
    """Say where a tensor lies."""
    import torch

    with (Path(argument) / "devices").open("a") as file:
        file.write(f"{torch.ones(1).to('cuda').device}\n")


def slowly_counted(argument, stop):
    """As `slowly`, and a file grows by a byte a step, for whoever waits for the middle."""
    from hf_select.training.cell_job import run_job

    def slow_stop():
        with (Path(argument["results"]) / "steps").open("a") as file:
            file.write(".")
        time.sleep(0.05)
        return stop()

    run_job(argument, slow_stop)
