"""The `selection.json` document: one dict, JSON-clean, made from the records of a selection.

The HTML page and the figures are made from this document alone, so a report can be drawn again
years later from the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hf_select.foreign_metrics import plain_metric
from hf_select.metrics import Metric, find_metric, get_metric
from hf_select.records import (
    NAN,
    Clustering,
    Excluded,
    LearningCurve,
    ModelEntry,
    PerformanceMatrix,
    RecallResult,
    Recipe,
    SelectionResult,
)

SCHEMA = 1
"""Version of the document's shape; a reader may refuse what is newer than it knows."""


def selection_document(
    *,
    target: str,
    task: str,
    metric: str,
    result: SelectionResult,
    recall: RecallResult,
    clustering: Clustering | None,
    matrix: PerformanceMatrix | None,
    recipe: Recipe,
    data_notes: Sequence[str],
    data_checks: Sequence[Mapping[str, str]] = (),
    split_rows: Mapping[str, int],
    trivial: Mapping[str, float],
    num_models: int,
    num_processes: int = 1,
    seconds: float,
    versions: Mapping[str, str],
    revisions: Mapping[str, str],
    entrants: Mapping[str, tuple[str, float]] | None = None,
    expected: Mapping[str, Any] | None = None,
    replayed: Mapping[str, Any] | None = None,
    early_rows: int = 0,
    fingerprint: str = "",
    created: str = "",
    limits: Mapping[str, Any] | None = None,
    excluded: Sequence[Excluded] = (),
    from_catalog: int | None = None,
    entries: Mapping[str, ModelEntry] | None = None,
    efficiency: Mapping[str, Any] | None = None,
    tuned: Mapping[str, str] | None = None,
    test_metrics: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The document of one selection.

    `trivial` maps a split to the trivial predictor's raw score there, `split_rows` a split to its
    number of rows, `revisions` a model to its commit. `num_models` is how many models could be
    recalled. `entrants` maps a candidate to its model and learning rate, where one
    model can be several; `expected` is what it was expected to spend, `replayed` the
    summary of the replays that say so; `early_rows` the validation
    rows that scores before epoch 1 rest on; `test_metrics` the winner's predictions on the test
    split, scored by every metric of the task's kind. `excluded` are the models that `limits` ruled
    out, which `num_models` doesn't count; of both `from_catalog` are a catalog's alone (None
    without one). `entries`: model -> what is known of it; `tuned`: model -> a sentence, of those
    that had been tuned on the target before. `seconds` is the wall time of
    everything. Scores are raw and exact; times, shares and prices are rounded; NaN and infinities
    become None.
    """
    how = get_metric(metric)
    commits = {c.model: c.revision for c in recall.candidates} | dict(revisions)
    finalists = _finalists(result)
    field = dict(entrants or {})
    model, rate = field.get(result.winner, (result.winner, recipe.learning_rate))
    recalled = len(entrants or ()) or len(recall.candidates) or len(result.curves)
    rates = len({rate for _, rate in (entrants or {}).values()}) or 1
    document = {
        "schema": SCHEMA,
        "target": target,
        "task": task,
        "metric": metric,
        "higher_is_better": how.higher_is_better,
        "winner": {
            "model": model,
            "learning_rate": rate,
            "candidate": result.winner,
            "revision": commits.get(model, ""),
            "epochs": float(result.curves[result.winner].epochs[-1]),
            "val": result.val,
            "test": result.test,
            "test_error": _round(
                standard_error(
                    result.test, how, trivial.get("test", NAN), split_rows.get("test", 0)
                ),
                6,
            ),
            "test_metrics": dict(test_metrics or {}),
            "checkpoint": result.checkpoint,
        },
        "trivial": dict(trivial),
        "policy": result.policy,
        "horizon": result.horizon,
        "price": round(result.price, 6),
        "ended": result.ended,
        "expected": None if expected is None else dict(expected),
        "replayed": dict(replayed or {}),
        "cost": {
            "epochs": round(result.epochs, 6),
            "seconds": _round(result.seconds, 3),
            "proxy_epochs": round(result.proxy_epochs, 6),
        },
        "baselines": {
            "brute_force_all": _baseline(
                _brute_force(num_models * rates, result.horizon), result.horizon
            ),
            "halving_all": _baseline(_halving(num_models * rates, result.horizon), result.horizon),
            "brute_force_recalled": _baseline(
                _brute_force(recalled, result.horizon), result.horizon
            ),
            "halving_recalled": _baseline(_halving(recalled, result.horizon), result.horizon),
        },
        "funnel": {
            "excluded": len(excluded),
            "catalog": from_catalog,
            "record": num_models,
            "recalled": recalled,
            "trained": len({field.get(m, (m,))[0] for m, c in result.curves.items() if len(c)}),
            "finalists": len(finalists),
            "winner": 1,
        },
        "finalists": finalists,
        "ranking": _ranking(result, recall, how, commits, field, entries or {}),
        "limits": dict(limits or {}),
        "excluded": exclusions(excluded),
        "efficiency": None if efficiency is None else dict(efficiency),
        "rungs": [
            {
                "epoch": rung.epoch,
                "reached": dict(rung.reached),
                "live": list(rung.live),
                "val": dict(rung.val),
                "forecast": dict(rung.forecast),
                "interval": {name: list(ends) for name, ends in rung.interval.items()},
                "p_best": {name: _round(p, 6) for name, p in rung.p_best.items()},
                "leader": rung.leader,
                "note": rung.note,
                "dropped": [{"model": d.model, "reason": d.reason} for d in rung.dropped],
            }
            for rung in result.rungs
        ],
        "curves": {model: curve.to_dict() for model, curve in result.curves.items()},
        "recall": _recall(recall, clustering, how, trivial.get("test", NAN), tuned or {}),
        "clusters": None if clustering is None else clusters_part(clustering),
        "matrix": None if matrix is None else matrix_part(matrix),
        "recipe": {**recipe.to_dict(), "digest": recipe.digest()},
        "data": {
            "rows": dict(split_rows),
            "early_rows": early_rows,
            "notes": list(data_notes),
            "checks": [dict(check) for check in data_checks],
            "fingerprint": fingerprint,
        },
        "versions": dict(versions),
        "num_processes": num_processes,
        "seconds": _round(seconds, 3),
        "created": created,
    }
    cleaned: dict[str, Any] = clean(document)
    return cleaned


def clean(value: Any) -> Any:
    """The value with nothing in it that JSON can't hold: NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def standard_error(score: float, metric: Metric, trivial: float, rows: int) -> float:
    """The standard error of a raw score on that many rows, NaN where it can't be told.

    Binomial for classification, that of normal errors for regression: `Metric.row_variance`.
    """
    skill = float(metric.skill(score, trivial))
    unit = abs(float(metric.unskill(1.0, trivial)) - float(metric.unskill(0.0, trivial)))
    if rows < 1 or not math.isfinite(skill) or not math.isfinite(unit):
        return NAN
    return unit * math.sqrt(float(metric.row_variance(skill, trivial)) / rows)


# -------------------------------------------------------------------------------- in words


def epochs_text(epochs: float) -> str:
    """A number of epochs in words: "1/8 epoch", "1 epoch", "2 epochs"."""
    plural = "" if 0 < epochs <= 1 else "s"
    return f"{number_text(epochs)} epoch{plural}"


def percent_text(chance: float) -> str:
    """A chance in words that promise no more than a forecast can tell."""
    if chance < 0.01:
        return "less than 1 %"
    return "more than 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"


def candidate_name(row: Mapping[str, Any]) -> str:
    """A row's name in curves and rungs: the model's, with the learning rate where several ran."""
    return str(row.get("candidate") or row["model"])


def number_text(value: float) -> str:
    """A number of epochs: a fraction below 1, else four digits."""
    exact = Fraction(value).limit_denominator(64)
    if 0 < value < 1 and abs(float(exact) - value) < 1e-6:
        return f"{exact.numerator}/{exact.denominator}"
    return f"{value:.4g}"


_METRIC_NAMES = {
    "f1": "macro F1",
    "matthews_correlation": "Matthews correlation",
    "seqeval_f1": "F1 of spans",
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}


def metric_text(metric: str) -> str:
    """A metric's name as people write it."""
    return _METRIC_NAMES.get(metric, plain_metric(metric))


def score_text(value: float | None, metric: str) -> str:
    """A raw score as it is shown: three decimals where 1 is perfect, else four digits."""
    if value is None or math.isnan(value):
        return "–"
    how = find_metric(metric)
    if how is not None and how.perfect == 1.0:
        return f"{value:.3f}".replace("-", "−")
    text = f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
    return text.replace("-", "−")


# ------------------------------------------------------------------------------- the parts


def _round(value: float, digits: int) -> float:
    return round(value, digits) if math.isfinite(value) else value


def _brute_force(models: int, horizon: float) -> float:
    """Epochs to train every model to the end."""
    return models * horizon


def _halving(models: int, horizon: float) -> float:
    """Epochs of successive halving: after every epoch the better floor(n/2) go on."""
    total, live, left = 0.0, models, horizon
    while left > 1e-9:
        step = min(1.0, left)
        total, left = total + live * step, left - step
        live = max(1, live // 2)
    return total


def _baseline(epochs: float, horizon: float) -> dict[str, float]:
    return {"epochs": round(epochs, 6), "price": round(epochs / horizon, 6)}


def _finalists(result: SelectionResult) -> list[str]:
    """Who was live at the last decision between two or more; the winner alone without one.

    Where candidates went at their own pace, only those that were trained at all.
    """
    contested = [rung for rung in result.rungs if len(rung.live) > 1]
    if not contested:
        return [result.winner]
    live = list(contested[-1].live)
    if not _own_pace([rung.reached for rung in result.rungs]):
        return live
    return [m for m in live if m == result.winner or contested[-1].reached.get(m)]


def own_pace(document: Mapping[str, Any]) -> bool:
    """Whether the candidates were trained one by one, each as far as it was worth.

    False for policies that train all who are live to the same epoch, and for older documents.
    """
    return _own_pace([rung.get("reached") or {} for rung in document.get("rungs", [])])


def _own_pace(reached: Sequence[Mapping[str, float]]) -> bool:
    """Whether there was a decision before any training, or with candidates at unequal epochs."""
    ends = [{round(epoch, 6) for epoch in at.values()} for at in reached if at]
    return any(len(epochs) > 1 or epochs == {0.0} for epochs in ends)


def _ranking(
    result: SelectionResult,
    recall: RecallResult,
    metric: Metric,
    commits: Mapping[str, str],
    field: Mapping[str, tuple[str, float]],
    entries: Mapping[str, ModelEntry],
) -> list[dict[str, Any]]:
    """Every candidate: the winner first, then by how long it lasted, then by its last score.

    The untrained follow by how many decisions they lasted, then by their chance.
    """
    dropped = {
        d.model: (rung.reached.get(d.model, rung.epoch), d.reason)
        for rung in result.rungs
        for d in rung.dropped
    }
    lasted = {d.model: step for step, rung in enumerate(result.rungs) for d in rung.dropped}
    failed = {row.repo_id: row.reason for row in result.failed}
    recalled = list(field) or [c.model for c in recall.candidates]
    names = _unique(recalled, result.curves, dropped, failed)
    if result.winner not in names:
        names.insert(0, result.winner)
    rows = []
    for name in names:
        curve = result.curves.get(name, LearningCurve.empty())
        trained = float(curve.epochs[-1]) if len(curve) else 0.0
        val = float(curve.val[-1]) if len(curve) else NAN
        at: float | None = None
        if name == result.winner:
            status, val, reason = "winner", result.val, _why_it_won(result, metric)
        elif name in failed:
            status, at, reason = "failed", trained, failed[name]
        elif name in dropped:
            at, reason = dropped[name]
            status = "finished" if at >= result.horizon - 1e-9 else "dropped"
            status = status if at > 0 else "untrained"
        elif len(curve):
            status, reason = "finished", _why_it_lost(name, result, metric)
        else:
            status, reason = "untrained", "Recalled, but never trained."
        rows.append(
            {
                "model": field.get(name, (name,))[0],
                "candidate": name,
                "learning_rate": field[name][1] if name in field else None,
                "revision": commits.get(field.get(name, (name,))[0], ""),
                "status": status,
                "epochs": trained,
                "val": val,
                "predicted": _last(result, "forecast", name),
                "interval": _interval(result, name),
                "p_best": _round(_last(result, "p_best", name), 6),
                "dropped_at": at,
                **_facts(entries.get(field.get(name, (name,))[0])),
                "cost_epochs": round(trained, 6),
                "cost_seconds": _round(float(curve.seconds[-1]) if len(curve) else 0.0, 3),
                "reason": reason,
            }
        )

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        level = {"winner": 0, "finished": 1, "dropped": 2, "failed": 3, "untrained": 4}
        val = -math.inf if math.isnan(row["val"]) else metric.direction * row["val"]
        hope = row["p_best"] if math.isfinite(row["p_best"]) else 0.0
        last = (-lasted.get(row["candidate"], 0), -hope) if row["status"] == "untrained" else ()
        return level[row["status"]], -(row["dropped_at"] or 0.0), -val, *last

    return sorted(rows, key=order)


def _facts(entry: ModelEntry | None) -> dict[str, Any]:
    """Size and licence of a model, None where nobody knows them; its bytes in 32 bits."""
    size = entry.num_parameters if entry is not None and entry.num_parameters > 0 else None
    return {
        "num_parameters": size,
        "size_bytes": None if size is None else 4 * size,
        "license": (entry.license or None) if entry is not None else None,
    }


def exclusions(excluded: Iterable[Excluded]) -> list[dict[str, str]]:
    """The models that were ruled out, each with the limit and the reason, for JSON."""
    return [{"model": e.repo_id, "limit": e.limit, "reason": e.reason} for e in excluded]


def _unique(*groups: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _last(result: SelectionResult, what: str, model: str) -> float:
    """What the policy last said of a model, NaN if it never did."""
    said = [getattr(rung, what)[model] for rung in result.rungs if model in getattr(rung, what)]
    return float(said[-1]) if said else NAN


def _interval(result: SelectionResult, name: str) -> list[float] | None:
    """The last interval that the policy gave a candidate."""
    given = [rung.interval[name] for rung in result.rungs if name in rung.interval]
    return list(given[-1]) if given else None


def _why_it_won(result: SelectionResult, metric: Metric) -> str:
    score = score_text(result.val, metric.name)
    trained = float(result.curves[result.winner].epochs[-1])
    end = f"trained for {epochs_text(trained)}"
    if trained < result.horizon - 1e-9:
        end = f"trained for {number_text(trained)} of {epochs_text(result.horizon)}"
    contested = [rung for rung in result.rungs if len(rung.live) > 1]
    chance = _last(result, "p_best", result.winner)
    if result.ended:
        likely = f", the best with {percent_text(chance)}" if math.isfinite(chance) else ""
        return f"Ahead when the budget was used up{likely}; {end}, validation {score}."
    if not contested:
        return f"The only candidate; {end}, validation score {score}."
    last = contested[-1]
    at = last.reached.get(result.winner, last.epoch)
    left = [m for m in last.live if m not in {d.model for d in last.dropped}]
    if left == [result.winner] and at < result.horizon - 1e-9:
        return f"The last one standing {_after(at)}; {end}, validation {score}."
    if math.isfinite(chance):
        return (
            f"The best of the {len(last.live)} still possible with {percent_text(chance)}, by the "
            f"forecast; {end}, validation {score}."
        )
    if _own_pace([rung.reached for rung in result.rungs]):
        return f"The best of those that came this far; {end}, validation {score}."
    others = [last.val[m] for m in last.live if m in last.val and m != result.winner]
    if all(metric.direction * (result.val - other) >= 0 for other in others):
        return f"The best validation score ({score}) of the {len(last.live)} {end}."
    return f"Chosen among the last {len(last.live)}; {end}, validation {score}."


def _after(epoch: float) -> str:
    return f"after {epochs_text(epoch)}" if epoch > 0 else "before any training"


def _why_it_lost(model: str, result: SelectionResult, metric: Metric) -> str:
    """For a model that nobody dropped: it was trained on, and another was better."""
    curve = result.curves[model]
    mine, best = float(curve.val[-1]), result.val
    trained = epochs_text(float(curve.epochs[-1]))
    gap = metric.direction * (best - mine)
    scores = f"validation {score_text(mine, metric.name)}"
    if not math.isfinite(gap):
        return f"Trained for {trained}; {scores}."
    if gap <= 0:
        return f"Trained for {trained}; {scores}, no worse than the winner's."
    behind = score_text(gap, metric.name)
    behind = "less than 0.001" if behind == "0.000" else behind
    return f"Trained for {trained}; {scores}, {behind} behind the winner."


def _recall(
    recall: RecallResult,
    clustering: Clustering | None,
    metric: Metric,
    trivial: float,
    tuned: Mapping[str, str],
) -> dict[str, Any]:
    representatives: set[str] = set()
    sizes: dict[str, int] = {}
    if clustering is not None:
        representatives = {clustering.models[i] for i in clustering.representatives.values()}
        count = clustering.sizes
        sizes = {
            m: count[int(label)]
            for m, label in zip(clustering.models, clustering.labels, strict=True)
        }
    unit = abs(float(metric.unskill(1.0, trivial)) - float(metric.unskill(0.0, trivial)))
    candidates = [
        {
            "model": c.model,
            "revision": c.revision,
            "score": c.score,
            "predicted": _round(c.predicted, 6),
            "spread": _round(c.spread, 6),
            "predicted_score": _round(float(metric.unskill(c.predicted, trivial)), 6),
            "predicted_spread": _round(unit * c.spread, 6),
            "prior": _round(c.prior, 6),
            "proxies": dict(c.proxies),
            "deviation": _round(c.deviation, 6),
            "p_best": _round(c.p_best, 6),
            "evidence": {what: _round(value, 6) for what, value in c.evidence.items()},
            "mates": list(c.mates),
            "cluster": c.cluster if c.cluster >= 0 else None,
            "cluster_size": sizes.get(c.model),
            "representative": c.model in representatives,
            "tuned_on_target": tuned.get(c.model),
            "reason": c.reason,
        }
        for c in recall.candidates
    ]
    return {
        "method": recall.method,
        "proxy": _unique(*(c.proxies for c in recall.candidates)),
        "candidates": candidates,
        "ranking": list(recall.ranking),
        **judgement(recall),
        "skipped": [{"model": row.repo_id, "reason": row.reason} for row in recall.skipped],
        "seconds": _round(recall.seconds, 3),
    }


def judgement(recall: RecallResult) -> dict[str, Any]:
    """What a recall says of the target and of itself, for JSON.

    `novel` and `novelty` are None where nothing can be said, `outside` (the chance that the best
    model isn't among the candidates) is None for a method that doesn't forecast.
    """
    found: dict[str, Any] = clean(
        {
            "novel": recall.novel,
            "novelty": None if recall.novelty is None else asdict(recall.novelty),
            "nearest_benchmarks": [
                {"dataset": name, "similarity": _round(similarity, 4)}
                for name, similarity in recall.nearest_benchmarks
            ],
            "weights": {
                source: {what: _round(weight, 4) for what, weight in weights.items()}
                for source, weights in recall.weights.items()
            },
            "outside": _round(recall.outside, 6),
            "looked_at": recall.looked,
        }
    )
    return found


def clusters_part(clustering: Clustering) -> dict[str, Any]:
    """Clusters for the page: their models by name."""
    return {
        "algorithm": clustering.algorithm,
        "threshold": clustering.threshold,
        "silhouette": _round(clustering.silhouette, 6),
        "groups": [
            {
                "id": i,
                "models": [clustering.models[m] for m in members],
                "representative": (
                    clustering.models[clustering.representatives[i]]
                    if i in clustering.representatives
                    else None
                ),
            }
            for i, members in clustering.groups.items()
        ],
    }


def matrix_part(matrix: PerformanceMatrix) -> dict[str, Any]:
    """The matrix for the page; mean scores to six decimals keep the file small."""
    matrix = replace(matrix, scores=np.round(matrix.scores, 6))
    return {
        "models": list(matrix.models),
        "datasets": list(matrix.datasets),
        "metrics": list(matrix.metrics),
        "scores": matrix.scores,
        "skill": np.round(matrix.skill, 4),
        "baselines": np.round(matrix.baselines, 6),
    }
