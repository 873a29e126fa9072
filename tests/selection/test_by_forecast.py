"""Our policy on scripted trials: what it drops, when, what it says, and what it costs."""

import dataclasses
import functools
import json
import random
import re

import numpy as np
import pytest
from synthetic import GRID, FakeTrial, Planted, expectation, expected_of, make_curves
from test_policies import drive

from hf_select.metrics import get_metric
from hf_select.records import CurveSet, Expectation, LearningCurve
from hf_select.selection.policies import get_policy
from hf_select.selection.run import run_selection
from hf_select.selection.state import SelectionState
from hf_select.selection.worth import chances, hopeless

ACCURACY = get_metric("accuracy")
PLANTED = Planted()
EPOCHS = PLANTED.EPOCHS
USUAL = (0.35, 0.45, 0.5, 0.55)
"""The curve of an average model on an average dataset of the record."""


@functools.lru_cache
def record(models=12, datasets=12, seed=0):
    """A planted record with what was hoped of its cells."""
    curves, _, hope = PLANTED.draw(models, datasets, 2, np.random.default_rng(seed))
    return curves, hope


def hoped(hope, curves=None, of_benchmarks=None):
    """What recall expects of the target: 0 of those that aren't named."""
    known, cells = record() if curves is None else (curves, of_benchmarks)
    target = [hope.get(model, 0.0) for model in known.models]
    return expectation(known, cells, target=target, level=0.55, level_deviation=0.12)


def trials(curves, *, fails=None, work=None, epochs=EPOCHS):
    """Scripted trials: model -> its validation scores at `epochs`, the last one its test score."""

    def opener(model):
        curve = LearningCurve.of(np.array(epochs), np.array(curves[model], dtype=float))
        return lambda: FakeTrial(
            model, curve, curves[model][-1], work=work, fails_at=(fails or {}).get(model)
        )

    return {model: opener(model) for model in curves}


def select(curves, policy="trend", *, hope=None, fails=None, work=None, **more):
    settings = {
        "horizon": EPOCHS[-1],
        "metric": ACCURACY,
        "val_trivial": 0.0,
        "record": record()[0],
        "expected": hoped(hope or {}),
        **more,
    }
    named = get_policy(policy) if isinstance(policy, str) else policy
    return run_selection(trials(curves, fails=fails, work=work), named, **settings)


def state(curves, *, hope=None, horizon=EPOCHS[-1], live=None, **more):
    """After some scores: model -> those so far (skill and raw are the same here)."""
    return SelectionState(
        models=tuple(curves),
        live=live or tuple(curves),
        curves={
            m: LearningCurve.of(EPOCHS[: len(val)], np.array(val, dtype=float))
            for m, val in curves.items()
            if len(val)
        },
        horizon=horizon,
        **{"record": record()[0], "expected": hoped(hope or {}), **more},
    )


def trend(at, **parameters):
    return get_policy("trend", **parameters)(at)


def gone(decision):
    return {drop.model for drop in decision.dropped}


def widths(decision):
    return {model: high - low for model, (low, high) in decision.interval.items()}


# ---------------------------------------------------------------------------- kinds of curves


def test_curves_that_cross():
    """m00 starts better; m01 overtakes it after the first epoch."""
    result = select({"m00": (0.36, 0.45, 0.47, 0.5), "m01": (0.34, 0.48, 0.6, 0.7)})
    assert result.winner == "m01"
    assert result.rungs[0].leader == "m00"
    assert result.price < 2


