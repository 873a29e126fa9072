"""How clustering grows with the number of models, against the paper's algorithm in plain Python.

    python benchmarks/clustering.py [--paper DIR] [--patience 60] [--scale 100000]
                                    [--out docs/results.md] [--json FILE]

The reference is the paper's algorithm (arXiv 2404.00069), written down by us as its text reads:
loops over all pairs, the mean of the 5 largest differences, average linkage that looks for the
nearest two clusters again after every merge. Both cut at the same distance, so their groups must be
the same. Scores are made up: families of models around a level of their own. Every number is of a
process of its own with one thread; `seconds` are CPU seconds, which other programs disturb least.
`--paper` is a folder with the paper's two matrices (`nlp_matrix.txt`, `cv_matrix.txt`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_select.clustering.algorithms import cluster_models
from hf_select.records import PerformanceMatrix

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- clustering: begin -->", "<!-- clustering: end -->"
SIZES = (39, 100, 200, 316, 500, 1000, 2000, 3162, 5000, 10_000)
BENCHMARKS, FAMILY, THRESHOLD, K = 21, 6, 0.09, 5
PAPER = {"nlp": ("text", 0.09), "cv": ("vision", 0.03)}
TARGETS = {"seconds": 60.0, "peak_mb": 4000.0}


# ------------------------------------------------------------------------------- the reference


def reference_distance(one: Sequence[float], two: Sequence[float], k: int = K) -> float:
    """Mean of the k largest differences over benchmarks that both were measured on."""
    apart = sorted((abs(a - b) for a, b in zip(one, two, strict=True) if a > 0 and b > 0))[-k:]
    return sum(apart) / len(apart)


def reference_clusters(scores: Sequence[Sequence[float]], threshold: float) -> list[int]:
    """Average linkage, cut at a distance: a label for each model."""
    models = len(scores)
    apart = [[0.0] * models for _ in range(models)]
    for i in range(models):
        for j in range(i):
            apart[i][j] = apart[j][i] = reference_distance(scores[i], scores[j])
    members = {i: [i] for i in range(models)}
    while len(members) > 1:
        nearest, one, two = float("inf"), -1, -1
        for i in members:
            row = apart[i]
            for j in members:
                if j < i and row[j] < nearest:
                    nearest, one, two = row[j], j, i
        if nearest > threshold:
            break
        a, b = len(members[one]), len(members[two])
        for other in members:
            mean = (a * apart[one][other] + b * apart[two][other]) / (a + b)
            apart[one][other] = apart[other][one] = mean
        members[one] += members.pop(two)
    labels = [0] * models
    for label, mine in enumerate(members.values()):
        for i in mine:
            labels[i] = label
    return labels


# ---------------------------------------------------------------------------------- measuring


def made_up(
    models: int, benchmarks: int = BENCHMARKS, *, missing: float = 0.0, family: int = FAMILY
) -> PerformanceMatrix:
    """Families of about `family` models, each around a level of its own."""
    rng = np.random.default_rng(models)
    families = max(1, models // family)
    level = rng.uniform(0.2, 0.95, (families, benchmarks))
    scores = level[rng.integers(0, families, models)] + rng.normal(0, 0.02, (models, benchmarks))
    scores = np.clip(scores, 0.01, 1.0)
    scores[rng.uniform(size=scores.shape) < missing] = np.nan
    return matrix_of(scores, [f"m{i:06}" for i in range(models)])


def matrix_of(scores: np.ndarray, models: Sequence[str]) -> PerformanceMatrix:
    """A matrix of raw scores."""
    count = scores.shape[1]
    return PerformanceMatrix(
        scores,
        np.full(scores.shape, np.nan),
        tuple(models),
        tuple(f"d{j:03}" for j in range(count)),
        ("matthews_correlation",) * count,
        np.full(count, np.nan),
    )


def ours(models: int, threshold: float | None) -> dict[str, Any]:
    """One clustering of ours."""
    matrix = made_up(models)
    return timed(lambda: cluster_models(matrix, threshold=threshold, raw=True).labels.tolist())


def theirs(models: int) -> dict[str, Any]:
    """One clustering of the reference."""
    scores = made_up(models).scores.tolist()
    return timed(lambda: reference_clusters(scores, THRESHOLD))


def at_scale(models: int) -> dict[str, Any]:
    """One clustering with 50 benchmarks and missing cells, the cut chosen by the silhouette."""
    matrix = made_up(models, 50, missing=0.3, family=models // 200)
    found: dict[str, Any] = {}

    def run() -> list[int]:
        done = cluster_models(matrix)
        found.update(algorithm=done.algorithm, silhouette=done.silhouette, groups=len(done.sizes))
        return done.labels.tolist()

    return timed(run) | found


def timed(function: Any) -> dict[str, Any]:
    """CPU seconds, those on the clock, the peak memory of this process, and the labels.

    Something short is done three times, and the fastest counts.
    """
    cluster_models(made_up(39), threshold=THRESHOLD)  # imports are no part of it
    cpu, wall = [], []
    while len(cpu) < 3 and sum(cpu) < 1:
        began = time.process_time(), time.perf_counter()
        labels = function()
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return {
        "seconds": min(cpu),
        "wall_seconds": min(wall),
        "peak_mb": round(peak_mb(), 1),
        "labels": labels,
    }


def peak_mb() -> float:
    """The most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e3)


