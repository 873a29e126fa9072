from pathlib import Path

import numpy as np
import pytest

from hf_select.errors import InputError
from hf_select.planning import (
    NOISE,
    Budget,
    Skills,
    chances,
    learn_skills,
    parse_budget,
    plan_cells,
    posterior,
    predict_seconds,
)

NAN = np.nan
PAPER = Path(__file__).parents[2] / "shared" / "data" / "paper"


def ones(scores):
    return np.isfinite(scores).astype(np.int64)


def planned(skills, scores, seeds=None, budget=10, cost=None, best=None, **kwargs):
    seeds = ones(scores) if seeds is None else seeds
    means, spreads = posterior(skills, scores, seeds)
    best = means.max(axis=0) if best is None else best
    cost = np.ones(scores.shape) if cost is None else cost
    return plan_cells(
        skills, scores, seeds, means, spreads, best, budget=budget, cost=cost, **kwargs
    )


# -------------------------------------------------------------------------------------- budget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", Budget(seconds=7200)),
        ("90m", Budget(seconds=5400)),
        ("45s", Budget(seconds=45)),
        ("1.5h", Budget(seconds=5400)),
        ("1d", Budget(seconds=86400)),
        (" 20 ", Budget(cells=20)),
    ],
)
def test_budgets(text, expected):
    assert parse_budget(text) == expected
    assert expected.amount == (expected.seconds or expected.cells)


@pytest.mark.parametrize("text", ["", "0", "0h", "-3", "2.5", "2w", "h", "1h30m", "nan"])
def test_bad_budgets(text):
    with pytest.raises(InputError, match="budget is"):
        parse_budget(text)


# ------------------------------------------------------------------------------ what is learned


def test_a_posterior_by_hand():
    """Two benchmarks with variance 4 and covariance 2, noise 1; the first is 3 above its mean."""
    skills = Skills(np.array([1.0, 2.0]), np.array([[4.0, 2.0], [2.0, 4.0]]), np.ones(2))
    mean, spread = posterior(skills, np.array([[4.0, NAN]]), np.array([[1, 0]]))
    np.testing.assert_allclose(mean[0], [1 + 4 / 5 * 3, 2 + 2 / 5 * 3])
    np.testing.assert_allclose(spread[0], [[4 - 16 / 5, 2 - 8 / 5], [2 - 8 / 5, 4 - 4 / 5]])
    _, twice = posterior(skills, np.array([[4.0, NAN]]), np.array([[2, 0]]))
    assert twice[0, 0, 0] == pytest.approx(4 - 16 / 4.5)


def test_a_belief_in_the_mean_becomes_the_posteriors():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4)) / 5 + 0.2
    skills = Skills(rng.normal(size=4), root @ root.T + 0.01 * np.eye(4), np.full(4, 0.01))
    usual = np.sqrt(skills.covariance.mean())
    nothing, none = np.full((3, 4), NAN), np.zeros((3, 4), int)
    effect, spread = np.array([0.1, NAN, -0.2]), np.array([usual / 2, 0.1, 2 * usual])
    mean, covariance = posterior(skills, nothing, none, effect=effect, spread=spread)
    assert (mean[0] - skills.mean).mean() == pytest.approx(0.1)
    assert np.sqrt(covariance[0].mean()) == pytest.approx(usual / 2)
    for i in (1, 2):  # nothing is believed, or less than is known of all models
        np.testing.assert_allclose(mean[i], skills.mean)
        np.testing.assert_allclose(covariance[i], skills.covariance)


def test_learning_finds_what_made_the_scores():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5)) * 0.1
    covariance, level = root @ root.T + 0.002 * np.eye(5), rng.uniform(0.3, 0.8, 5)
    true = rng.multivariate_normal(level, covariance, 600)
    seen = true + rng.normal(0, 0.02, true.shape)
    seen[rng.uniform(size=seen.shape) < 0.3] = NAN
    skills = learn_skills(seen, ones(seen), np.full(5, 0.02))
    np.testing.assert_allclose(skills.mean, level, atol=0.05)
    np.testing.assert_allclose(skills.covariance, covariance, atol=0.2 * covariance.max())
    np.testing.assert_allclose(skills.noise, 0.02**2)


def test_a_benchmark_without_scores_is_like_the_others():
    rng = np.random.default_rng(1)
    scores = 0.5 + rng.normal(0, 0.1, (40, 1)) + rng.normal(0, 0.03, (40, 4))
    scores[:, 3] = NAN
    skills = learn_skills(scores, ones(scores), np.array([0.02, NAN, 0.01, NAN]))
    assert skills.mean[3] == pytest.approx(skills.mean[:3].mean(), abs=0.02)
    variances = np.diag(skills.covariance)
    assert variances[:3].min() * 0.7 < variances[3] < variances[:3].max() * 1.3
    assert skills.covariance[3, 0] > 0.5 * skills.covariance[1, 0]
    np.testing.assert_allclose(skills.noise, np.array([0.02, 0.015, 0.01, 0.015]) ** 2)


