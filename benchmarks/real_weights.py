"""Real networks, live: brute force and the two-phase selection on the same targets, in one run.

    python scripts/build_real_models.py && python scripts/build_zoo.py     # once
    python benchmarks/real_weights.py [--task TASK] [--top 3] [--jobs 2]

Every model is fine-tuned on every set; that is the record, and each set's brute force. Then each
target is left out of the record and selected for, live. Resumable: what is done is skipped.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the cells of the matrix
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import live_support as support
import numpy as np
from live_support import JSON, PAGE, REAL, ZOO, say

from hf_select import pipeline
from hf_select.errors import HfSelectError
from hf_select.metrics import get_metric
from hf_select.records import PerformanceMatrix, Recipe
from hf_select.results.repo import ResultsRepo

ROWS = 300


@dataclass(frozen=True)
class Side:
    """The targets of a task, the other sets of its record, and the recipe."""

    targets: tuple[str, ...]
    others: tuple[str, ...]
    recipe: Recipe


SIDES = {
    "image-classification": Side(
        ("fashion_tops", "emoji_twitter"),
        ("animal", "glyph_letters"),
        Recipe(learning_rate=5e-4, epochs=3, global_batch_size=16, fractions=(0.5,)),
    ),
    "text-classification": Side(
        ("bbc_news", "vader_tweets"),
        ("newsgroups8", "vader_movie"),
        Recipe(learning_rate=1e-4, epochs=3, global_batch_size=16, max_length=32, fractions=(0.5,)),
    ),
}


def measure(task: str, work: Path, zoo: Path, top: int, jobs: int) -> dict[str, Any]:
    """The matrix of a task, then a selection for each of its targets."""
    side = SIDES[task]
    names = (*side.targets, *side.others)
    sets = {
        name: support.small_set(zoo / "datasets" / name, work / "datasets" / name, ROWS)
        for name in names
    }
    catalog = work / f"catalog-{task}.json"
    support.write_catalog(catalog, support.real_models(work / "models", task), sets, task=task)
    summary = pipeline.benchmark(
        work / "results",
        catalog,
        recipe=side.recipe,
        jobs=jobs,
        retry_failed=True,
        on_plan=lambda count: say(f"{task}: {count} cells to train"),
        on_event=lambda event: (
            say(f"  {event.model} on {event.dataset}: {event.test:.3f}, {event.seconds:.0f} s")
            if event.kind == "done"
            else None
        ),
    )
    if summary.failed:
        raise HfSelectError(f"{summary.failed} cells of {task} failed", hint="see their reasons")
    repo = ResultsRepo.open(work / "results")
    matrix = repo.matrix(task, recipe=side.recipe.digest())
    return {
        "task": task,
        "rows": ROWS,
        "recipe": side.recipe.to_dict(),
        "scores": {
            model: dict(zip(matrix.datasets, matrix.scores[i].tolist(), strict=True))
            for i, model in enumerate(matrix.models)
        },
        "trivial": dict(zip(matrix.datasets, matrix.baselines.tolist(), strict=True)),
        "seconds": float(sum(run.seconds for run in repo.runs(task))),
        "targets": {
            name: select_for(name, task, work, catalog, sets[name], matrix, top)
            for name in side.targets
        },
    }


def select_for(
    name: str,
    task: str,
    work: Path,
    catalog: Path,
    folder: Path,
    matrix: PerformanceMatrix,
    top: int,
) -> dict[str, Any]:
    """The two phases for one target that the record doesn't know, against its brute force."""
    record = support.record_without(work / "results", task, name, work / "records" / name)
    say(f"{name}: selecting among {len(matrix.models)} models")
    selected = pipeline.select(
        folder,
        record,
        work / "chosen" / name,
        task=task,
        top=top,
        method="paper",  # three benchmarks are few to learn weights from
        policy="paper",
        recipe=SIDES[task].recipe,
        catalog=catalog,
        say=say,
    )
    return judge(name, selected.document, matrix)


