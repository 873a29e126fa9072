"""AccelerateTrial: one fine-tuning that can be paused at any step, in memory or on the disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    broadcast,
    broadcast_object_list,
    gather_object,
    set_seed,
)
from numpy.typing import NDArray

from hf_select.errors import InputError, LoneError, ModelError, TrialError
from hf_select.records import LearningCurve, Recipe, digest
from hf_select.tasks.base import get_task
from hf_select.tasks.encoded import Answers, EncodedRows, processor_digest, ranges
from hf_select.tasks.models import quiet
from hf_select.training import checkpoint, rng
from hf_select.training.ahead import AHEAD, Ahead, Sent, Transfer
from hf_select.training.sampling import (
    CLOSE,
    BatchOrder,
    learning_rate_factor,
    rows_scored,
    steps_in_epoch,
    stratified_rows,
)
from hf_select.training.seeds import MAX_SEED, check_seed
from hf_select.training.throughput import Throughput

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData
    from hf_select.tasks.encoded import Encoded

EVAL_BATCH = 256
"""Rows per evaluation batch: no gradients are kept, so more fit than while training."""


class EncodingCache:
    """Encoded splits shared by trials whose processors do the same; kept while one is in use."""

    def __init__(self) -> None:
        self._splits: WeakValueDictionary[str, Encoded] = WeakValueDictionary()

    def get(self, key: str, make: Callable[[], Encoded]) -> Encoded:
        """The encoded split of that key, made if no trial has it."""
        found = self._splits.get(key)
        if found is None:
            found = self._splits[key] = make()
        return found


@dataclass(frozen=True)
class _Part:
    """Rows of one backward pass: how many, how many answers their loss is the mean of, the weight
    of each answer in the gradient, tokens and cells."""

    batch: Sent
    rows: int
    units: int
    weight: float  # 0: the rows only keep the processes together
    tokens: int
    cells: int


class Prepared:
    """All of a trial that needs no device: processor, network and encoded rows, on the CPU.

    Made by `prepare`, for one trial.
    """

    def __init__(self, processor: Any, module: torch.nn.Module, state: dict[str, Any]) -> None:
        self.processor, self._state = processor, state
        self._module: torch.nn.Module | None = module
        self.train_rows: Encoded
        self.validation_rows: Encoded
        self.test_rows: Callable[[], Encoded]

    def take_module(self) -> torch.nn.Module:
        """The network, which is the trial's from then on."""
        module, self._module = self._module, None
        assert module is not None, "prepared for one trial"
        return module

    def rng_on_devices(self, seed: int, process: int) -> dict[str, Any]:
        """The random state in which process number `process` begins to train, its devices' too."""
        outer = rng.capture()
        try:
            set_seed(seed)  # the devices' as well
            rng.restore(self._state)
            if process:  # own drop-outs
                set_seed((seed + 1_000_003 * process) % (MAX_SEED + 1))
            return rng.capture()
        finally:
            rng.restore(outer)


def prepare(
    location: str | Path,
    target: TargetData,
    recipe: Recipe,
    *,
    seed: int = 0,
    name: str = "",
    cache: EncodingCache | None = None,
    test: bool = False,
) -> Prepared:
    """What can be done of an `AccelerateTrial` ahead. No device is touched, nor looked for.

    The arguments are those of the trial. The test split is encoded when it is asked for, or at once
    with `test`. Raises what opening the trial would.
    """
    task, cache = get_task(target.task), EncodingCache() if cache is None else cache
    outer = rng.capture()
    try:
        set_seed(seed)  # before the model: a new head is drawn from it
        processor = task.load_processor(location)
        module = task.load_model(
            location, num_labels=target.num_labels, label_names=target.label_names
        )
        if task.kind == "regression":
            _unit_layer(module, name)
        state = {**rng.capture(), "cuda": []}
    finally:
        rng.restore(outer)
    # before it encodes anything: a tokenizer keeps its last call's settings
    processor_is = processor_digest(processor)

    def encode(split: str, count: int, seed: int) -> Encoded:
        data = target.split(split)
        if count and count < len(data):
            rows = stratified_rows(np.asarray(data["label"]), count, seed=seed)
            data = data.select(rows)
            subset = digest(rows.tolist())
        else:
            subset = "all"
        key = [task.name, processor_is, target.fingerprint, split, subset, recipe.max_length]
        return cache.get(
            digest(key), lambda: task.encode(processor, data, max_length=recipe.max_length)
        )

    prepared = Prepared(processor, module, state)
    prepared.train_rows = encode("train", recipe.max_train_samples, seed)
    prepared.validation_rows = encode("validation", recipe.max_eval_samples, 0)
    tested = encode("test", 0, 0) if test else None
    prepared.test_rows = lambda: encode("test", 0, 0) if tested is None else tested
    return prepared


