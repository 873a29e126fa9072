"""Runs to arrays, and filling missing cells."""

import numpy as np
import pytest
from made import TASK, run

from hf_select.errors import RecordError
from hf_select.records import LearningCurve
from hf_select.results.matrix import (
    curve_set,
    dataset_name,
    impute,
    matrix_table,
    performance_matrix,
    recorded,
)

NAN = float("nan")


# ------------------------------------------------------------------------- runs -> arrays


def test_mean_and_spread_over_seeds():
    runs = [
        run("b", "x", 0.6, seed=0),
        run("b", "x", 0.8, seed=1),
        run("a", "x", 0.5),
        run("a", "y", 0.9, baseline=0.25),
    ]
    matrix = performance_matrix(runs, task=TASK, recipe="r")
    assert matrix.models == ("a", "b")
    assert matrix.datasets == ("x", "y")
    np.testing.assert_allclose(matrix.scores, [[0.5, 0.9], [0.7, NAN]])
    # standard deviation of .6 and .8 with n - 1: sqrt(.02)
    np.testing.assert_allclose(matrix.spread, [[NAN, NAN], [np.sqrt(0.02), NAN]])
    assert matrix.baselines.tolist() == [0.5, 0.25]
    assert matrix.metrics == ("accuracy", "accuracy")
    assert (matrix.task, matrix.recipe) == (TASK, "r")


def test_a_failed_run_is_a_gap_and_never_a_zero():
    runs = [
        run("a", "x"),
        run("a", "y"),
        run("b", "y"),
        run("b", "x", status="diverged"),
        run("c", "x", status="oom"),
    ]
    matrix = performance_matrix(runs)
    assert matrix.models == ("a", "b")  # nothing is known of c
    np.testing.assert_array_equal(matrix.scores, [[0.75, 0.75], [NAN, 0.75]])


def test_the_order_of_runs_does_not_matter():
    runs = [run(m, d, s / 10, seed=s) for m in "abc" for d in "xyz" for s in range(3)]
    one, two = performance_matrix(runs), performance_matrix(runs[::-1])
    np.testing.assert_allclose(one.scores, two.scores)
    np.testing.assert_array_equal(curve_set(runs).test, curve_set(runs[::-1]).test)


def test_of_two_model_revisions_the_newest_counts():
    new = {"model_revision": "f" * 40}
    runs = [
        run("a", "x", 0.5, created="2025-01-01"),
        run("a", "y", 0.5, created="2025-01-01"),
        run("a", "x", 0.9, created="2025-01-02", key=new),
        run("b", "y", 0.4),
    ]
    matrix = performance_matrix(runs)
    np.testing.assert_array_equal(matrix.scores, [[0.9, NAN], [NAN, 0.4]])
    failed = run("a", "x", status="oom", created="2025-03-03", key={"model_revision": "e" * 40})
    np.testing.assert_array_equal(performance_matrix([*runs, failed]).scores, matrix.scores)


def test_a_column_is_of_one_dataset_revision_and_one_metric():
    other = {"dataset_revision": "f" * 40}
    runs = [
        run("a", "x", 0.5),
        run("b", "x", 0.6),
        run("a", "x", 0.9, key=other, created="2026-01-01"),
        run("c", "x", 0.9, key=other, metric="f1", created="2026-01-01"),
    ]
    assert performance_matrix(runs).scores.tolist() == [[0.5], [0.6]]
    matrix = performance_matrix(runs, metric="f1")
    assert (matrix.models, matrix.metrics) == (("c",), ("f1",))
    with pytest.raises(RecordError, match="rmse"):
        performance_matrix(runs, metric="rmse")


def test_configs_of_one_dataset_are_columns_of_their_own():
    runs = [run("a", "glue", 0.5, key={"config": c}) for c in ("cola", "sst2")]
    assert performance_matrix(runs).datasets == ("glue/cola", "glue/sst2")
    assert dataset_name("glue", "") == "glue"


