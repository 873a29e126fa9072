"""Metrics: hand-worked values, the trivial predictor, and skill."""

import numpy as np
import pytest

from hf_select.errors import UnknownNameError
from hf_select.metrics import METRICS, get_metric

CLASSES = np.array([0, 0, 0, 1, 1, 2])
ANSWERS = np.array([0, 0, 1, 1, 1, 2])
TAGS = np.array(["B-PER", "I-PER", "O", "B-LOC", "", "B-LOC", "O", "O"])
SAID = np.array(["B-PER", "I-PER", "O", "B-PER", "", "B-LOC", "I-LOC", "O"])
VALUES = np.array([1.0, 2.0, 3.0, 4.0])
GUESSES = np.array([1.0, 2.0, 3.0, 6.0])


def data(metric):
    """(predictions, references) of the metric's kind."""
    if metric.sequences:
        return SAID, TAGS
    return (ANSWERS, CLASSES) if metric.kind == "classification" else (GUESSES, VALUES)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("accuracy", 5 / 6),
        # class 0: precision 1, recall 2/3, F1 .8; class 1: 2/3, 1, .8; class 2: 1
        ("f1", (0.8 + 0.8 + 1.0) / 3),
        # c s - sum p t = 5 * 6 - (2 * 3 + 3 * 2 + 1); s^2 - sum p^2 = 22, s^2 - sum t^2 = 22
        ("matthews_correlation", 17 / 22),
        # three spans each, of which one is the same: (0, 1, PER)
        ("seqeval_f1", 1 / 3),
        ("mse", 1.0),
        ("rmse", 1.0),
        ("mae", 0.5),
        ("r2", 1 - 4 / 5),
        # sum of (x - 3)(y - 2.5) = 8; squares 14 and 5
        ("pearson", 8 / np.sqrt(70)),
        ("spearman", 1.0),
    ],
)
def test_hand_worked_values(name, score):
    metric = get_metric(name)
    assert metric(*data(metric)) == pytest.approx(score)


def test_every_metric_has_a_hand_worked_value():
    assert len(METRICS) == 10


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_of_every_metric(metric):
    predictions, references = data(metric)
    score, trivial = metric(predictions, references), metric.trivial(references)
    assert metric(references, references) == pytest.approx(metric.perfect)
    assert metric.valid(score)
    assert metric.valid(metric.perfect)
    assert not metric.valid(float("nan"))
    assert metric.direction * (metric.perfect - trivial) > 0
    # skill: 0 = trivial, 1 = perfect, and back
    assert metric.skill(trivial, trivial) == pytest.approx(0.0)
    assert metric.skill(metric.perfect, trivial) == pytest.approx(1.0)
    assert 0 < metric.skill(score, trivial) <= 1
    assert metric.unskill(metric.skill(score, trivial), trivial) == pytest.approx(score)
    if metric.sequences:  # the order of words does matter
        return
    # the order of rows doesn't matter
    order = np.random.default_rng(0).permutation(len(references))
    assert metric(predictions[order], references[order]) == pytest.approx(score)


@pytest.mark.parametrize("name", ["accuracy", "f1", "matthews_correlation"])
def test_labels_can_be_renamed(name):
    metric, new = get_metric(name), np.array([7, 3, 5])
    assert metric(new[ANSWERS], new[CLASSES]) == pytest.approx(metric(ANSWERS, CLASSES))


def test_trivial_predictors():
    assert get_metric("accuracy").trivial(CLASSES) == 0.5
    assert get_metric("matthews_correlation").trivial(CLASSES) == 0.0
    assert get_metric("f1").trivial(CLASSES) == pytest.approx(2 / 9)  # F1 of class 0 is 2/3
    assert get_metric("rmse").trivial(VALUES) == pytest.approx(np.std(VALUES))
    assert get_metric("mae").trivial(VALUES) == 1.0
    for name in ("r2", "pearson", "spearman"):
        assert get_metric(name).trivial(VALUES) == 0.0
    assert get_metric("accuracy").trivial(np.array(["b", "a", "b"])) == pytest.approx(2 / 3)


