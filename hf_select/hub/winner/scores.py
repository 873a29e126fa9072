"""The test score of a winner in `.eval_results/`, which the Hub shows on a benchmark's leaderboard.

Format: https://huggingface.co/docs/hub/eval-results. A data set is a benchmark if it has an
`eval.yaml` that names its tasks; only those have a place where a score could be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.errors import MissingError
from hf_select.hub.client import Hub

TASKS = "eval.yaml"


def eval_results_file(hub: Hub, document: Mapping[str, Any]) -> dict[str, bytes]:
    """The score's file by its path; empty if the data is no benchmark of the Hub.

    The score counts only if it was measured on the rows that the benchmark means: the same
    config, and the data set's own split rather than rows that were set apart from another one.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    source = document.get("source") or {}
    repo, revision = source.get("repo"), source.get("revision")
    split, score = (source.get("splits") or {}).get("test"), document["winner"]["test"]
    if not (repo and revision and split) or score is None:
        return {}
    try:
        text = hub.read(repo, TASKS, repo_type="dataset", revision=revision)
    except MissingError:
        return {}
    task = _task_of(text, source.get("config") or "default", split)
    if task is None:
        return {}
    entry = EvalResultEntry(
        dataset_id=repo,
        task_id=task,
        value=score,
        dataset_revision=revision,
        date=document["created"] or None,
        notes=f"{document['metric']}, fine-tuned on its train split and measured by hf-select",
    )
    data = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
    return {f".eval_results/{repo.rpartition('/')[2]}.yaml": data.encode()}


def _task_of(text: bytes, config: str, split: str) -> str | None:
    """The id of the one task of an `eval.yaml` that is about this config and split."""
    import yaml

    try:
        tasks = (yaml.safe_load(text) or {}).get("tasks") or []
        found = [
            str(task["id"])
            for task in tasks
            if (task.get("config") or "default") == config and task.get("split") == split
        ]
    except (yaml.YAMLError, AttributeError, TypeError, KeyError):
        return None  # not the format of the Hub: then it is no benchmark either
    return found[0] if len(found) == 1 else None
