import math

import pytest

from hf_select.training.throughput import Throughput, Totals, added

COUNTED = Throughput(
    samples=40,
    tokens=300,
    cells=400,
    training_seconds=5.0,
    waiting_seconds=1.0,
    evaluation_seconds=2.0,
)


def test_the_totals_of_jobs_are_sums():
    one = Totals.of(COUNTED, job_seconds=10.0)
    assert (one.jobs, one.step_seconds, one.samples_per_second) == (1, 4.0, 10.0)
    assert (one.padding_share, one.outside_share) == (0.25, 0.6)
    idle = Totals(jobs=1, samples=0, tokens=0, cells=0, step_seconds=0.0, job_seconds=6.0)
    both = one + idle
    assert (both.jobs, both.samples_per_second, both.outside_share) == (2, 10.0, 0.75)
    assert math.isnan(idle.samples_per_second)
    assert added(None, one) == added(one, None) == one
    assert added(None, None) is None
    assert added(one, idle) == both


def test_totals_go_through_json():
    one = Totals.of(COUNTED, job_seconds=10.0)
    assert Totals.from_dict({**one.to_dict(), "of a later version": []}) == one


@pytest.mark.parametrize("values", [None, [], "x", {}, {"jobs": 1}, {"samples": "many"}])
def test_what_are_no_totals_are_none(values):
    assert Totals.from_dict(values) is None
