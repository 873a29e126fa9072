"""Cells that several processes train together: what is noted of those that bring them down."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import tinytrial

from hf_select.results.repo import ResultsRepo
from hf_select.training.cells import missing_cells
from hf_select.training.together import Attempts, Hooks, train_together


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return tinytrial.make_catalog(tmp_path_factory.mktemp("catalog"), models=1, datasets=2)


@pytest.fixture
def cells(catalog, tmp_path):
    repo = ResultsRepo.open_or_create(tmp_path / "results")
    return missing_cells(catalog, repo, tinytrial.RECIPE)


class Killed(BaseException):
    """What no handler sees: as if the process were gone."""


def train(cells, *, dies):
    """What is begun (as it is noted while it runs), and the outcomes."""
    begun, ended = [], []

    def one(cell, stop, micro_batch, timeout):
        begun.append((cell.key.id, json.loads(Attempts.path(cell).read_text())["begun"]))
        if cell.key.id == dies:
            raise Killed

    wanted = {cell.key.id for cell in cells}
    hooks = Hooks(
        wanted=lambda cell: cell.key.id in wanted,
        train=one,
        ended=ended.append,
        undone=lambda cell, why: None,
        tick=lambda: None,
    )
    with suppress(Killed):
        train_together(cells, hooks, timeout=None)
    return begun, [(outcome.id, outcome.status, outcome.reason) for outcome in ended]


def test_what_has_brought_its_processes_down_twice_has_failed_and_the_rest_goes_on(cells):
    bad, good = (cell.key.id for cell in cells)
    assert train(cells, dies=bad) == ([(bad, 1)], [])
    assert train(cells, dies=bad) == ([(bad, 2)], [])
    begun, ended = train(cells, dies=bad)
    assert begun == [(good, 1)]
    assert ended == [(bad, "failed", "its processes died 2 times"), (good, "ok", "")]
    assert not list((cells[0].work / "attempts").iterdir())
