import numpy as np
import pytest

from hf_select.training.sampling import (
    BatchOrder,
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


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("rows", "batch_size", "steps"),
    [(16, 8, 2), (17, 8, 2), (18, 8, 3), (3, 8, 1), (1, 8, 1), (5, 1, 5), (1700, 8, 213)],
)
def test_an_epoch_has_every_row_once(rows, batch_size, steps, grouped):
    lengths = np.random.default_rng(0).integers(1, 90, rows) if grouped else None
    order = BatchOrder(rows, batch_size, 5, lengths=lengths)
    assert steps_in_epoch(rows, batch_size) == steps
    for epoch in range(2):
        batches = [order.batch(epoch * steps + i) for i in range(steps)]
        assert sorted(np.concatenate(batches).tolist()) == list(range(rows))
    sizes = [len(batch) for batch in batches]
    assert 1 not in sizes or rows == 1 or batch_size == 1  # batch normalisation needs two
    assert set(sizes[:-1]) <= {batch_size}


@pytest.mark.parametrize("grouped", [False, True])
def test_epochs_and_seeds_have_their_own_order(grouped):
    lengths = np.arange(64) % 9 if grouped else None

    def rows(step, seed):
        return BatchOrder(64, 8, seed, lengths=lengths).batch(step).tolist()

    assert rows(0, 1) == rows(0, 1)
    assert rows(0, 1) != rows(8, 1)
    assert rows(0, 1) != rows(0, 2)


def test_the_order_of_a_shuffled_epoch_is_the_recorded_one():
    """The shipped record was trained in this order."""
    expected = np.random.default_rng([7, 1]).permutation(20)
    order = BatchOrder(20, 8, 7)
    assert np.concatenate([order.batch(3), order.batch(4), order.batch(5)]).tolist() == (
        expected.tolist()
    )
    assert order.batch(0).tolist() == np.random.default_rng([7, 0]).permutation(20)[:8].tolist()


def test_grouped_batches_hold_rows_of_one_length_and_come_in_any_order():
    lengths = np.random.default_rng(0).integers(1, 100, 1003)
    order = BatchOrder(1003, 10, 3, lengths=lengths)
    batches = [lengths[order.batch(i)] for i in range(steps_in_epoch(1003, 10))]
    spreads = [np.ptp(batch) for batch in batches[:-1]]
    assert max(spreads) <= 25  # of a mega-batch of 500 rows, ten neighbours
    assert np.mean(spreads) < 4
    means = np.array([batch.mean() for batch in batches[:-1]])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
    shuffled = BatchOrder(1003, 10, 3)
    assert order.batch(100).tolist() == shuffled.batch(100).tolist()  # the short one


def test_the_schedule_warms_up_and_falls_to_zero_at_the_horizon():
    factors = [learning_rate_factor(step, total=20, warmup=0.2) for step in range(20)]
    np.testing.assert_allclose(factors[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(factors[5:], [(20 - s) / 16 for s in range(5, 20)])
    assert learning_rate_factor(20, total=20, warmup=0.2) == 0
    assert learning_rate_factor(0, total=20, warmup=0.0) == 1