def test_a_plateau_is_forecast_to_end_lower():
    """The same score at epoch 2; one has stood still since epoch 1, the other has come from below.

    In a record where own differences fade (0.8 from rung to rung), where it is counts most; and
    what it had before says how much of that is noise."""
    rising, flat = (0.38, 0.44, 0.56), (0.38, 0.56, 0.56)
    before = trend(state({"m00": flat[:2], "m01": USUAL[:2]})).forecast["m00"]
    decision = trend(state({"m00": flat, "m01": USUAL[:3]}))
    assert decision.forecast["m00"] < before - 0.005
    # And with steep own slopes on record, the riser is ahead.
    curves, hope = record(12, 12, 0)
    val, test = curves.val.copy(), curves.test.copy()
    rise = 0.1 * np.random.default_rng(1).standard_normal(test.shape[:2])[..., None]
    val[..., 2] += rise
    val[..., 3] += 1.7 * rise
    test += 1.7 * rise
    steep = dataclasses.replace(curves, val=val, test=test)
    at = state({"m00": flat, "m01": rising}, record=steep, expected=hoped({}, steep, hope))
    found = trend(at).forecast
    assert found["m01"] > found["m00"] + 0.03


def late_record():
    """m00 to m03 start low and end high, everywhere; recall knows that they end high."""
    curves, hope = record()
    late = np.zeros(len(curves.models))
    late[:4] = 1.0
    up = late[:, None, None]
    curves = dataclasses.replace(
        curves,
        val=curves.val + up[..., None] * np.array([-0.12, -0.06, 0.03, 0.1]),
        test=curves.test + 0.1 * up,
    )
    return curves, hope + 0.1 * late[:, None]


def test_a_late_bloomer_is_kept_by_a_record_that_knows_its_kind():
    curves, cells = late_record()
    hope = {"m00": 0.1}
    low_start = {"m00": (0.23, 0.39), "m05": (0.37, 0.46), "m06": (0.34, 0.45)}
    known = state(low_start, record=curves, expected=hoped(hope, curves, cells))
    knows = trend(known)
    assert "m00" not in gone(knows)
    assert knows.leader == "m00"
    assert knows.forecast["m00"] > knows.forecast["m05"] + 0.05
    # Its start is no disappointment: what was hoped of it, 0.1 above the others, stands.
    assert knows.forecast["m00"] == pytest.approx(
        0.1 + (knows.forecast["m05"] + knows.forecast["m06"]) / 2, abs=0.02
    )
    # In a record where such a start means a bad end it is.
    ignorant = trend(state(low_start, hope=hope))
    assert ignorant.forecast["m00"] < 0.06 + ignorant.forecast["m05"]
    assert ignorant.p_best["m00"] < knows.p_best["m00"] - 0.1

    result = select(
        {
            "m00": (0.23, 0.39, 0.53, 0.66),
            "m05": (0.37, 0.46, 0.51, 0.55),
            "m06": (0.34, 0.45, 0.50, 0.54),
        },
        record=curves,
        expected=hoped(hope, curves, cells),
    )
    assert result.winner == "m00"
    assert result.price < 1.5


def test_a_candidate_that_fails_half_way_is_a_recorded_failure():
    result = select(
        {"m00": (0.38, 0.5, 0.6, 0.7), "m01": (0.36, 0.47, 0.52, 0.57), "m02": USUAL},
        hope={"m00": 0.1},
        fails={"m00": 2.0},
    )
    assert result.winner in ("m01", "m02")
    assert [(bad.repo_id, bad.reason) for bad in result.failed] == [
        ("m00", "oom: m00 ran out of memory")
    ]
    assert result.curves["m00"].epochs[-1] == 1.0  # it was paid for


NAN = float("nan")


def test_a_candidate_whose_scores_become_no_numbers_is_dropped_at_once():
    work = {}
    result = select(
        {"m00": (0.38, NAN, NAN, NAN), "m01": (0.36, 0.47, 0.52, 0.57), "m02": USUAL},
        hope={"m00": 0.1},
        work=work,
    )
    assert result.winner == "m01"
    assert work["m00"] == 1.0
    drops = {drop.model: drop.reason for rung in result.rungs for drop in rung.dropped}
    assert drops["m00"] == (
        "At epoch 1, its score was no number: its training has diverged. m01 is ahead."
    )
    # It says nothing of how hard the dataset is.
    after = next(rung for rung in result.rungs if "m00" in {drop.model for drop in rung.dropped})
    assert after.forecast["m02"] == pytest.approx(0.55, abs=0.02)


