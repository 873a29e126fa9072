"""The joint forecast: learned from planted curves, and equal to conditioning the whole normal."""

import dataclasses

import numpy as np
import pytest
from synthetic import Planted, curve_set, expectation, make_curves

from hf_select.metrics import get_metric
from hf_select.records import Expectation
from hf_select.selection.forecast import (
    FLOOR,
    LAST,
    LEAST,
    LEVEL_LEAST,
    SEED_ROWS,
    Seen,
    learn,
    room,
)
from hf_select.selection.trend import as_skill

PLANTED = Planted()
ACCURACY = get_metric("accuracy")
ALL_ROWS = np.full(len(PLANTED.EPOCHS), np.inf)


def row_variance(score):
    return ACCURACY.row_variance(score, 0.0)


def flat(score):
    """A row's variance that doesn't depend on the score."""
    return np.full(np.shape(score), 0.25)


def planted(models=20, datasets=30, seeds=3, seed=0):
    curves, finals, hope = PLANTED.draw(models, datasets, seeds, np.random.default_rng(seed))
    return curves, finals, hope


@pytest.fixture(scope="module")
def learned():
    curves, _, hope = planted()
    return learn(curves, expectation(curves, hope))


NOTHING = Seen(np.empty(0, dtype=np.int64), np.empty(0))


def seen(rungs, scores):
    return Seen(np.array(rungs, dtype=np.int64), np.array(scores, dtype=float))


# ------------------------------------------------------------------------------- what is learned


def test_planted_parameters_are_found(learned):
    assert learned.epochs.tolist() == list(PLANTED.EPOCHS)
    assert (learned.cells, learned.datasets) == (20 * 30 * 3, 30)
    # 600 cells: a slope has a standard error of about sd / (HOPE x sqrt(600)) = 0.04
    assert learned.slope[0] == 1.0
    np.testing.assert_allclose(learned.slope, PLANTED.SLOPE, atol=0.12)
    # A variance from 600 cells is right within 6 % (1 sd); the noise is measured as well.
    np.testing.assert_allclose(np.diag(learned.own), PLANTED.OWN**2, rtol=0.25)
    np.testing.assert_allclose(learned.own, PLANTED.own, atol=0.25 * 0.05**2)
    np.testing.assert_allclose(learned.seed, PLANTED.SEED, rtol=0.15)
    np.testing.assert_allclose(learned.level, PLANTED.LEVEL, atol=0.04)
    # The finals of others' seeds, around what was expected: what is own, and half a seed's noise.
    np.testing.assert_allclose(learned.usual, 0.05**2 + 0.25 * PLANTED.SEED / 2, rtol=0.2)


def test_the_noise_of_validation_rows_is_not_a_models_own():
    """Scores on 200 rows carry 1/200 of a row's variance more; knowing that, own is the same."""
    curves, _, hope = planted(seed=1)
    rng = np.random.default_rng(5)
    val = curves.val + rng.normal(0, np.sqrt(0.25 / 200), curves.val.shape[:2])[..., None, None]
    rows = dict.fromkeys(curves.datasets, 200)
    noisy = dataclasses.replace(curves, val=val, val_rows=rows)
    plain = dataclasses.replace(noisy, val_rows={})
    hoped = expectation(curves, hope)
    truth, known, unknown = (np.diag(learn(c, hoped).own)[1:].sum() for c in (curves, noisy, plain))
    assert unknown > truth + 0.8 * 4 * 0.25 / 200
    assert known == pytest.approx(truth, rel=0.15)


def test_finals_are_judged_by_the_mean_of_the_other_seeds():
    """Four others: a quarter of a seed's noise is in them, and isn't taken for a model's own."""
    noisy = Planted()
    noisy.noise = noisy.noise * 10
    curves, _, hope = noisy.draw(20, 30, 5, np.random.default_rng(4))
    found = learn(curves, expectation(curves, hope))
    np.testing.assert_allclose(found.seed, 10 * PLANTED.SEED, rtol=0.2)
    assert found.usual == pytest.approx(0.05**2 + 0.25 * 10 * PLANTED.SEED / 4, rel=0.2)
    assert found.own[0, 0] == pytest.approx(0.05**2, rel=0.3)