class AccelerateTrial:
    """The fine-tuning of one model on one target by one recipe and seed.

    `location` is the model's folder, `revision` what its content is known by: a checkpoint of
    another one is not gone on from. `on_step(trial)` is called between two optimizer steps; it
    may save the trial, and may raise to stop it there. The trial keeps its own random state, so
    trials that take turns in one process train exactly as they would alone; and it orders its
    rows itself, so the data order is the same for any number of processes.

    Scores before epoch 1 rest on at most `early_rows` validation rows, 0 = all: a stratified subset
    that is the same for all models, recipes and seeds.

    Under `accelerate launch` or torchrun all processes build the same trial and call the same
    methods. `expected_processes` makes a launcher that silently started fewer an `InputError`.
    A regression model whose head can't be put into the label's units is a `ModelError` before any
    training. Training raises `TrialError` with status `diverged` or `oom`; of several processes
    the one that is out of memory raises `LoneError`, and a trial that is begun again with its
    `micro_batch` goes on with smaller parts.

    `prepared` is what `prepare` has made of the same model, target, recipe and seed; the trial is
    the same with and without it.
    """

    def __init__(
        self,
        name: str,
        location: str | Path,
        target: TargetData,
        recipe: Recipe,
        *,
        seed: int = 0,
        revision: str = "",
        cache: EncodingCache | None = None,
        expected_processes: int | None = None,
        on_step: Callable[[AccelerateTrial], None] | None = None,
        early_rows: int = 0,
        micro_batch: int = 0,
        prepared: Prepared | None = None,
    ) -> None:
        check_seed(seed)
        if early_rows < 0:
            raise InputError(f"early_rows is {early_rows}, but must be 0 (all rows) or more")
        if recipe.precision == "fp16" and not torch.cuda.is_available():
            raise InputError("precision fp16 needs a GPU", hint="use bf16 or no")
        self.model = name
        self.horizon = float(recipe.epochs)
        self.curve = LearningCurve.empty()
        self.recipe, self.target, self.seed, self.on_step = recipe, target, seed, on_step
        self.task = get_task(target.task)
        self._revision = revision
        self._accelerator = Accelerator(
            mixed_precision=recipe.precision,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self._world = self._accelerator.num_processes
        if expected_processes is not None and self._world != expected_processes:
            raise InputError(
                f"{expected_processes} processes were asked for, but {self._world} are running",
                hint="on CPU: ACCELERATE_USE_CPU=true torchrun --standalone --nproc_per_node N ...",
            )
        self._step, self._seconds, self._began = 0, 0.0, math.nan
        self._micro_batch = micro_batch  # rows in one backward pass, 0 = all of the batch's
        self._eval_batch = EVAL_BATCH
        self._test_score = math.nan
        self._test_scores: dict[str, float] = {}
        if prepared is None:
            prepared = self._prepared(location, name, cache)
        self.processor, module = prepared.processor, prepared.take_module()
        self._rng: dict[str, Any] | None = prepared.rng_on_devices(
            seed, self._accelerator.process_index
        )
        self._train_rows, self._validation_rows = prepared.train_rows, prepared.validation_rows
        self._test_rows = prepared.test_rows
        self._early_rows = _stratified(self._validation_rows, early_rows)
        self._steps_per_epoch = steps_in_epoch(len(self._train_rows), recipe.global_batch_size)
        self._total_steps = recipe.epochs * self._steps_per_epoch
        self._order = BatchOrder(
            len(self._train_rows),
            recipe.global_batch_size,
            seed,
            lengths=self._train_rows.lengths if recipe.group_by_length else None,
        )
        self._device: torch.device = self._accelerator.device
        self._transfer = Transfer(self._device)
        self._network, self._optimizer = self._accelerator.prepare(
            module.float(), _adamw(module, recipe, self._device)
        )
        self._weights = list(self._network.parameters())
        self._loss_sum = torch.zeros((), device=self._device)
        self._loss_units = 0
        self._throughput = Throughput()

    def _prepared(self, location: str | Path, name: str, cache: EncodingCache | None) -> Prepared:
        """What `prepare` gives; where one of several processes can't, none of them can."""
        error: Exception | None = None
        prepared = None
        try:
            prepared = prepare(
                location, self.target, self.recipe, seed=self.seed, name=name, cache=cache
            )
        except Exception as met:
            if self._world == 1:
                raise
            error = met
        if self._world > 1:
            from hf_select.training.agreement import agree_on_error

            agree_on_error(error)
        assert prepared is not None
        return prepared

    # ------------------------------------------------------------------------ what it has done

    @property
    def num_processes(self) -> int:
        """How many processes train this trial together."""
        return self._world

    @property
    def micro_batch(self) -> int:
        """Rows in one backward pass per process, 0 if the memory was enough for all of them."""
        return self._micro_batch

    @property
    def epochs_trained(self) -> float:
        """How far the training is, in epochs; can be past the curve's last point."""
        return self._step / self._steps_per_epoch

    @property
    def seconds(self) -> float:
        """Seconds spent in `advance` and `test`, over all resumes, checkpoints not counted."""
        now = 0.0 if math.isnan(self._began) else time.perf_counter() - self._began
        return self._seconds + now

    @property
    def throughput(self) -> Throughput:
        """Samples, padding, and seconds in and outside the steps, so far, of this process."""
        return replace(self._throughput)

    @property
    def peak_memory(self) -> float:
        """Bytes of its GPU that this process has taken at most; NaN on a CPU."""
        if self._device.type != "cuda":
            return math.nan
        return float(torch.cuda.max_memory_allocated(self._device))

    @property
    def num_bytes(self) -> int:
        """Bytes that its training holds: weights, their gradients, two moments, and buffers."""
        parameters = sum(p.nbytes for p in self.module.parameters())
        return 4 * parameters + sum(b.nbytes for b in self.module.buffers())

    def val_rows(self, epoch: float) -> int:
        """How many validation rows a score at that epoch rests on."""
        return len(self._rows_at(epoch))

    @property
    def module(self) -> torch.nn.Module:
        """The bare model."""
        module: torch.nn.Module = self._accelerator.unwrap_model(self._network)
        return module

    # ------------------------------------------------------------------------------ the protocol

    def advance(self, to: float) -> LearningCurve:
        """Train up to `to` epochs, evaluating at each of the recipe's rungs passed and at `to`.

        Fractions are allowed; beyond the horizon means the horizon. Trains nothing if the curve
        has already got there.
        """
        to = min(float(to), self.horizon)
        last = self.curve.epochs[-1] if len(self.curve) else 0.0
        points = [r for r in self.recipe.rungs() if last + CLOSE < r < to - CLOSE]
        if to > last + CLOSE:
            points.append(to)
        with self._running():
            for point in points:
                self._train(max(1, round(point * self._steps_per_epoch)))
                self._add_point(point)
        return self.curve

    def test(self) -> float:
        """The raw score on the test split. The split is read once; later calls repeat the score."""
        if math.isnan(self._test_score):
            with self._running():
                answers, _ = self._answers(self._test_rows())
            self._test_scores = self.target.scores(answers)
            self._test_score = self._test_scores[self.target.metric]
        return self._test_score

    @property
    def test_scores(self) -> dict[str, float]:
        """What `test` found, by every metric of the task's kind; empty before."""
        return dict(self._test_scores)

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint: all that `load` needs to go on bit by bit. Raises `OSError`."""
        state = self._rng if self._rng is not None else rng.capture()
        states = gather_object([state])
        failed: list[OSError | None] = [None]
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            meta = {
                "trial": self._identity(),
                "step": self._step,
                "seconds": self.seconds,
                "curve": self.curve.to_dict(),
                "loss_sum": self._loss_sum.item(),
                "loss_rows": self._loss_units,
                "micro_batch": self._micro_batch,
            }
            tensors = {
                "model": self.module.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "rng": states,
            }
            try:
                checkpoint.write(Path(folder), meta=meta, state=tensors)
            except OSError as error:
                failed = [error]
        if self._world > 1:  # all know, so that they go on alike
            broadcast_object_list(failed)
        if failed[0] is not None:
            raise failed[0]

    def load(self, folder: str | Path) -> bool:
        """Go on from the newest complete checkpoint of this very trial; False if there is none."""
        for meta, state in checkpoint.complete(Path(folder)):
            if meta.get("trial") != self._identity():
                continue
            self.module.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            if self._accelerator.scaler is not None and state["scaler"] is not None:
                self._accelerator.scaler.load_state_dict(state["scaler"])
            self._rng = state["rng"][self._accelerator.process_index]
            self._step, self._seconds = meta["step"], meta["seconds"]
            self.curve = LearningCurve.from_dict(meta["curve"])
            self._loss_sum.fill_(meta["loss_sum"])
            self._loss_units = meta["loss_rows"]
            sizes = [size for size in (self._micro_batch, meta["micro_batch"]) if size]
            self._micro_batch = min(sizes, default=0)
            return True
        return False

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model and processor for `AutoModelFor...from_pretrained`, label names included.

        A regression model is written so that its output is in the label's own units.
        """
        if self._accelerator.is_main_process:
            module: Any = self.module
            units = self._own_units() if self.task.kind == "regression" else nullcontext()
            with quiet(), units, _saving_here(module):
                module.save_pretrained(folder)
                self.processor.save_pretrained(folder)
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Free the model's memory. The curve stays; nothing else can be called."""
        self._weights.clear()
        self._network = self._optimizer = None
        self._accelerator.free_memory()  # what it holds of them, and the rest by the collector

    # -------------------------------------------------------------------------------- training

    def _train(self, until: int) -> None:
        self._network.train()
        aside = 0.0
        began = time.perf_counter()
        try:
            with Ahead(self._parts, until, depth=AHEAD.get(self._device.type, 0)) as batches:
                while self._step < until:
                    self._backward(batches)
                    self._update()
                    self._step += 1
                    if self.on_step is not None:
                        before = time.perf_counter()
                        self.on_step(self)
                        seconds = time.perf_counter() - before
                        self._began, aside = self._began + seconds, aside + seconds
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)  # what is under way counts as training
        finally:
            self._throughput.training_seconds += time.perf_counter() - began - aside

    def _update(self) -> None:
        """One optimizer step with the gradients that are there. The host doesn't wait for it."""
        if self.recipe.max_grad_norm:
            self._accelerator.clip_grad_norm_(self._weights, self.recipe.max_grad_norm)
        factor = learning_rate_factor(
            self._step, total=self._total_steps, warmup=self.recipe.warmup
        )
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _parts(self, step: int) -> list[_Part]:
        """This process's share of a step's global batch, in as many parts as memory asks for."""
        rows = self._order.batch(step)
        mine = rows[self._accelerator.process_index :: self._world]
        weight = 1.0 / int(self._train_rows.units(rows).sum())
        if not len(mine):  # a short batch: take part in the exchange with nothing to say
            mine, weight = rows[:1], 0.0
        size = self._micro_batch or len(mine)
        return [
            self._part(mine[start : start + size], weight) for start in range(0, len(mine), size)
        ]

    def _part(self, rows: NDArray[np.int64], weight: float) -> _Part:
        lengths = self._train_rows.lengths[rows]
        batch = self._sent(self._train_rows, rows)
        cells = len(rows) * int(lengths.max())
        units = int(self._train_rows.units(rows).sum())
        return _Part(batch, len(rows), units, weight, int(lengths.sum()), cells)

    def _backward(self, batches: Ahead[list[_Part]]) -> None:
        """Gradients of the mean loss over the step's global batch, in as many parts as needed."""
        while True:
            parts: list[_Part] = []
            try:
                before = time.perf_counter()
                parts = batches.get(self._step)
                self._throughput.waiting_seconds += time.perf_counter() - before
                loss = self._backward_parts(parts)
            except torch.OutOfMemoryError:
                loss = None
            if loss is not None:
                self._loss_sum += loss
                self._count([part for part in parts if part.weight])
                return
            # outside the handler: its traceback would keep the big tensors alive
            size = max((part.rows for part in parts), default=self._micro_batch or self._share())
            del parts
            batches.forget()
            self._shrink(size)

    def _share(self) -> int:
        """Rows of a full global batch that this process takes."""
        return math.ceil(self.recipe.global_batch_size / self._world)

    def _count(self, parts: list[_Part]) -> None:
        self._loss_units += sum(part.units for part in parts)
        self._throughput.samples += sum(part.rows for part in parts)
        self._throughput.tokens += sum(part.tokens for part in parts)
        self._throughput.cells += sum(part.cells for part in parts)

    def _backward_parts(self, parts: list[_Part]) -> torch.Tensor:
        total = torch.zeros_like(self._loss_sum)
        for part in parts:
            last = part is parts[-1]
            with nullcontext() if last else self._accelerator.no_sync(self._network):
                loss = self._network(**part.batch.take()).loss
                # the processes' gradients are averaged, so each scales its sum of losses by their
                # number: what comes out is the mean over all answers, however they are shared out
                self._accelerator.backward(loss * (part.units * self._world * part.weight))
            total += loss.detach() * (part.units if part.weight else 0)
        return total

    def _shrink(self, size: int) -> None:
        """Halve the micro-batch after running out of memory."""
        self._optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        said = f"{self.model}: out of memory with {'a single row' if size <= 1 else f'{size} rows'}"
        if self._world > 1:  # the other processes are already waiting for this one's gradients
            raise LoneError(
                f"{said} a process",
                status="oom",
                micro_batch=math.ceil(size / 2) if size > 1 else 0,
                hint="use a smaller global_batch_size or more processes",
            )
        if size <= 1:
            raise TrialError(said, status="oom")
        self._micro_batch = math.ceil(size / 2)

    def _sent(self, encoded: Encoded, rows: NDArray[np.int64]) -> Sent:
        batch = encoded.batch(rows)
        if self.task.kind == "regression":
            batch["labels"] = self._standardised(batch["labels"].float())
        return self._transfer.send(batch)

    def _standardised(self, labels: Any) -> Any:
        return (labels - self.target.label_mean) / self._label_std

    @property
    def _label_std(self) -> float:
        return self.target.label_std if self.target.label_std > 0 else 1.0

    # ------------------------------------------------------------------------------ evaluation

    def _add_point(self, epoch: float) -> None:
        totals = torch.stack([self._loss_sum, torch.full_like(self._loss_sum, self._loss_units)])
        loss_sum, loss_units = self._accelerator.reduce(totals, reduction="sum").tolist()
        # several points can fall on one step; nothing was trained since the last one then
        train_loss = loss_sum / loss_units if loss_units else self.curve.train_loss[-1]
        if not math.isfinite(train_loss):
            raise TrialError(
                f"{self.model}: the training loss is {train_loss} by epoch {epoch:g}",
                status="diverged",
                hint="a lower learning rate may help",
            )
        self._loss_sum.zero_()
        self._loss_units = 0
        score, loss = self._evaluate(self._rows_at(epoch))
        seconds = [self.seconds]
        if self._world > 1:  # a policy may look at them, and must decide alike everywhere
            broadcast_object_list(seconds)
        old = self.curve
        self.curve = LearningCurve(
            epochs=np.append(old.epochs, epoch),
            val=np.append(old.val, score),
            val_loss=np.append(old.val_loss, loss),
            train_loss=np.append(old.train_loss, train_loss),
            seconds=np.append(old.seconds, seconds[0]),
        )

    def _rows_at(self, epoch: float) -> Encoded:
        return self._early_rows if epoch < 1 - CLOSE else self._validation_rows

    def _evaluate(self, encoded: Encoded) -> tuple[float, float]:
        """Raw score and mean loss over every row of a split, each counted exactly once."""
        answers, loss = self._answers(encoded)
        return self.target.score(answers), loss

    def _answers(self, encoded: Encoded) -> tuple[Answers, float]:
        """What is predicted, beside what would be right, and the mean loss."""
        before = time.perf_counter()
        rows, logits = self._logits(encoded)
        self._throughput.evaluation_seconds += time.perf_counter() - before
        if not torch.isfinite(logits).all():
            raise TrialError(f"{self.model}: its outputs are not finite", status="diverged")
        predictions = self.task.predict(logits)
        references = encoded.unit_labels(rows)
        if self.task.kind == "regression":
            targets = torch.as_tensor(self._standardised(references.astype(np.float64)))
            loss = torch.nn.functional.mse_loss(torch.as_tensor(predictions).double(), targets)
            predictions = predictions.astype(np.float64) * self._label_std + self.target.label_mean
        else:
            loss = torch.nn.functional.cross_entropy(
                logits.double(), torch.as_tensor(references).long()
            )
        return encoded.answers(rows, predictions, otherwise=self.target.majority), float(loss)

    def _logits(self, encoded: Encoded) -> tuple[NDArray[np.int64], torch.Tensor]:
        """The rows (N,), rising, and their logits (U, C) on the CPU, from all processes."""
        # longest first: little padding, and memory runs out at once or never
        order = np.argsort(-np.asarray(encoded.lengths), kind="stable")
        mine = order[self._accelerator.process_index :: self._world]
        module = self.module  # not the wrapped one: processes may have different batch counts
        if self._world > 1:
            for buffer in module.buffers():  # batch statistics differ between processes
                broadcast(buffer)
        module.eval()
        parts: list[torch.Tensor] = []
        done = 0
        while done < len(mine):
            rows = mine[done : done + self._eval_batch]
            try:
                with torch.inference_mode():
                    parts.append(self._outputs(module, encoded, rows))
            except torch.OutOfMemoryError as error:
                if self._world > 1:  # the others know nothing of it
                    raise LoneError(
                        f"{self.model}: out of memory evaluating {len(rows)} rows", status="oom"
                    ) from error
                if self._eval_batch == 1:
                    raise TrialError(
                        f"{self.model}: out of memory evaluating a single row", status="oom"
                    ) from error
                self._eval_batch //= 2
                continue
            done += len(rows)
        # to the CPU all at once: until then the host doesn't wait for the device
        gathered = gather_object([(mine, torch.cat(parts).cpu())] if parts else [])
        all_rows = np.concatenate([rows for rows, _ in gathered])
        if len(all_rows) != len(encoded) or len(np.unique(all_rows)) != len(encoded):
            raise TrialError(f"evaluated {len(all_rows)} rows of {len(encoded)}")
        # in the split's order, so that sums over rows come out the same for any world size
        place = np.argsort(all_rows)
        units = encoded.units(all_rows)
        order = ranges((np.cumsum(units) - units)[place], units[place])
        return all_rows[place], torch.cat([part for _, part in gathered])[torch.from_numpy(order)]

    def _outputs(
        self, module: torch.nn.Module, encoded: Encoded, rows: NDArray[np.int64]
    ) -> torch.Tensor:
        """What the model answers to those rows (U, C), on its device."""
        batch = encoded.batch(rows)
        places = encoded.places(batch.pop("labels"))
        if places is not None:
            batch["places"] = places
        sent = self._transfer.send(batch).take()
        places = sent.pop("places", None)
        logits: torch.Tensor = module(**sent).logits.float()
        return logits if places is None else logits.reshape(-1, logits.shape[-1])[places]

    # ------------------------------------------------------------------------------- the rest

    def _identity(self) -> list[Any]:
        """What a checkpoint must have in common with the trial that goes on from it."""
        early = [] if self._early_rows is self._validation_rows else [len(self._early_rows)]
        return [
            self.model,
            self._revision,
            self.target.fingerprint,
            self.recipe.digest(),
            self.seed,
            self._world,
            *early,
        ]

    @contextmanager
    def _running(self) -> Iterator[None]:
        """The trial's own random state and clock, while it computes."""
        outer = rng.capture()
        assert self._rng is not None
        rng.restore(self._rng)
        self._rng = None  # it is the process's now
        self._began = time.perf_counter()
        try:
            with _fast_matmuls(self._device):
                yield
        finally:
            self._seconds, self._began = self.seconds, math.nan
            self._rng = rng.capture()
            rng.restore(outer)

    @contextmanager
    def _own_units(self) -> Iterator[None]:
        """The model with standardisation folded into its last linear layer, while it is saved."""
        layer = _unit_layer(self.module, self.model)
        weight, bias = layer.weight.data, layer.bias.data
        layer.weight.data = weight * self._label_std
        layer.bias.data = bias * self._label_std + self.target.label_mean
        try:
            yield
        finally:
            layer.weight.data, layer.bias.data = weight, bias


