"""What happens to the cells of a benchmark: events, a JSON line each, appended by every process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_select.records import NAN
from hf_select.training.cells import Cell
from hf_select.training.throughput import Totals


@dataclass(frozen=True)
class BenchmarkEvent:
    """Something that happened to a cell, or to a pair of model and data set that is scored.

    kind: `start` (epoch > 0: resumed there), `point` (epoch, val, val_loss, train_loss, and the
    memory of a GPU that it took at most, in bytes), `stopped` (epoch), and at the end `done`
    (test), `failed` (status, reason) or `undone` (reason: the Hub can't be reached). `throughput`
    of the first two: how fast it was trained, where that is known. Of a pair, which has no seed:
    `look`, then `scored` (seconds), `unscored` (reason) or `undone`.
    """

    kind: str
    key: str
    model: str
    dataset: str
    seed: int | None = None
    epoch: float = NAN
    val: float = NAN
    val_loss: float = NAN
    train_loss: float = NAN
    memory: float = NAN
    test: float = NAN
    status: str = ""
    reason: str = ""
    seconds: float = NAN
    time: float = 0.0  # since 1970
    throughput: Totals | None = None

    def to_json(self) -> str:
        """One line; fields that say nothing are left out."""
        said = {k: v for k, v in asdict(self).items() if v == v and v not in ("", None)}
        return json.dumps(said)

    @classmethod
    def from_json(cls, line: str) -> BenchmarkEvent:
        """The inverse of `to_json`. Fields of another version are left out.

        Raises `ValueError` or `TypeError` for what is no event.
        """
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError(f"not an event: {line!r}")
        values = {name: v for name, v in values.items() if name in cls.__dataclass_fields__}
        values["throughput"] = Totals.from_dict(values.get("throughput"))
        return cls(**values)


OnEvent = Callable[[BenchmarkEvent], None]


def cell_event(cell: Cell, kind: str, **values: Any) -> BenchmarkEvent:
    """Something that has happened to a cell, now."""
    return BenchmarkEvent(
        kind=kind,
        key=cell.key.id,
        model=cell.model.repo_id,
        dataset=cell.dataset.repo_id,
        seed=cell.seed,
        time=round(time.time(), 3),
        **values,
    )


def log_event(work: Path, event: BenchmarkEvent) -> None:
    """Append one line in one write, so that lines of several processes don't mix."""
    handle = os.open(work / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, (event.to_json() + "\n").encode())
    finally:
        os.close(handle)


class EventTail:
    """The events that any process logs from now on."""

    def __init__(self, work: Path) -> None:
        self._path = work / "events.jsonl"
        self._read_to = self._path.stat().st_size if self._path.exists() else 0

    def read(self) -> list[BenchmarkEvent]:
        """Those that were logged since the last time."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read_to += len(whole)
        found = []
        for line in whole.split(b"\n"):
            with suppress(ValueError, TypeError):  # machines that append at once may mix theirs
                found.append(BenchmarkEvent.from_json(line.decode()))
        return found
