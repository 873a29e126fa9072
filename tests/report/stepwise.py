"""A selection whose candidates went at their own pace, by hand, and documents of old."""

from __future__ import annotations

import copy
from typing import Any

from hf_select.records import (
    Candidate,
    Drop,
    LearningCurve,
    RecallResult,
    Recipe,
    Rejected,
    Rung,
    SelectionResult,
)
from hf_select.report.document import selection_document


def make_stepwise(
    *, ended: str = "", rates: bool = False, metric: str = "accuracy", forecasts: bool = True
) -> dict[str, Any]:
    """Seven candidates that were trained one at a time, as `trend` does.

    c0 wins after 2 epochs (1 if `ended`), c1 is dropped after 1/2 epoch of its own, c2 after 1/8
    only in the end, like c3, which was never trained; c4 and c5 are dropped by recall, c6 fails.
    """
    lower = metric == "rmse"

    def raw(score: float) -> float:
        return 2.0 * (1 - score) if lower else score

    names = [f"zoo/c{k}" for k in range(7)]
    field = {name: (name, 5e-5) for name in names}
    if rates:
        field = {
            (f"{names[k // 2]} lr={rate:g}" if k < 6 else names[k]): (names[k // 2], rate)
            for k, rate in enumerate((1e-4, 5e-5, 1e-4, 5e-5, 1e-4, 5e-5, 5e-5))
        }
        names = list(field)
    finals = (0.95, 0.9, 0.93, 0.92, 0.6, 0.5, 0.7)
    scores = {0.125: 0.5, 0.5: 0.7, 1.0: 0.85, 2.0: 0.9}
    courses = (
        ((), names, [4, 5]),
        ((0.125,), names[:4] + names[6:], []),
        ((0.125, 0.125), names[:4], []),
        ((0.125, 0.5), names[:4], []),
        ((0.5, 0.5, 0.125), names[:4], [1]),
        ((1.0, 0.5, 0.125), [names[0], names[2], names[3]], []),
        ((1.0 if ended else 2.0, 0.5, 0.125), [names[0], names[2], names[3]], [2, 3]),
    )
    rungs = []
    for at, live, gone in courses:
        reached = {m: at[names.index(m)] if names.index(m) < len(at) else 0.0 for m in live}
        val = {m: raw(scores[e] - 0.02 * names.index(m)) for m, e in reached.items() if e}
        mean = {m: raw(finals[names.index(m)]) for m in live}
        ends = {m: tuple(sorted((mean[m] - 0.08, mean[m] + 0.08))) for m in live}
        rungs.append(
            Rung(
                max(reached.values()),
                tuple(live),
                val,
                mean if forecasts else {},
                {m: 1 / len(live) for m in live} if forecasts else {},
                tuple(Drop(names[k], f"c{k} is hardly ever the best: 3 %.") for k in gone),
                ends if forecasts else {},
                reached,
                names[0],
                f"{names[0]} is trained on, 24 % sure" if forecasts else "",
            )
        )
    curves = {
        names[k]: LearningCurve.of(
            [e for e in scores if e <= end],
            [raw(s - 0.02 * k) for e, s in scores.items() if e <= end],
        )
        for k, end in ((0, 1.0 if ended else 2.0), (1, 0.5), (2, 0.125))
    }
    models = list(dict.fromkeys(model for model, _ in field.values()))
    result = SelectionResult(
        names[0],
        float(curves[names[0]].val[-1]),
        raw(0.91),
        tuple(rungs),
        curves,
        epochs=2.625,
        seconds=12.0,
        proxy_epochs=0.4,
        horizon=2.0,
        policy="trend",
        failed=(Rejected(names[6], "failed: out of memory."),),
        ended=ended,
    )
    recall = RecallResult(
        "t",
        "text-classification",
        "hybrid",
        tuple(Candidate(m, m[-1] * 40, 0.5, 0.1, 0.4, {}, -1, "why") for m in models),
    )
    return selection_document(
        target="t",
        task="text-classification",
        metric=metric,
        result=result,
        recall=recall,
        clustering=None,
        matrix=None,
        recipe=Recipe(epochs=2),
        data_notes=(),
        split_rows={"train": 900, "validation": 600, "test": 300},
        trivial={"validation": raw(0.2), "test": raw(0.2)},
        num_models=24,
        seconds=20.0,
        versions={},
        revisions={},
        entrants=field,
        expected={"price": 1.4, "seconds": 15.0, "trainings": 1.2, "looks": 24, "replayed": 3},
        early_rows=200,
    )


def as_of_old(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it was written before candidates went at their own pace."""
    old = copy.deepcopy(document)
    for name in ("ended", "expected"):
        del old[name]
    del old["funnel"]["trained"], old["data"]["early_rows"]
    parts = [
        *((row, ("candidate", "learning_rate", "interval", "p_best")) for row in old["ranking"]),
        *((rung, ("reached", "interval", "leader", "note")) for rung in old["rungs"]),
        (old["winner"], ("candidate", "learning_rate", "epochs")),
    ]
    for part, names in parts:
        for name in names:
            del part[name]
    return old