def test_recipes_are_never_mixed():
    with pytest.raises(RecordError, match="2"):
        performance_matrix([run(), run("b", key={"recipe": "another"})])


def test_nothing_to_make_a_matrix_of():
    for runs in ([], [run(status="failed")]):
        with pytest.raises(RecordError, match="no successful run"):
            performance_matrix(runs)


def test_curves_lie_on_the_union_of_their_points():
    short, fine = LearningCurve.of([1, 2], [0.3, 0.4]), LearningCurve.of([0.1, 2], [0.2, 0.5])
    curves = curve_set([run("a", curve=short), run("b", curve=fine, seed=3)])
    assert curves.task == TASK
    assert curves.epochs.tolist() == [0.1, 1.0, 2.0]
    assert curves.seeds == (0, 3)
    np.testing.assert_array_equal(curves.val[0, 0, 0], [NAN, 0.3, 0.4])
    np.testing.assert_array_equal(curves.val[1, 0, 1], [0.2, NAN, 0.5])
    assert np.isnan(curves.val[0, 0, 1]).all()
    np.testing.assert_array_equal(curves.test[:, 0], [[0.75, NAN], [NAN, 0.75]])
    assert curves.curve("b", "x", 3).epochs.tolist() == [0.1, 2.0]
    assert len(curves.curve("b", "x", 0)) == 0


def test_points_that_differ_by_rounding_are_one():
    third = 0.1 + 0.2
    runs = [
        run("a", curve=LearningCurve.of([0.3], [0.5])),
        run("b", curve=LearningCurve.of([third], [0.6])),
    ]
    curves = curve_set(runs)
    assert curves.val[:, 0, 0].tolist() == [[0.5], [0.6]]


def test_runs_without_a_curve_leave_an_empty_grid():
    curves = curve_set([run(curve=LearningCurve.empty())])
    assert curves.val.shape == (1, 1, 1, 0)
    assert curves.test.tolist() == [[[0.75]]]


def test_matrix_and_curves_have_the_same_rows_and_columns():
    runs = [run("a", "x"), run("b", "y", 0.5, key={"model_revision": "1" * 40})]
    matrix, curves = performance_matrix(runs), curve_set(runs)
    assert (matrix.models, matrix.datasets) == (curves.models, curves.datasets)
    np.testing.assert_array_equal(curves.test[:, :, 0], matrix.scores)


def test_the_long_table_has_one_row_a_measured_cell():
    runs = [run("a", "x", 0.5), run("a", "x", 0.7, seed=1), run("b", "y", 0.9)]
    runs.append(run("c", "x", 0.1, key={"recipe": "zzz"}))
    table = matrix_table(recorded(runs, task=TASK).values())
    rows = list(zip(*(table[n] for n in ("model", "dataset", "score", "seeds")), strict=True))
    assert rows == [("a", "x", pytest.approx(0.6), 2), ("b", "y", 0.9, 1), ("c", "x", 0.1, 1)]
    assert table["recipe"][2] == "zzz"
    assert all(len(column) == 3 for column in table.values())
    assert matrix_table([])["model"] == []


# ------------------------------------------------------------------------- missing cells


