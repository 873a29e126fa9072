"""Numbers as people write them: one way a column, and no guess where two are possible."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.tasks.numbers import as_numbers, is_ambiguous


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "-3e2"], [1, 2.5, -300]),
        (["1,5", "2"], [1.5, 2]),
        (["0,260", "1,250"], [0.26, 1.25]),  # nobody writes thousands with a leading zero
        (["1.234,5", "3,5"], [1234.5, 3.5]),
        (["1,234.5", "12"], [1234.5, 12]),
        (["1,500", "12,000,000"], [1500, 12_000_000]),
        (["1 234", "5"], [1234, 5]),
        (["12'000", "3.5"], [12_000, 3.5]),
        (["$3.50", "$1,200.00"], [3.5, 1200]),
        (["3 €", "3,50 €"], [3, 3.5]),
        (["45 %", "3.5%"], [45, 3.5]),
        (["-3 %", "+4 %"], [-3, 4]),
    ],
)
def test_ways_to_write_a_number(cells: list[str], values: list[float]) -> None:
    assert as_numbers(cells)[0].tolist() == values
    assert as_numbers(cells[::-1])[0].tolist() == values[::-1]
    with_gaps = as_numbers([*cells, "n/a", ""])[0]
    assert with_gaps[:-2].tolist() == values
    assert np.isnan(with_gaps[-2:]).all()


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "two"],
        ["1.5", "2,5"],  # two ways in one column
        ["$1", "€2"],
        ["$1", "2"],
        ["1_000", "2"],
        ["1,500", "2,250"],  # thousands, or decimals
        ["3 m", "4 m"],
    ],
)
def test_what_stays_a_word(cells: list[str]) -> None:
    assert np.isnan(as_numbers(cells)[0]).any()


def test_only_what_can_be_read_two_ways_is_ambiguous() -> None:
    assert is_ambiguous(["1,500", "2,250", "3", "n/a"])
    assert is_ambiguous(["$1,500", "$2,250"])
    for clear in (["1,500", "0.5"], ["1,500", "0,250"], ["1,50"], ["1500"], ["a,500"], []):
        assert not is_ambiguous(clear)


def test_what_is_unusual_is_said() -> None:
    assert as_numbers(["1", "2"])[1] == ""
    assert as_numbers(["1,5 €", "2 €"])[1] == "'€' is left out, commas are decimal"
