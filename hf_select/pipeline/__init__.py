"""The only place that joins the rooms: one function a stage, for the CLI and for Python alike.

Each stage is imported when it is first asked for: bad input is refused before half of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_select.lazy import lazily

_PUBLIC = {
    "Clustered": "hf_select.pipeline.record",
    "Inspected": "hf_select.pipeline.inspecting",
    "Looked": "hf_select.pipeline.looking",
    "OnRung": "hf_select.pipeline.base",
    "PRESETS": "hf_select.pipeline.base",
    "Plan": "hf_select.pipeline.plan",
    "PlannedCell": "hf_select.pipeline.plan",
    "Recalled": "hf_select.pipeline.recalling",
    "Record": "hf_select.pipeline.base",
    "RecordFacts": "hf_select.pipeline.base",
    "Reported": "hf_select.pipeline.reporting",
    "Say": "hf_select.pipeline.base",
    "Selected": "hf_select.pipeline.selecting",
    "Updated": "hf_select.pipeline.update",
    "as_target": "hf_select.pipeline.base",
    "benchmark": "hf_select.pipeline.record",
    "check_own_results": "hf_select.pipeline.base",
    "check_preset": "hf_select.pipeline.base",
    "check_recall": "hf_select.pipeline.recalling",
    "check_task": "hf_select.pipeline.base",
    "check_writable": "hf_select.pipeline.base",
    "choose_recipe": "hf_select.pipeline.base",
    "choose_recipes": "hf_select.pipeline.base",
    "cluster": "hf_select.pipeline.record",
    "columns_of": "hf_select.pipeline.base",
    "compact": "hf_select.pipeline.hub",
    "crawl_datasets": "hf_select.pipeline.hub",
    "crawl_models": "hf_select.pipeline.hub",
    "doctor": "hf_select.pipeline.doctor",
    "drift_in_words": "hf_select.pipeline.base",
    "finished_document": "hf_select.pipeline.reporting",
    "import_results": "hf_select.pipeline.record",
    "inspect": "hf_select.pipeline.inspecting",
    "look_at_models": "hf_select.pipeline.looking",
    "open_folder": "hf_select.pipeline.base",
    "open_results": "hf_select.pipeline.base",
    "plan": "hf_select.pipeline.plan",
    "publish": "hf_select.pipeline.hub",
    "publish_page": "hf_select.pipeline.hub",
    "pull": "hf_select.pipeline.hub",
    "push": "hf_select.pipeline.hub",
    "recall": "hf_select.pipeline.recalling",
    "record_facts": "hf_select.pipeline.base",
    "record_recipe": "hf_select.pipeline.base",
    "replay": "hf_select.pipeline.compare",
    "report": "hf_select.pipeline.reporting",
    "select": "hf_select.pipeline.selecting",
    "silent": "hf_select.pipeline.base",
    "tell_reading": "hf_select.pipeline.base",
    "tell_target": "hf_select.pipeline.inspecting",
    "update": "hf_select.pipeline.update",
    "validate": "hf_select.pipeline.hub",
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
