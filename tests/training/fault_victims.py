"""What other processes do in `test_faults.py`; most are killed at a named point of it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import tinytrial

from hf_select.training.executors.local import PRELOAD

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([PRELOAD])
SAVED_EVERY = 2  # steps


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_code(function: Any, *arguments: Any) -> int:
    """How a process ends that calls it."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def train(model: Path, data: Path, folder: Path, dies_at: int) -> None:
    """Go on with a trial to its end, and keep what has come out; or be killed after a step."""
    import torch

    from hf_select.tasks.data import load_target
    from hf_select.training.trial import AccelerateTrial

    torch.set_num_threads(1)
    checkpoints = folder / "checkpoints"

    def after_step(trial: AccelerateTrial) -> None:
        steps = round(trial.epochs_trained * trial._steps_per_epoch)
        if steps % SAVED_EVERY == 0:
            trial.save(checkpoints)
        if steps == dies_at:
            die()

    target = load_target(data, task="text-classification")
    trial = AccelerateTrial("tiny", model, target, tinytrial.RECIPE, on_step=after_step)
    trial.load(checkpoints)
    began = trial.epochs_trained * trial._steps_per_epoch
    trial.advance(2)
    curve = {k: v for k, v in trial.curve.to_dict().items() if k != "seconds"}
    kept = {"weights": trial.module.state_dict(), "optimizer": trial._optimizer.state_dict()}
    torch.save({**kept, "curve": curve, "test": trial.test(), "began": began}, folder / "end.pt")


def write_checkpoint(folder: Path, point: str) -> None:
    """The second checkpoint, killed at: state (written), rename, remove (the older one)."""
    from hf_select.training import checkpoint

    fsync, rmtree = os.fsync, shutil.rmtree

    def after_fsync(descriptor: int) -> None:
        fsync(descriptor)
        die()

    def remove(path: Path, **values: Any) -> None:
        if path.name.startswith(checkpoint.PREFIX):
            die()
        rmtree(path, **values)

    if point == "state":
        os.fsync = after_fsync
    elif point == "rename":
        Path.rename = lambda *_: die()
    else:
        shutil.rmtree = remove
    checkpoint.write(folder, meta={"step": 2}, state={})


def run_job(argument: Any, point: str = "", barrier: Any = None) -> None:
    """A cell, killed at: rename (of its record, which is written), written (in its place)."""
    import torch

    from hf_select.training import cell_job

    torch.set_num_threads(1)
    replace, rmtree = Path.replace, shutil.rmtree

    def rename(self: Path, target: Path) -> Path:
        if target.parent.name == "finished":
            die()
        return replace(self, target)

    def remove(path: Path, **values: Any) -> None:
        if path.parent.name == "trials":
            die()
        rmtree(path, **values)

    if point == "rename":
        Path.replace = rename
    elif point == "written":
        shutil.rmtree = remove
    if barrier is not None:
        barrier.wait()
    cell_job.run_job(argument, lambda: False)


def take_in(catalog: Path, results: Path, point: str) -> None:
    """A benchmark's parent, killed at: append (nothing is taken in), unlink (all of it is)."""
    from hf_select.catalog import Catalog
    from hf_select.results.repo import ResultsRepo
    from hf_select.training import benchmark

    unlink = Path.unlink

    def remove(self: Path, **values: Any) -> None:
        if self.parent.name == "finished":
            die()
        unlink(self, **values)

    if point == "append":
        ResultsRepo.append = lambda *_, **__: die()
    else:
        Path.unlink = remove
    benchmark.run_benchmark(Catalog.load(catalog), ResultsRepo.open(results), tinytrial.RECIPE)


def run_jobs_on_a_small_disk(cells: list[Any], trials: Path, size: int, kept: Path) -> None:
    """Cell after cell, their checkpoints on a disk of so many bytes; `kept` is what is left."""
    from own_mounts import mount_here

    mount_here(trials, size)
    for argument in cells:
        run_job(argument)
    shutil.copytree(trials, kept)


def stop(argument: Any, asked: Any) -> None:
    """A job that has no room for its result."""
    from hf_select.errors import StoppedError

    raise StoppedError("no room")
