"""The table of tasks."""

from __future__ import annotations

import pytest

from hf_select.errors import UnknownNameError
from hf_select.metrics import get_metric
from hf_select.tasks.base import TASKS, get_task


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_fitting_default_metric(name: str) -> None:
    task = get_task(name)
    assert task.name == name
    assert get_metric(task.default_metric).kind == task.kind
    assert set(task.input_columns) <= {"text", "text_pair", "image", "tokens", "choices"}


def test_an_unknown_task_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'text-clasification'") as caught:
        get_task("text-clasification")
    assert "did you mean 'text-classification'" in caught.value.hint