def alone(function: Any, *arguments: Any) -> dict[str, Any]:
    """What a function returns in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: dict[str, Any] = pool.apply(function, arguments)
        return result


def same_groups(one: Sequence[int], two: Sequence[int]) -> bool:
    """Whether two labellings are the same but for the names."""
    pairs = set(zip(one, two, strict=True))
    return len(pairs) == len(set(one)) == len(set(two))


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """How cost grows: the slope of log seconds over log models, of at least three sizes."""
    if len(sizes) < 3:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(sizes: Sequence[int], patience: float, scale: int) -> dict[str, Any]:
    """All sizes; the reference as long as the next one is likely to end within the patience."""
    rows: list[dict[str, Any]] = []
    expected = 0.0
    for models in sizes:
        mine = alone(ours, models, THRESHOLD)
        row = {"models": models, "seconds": mine["seconds"], "peak_mb": mine["peak_mb"]}
        row["chosen_seconds"] = alone(ours, models, None)["seconds"]
        if expected <= patience:
            reference = alone(theirs, models)
            row["reference_seconds"] = reference["seconds"]
            row["ratio"] = reference["seconds"] / mine["seconds"]
            row["same_groups"] = same_groups(mine["labels"], reference["labels"])
            larger = next((s for s in sizes if s > models), models)
            expected = reference["seconds"] * (larger / models) ** 3
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    large = [row for row in rows if row["models"] >= 1000]
    compared = [row for row in rows if "ratio" in row and row["models"] >= 100]
    found = alone(at_scale, scale) if scale else {}
    found.pop("labels", None)
    return {
        "benchmarks": BENCHMARKS,
        "threshold": THRESHOLD,
        "sizes": rows,
        "slope": slope([r["models"] for r in large], [r["seconds"] for r in large]),
        "reference_slope": slope(
            [r["models"] for r in compared], [r["reference_seconds"] for r in compared]
        ),
        "scale": {"models": scale, "benchmarks": 50, "missing": 0.3, **found} if scale else None,
        "targets": TARGETS,
    }


# --------------------------------------------------------------------------- the paper's matrices


def golden(folder: Path) -> list[dict[str, Any]]:
    """Clusters of the paper's two matrices at its thresholds, by ours and by the reference."""
    rows = []
    for name, (kind, threshold) in PAPER.items():
        lines = (folder / f"{name}_matrix.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        scores = np.array([[float(x) for x in line.split("\t")] for line in lines[1:]]).T
        found = cluster_models(
            matrix_of(scores, lines[0].split("\t")), threshold=threshold, raw=True
        )
        sizes = list(found.sizes.values())
        reference = reference_clusters(scores.tolist(), threshold)
        rows.append(
            {
                "matrix": kind,
                "models": len(scores),
                "benchmarks": scores.shape[1],
                "threshold": threshold,
                "clusters": sum(size > 1 for size in sizes),
                "clustered": sum(size for size in sizes if size > 1),
                "alone": sizes.count(1),
                "silhouette": found.silhouette,
                "same_groups": same_groups(found.labels.tolist(), reference),
            }
        )
    return rows


# ------------------------------------------------------------------------------------- the page


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns stand right."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---:|" * len(columns)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def page(document: Mapping[str, Any]) -> str:
    """The section of the results page."""

    def number(value: float | None, digits: int = 3) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = [
        (
            f"{row['models']:,}",
            number(row.get("reference_seconds"), 2),
            number(row["seconds"]),
            "" if "ratio" not in row else f"{row['ratio']:,.0f}",
            {True: "yes", False: "NO", None: ""}[row.get("same_groups")],
            number(row["chosen_seconds"]),
            f"{row['peak_mb']:.0f}",
        )
        for row in document["sizes"]
    ]
    columns = (
        "models",
        "plain Python, s",
        "ours, s",
        "ratio",
        "same groups",
        "cut chosen, s",
        "peak, MB",
    )
    slopes = {
        "ours, from 1,000 models": document["slope"],
        "plain Python, from 100": document["reference_slope"],
    }
    grows = [f"{value:.1f} ({name})" for name, value in slopes.items() if value is not None]
    count, cut = document["benchmarks"], document["threshold"]
    lines = [
        "## Clustering, as the number of models grows",
        "",
        f"Made by `python benchmarks/clustering.py`: made-up families of models on {count}",
        f"benchmarks, cut at {cut} by the paper's algorithm in plain Python (as its text reads,",
        "loops over all pairs) and by ours; `cut chosen` is ours without a threshold. CPU seconds,",
        "a process each, one thread.",
        "",
        *markdown(columns, rows),
    ]
    if grows:
        lines += ["", f"Seconds grow with models to the power of {' and '.join(grows)}."]
    scale = document["scale"]
    if scale:
        aims, missing = document["targets"], 100 * scale["missing"]
        size = f"{scale['models']:,} x {scale['benchmarks']} with {missing:.0f} % of the cells"
        gigabytes, aim = scale["peak_mb"] / 1000, aims["peak_mb"] / 1000
        took = f"{scale['seconds']:.0f} s ({scale['wall_seconds']:.0f} s on the clock)"
        groups, silhouette = scale["groups"], scale["silhouette"]
        lines += [
            "",
            f"Above 10,000 models: {size} missing, by `{scale['algorithm']}`, the cut chosen:",
            f"{took} and {gigabytes:.1f} GB; aims: {aims['seconds']:.0f} s, {aim:.0f} GB.",
            f"It finds {groups} groups where 200 were made; estimated silhouette {silhouette:.2f}.",
        ]
    if document.get("paper"):
        lines += [
            "",
            "On the paper's matrices, at its thresholds:",
            "",
            *markdown(
                ("matrix", "threshold", "clusters of 2+", "models in them", "alone", "silhouette"),
                [
                    (
                        f"{row['matrix']}, {row['models']} x {row['benchmarks']}",
                        f"{row['threshold']}",
                        str(row["clusters"]),
                        str(row["clustered"]),
                        str(row["alone"]),
                        f"{row['silhouette']:.4f}",
                    )
                    for row in document["paper"]
                ],
            ),
        ]
    return "\n".join(lines)


def replace_section(text: str, section: str) -> str:
    """The page with its marked section rewritten, or added at the end."""
    block = f"{BEGIN}\n{section}\n{END}"
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if marked.search(text):
        return marked.sub(lambda _: block, text)
    return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"# Results\n\n{block}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", type=Path, help="folder with the paper's matrices")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for the reference")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="models at most")
    parser.add_argument(
        "--scale", type=int, default=100_000, help="models of the last one; 0: none"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks" / "results" / "clustering.json"
    )
    options = parser.parse_args(arguments)
    sizes = [size for size in SIZES if size <= options.most]
    document = measure(sizes, options.patience, options.scale)
    if options.paper:
        document["paper"] = golden(options.paper)
    section = page(document)
    print(section)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    before = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(replace_section(before, section), encoding="utf-8")


if __name__ == "__main__":
    main()
