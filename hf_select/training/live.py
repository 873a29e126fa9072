"""Live trials for a selection: as many in memory as fit, the others asleep in their checkpoints."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from accelerate.utils import broadcast_object_list

from hf_select.errors import HfSelectError, InputError, ModelError, StoppedError, TrialError
from hf_select.progress import stage
from hf_select.records import LearningCurve, Recipe, digest
from hf_select.training import memory as measure
from hf_select.training.sampling import CLOSE, EARLY_ROWS, rows_scored
from hf_select.training.trial import AccelerateTrial

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData

FAULTS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError)
"""What a model's own code raises when it can't work with this data."""

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")
"""How torch words it where it has no error of its own for it."""

OnStep = Callable[[AccelerateTrial], None]
T = TypeVar("T")


class CheckpointedTrial:
    """An `AccelerateTrial` that sleeps in its folder while others need the memory.

    It is `awake` (model and optimizer in memory) from the start; `sleep` saves and frees it, and
    whatever needs it awakens it. A trial that slept trains on bit by bit (one CPU process). If
    its checkpoint turns out to be damaged, it trains again to where it was.

    One process saves between two steps, `every` seconds after the last time, so a killed
    selection loses at most that much; asked to stop, it saves and raises `StoppedError`. Several
    processes save together after an advance. If the disk has no room for such a checkpoint, the
    older one stays and the training goes on.

    `make_room(trial, everyone)` puts others to sleep until this one fits, or all of them, and
    says whether any was. Errors that are about this candidate alone: `TrialError` if its training
    failed, `ModelError` if it can't be loaded, or couldn't be saved when it had to sleep. They
    leave nothing in memory; after a `TrialError` of `advance` the checkpoint is gone as well.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[OnStep], AccelerateTrial],
        folder: Path,
        *,
        num_bytes: int,
        every: float,
        should_stop: Callable[[], bool],
        make_room: Callable[[CheckpointedTrial, bool], bool],
    ) -> None:
        self.model, self.folder, self.num_bytes = name, folder, num_bytes
        self.every, self.should_stop = every, should_stop
        self._load, self._make_room = load, make_room
        self._trial: AccelerateTrial | None = None
        self._curve, self._test_score = LearningCurve.empty(), math.nan
        self.test_scores: dict[str, float] = {}
        self._saved, self._saved_at = time.monotonic(), (0.0, 0)
        self._lost = ""
        self._at_step: Callable[[], None] | None = None
        awake = self._work(lambda trial: trial)
        self.horizon, self.num_processes = awake.horizon, awake.num_processes
        self._val_rows = awake.val_rows(0), awake.val_rows(1)

    @property
    def awake(self) -> bool:
        """Whether model and optimizer are in memory."""
        return self._trial is not None

    @property
    def trial(self) -> AccelerateTrial:
        """The trial itself, awakened if need be."""
        return self._work(lambda trial: trial)

    @property
    def curve(self) -> LearningCurve:
        """What has been seen so far."""
        return self._curve if self._trial is None else self._trial.curve

    def val_rows(self, epoch: float) -> int:
        """How many validation rows a score at that epoch rests on."""
        return self._val_rows[epoch >= 1 - CLOSE]

    def advance(self, to: float) -> LearningCurve:
        """Train to that many epochs; nothing is trained that the checkpoint holds already."""
        if len(self.curve) and self.curve.epochs[-1] >= min(to, self.horizon) - CLOSE:
            return self.curve
        try:
            return self._work(lambda trial: self._advance(trial, to))
        except TrialError:
            self.discard()
            raise

    def test(self) -> float:
        """The raw score on the test split. The split is read once; later calls repeat the score."""
        if math.isnan(self._test_score):
            self._test_score, self.test_scores = self._work(
                lambda trial: (trial.test(), trial.test_scores)
            )
        return self._test_score

    def save_pretrained(self, folder: str | Path) -> None:
        """As that of `AccelerateTrial`."""
        self.trial.save_pretrained(folder)

    def sleep(self) -> None:
        """Save it and free its memory; whatever needs it will awaken it.

        If it can't be saved it is freed all the same, and what awakens it raises `ModelError`.
        """
        if self._trial is None:
            return
        try:
            if self._at() != self._saved_at:
                self._save()
        except OSError as error:
            self._lost = str(error)
        self._let_go()

    def close(self) -> None:
        """Free the memory; the checkpoint stays, and is brought up to date if all has to stop."""
        if self._trial is None:
            return
        alone = self._trial.num_processes == 1
        if alone and self.should_stop() and self._at() != self._saved_at:
            with suppress(OSError):  # the older one stays
                self._save()
        self._let_go()

    def discard(self) -> None:
        """Free the memory and remove the checkpoint. The curve stays."""
        self._let_go()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------------- awake and asleep

    def _work(self, job: Callable[[AccelerateTrial], T]) -> T:
        """What `job` gives with the trial awake; out of memory, it gets all of it once."""
        try:
            return self._attempt(job)
        except TrialError as error:
            if error.status != "oom":
                raise
            failed = error.with_traceback(None)  # it would keep the big tensors alive
        if not self._make_room(self, True):
            raise failed
        return self._attempt(job)

    def _attempt(self, job: Callable[[AccelerateTrial], T]) -> T:
        if self._lost:
            raise ModelError(
                f"{self.model}: it couldn't be saved when others needed the memory: {self._lost}",
                hint=TRY_AGAIN,
            )
        try:
            self._make_room(self, False)
            return job(self._trial or self._wake())
        except StoppedError:
            raise
        except HfSelectError:
            self._let_go()
            raise
        except (OSError, MemoryError, *FAULTS) as error:
            if measure.processes().num_processes > 1:  # the others know nothing of it
                raise
            failed = _failure(self.model, error)
        # outside the handlers: their tracebacks would keep the big tensors alive
        self._let_go()
        raise failed

    def _wake(self) -> AccelerateTrial:
        """Load it, and train again what a damaged checkpoint has lost."""
        trial = self._load(self._after_step)
        trial.load(self.folder)
        self._trial, self.num_bytes = trial, trial.num_bytes
        self._saved, self._saved_at = time.monotonic(), self._at()
        self._make_room(self, False)  # now that it is known what it holds
        for epoch in self._curve.epochs:
            trial.advance(epoch)
        return trial

    def _let_go(self) -> None:
        if self._trial is not None:
            self._curve = self._trial.curve
            self._trial.close()
            self._trial = None

    # -------------------------------------------------------------------------------- saving

    def _advance(self, trial: AccelerateTrial, to: float) -> LearningCurve:
        before = trial.epochs_trained
        ahead = min(to, self.horizon) - before
        with stage(f"training {self.model}", total=ahead, unit="epochs") as at:
            self._at_step = lambda: at.reach(trial.epochs_trained - before)
            try:
                curve = trial.advance(to)
            finally:
                self._at_step = None
        if trial.epochs_trained > before and self._due(trial):
            self._save_in_time()
        return curve

    def _after_step(self, trial: AccelerateTrial) -> None:
        if self._at_step is not None:
            self._at_step()
        if trial.num_processes > 1:  # saving is done together, and clocks and signals differ
            return
        if self.should_stop():
            self._save_in_time()
            raise StoppedError(
                f"stopped while training {self.model} at epoch {trial.epochs_trained:.2f}",
                hint="the same command goes on from there",
            )
        if time.monotonic() - self._saved >= self.every:
            self._save_in_time()

    def _due(self, trial: AccelerateTrial) -> bool:
        """Whether it is time to save; with several processes the first one decides."""
        due = [time.monotonic() - self._saved >= self.every]
        if trial.num_processes > 1:
            broadcast_object_list(due)
        return due[0]

    def _save_in_time(self) -> None:
        """A checkpoint that isn't needed yet: without room for it the older one stays."""
        try:
            self._save()
        except OSError:
            self._saved = time.monotonic()

    def _save(self) -> None:
        assert self._trial is not None
        self._trial.save(self.folder)
        self._saved, self._saved_at = time.monotonic(), self._at()

    def _at(self) -> tuple[float, int]:
        """How far it is: epochs trained, points of the curve."""
        assert self._trial is not None
        return self._trial.epochs_trained, len(self._trial.curve)


