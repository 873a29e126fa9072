import numpy as np
import pytest

from hf_select.recall.evidence import PROBE
from hf_select.recall.hybrid import NEAREST, OWN, PRIOR, outlook
from hf_select.recall.novelty import judge

NAN = np.nan


def asked(alike, usual, agree=0.5, agreements=(0.5, 0.4, 0.6, 0.5, 0.45), signal=0.5):
    """A verdict on similarities and rank correlations that are given outright."""
    rng = np.random.default_rng(0)
    prior = np.arange(200.0)

    def pair(rho):
        return prior, rho * prior / prior.std() + np.sqrt(1 - rho**2) * rng.normal(size=200)

    closeness = [np.array([value, value - 0.3]) for value in usual]
    return judge(
        np.array(alike),
        closeness,
        pair(agree),
        [pair(rho) for rho in agreements],
        np.ones(200, dtype=bool),
        signal=signal,
    )


USUAL = (0.7, 0.8, 0.75, 0.65, 0.7)


def test_a_target_like_the_benchmarks_is_not_novel():
    found = asked([0.2, 0.72, NAN], USUAL)
    assert not found.novel
    assert found.why == ""
    assert found.similarity == pytest.approx(0.72)
    assert found.usual_similarity == pytest.approx(np.mean(USUAL))
    # 95 % of the time, split over two questions: t(.975, 4) = 2.776, deviation .057
    assert found.least_similarity == pytest.approx(0.72 - 2.776 * 0.05701 * np.sqrt(1.2), abs=1e-3)


def test_a_target_unlike_every_benchmark_is():
    found = asked([0.1, 0.2, NAN], USUAL)
    assert found.novel
    assert "only 0.20 alike" in found.why


def test_a_target_on_which_the_prior_misleads_is():
    found = asked([0.2, 0.72], USUAL, agree=-0.8)
    assert found.novel
    assert "prior and proxies agree" in found.why


def test_a_target_on_which_nothing_is_seen_is():
    found = asked([0.2, 0.72], USUAL, signal=0.01)
    assert found.novel
    assert "skill 0.01" in found.why


@pytest.mark.parametrize(
    ("alike", "usual"), [([NAN, NAN], USUAL), ([0.7, 0.2], (0.7, 0.8, NAN)), ([0.1], (0.7,))]
)
def test_too_little_is_known_to_judge(alike, usual):
    assert asked(alike, usual) is None


def families(target_family, seed=0, models=40):
    """Benchmarks of two families, on each of which other models are good; and a target."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(0, 0.1, (3, models))
    kinds = [0, 0, 0, 0, 1, 1, 1, 1, target_family]
    skill = 0.6 + taste[kinds].T + rng.normal(0, 0.02, (models, len(kinds)))
    probe = skill - 0.2 + rng.normal(0, 0.02, skill.shape)
    return skill, {PROBE: probe, "logme": 3 * probe + rng.normal(0, 0.05, probe.shape)}


def look(skill, proxies):
    own = {name: values[:, -1] for name, values in proxies.items()}
    return outlook(skill[:, :-1], own, {name: v[:, :-1] for name, v in proxies.items()})


def test_nearest_benchmarks_are_those_of_its_family():
    found = look(*families(1))
    assert not found.novelty.novel
    assert set(np.argsort(-found.alike)[:4]) == {4, 5, 6, 7}


def test_novelty_moves_weight_from_the_prior_to_the_proxies_and_widens_the_spread():
    usual, novel = look(*families(1)), look(*families(2))
    assert novel.novelty.novel
    for name in (PRIOR, NEAREST):
        assert novel.weights[OWN][name] <= 0.75 * usual.weights[OWN][name] + 1e-9
    assert novel.deviation.mean() > usual.deviation.mean()
