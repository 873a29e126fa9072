"""The only place that joins the rooms: one function a stage, for the CLI and for Python alike.

Each stage is imported when it is first asked for: bad input is refused before half of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_select.lazy import lazily

_PUBLIC = {
}
__all__ = [
    "PRESETS",
    "Clustered",
    "Inspected",
    "Looked",
    "OnRung",
    "Plan",
    "PlannedCell",
    "Recalled",
    "Record",
    "RecordFacts",
    "Reported",
    "Say",
    "Selected",
    "Updated",
    "as_target",
    "benchmark",
    "check_own_results",
    "check_preset",
    "check_recall",
    "check_task",
    "check_writable",
    "choose_recipe",
    "choose_recipes",
    "cluster",
    "columns_of",
    "compact",
    "crawl_datasets",
    "crawl_models",
    "doctor",
    "drift_in_words",
    "finished_document",
    "import_results",
    "inspect",
    "look_at_models",
    "open_folder",
    "open_results",
    "plan",
    "publish",
    "publish_page",
    "pull",
    "push",
    "recall",
    "record_facts",
    "record_recipe",
    "replay",
    "report",
    "select",
    "silent",
    "tell_reading",
    "tell_target",
    "update",
    "validate",
]

if TYPE_CHECKING:
    from hf_select.pipeline.base import (
        PRESETS,
        OnRung,
        Record,
        RecordFacts,
        Say,
        as_target,
        check_own_results,
        check_preset,
        check_task,
        check_writable,
        choose_recipe,
        choose_recipes,
        columns_of,
        drift_in_words,
        open_folder,
        open_results,
        record_facts,
        record_recipe,
        silent,
        tell_reading,
    )
    from hf_select.pipeline.compare import replay
    from hf_select.pipeline.doctor import doctor
    from hf_select.pipeline.hub import (
        compact,
        crawl_datasets,
        crawl_models,
        publish,
        publish_page,
        pull,
        push,
        validate,
    )
    from hf_select.pipeline.inspecting import Inspected, inspect, tell_target
    from hf_select.pipeline.looking import Looked, look_at_models
    from hf_select.pipeline.plan import Plan, PlannedCell, plan
    from hf_select.pipeline.recalling import Recalled, check_recall, recall
    from hf_select.pipeline.record import Clustered, benchmark, cluster, import_results
    from hf_select.pipeline.reporting import Reported, finished_document, report
    from hf_select.pipeline.selecting import Selected, select
    from hf_select.pipeline.update import Updated, update

lazily(__name__, _PUBLIC)

if TYPE_CHECKING:

lazily(__name__, _PUBLIC)