def test_where_all_have_diverged_one_is_handed_over_all_the_same():
    result = select({"m00": (NAN,) * 4, "m01": (0.3, NAN, NAN, NAN)})
    assert result.winner in ("m00", "m01")
    json.dumps([dict(rung.forecast) for rung in result.rungs], allow_nan=False)


def test_equal_candidates_end_cheaply_with_one_winner():
    """Where the record knows that models differ by a few points, with curves to tell from."""
    curves = make_curves(12, 9, 2, seed=1)
    known = curves.without_dataset("d8")
    expected = dataclasses.replace(expected_of(known), mean=np.zeros(12))
    equal = dict.fromkeys(curves.models[:6], (0.4, 0.5, 0.6, 0.68, 0.74, 0.77, 0.79, 0.8))
    result = run_selection(
        trials(equal, epochs=GRID),
        get_policy("trend"),
        horizon=5.0,
        metric=ACCURACY,
        val_trivial=0.2,
        record=known,
        expected=expected,
    )
    assert 1 <= result.price <= 2
    names = [drop.model for rung in result.rungs for drop in rung.dropped]
    assert sorted([*names, result.winner]) == sorted(equal)
    # They have the same chances as long as they have come as far as each other.
    first = trend(state(dict.fromkeys(("m00", "m01", "m02", "m03"), USUAL[:2])))
    np.testing.assert_allclose(list(first.p_best.values()), 0.25, atol=0.03)
    assert first.leader == "m00"


def test_one_candidate_costs_its_training():
    work = {}
    result = select({"m00": USUAL}, work=work)
    assert (result.winner, result.price, work) == ("m00", 1, {"m00": 4.0})
    assert all(rung.dropped == () for rung in result.rungs)
    assert all(rung.p_best == {"m00": 1.0} for rung in result.rungs)


def test_a_validation_set_of_twenty_rows_tells_less():
    """At every point on the way: fewer are dropped, and intervals are wider."""
    rng = np.random.default_rng(2)
    models = record()[0].models
    drops = {20: 0, 2000: 0}
    for _ in range(4):
        ends = 0.55 + 0.06 * rng.standard_normal(len(models))
        curves = {m: np.linspace(0.35, end, 4) for m, end in zip(models, ends, strict=True)}
        for steps in (1, 2, 3):
            found = {
                rows: trend(
                    state({m: c[:steps] for m, c in curves.items()}, rows=lambda e, r=rows: r)
                )
                for rows in drops
            }
            for rows, decision in found.items():
                drops[rows] += len(decision.dropped)
            few, many = (widths(found[rows]) for rows in (20, 2000))
            assert all(few[model] > many[model] for model in models)
            assert len(found[20].dropped) <= len(found[2000].dropped)
    assert drops[20] < 0.5 * drops[2000]


def test_a_model_that_recall_does_not_know():
    """It counts as the least promising, and as uncertain: a good score lets it win."""
    curves = {"x": (0.45, 0.55, 0.62, 0.7), "m01": USUAL, "m02": (0.3, 0.4, 0.45, 0.5)}
    at = state(dict.fromkeys(curves, ()), hope={"m02": -0.05})
    decision = trend(at)
    assert decision.forecast["x"] == pytest.approx(decision.forecast["m02"])
    assert widths(decision)["x"] > widths(decision)["m02"]
    assert decision.p_best["x"] > decision.p_best["m02"]
    assert select(curves, "trend:tolerance=0.1", hope={"m02": -0.05}).winner == "x"
    assert select(dict.fromkeys(("x", "y"), USUAL)).winner == "x"  # nobody is known
    far = trend(state({"x": (), "m01": USUAL[:3]}, hope={"m01": 0.4}))
    assert [drop.reason.split(",")[:2] for drop in far.dropped] == [
        ["Never trained", " and unknown to recall"]
    ]


