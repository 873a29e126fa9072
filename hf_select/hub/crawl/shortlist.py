"""Candidates, the most downloaded first -> as many as asked for, each looked at more closely.

Only here are single models asked for. A model is looked at when nothing that is known already
could reject it, so none is looked at in vain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hf_select.errors import StoppedError
from hf_select.hub.crawl.candidates import Verdict
from hf_select.hub.crawl.facts import Facts
from hf_select.progress import stage

WORKERS = 4


class Candidate(NamedTuple):
    """What ranks a model, and groups it; `row` says where the rest is. Small: there are many."""

    row: int
    id: str
    commit: str
    downloads: int
    created: str
    base_models: tuple[str, ...]
    trained_datasets: tuple[str, ...]

    @property
    def family(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Its bases and training sets; None for a model that names no base."""
        if not self.base_models:
            return None
        return tuple(sorted(self.base_models)), tuple(sorted(self.trained_datasets))


@dataclass(frozen=True)
class Finding:
    """What a closer look at a model has shown. `reason`: a code of `REASONS`, "" if it is fine.

    `facts` are newer ones than the row's, where they were asked for.
    """

    reason: str = ""
    detail: str = ""
    security: str = ""
    weights_sha256: str = ""
    num_parameters: int = 0
    facts: Facts | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `Finding.from_dict` reads them back."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "facts": self.facts and list(self.facts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The inverse of `to_dict`."""
        facts = values.get("facts")
        return cls(**{**values, "facts": Facts(*facts) if facts else None})


def shortlist(
    candidates: Iterable[Candidate],
    *,
    limit: int,
    max_per_base: int,
    look: Callable[[Candidate], Finding],
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
    workers: int = WORKERS,
) -> dict[int, Verdict]:
    """Row -> what became of it, for every candidate. 0 as `limit` or `max_per_base`: no bound.

    Of models with the same weights the one with most downloads is kept, of those with equally many
    the oldest. `look` is called from several threads; what it raises goes through.
    """
    ranked = sorted(candidates, key=lambda c: (-c.downloads, c.created, c.id))
    families: Counter[Any] = Counter()
    owners: dict[str, str] = {}
    verdicts: dict[int, Verdict] = {}
    room = limit or len(ranked)
    at = looked = taken = 0
    bar = stage("looking at candidates", total=room, unit="accepted")
    with ThreadPoolExecutor(workers) as pool, bar as progress:
        while at < len(ranked) and room:
            if should_stop():
                raise StoppedError(
                    "stopped while looking at candidates", hint="the same command goes on"
                )
            step = _independent(ranked[at : at + min(room, 2 * workers)], families, max_per_base)
            at += len(step)
            open_ones = [c for c in step if not _is_full(c, families, max_per_base)]
            found = dict(zip(open_ones, pool.map(look, open_ones), strict=True))
            for candidate in step:
                finding = found.get(candidate)
                verdict = _judge(candidate, finding, owners)
                verdicts[candidate.row] = verdict
                if not verdict.reason:
                    room -= 1
                    taken += 1
                    families[candidate.family] += 1
                    if verdict.weights_sha256:
                        owners[verdict.weights_sha256] = candidate.id
            looked += len(open_ones)
            progress.reach(taken, detail=f"{looked} looked at")
            if open_ones:
                say(f"{looked} looked at more closely, {taken} accepted")
    return verdicts | dict.fromkeys((c.row for c in ranked[at:]), Verdict("over_limit"))


def _is_full(candidate: Candidate, families: Counter[Any], most: int) -> bool:
    return bool(most) and candidate.family is not None and families[candidate.family] >= most


def _independent(step: list[Candidate], families: Counter[Any], most: int) -> list[Candidate]:
    """The front part whose fates don't hang on each other: no family can be filled within it."""
    waiting: Counter[Any] = Counter()
    for i, candidate in enumerate(step):
        if _is_full(candidate, families, most):
            continue
        waiting[candidate.family] += 1
        if (
            most
            and candidate.family
            and families[candidate.family] + waiting[candidate.family] > most
        ):
            return step[:i]
    return step


def _judge(candidate: Candidate, finding: Finding | None, owners: Mapping[str, str]) -> Verdict:
    if finding is None:
        return Verdict("family_full")
    verdict = Verdict(
        reason=finding.reason,
        detail=finding.detail,
        inspected=True,
        security=finding.security,
        weights_sha256=finding.weights_sha256,
        num_parameters=finding.num_parameters,
        facts=finding.facts,
    )
    twin = owners.get(finding.weights_sha256) if finding.weights_sha256 else None
    if twin is None or verdict.reason:
        return verdict
    return replace(verdict, reason="same_weights", detail=f"as {twin}")