def test_a_single_seed_counts_as_the_usual_noise():
    curves, _, hope = planted(seeds=1)
    found = learn(curves, expectation(curves, hope))
    np.testing.assert_array_equal(found.seed, 1 / SEED_ROWS)
    assert found.cells == 20 * 30


def test_without_expectations_all_models_are_equally_promising():
    curves, _, _ = planted()
    found = learn(curves, None)
    np.testing.assert_array_equal(found.slope[1:], 0.0)
    # What was hoped for is a model's own then.
    spread = np.diag(PLANTED.own) + (PLANTED.SLOPE * PLANTED.HOPE) ** 2
    np.testing.assert_allclose(np.diag(found.own), spread, rtol=0.25)


def test_an_expectation_that_no_benchmark_has_tested_is_still_uncertain():
    """Its spread widens the forecast even where no slope could be learned."""
    curves, _, hope = planted()
    blind = expectation(curves, np.full(hope.shape, np.nan))
    found = learn(curves, blind)
    one, other = (
        found.finals(np.zeros(1), np.array([sd]), [NOTHING], row_variance, ALL_ROWS).deviation[0]
        for sd in (0.0, 0.5)
    )
    share = room(found.level)[0] ** 2
    assert other**2 - one**2 == pytest.approx(share * (0.5**2 - found.usual))


def test_the_order_of_models_and_datasets_does_not_matter():
    curves, _, hope = planted(8, 6, 2)
    rows, columns = np.random.default_rng(1).permutation(8), np.random.default_rng(2).permutation(6)
    mixed = dataclasses.replace(
        curves,
        val=curves.val[rows][:, columns],
        test=curves.test[rows][:, columns],
        seconds=curves.seconds[rows][:, columns],
        models=tuple(curves.models[i] for i in rows),
        datasets=tuple(curves.datasets[j] for j in columns),
    )
    one, other = (learn(c, expectation(curves, hope)) for c in (curves, mixed))
    for name in ("slope", "own", "correlation", "seed", "level", "level_covariance", "usual"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)


# ------------------------------------------------------------------------- records with gaps


def holes(curves, rng, share):
    """The same record where runs are missing, some were stopped early, and seeds differ."""
    val, test = curves.val.copy(), curves.test.copy()
    gone = rng.random(test.shape) < share
    val[gone], test[gone] = np.nan, np.nan
    short = rng.random(test.shape) < share
    val[short, -1] = np.nan
    lost = rng.random(val.shape) < share / 2
    val[lost] = np.nan
    return dataclasses.replace(curves, val=val, test=test)


def test_missing_cells_seeds_and_unequal_lengths_change_little():
    curves, _, hope = planted(seed=2)
    found = learn(holes(curves, np.random.default_rng(3), 0.3), expectation(curves, hope))
    np.testing.assert_allclose(found.slope, PLANTED.SLOPE, atol=0.15)
    np.testing.assert_allclose(np.diag(found.own), PLANTED.OWN**2, rtol=0.5)
    np.testing.assert_allclose(found.seed, PLANTED.SEED, rtol=0.25)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_missing_the_forecast_is_a_normal(seed):
    """Sparse records: covariances stay covariances, nothing is NaN, nobody moves without bound."""
    rng = np.random.default_rng(seed)
    curves, _, hope = PLANTED.draw(5, 5, 2, rng)
    hope = np.where(rng.random(hope.shape) < 0.2, np.nan, hope)
    found = learn(holes(curves, rng, 0.45), expectation(curves, hope))
    if found is None:
        return
    rungs = len(found.epochs)
    assert np.linalg.eigvalsh(found.own).min() > 0
    assert np.linalg.eigvalsh(found.level_covariance).min() > 0
    assert np.linalg.eigvalsh(found.correlation[1:, 1:]).min() > -1e-9
    looks = [seen(range(k), rng.uniform(0.2, 0.8, k)) for k in range(rungs)]
    k = len(looks)
    result = found.finals(np.zeros(k), np.full(k, np.nan), looks, row_variance, np.full(rungs, 50))
    assert np.isfinite(result.mean).all()
    assert np.linalg.eigvalsh(result.covariance).min() > -1e-12
    for model, look in enumerate(looks):
        for rung in range(len(look.rungs), rungs):
            # Nobody can be moved by more than there is to know.
            moved = result.moved_by(model, rung)
            assert (np.abs(moved) <= result.deviation * (1 + 1e-6)).all()


