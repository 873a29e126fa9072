import numpy as np
import pytest

from hf_select.recall.evidence import PROBE
from hf_select.recall.hybrid import (
    LENT,
    NEAREST,
    NONE,
    OWN,
    PREFERRED,
    PRIOR,
    USUAL,
    learnable,
    outlook,
    usable_proxies,
)

NAN = np.nan


def world(models=30, sets=10, seed=0, proxy_noise=0.02, useless=False, strength=0.08):
    """Skill (M, D + 1), and proxies name -> (M, D + 1); the last dataset is the target.

    What a model is worth on a set is its strength plus how it fits that set; a proxy sees the fit.
    """
    rng = np.random.default_rng(seed)
    general = rng.normal(0, strength, models)
    fit = rng.normal(0, 0.1, (models, sets + 1))
    skill = 0.6 + rng.normal(0, 0.1, sets + 1) + general[:, None] + fit
    seen = general[:, None] + fit if not useless else rng.normal(0, 0.1, fit.shape)
    probe = 0.4 + seen + rng.normal(0, proxy_noise, fit.shape)
    logme = 5 * seen + rng.normal(0, 5 * proxy_noise, fit.shape)  # in another unit
    return skill, {PROBE: probe, "logme": logme}


def look(skill, proxies, **options):
    own = {name: values[:, -1] for name, values in proxies.items()}
    recorded = {name: values[:, :-1] for name, values in proxies.items()}
    return outlook(skill[:, :-1], own, recorded, **options)


def agreement(found, skill):
    return np.corrcoef(found.relative, skill[:, -1])[0, 1]


def test_a_proxy_that_told_the_truth_on_the_record_is_believed():
    skill, proxies = world()
    found = look(skill, proxies)
    assert set(found.source) == {OWN}
    assert agreement(found, skill) > 0.95
    alone = outlook(skill[:, :-1], {}, {})
    assert agreement(alone, skill) < 0.8
    assert found.deviation.mean() < 0.6 * alone.deviation.mean()


def test_a_proxy_that_told_nothing_on_the_record_gets_no_weight():
    skill, proxies = world(useless=True)
    found = look(skill, proxies)
    weights = found.weights[OWN]
    assert sum(v for name, v in weights.items() if name not in (PRIOR, NEAREST)) < 0.15
    assert agreement(found, skill) > agreement(outlook(skill[:, :-1], {}, {}), skill) - 0.1


def test_the_spread_is_honest():
    misses = []
    for seed in range(12):
        skill, proxies = world(seed=seed, proxy_noise=0.06)
        found = look(skill, proxies)
        truth = skill[:, -1] - skill[:, -1].mean()
        misses.append((truth - found.relative) / found.deviation)
    z = np.concatenate(misses)
    assert 0.85 < z.std() < 1.2
    assert 0.02 < np.mean(np.abs(z) > 1.96) < 0.09


def test_the_level_is_what_the_probe_says_and_what_fine_tuning_adds():
    errors = []
    for seed in range(12):
        skill, proxies = world(seed=seed)
        proxies = {PROBE: skill - 0.2 + proxies[PROBE] - proxies[PROBE].mean(axis=0)}
        found = look(skill, proxies)
        errors.append((skill[:, -1].mean() - found.level) / found.level_deviation)
        assert (found.predicted <= 1).all()
        assert (found.spread > found.deviation).all()
    assert np.std(errors) < 2


def test_no_weight_is_negative():
    skill, proxies = world(seed=4)
    proxies["knn"] = -proxies["logme"]  # speaks against the truth
    weights = look(skill, proxies).weights[OWN]
    assert min(weights.values()) >= 0
    assert weights["knn"] == weights["knn" + USUAL] == 0


def test_parts_add_up():
    skill, proxies = world()
    found = look(skill, proxies)
    np.testing.assert_allclose(sum(found.parts.values()), found.relative)
    assert set(found.parts) == {PRIOR, NEAREST, PROBE, "logme"}


def test_unit_and_shift_of_a_proxy_do_not_matter():
    skill, proxies = world()
    other = {**proxies, "logme": 100 + 7 * proxies["logme"]}
    np.testing.assert_allclose(look(skill, other).relative, look(skill, proxies).relative)


def test_order_of_models_and_benchmarks_does_not_matter():
    skill, proxies = world()
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(skill))
    columns = np.append(rng.permutation(skill.shape[1] - 1), skill.shape[1] - 1)
    moved = {name: values[rows][:, columns] for name, values in proxies.items()}
    here, there = look(skill, proxies), look(skill[rows][:, columns], moved)
    np.testing.assert_allclose(there.relative, here.relative[rows], atol=1e-8)
    np.testing.assert_allclose(there.deviation, here.deviation[rows], atol=1e-8)
    np.testing.assert_allclose(there.alike, here.alike[columns[:-1]], atol=1e-8)