def test_an_expectation_that_is_no_number_counts_as_none():
    at = state({"m00": (), "m01": ()})
    mean, deviation = at.expected.mean.copy(), at.expected.deviation.copy()
    mean[0], deviation[0] = NAN, NAN
    at = dataclasses.replace(
        at, expected=dataclasses.replace(at.expected, mean=mean, deviation=deviation)
    )
    decision = trend(at)
    assert np.isfinite(list(decision.forecast.values())).all()
    assert widths(decision)["m00"] >= widths(decision)["m01"]


# ------------------------------------------------------------------------- too little on record


@pytest.mark.parametrize("what", ["nothing", "no curves", "two datasets", "others' expectations"])
def test_without_a_record_it_is_successive_halving_and_says_so(what):
    known, cells = record()
    expected = hoped({})
    if what == "nothing":
        known, expected = None, None
    elif what == "no curves":
        known = dataclasses.replace(known, val=np.full(known.val.shape, np.nan))
    elif what == "two datasets":
        for dataset in known.datasets[2:]:
            known = known.without_dataset(dataset)
    else:
        names = tuple(f"x{i}" for i in range(12))
        expected = Expectation(names, np.zeros(12), np.ones(12), known.datasets, cells)
    curves = {f"m{i:02d}": np.linspace(0.3, 0.5 + 0.01 * i, 4) for i in range(9)}
    works = {"trend": {}, "halving": {}}
    ours, halving = (
        select(curves, name, record=known, expected=expected, work=works[name]) for name in works
    )
    assert works["trend"] == works["halving"]
    assert (ours.winner, ours.price) == (halving.winner, halving.price)
    said = "there is too little on record to forecast from, so as in successive halving it keeps"
    for mine, theirs in zip(ours.rungs, halving.rungs, strict=True):
        assert [d.reason.replace(said, "halving keeps") for d in mine.dropped] == [
            d.reason for d in theirs.dropped
        ]
        assert (
            mine.note
            == "there is too little on record to forecast from: this is successive halving"
        )
        assert mine.forecast == mine.p_best == {}
    assert any(said in d.reason for rung in ours.rungs for d in rung.dropped)


def test_raw_errors_are_halved_and_the_note_says_so():
    """The paper's preset on RMSE: no common scale, so that a forecast would see nothing."""

    curves = make_curves(8, 4, 2, metric="rmse")
    result = drive(curves, "trend", raw=True)
    assert result.epochs == drive(curves, "halving", raw=True).epochs
    assert {rung.note for rung in result.rungs} == {
        "raw errors can't be forecast: this is successive halving"
    }


@pytest.mark.parametrize("models", [12, 40])
def test_of_many_that_are_alike_not_all_are_given_up(models):
    """Each of 40 equals is the best with 2.5 %, but one of them is."""
    mean, covariance = np.zeros(models), 0.05**2 * np.eye(models)
    _, within = chances(mean, covariance, 0.0)
    assert (within < 0.2).all()
    gone = hopeless(mean, covariance, 0.0, 0.05, 0)
    assert len(gone) <= 0.05 * models
    apart = np.concatenate([mean, mean - 1.0])
    wide = 0.05**2 * np.eye(2 * models)
    assert set(range(models, 2 * models)) <= set(hopeless(apart, wide, 0.0, 0.05, 0))
    assert hopeless(mean[:1], covariance[:1, :1], 0.0, 0.05, 0) == []


def test_what_a_group_has_in_common_pushes_nobody_else_out():
    """Six models by a rate that nobody has recorded: one guess, not six of them."""
    models = [f"m{i:02d}" for i in range(12)]
    known, unknown = models[:6], models[6:]
    usual = hoped(dict.fromkeys(models, 0.0))
    wide = np.array([0.4 if model in unknown else 0.03 for model in usual.models])
    alone = dataclasses.replace(usual, deviation=wide)
    together = dataclasses.replace(
        usual,
        deviation=np.full(len(wide), 0.03),
        groups=dict.fromkeys(unknown, "lr"),
        group_deviation={"lr": 0.4},
    )
    nothing = dict.fromkeys(models, ())
    apart = trend(state(nothing, expected=alone), confidence=0.9)
    assert set(known) - {apart.leader} <= gone(apart)
    first = trend(state(nothing, expected=together), confidence=0.9)
    assert len(set(known) & gone(first)) <= 1  # which the others make up for
    # A low score of one of them tells of the others.
    low = trend(state({**nothing, "m06": (0.1, 0.1)}, expected=together))
    for model in unknown[1:]:
        assert low.forecast[model] < first.forecast[model] - 0.02
        assert low.forecast[model] - first.forecast[model] < (
            low.forecast["m00"] - first.forecast["m00"]
        )


