"""Candidates that had been tuned on the target before: by tags, cards, and what they come from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_text_csv
from tinyzoo import TASK

from hf_select.catalog import Catalog
from hf_select.hub.crawl.builder import entry_of
from hf_select.hub.crawl.facts import parse
from hf_select.pipeline.tuned import is_same, target_ids, tuned_on_target
from hf_select.records import DatasetEntry, ModelEntry
from hf_select.tasks.data import TargetData, dataset_entry, load_target

REVIEWS = "lab/reviews"


class FakeRecord:
    """What of a record is read: entries of models and data sets."""

    def __init__(self, models: list[ModelEntry], datasets: list[DatasetEntry]) -> None:
        self._models, self._datasets = models, datasets

    def models(self, task: str, names: Collection[str]) -> list[ModelEntry]:
        return [entry for entry in self._models if entry.repo_id in names]

    def datasets(self, task: str) -> list[DatasetEntry]:
        return self._datasets


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> TargetData:
    """A local file, of which the record has a copy under a name of the Hub."""
    return load_target(tiny_text_csv(tmp_path_factory.mktemp("data") / "mine.csv", 60))


def record(target: TargetData, *models: ModelEntry) -> Any:
    return FakeRecord(list(models), [dataset_entry(target, repo_id=REVIEWS)])


def model(name: str, **facts: Any) -> ModelEntry:
    return replace(ModelEntry(name, "a" * 40, TASK), **facts)


def tuned(
    target: TargetData, *models: ModelEntry, catalog: Catalog | None = None, names: int = 1
) -> dict[str, str]:
    """The sentences about the first of the models, of which the record knows all."""
    entries = {entry.repo_id: entry for entry in models[:names]}
    return tuned_on_target(
        list(entries), entries, target, record(target, *models), catalog or Catalog()
    )


def test_a_copy_in_the_record_tells_what_a_file_is_called(target: TargetData) -> None:
    assert target_ids(target, record(target)) == (REVIEWS,)
    assert target_ids(target, FakeRecord([], [])) == ()  # type: ignore[arg-type]
    on_hub = replace(target, name="glue/mrpc", config="mrpc", revision="c" * 40)
    assert target_ids(on_hub, FakeRecord([], [])) == ("glue",)  # type: ignore[arg-type]


def test_by_its_tags(target: TargetData) -> None:
    found = tuned(target, model("bob/a", trained_datasets=("x/y", "lab/reviews")))
    assert found == {"bob/a": "Already tuned on lab/reviews, by its tags."}
    assert tuned(target, model("bob/a", trained_datasets=("other/reviews",))) == {}
    assert tuned(target, model("bob/reviews")) == {}  # a name alone says nothing


def test_by_what_it_was_made_from(target: TargetData) -> None:
    base = model("bob/base", trained_datasets=("reviews",))
    middle = model("bob/middle", base_model="bob/base")
    last = model("bob/last", base_model="bob/middle")
    found = tuned(target, last, middle, base)
    assert found == {
        "bob/last": "It was made from bob/base. Of that: Already tuned on reviews, by its tags."
    }
    around = replace(base, base_model="bob/last", trained_datasets=())
    assert tuned(target, last, middle, around) == {}  # a circle ends
    assert tuned(target, last) == {}  # nobody knows its base
    assert tuned(target, last, catalog=Catalog((middle, base))) == found


SCORES = """---
model-index:
- name: x
  results:
  - task:
      type: text-classification
    dataset:
      type: lab/reviews
      name: R
    metrics:
    - type: f1
      value: 1
---
"""


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (
            "---\ndatasets:\n- a/b\n- lab/reviews\n---\n",
            "Already tuned on lab/reviews, by its card",
        ),
        ("---\ndatasets: Lab/Reviews\n---\n", "Already tuned on Lab/Reviews, by its card"),
        (SCORES, "Its card reports a score on lab/reviews"),
        ("---\ndatasets: [a\n---\n", ""),
        ("---\ndatasets: 7\n---\n", ""),
        ("---\n- no mapping\n---\n", ""),
        ("no front matter: lab/reviews", ""),
    ],
)
def test_by_its_card(target: TargetData, tmp_path: Path, card: str, said: str) -> None:
    (tmp_path / "README.md").write_text(card)
    entry = model("bob/a")
    catalog = Catalog((entry,), locations={"bob/a": tmp_path})
    found = tuned(target, entry, catalog=catalog).get("bob/a", "")
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_names_without_an_owner_are_the_oldest() -> None:
    assert is_same("imdb", "stanfordnlp/IMDB")
    assert is_same("glue", "glue")
    assert not is_same("bob/imdb", "stanfordnlp/imdb")
    assert not is_same("imdb", "stanfordnlp/imdb_reviews")


def test_a_crawl_notes_what_the_hub_says() -> None:
    row = {"id": "bob/a", "sha": "a" * 40, "tags": ["dataset:lab/reviews", "license:mit"]}
    assert entry_of(TASK, parse(row), "").trained_datasets == ("lab/reviews",)