def _stratified(encoded: Encoded, count: int) -> Encoded:
    """At most `count` of its rows, 0 = all, chosen by the labels alone."""
    rows = rows_scored(len(encoded), 0.0, max_rows=0, early_rows=count)
    if rows == len(encoded):
        return encoded
    return EncodedRows(encoded, stratified_rows(np.asarray(encoded.labels), rows, seed=0))


def _unit_layer(module: torch.nn.Module, name: str) -> torch.nn.Linear:
    """The linear layer of the head, which takes the label's units when a regression model is saved.

    A model class that makes its head without a bias would drop one at the next `from_pretrained`,
    so there is no place for the label's mean then; and where two layers give the answer together,
    none of them can take the units alone: a `ModelError`.
    """
    body = f"{getattr(module, 'base_model_prefix', '') or '?'}."
    linear = {
        where: layer
        for where, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == 1
    }
    heads = [layer for where, layer in linear.items() if not where.startswith(body)]
    found = heads or list(linear.values())[-1:]
    if len(found) == 1 and found[0].bias is not None:
        return found[0]
    kind = type(module).__name__
    has = "no linear layer with a bias" if len(found) < 2 else f"{len(found)} layers that answer"
    raise ModelError(
        f"{name}: a {kind} can't do regression: its head has {has}, so it can't be saved to answer "
        "in the label's units",
        hint="leave it out, or choose a model whose head is one layer with a bias (that of BERT, "
        "ViT, ResNet and most others)",
    )


@contextmanager
def _saving_here(module: Any) -> Iterator[None]:
    """transformers (5.24) writes nothing in a process of another rank than 0, which one that trains
    a candidate of its own may be."""
    module.should_save_on_this_rank = lambda is_main_process: is_main_process
    try:
        yield
    finally:
        del module.should_save_on_this_rank


@contextmanager
def _fast_matmuls(device: torch.device) -> Iterator[None]:
    """TF32 for float32 matrix products on a GPU that has it; the process's setting stays.

    One who has set the precision by torch's newer switches has chosen: it is left alone.
    """
    before = ""
    if device.type == "cuda":
        with suppress(RuntimeError):
            before = torch.get_float32_matmul_precision()
    if before != "highest":
        yield
        return
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _adamw(module: torch.nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights don't decay."""
    decayed = [p for p in module.parameters() if p.ndim >= 2]
    others = [p for p in module.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        fused=device.type in ("cpu", "cuda"),  # a tenth off a whole step of a small model
    )
