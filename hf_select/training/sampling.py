"""Which rows are trained on and in which order: the same for any number of processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

MEGA = 50
"""Batches that are sorted by length together: enough to save most of the padding, few enough that
what a batch holds stays a matter of chance."""

EARLY_ROWS = 500
"""Validation rows that a selection's score before epoch 1 rests on."""

CLOSE = 1e-9  # two points in time, in epochs, this near are the same


def stratified_rows(labels: NDArray, count: int, *, seed: int) -> Rows:
    """`count` row indices, rising, in which labels (N,) have the shares they have in all rows.

    Classes are kept in proportion, real values by their tenths. 0 or more than N rows: all.
    """
    rows = len(labels)
    if count == 0 or count >= rows:
        return np.arange(rows)
    labels = np.asarray(labels)
    if np.issubdtype(labels.dtype, np.floating):
        ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
        labels = ranks * 10 // rows
    shuffled = np.random.default_rng([seed, rows]).permutation(rows)
    _, group, sizes = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_group = np.argsort(group, kind="stable")
    place = np.empty(rows)
    place[by_group] = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # the j-th of a group of n sits at (j + 1/2) / n, so every prefix is close to proportional
    order = np.argsort((place + 0.5) / sizes[group], kind="stable")
    return np.sort(shuffled[order[:count]])


def rows_scored(rows: int, epoch: float, *, max_rows: int, early_rows: int) -> int:
    """How many of a split's `rows` a score at that epoch rests on; 0 is no limit.

    At most `max_rows` ever, and at most `early_rows` before the first epoch is over.
    """
    kept = min(rows, max_rows or rows)
    return min(kept, early_rows or kept) if epoch < 1 - CLOSE else kept


def steps_in_epoch(rows: int, batch_size: int) -> int:
    """Optimizer steps in one epoch. A single left-over row joins the batch before it.

    Batch normalisation can't be computed on one row.
    """
    full, rest = divmod(rows, batch_size)
    return max(1, full + (rest > 1 or (rest == 1 and batch_size == 1)))


class BatchOrder:
    """Which of `rows` rows stand in which global batch: every row once an epoch.

    It depends on `seed` and the epoch, not on who trains. Without `lengths` the rows are shuffled.
    With `lengths` (N,), in tokens, rows of about the same length stand together: the shuffled rows
    are cut into mega-batches of `MEGA` batches, each is sorted by length and cut into batches, and
    those are shuffled over the whole epoch. A short last batch stays last, and is drawn before
    anything is sorted, so it holds rows of any length.
    """

    def __init__(
        self, rows: int, batch_size: int, seed: int, *, lengths: NDArray[np.int64] | None = None
    ) -> None:
        self._rows, self._batch_size, self._seed, self._lengths = rows, batch_size, seed, lengths
        self._epoch = -1
        self._order: Rows = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> Rows:
        """The rows of global batch number `step`, counted from the start of training."""
        steps = steps_in_epoch(self._rows, self._batch_size)
        epoch, index = divmod(step, steps)
        if epoch != self._epoch:
            self._order, self._epoch = self._epoch_order(epoch), epoch
        end = None if index == steps - 1 else (index + 1) * self._batch_size
        return self._order[index * self._batch_size : end]

    def _epoch_order(self, epoch: int) -> Rows:
        numbers = np.random.default_rng([self._seed, epoch])
        order = numbers.permutation(self._rows)
        if self._lengths is not None:
            full = self._rows // self._batch_size
            whole, rest = np.split(order, [full * self._batch_size])
            size = MEGA * self._batch_size
            for start in range(0, len(whole), size):
                part = whole[start : start + size]
                part[:] = part[np.argsort(self._lengths[part], kind="stable")]
            batches = whole.reshape(full, self._batch_size)[numbers.permutation(full)]
            order = np.concatenate([batches.reshape(-1), rest])
        order.flags.writeable = False
        return order


def learning_rate_factor(step: int, *, total: int, warmup: float) -> float:
    """The linear schedule: up over the warm-up's share of `total` steps, then down to 0.

    The first step already learns and so does the last one; step `total` would have rate 0.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (total - step) / (total - rising)
