"""Setting rows apart: shares, seeds, groups."""

from __future__ import annotations

import numpy as np
import pytest

from hf_select.tasks.splits import set_apart


def test_every_class_gives_its_share() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    keep, apart = set_apart(labels, np.arange(160), share=0.25, seed=0)
    assert np.bincount(labels[apart]).tolist() == [25, 10, 5]
    assert sorted([*keep, *apart]) == list(range(160))
    assert np.all(np.diff(keep) > 0)
    assert np.all(np.diff(apart) > 0)


def test_the_seed_decides_and_repeats() -> None:
    labels, groups = np.arange(100) % 2, np.arange(100)
    first = [set_apart(labels, groups, share=0.2, seed=s)[1].tolist() for s in (0, 0, 1)]
    assert first[0] == first[1] != first[2]


def test_groups_stay_together() -> None:
    groups = np.arange(90) // 3
    keep, apart = set_apart(groups % 2, groups, share=0.2, seed=0)
    assert not set(groups[keep]) & set(groups[apart])
    assert len(apart) == 18


def test_a_single_row_of_a_class_stays_and_two_are_shared() -> None:
    labels = np.array([0] * 10 + [1] + [2] * 2)
    keep, apart = set_apart(labels, np.arange(13), share=0.1, seed=0)
    assert 1 not in labels[apart]
    assert (labels[keep] == 2).sum() == (labels[apart] == 2).sum() == 1


def test_values_are_stratified_by_size() -> None:
    labels = np.linspace(0, 1, 500, dtype=np.float32)
    _, apart = set_apart(labels, np.arange(500), share=0.2, seed=0)
    assert len(apart) == 100
    assert labels[apart].mean() == pytest.approx(0.5, abs=0.03)
    assert np.histogram(labels[apart], bins=5, range=(0, 1))[0].tolist() == [20] * 5