def test_learning_from_little_or_nothing():
    for scores in (np.full((2, 3), NAN), np.array([[0.5, NAN, NAN]]), np.full((3, 2), 0.4)):
        skills = learn_skills(scores, ones(scores), np.full(scores.shape[1], NAN))
        assert np.all(np.linalg.eigvalsh(skills.covariance) > 0)
        np.testing.assert_allclose(skills.noise, NOISE**2)


def test_learning_doesnt_depend_on_any_order():
    rng = np.random.default_rng(2)
    scores = rng.uniform(size=(15, 6))
    scores[rng.uniform(size=scores.shape) < 0.3] = NAN
    skills = learn_skills(scores, ones(scores), np.full(6, 0.01))
    rows, columns = rng.permutation(15), rng.permutation(6)
    other = scores[rows][:, columns]
    again = learn_skills(other, ones(other), np.full(6, 0.01))
    np.testing.assert_allclose(again.mean, skills.mean[columns], atol=1e-9)
    np.testing.assert_allclose(
        again.covariance, skills.covariance[np.ix_(columns, columns)], atol=1e-9
    )


def test_chances():
    skills = Skills(np.zeros(1), np.array([[0.16]]), np.ones(1))  # near: within 0.1
    found = chances(
        np.array([[0.4], [0.5], [-9.0]]), np.full((3, 1, 1), 0.01), skills, np.array([0.5])
    )
    np.testing.assert_allclose(found[:, 0], [0.5, 0.8413447, 0], atol=1e-6)


# ------------------------------------------------------------------------------------- the plan

# The first benchmark tells of the second, the third stands alone.
THREE = Skills(
    np.zeros(3),
    np.array([[0.04, 0.036, 0.0], [0.036, 0.04, 0.0], [0.0, 0.0, 0.05]]),
    np.full(3, 1e-4),
)


def test_the_first_anchor_is_the_one_that_tells_most():
    steps, left = planned(THREE, np.full((1, 3), NAN), budget=2)
    # .0399 + .0324 of three against .0499: the trace that a run takes away
    assert [s.dataset for s in steps] == [0, 2]
    assert left == 0
    first = steps[0]
    weight = 0.5987063  # chance of being within .25 sd of the best, which is the mean here
    expected = weight * (0.04**2 + 0.036**2) / 0.0401 / 3
    assert first.gain == pytest.approx(1e4 * expected, rel=1e-6)
    assert first.tells == pytest.approx(0.036**2 / 0.0401 / 0.09)
    assert (first.seeds, first.measured, steps[1].measured) == (0, 0, 1)
    assert first.error == pytest.approx(0.2)


def test_a_cheap_cell_comes_before_a_dear_one():
    cost = np.array([[100.0, 10.0, 100.0]])
    steps, left = planned(THREE, np.full((1, 3), NAN), budget=120, cost=cost, seconds=cost)
    assert [s.dataset for s in steps[:2]] == [1, 2]
    assert steps[0].seconds == 10
    assert left == pytest.approx(120 - sum(s.seconds for s in steps))
    nothing, left = planned(THREE, np.full((1, 3), NAN), budget=5, cost=cost)
    assert (nothing, left) == ([], 5)


def test_models_that_may_be_best_come_before_hopeless_ones():
    alike = Skills(np.zeros(3), 0.03 + 0.01 * np.eye(3), np.full(3, 1e-4))
    scores = np.array([[-0.6, NAN, NAN], [0.3, NAN, NAN]])
    steps, _ = planned(alike, scores, budget=2)
    assert [s.model for s in steps] == [1, 1]
    assert steps[0].chance > 0.3


def test_a_second_seed_is_planned_where_it_tells_more_than_a_new_cell():
    noisy = Skills(THREE.mean, THREE.covariance, np.array([0.03, 0.03, 1e-4]))
    scores = np.array([[0.2, 0.2, 0.2]])
    steps, _ = planned(noisy, scores, budget=3)
    assert {s.dataset for s in steps} == {0, 1}  # the quiet one never
    assert [s.seeds for s in steps if s.dataset == steps[0].dataset] == [1, 2]
    quiet, _ = planned(THREE, np.array([[0.2, 0.2, NAN]]), budget=1)
    assert (quiet[0].dataset, quiet[0].seeds) == (2, 0)
    known = np.array([[0.2, 0.2, 0.2]])
    assert planned(THREE, known, seeds=np.full((1, 3), 10**6), budget=5) == ([], 5)


def test_only_what_is_allowed():
    allowed = np.array([[False, False, True], [True, False, False]])
    steps, _ = planned(THREE, np.full((2, 3), NAN), budget=2, allowed=allowed)
    assert {(s.model, s.dataset) for s in steps} == {(0, 2), (1, 0)}
    assert planned(THREE, np.full((2, 3), NAN), allowed=np.zeros((2, 3), bool))[0] == []