def test_a_rung_that_nobody_recorded_is_no_rung():
    curves, _, hope = planted()
    val = curves.val.copy()
    val[..., 1] = np.nan
    found = learn(dataclasses.replace(curves, val=val), expectation(curves, hope))
    assert found.epochs.tolist() == [0.25, 2.0, 4.0]
    assert found.own.shape == (4, 4)
    np.testing.assert_allclose(found.slope, PLANTED.SLOPE[[0, 1, 3, 4]], atol=0.12)


@pytest.mark.parametrize("what", ["two datasets", "one model", "no curves", "no tests", "no hope"])
def test_too_little_to_learn_from(what):
    curves, _, hope = planted(6, 4, 2)
    hoped = expectation(curves, hope)
    if what == "two datasets":
        curves = curves.without_dataset("d0").without_dataset("d1")
    elif what == "no curves":
        curves = dataclasses.replace(curves, val=np.full(curves.val.shape, np.nan))
    elif what == "no tests":
        curves = dataclasses.replace(curves, test=np.full(curves.test.shape, np.nan))
    elif what == "one model":
        val = curves.val.copy()
        val[1:] = np.nan
        curves = dataclasses.replace(curves, val=val)
    else:  # expectations, but not of these models
        hoped = Expectation(
            tuple(f"x{i}" for i in range(6)), hoped.mean, hoped.deviation, curves.datasets, hope
        )
    assert learn(curves, hoped) is None
    # Three datasets are enough.
    curves, _, hope = planted(6, 3, 2)
    assert learn(curves, expectation(curves, hope)) is not None


def test_cells_without_an_expectation_teach_nothing():
    curves, _, hope = planted(8, 6, 2)
    val, test = curves.val.copy(), curves.test.copy()
    val[6:], test[6:] = 0.99, 0.01  # absurd
    partly = hope.copy()
    partly[6:] = np.nan
    whole = learn(curves, expectation(curves, partly))
    absurd = learn(dataclasses.replace(curves, val=val, test=test), expectation(curves, partly))
    np.testing.assert_allclose(absurd.own, whole.own)
    np.testing.assert_allclose(absurd.slope, whole.slope)
    assert whole.cells == 6 * 6 * 2


def test_seeds_of_models_without_an_expectation_are_no_measure():
    """Only they have two seeds: the noise of a seed stays the usual one, and is a number."""
    curves, _, hope = planted(8, 6, 2)
    val, test = curves.val.copy(), curves.test.copy()
    val[:4, :, 1], test[:4, :, 1] = np.nan, np.nan
    hope[4:] = np.nan
    found = learn(dataclasses.replace(curves, val=val, test=test), expectation(curves, hope))
    np.testing.assert_array_equal(found.seed, 1 / SEED_ROWS)


# ------------------------------------------------------ against conditioning the whole normal


