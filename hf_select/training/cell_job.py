"""One cell: trained to its record, in this process or as a job of an executor.

A job leaves its record in `.work/finished`, where the process that runs the benchmark takes it in.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import (
    HfSelectError,
    HubError,
    LoneError,
    ModelError,
    StoppedError,
    TrialError,
)
from hf_select.files import claimed, write_atomic
from hf_select.launched import place
from hf_select.records import NAN, LearningCurve, ModelEntry, RunKey, RunRecord
from hf_select.results.repo import ResultsRepo
from hf_select.training.cells import Cell, recorded
from hf_select.training.events import BenchmarkEvent, OnEvent, cell_event, log_event
from hf_select.training.executors.base import job_began
from hf_select.training.machine import hardware, now, versions
from hf_select.training.throughput import Throughput, Totals

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.training.trial import AccelerateTrial, Prepared

DISK = "disk: "
"""How the reason begins of a run that there was no room for; tried again, it goes on."""
AGREE_SECONDS, MOST_STEPS = 2.0, 64
"""How often processes that train together ask whether one of them was asked to stop: seconds, and
steps at most."""
Fetch = Callable[[ModelEntry], Path]
"""Gives the folder of a Hub model. Jobs get it, so it can be imported by name."""


def run_cell(
    cell: Cell,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_event: OnEvent = lambda event: None,
    fetch: Fetch | None = None,
    micro_batch: int = 0,
    timeout: float | None = None,
    ready: Ready | None = None,
    on_throughput: Callable[[Throughput], None] = lambda throughput: None,
) -> RunRecord:
    """Fine-tune one cell, or go on with it from its checkpoint, and test it once.

    Processes that were launched to train together all call it. `fetch` gives the folder of a model
    that isn't here; `ready` is what was loaded ahead, by `prepare_cell`. `micro_batch`: rows in one
    backward pass to begin with, 0 = all. `timeout`: seconds that a training of several processes
    may take (no one else watches it). `on_throughput` hears at the end how fast it was, if it could
    be opened. What goes wrong with the model, the data or the training is in the record's status
    and reason. Raises `StoppedError`, with a checkpoint written, soon after `stop()` has become
    True, and `HubError` if the Hub can't be reached: that says nothing about the model.
    """
    began = time.perf_counter()
    trial: AccelerateTrial | None = None
    folder: Path | None = None
    baseline = NAN
    ready = ready or _load(cell, fetch)
    try:
        if _trains_together():
            from hf_select.training.agreement import agree_on_error

            agree_on_error(ready.error)
        baseline, folder = ready.baseline, ready.folder
        between_steps = _Checkpoints(cell, stop, timeout)
        trial = _trial(cell, ready, between_steps, micro_batch)
        trial.load(cell.scratch)
        on_event(cell_event(cell, "start", epoch=trial.epochs_trained))
        for rung in cell.recipe.rungs():
            if len(trial.curve) and rung <= trial.curve.epochs[-1]:
                continue
            curve = trial.advance(rung)
            between_steps(trial, at_rung=True)
            on_event(_point(cell, rung, curve, trial))
        score = trial.test()
        note = f"in parts of {trial.micro_batch} rows to fit memory" if trial.micro_batch else ""
        result: dict[str, Any] = {"status": "ok", "test": score, "reason": note}
    except StoppedError:
        on_event(cell_event(cell, "stopped", epoch=trial.epochs_trained if trial else NAN))
        raise
    except (HubError, LoneError):
        raise
    except TrialError as error:
        result = {"status": error.status, "reason": error.message}
    except HfSelectError as error:
        # a record is published: it says which model, not where it lies on this machine
        reason = error.message.replace(str(folder or cell.model.repo_id), cell.model.repo_id)
        result = {"status": "failed", "reason": reason}
    except MemoryError as error:
        if _trains_together():
            raise LoneError(f"out of memory: {error}", status="oom") from error
        result = {"status": "oom", "reason": f"out of memory: {error}"}
    except OSError as error:
        kind = DISK if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else ""
        if _trains_together() and not kind:  # of a full disk all are told when a trial is saved
            raise LoneError(str(error)) from error
        result = {"status": "failed", "reason": f"{kind}{error}"}
    if trial is not None:
        on_throughput(trial.throughput)
    return RunRecord(
        key=cell.key,
        task=cell.dataset.task,
        metric=cell.dataset.metric,
        curve=LearningCurve.empty() if trial is None else trial.curve,
        baseline=baseline,
        seconds=time.perf_counter() - began if trial is None else trial.seconds,
        hardware=hardware(),
        versions=versions(),
        submitter=cell.submitter,
        created=now(),
        **result,
    )


def _trains_together() -> bool:
    """Whether this process trains one model with others, which know nothing of its own errors."""
    return place().world > 1 and not place().apart


class _Checkpoints:
    """Called between steps: saves the trial when it is time to, stops it when asked to."""

    def __init__(self, cell: Cell, stop: Callable[[], bool], timeout: float | None = None) -> None:
        self._cell, self._stop, self._timeout = cell, stop, timeout
        self._began = self._saved = self._asked = time.monotonic()
        self._steps, self._every = 0, 1

    def __call__(self, trial: AccelerateTrial, *, at_rung: bool = False) -> None:
        stopping, now = self._stop(), time.monotonic()
        if trial.num_processes > 1:
            self._steps += 1
            if self._steps < self._every and not at_rung:
                return
            stopping, now = self._agree(stopping, now)
        if stopping or now - self._saved >= self._cell.checkpoint_every:
            trial.save(self._cell.scratch)
            self._saved = now
        if stopping:
            raise StoppedError(f"{trial.model}: stopped", hint="run it again to go on")

    def _agree(self, stopping: bool, now: float) -> tuple[bool, float]:
        """What holds for all that train together: all save at once, and clocks and signals differ.

        They ask each other every few seconds, by the first one's clock.
        """
        from hf_select.training.agreement import exchanged

        said = exchanged((stopping, now, self._began, self._saved))
        _, now, self._began, self._saved = said[0]
        if self._timeout is not None and now - self._began > self._timeout:
            raise TrialError(f"took longer than {self._timeout:g} seconds", status="timeout")
        pace = max(now - self._asked, 1e-6) / max(self._steps, 1)
        every = max(1, min(MOST_STEPS, int(AGREE_SECONDS / pace)))
        self._every = exchanged(every)[0]
        self._steps, self._asked = 0, now
        return any(stop for stop, *_ in said), now


def _model_folder(cell: Cell, fetch: Fetch | None) -> Path:
    if cell.model_location is not None:
        return cell.model_location
    if fetch is None:
        raise ModelError(
            f"{cell.model.repo_id} has no location", hint="its catalog must say where it is"
        )
    return fetch(cell.model)


@dataclass(frozen=True, eq=False)
class Ready:
    """What a cell needs before it has a device; `error` is what went wrong on the way there."""

    target: TargetData | None = None
    baseline: float = NAN
    folder: Path | None = None
    prepared: Prepared | None = None
    error: Exception | None = None


def _load(cell: Cell, fetch: Fetch | None, *, test: bool = False) -> Ready:
    """Data, model and encoded rows, on the CPU. An error is kept: `run_cell` raises it.

    `test`: the test split's rows as well.
    """
    from hf_select.training.encodings import DiskEncodings
    from hf_select.training.trial import prepare

    ready = Ready()
    try:
        target = _target(cell)
        ready = replace(ready, target=target, baseline=target.trivial("test"))
        folder = _model_folder(cell, fetch)
        ready = replace(ready, folder=folder)
        prepared = prepare(
            folder,
            target,
            cell.recipe,
            seed=cell.seed,
            name=cell.model.repo_id,
            cache=DiskEncodings(cell.work / "encoded"),
            test=test,
        )
        return replace(ready, prepared=prepared)
    except Exception as error:  # noqa: BLE001 - of any kind: it is raised where it always was
        return replace(ready, error=error)


def _trial(cell: Cell, ready: Ready, on_step: _Checkpoints, micro_batch: int) -> AccelerateTrial:
    from hf_select.training.trial import AccelerateTrial

    if ready.error is not None:
        raise ready.error
    assert ready.folder is not None
    assert ready.target is not None
    return AccelerateTrial(
        cell.model.repo_id,
        ready.folder,
        ready.target,
        cell.recipe,
        seed=cell.seed,
        revision=cell.model.revision,
        on_step=on_step,
        micro_batch=micro_batch,
        prepared=ready.prepared,
    )


def _target(cell: Cell) -> TargetData:
    from hf_select.tasks.data import load_benchmark

    return load_benchmark(cell.dataset, cell.dataset_location)


def _point(
    cell: Cell, epoch: float, curve: LearningCurve, trial: AccelerateTrial
) -> BenchmarkEvent:
    return cell_event(
        cell,
        "point",
        epoch=epoch,
        val=float(curve.val[-1]),
        val_loss=float(curve.val_loss[-1]),
        train_loss=float(curve.train_loss[-1]),
        memory=trial.peak_memory,
        seconds=trial.seconds,
    )


# ---------------------------------------------------------------------------------- as a job


def run_job(argument: Mapping[str, Any], stop: Callable[[], bool]) -> None:
    """One cell in a process of its own; leaves its record in `finished/`.

    A cell that another process is training, or has trained since the job was made, is left alone.
    `argument` is that of a cell's `to_dict`, and under `fetch` and `ready` what `run_cell` takes;
    `retry_failed`: a run that failed doesn't count. Without the Hub the cell is left undone, with
    an event that says why. Raises `StoppedError` if there is no room for the record.
    """
    began = job_began()
    cell, fetch, ready = _read_argument(argument)
    counted: list[Throughput] = []
    with claimed(cell.lock_file) as mine:
        # in this order: what is taken in between the two is in the repository then
        if not mine or cell.finished_file.exists() or _is_recorded(cell, argument):
            return
        try:
            record = run_cell(
                cell,
                stop=stop,
                on_event=lambda event: log_event(cell.work, event),
                fetch=fetch,
                ready=ready,
                on_throughput=counted.append,
            )
        except HubError as error:
            log_event(cell.work, cell_event(cell, "undone", reason=error.message))
            return
        try:
            leave(cell, record, counted, began)
        except OSError as error:  # not the model's: what was trained can be gone on from
            raise StoppedError(f"{cell.work} can't be written: {error}") from error


def _is_recorded(cell: Cell, argument: Mapping[str, Any]) -> bool:
    repo = ResultsRepo(cell.results)
    return cell.key.id in recorded(repo, bool(argument.get("retry_failed")))


def leave(
    cell: Cell, record: RunRecord, counted: Sequence[Throughput] = (), began: float = NAN
) -> None:
    """Write a record where the parent takes it in; nothing is needed to go on any more.

    `counted`: how fast it was, if it came so far; `began`: when its job did, since 1970.
    """
    finished = record_to_dict(record)
    if counted:
        totals = Totals.of(counted[0], job_seconds=time.time() - began)
        finished["throughput"] = totals.to_dict()
    write_atomic(cell.finished_file, json.dumps(finished).encode())
    forget(cell, record)


def forget(cell: Cell, record: RunRecord) -> None:
    """Remove the checkpoint of a cell that has come to an end.

    That of a full disk stays, and of one that took too long: tried again, it goes on from there.
    """
    if not record.reason.startswith(DISK) and record.status != "timeout":
        shutil.rmtree(cell.scratch, ignore_errors=True)


def prepare_cell(argument: Mapping[str, Any]) -> Mapping[str, Any]:
    """The argument of `run_job` with all that can be loaded before the cell has a device.

    No device is touched. Nothing is raised: what goes wrong is for `run_job` to tell.
    """
    cell, fetch, _ = _read_argument(argument)
    if cell.finished_file.exists():
        return argument
    return {**argument, "ready": _load(cell, fetch, test=True)}


def _read_argument(argument: Mapping[str, Any]) -> tuple[Cell, Fetch | None, Ready | None]:
    values = dict(argument)
    fetch, ready = values.pop("fetch", None), values.pop("ready", None)
    values.pop("retry_failed", None)
    return Cell.from_dict(values), fetch, ready


def record_to_dict(record: RunRecord) -> dict[str, Any]:
    """JSON-able values (NaN as None); `record_from_dict` reads them back."""
    values = {k: None if v != v else v for k, v in vars(record).items() if k != "curve"}
    return {
        **values,
        "key": asdict(record.key),
        "versions": dict(record.versions),
        "curve": record.curve.to_dict(),
    }


def record_from_dict(values: Mapping[str, Any]) -> RunRecord:
    """The inverse of `record_to_dict`; what a job has left beside the record is not looked at."""
    values = {k: NAN if v is None else v for k, v in values.items() if k != "throughput"}
    values["key"] = RunKey(**values["key"])
    values["curve"] = LearningCurve.from_dict(values["curve"])
    return RunRecord(**values)
