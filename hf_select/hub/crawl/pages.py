"""The pages of a crawl as one table: no model twice, candidates ranked, written at the end.

The pages are read twice, once to decide and once to write, so that never more than a page and one
small tuple a candidate are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_select.hub.crawl.candidates import PAGE_SCHEMA, Verdict, judged, write_candidates
from hf_select.hub.crawl.lineage import Parent
from hf_select.hub.crawl.shortlist import Candidate, Finding

BESIDE_OTHERS = frozenset(["family_full", "same_weights", "over_limit"])
"""Reasons that lie in the models beside it: with other models they may not hold."""

_PAST = ["id", "commit", "previous_commit", "reason", "detail", "security", "weights_sha256"]
_PAST += ["num_parameters", "inspected"]


@dataclass(frozen=True)
class Past:
    """What an earlier crawl has found out about a model at a commit."""

    commit: str
    previous_commit: str
    finding: Finding

    def replaced_by(self, commit: str) -> str:
        """The commit that was pinned before that one."""
        return self.previous_commit if commit == self.commit else self.commit


def read_past(tables: Iterable[pa.Table]) -> dict[str, Past]:
    """Model -> what is known of it, from the rows of `candidates.parquet` that were inspected."""
    past: dict[str, Past] = {}
    for table in tables:
        for row in table.filter(table["inspected"]).select(_PAST).to_pylist():
            own = row["reason"] not in BESIDE_OTHERS
            finding = Finding(
                reason=row["reason"] if own else "",
                detail=row["detail"] if own and row["reason"] else "",
                security=row["security"],
                weights_sha256=row["weights_sha256"],
                num_parameters=row["num_parameters"],
            )
            past[row["id"]] = Past(row["commit"], row["previous_commit"], finding)
    return past


def as_pages(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Rows of `candidates.parquet` as pages: what hung on other models is open again."""
    for table in tables:
        again = pc.or_(
            table["inspected"], pc.is_in(table["reason"], pa.array(sorted(BESIDE_OTHERS)))
        )
        place = table.schema.get_field_index("reason")
        table = table.set_column(place, "reason", pc.if_else(again, "", table["reason"]))
        yield table.select(PAGE_SCHEMA.names).cast(PAGE_SCHEMA)


class Pages:
    """The rows of pages. Of several rows of one model the first one counts.

    `pages` gives the pages afresh at each call, tables of `PAGE_SCHEMA`. `verdicts` are known of
    rows that are no candidates any more, but were in the past; `changed` counts the models of the
    past that have another commit now.
    """

    def __init__(
        self, pages: Callable[[], Iterator[pa.Table]], past: Mapping[str, Past] | None = None
    ) -> None:
        self._pages = pages
        self._kept: list[np.ndarray | None] = []
        self.candidates: list[Candidate] = []
        self.verdicts: dict[int, Verdict] = {}
        self.newest = ""
        self.changed = 0
        self._families: dict[tuple, tuple] = {}
        self._read(past or {})

    def _read(self, past: Mapping[str, Past]) -> None:
        seen: set[str] = set()
        first = 0
        for table in self._pages():
            ids = table["id"].to_pylist()
            before = len(seen)
            kept = None
            if not (seen.isdisjoint(ids) and len(set(ids)) == len(ids)):
                kept = np.zeros(len(ids), dtype=bool)
                for i, name in enumerate(ids):
                    kept[i] = name not in seen
                    seen.add(name)
                table = table.filter(pa.array(kept))
            else:
                seen.update(ids)
            self._kept.append(kept)
            self._take(table, first, past)
            first += len(seen) - before
            self.newest = max(self.newest, pc.max(table["modified"]).as_py() or "")
        self.rows = first

    def _take(self, table: pa.Table, first: int, past: Mapping[str, Past]) -> None:
        """The candidates of a page, and what became of those that once were."""
        places = np.flatnonzero(pc.equal(table["reason"], "").to_numpy(zero_copy_only=False))
        part = table.take(pa.array(places)) if len(places) else table.slice(0, 0)
        names = ("id", "commit", "downloads", "created", "base_models", "trained_datasets")
        for place, name, commit, downloads, created, bases, datasets in zip(
            places, *(part[column].to_pylist() for column in names), strict=True
        ):
            family = (tuple(bases), tuple(datasets))
            bases, datasets = self._families.setdefault(family, family)  # many share one
            self.candidates.append(
                Candidate(first + int(place), name, commit, downloads, created, bases, datasets)
            )
        if not past:
            return
        for place, (name, commit, reason) in enumerate(
            zip(*(table[c].to_pylist() for c in ("id", "commit", "reason")), strict=True)
        ):
            if name not in past:
                continue
            self.changed += commit != past[name].commit
            if reason:
                self.verdicts[first + place] = Verdict(
                    reason, previous_commit=past[name].replaced_by(commit)
                )

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """The number of the first row, and the rows of each page that count."""
        first = 0
        for kept, table in zip(self._kept, self._pages(), strict=True):
            if kept is not None:
                table = table.filter(pa.array(kept))
            yield first, table
            first += len(table)

    def parents(self, names: Collection[str]) -> dict[str, Parent]:
        """Licence and bases of those of the models that are here."""
        wanted = pa.array(sorted(names), pa.string())
        found: dict[str, Parent] = {}
        for _, table in self.tables():
            part = table.select(["id", "license", "base_models"])
            for row in part.filter(pc.is_in(part["id"], wanted)).to_pylist():
                found[row["id"]] = Parent(row["license"], tuple(row["base_models"]))
        return found

    def rows_of(self, numbers: Collection[int]) -> Iterator[tuple[int, dict]]:
        """The facts of some rows, with their numbers."""
        for first, table in self.tables():
            here = sorted(n - first for n in numbers if first <= n < first + len(table))
            if here:
                yield from zip(
                    (first + i for i in here), table.take(pa.array(here)).to_pylist(), strict=True
                )

    def write(
        self,
        path: Path,
        task: str,
        verdicts: Mapping[int, Verdict],
        *,
        others: Iterable[pa.Table] = (),
    ) -> int:
        """Write `candidates.parquet`: the rows of other tasks, then these. Returns how many."""
        known = {**self.verdicts, **verdicts}
        own = (judged(table, task, first, known) for first, table in self.tables())
        return write_candidates(path, chain(others, own))


def with_past(verdict: Verdict, candidate: Candidate, past: Mapping[str, Past]) -> Verdict:
    """A verdict that names the commit which was pinned before."""
    if candidate.id not in past:
        return verdict
    commit = verdict.facts.commit if verdict.facts else candidate.commit
    return replace(verdict, previous_commit=past[candidate.id].replaced_by(commit))
