"""Inside a job on the Hub: runs the cells that it was given, and publishes them as they come.

`python -m hf_select.pipeline.in_job` reads what to do from the variable `HF_SELECT_JOB`. The job's
disk goes with it, so what is finished is sent to the results dataset soon after, and nothing else
needs to be kept. What the dataset has already isn't run again.
"""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError, MissingError, StoppedError
from hf_select.records import DatasetEntry, ModelEntry, Recipe, RunKey, digest
from hf_select.redaction import redact

if TYPE_CHECKING:
    from hf_select.hub.client import Hub
    from hf_select.training.benchmark import BenchmarkEvent

VARIABLE = "HF_SELECT_JOB"
LIMIT = 100 * 1000
"""Characters of that variable. Linux gives no process a longer one than 128 KiB."""
FORMAT = 1
PUBLISH_EVERY = 60.0
"""Seconds between two commits of a job, at least: each reads the record anew."""


@dataclass(frozen=True)
class Spec:
    """What a job has to do. Cells and pairs name models and data sets by their place.

    `cells` are (model, data set, seed), `pairs` (model, data set); `timeout` is that of a cell.
    """

    to: str
    models: tuple[ModelEntry, ...]
    datasets: tuple[DatasetEntry, ...]
    recipe: Recipe
    cells: tuple[tuple[int, int, int], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    proxies: tuple[str, ...] | None = None
    proxy_rows: int | None = None
    timeout: float | None = None
    retry_failed: bool = False
    private: bool = False
    accept_new_recipes: bool = False
    publish_every: float = PUBLISH_EVERY

    @property
    def catalog(self) -> Catalog:
        """Models and data, all of them on the Hub."""
        return Catalog(self.models, self.datasets)

    def cell_ids(self) -> list[str]:
        """The ids of the cells' keys, in order."""
        recipe, found = self.recipe.digest(), []
        for i, j, seed in self.cells:
            model, data = self.models[i], self.datasets[j]
            key = RunKey(
                model=model.repo_id,
                model_revision=model.revision,
                dataset=data.repo_id,
                dataset_revision=data.revision,
                config=data.config,
                recipe=recipe,
                seed=seed,
            )
            found.append(key.id)
        return found

    def pair_ids(self) -> list[str]:
        """The ids of the pairs, in order."""
        from hf_select.training.scoring import Pair

        return [Pair(self.models[i], self.datasets[j], ()).id for i, j in self.pairs]

    def work_id(self) -> str:
        """16 hex digits: the same for the same cells and pairs."""
        return digest([sorted(self.cell_ids()), sorted(self.pair_ids())], 16)

    def encode(self) -> str:
        """A text for an environment variable; `InputError` if it is too long for one."""
        values = {
            **vars(self),
            "models": [_row(entry) for entry in self.models],
            "datasets": [_row(entry) for entry in self.datasets],
            "recipe": self.recipe.to_dict(),
            "format": FORMAT,
        }
        data = json.dumps(values, separators=(",", ":")).encode()
        text = base64.b64encode(zlib.compress(data, 9)).decode()
        if len(text) > LIMIT:
            raise InputError(
                f"{len(self.cells)} cells are too many for one job: what it has to do takes "
                f"{len(text) // 1000} KB, of {LIMIT // 1000}",
                hint="set the option cells_per_job to less",
            )
        return text

    @classmethod
    def decode(cls, text: str) -> Spec:
        """The inverse of `encode`; `InputError` for what is none, or of another version."""
        try:
            values: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            values["models"] = tuple(ModelEntry(**_tuples(row)) for row in values["models"])
            values["datasets"] = tuple(DatasetEntry(**_tuples(row)) for row in values["datasets"])
            values["recipe"] = Recipe.from_dict(values["recipe"])
            values["cells"] = tuple((i, j, seed) for i, j, seed in values["cells"])
            values["pairs"] = tuple((i, j) for i, j in values["pairs"])
            if values["proxies"] is not None:
                values["proxies"] = tuple(values["proxies"])
            return cls(**values)
        except (ValueError, KeyError, TypeError, zlib.error, HfSelectError) as error:
            raise InputError(
                f"{VARIABLE} holds no work of this version of hf-select: {error!r}"
            ) from error


def _row(entry: ModelEntry | DatasetEntry) -> dict[str, Any]:
    """An entry less what it doesn't say (NaN isn't JSON)."""
    return {name: value for name, value in asdict(entry).items() if value == value}


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}


# ------------------------------------------------------------------------------- publishing