def judge(name: str, document: Mapping[str, Any], matrix: PerformanceMatrix) -> dict[str, Any]:
    """What a selection gave and cost beside the recorded brute force on the same target."""
    column = matrix.datasets.index(name)
    metric = get_metric(matrix.metrics[column])
    scores = matrix.scores[:, column]
    best = int(np.nanargmax(metric.direction * scores))
    winner = document["winner"]
    chosen = float(scores[matrix.models.index(winner["model"])])
    return {
        "best": matrix.models[best],
        "best_test": float(scores[best]),
        "winner": winner["model"],
        "winner_test": winner["test"],
        "same_in_matrix": chosen == winner["test"],
        "regret": 100 * metric.direction * (float(scores[best]) - chosen),
        "proxy": next((k for c in document["recall"]["candidates"] for k in c["proxies"]), ""),
        "recalled": [c["model"] for c in document["recall"]["candidates"]],
        "stopped_at": {row["model"]: row["dropped_at"] for row in document["ranking"]},
        "price": document["price"],
        "epochs": document["cost"]["epochs"],
        "proxy_epochs": document["cost"]["proxy_epochs"],
        "brute_force_price": document["baselines"]["brute_force_all"]["price"],
        "halving_price": document["baselines"]["halving_all"]["price"],
    }


def page(documents: Sequence[Mapping[str, Any]]) -> str:
    """The section of the results page."""
    exact = all(row["same_in_matrix"] for d in documents for row in d["targets"].values())
    lines = [
        "## Real pre-trained networks, live",
        "",
        "Made by `python benchmarks/real_weights.py`: networks that others have pre-trained, taken",
        "out of packages and converted by `scripts/build_real_models.py`. Each is fine-tuned on",
        f"every set ({ROWS} train, {ROWS} validation, {ROWS} test rows; images at 64 x 64); then",
        "each target is left out of the record and both phases run for it, live. Regret is in",
        "points of test score below the best of all models; with so few rows the standard error of",
        "a score is up to 2.9 points. Price is in units of the winner's own training, with the",
        "proxy passes. Did each winner end, live, with exactly its score in the matrix? "
        + ("Yes." if exact else "No."),
    ]
    for document in documents:
        targets = document["targets"]
        sets = list(document["trivial"])
        sets.sort(key=lambda name: name not in targets)
        lines += ["", f"### {document['task']}", ""]
        rows: list[Sequence[Any]] = [
            (model, *(f"{scores[name]:.3f}" for name in sets))
            for model, scores in document["scores"].items()
        ]
        rows.append(("(majority class)", *(f"{document['trivial'][name]:.3f}" for name in sets)))
        marked = [f"{name} (target)" if name in targets else name for name in sets]
        lines += support.markdown(("brute force, test accuracy", *marked), rows)
        lines.append("")
        lines += support.markdown(
            ("target", "best of all", "selected", "regret", "price", "halving", "brute force"),
            [
                (
                    name,
                    f"{row['best']} {row['best_test']:.3f}",
                    f"{row['winner']} {row['winner_test']:.3f}",
                    f"{row['regret']:.2f}",
                    f"{row['price']:.2f}",
                    f"{row['halving_price']:.2f}",
                    f"{row['brute_force_price']:.2f}",
                )
                for name, row in targets.items()
            ],
        )
        for name, row in targets.items():
            lines += ["", f"Recalled for {name} ({row['proxy'] or 'no proxy'}): "]
            lines[-1] += ", ".join(row["recalled"]) + "."
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", action="append", choices=sorted(SIDES), help="all if not given")
    parser.add_argument("--top", type=int, default=3, help="models to recall")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=REAL)
    parser.add_argument("--zoo", type=Path, default=ZOO, help="where build_zoo.py has worked")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "real_weights.json")
    options = parser.parse_args(arguments)
    try:
        documents = [
            measure(task, options.work, options.zoo, options.top, options.jobs)
            for task in options.task or sorted(SIDES)
        ]
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    support.publish("real", page(documents), {"tasks": documents}, options.out, options.json)


if __name__ == "__main__":
    main()