class Dense:
    """The joint normal of the levels, each model's own, the effects and each score, in full."""

    def __init__(
        self, learned, mean, deviation, looks, variance, rows, level=None, extra=None, effects=None
    ):
        size, models = len(learned.level), len(mean)
        self.effects, sds = effects or (np.zeros((models, size, 0)), np.zeros(0))
        common = len(sds)
        excess = np.maximum(np.asarray(deviation) ** 2 - learned.usual, 0.0)
        start, cov = learned.level.copy(), learned.level_covariance.copy()
        if level is not None:  # the finals' level has another mean and variance; the rest follows
            gain = cov[:, 0] / cov[0, 0]
            start = start + gain * (level[0] - start[0])
            known = max(level[1], LEVEL_LEAST) ** 2
            cov = cov + np.outer(gain, gain) * (known - cov[0, 0])
        # latent: levels, then (T + 1) of own for each model
        prior = np.zeros(size * (models + 1) + common)
        prior[:size] = start
        spread = np.zeros((len(prior), len(prior)))
        spread[:size, :size] = cov
        spread[len(prior) - common :, len(prior) - common :] = np.diag(sds**2)
        for k in range(models):
            at = slice(size * (k + 1), size * (k + 2))
            own = learned.own + excess[k] * np.outer(learned.slope, learned.slope)
            share = room(start + learned.slope * mean[k])
            spread[at, at] = own * np.outer(share, share)
        self.rows_of_finals = np.zeros((models, len(prior)))
        offset = np.asarray(mean, dtype=float)
        for k in range(models):
            self.rows_of_finals[k] = self._row(len(prior), size, k, 0)
        design, scores, shift, noise = [], [], [], []
        for k, look in enumerate(looks):
            for rung, score in list(zip(look.rungs, np.maximum(look.scores, 0), strict=True))[
                -LAST:
            ]:
                design.append(self._row(len(prior), size, k, rung + 1))
                scores.append(score)
                shift.append(learned.slope[rung + 1] * mean[k])
                noise.append((k, rung + 1, self._var(learned, variance, rows, rung + 1, score)))
        if extra is not None:
            k, rung, final = extra
            design.append(self._row(len(prior), size, k, rung + 1))
            shift.append(learned.slope[rung + 1] * mean[k])
            tells = max(final, 0.0)
            noise.append((k, rung + 1, self._var(learned, variance, rows, rung + 1, tells)))
        observed = np.zeros((len(noise), len(noise)))
        for a, (k, i, v) in enumerate(noise):
            for b, (m, j, w) in enumerate(noise):
                if k == m:
                    observed[a, b] = learned.correlation[i, j] * np.sqrt(v * w)
            observed[a, a] += LEAST
        design = np.array(design).reshape(len(noise), len(prior))
        known = len(scores)
        self.mean, self.covariance = prior, spread
        if known:
            first, rest = design[:known], np.array(scores) - np.array(shift[:known])
            inner = first @ spread @ first.T + observed[:known, :known]
            gain = spread @ first.T @ np.linalg.inv(inner)
            self.mean = prior + gain @ (rest - first @ prior)
            self.covariance = spread - gain @ first @ spread
        self.finals = offset + self.rows_of_finals @ self.mean
        self.between = self.rows_of_finals @ self.covariance @ self.rows_of_finals.T
        if extra is not None:
            # Covariance of the extra score (last row) with all latent ones, given what was seen.
            last = design[-1]
            with_latent = spread @ last
            variance_of = last @ spread @ last + observed[-1, -1]
            if known:
                both = first @ spread @ last + observed[:known, -1]
                with_latent = with_latent - gain @ both
                variance_of -= both @ np.linalg.inv(inner) @ both
            self.moved = self.rows_of_finals @ with_latent / np.sqrt(variance_of)

    def _row(self, length, size, k, at):
        row = np.zeros(length)
        row[[at, size * (k + 1) + at]] = 1.0
        row[length - self.effects.shape[2] :] = self.effects[k, at]
        return row

    @staticmethod
    def _var(learned, variance, rows, at, score):
        return float(variance(np.array(score))) * (1 / rows[at - 1] + learned.seed[at])


