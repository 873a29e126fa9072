import numpy as np
import pytest

from hf_select.training.sampling import (
    batch_rows,
    learning_rate_factor,
    rows_scored,
    steps_in_epoch,
    stratified_rows,
)


def test_stratified_rows_keep_the_shares_of_the_classes():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    rows = stratified_rows(labels, 20, seed=3)
    assert np.bincount(labels[rows]).tolist() == [12, 6, 2]
    assert (np.diff(rows) > 0).all()


def test_stratified_rows_spread_over_real_values():
    labels = np.linspace(0, 1, 1000)
    rows = stratified_rows(labels, 50, seed=0)
    assert np.bincount((labels[rows] * 9.999).astype(int), minlength=10).tolist() == [5] * 10


@pytest.mark.parametrize(
    ("rows", "max_rows", "early_rows", "early", "late"),
    [
        (1000, 0, 0, 1000, 1000),
        (1000, 0, 500, 500, 1000),
        (1000, 700, 500, 500, 700),
        (1000, 300, 500, 300, 300),
        (200, 700, 500, 200, 200),
    ],
)
def test_how_many_rows_a_score_rests_on(rows, max_rows, early_rows, early, late):
    limits = {"max_rows": max_rows, "early_rows": early_rows}
    assert [rows_scored(rows, e, **limits) for e in (0.1, 0.99)] == [early, early]
    assert [rows_scored(rows, e, **limits) for e in (1 - 1e-12, 1, 4)] == [late] * 3


def test_stratified_rows_differ_by_seed_and_repeat():
    labels = np.arange(100) % 4
    first = stratified_rows(labels, 10, seed=1)
    assert first.tolist() == stratified_rows(labels, 10, seed=1).tolist()
    assert first.tolist() != stratified_rows(labels, 10, seed=2).tolist()


@pytest.mark.parametrize("count", [0, 7, 8])
def test_stratified_rows_of_all_or_more_are_all(count):
    assert stratified_rows(np.zeros(7, dtype=int), count, seed=0).tolist() == list(range(7))


@pytest.mark.parametrize(
    ("rows", "batch_size", "steps"),
    [(16, 8, 2), (17, 8, 2), (18, 8, 3), (3, 8, 1), (1, 8, 1), (5, 1, 5)],
)
def test_an_epoch_has_every_row_once(rows, batch_size, steps):
    assert steps_in_epoch(rows, batch_size) == steps
    for epoch in range(2):
        batches = [
            batch_rows(epoch * steps + i, rows=rows, batch_size=batch_size, seed=5)
            for i in range(steps)
        ]
        assert sorted(np.concatenate(batches).tolist()) == list(range(rows))
    sizes = [len(batch) for batch in batches]
    assert 1 not in sizes or rows == 1 or batch_size == 1  # batch normalisation needs two


def test_epochs_and_seeds_have_their_own_order():
    def order(step, seed):
        return batch_rows(step, rows=32, batch_size=32, seed=seed).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(1, 1)
    assert order(0, 1) != order(0, 2)


def test_the_schedule_warms_up_and_falls_to_zero_at_the_horizon():
    factors = [learning_rate_factor(step, total=20, warmup=0.2) for step in range(20)]
    np.testing.assert_allclose(factors[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(factors[5:], [(20 - s) / 16 for s in range(5, 20)])
    assert learning_rate_factor(20, total=20, warmup=0.2) == 0
    assert learning_rate_factor(0, total=20, warmup=0.0) == 1