# -------------------------------------------------------------------------------- parameters


def many(count=6, models=12, seed=5):
    """Targets that are drawn as the record was."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        curves, finals, hope = PLANTED.draw(models, 1, 1, rng)
        yield (
            {m: tuple(curves.val[i, 0, 0]) for i, m in enumerate(curves.models)},
            dict(zip(curves.models, finals[:, 0], strict=True)),
            dict(zip(curves.models, hope[:, 0], strict=True)),
        )


def test_a_record_of_another_recipe_counts_for_less():
    """Doubt widens every interval; nobody is dropped who wouldn't be without it."""
    dropped = {1.0: 0, 1.5: 0}
    for curves, _, hope in many(4):
        for steps in (0, 1, 3):
            at = {m: c[:steps] for m, c in curves.items()}
            sure, doubtful = (trend(state(at, hope=hope, doubt=d)) for d in (1.0, 1.5))
            assert all(widths(doubtful)[m] > widths(sure)[m] for m in curves)
            dropped[1.0] += len(sure.dropped)
            dropped[1.5] += len(doubtful.dropped)
            if not steps:
                assert gone(doubtful) <= gone(sure)
                for m, width in widths(sure).items():
                    assert widths(doubtful)[m] == pytest.approx(1.5 * width)
    assert dropped[1.5] < 0.9 * dropped[1.0]


def test_doubt_widens_what_recall_is_unsure_of_as_well():
    at = state({"m00": (), "m01": ()})
    at = dataclasses.replace(
        at, expected=dataclasses.replace(at.expected, deviation=np.full(12, 0.2))
    )
    sure, doubtful = (trend(dataclasses.replace(at, doubt=d)) for d in (1.0, 1.5))
    below = [d.forecast["m00"] - d.interval["m00"][0] for d in (sure, doubtful)]
    assert below[1] == pytest.approx(1.5 * below[0])


def test_more_confidence_drops_fewer():
    for curves, _, hope in many(3):
        at = state({m: c[:2] for m, c in curves.items()}, hope=hope)
        drops = [gone(trend(at, confidence=c)) for c in (0.8, 0.95, 0.99)]
        assert drops[0] >= drops[1] >= drops[2]
        assert len(drops[0]) > len(drops[2])


def test_more_tolerance_drops_fewer_and_trains_less():
    def chance(model):
        text = next(d.reason for d in strict.dropped if d.model == model)
        return float(
            re.search(r"within 0.1 points of the best with (?:less than )?([\d.]+)", text)[1]
        )

    for curves, _, hope in many(3):
        at = state({m: c[:2] for m, c in curves.items()}, hope=hope)
        strict, easy = trend(at, tolerance=0.1), trend(at, tolerance=5.0)
        assert gone(easy) < gone(strict)
        assert all(chance(model) < 5 for model in gone(strict))
    assert spent("trend:tolerance=2") <= spent("trend:tolerance=0.5") < spent("trend:tolerance=0.1")


def spent(policy):
    """What a policy pays on some targets."""
    return sum(select(curves, policy, hope=hope).price for curves, _, hope in many(3))


def test_what_a_gain_is_worth_is_spent():
    assert spent("trend:worth=0.05") <= spent("trend:worth=0.25") < spent("trend:worth=2")


