"""The Pareto front on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.selection.pareto import beaten_by

NAN = float("nan")

CASES = {
    "one": ([0.5], [[1.0, 1.0]], [-1]),
    "none": ([], np.empty((0, 2)), []),
    "each better in one thing": ([0.9, 0.8, 0.7], [[3, 1], [2, 2], [1, 3]], [-1, -1, -1]),
    "worse in everything": ([0.9, 0.8], [[1, 1], [2, 2]], [-1, 0]),
    "equal in all, so nobody is better": ([0.9, 0.9], [[1, 1], [1, 1]], [-1, -1]),
    "as good and as small, but slower": ([0.9, 0.9], [[1, 1], [1, 2]], [-1, 0]),
    "the best of those that beat it is named": ([0.8, 0.9, 0.7], [[1, 1]] * 3, [1, -1, 1]),
    "a tie goes to the first": ([0.9, 0.9, 0.7], [[1, 2], [2, 1], [2, 2]], [-1, -1, 0]),
    "without a cost the other one counts": ([0.9, 0.8], [[1, 1], [2, NAN]], [-1, 0]),
    "and it beats nobody": ([0.9, 0.8], [[1, NAN], [2, 2]], [-1, -1]),
    "without a gain it is out of it": ([NAN, 0.8], [[1, 1], [2, 2]], [-1, -1]),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    gain, costs, expected = CASES[name]
    assert beaten_by(np.array(gain, dtype=float), np.array(costs, dtype=float)).tolist() == expected


def test_who_is_beaten_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    gain, costs = rng.integers(0, 5, 40) / 4, rng.integers(0, 5, (40, 2)) / 4
    front = beaten_by(gain, costs) < 0
    order = rng.permutation(40)
    assert (beaten_by(gain[order], costs[order]) < 0).tolist() == front[order].tolist()
    # Whoever beats somebody is on the front itself, or beaten by one that is.
    assert front.any()
    for i in np.flatnonzero(~front):
        better = (gain >= gain[i]) & (costs <= costs[i]).all(axis=1) & front
        assert better.any()


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="don't fit"):
        beaten_by(np.zeros(2), np.zeros((3, 1)))