def test_a_plan_is_greedy_and_its_gains_fall():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 6)) * 0.1
    skills = Skills(rng.normal(size=6), root @ root.T + 1e-3 * np.eye(6), np.full(6, 4e-4))
    scores = np.where(rng.uniform(size=(8, 6)) < 0.4, rng.normal(size=(8, 6)) * 0.1, NAN)
    steps, _ = planned(skills, scores, budget=25)
    gains = [s.gain for s in steps]
    assert gains == sorted(gains, reverse=True)
    rows, columns = rng.permutation(8), rng.permutation(6)
    other = Skills(skills.mean[columns], skills.covariance[np.ix_(columns, columns)], skills.noise)
    again, _ = planned(other, scores[rows][:, columns], budget=25)
    assert [(rows[s.model], columns[s.dataset]) for s in again] == [
        (s.model, s.dataset) for s in steps
    ]


def matrix_of(kind):
    if not PAPER.is_dir():
        pytest.skip("the paper's matrices are not here")
    lines = (PAPER / f"{kind}_matrix.txt").read_text().rstrip("\n").split("\n")
    return np.array([[float(x) for x in line.split("\t")] for line in lines[1:]]).T


def anchors(skills: Skills, count: int) -> list[int]:
    """The benchmarks to measure a model on first of which nothing is known, best first."""
    datasets = len(skills.mean)
    nothing, none = np.full((1, datasets), NAN), np.zeros((1, datasets), dtype=np.int64)
    means, covariances = posterior(skills, nothing, none)
    rivals, each = np.full(datasets, -np.inf), np.ones((1, datasets))
    steps, _ = plan_cells(
        skills, nothing, none, means, covariances, rivals, budget=count, cost=each
    )
    return [step.dataset for step in steps]


def test_a_few_anchors_tell_of_the_rest_on_the_papers_text_matrix():
    """Leave one model out: the others teach the covariance and choose the anchors."""
    scores = matrix_of("nlp")
    models, datasets = scores.shape
    errors, plain = {n: [] for n in (0, 1, 5)}, []
    for i in range(models):
        rest = np.delete(scores, i, axis=0)
        skills = learn_skills(rest, ones(rest), np.full(datasets, NAN))
        chosen = anchors(skills, 5)
        for n, found in errors.items():
            row = np.full((1, datasets), NAN)
            row[0, chosen[:n]] = scores[i, chosen[:n]]
            mean, _ = posterior(skills, row, ones(row))
            left = [j for j in range(datasets) if j not in chosen[:n]]
            found.extend(mean[0, left] - scores[i, left])
            if n == 5:
                plain.extend(skills.mean[left] - scores[i, left])
    rmse = {n: float(np.sqrt(np.mean(np.square(v)))) for n, v in errors.items()}
    assert rmse[0] == pytest.approx(0.078, abs=0.0005)
    assert rmse[1] < 0.061
    assert rmse[5] < 0.045
    assert rmse[5] < 0.7 * np.sqrt(np.mean(np.square(plain)))  # of the very same cells


# ------------------------------------------------------------------------------------- seconds


def test_seconds_of_models_and_benchmarks_that_were_run():
    """A factor for each row and column: exact where it holds."""
    seconds = np.outer([1.0, 2.0, 4.0], [10.0, 30.0, 50.0])
    gaps = seconds.copy()
    gaps[0, 2] = gaps[2, 1] = NAN
    np.testing.assert_allclose(predict_seconds(gaps, ["a"] * 3, [0] * 3), seconds, rtol=1e-3)


def test_seconds_of_a_new_model_are_those_of_its_kind_and_size():
    seconds = np.full((7, 2), NAN)
    seconds[:4] = np.outer([1.0, 8.0, 3.0, 3.2], [10.0, 20.0])
    kinds = ["bert", "bert", "vit", "vit", "bert", "vit", "gpt"]
    sizes = [10, 80, 30, 30, 90, 0, 11]
    found = predict_seconds(seconds, kinds, sizes)
    np.testing.assert_allclose(found[4], [80, 160])  # the big one of its kind
    np.testing.assert_allclose(found[5], found[2:4].mean(axis=0), rtol=0.01)  # its kind
    np.testing.assert_allclose(found[6], [10, 20])  # no such kind: its size
    new = predict_seconds(np.column_stack([seconds, [NAN] * 7]), kinds, sizes)
    np.testing.assert_allclose(new[0, 2], np.sqrt(200))  # like the median benchmark, in logs


def test_seconds_where_there_are_none():
    assert np.isnan(predict_seconds(np.full((2, 3), NAN), ["", ""], [0, 0])).all()
    assert np.isnan(predict_seconds(np.zeros((1, 1)), [""], [0])).all()
