"""Looking at models: one forward pass of each over train rows of a target serves every proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, ModelError, StoppedError
from hf_select.launched import place
from hf_select.locations import locate
from hf_select.pipeline.base import Say
from hf_select.progress import Stage, stage
from hf_select.records import TASK_KINDS, Features, ModelEntry, ProxyScores, Rejected

if TYPE_CHECKING:
    from hf_select.features import LastEncoding
    from hf_select.proxies import Scored
    from hf_select.tasks.data import TargetData


@dataclass(frozen=True, eq=False)
class Looked:
    """What was seen of models: a proxy score of each model by each proxy, and what it took.

    scores: proxy -> scores of all the models that were named, NaN for those `skipped`; their
    `seconds` are those of the passes, which all proxies share. pass_seconds: model -> seconds of
    its pass (of the first one, where features were cached). scoring_seconds: proxy -> what it would
    have taken alone on top; `spent`: seconds of passes and scores, what several scores share
    counted once. skipped: the models that couldn't be looked at, with the reason.
    """

    scores: Mapping[str, ProxyScores]
    pass_seconds: Mapping[str, float]
    scoring_seconds: Mapping[str, float]
    skipped: tuple[Rejected, ...]
    spent: float = 0.0


def look_at_models(
    names: Sequence[str],
    entries: Mapping[str, ModelEntry],
    catalog: Catalog,
    target: TargetData,
    *,
    proxies: Sequence[str],
    max_rows: int | None,
    max_length: int,
    seed: int,
    cache: Path | None,
    should_stop: Callable[[], bool],
    say: Say,
) -> Looked:
    """One forward pass per named model, then its scores by all `proxies`.

    No proxies named: LEEP or LogME, as the models' heads allow. Of models whose features are in
    `cache` nothing is loaded or fetched. Several GPUs share the models, each of which is loaded
    once, and so do launched processes, which all learn what was seen. A model that fails is
    reported and skipped, and it may be all of them. Raises `StoppedError` between two models.
    """
    from hf_select.proxies import score_all
    from hf_select.recall import proxy_choice

    kind = TASK_KINDS[target.task]
    look = _Look(
        entries, catalog, target, tuple(proxies), max_rows, max_length, seed=seed, cache=cache
    )
    found = _shared(names, look, should_stop, say)
    failed = ((name, found[name]) for name in names)
    skipped = tuple(Rejected(n, e.message) for n, e in failed if isinstance(e, HfSelectError))
    seen = {name: one for name, one in found.items() if isinstance(one, _Seen)}
    chosen = tuple(proxies) or (proxy_choice({n: s.has_head for n, s in seen.items()}, kind),)
    started = time.perf_counter()
    scored = {
        name: one.scored if one.features is None else score_all(chosen, one.features, kind)
        for name, one in seen.items()
    }
    scoring = time.perf_counter() - started + sum(one.scoring for one in seen.values())
    failures = {bad.repo_id: bad.reason for bad in skipped}
    seconds = {name: one.seconds for name, one in seen.items()}
    scores = {
        proxy: ProxyScores(
            proxy,
            tuple(names),
            np.array([scored[n][proxy].value if n in scored else np.nan for n in names]),
            {**failures, **{n: s[proxy].reason for n, s in scored.items() if s[proxy].reason}},
            float(sum(seconds.values())),
        )
        for proxy in chosen
    }
    own = {proxy: float(sum(s[proxy].seconds for s in scored.values())) for proxy in chosen}
    return Looked(scores, seconds, own, skipped, scoring + sum(seconds.values()))


def devices() -> tuple[str, ...]:
    """Where passes run: every GPU, else the CPU once (two passes would only share its cores).

    Of launched processes each has the GPU of its local rank.
    """
    import torch

    here = place()
    if here.world > 1 and not here.apart and torch.cuda.is_available():
        return (f"cuda:{here.local_rank}",)
    return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) or ("cpu",)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of a model: its scores, or its features where it isn't known yet by which."""

    has_head: bool
    seconds: float
    scoring: float
    scored: Mapping[str, Scored]
    features: Features | None