class LiveTrials:
    """The trials of a selection, each opened when it is first needed; encoded rows are shared.

    `locate(candidate) -> (folder, revision)` says where a candidate's model lies, and
    `recipe_of(candidate)` by which recipe it is trained, so that one model can be several
    candidates; without it all are trained by `recipe`. Scores before epoch 1 rest on `early_rows`
    validation rows, 0 = all.

    `memory`: bytes that open trials may hold together (weights, gradients, moments); None is 80 %
    of what is free on a GPU at the start, half of what is free in a CPU's memory. Those that were
    advanced least recently sleep; the one that is needed is awake even if it is bigger alone.
    """

    def __init__(
        self,
        target: TargetData,
        recipe: Recipe,
        folder: Path,
        locate: Callable[[str], tuple[Path, str]],
        *,
        seed: int,
        checkpoint_every: float,
        should_stop: Callable[[], bool],
        recipe_of: Callable[[str], Recipe] | None = None,
        early_rows: int = EARLY_ROWS,
        memory: int | None = None,
    ) -> None:
        if early_rows < 0:
            raise InputError(f"early_rows is {early_rows}, but must be 0 (all rows) or more")
        if memory is not None and memory < 0:
            raise InputError(f"memory is {memory}, but must be 0 bytes or more")
        self.target, self.recipe, self.folder, self.locate = target, recipe, folder, locate
        self.seed, self.checkpoint_every = seed, checkpoint_every
        self.should_stop, self.early_rows = should_stop, early_rows
        self.recipe_of = recipe_of or (lambda candidate: recipe)
        self.opened: dict[str, CheckpointedTrial] = {}
        self._memory = memory
        self._recent: dict[str, None] = {}  # names, the last advanced one at the end
        self._cache = measure.KeptEncodings(measure.for_rows())

    @property
    def memory(self) -> int:
        """Bytes that open trials may hold together; measured when the first one is opened."""
        if self._memory is None:
            self._memory = measure.for_trials()
        return self._memory

    def val_rows(self, epoch: float) -> int:
        """How many validation rows a score at that epoch rests on."""
        return rows_scored(
            len(self.target.validation),
            epoch,
            max_rows=self.recipe.max_eval_samples,
            early_rows=self.early_rows,
        )

    def open(self, model: str) -> CheckpointedTrial:
        """Load the candidate, and its checkpoint where there is one."""
        location, revision = self._located(model)

        def load(on_step: OnStep) -> AccelerateTrial:
            return AccelerateTrial(
                model,
                location,
                self.target,
                self.recipe_of(model),
                seed=self.seed,
                revision=revision,
                cache=self._cache,
                on_step=on_step,
                early_rows=self.early_rows,
            )

        self.opened[model] = CheckpointedTrial(
            model,
            load,
            self._checkpoint(model),
            num_bytes=measure.expected_bytes(location),
            every=self.checkpoint_every,
            should_stop=self.should_stop,
            make_room=self._make_room,
        )
        return self.opened[model]

    def _located(self, model: str) -> tuple[Path, str]:
        """Where it lies; where one of several processes can't have it, none of them can."""
        if measure.processes().num_processes == 1:
            return self.locate(model)
        from hf_select.training.agreement import agree_on_error

        found, error = None, None
        try:
            found = self.locate(model)
        except HfSelectError as met:
            error = met
        agree_on_error(error)
        assert found is not None
        return found

    def factories(self, models: list[str]) -> Mapping[str, Callable[[], CheckpointedTrial]]:
        """What `selection.run.run_selection` takes."""
        return {model: self._factory(model) for model in models}

    def forget(self, model: str) -> None:
        """Let go of a candidate that was dropped: its memory and its checkpoint."""
        trial = self.opened.pop(model, None)
        if trial is not None:
            trial.discard()
        shutil.rmtree(self._checkpoint(model), ignore_errors=True)

    def _make_room(self, asked: CheckpointedTrial, everyone: bool) -> bool:
        """Put others to sleep, the least recently advanced first; whether any was.

        Only as many as it takes for `asked` to fit, or `everyone`.
        """
        self._recent.pop(asked.model, None)
        self._recent[asked.model] = None
        names = [name for name in self._recent if name in self.opened]
        others = [t for t in map(self.opened.__getitem__, names) if t.awake and t is not asked]
        slept = False
        while others and (everyone or self._held(asked, others) > self.memory):
            others.pop(0).sleep()
            slept = True
        return slept

    @staticmethod
    def _held(asked: CheckpointedTrial, others: list[CheckpointedTrial]) -> int:
        return asked.num_bytes + sum(trial.num_bytes for trial in others)

    def _factory(self, model: str) -> Callable[[], CheckpointedTrial]:
        return lambda: self.open(model)

    def _checkpoint(self, model: str) -> Path:
        return self.folder / digest(model)


TRY_AGAIN = "free what it lacks; the same command tries it again"


def _failure(model: str, error: BaseException) -> HfSelectError:
    """What went wrong with a model, in one line: a file's fault, or that of its own code."""
    if isinstance(error, OSError):
        return ModelError(f"{model}: {error}", hint=TRY_AGAIN)
    text = str(error).strip().splitlines()
    said = text[0] if text else type(error).__name__
    memory = isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)
    return TrialError(f"{model}: {said}", status="oom" if memory else "failed")
