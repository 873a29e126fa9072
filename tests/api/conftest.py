"""A small table that can be learned, and a selection on it, made once."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from hf_select import Selection, select

NOUNS = Path(__file__).parents[2] / "hf_select" / "demo" / "data" / "wordnet-nouns" / "train.csv"


@pytest.fixture(scope="session")
def nouns() -> pd.DataFrame:
    """120 rows of the demo's text target."""
    return pd.read_csv(NOUNS).groupby("label").head(15)


@pytest.fixture(scope="session")
def selection(nouns: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Selection:
    """A short selection, called as a user would who names no folder."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("selection"))
    try:
        found = select(nouns, "demo", max_epochs=1.5)
        assert select(nouns, "demo", max_epochs=1.5).folder == found.folder
        return Selection.open(found.folder.absolute())
    finally:
        os.chdir(before)
