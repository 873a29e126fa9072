"""Proxy scores beside those of transformer-ranker: the same features, the same scores, the seconds.

    pip install transformer-ranker
    python benchmarks/proxies.py [--rows 10000] [--width 768] [--classes 10 100] [--repeat 5]
                                 [--json benchmarks/results/proxies.json]

Features are made up: classes, and columns as correlated as those of a network. All runs are in one
process with one thread, in turns, so that what else goes on on the machine meets both; the medians
count. Memory is the peak above what imports and features take, in a process of its own for each
score (Linux only). `together` is hf-select's time for the three scores of one model, which share an
eigendecomposition, and the sum of three calls of transformer-ranker, which has no such thing.

Where the definitions agree the scores must, to 4 digits. LogME and H-score do. kNN does with one
neighbour; with more, transformer-ranker gives a tie to the smaller label, hf-select shares it.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.proxies import hscore, knn, linear_probe, logme, nleep, transrate
from hf_select.proxies.prepared import Prepared

ROOT = Path(__file__).resolve().parents[1]
NEIGHBOURS = 3  # transformer-ranker's default
TARGETS = {("logme", 10): 2.0, ("logme", 100): 4.0}  # times as fast; of all others, 1

HEADS = (
    "proxy",
    "classes",
    "hf-select",
    "transformer-ranker",
    "times as fast",
    "of each turn",
    "scores apart",
    "MB",
    "their MB",
)

Score = Callable[[Any, Any], float]

OURS: dict[str, Score] = {
    "logme": logme,
    "hscore": hscore,
    "knn": lambda x, labels: knn(x, labels, k=NEIGHBOURS),
}
ALONE: dict[str, Score] = {"nleep": nleep, "transrate": transrate, "linear-probe": linear_probe}


def theirs() -> dict[str, Score]:
    """The estimators of transformer-ranker; `ImportError` where it isn't installed."""
    import torch
    from transformer_ranker.estimators import HScore, LogME, NearestNeighbors

    torch.set_num_threads(1)

    def given(make: Callable[[], Any]) -> Score:
        # Tensors that share the memory of the arrays: no copy is in the time.
        return lambda x, labels: make().fit(torch.from_numpy(x), torch.from_numpy(labels))

    return {
        "logme": given(LogME),
        "hscore": given(HScore),
        "knn": given(lambda: NearestNeighbors(k=NEIGHBOURS)),
        "knn of one": given(lambda: NearestNeighbors(k=1)),
    }


def made_up(rows: int, width: int, classes: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Features (N, d) in single precision with classes in them, and the labels (N,).

    The variance of the j-th direction falls as 1 / j, directions lie across the columns, columns
    have means of their own, and classes differ in random directions.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    across = np.linalg.qr(rng.normal(size=(width, width)))[0]
    across *= 1 / np.sqrt(np.arange(1, width + 1))[:, None]
    centres = rng.normal(size=(classes, width)) @ across + rng.normal(size=width)
    x = np.empty((rows, width), dtype=np.float32)
    for start in range(0, rows, 1000):
        part = slice(start, start + 1000)
        noise = rng.normal(size=x[part].shape) @ across
        x[part] = noise + 0.7 * centres[labels[part]]
    return x, labels


def together(x: NDArray, labels: NDArray) -> float:
    """The three scores of one model, as `score_all` computes them."""
    prepared = Prepared(x)
    return sum(score(prepared, labels) for score in OURS.values())


def timed(score: Score, x: NDArray, labels: NDArray) -> tuple[float, float]:
    """A score and its seconds."""
    start = time.perf_counter()
    value = float(score(x, labels))
    return value, time.perf_counter() - start


def measure(
    others: Mapping[str, Score], *, rows: int, width: int, classes: int, repeat: int
) -> dict[str, dict[str, Any]]:
    """Scores, medians of seconds, and ratios, by proxy, for one number of classes."""
    x, labels = made_up(rows, width, classes)
    pairs: dict[str, tuple[Score, Score | None]] = {
        **{name: (score, others[name]) for name, score in OURS.items()},
        "together": (together, lambda x, labels: sum(others[n](x, labels) for n in OURS)),
        **{name: (score, None) for name, score in ALONE.items()},
    }
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in pairs}
    values: dict[str, list[float]] = {}
    for turn in range(repeat + 1):  # the first is a warm-up
        for name, pair in pairs.items():
            values[name] = []
            for side, score in enumerate(pair):
                if score is not None:
                    value, took = timed(score, x, labels)
                    values[name].append(value)
                    if turn:
                        seconds[name][side].append(took)
    found = {name: row(values[name], *seconds[name]) for name in pairs}
    one = knn(x, labels, k=1), float(others["knn of one"](x, labels))
    found["knn"]["scores_of_one_neighbour"] = list(one)
    found["knn"]["apart"] = abs(one[0] - one[1])
    del found["together"]["scores"], found["together"]["apart"]
    return found


