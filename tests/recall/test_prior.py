import numpy as np
import pytest

from hf_select.recall.prior import fit_prior

NAN = np.nan


def skills(models=30, sets=8, seed=0, noise=0.05, gaps=0.0):
    """True strengths (M,), and a matrix of them with levels, noise and gaps."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 0.1, models)
    skill = 0.6 + rng.normal(0, 0.2, sets) + strength[:, None]
    skill = skill + rng.normal(0, noise, skill.shape)
    return strength, np.where(rng.random(skill.shape) < gaps, NAN, skill)


def test_without_noise_the_strengths_come_back():
    strength = np.array([0.2, 0.1, -0.1, -0.2])
    prior = fit_prior(0.5 + np.array([0.1, -0.1, 0.0]) + strength[:, None])
    np.testing.assert_allclose(prior.strength, strength, atol=0.01)
    np.testing.assert_allclose(prior.level, [0.6, 0.4, 0.5], atol=0.01)
    np.testing.assert_allclose(prior.loading, 1, atol=0.02)


def test_a_benchmark_that_disagrees_with_the_others_counts_less():
    strength, skill = skills(noise=0.02)
    rng = np.random.default_rng(1)
    skill[:, 0] = 0.5 + rng.normal(0, 0.4, len(skill))  # wide, and about something else
    prior = fit_prior(skill)
    assert np.argmax(prior.noise) == 0
    ours = np.corrcoef(prior.strength, strength)[0, 1]
    assert ours > np.corrcoef(skill.mean(axis=1), strength)[0, 1] + 0.1
    assert ours > 0.95


def test_easy_benchmarks_make_nobody_strong():
    skill = np.array([[0.9, 0.9, NAN, NAN], [0.8, 0.8, 0.4, 0.4], [0.9, 0.9, 0.5, 0.5]] * 3)
    prior = fit_prior(skill)
    # the first has the highest mean, and is as good as the third where it was measured
    assert np.nanmean(skill[0]) > np.nanmean(skill[2])
    assert prior.strength[0] == pytest.approx(prior.strength[2], abs=0.02)
    assert prior.strength[0] > prior.strength[1]


def test_little_measured_is_drawn_to_the_average_and_less_certain():
    _, skill = skills(noise=0.1)
    few = skill.copy()
    few[0, 1:] = NAN
    whole, part = fit_prior(skill), fit_prior(few)
    assert part.variance[0] > 2 * whole.variance[0]
    assert abs(part.strength[0]) <= abs(few[0, 0] - part.level[0])
    none = few.copy()
    none[0] = NAN
    prior = fit_prior(none)
    assert prior.strength[0] == 0
    assert prior.variance[0] == pytest.approx(prior.total)


def test_leaving_one_out_is_as_if_it_had_not_been_measured():
    _, skill = skills(models=40, sets=10, noise=0.05)
    strength, variance = fit_prior(skill).leave_out()
    for j in (0, 7):
        without = skill.copy()
        without[:, j] = NAN
        np.testing.assert_allclose(strength[:, j], fit_prior(without).strength, atol=0.02)
    assert (variance > fit_prior(skill).variance[:, None]).all()


def test_gaps_hardly_change_it():
    strength, skill = skills(models=60, sets=12, noise=0.03, gaps=0.4)
    assert np.corrcoef(fit_prior(skill).strength, strength)[0, 1] > 0.95


def test_order_does_not_matter():
    _, skill = skills(gaps=0.2)
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(len(skill)), rng.permutation(skill.shape[1])
    here, there = fit_prior(skill), fit_prior(skill[rows][:, columns])
    np.testing.assert_allclose(there.strength, here.strength[rows], atol=1e-12)
    np.testing.assert_allclose(there.level, here.level[columns], atol=1e-12)


@pytest.mark.parametrize(
    "skill",
    [
        [[0.5]],
        [[0.5, 0.5], [0.5, 0.5]],
        [[0.5, NAN], [NAN, 0.5]],
        [[0.5, NAN], [0.7, NAN]],
        [[NAN, NAN], [0.7, 0.1]],
    ],
)
def test_defined_for_whatever_is_there(skill):
    prior = fit_prior(np.array(skill))
    assert np.isfinite(prior.strength).all()
    assert np.isfinite(prior.variance).all()
    assert (prior.variance > 0).all()
    assert np.isfinite(prior.level).tolist() == np.isfinite(skill).any(axis=0).tolist()


@pytest.mark.parametrize("skill", [np.empty((0, 3)), np.full((2, 2), NAN), np.array([0.5, 0.2])])
def test_nothing_measured_is_an_error(skill):
    with pytest.raises(ValueError, match="needs scores"):
        fit_prior(skill)
