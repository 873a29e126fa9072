"""How long the command line takes until it says something: help, and bad input that is refused.

    python benchmarks/startup.py [--runs 15] [--json benchmarks/results/startup.json]

Each line is a process of its own. Lines take turns, so that whatever else the machine does meets
all of them; the median counts. `ratio` is that to `python -c pass`, which the same machine takes at
the same time; `cpu` are seconds of the processor, which others don't lengthen as much. The table
goes to stdout, the numbers to the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASE = "python -c pass"
OURS = "-m hf_select"
LINES: dict[str, tuple[str, int]] = {
    BASE: ("-c pass", 0),
    "import hf_select": ("-c import\\ hf_select", 0),
    "hf-select --help": (f"{OURS} --help", 0),
    "hf-select select --help": (f"{OURS} select --help", 0),
    "no such command": (f"{OURS} selct", 2),
    "no such option": (f"{OURS} select x.csv --bugdet 3", 2),
    "no such file": (f"{OURS} select nowhere.csv --results demo --out out", 2),
    "no such record": (f"{OURS} select data.csv --results nowhere --out out", 2),
    "no such policy": (f"{OURS} select data.csv --results demo --out out --policy luck", 2),
    "a budget that is no time": (f"{OURS} select data.csv -r demo -o out --budget soon", 2),
    "no such method of recall": (f"{OURS} recall data.csv --results demo --method luck", 2),
    "a page without a selection": (f"{OURS} report nowhere", 2),
    "a record that isn't there": (f"{OURS} cluster -r nowhere -t text-classification", 2),
    "settings with a wrong key": (f"{OURS} --config bad.yaml report nowhere", 2),
}
"""What is timed -> what Python is called with, and the exit code that it must end with."""
ALLOWED = {"hf-select --help": 0.3}
REFUSED = 1.0
"""Seconds that help may take, and any refusal."""


def words(text: str) -> list[str]:
    """The arguments, where `\\ ` is a space within one."""
    return [part.replace("\0", " ") for part in text.replace("\\ ", "\0").split(" ")]


def once(text: str, code: int, folder: Path) -> tuple[float, float]:
    """Seconds of one process, by the clock and of the processor; it must end as it should."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words(text)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    _, status, used = os.wait4(process.pid, 0)
    spent = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise SystemExit(f"{text}: exit code {process.returncode}, but it should be {code}")
    return spent, used.ru_utime + used.ru_stime


def measure(runs: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Seconds of every line, `runs` times, by turns; a first turn that fills caches isn't kept."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in LINES}
    for turn in range(runs + 1):
        for name, (text, code) in LINES.items():
            spent = once(text, code, folder)
            if turn:
                seconds[name].append(spent)
    return seconds


def main() -> None:
    """Measure, show a table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/startup.json"))
    given = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data.csv").write_text("text,label\na,x\nb,y\n", encoding="utf-8")
        (folder / "bad.yaml").write_text("selct: {}\n", encoding="utf-8")
        seconds = measure(given.runs, folder)
    medians = {name: statistics.median(s for s, _ in spent) for name, spent in seconds.items()}
    rows = {
        name: {
            "median": round(medians[name], 4),
            "fastest": round(min(s for s, _ in spent), 4),
            "slowest": round(max(s for s, _ in spent), 4),
            "cpu": round(statistics.median(c for _, c in spent), 4),
            "ratio": round(medians[name] / medians[BASE], 2),
        }
        for name, spent in seconds.items()
    }
    print(f"median of {given.runs}, load {load:.1f} on {os.cpu_count()} cores\n")
    print(f"| {'':26} | seconds | fastest |   cpu | x python |")
    print(f"|{'-' * 28}|--------:|--------:|------:|---------:|")
    for name, row in rows.items():
        told = f"{row['median']:7.3f} | {row['fastest']:7.3f} | {row['cpu']:5.2f}"
        print(f"| {name:26} | {told} | {row['ratio']:8.1f} |")
    slow = [
        name
        for name, (_, code) in LINES.items()
        if medians[name] > (ALLOWED.get(name) or (REFUSED if code == 2 else float("inf")))
    ]
    print(f"\ntoo slow: {', '.join(slow)}" if slow else "\nall within 0.3 s (help) and 1 s")
    document = {
        "runs": given.runs,
        "load": load,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "lines": rows,
        "too_slow": slow,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