CASES = {
    "nobody was trained": [NOTHING] * 3,
    "one score": [seen([0], [0.4]), NOTHING, NOTHING],
    "unequally far": [
        seen([0, 1, 2], [0.3, 0.5, 0.52]),
        seen([0], [0.41]),
        NOTHING,
        seen([0, 1, 2, 3], [0.35, 0.4, 0.5, 0.56]),
    ],
    "a gap, and a negative skill": [seen([0, 3], [-0.2, 0.5]), seen([2], [0.47])],
    "all alike": [seen([1], [0.45])] * 3,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("level", [None, (0.7, 0.15), (0.6, 0.0)])
def test_finals_are_the_whole_normal_conditioned(learned, case, level):
    looks = CASES[case]
    rng = np.random.default_rng(len(looks))
    mean, deviation = rng.normal(0, 0.05, len(looks)), np.array([0.03, 0.09, 0.2, 0.0])
    deviation = deviation[: len(looks)]
    rows = np.array([100.0, 100.0, 400.0, np.inf])
    known = {} if level is None else {"level": level[0], "level_deviation": level[1]}
    got = learned.finals(mean, deviation, looks, row_variance, rows, **known)
    want = Dense(learned, mean, deviation, looks, row_variance, rows, level)
    np.testing.assert_allclose(got.mean, want.finals, atol=1e-9)
    np.testing.assert_allclose(got.covariance, want.between, atol=1e-9)
    np.testing.assert_allclose(got.deviation, np.sqrt(np.diag(want.between)), atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_effects_that_models_share_are_in_the_whole_normal_too(learned, case):
    """Two effects: one of all but the first model, one of the last alone at one rung."""
    looks = CASES[case]
    mean, deviation = np.linspace(-0.05, 0.05, len(looks)), np.full(len(looks), 0.09)
    rows = np.array([100.0, 100.0, 400.0, np.inf])
    shares = np.zeros((len(looks), len(learned.level), 2))
    shares[1:, :, 0] = learned.slope
    shares[-1, 2, 1] = 1.0
    sds = np.array([0.2, 0.07])
    got = learned.finals(
        mean, deviation, looks, row_variance, rows, effects=shares, effect_deviation=sds
    )
    for model, look in enumerate(looks):
        for rung in range(int(look.rungs[-1]) + 1 if len(look.rungs) else 0, 4):
            extra = (model, rung, got.mean[model])
            want = Dense(
                learned, mean, deviation, looks, row_variance, rows, None, extra, (shares, sds)
            )
            np.testing.assert_allclose(got.mean, want.finals, atol=1e-9)
            np.testing.assert_allclose(got.covariance, want.between, atol=1e-9)
            np.testing.assert_allclose(got.moved_by(model, rung), want.moved, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_moved_by_is_what_one_more_score_would_change(learned, case):
    looks = CASES[case]
    mean, deviation = np.linspace(-0.05, 0.05, len(looks)), np.full(len(looks), 0.09)
    rows = np.array([100.0, 100.0, 400.0, np.inf])
    got = learned.finals(mean, deviation, looks, row_variance, rows)
    for model, look in enumerate(looks):
        for rung in range(int(look.rungs[-1]) + 1 if len(look.rungs) else 0, 4):
            extra = (model, rung, got.mean[model])
            want = Dense(learned, mean, deviation, looks, row_variance, rows, None, extra)
            # With LEAST beside the variance: a millionth.
            np.testing.assert_allclose(got.moved_by(model, rung), want.moved, atol=1e-8)


def test_a_hypothetical_score_moves_the_means_by_so_much(learned):
    """The forecast is asked again, with a score z standard deviations above the expected one."""
    looks = [seen([0], [0.4]), seen([0], [0.37]), NOTHING]
    mean, deviation = np.array([0.02, 0.0, 0.03]), np.full(3, 0.05)

    def finals(looks):
        return learned.finals(mean, deviation, looks, flat, ALL_ROWS)

    before = finals(looks)
    for model, rung in ((0, 1), (1, 2), (2, 0)):
        moved = before.moved_by(model, rung)

        def after(score, model=model, rung=rung):
            rungs = [*looks[model].rungs, rung]
            more = list(looks)
            more[model] = seen(rungs, [*looks[model].scores, score])
            return finals(more).mean

        # The mean is linear in the score: find the score that changes nothing, and one sd.
        low, high = after(0.3), after(0.5)
        per_unit = (high - low) / 0.2
        sd = moved[model] / per_unit[model]
        assert sd > 0
        expected = 0.3 + (before.mean[model] - low[model]) / per_unit[model]
        np.testing.assert_allclose(after(expected), before.mean, atol=1e-9)
        for z in (-1.5, 2.0):
            np.testing.assert_allclose(after(expected + z * sd), before.mean + z * moved, atol=1e-9)


def test_the_levels_of_datasets_cancel_in_comparisons():
    """Everything is harder by 0.1 at every rung: nobody's chance against another changes.

    Only where the level is all but unknown: what is known of it tells a good start from an easy
    dataset."""
    curves, _, hope = planted()
    found = learn(curves, expectation(curves, hope))
    vague = dataclasses.replace(found, level_covariance=np.eye(5) * 1e4)
    scores = [[0.35, 0.47], [0.38, 0.46], [0.33, 0.5]]
    easy, hard = (
        vague.finals(
            np.zeros(3),
            np.zeros(3),
            [seen([0, 1], np.array(s) - less) for s in scores],
            flat,
            ALL_ROWS,
        )
        for less in (0.0, 0.1)
    )
    np.testing.assert_allclose(np.diff(easy.mean), np.diff(hard.mean), atol=1e-5)


def test_fewer_rows_tell_less(learned):
    looks, nothing = [seen([1], [0.6]), seen([1], [0.4])], np.zeros(2)
    few, many = (
        learned.finals(nothing, nothing, looks, row_variance, np.full(4, rows))
        for rows in (20.0, 2000.0)
    )
    gap_of = {"few": few.mean[0] - few.mean[1], "many": many.mean[0] - many.mean[1]}
    assert 0 < gap_of["few"] < 0.5 * gap_of["many"]
    assert (few.deviation > many.deviation).all()
    # A look at few rows promises less, too.
    fresh = [
        learned.finals(nothing, nothing, [NOTHING] * 2, row_variance, np.full(4, rows))
        for rows in (20.0, 2000.0)
    ]
    assert fresh[0].moved_by(0, 1)[0] < fresh[1].moved_by(0, 1)[0]


def test_later_looks_tell_more(learned):
    fresh = learned.finals(np.zeros(2), np.zeros(2), [NOTHING] * 2, row_variance, ALL_ROWS)
    moves = [np.subtract(*fresh.moved_by(0, rung)) for rung in range(4)]
    assert moves == sorted(moves)
    # And a look at one says of the other only what it says of the dataset.
    assert all(fresh.moved_by(0, rung)[0] > fresh.moved_by(0, rung)[1] for rung in range(4))


def test_a_level_that_is_given_takes_the_place_of_the_recorded_one(learned):
    """What recall expects of the level comes from the same finals; it must not count twice."""
    nothing = np.zeros(1)
    found = learned.finals(
        nothing, nothing, [NOTHING], row_variance, ALL_ROWS, level=0.7, level_deviation=0.15
    )
    assert found.mean[0] == pytest.approx(0.7)
    own = learned.own[0, 0] * 4 * 0.7 * 0.3
    assert found.covariance[0, 0] == pytest.approx(0.15**2 + own)
    # However sure recall says it is, so much is doubted.
    sure = learned.finals(
        nothing, nothing, [NOTHING], row_variance, ALL_ROWS, level=0.7, level_deviation=0.0
    )
    assert sure.covariance[0, 0] == pytest.approx(LEVEL_LEAST**2 + own)


def test_models_differ_less_near_the_ends_of_the_scale(learned):
    """As a share of what they do half-way; below a tenth and above 0.97 no less."""
    skills = np.array([-1.0, 0.05, 0.1, 0.2, 0.5, 0.8, 0.97, 0.999, 2.0])
    shares = [0.6, 0.6, 0.6, 0.8, 1.0, 0.8, 0.3412, 0.3412, 0.3412]
    np.testing.assert_allclose(room(skills), shares, atol=1e-4)
    nothing = np.zeros(2)
    gaps = []
    for level in (0.5, 0.9):
        f = learned.finals(
            nothing,
            nothing,
            [NOTHING] * 2,
            row_variance,
            ALL_ROWS,
            level=level,
            level_deviation=0.1,
        )
        gaps.append(f.covariance[0, 0] - f.covariance[0, 1])
    assert gaps[1] == pytest.approx(gaps[0] * 4 * 0.9 * 0.1)


def test_a_record_near_the_end_of_the_scale_teaches_the_whole_room():
    """Where models differ by a tenth of what they do half-way, and there is a third of the room."""
    curves, _, hope = planted()
    shift = np.full(5, 0.97) - PLANTED.LEVEL
    small = dataclasses.replace(
        curves,
        val=PLANTED.LEVEL[1:] + shift[1:] + (curves.val - PLANTED.LEVEL[1:]) * 0.1,
        test=0.97 + (curves.test - 0.55) * 0.1,
    )
    found = learn(small, expectation(small, hope * 0.1))
    np.testing.assert_allclose(found.slope, PLANTED.SLOPE, atol=0.12)
    share = 4 * 0.97 * 0.03
    scale = 0.1**2 / share
    # The noise is taken off as it was planted, a hundredth of what rows there would have.
    assert found.own[0, 0] == pytest.approx(scale * 0.05**2, rel=0.35)


def test_wider_by_a_factor(learned):
    looks = [NOTHING, NOTHING]
    wide = learned.wider(1.5)
    nothing = np.zeros(2)
    one, other = (
        f.finals(nothing, nothing, looks, row_variance, ALL_ROWS) for f in (learned, wide)
    )
    np.testing.assert_allclose(other.covariance, 1.5**2 * one.covariance)
    np.testing.assert_allclose(other.mean, one.mean)
    # What has been measured stays as sure as it is: a score counts for more.
    looks = [seen([2], [0.6]), seen([2], [0.5])]
    one, other = (
        f.finals(nothing, nothing, looks, row_variance, ALL_ROWS) for f in (learned, wide)
    )
    assert (other.deviation > one.deviation).all()
    assert other.mean[0] - other.mean[1] > one.mean[0] - one.mean[1]
    same = learned.wider(1.0)
    np.testing.assert_array_equal(same.own, learned.own)


def test_the_nearest_rung_by_ratio(learned):
    assert [learned.rung_of(e) for e in (0.1, 0.25, 0.49, 0.51, 1.4, 1.5, 2.9, 3.0, 40.0)] == [
        *(0, 0, 0, 1, 1, 2, 3, 3, 3)
    ]


def test_learning_is_remembered_and_never_changes_the_record():
    curves = as_skill(make_curves(6, 4, 2))
    before = curves.val.copy(), curves.test.copy()
    assert learn(curves, None) is learn(curves, None)
    np.testing.assert_array_equal(curves.val, before[0])
    np.testing.assert_array_equal(curves.test, before[1])


def test_scores_that_are_all_the_same_can_be_learned_from():
    curves = curve_set(np.full((4, 5, 2), 0.5), np.full((4, 5), 0.5), epochs=(1.0, 2.0))
    found = learn(curves, None)
    result = found.finals(
        np.zeros(3), np.zeros(3), [seen([0], [0.5])] * 3, row_variance, np.full(2, np.inf)
    )
    np.testing.assert_allclose(result.mean, result.mean[0])
    assert (result.deviation < 0.3).all()


def test_errors_worse_than_those_of_the_mean_say_something_too():
    """Models that memorise differ below a skill of 0; of classes all that is chance."""
    rng = np.random.default_rng(3)
    finals = 1.15 + rng.normal(0, 0.1, (5, 6))  # errors, 1 being that of the mean
    val = np.stack([1 + 0.5 * (finals - 1), finals], axis=-1)
    errors = as_skill(curve_set(val, finals, epochs=(1.0, 2.0), metric="rmse", baselines=1.0))
    found = learn(errors, None)
    assert found is not None
    assert found.floor == FLOOR
    row = get_metric("rmse").skill_variance
    looks = [seen([0], [-0.05]), seen([0], [-0.2]), seen([0], [-40.0]), seen([0], [-50.0])]
    nothing = np.zeros(4)
    got = found.finals(
        nothing, nothing, looks, lambda score: row(score, 1.0), np.full(2, 500.0)
    ).mean
    assert got[0] > got[1] + 0.02
    assert got[2] == got[3]  # what exploded says no more than that it did
    classes = learn(as_skill(curve_set(1 - val / 2, 1 - finals / 2, epochs=(1.0, 2.0))), None)
    assert classes is not None
    assert classes.floor == 0.0


def test_a_metric_that_fits_any_task_has_the_floor_of_the_task():
    rng = np.random.default_rng(3)
    finals = 1.15 + rng.normal(0, 0.1, (5, 6))
    val = np.stack([1 + 0.5 * (finals - 1), finals], axis=-1)
    metric = "evaluate:./mine:better=lower"
    errors = curve_set(val, finals, epochs=(1.0, 2.0), metric=metric, baselines=1.0)
    for task, floor in (("text-regression", FLOOR), ("text-classification", 0.0)):
        found = learn(as_skill(dataclasses.replace(errors, task=task)), None)
        assert found is not None
        assert found.floor == floor
