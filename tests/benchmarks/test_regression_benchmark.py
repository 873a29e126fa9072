import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import regression

from hf_select.errors import HfSelectError


def test_scores_by_hand():
    found = regression.regression_scores(np.array([1.0, 2.0, 5.0]), np.array([1.0, 3.0, 5.0]))
    assert found["rmse"] == pytest.approx((1 / 3) ** 0.5)
    assert found["mae"] == pytest.approx(1 / 3)
    assert found["r2"] == pytest.approx(1 - (1 / 3) / (8 / 3))
    assert found["pearson"] == pytest.approx(8 / (np.sqrt(26 / 3) * np.sqrt(8)))


def test_the_mean_predictor_has_no_r2():
    truth = np.array([1.0, 3.0, 5.0])
    apart = regression.regression_scores(truth.mean() + np.array([1e-9, 0, 0]), truth)
    assert apart["r2"] == pytest.approx(0, abs=1e-6)
    assert apart["rmse"] == pytest.approx(truth.std())


def test_an_error_of_the_command_is_an_error_here(tmp_path):
    with pytest.raises(HfSelectError, match="cluster: no results repository"):
        regression.hf_select(
            "cluster", "--results", str(tmp_path / "no"), "--task", regression.TASK
        )


def test_the_page_shows_the_winner_beside_the_mean_predictor():
    document = {
        "recipe": {"epochs": 3, "learning_rate": 2e-4, "max_length": 32},
        "record": {"m": {"rated_movie": 1.5}},
        "trivial": {"rated_movie": 2.0},
        "clusters": [["m"]],
        "recalled": [{"model": "m", "prior": 0.25, "score": 0.2, "logme": -1.0}],
        "winner": "m",
        "reported": 1.25,
        "measured": {"rmse": 1.25, "mae": 1.0, "r2": 0.5, "pearson": 0.75},
        "mean_predictor": {"rmse": 2.5},
        "test_rows": 240,
        "price": 1.5,
        "epochs": 4.0,
        "proxy_epochs": 0.5,
        "baselines": {"halving_all": 2.0, "brute_force_all": 4.0},
        "brute_force": {"m": 1.25},
        "regret_rmse": 0.0,
    }
    page = regression.page(document)
    assert "| m | 1.500 | 1.250 |" in page
    assert "| (mean of the ratings) | 2.000 | 2.500 |" in page
    assert "| the winner | 1.250 | 1.000 | 0.500 | 0.750 |" in page
    assert "differs by 0.0e+00" in page
