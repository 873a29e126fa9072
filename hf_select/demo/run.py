"""The demo: the shipped record, models and target through both phases, judged by brute force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hf_select import pipeline
from hf_select.demo.targets import DEMO_TASKS, check_demo_task, write_target
from hf_select.errors import InputError, RecordError
from hf_select.files import write_atomic
from hf_select.metrics import get_metric
from hf_select.pipeline.spending import choose_policy
from hf_select.report.page import write_report
from hf_select.results.repo import ResultsRepo
from hf_select.selection.folder import DOCUMENT

FOLDER = Path(__file__).parent
ORACLE = FOLDER / "oracle"


def run_demo(
    task: str,
    out: Path,
    *,
    top: int | None = None,
    policy: str | None = None,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    on_rung: pipeline.OnRung | None = None,
    say: pipeline.Say = pipeline.silent,
) -> dict[str, Any]:
    """Select a model for the shipped target of a row of `DEMO_TASKS`.

    Returns the select document plus `oracle` (the model with the best mean test score over all
    models and seeds, from the recorded brute force on this target) and `regret` in points.
    """
    check_demo_task(task)
    choose_policy(policy)
    if top is not None and top < 1:
        raise InputError(f"top is {top}, but must be at least 1")
    if seed < 0:
        raise InputError(f"seed is {seed}, but must be 0 or more")
    target = write_target(task, Path(f"{out}-target"))
    with one_thread():
        selected = pipeline.select(
            target,
            "demo",
            out,
            top=top,
            policy=policy,
            seed=seed,
            should_stop=should_stop,
            on_rung=on_rung,
            say=say,
        )
    oracle, regret = judge(task, selected.document["winner"]["model"])
    document = {**selected.document, "oracle": oracle, "regret": regret}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(selected.out / DOCUMENT, text.encode())
    write_report(document, selected.out / "report.html")
    return document


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside: the zoo's models are too small to share between cores.

    More threads gain nothing, and on a busy machine they wait for each other at every operation.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def judge(task: str, winner: str) -> tuple[dict[str, Any], float]:
    """The best model by the recorded brute force on the demo's target, and the winner's regret.

    Regret compares means over the recorded seeds, so the luck of one run doesn't count.
    """
    matrix = ResultsRepo.open(ORACLE).matrix(DEMO_TASKS[task])
    metric = get_metric(matrix.metrics[0])
    scores = matrix.scores[:, 0]
    if winner not in matrix.models or np.isnan(scores[matrix.models.index(winner)]):
        raise RecordError(f"the recorded brute force holds no score of {winner}")
    best = int(np.nanargmax(metric.direction * scores))
    gain = metric.direction * (scores[best] - scores[matrix.models.index(winner)])
    regret = metric.points(gain, matrix.baselines[0])
    runs = ResultsRepo.open(ORACLE).runs(DEMO_TASKS[task])
    return {
        "model": matrix.models[best],
        "test": float(scores[best]),
        "models": len(matrix.models),
        "seeds": len({run.key.seed for run in runs}),
    }, float(regret) + 0.0  # never minus zero