@dataclass(frozen=True, eq=False)
class _Look:
    """The pass of one model, wherever it comes from, and its scores."""

    entries: Mapping[str, ModelEntry]
    catalog: Catalog
    target: TargetData
    proxies: tuple[str, ...]
    max_rows: int | None
    max_length: int
    seed: int
    cache: Path | None
    encodings: dict[str, LastEncoding] = field(default_factory=dict)  # device -> of its last model

    def __call__(self, name: str, device: str, starting: Callable[[], None]) -> _Seen:
        """`starting` is called before a pass, not where its features are there already."""
        from hf_select.proxies import score_all

        features = self._kept(name)
        if features is None:
            starting()
            features = self._made(name, device)
        started = time.perf_counter()
        scored = score_all(self.proxies, features, TASK_KINDS[self.target.task])
        scoring = time.perf_counter() - started
        kept = None if self.proxies else features  # features of thousands of models fill the memory
        return _Seen(features.source_probs is not None, features.seconds, scoring, scored, kept)

    def _kept(self, name: str) -> Features | None:
        from hf_select.features import cached_features
        from hf_select.tasks import get_task

        if self.cache is None:
            return None
        return cached_features(
            get_task(self.target.task),
            self.target,
            cache=self.cache,
            key=self.entries[name].revision,
            max_rows=self.max_rows,
            max_length=self.max_length,
            seed=self.seed,
        )

    def _made(self, name: str, device: str) -> Features:
        from hf_select.features import LastEncoding, extract_features
        from hf_select.tasks import get_task

        self.encodings.setdefault(device, LastEncoding())
        return extract_features(
            get_task(self.target.task),
            locate(self.entries[name], self.catalog),
            self.target,
            max_rows=self.max_rows,
            max_length=self.max_length,
            seed=self.seed,
            device=device,
            cache=self.cache,
            key=self.entries[name].revision,
            encoding=self.encodings[device],
        )


def _shared(
    names: Sequence[str], look: _Look, should_stop: Callable[[], bool], say: Say
) -> dict[str, _Seen | HfSelectError]:
    """Name -> what was seen of it, or why nothing was; launched processes share the models."""
    here = place()
    if here.world == 1:
        return _by_devices(names, look, should_stop, say)
    from hf_select.training.agreement import exchanged

    found: dict[str, _Seen | HfSelectError] = {}
    stopped: tuple[str, str] | None = None
    try:
        found = _by_devices(names[here.rank :: here.world], look, should_stop, say)
    except StoppedError as error:
        stopped = error.message, error.hint
    reasons = {name: one.message for name, one in found.items() if isinstance(one, HfSelectError)}
    seen = {name: one for name, one in found.items() if isinstance(one, _Seen)}
    everything = exchanged((seen, reasons, stopped))
    for _, _, halt in everything:
        if halt is not None:
            raise StoppedError(halt[0], hint=halt[1])
    for others, failures, _ in everything:
        found |= others
        found |= {name: ModelError(reason) for name, reason in failures.items()}
    return found


def _by_devices(
    names: Sequence[str], look: _Look, should_stop: Callable[[], bool], say: Say
) -> dict[str, _Seen | HfSelectError]:
    """The same in this process; a thread a device takes the next model."""
    if not names:
        return {}
    with stage("looking at models", total=len(names), unit="models") as at:
        return _looked_at(names, look, should_stop, say, at)


def _looked_at(
    names: Sequence[str], look: _Look, should_stop: Callable[[], bool], say: Say, at: Stage
) -> dict[str, _Seen | HfSelectError]:
    waiting: SimpleQueue[tuple[int, str]] = SimpleQueue()
    for numbered in enumerate(names, 1):
        waiting.put(numbered)
    found: dict[str, _Seen | HfSelectError] = {}
    stopped = threading.Event()

    def starting(number: int, name: str) -> None:
        if not at.heard:
            say(f"proxy pass {number}/{len(names)}: {name}")
        if should_stop():
            raise StoppedError(
                f"stopped before the proxy pass of {name}", hint="the same command goes on"
            )

    def work(device: str) -> None:
        try:
            while not stopped.is_set():
                number, name = waiting.get_nowait()
                try:
                    found[name] = look(name, device, partial(starting, number, name))
                except StoppedError:
                    raise
                except HfSelectError as error:
                    found[name] = error
                at.advance(detail=name)
        except Empty:
            return
        except BaseException:
            stopped.set()  # the other devices end their models and take no more
            raise

    where = devices()
    if len(where) == 1:
        work(where[0])
        return found
    with ThreadPoolExecutor(len(where)) as pool:
        for done in [pool.submit(work, device) for device in where]:
            done.result()
    return found
