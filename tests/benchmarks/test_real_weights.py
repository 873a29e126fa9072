import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import real_weights

from hf_select.records import PerformanceMatrix

SCORES = np.array([[0.5, 0.8], [0.9, 0.7], [0.7, 0.85]])
MATRIX = PerformanceMatrix(
    SCORES,
    np.full((3, 2), np.nan),
    ("a", "b", "c"),
    ("other", "target"),
    ("accuracy", "accuracy"),
    np.array([0.3, 0.4]),
)
DOCUMENT = {
    "winner": {"model": "a", "test": 0.8},
    "recall": {"candidates": [{"model": "a", "proxies": {"leep": -1.0}}]},
    "ranking": [{"model": "a", "dropped_at": None}],
    "price": 1.5,
    "cost": {"epochs": 4.0, "proxy_epochs": 0.5},
    "baselines": {"brute_force_all": {"price": 3.0}, "halving_all": {"price": 2.0}},
}


def test_regret_is_in_points_below_the_best_on_that_set():
    row = real_weights.judge("target", DOCUMENT, MATRIX)
    assert (row["best"], row["winner"]) == ("c", "a")
    np.testing.assert_allclose(row["regret"], 5.0)
    assert row["same_in_matrix"] is True
    assert row["proxy"] == "leep"


def test_the_page_shows_every_model_target_and_price():
    document = {
        "task": "image-classification",
        "scores": {
            m: dict(zip(MATRIX.datasets, SCORES[i], strict=True)) for i, m in enumerate("abc")
        },
        "trivial": {"other": 0.3, "target": 0.4},
        "targets": {"target": real_weights.judge("target", DOCUMENT, MATRIX)},
    }
    page = real_weights.page([document])
    assert "| target (target) | other |" in page
    assert "| (majority class) | 0.400 | 0.300 |" in page
    assert "| target | c 0.850 | a 0.800 | 5.00 | 1.50 | 2.00 | 3.00 |" in page
    assert "Recalled for target (leep): a." in page


def test_no_target_is_among_the_other_sets():
    for side in real_weights.SIDES.values():
        assert len(side.targets) >= 2
        assert not set(side.targets) & set(side.others)