def test_parameters_of_trend_are_checked():
    for text in ("confidence=1", "confidence=0", "tolerance=-1", "worth=0", "confidence=nan"):
        with pytest.raises(Exception, match=text.split("=")[0]):
            get_policy(f"trend:{text}")
    # None at all: only what can't be the best goes, and only as much is trained as may change that.
    for curves, _, hope in many(1):
        result = select(curves, "trend:tolerance=0", hope=hope)
        assert 1 <= result.price <= len(curves)


def test_who_leads_for_certain_is_trained_on_and_nobody_else():
    at = state({"m00": USUAL[:2], "m01": (0.2,), "m02": ()}, hope={"m00": 0.3})
    decision = trend(at)
    assert decision.advance == {"m00": 2.0}
    assert gone(decision) == {"m01", "m02"}
    assert decision.note.endswith(
        "within 0.5 points of the best with more than 99.9 %: it is trained on"
    )


def test_the_leader_is_never_dropped():
    """One that is sure to be better would cost more than that is worth to this user."""
    decision = trend(
        state({"m00": (*USUAL[:3],), "m01": ()}, hope={"m01": 0.3}), tolerance=0.5, worth=0.005
    )
    assert decision.leader == "m00"
    assert decision.p_best["m00"] < 0.05
    assert decision.advance == {"m00": 4.0}
    assert gone(decision) == set()


def test_who_was_dropped_is_trained_no_further_however_cheap():
    curves, cells = record()
    seconds = curves.seconds.copy()
    seconds[5] *= 1e-6
    known = dataclasses.replace(curves, seconds=seconds)
    hope = {"m00": 0.1, "m01": 0.08, "m05": 0.05}
    at = state(dict.fromkeys(hope, ()), record=known, expected=hoped(hope, known, cells))
    kept, dropped = trend(at, confidence=0.95), trend(at, confidence=0.7)
    assert kept.advance == {"m05": 0.25}  # it costs next to nothing
    assert gone(dropped) == {"m05"}
    assert "m05" not in dropped.advance


def test_a_longer_training_stretches_the_rungs_of_the_record():
    """Twice as long as on record: epoch 2 of 8 is what epoch 1 of 4 was."""
    usual = trend(state({"m00": (0.4, 0.5), "m01": (0.35,)}))
    curves = {
        "m00": LearningCurve.of([0.5, 2.0], [0.4, 0.5]),
        "m01": LearningCurve.of([0.5], [0.35]),
    }
    longer = trend(dataclasses.replace(state({"m00": (), "m01": ()}), curves=curves, horizon=8.0))
    assert longer.forecast == pytest.approx(usual.forecast)
    assert {m: 2 * to for m, to in usual.advance.items()} == longer.advance


def test_costs_decide_between_equals():
    """Of two that promise the same, the one that takes less time is trained and wins."""
    curves, cells = record()
    seconds = curves.seconds.copy()
    seconds[0] *= 5
    known = dataclasses.replace(curves, seconds=seconds)
    at = state({"m00": (), "m01": ()}, record=known, expected=hoped({}, known, cells))
    assert trend(at).leader == "m01"
    assert trend(dataclasses.replace(at, record=curves)).leader == "m00"
    # Measured seconds count for more than recorded ones.
    slow = LearningCurve(
        np.array([0.25]), np.array([0.35]), np.array([NAN]), np.array([NAN]), np.array([100.0])
    )
    fast = dataclasses.replace(slow, seconds=np.array([1.0]))
    at = dataclasses.replace(at, curves={"m00": fast, "m01": slow})
    assert trend(at).leader == "m00"


@pytest.mark.parametrize("horizon", [0.2, 0.7, 3.0, 4.0, 10.0])
def test_any_horizon_comes_to_its_end(horizon):
    """Shorter than the record, between its rungs, or longer: its rungs are stretched then."""
    at = np.array([e for e in (0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0) if e < horizon] + [horizon])
    curves = {
        m: LearningCurve.of(at, 0.55 - 0.2 * np.exp(-at) + up)
        for m, up in (("m00", 0.0), ("m01", 0.05), ("m02", -0.2))
    }
    result = run_selection(
        {m: functools.partial(FakeTrial, m, c, 0.5) for m, c in curves.items()},
        get_policy("trend"),
        horizon=horizon,
        metric=ACCURACY,
        record=record()[0],
        expected=hoped({}),
    )
    assert result.curves[result.winner].epochs[-1] == horizon
    assert result.winner in ("m00", "m01")
    assert 1 <= result.price <= 3


