"""Every table that has a row a task has one for every task."""

from __future__ import annotations

import pytest

from hf_select.cli.options import TASK_WORDS
from hf_select.hub.crawl.dataset_query import CATEGORIES
from hf_select.hub.crawl.query import PIPELINE_TAGS
from hf_select.pipeline.hub import model_types
from hf_select.records import TASK_KINDS
from hf_select.report.sections.provenance import _AUTO_CLASSES
from hf_select.tasks.base import TASKS
from hf_select.tasks.models import HEADS


def test_the_record_knows_the_same_tasks_and_their_kinds() -> None:
    assert {name: task.kind for name, task in TASKS.items()} == TASK_KINDS


@pytest.mark.parametrize("task", TASKS)
def test_every_table_has_the_task(task: str) -> None:
    assert PIPELINE_TAGS[task]
    assert CATEGORIES[task]
    assert _AUTO_CLASSES[task] == HEADS[TASKS[task].head].auto
    assert {"text": "bert", "image": "vit"}["image" if "image" in task else "text"] in model_types(
        task
    )
    assert task in TASK_WORDS


def test_model_types_are_those_of_the_head() -> None:
    assert "gpt2" in model_types("token-classification")
    assert "vit" not in model_types("multiple-choice")
