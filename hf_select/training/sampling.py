"""Which rows are trained on and in which order: the same for any number of processes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

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


def batch_rows(step: int, *, rows: int, batch_size: int, seed: int) -> Rows:
    """The rows of global batch number `step`, counted from the start of training."""
    steps = steps_in_epoch(rows, batch_size)
    epoch, index = divmod(step, steps)
    order = _epoch_order(rows, seed, epoch)
    end = None if index == steps - 1 else (index + 1) * batch_size
    return order[index * batch_size : end]


@lru_cache(maxsize=16)
def _epoch_order(rows: int, seed: int, epoch: int) -> Rows:
    order = np.random.default_rng([seed, epoch]).permutation(rows)
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