class Publisher:
    """Sends the record's new rows to the Hub, in a thread of its own: so training doesn't wait.

    After `note()` it is soon done, but no two commits are less than `every` seconds apart. What
    can't be sent is tried again. `close()` sends the rest and raises what goes wrong then.
    """

    def __init__(self, send: Callable[[], None], every: float, say: Callable[[str], None]) -> None:
        self._send, self._every, self._say = send, every, say
        self._new, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def note(self) -> None:
        """There is something new."""
        self._new.set()

    def close(self) -> None:
        """Send what hasn't been, and end."""
        self._closed.set()
        self._new.set()
        self._thread.join()
        self._send()

    def _run(self) -> None:
        while True:
            self._new.wait()
            if self._closed.is_set():
                return
            self._new.clear()
            try:
                self._send()
            except HfSelectError as error:
                self._say(f"not published yet: {error.message}")
                self._new.set()
            if self._closed.wait(self._every):
                return


def _publish(hub: Hub, folder: Path, spec: Spec, say: Callable[[str], None]) -> None:
    """Send the folder's rows that the dataset lacks; `InputError` if it doesn't take some."""
    from hf_select.hub.record.publish import publish
    from hf_select.pipeline.base import Grouping
    from hf_select.results.repo import ResultsRepo

    sent = publish(
        hub,
        ResultsRepo.open(folder),
        spec.to,
        private=spec.private,
        accept_new_recipes=spec.accept_new_recipes,
        cluster=Grouping(),
    )
    if sent.rows:
        rows = ", ".join(f"{number} {kind}" for kind, number in sent.rows.items())
        say(f"published to {spec.to}: {rows}")
    left = [one.reason for one in sent.refused]
    left += [f"{one.kind} {one.name} isn't on the Hub" for one in sent.local]
    if left:
        raise InputError(f"{spec.to} doesn't take {len(left)} rows: {left[0]}")


# ------------------------------------------------------------------------------------ the job


def run(spec: Spec, folder: Path, hub: Hub, say: Callable[[str], None]) -> int:
    """Do it all in that folder; how many cells and pairs were left undone.

    Raises `StoppedError` after a SIGTERM, with what is done published.
    """
    from hf_select.hub.record.pull import pull
    from hf_select.locations import fetch
    from hf_select.results.repo import ResultsRepo
    from hf_select.training.benchmark import run_benchmark
    from hf_select.training.scoring import run_scoring

    try:
        pull(hub, spec.to, folder)
    except MissingError as error:
        if error.missing != "repository":
            raise
    repo = ResultsRepo.open_or_create(folder)
    publisher = Publisher(lambda: _publish(hub, folder, spec, say), spec.publish_every, say)

    def on_event(event: BenchmarkEvent) -> None:
        if event.kind in ("done", "failed", "scored", "unscored", "undone"):
            what = "" if event.seed is None else f", seed {event.seed}"
            say(f"{event.kind}: {event.model} on {event.dataset}{what} {event.reason}")
            publisher.note()

    try:
        done = run_benchmark(
            spec.catalog,
            repo,
            spec.recipe,
            seeds=sorted({seed for _, _, seed in spec.cells}) or (0,),
            only=spec.cell_ids(),
            timeout=spec.timeout,
            retry_failed=spec.retry_failed,
            checkpoint_every=math.inf,  # nobody would find it
            fetch=fetch,
            on_event=on_event,
        )
        scored = run_scoring(
            spec.catalog,
            repo,
            spec.proxies,
            only=frozenset(spec.pair_ids()),
            rows=spec.proxy_rows,
            max_length=spec.recipe.max_length,
            timeout=spec.timeout,
            retry_failed=spec.retry_failed,
            without={(event.model, event.dataset) for event in done.undone},
            fetch=fetch,
            on_event=on_event,
        )
        return len(done.undone) + len(scored.undone)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to stop but this
        publisher.close()


def main() -> int:
    """The job itself; its exit code is 0 if everything was run."""
    from hf_select.hub.client import Hub

    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(redact(text).rstrip() + "\n")
        sys.stdout.flush()

    def stop(*_: object) -> None:
        raise StoppedError("stopped by SIGTERM")

    signal.signal(signal.SIGTERM, stop)
    try:
        spec = Spec.decode(os.environ.pop(VARIABLE, ""))
        say(f"{len(spec.cells)} cells and {len(spec.pairs)} looks for {spec.to}")
        with tempfile.TemporaryDirectory(prefix="hf-select-") as name:
            undone = run(spec, Path(name) / "record", Hub(), say)
    except HfSelectError as error:
        say(f"{type(error).__name__}: {error.message}")
        return error.exit_code
    if undone:
        say(f"{undone} were left undone")
        return 1
    say(f"all is done and published, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