def hide(scores: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """A copy with that share of cells NaN, and at least two left in every row and column."""
    rng = np.random.default_rng(seed)
    hidden = scores.copy()
    for i, j in rng.permutation(list(np.ndindex(scores.shape)))[: int(share * scores.size)]:
        cell = hidden[i, j]
        hidden[i, j] = NAN
        if (~np.isnan(hidden[i])).sum() < 2 or (~np.isnan(hidden[:, j])).sum() < 2:
            hidden[i, j] = cell
    return hidden


def rmse(filled: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> float:
    gaps = np.isnan(hidden)
    return float(np.sqrt(np.mean((filled - truth)[gaps] ** 2)))


def column_means(hidden: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(hidden), np.nanmean(hidden, axis=0), hidden)


def additive(rng: np.random.Generator, m: int = 30, d: int = 12) -> np.ndarray:
    return 0.6 + 0.1 * rng.standard_normal((m, 1)) + 0.15 * rng.standard_normal((1, d))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_an_additive_matrix_is_recovered(share):
    truth = additive(np.random.default_rng(1))
    hidden = hide(truth, share)
    filled, _ = impute(hidden)
    assert rmse(filled, truth, hidden) < 0.2 * rmse(column_means(hidden), truth, hidden)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_matrix_of_low_rank_is_recovered(rank):
    rng = np.random.default_rng(2)
    truth = 0.5 + 0.1 * rng.standard_normal((40, rank)) @ rng.standard_normal((rank, 15))
    hidden = hide(truth, 0.3)
    filled, _ = impute(hidden)
    assert rmse(filled, truth, hidden) < 0.3 * rmse(column_means(hidden), truth, hidden)


def test_noise_does_not_call_for_a_higher_rank():
    rng = np.random.default_rng(3)
    truth = additive(rng)
    hidden = hide(truth + 0.03 * rng.standard_normal(truth.shape), 0.5)
    filled, variance = impute(hidden)
    error = rmse(filled, truth, hidden)
    assert error < 0.03
    gaps = np.isnan(hidden)
    # the variance is that of a new measurement: noise plus error of the fit
    expected = np.sqrt(0.03**2 + error**2)
    assert np.sqrt(variance[gaps].mean()) == pytest.approx(expected, rel=0.3)


def test_measured_cells_stay_as_they_are():
    hidden = hide(additive(np.random.default_rng(4)), 0.4)
    filled, variance = impute(hidden)
    known = ~np.isnan(hidden)
    np.testing.assert_array_equal(filled[known], hidden[known])
    assert (variance[known] == 0).all()
    assert (variance[~known] > 0).all()
    assert not np.isnan(filled).any()


def test_rows_and_columns_without_any_cell_are_left_alone():
    hidden = hide(additive(np.random.default_rng(5)), 0.3)
    hidden[3], hidden[:, 2] = NAN, NAN
    filled, variance = impute(hidden)
    assert np.isnan(filled[3]).all()
    assert np.isnan(filled[:, 2]).all()
    assert np.isnan(variance[3]).all()
    rest = np.ix_(np.arange(30) != 3, np.arange(12) != 2)
    assert not np.isnan(filled[rest]).any()
    np.testing.assert_allclose(filled[rest], impute(hidden[rest])[0])


def test_a_row_with_few_cells_is_less_certain():
    hidden = hide(additive(np.random.default_rng(6)), 0.3)
    hidden[0, 1:], hidden[0, 0] = NAN, 0.5
    _, variance = impute(hidden)
    for j in range(1, 12):
        assert variance[0, j] > variance[1:, j].max()


@pytest.mark.parametrize(
    "scores",
    [
        np.full((3, 2), NAN),
        np.ones((3, 2)),
        np.array([[0.5, NAN]]),
        np.array([[0.5, NAN], [NAN, 0.7]]),
        np.array([[0.5], [NAN]]),
        np.full((4, 4), 0.5) + np.where(np.eye(4) > 0, NAN, 0),
        np.empty((0, 3)),
    ],
)
def test_small_and_odd_matrices(scores):
    filled, variance = impute(scores)
    reachable = (~np.isnan(scores)).any(1)[:, None] & (~np.isnan(scores)).any(0)
    np.testing.assert_array_equal(np.isnan(filled), ~reachable)
    np.testing.assert_array_equal(np.isnan(variance), ~reachable)
    assert (variance[reachable] >= 0).all()


def test_same_seed_same_answer_and_models_may_come_in_any_order():
    hidden = hide(additive(np.random.default_rng(7)), 0.4)
    np.testing.assert_array_equal(impute(hidden)[0], impute(hidden)[0])
    back = impute(hidden[::-1])[0][::-1]
    np.testing.assert_allclose(back, impute(hidden)[0], atol=1e-3)