def test_scores_at_rungs_that_the_record_lacks():
    """More evaluations than on record: the last one near a rung counts."""
    at = np.arange(1, 33) / 8
    curves = {m: LearningCurve.of(at, 0.3 + 0.06 * at + up) for m, up in (("m00", 0), ("m01", 0.1))}
    result = run_selection(
        {m: functools.partial(FakeTrial, m, c, 0.5) for m, c in curves.items()},
        get_policy("trend"),
        horizon=4.0,
        metric=ACCURACY,
        record=record()[0],
        expected=hoped({}),
    )
    assert result.winner == "m01"


def test_no_forecast_is_above_the_perfect_score():
    """A normal doesn't know that accuracy ends at 1; the user does."""
    curves, cells = record()
    easy = dataclasses.replace(curves, val=curves.val + 0.42, test=curves.test + 0.42)
    expected = hoped({"m00": 0.05}, easy, cells)
    expected = dataclasses.replace(expected, level=0.97)
    result = select(
        {"m00": (0.8, 0.9, 0.97, 0.99), "m01": (0.78, 0.88, 0.93, 0.96), "m02": (0.2,) * 4},
        record=easy,
        expected=expected,
    )
    for rung in result.rungs:
        assert all(v <= 1 for v in rung.forecast.values())
        assert all(low <= rung.forecast[m] <= high <= 1 for m, (low, high) in rung.interval.items())
        for drop in rung.dropped:
            assert not re.search(r"\b1\.0*[1-9]", drop.reason)


# ---------------------------------------------------------------------------------- sentences

NUMBER = r"(-?\d\.\d{4})"
CHANCE = r"((?:less than |more than )?[\d.]+) %"
SENTENCE = re.compile(
    rf"(?:At epoch ([\d.]+), with {NUMBER} so far|Never trained: by recall), {NUMBER} is expected "
    rf"in the end \({NUMBER} to {NUMBER}\): the best with {CHANCE}, within 0\.5 points of the best "
    rf"with {CHANCE}\. Lost to (m\d\d), of which {NUMBER} is expected \({NUMBER} to {NUMBER}\)\."
    r"( That was not worth finding out\.)?"
)


def test_every_elimination_says_why():
    seen, last = 0, 0
    for curves, _, hope in many(5):
        result = select(curves, hope=hope)
        for rung in result.rungs:
            for drop in rung.dropped:
                found = SENTENCE.fullmatch(drop.reason)
                assert found, drop.reason
                epoch, own, mean, low, high, best, _, rival, theirs, *_, outdone = found.groups()
                if epoch is None:
                    assert drop.model not in rung.val
                else:
                    assert float(epoch) == rung.reached[drop.model]
                    assert own == f"{rung.val[drop.model]:.4f}"
                assert mean == f"{rung.forecast[drop.model]:.4f}"
                assert (low, high) == tuple(f"{v:.4f}" for v in rung.interval[drop.model])
                chance = 100 * rung.p_best[drop.model]
                told = float(best.rpartition(" ")[2])
                assert chance < 0.1 if "less" in best else chance == pytest.approx(told, abs=0.5)
                assert rival == rung.leader != drop.model
                assert theirs == f"{rung.forecast[rival]:.4f}"
                if outdone:
                    assert rung is result.rungs[-1]
                    last += 1
                seen += 1
        for rung in result.rungs[:-1]:
            assert rung.leader in rung.note
            assert sum(rung.p_best.values()) == pytest.approx(1)
    assert seen == 5 * 11
    assert 0 < last < seen


