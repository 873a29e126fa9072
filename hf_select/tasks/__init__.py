"""Tasks: what a row and a label are, how data is read and checked, how models are loaded.

Nothing here imports torch, transformers or datasets until it has something to do with them, so
that bad input is refused at once.
"""

from hf_select.tasks.base import TASKS, Task, get_task
from hf_select.tasks.data import TargetData, dataset_entry, load_benchmark, load_target
from hf_select.tasks.encoded import Encoded

__all__ = [
    "TASKS",
    "Encoded",
    "TargetData",
    "Task",
    "dataset_entry",
    "get_task",
    "load_benchmark",
    "load_target",
]
