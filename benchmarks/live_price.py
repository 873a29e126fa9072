"""The price of choosing, live: the shipped targets, ours against halving and brute force.

    python benchmarks/live_price.py [--task image|text|regression] [--repeat 3]
        [--out docs/results.md] [--json benchmarks/results/live_price.json]

Every policy fine-tunes for real, by the wall clock, and in turns, so that a busy moment hits all of
them alike. Regret is that of the winner's mean test score over the recorded seeds (the shipped
brute force on this target) below the best model's; `test` is the winner's own test score in this
run. Prints the table, writes it as JSON, and rewrites the section of the page between the marks.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live_support import JSON, PAGE, publish, say

from hf_select import pipeline
from hf_select.demo.run import judge, one_thread
from hf_select.demo.targets import DEMO_TASKS, write_target

EVERY = 1000
"""More models than there are: all of them."""


@dataclass(frozen=True)
class Way:
    """A way to choose: how to recall, and the policy."""

    name: str
    options: Mapping[str, Any]


WAYS = (
    Way("trend, what the hybrid recalls (ours)", {}),
    Way("fractional halving, what the hybrid recalls", {"policy": "fractional-halving"}),
    Way("halving, what the hybrid recalls", {"policy": "halving"}),
    Way("halving, all models", {"policy": "halving", "method": "size", "top": EVERY}),
    Way("brute force, all models", {"policy": "brute-force", "method": "size", "top": EVERY}),
)


def run(task: str, way: Way, target: Path, out: Path) -> dict[str, Any]:
    """One whole selection: what it chose, and what it took."""
    started = time.perf_counter()
    document = pipeline.select(target, "demo", out, **way.options).document
    seconds = time.perf_counter() - started
    winner = document["winner"]
    _, regret = judge(task, winner["model"])
    return {
        "winner": winner["model"],
        "test": winner["test"],
        "regret": regret,
        "price": document["price"],
        "epochs": document["cost"]["epochs"],
        "proxy_epochs": document["cost"]["proxy_epochs"],
        "training_seconds": document["cost"]["seconds"],
        "seconds": seconds,
    }


def measure(task: str, repeat: int) -> dict[str, Any]:
    """All ways in turns; medians over the rounds, which differ in their times alone."""
    rows: dict[str, list[dict[str, Any]]] = {way.name: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place, one_thread():
        target = write_target(task, Path(place) / "target")
        run(task, WAYS[0], target, Path(place) / "warm-up")
        for turn in range(repeat):
            for number, way in enumerate(WAYS):
                rows[way.name].append(run(task, way, target, Path(place) / f"{turn}-{number}"))
                say(f"{task}: {way.name}: {rows[way.name][-1]}")
    return {
        "task": DEMO_TASKS[task],
        "target": target.name,
        "repeat": repeat,
        "ways": {name: _middle(found) for name, found in rows.items()},
    }


def _middle(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        key: statistics.median(row[key] for row in rows) if key != "winner" else rows[0][key]
        for key in rows[0]
    }


def table(document: Mapping[str, Any]) -> Iterator[str]:
    """Markdown rows of one target."""
    yield "| | winner | its test | regret | price | epochs | looks, in epochs | wall clock |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for name, row in document["ways"].items():
        cells = (
            name,
            row["winner"].split("/")[-1],
            f"{row['test']:.3f}",
            f"{row['regret']:.2f}",
            f"{row['price']:.2f}",
            f"{row['epochs']:.2f}",
            f"{row['proxy_epochs']:.2f}",
            f"{row['seconds']:.1f} s",
        )
        yield "| " + " | ".join(cells) + " |"


def page(documents: Sequence[Mapping[str, Any]]) -> str:
    """The section of the results page."""
    lines = [
        "## The price of choosing, live",
        "",
        "Made by `python benchmarks/live_price.py`: the targets that ship with the package, every",
        "policy fine-tuning for real, one thread, in turns; medians of the rounds. Regret is the",
        "winner's mean test score over the recorded seeds below the best model's, in points. The",
        "wall clock counts everything from reading the record to the saved winner and its page.",
    ]
    for document in documents:
        title = f"{document['task']}: {document['target']} ({document['repeat']} rounds)"
        lines += ["", f"### {title}", "", *table(document)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=sorted(DEMO_TASKS), action="append")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "live_price.json")
    options = parser.parse_args(arguments)
    documents = [measure(task, options.repeat) for task in options.task or sorted(DEMO_TASKS)]
    section = page(documents)
    publish("live", section, {"targets": documents}, options.out, options.json)


if __name__ == "__main__":
    main()