def test_skill_of_columns_and_unknown_baselines():
    accuracy, rmse = get_metric("accuracy"), get_metric("rmse")
    np.testing.assert_allclose(
        accuracy.skill(np.array([0.9, 0.4, np.nan]), 0.5), [0.8, -0.2, np.nan]
    )
    assert accuracy.skill(0.9, np.nan) == 0.9
    assert np.isnan(rmse.skill(0.9, np.nan))  # no scale to judge it by
    assert np.isnan(accuracy.skill(1.0, 1.0))  # nothing to gain
    assert rmse.skill(5.0, 4.0) == -0.25


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_constant_prediction_correlates_with_nothing(offset):
    constant = np.full(4, 0.1 + offset)
    assert get_metric("pearson")(constant, VALUES) == 0.0
    assert get_metric("spearman")(constant, VALUES) == 0.0
    assert get_metric("matthews_correlation")(np.zeros(6, int), CLASSES) == 0.0


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e6])
def test_pearson_does_not_depend_on_the_scale(scale):
    score = get_metric("pearson")(GUESSES * scale, VALUES * scale)
    assert score == pytest.approx(8 / np.sqrt(70))


def test_pearson_stays_within_its_bounds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.standard_normal(5)
        for y in (2 * x + 1, -3 * x):
            assert get_metric("pearson").valid(get_metric("pearson")(x, y))


def test_all_equal_references_have_no_r2():
    assert np.isnan(get_metric("r2")(VALUES, np.ones(4)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_shapes_must_fit(metric):
    for predictions, references in (([], []), ([1], [1, 2]), ([[1]], [1])):
        with pytest.raises(ValueError, match="same, non-empty shape"):
            metric(np.array(predictions), np.array(references))


def test_an_unknown_metric_lists_the_others():
    with pytest.raises(UnknownNameError, match="'acuracy'") as error:
        get_metric("acuracy")
    assert "did you mean 'accuracy'" in error.value.hint
    assert "spearman" in error.value.hint


def test_a_point_of_a_score_and_of_an_error():
    assert get_metric("accuracy").points(0.02, 0.7) == pytest.approx(2)  # a hundredth of the score
    assert get_metric("pearson").points(0.02, 0.0) == pytest.approx(2)
    assert get_metric("rmse").points(0.02, 2.0) == pytest.approx(1)  # 1 % of the mean's error
    assert get_metric("mse").points(0.02, 4.0) == pytest.approx(0.5)  # as of R2
    assert get_metric("mae").points(0.02, np.nan) == pytest.approx(2)  # of the metric's own unit
    assert get_metric("rmse").points([0.1, -0.1], [1.0, 2.0]).tolist() == [10, -5]


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_policy_and_a_regret_count_points_alike(metric):
    from hf_select.selection.run import Scale

    trivial = 3.0 if not metric.higher_is_better else 0.4 * (metric.name != "r2")
    scale = Scale(metric, trivial)
    better, worse = scale.to_raw(0.6), scale.to_raw(0.6 - scale.point)
    gain = metric.direction * (better - worse)
    assert metric.points(gain, trivial) == pytest.approx(1.0)


def test_errors_have_hardly_any_noise_beside_the_mean_s_on_the_same_rows():
    """By drawing: the deviation of skill over samples of rows, where R2 is known."""
    rng, rows = np.random.default_rng(0), 200
    for explained in (0.05, 0.4, 0.8):
        found = {name: [] for name in ("rmse", "mse", "r2", "mae")}
        for _ in range(400):
            said = rng.normal(0, np.sqrt(explained), rows)
            truth = said + rng.normal(0, np.sqrt(1 - explained), rows)
            for name, skills in found.items():
                metric = get_metric(name)
                skills.append(metric.skill(metric(said, truth), metric.trivial(truth)))
        for name, skills in found.items():
            expected = np.sqrt(get_metric(name).skill_variance(np.mean(skills), 1.0) / rows)
            assert np.std(skills) == pytest.approx(expected, rel=0.3), (name, explained)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_noise_is_finite_and_positive_whatever_the_skill(metric):
    skills = np.array([-20.0, -1.0, -0.1, 0.0, 0.01, 0.5, 0.99, 1.0])
    for variance in (metric.row_variance(skills, 0.5), metric.skill_variance(skills, 0.5)):
        assert np.isfinite(variance).all()
        assert (variance > 0).all()


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("evaluate:mae", "mae"),
        ("evaluate:mse", "mse"),
        ("evaluate:mse:squared=False", "rmse"),
        ("evaluate:pearsonr", "pearson"),
        ("evaluate:spearmanr", "spearman"),
        ("evaluate:r_squared", "r2"),
        ("evaluate:accuracy", "accuracy"),
        ("evaluate:matthews_correlation", "matthews_correlation"),
    ],
)
def test_the_same_metric_of_evaluate_is_as_noisy_as_ours(foreign, ours):
    skills = np.array([-0.2, 0.1, 0.5, 0.9])
    for name in ("row_variance", "skill_variance"):
        got = getattr(get_metric(foreign), name)(skills, 0.4)
        np.testing.assert_array_equal(got, getattr(get_metric(ours), name)(skills, 0.4))
