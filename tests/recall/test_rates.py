"""What a record says of learning rates: few cells aren't sure, families are drawn together."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.recall.rates import PER_DECADE, RateEffect, RateRecord, not_worth_trying
from hf_select.records import PerformanceMatrix

LOW, USUAL, HIGH = 1e-4, 1e-3, 1e-2


def matrix(scores: np.ndarray, **changes: object) -> PerformanceMatrix:
    """Accuracies (M, D) over a trivial predictor of 0, so that they are skill."""
    models, datasets = scores.shape
    values = {
        "scores": scores,
        "spread": np.full(scores.shape, np.nan),
        "models": tuple(f"m{i}" for i in range(models)),
        "datasets": tuple(f"d{j}" for j in range(datasets)),
        "metrics": ("accuracy",) * datasets,
        "baselines": np.zeros(datasets),
        **changes,
    }
    return PerformanceMatrix(**values)  # type: ignore[arg-type]


def record(
    differences: np.ndarray, families: str = "", rate: float = LOW, usual: float = USUAL
) -> RateRecord:
    """Two rates, of which `rate` adds `differences` (M, D); a letter a family, one a model."""
    base = np.full(differences.shape, 0.5)
    names = families or "a" * len(differences)
    return RateRecord.of(
        {usual: matrix(base), rate: matrix(base + differences)},
        {f"m{i}": name for i, name in enumerate(names)},
    )


def drawn(
    seed: int,
    models: int,
    datasets: int,
    *,
    mean: float,
    model: float,
    dataset: float,
    rest: float = 0.01,
) -> np.ndarray:
    """Differences (M, D) of models and datasets that differ in what a rate does to them."""
    rng = np.random.default_rng(seed)
    return (
        mean
        + rng.normal(0, model, (models, 1))
        + rng.normal(0, dataset, (1, datasets))
        + rng.normal(0, rest, (models, datasets))
    )


def test_the_effect_is_the_mean_difference_where_much_is_measured() -> None:
    differences = drawn(0, 20, 20, mean=-0.1, model=0.02, dataset=0.04)
    effect = record(differences).compare(LOW, USUAL).of("a")
    assert effect.mean == pytest.approx(differences.mean(), abs=0.01)
    assert effect.shared == pytest.approx(0.04, abs=0.03)
    assert (effect.cells, effect.models, effect.datasets) == (400, 20, 20)
    turned = record(differences).compare(USUAL, LOW).of("a")
    assert turned.mean == pytest.approx(-effect.mean)
    assert turned.deviation == pytest.approx(effect.deviation)


def test_cells_of_one_dataset_do_not_look_like_many() -> None:
    """16 models on one dataset tell less of a new dataset than 4 models on 4 datasets."""
    same = drawn(1, 16, 16, mean=-0.1, model=0.0, dataset=0.0)
    one = record(same[:, :1]).compare(LOW, USUAL).of("a")
    square = record(same[:4, :4]).compare(LOW, USUAL).of("a")
    assert one.cells == square.cells
    assert one.deviation > 1.2 * square.deviation
    assert one.error > 1.2 * square.error


def test_one_pair_of_runs_rules_nothing_out_and_many_do() -> None:
    one = record(np.array([[-0.3]]))
    assert not_worth_trying(one, ["a"], [LOW, USUAL]) == {"a": ()}
    many = record(drawn(2, 8, 8, mean=-0.3, model=0.02, dataset=0.04))
    (bad,) = not_worth_trying(many, ["a"], [LOW, USUAL])["a"]
    assert (bad.rate, bad.better) == (LOW, USUAL)
    assert bad.effect.mean == pytest.approx(0.3, abs=0.05)
    small = record(drawn(2, 8, 8, mean=-0.004, model=0.0, dataset=0.0))
    assert not_worth_trying(small, ["a"], [LOW, USUAL]) == {"a": ()}


def test_a_rate_that_some_datasets_like_is_tried() -> None:
    """Surely worse in the mean, but not on a new dataset."""
    differences = drawn(3, 10, 40, mean=-0.1, model=0.0, dataset=0.15)
    effect = record(differences).compare(USUAL, LOW).of("a")
    assert effect.mean - 3 * effect.error > 0
    assert effect.regret > 0.01
    assert not effect.settles


def test_families_differ_where_much_is_measured() -> None:
    low = drawn(4, 10, 10, mean=-0.2, model=0.01, dataset=0.01)
    high = drawn(5, 10, 10, mean=0.2, model=0.01, dataset=0.01)
    compared = record(np.concatenate([low, high]), "a" * 10 + "b" * 10).compare(LOW, USUAL)
    assert compared.of("a").mean == pytest.approx(-0.2, abs=0.03)
    assert compared.of("b").mean == pytest.approx(0.2, abs=0.03)
    new = compared.of("somebody else")
    assert abs(new.mean) < 0.1
    assert new.error > 2 * compared.of("a").error


def test_a_family_with_one_cell_is_drawn_to_the_mean_over_all() -> None:
    many = drawn(4, 20, 10, mean=-0.1, model=0.05, dataset=0.02, rest=0.05)
    single = np.where(np.arange(10) < 1, 0.2, np.nan)[None, :]
    compared = record(np.concatenate([many, single]), "a" * 10 + "b" * 10 + "c").compare(LOW, USUAL)
    assert compared.of("a").mean == pytest.approx(-0.1, abs=0.02)
    assert -0.09 < compared.of("c").mean < 0.1
    assert compared.of("c").error > 2 * compared.of("a").error


def test_nothing_on_record_is_no_effect_and_wide() -> None:
    for known in (
        RateRecord((), np.empty((0, 0, 0)), ()),
        RateRecord((USUAL,), np.empty((1, 0, 0)), ()),
        RateRecord((USUAL,), np.full((1, 3, 3), 0.5), ("a",) * 3),
    ):
        effect = known.compare(LOW, USUAL).of("a")
        assert (effect.mean, effect.cells) == (0, 0)
        assert effect.deviation == pytest.approx(PER_DECADE)
        assert known.compare(1e-5, LOW).of("a").deviation == pytest.approx(PER_DECADE)
        assert not_worth_trying(known, ["a"], [LOW, USUAL]) == {"a": ()}


def test_rates_between_are_interpolated_and_wider_and_those_beyond_stay() -> None:
    known = record(drawn(7, 10, 10, mean=-0.2, model=0.01, dataset=0.01))
    ends = known.compare(LOW, USUAL).of("a")
    between = known.compare(10**-3.5, USUAL).of("a")
    beyond = known.compare(1e-5, USUAL).of("a")
    assert between.mean == pytest.approx(ends.mean / 2, abs=0.01)
    assert between.deviation > ends.deviation
    assert beyond.mean == pytest.approx(ends.mean)
    assert beyond.deviation == pytest.approx(np.hypot(ends.deviation, PER_DECADE))
    near = known.compare(USUAL * 1.01, USUAL).of("a")
    assert near.mean == 0
    assert near.deviation < 0.2 * PER_DECADE
    # Of two that are far from everything measured, what they share cancels.
    assert known.compare(1e-6, 1.01e-6).of("a").deviation == pytest.approx(near.deviation)


def test_three_rates_are_compared_in_pairs_and_one_stays() -> None:
    base = np.full((8, 8), 0.5)
    matrices = {
        LOW: matrix(base + drawn(8, 8, 8, mean=-0.3, model=0.01, dataset=0.01)),
        USUAL: matrix(base),
        HIGH: matrix(base + drawn(9, 8, 8, mean=0.2, model=0.01, dataset=0.01)),
    }
    known = RateRecord.of(matrices, {f"m{i}": "a" for i in range(8)})
    gone = not_worth_trying(known, ["a", "a"], [LOW, USUAL, HIGH])["a"]
    assert [(bad.rate, bad.better) for bad in gone] == [(LOW, HIGH), (USUAL, HIGH)]
    assert not_worth_trying(known, ["a"], [LOW]) == {"a": ()}


def test_rates_that_beat_each_other_in_a_circle_are_not_all_left_out() -> None:
    """Each pair was measured on other datasets, so that A > B > C > A."""
    scores = np.full((3, 8, 24), np.nan)
    for third, (better, worse) in enumerate(((0, 1), (1, 2), (2, 0))):
        part = slice(8 * third, 8 * third + 8)
        scores[better, :, part], scores[worse, :, part] = 0.8, 0.4
    known = RateRecord((LOW, USUAL, HIGH), scores, ("a",) * 8)
    assert len(not_worth_trying(known, ["a"], [LOW, USUAL, HIGH])["a"]) == 2


def test_models_and_datasets_of_one_rate_only_and_other_metrics_say_nothing() -> None:
    base = matrix(np.full((2, 2), 0.5))
    other = matrix(
        np.array([[0.9, 0.2]]), models=("m1",), datasets=("d1", "new"), metrics=("f1", "accuracy")
    )
    known = RateRecord.of({USUAL: base, LOW: other}, {})
    assert known.skill.shape == (2, 2, 3)
    assert known.compare(LOW, USUAL).of("").cells == 0


def test_what_is_lost_by_leaving_out_is_little() -> None:
    """Over many small records: on a dataset that wasn't seen, at most half a point in the mean."""
    lost, out = [], 0
    for seed in range(300):
        rng = np.random.default_rng(1000 + seed)
        shape = (int(rng.integers(1, 6)), int(rng.integers(1, 6)) + 1)
        differences = drawn(seed, *shape, mean=rng.normal(0, 0.2), model=0.03, dataset=0.08)
        for one in not_worth_trying(record(differences[:, 1:]), ["a"], [LOW, USUAL])["a"]:
            gained = differences[:, 0].mean() * (1 if one.rate == LOW else -1)
            lost.append(max(0.0, gained))
            out += 1
    assert out >= 50
    assert np.mean(lost) < 0.005
    assert np.mean(np.array(lost) > 0) < 0.15


@pytest.mark.parametrize(("mean", "deviation"), [(0.1, 0.1), (0.0, 0.2), (-0.1, 0.05)])
def test_the_regret_is_that_of_draws(mean: float, deviation: float) -> None:
    draws = np.random.default_rng(0).normal(mean, deviation, 200_000)
    expected = np.maximum(-draws, 0).mean()
    assert RateEffect(mean, 0.0, deviation, 0.0).regret == pytest.approx(expected, abs=1e-3)
    assert RateEffect(mean, 0.0, 0.0, 0.0).regret == max(0.0, -mean)
