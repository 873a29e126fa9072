"""From the saved pages of a crawl to the catalog: shortlist, lineage, and the two files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_select.catalog import Catalog
from hf_select.errors import StoppedError
from hf_select.hub.client import Hub
from hf_select.hub.crawl.candidates import FILE, Verdict, count_reasons, read_candidates
from hf_select.hub.crawl.decide import Loadable, decide, size_reason
from hf_select.hub.crawl.facts import Facts, parse
from hf_select.hub.crawl.inspection import look_closer
from hf_select.hub.crawl.lineage import Parent, find_ancestors, license_claim, line_of
from hf_select.hub.crawl.listing import ask
from hf_select.hub.crawl.pages import Pages, as_pages, read_past, with_past
from hf_select.hub.crawl.shortlist import Candidate, Finding, shortlist
from hf_select.hub.crawl.state import CrawlState, Plan
from hf_select.records import ModelEntry, Rejected

FREER = "licence_freer_than_base"
"""The flag of a model whose licence lacks a condition that an ancestor's sets."""


class CatalogBuilder:
    """Makes the catalog of one crawl whose pages are all there."""

    def __init__(
        self,
        hub: Hub,
        state: CrawlState,
        plan: Plan,
        *,
        loadable: Callable[[], Loadable],
        should_stop: Callable[[], bool],
    ) -> None:
        self.hub, self.state, self.plan = hub, state, plan
        self.loadable, self.should_stop = loadable, should_stop
        self.task = plan.query.task
        self.past = read_past(self._before())
        self._known = state.answers("findings")
        self._saving = threading.Lock()

    def _before(self) -> Iterator[pa.Table]:
        return read_candidates(self.state.catalog, task=self.task)

    def _pages(self) -> Iterator[pa.Table]:
        yield from self.state.pages()
        if self.plan.since or self.plan.done:
            yield from as_pages(self._before())

    def build(self, limit: int, max_per_base: int, say: Callable[[str], None]) -> int:
        """Write both files, and that the crawl is done. Returns how many models have changed."""
        pages = Pages(self._pages, self.past)
        say(f"{len(pages.candidates)} of {pages.rows} models are candidates")
        verdicts = shortlist(
            pages.candidates,
            limit=limit,
            max_per_base=max_per_base,
            look=self._look,
            should_stop=self.should_stop,
            say=say,
        )
        for candidate in pages.candidates:
            if candidate.id in self.past:
                verdict = verdicts[candidate.row]
                verdicts[candidate.row] = with_past(verdict, candidate, self.past)
        facts = self._facts(pages, verdicts)
        verdicts = {**pages.verdicts, **verdicts, **self._with_lineage(pages, facts, verdicts)}
        others = read_candidates(self.state.catalog)
        pages.write(
            self.state.catalog / FILE,
            self.task,
            verdicts,
            others=(t.filter(pc.not_equal(t["task"], self.task)) for t in others),
        )
        self._write_catalog(facts, verdicts)
        newest = min(pages.newest or self.plan.started, self.plan.started)
        self.state.finish(self.plan, max(newest, self.plan.newest, self.plan.since))
        return pages.changed

    # ------------------------------------------------------------------------ closer looks

    def _look(self, candidate: Candidate) -> Finding:
        """What is known of a candidate at its commit, or what the Hub says; asked once."""
        past = self.past.get(candidate.id)
        if past is not None and past.commit == candidate.commit:
            return past.finding
        key = f"{candidate.id}@{candidate.commit}"
        if key in self._known:
            return Finding.from_dict(self._known[key])
        finding = self._ask(candidate)
        with self._saving:
            self.state.add_answer("findings", key, finding.to_dict())
        return finding

    def _ask(self, candidate: Candidate) -> Finding:
        query = self.plan.query
        facts = None
        commit = candidate.commit
        if query.source == "hub-stats":
            row = ask(self.hub, candidate.id)
            if isinstance(row, str):
                return Finding(row)
            facts = parse(row, query.languages)
            commit = facts.commit
            decision = decide(facts, replace(query, source="api"), self.loadable())
            if isinstance(decision, Rejected):
                return Finding(decision.reason, facts=facts)
        finding = look_closer(self.hub, candidate.id, commit, task=self.task)
        reason = finding.reason or size_reason(finding.num_parameters, query)
        return replace(finding, reason=reason, facts=facts)

    # ---------------------------------------------------------------------------- lineage

    def _facts(self, pages: Pages, verdicts: Mapping[int, Verdict]) -> dict[int, Facts]:
        """The facts of the accepted rows, newer ones where they were asked for."""
        accepted = {row for row, verdict in verdicts.items() if not verdict.reason}
        found = {}
        for row, values in pages.rows_of(accepted):
            verdict = verdicts[row]
            facts = verdict.facts or Facts(*(values[name] for name in Facts._fields))
            found[row] = facts._replace(
                num_parameters=verdict.num_parameters or facts.num_parameters
            )
        return found

    def _with_lineage(
        self, pages: Pages, facts: Mapping[int, Facts], verdicts: Mapping[int, Verdict]
    ) -> dict[int, Verdict]:
        """The accepted models' verdicts with their ancestors, and a flag for too free a licence."""
        asked = self.state.answers("ancestors")

        def look_up(names: Collection[str]) -> dict[str, Parent]:
            found = pages.parents(names)
            for name in names:
                if name not in found:
                    found[name] = self._ask_parent(name, asked)
            return found

        parents = find_ancestors((base for f in facts.values() for base in f.base_models), look_up)
        done = {}
        for row, known in facts.items():
            line = line_of(known.base_models, parents)
            claim = license_claim(known.license, line, parents)
            done[row] = replace(
                verdicts[row],
                ancestors=line,
                ancestor_licenses=tuple(parents[name].license for name in line),
                flags=(FREER,) if claim else (),
                detail=claim or verdicts[row].detail,
            )
        return done

    def _ask_parent(self, name: str, asked: dict[str, dict[str, Any]]) -> Parent:
        """What the Hub says of a base model that no page has; asked once."""
        if name not in asked:
            if self.should_stop():
                raise StoppedError("stopped at the ancestors", hint="the same command goes on")
            row = ask(self.hub, name)
            facts = parse({} if isinstance(row, str) else row)
            asked[name] = {"license": facts.license, "base_models": facts.base_models}
            self.state.add_answer("ancestors", name, asked[name])
        return Parent(asked[name]["license"], tuple(asked[name]["base_models"]))

    # ---------------------------------------------------------------------------- catalog

    def _write_catalog(self, facts: Mapping[int, Facts], verdicts: Mapping[int, Verdict]) -> None:
        """The accepted models into `catalog.json`, beside what else it holds."""
        path = self.state.catalog / "catalog.json"
        old = Catalog.load(path) if path.exists() else Catalog()
        entries = [
            entry_of(self.task, known, verdicts[row].weights_sha256) for row, known in facts.items()
        ]
        flags = {facts[row].id: verdicts[row].flags for row in facts if verdicts[row].flags}
        counts = count_reasons(
            read_candidates(self.state.catalog, task=self.task, columns=["reason"])
        )
        old.with_crawled(
            self.task,
            entries,
            gone=self.past,
            flags=flags,
            rejected_counts={code: n for code, n in counts.items() if code},
        ).save(path)


def entry_of(task: str, facts: Facts, weights_sha256: str) -> ModelEntry:
    """An accepted model as the catalog names it."""
    return ModelEntry(
        repo_id=facts.id,
        revision=facts.commit,
        task=task,
        architecture=facts.architecture or facts.model_type,
        num_parameters=facts.num_parameters,
        license=facts.license,
        languages=tuple(facts.languages),
        base_model=facts.base_models[0] if facts.base_models else None,
        relation=facts.relation or None,
        weights_sha256=weights_sha256 or None,
        trained_datasets=tuple(facts.trained_datasets),
    )