def test_the_note_names_the_step_that_is_taken():
    for curves, _, hope in many(2):
        steps = []
        result = select(curves, hope=hope, on_advance=lambda m, c, s=steps: s.append(m))
        for rung, step in zip(result.rungs[:-1], steps[1:], strict=False):
            assert step in rung.note
            assert rung.note.endswith(": it is trained on") == (step == rung.leader) or (
                "times its cost" in rung.note
            )


# -------------------------------------------------------------------------------------- purity


def test_the_same_state_gives_the_same_decision():
    for curves, _, hope in many(2):
        for steps in (0, 1, 3):
            at = state({m: c[:steps] for m, c in curves.items()}, hope=hope)
            first = trend(at)
            trend(state({"m00": USUAL[:1]}))  # another one in between
            np.random.default_rng(3).standard_normal(5)
            assert trend(at) == first
            # A record that is equal but another object, too.
            twin = dataclasses.replace(at, record=dataclasses.replace(at.record))
            assert trend(twin) == first


def test_the_order_of_candidates_decides_only_between_equals():
    """The same chances, drops and leader whichever way they are listed, but for rounding."""
    for curves, _, hope in many(2):
        at = {m: c[:2] for m, c in curves.items()}
        names = list(at)
        random.Random(1).shuffle(names)
        one = trend(state(at, hope=hope))
        other = trend(state({m: at[m] for m in names}, hope=hope))
        assert one.leader == other.leader
        for model in names:
            assert other.forecast[model] == pytest.approx(one.forecast[model])
            assert other.p_best[model] == pytest.approx(one.p_best[model], abs=0.04)


def test_cut_off_after_any_step_it_goes_on_the_same(tmp_path):
    curves, _, hope = next(many(1, models=8))
    curves["m03"] = (*curves["m03"][:1], NAN, NAN, NAN)
    path = tmp_path / "journal.jsonl"
    fails = {max(hope, key=hope.get): 2.0}
    whole = select(curves, hope=hope, fails=fails, journal=path)
    assert whole.failed
    lines = path.read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        again = select(curves, hope=hope, fails=fails, journal=path)
        # NaN scores are in there: as text.
        assert str(again.rungs) == str(whole.rungs)
        assert (again.winner, again.epochs, again.failed) == (
            *(whole.winner, whole.epochs, whole.failed),
        )
        assert _without_paid(path.read_bytes()) == _without_paid(b"".join(lines))


def _without_paid(journal):
    """Lines of a journal, but for how far a failed trial had come: a made-up one starts afresh."""
    rows = [json.loads(line) for line in journal.splitlines()]
    return [{key: value for key, value in row.items() if key != "paid"} for row in rows]


def test_errors_are_forecast_in_their_own_units():
    """Lower is better: intervals rise, and the leader's error is the lower one."""
    curves = make_curves(8, 6, 2, metric="rmse", seed=3)
    known: CurveSet = curves.without_dataset("d0")
    scores = {m: curves.val[i, 0, 0] for i, m in enumerate(curves.models)}
    result = run_selection(
        trials(scores, epochs=GRID),
        get_policy("trend"),
        horizon=5.0,
        metric=get_metric("rmse"),
        val_trivial=1.6,
        record=known,
        expected=expected_of(known),
    )
    for rung in result.rungs:
        for model, (low, high) in rung.interval.items():
            assert 0 <= low <= rung.forecast[model] <= high
    last = result.rungs[-1]
    assert last.forecast[result.winner] <= min(last.forecast.values()) + 0.1


def test_an_interval_names_its_smaller_end_first_where_errors_count() -> None:
    """Of errors the worse end is the larger number."""
    from types import SimpleNamespace

    from hf_select.selection import by_forecast

    seen = SimpleNamespace(
        state=SimpleNamespace(show=lambda score: f"{10 * (1 - score):.4f}"),
        _interval=lambda: (np.array([0.2]), np.array([0.7])),
    )
    view = next(c for c in vars(by_forecast).values() if hasattr(c, "_range"))
    assert view._range(seen, 0) == "3.0000 to 8.0000"