def row(scores: Sequence[float], mine: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """One proxy's numbers; without the other side, its own seconds alone."""
    found: dict[str, Any] = {"scores": list(scores), "seconds": round(statistics.median(mine), 4)}
    if other:
        ratios = sorted(b / a for a, b in zip(mine, other, strict=True))
        found["seconds_of_theirs"] = round(statistics.median(other), 4)
        found["times_as_fast"] = round(statistics.median(other) / statistics.median(mine), 2)
        found["of_each_turn"] = [round(ratios[0], 2), round(ratios[-1], 2)]
        found["apart"] = abs(scores[0] - scores[1])
    return found


# --------------------------------------------------------------------------------- memory


def peak_of(side: str, name: str, rows: int, width: int, classes: int) -> float | None:
    """Peak MB of one score above what was there before it, in this process; None if unknown."""
    score = (OURS | ALONE)[name] if side == "ours" else theirs()[name]
    score(*made_up(200, 8, 3))  # what is loaded on first use is none of the score's
    x, labels = made_up(rows, width, classes)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    except OSError:
        return None
    before = _status("VmRSS")
    score(x, labels)
    return round((_status("VmHWM") - before) / 1024, 1)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def memory(
    names: Sequence[str],
    *,
    rows: int,
    width: int,
    classes: int,
    sides: Sequence[str] = ("ours", "theirs"),
) -> dict[str, dict[str, Any]]:
    """Peaks of both sides by proxy, each in a process of its own."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for side in sides if name in OURS else sides[:1]:
            asked = [side, name, str(rows), str(width), str(classes)]
            command = [sys.executable, __file__, "--peak", *asked]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.setdefault(name, {})[side] = json.loads(done.stdout)
    return found


# --------------------------------------------------------------------------------- report


def missed(document: Mapping[str, Any]) -> list[str]:
    """What falls short of the targets, in words; empty if nothing does."""
    short = []
    for classes, rows in document["classes"].items():
        for name, found in rows.items():
            wanted = TARGETS.get((name, int(classes)), 1.0)
            if found.get("times_as_fast", wanted) < wanted:
                short.append(
                    f"{name}, {classes} classes: {found['times_as_fast']} times as fast, "
                    f"the target is {wanted}"
                )
            if found.get("apart", 0.0) >= 5e-5:
                short.append(f"{name}, {classes} classes: scores differ by {found['apart']:.1e}")
    return short


def page(document: Mapping[str, Any]) -> str:
    """The table."""
    size = f"{document['rows']:,} rows, {document['width']} columns"
    lines = [
        f"{size}, one thread, medians of {document['repeat']} turns",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + "---|" * len(HEADS),
    ]
    for classes, rows in document["classes"].items():
        for name, found in rows.items():
            peak = document["memory"].get(classes, {}).get(name, {})
            cells = [name, classes, f"{found['seconds']:.3f} s"]
            if "times_as_fast" in found:
                low, high = found["of_each_turn"]
                cells += [f"{found['seconds_of_theirs']:.3f} s", f"{found['times_as_fast']:.1f}"]
                cells += [f"{low:.1f} to {high:.1f}"]
                cells += [f"{found['apart']:.1e}" if "apart" in found else ""]
            else:
                cells += [""] * 4
            cells += [str(peak.get(side) or "") for side in ("ours", "theirs")]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(missed(document) or ["All targets are met."])]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/proxies.json")
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.peak:
        side, name, *sizes = options.peak
        print(json.dumps(peak_of(side, name, *map(int, sizes))))
        return
    try:
        others = theirs()
    except ImportError as error:
        parser.exit(2, f"no transformer-ranker ({error}): pip install transformer-ranker\n")
    document: dict[str, Any] = {
        "rows": options.rows,
        "width": options.width,
        "repeat": options.repeat,
        "neighbours": NEIGHBOURS,
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("numpy", "scipy", "torch", "transformer-ranker")},
        "classes": {},
        "memory": {},
    }
    for classes in options.classes:
        sizes = {"rows": options.rows, "width": options.width, "classes": classes}
        document["classes"][str(classes)] = measure(others, repeat=options.repeat, **sizes)
        document["memory"][str(classes)] = memory([*OURS, *ALONE], **sizes)
    print(page(document))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
