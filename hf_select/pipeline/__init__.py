"""The only place that joins the rooms: one function a stage, for the CLI and for Python alike."""

from hf_select.pipeline.base import (
    PRESETS,
    OnRung,
    Say,
    as_target,
    check_own_results,
    check_preset,
    check_task,
    choose_recipe,
    columns_of,
    open_results,
    record_recipe,
    silent,
)
from hf_select.pipeline.compare import replay
from hf_select.pipeline.phases import (
    Recalled,
    Selected,
    check_recall,
    compute_proxies,
    recall,
    select,
)
from hf_select.pipeline.record import benchmark, cluster, doctor, import_results, report

__all__ = [
    "PRESETS",
    "OnRung",
    "Recalled",
    "Say",
    "Selected",
    "as_target",
    "benchmark",
    "check_own_results",
    "check_preset",
    "check_recall",
    "check_task",
    "choose_recipe",
    "cluster",
    "columns_of",
    "compute_proxies",
    "doctor",
    "import_results",
    "open_results",
    "recall",
    "record_recipe",
    "replay",
    "report",
    "select",
    "silent",
]
