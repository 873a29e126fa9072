"""Batches before they are needed: made in a thread, and copied to a GPU while it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

import torch

AHEAD = {"cuda": 2}
"""Steps made ahead by type of device. On a CPU none are: making a batch would take the time of
the step before it."""

T = TypeVar("T")


class Ahead(Generic[T]):
    """`make(step)` for rising steps below `end`, up to `depth` of them made ahead in one thread.

    `get` raises what `make` raised. `forget` lets go of what was made ahead, for a `make` that
    would now give something else. To be used in a `with`, which ends the thread.
    """

    def __init__(self, make: Callable[[int], T], end: int, *, depth: int) -> None:
        self._make, self._end, self._depth = make, end, depth
        self._made: dict[int, Future[T]] = {}
        self._pool = ThreadPoolExecutor(1, "hf-select-batches") if depth else None

    def get(self, step: int) -> T:
        """What `make` gives for `step`; the ones after it are begun."""
        if self._pool is None:
            return self._make(step)
        for later in range(step, min(step + 1 + self._depth, self._end)):
            if later not in self._made:
                self._made[later] = self._pool.submit(self._make, later)
        return self._made.pop(step).result()

    def forget(self) -> None:
        """Nothing is made ahead any more, and the thread is at rest."""
        for future in self._made.values():
            if not future.cancel():
                future.exception()  # wait for the one under way
        self._made.clear()

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._made.clear()


class Transfer:
    """Brings batches to a device. To a GPU from pinned memory on a stream of its own.

    So neither the host nor the GPU waits for a copy that is begun early enough.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type == "cuda" and device.index is None:  # another thread has another default
            device = torch.device("cuda", torch.cuda.current_device())
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, batch: dict[str, torch.Tensor]) -> Sent:
        """Begin to copy; callable from any thread. May raise `torch.OutOfMemoryError`."""
        if self._stream is None:
            return Sent({name: tensor.to(self._device) for name, tensor in batch.items()})
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            tensors = {
                name: tensor.pin_memory().to(self._device, non_blocking=True)
                for name, tensor in batch.items()
            }
            return Sent(tensors, self._stream.record_event())


@dataclass(frozen=True)
class Sent:
    """A batch on its way to the device."""

    tensors: dict[str, torch.Tensor]
    arrived: torch.cuda.Event | None = None

    def take(self) -> dict[str, torch.Tensor]:
        """The tensors, for the stream in use: it waits for the copy, the host doesn't."""
        if self.arrived is not None:
            stream = torch.cuda.current_stream(next(iter(self.tensors.values())).device)
            stream.wait_event(self.arrived)
            for tensor in self.tensors.values():
                tensor.record_stream(stream)  # its memory is another stream's
        return self.tensors
