"""Phase one replayed: every recall method on the shipped record and on the paper's matrices.

    python benchmarks/recall.py [--results DIR|demo] [--paper DIR]

Each benchmark in turn is the target, hidden but for its own proxy scores. Prints the tables, writes
them as JSON, and rewrites their section of docs/results.md. `--paper` is a folder with the matrices
that come with arXiv 2404.00069 (`nlp_matrix.txt`, `nlp_datasets.txt`, and the same for `cv`).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from live_support import JSON, PAGE, markdown, publish

from hf_select import pipeline
from hf_select.errors import HfSelectError
from hf_select.pipeline.base import recorded_proxies
from hf_select.recall import looks_without
from hf_select.recall.candidates import recorded_arrays
from hf_select.recall.hybrid import outlook
from hf_select.recall.sets import expected_best

KS = (1, 3, 5, 10)
PAPER = {
    "nlp": ("text-classification", "The paper's text matrix"),
    "cv": ("image-classification", "The paper's vision matrix"),
}


def replayed(results: str | Path, task: str) -> dict[str, Any]:
    """All methods on one task of a record."""
    document = pipeline.replay(results, task, phase="recall", top=KS)
    matrix = pipeline.open_results(results).matrix(task)
    return {
        "task": task,
        "models": len(matrix.models),
        "benchmarks": len(matrix.datasets),
        "summary": document["summary"],
        "targets": document["targets"],
        "honest": honest(results, task),
    }


def honest(results: str | Path, task: str) -> dict[str, float]:
    """How far the hybrid's own numbers can be trusted, over all targets and models.

    deviation: of (truth - predicted) / deviation, 1 if honest; beyond: share of models beyond 1.96;
    outside: mean chance, as forecast, that the best model is not among the first 3; was_outside:
    how often it was not.
    """
    record = pipeline.open_results(results)
    matrix, proxies = record.matrix(task), recorded_proxies(record, task)
    misses, forecast, came = [], [], []
    for j, dataset in enumerate(matrix.datasets):
        hidden, looks = matrix.without_dataset(dataset), looks_without(dataset, proxies)
        own = {
            name: recorded_arrays({(name, dataset): scores}, matrix)[name][:, j]
            for name, scores in looks.target.items()
        }
        found = outlook(hidden.skill, own, recorded_arrays(looks.recorded, hidden))
        truth = matrix.skill[:, j]
        have = np.isfinite(truth)
        apart = (truth - truth[have].mean()) - (found.relative - found.relative[have].mean())
        misses += (apart / found.deviation)[have].tolist()
        taken = expected_best(found.relative, found.deviation, most=3, shared=found.shared)
        forecast.append(float(taken.outside[-1]))
        came.append(float(np.nanmax(truth) > np.nanmax(truth[list(taken.order)])))
    z = np.array(misses)
    return {
        "deviation": float(z.std()),
        "beyond": float(np.mean(np.abs(z) > 1.96)),
        "outside": float(np.mean(forecast)),
        "was_outside": float(np.mean(came)),
    }


def paper_record(folder: Path, name: str, task: str, into: Path) -> Path:
    """A record made of one of the paper's matrices, through `import`."""
    lines = (folder / f"{name}_matrix.txt").read_text(encoding="utf-8").strip().split("\n")
    models = lines[0].split("\t")
    rows = [[float(cell) for cell in line.split("\t")[-len(models) :]] for line in lines[1:]]
    columns = zip(*rows, strict=True)
    names = (folder / f"{name}_datasets.txt").read_text(encoding="utf-8").split()
    table = into / f"{name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", *names])
        writer.writerows([model, *column] for model, column in zip(models, columns, strict=True))
    pipeline.import_results(table, into / name, task=task, metric="accuracy")
    return into / name


def page(groups: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The section of the results page."""
    lines = [
        "## Recall, replayed",
        "",
        "Made by `python benchmarks/recall.py`. Each benchmark in turn is the target: its column",
        "is hidden, its own proxy scores are not. Regret is in points below the best of all",
        "models, for the best of the first k of each method; in brackets the 95 % interval over",
        "targets. `hybrid` looks at every model by linear probe, LogME and kNN where the record",
        "has those.",
    ]
    for title, found in groups:
        lines += [
            "",
            f"### {title}: {found['models']} models x {found['benchmarks']} benchmarks",
            "",
            *table(found["summary"]),
            "",
            *sentences(found),
        ]
    return "\n".join(lines)


def table(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A row a method."""
    rows = []
    for name, row in summary.items():
        cells = []
        for k in KS:
            low, high = row[f"regret@{k}_ci"]
            cells.append(f"{row[f'regret@{k}']:.2f} ({low:.2f}, {high:.2f})")
        rows.append([name, *cells, f"{row['spearman']:.2f}"])
    return markdown(["method", *(f"regret@{k}" for k in KS), "spearman"], rows)


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What the hybrid does by itself, and how honest its numbers are."""
    row, honest = found["summary"]["hybrid"], found["honest"]
    novel = [
        name.split("/")[-1] for name, of in found["targets"].items() if of["hybrid"].get("novel")
    ]
    yield (
        f"By itself the hybrid recalls {row['recalled']:.1f} models on average, with a regret of "
        f"{row['regret@recalled']:.2f}. Its misses have {honest['deviation']:.2f} times the "
        f"deviation that it gives; {100 * honest['beyond']:.1f} % of them lie beyond 1.96 (honest "
        f"would be 5 %). Forecast chance that the best is not among its first three: "
        f"{100 * honest['outside']:.0f} %; it was not {100 * honest['was_outside']:.0f} % of the "
        f"time. Called novel: {', '.join(novel) or 'none'}."
    )


def finite(value: Any) -> Any:
    """The value with None for numbers that JSON has none for."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", default="demo", help="a results folder, or demo")
    parser.add_argument("--paper", type=Path, help="folder with the paper's matrices")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "recall.json")
    options = parser.parse_args(arguments)
    try:
        groups = [
            (
                f"{'the shipped record, ' if options.results == 'demo' else ''}{task}".capitalize(),
                task,
            )
            for task in pipeline.open_results(options.results).tasks()
        ]
        found = [(title, replayed(options.results, task)) for title, task in groups]
        if options.paper:
            with tempfile.TemporaryDirectory() as folder:
                for name, (task, title) in PAPER.items():
                    record = paper_record(options.paper, name, task, Path(folder))
                    found.append((title, replayed(record, task)))
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    document = {"groups": [{"title": title, **finite(group)} for title, group in found]}
    publish("recall", page(found), document, options.out, options.json)


if __name__ == "__main__":
    main()
