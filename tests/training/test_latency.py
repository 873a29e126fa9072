"""How fast a model answers: the median by a clock of our own, and the order of real networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_image_folder, tiny_image_model, tiny_text_csv, tiny_text_model

from hf_select.errors import ModelError
from hf_select.tasks.data import load_target
from hf_select.training.latency import MOST, WARM, measure_latency, median_seconds


class Clock:
    """A clock that only runs take time of."""

    def __init__(self, *taken: float) -> None:
        self.now, self.runs, self.taken = 0.0, 0, taken

    def __call__(self) -> float:
        return self.now

    def run(self) -> None:
        self.now += self.taken[min(self.runs, len(self.taken) - 1)]
        self.runs += 1


def test_the_warm_up_does_not_count() -> None:
    clock = Clock(100.0, 100.0, 3.0, 1.0, 2.0, 1000.0)
    found = median_seconds(clock.run, seconds=205.9, warm=2, clock=clock)
    assert (found, clock.runs) == (2.0, 5)


def test_it_ends_in_time_and_after_enough_runs() -> None:
    clock = Clock(0.001)
    assert median_seconds(clock.run, clock=clock) == pytest.approx(0.001)
    assert clock.runs == WARM + MOST
    slow = Clock(60.0)
    assert median_seconds(slow.run, seconds=1.0, clock=slow) == pytest.approx(60.0)
    assert slow.runs == 2  # one to warm up, one that is timed


def test_a_bigger_network_is_slower(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "rows.csv", 90))
    small = measure_latency(
        tiny_text_model(tmp_path / "small", layers=1, width=16), target, max_length=16
    )
    big = measure_latency(
        tiny_text_model(tmp_path / "big", layers=12, width=64), target, max_length=16
    )
    assert big.num_parameters > 10 * small.num_parameters
    assert big.size_bytes >= 4 * big.num_parameters
    assert big.latency_ms > small.latency_ms > 0
    assert 0 < big.rows_per_second < small.rows_per_second
    assert small.rows == big.rows > 1


def test_images_and_regressions(tmp_path: Path) -> None:
    images = load_target(tiny_image_folder(tmp_path / "images", 8))
    found = measure_latency(
        tiny_image_model(tmp_path / "image-model"), images, max_length=16, seconds=0.05
    )
    assert found.latency_ms > 0
    rated = load_target(tiny_text_csv(tmp_path / "rated.csv", 60, regression=True))
    model = tiny_text_model(tmp_path / "model")
    assert measure_latency(model, rated, max_length=16, seconds=0.05).rows_per_second > 0


def test_a_broken_model_is_said(tmp_path: Path) -> None:
    target = load_target(tiny_text_csv(tmp_path / "rows.csv", 60))
    with pytest.raises(ModelError):
        measure_latency(tmp_path, target, max_length=16)