def test_models_that_nobody_looked_at():
    skill, proxies = world(models=40)
    twins = np.arange(40) // 2 * 2  # an even model and its odd twin
    skill, proxies = skill[twins], {name: values[twins] for name, values in proxies.items()}
    rng = np.random.default_rng(2)
    skill = skill + rng.normal(0, 0.02, skill.shape)
    own = {name: values.copy() for name, values in proxies.items()}
    for values in own.values():
        values[1::2, -1] = NAN  # no odd one was looked at
        values[38:, -1] = NAN  # nor the last pair
    stand_in = np.where(np.arange(40) % 2 == 1, np.arange(40) - 1, -1)
    found = look(skill, own, stand_in=stand_in)
    assert found.source.tolist()[:4] == [OWN, LENT, OWN, LENT]
    assert found.source.tolist()[38:] == [NONE, NONE]
    lent = found.source == LENT
    assert np.corrcoef(found.relative[lent], skill[lent, -1])[0, 1] > 0.8
    nobody = look(skill, own)
    assert nobody.deviation[1] > 1.5 * found.deviation[1]
    assert found.deviation[38] > found.deviation[1] > found.deviation[0] * 0.9


def test_models_with_gaps_are_predicted_with_more_doubt():
    skill, proxies = world()
    skill[0, :-1] = NAN
    skill[0, 3] = 0.7
    found = look(skill, proxies)
    assert np.isfinite(found.relative).all()
    assert found.deviation[0] > found.deviation[1]


def test_a_model_that_nobody_measured_starts_from_its_kin():
    skill, _ = world()
    skill[0] = NAN
    strength, variance = np.full(30, NAN), np.full(30, NAN)
    strength[0], variance[0] = 0.3, 0.01
    found = outlook(skill[:, :-1], {}, {}, cold=(strength, variance))
    assert found.relative[0] == pytest.approx(0.3)
    plain = outlook(skill[:, :-1], {}, {})
    assert plain.relative[0] == 0
    np.testing.assert_allclose(found.relative[1:], plain.relative[1:])


def test_which_proxies_can_be_learned():
    assert learnable({}) == ()
    assert learnable({"leep": 9, "hscore": 2}) == ("leep",)
    assert learnable({"leep": 9, "knn": 9, PROBE: 9, "logme": 9}) == PREFERRED
    assert learnable({"leep": 9, "logme": 3}) == ("logme",)
    assert learnable({"logme": 2}) == ()


def test_a_proxy_that_is_mostly_gaps_is_left_out():
    skill, proxies = world()
    proxies["leep"] = np.where(np.arange(30)[:, None] < 15, NAN, proxies["logme"])
    own = {name: values[:, -1] for name, values in proxies.items()}
    recorded = {name: values[:, :-1] for name, values in proxies.items()}
    assert usable_proxies(own, recorded) == (PROBE, "logme")
    assert set(look(skill, proxies).source) == {OWN}
    assert usable_proxies({}, recorded) == ()
    nothing = {name: np.full(30, NAN) for name in own}
    assert usable_proxies(nothing, recorded) == ()


def test_two_benchmarks_are_too_few_to_learn_from():
    skill, proxies = world()
    found = look(skill[:, -3:], {name: values[:, -3:] for name, values in proxies.items()})
    assert set(found.source) == {NONE}
    assert found.novelty is None


@pytest.mark.parametrize("what", ["constant", "one scored", "equal skills", "one benchmark"])
def test_degenerate_records_give_finite_forecasts(what):
    skill, proxies = world(models=6, sets=5)
    if what == "constant":
        proxies = {name: np.zeros_like(values) for name, values in proxies.items()}
    if what == "one scored":
        for values in proxies.values():
            values[1:, -1] = NAN
    if what == "equal skills":
        skill[:] = 0.5
    if what == "one benchmark":
        skill, proxies = skill[:, -2:], {name: values[:, -2:] for name, values in proxies.items()}
    found = look(skill, proxies)
    assert np.isfinite(found.relative).all()
    assert np.isfinite(found.deviation).all()
    assert np.isfinite(found.level)


def test_the_target_itself_has_no_say():
    skill, proxies = world()
    before = look(skill, proxies).relative
    skill[:, -1] = 0.123
    np.testing.assert_array_equal(look(skill, proxies).relative, before)


def test_models_whose_like_nobody_measured_are_predicted_as_all_are():
    skill, proxies = world(models=20)
    skill[15:] = NAN  # no run, no look: only a guess
    for values in proxies.values():
        values[15:] = NAN
    guess = np.where(np.arange(20) < 15, NAN, np.linspace(-0.1, 0.1, 20))
    found = look(skill, proxies, cold=(guess, np.where(np.isnan(guess), NAN, 0.01)))
    assert set(found.source[15:]) == {NONE}
    assert np.isfinite(found.deviation).all()
    assert (np.diff(found.relative[15:]) > 0).all()
    assert found.deviation[15:].min() > found.deviation[:15].max()


def test_looks_at_unmeasured_models_alone_teach_nothing():
    skill, proxies = world(models=20)
    skill[15:] = NAN
    for values in proxies.values():
        values[15:, :-1] = NAN
        values[:15, -1] = NAN
    guess = np.where(np.arange(20) < 15, NAN, np.linspace(-0.1, 0.1, 20))
    found = look(skill, proxies, cold=(guess, np.where(np.isnan(guess), NAN, 0.01)))
    assert set(found.source) == {NONE}
    assert np.isfinite([found.relative, found.deviation]).all()


def test_probes_without_a_fault_leave_no_room_and_no_nan():
    skill, proxies = world()
    found = look(skill, {PROBE: np.ones_like(proxies[PROBE])})
    assert found.level == 1
    assert np.isfinite([found.predicted, found.deviation]).all()
