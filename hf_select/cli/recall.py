"""`hf-select recall`: phase one."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count, params

if TYPE_CHECKING:
    from hf_select.pipeline.recalling import Recalled
    from hf_select.records import Candidate, RecallResult

REASONS = 3
"""Candidates of which the terminal says why they were recalled; `--json` says it of all."""


@click.command("recall", epilog="Example: hf-select recall reviews.csv --results demo --top 5")
@click.argument("target")
@options.results
@options.recalling
@options.limits
@options.data
@click.option("--seed", default=0, show_default=True, help="Seed of the row sample.")
@options.common
def command(target: str, results: str, output: Output, **kwargs: Any) -> None:
    """Rank the models of a record for TARGET and show the evidence; nothing is trained."""
    from hf_select import pipeline
    from hf_select.report.document import exclusions, judgement

    data_options = options.take(kwargs, options.DATA_OPTIONS)
    recalled = pipeline.recall(target, results, say=output.message, **data_options, **kwargs)
    found = recalled.result
    document = {
        "target": found.target,
        "task": found.task,
        "method": found.method,
        "candidates": [
            {
                "model": c.model,
                "revision": c.revision,
                "num_parameters": recalled.entries[c.model].num_parameters or None,
                "license": recalled.entries[c.model].license or None,
                "predicted": c.predicted,
                "spread": c.spread,
                "prior": c.prior,
                "score": c.score,
                "proxies": dict(c.proxies),
                "deviation": c.deviation,
                "p_best": c.p_best,
                "evidence": dict(c.evidence),
                "cluster": c.cluster,
                "mates": list(c.mates),
                "tuned_on_target": recalled.tuned.get(c.model),
                "reason": c.reason,
            }
            for c in found.candidates
        ],
        **judgement(found),
        "limits": recalled.limits.to_dict(),
        "excluded": exclusions(recalled.excluded),
        "skipped": [{"model": bad.repo_id, "reason": bad.reason} for bad in found.skipped],
        "seconds": found.seconds,
        "record": asdict(recalled.record),
    }

    def show(out: Output) -> None:
        show_recall(out, recalled)

    for bad in found.skipped:
        output.warning(f"skipped {bad.repo_id}: {bad.reason}")
    output.data(document, show)


def show_recall(out: Output, recalled: Recalled) -> None:
    """The table, why the first ones are there, and what the recall says of the target."""
    found, entries = recalled.result, recalled.entries
    forecast = found.method == "hybrid"
    licenses = {(entries[c.model].license or "-") for c in found.candidates}
    known = len(licenses) > 1  # of one that all have, a line says as much
    out.table(
        f"{found.target}: {found.task}; {len(found.candidates)} of "
        f"{count(len(recalled.considered), 'model')} in {found.seconds:.1f} s",
        [
            *("rank", "model", *(("skill", "P(best)") if forecast else ("score", "prior"))),
            *("size", *(["licence"] if known else []), "cluster"),
        ],
        [
            (
                rank,
                c.model,
                *((_skill(c), f"{100 * c.p_best:.0f} %") if forecast else (c.score, c.prior)),
                params(entries[c.model].num_parameters),
                *([entries[c.model].license or "-"] if known else []),
                c.cluster if c.cluster >= 0 else None,
            )
            for rank, c in enumerate(found.candidates, 1)
        ],
        wrap="model",
        right=("P(best)", "size", "skill"),
    )
    if recalled.excluded:
        out.line(f"{count(len(recalled.excluded), 'more model')} ruled out by the limits")
    if not known and licenses != {"-"}:
        out.line(f"licence of all: {licenses.pop()}")
    for name, sentence in recalled.tuned.items():
        out.line(f"note: {name}: {sentence}", style="yellow")
    out.line("why:")
    for rank, c in enumerate(found.candidates[:REASONS], 1):
        out.line(f"  {rank}: {c.reason}")
    for line in recall_words(found):
        out.line(line)


def _skill(candidate: Candidate) -> str:
    """What is expected of a candidate, with its deviation from the others where there is one."""
    text = f"{candidate.predicted:.3f}"
    if math.isnan(candidate.deviation):
        return text
    return f"{text} ± {candidate.deviation:.3f}"


def recall_words(found: RecallResult) -> list[str]:
    """What a recall says of the target and of itself, in sentences."""
    lines = []
    if found.nearest_benchmarks:
        near = ", ".join(f"{name} ({alike:.2f})" for name, alike in found.nearest_benchmarks[:3])
        lines.append(f"Nearest benchmarks, by how models look on them: {near}")
    if found.novelty is not None and found.novelty.novel:
        lines.append(f"The target is unlike the benchmarks of the record: {found.novelty.why}")
        lines.append(f"Because of that, {found.novelty.changed}")
    if found.method == "hybrid":
        first = found.candidates[0]
        lines.append(
            "Skill: 0 is the majority class or the mean, 1 is perfect. In brackets what each piece "
            "of evidence adds to that of the average model, ± against the other models"
        )
        if not math.isnan(first.spread):  # known from one benchmark, it has none
            level = math.sqrt(max(0.0, first.spread**2 - first.deviation**2))
            lines[-1] += f"; the level that all share is known to ±{level:.2f}"
        lines.append("In the order in which each adds most to the best that is expected of them")
        lines.append(f"Chance that the best model is not among these: {found.outside:.0%}")
    return lines
