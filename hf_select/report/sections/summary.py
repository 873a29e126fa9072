"""The head of a record's page, and at its end how complete it is and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.document import score_text
from hf_select.report.markup import Sheet, bar, head, name, pairs
from hf_select.report.sections.provenance import recipe_rows
from hf_select.report.svg import esc
from hf_select.report.words import count, listed, seconds_text

MAX_ROWS = 60
"""Benchmarks whose coverage is listed, the most incomplete first."""


def summary(document: Mapping[str, Any], sheet: Sheet) -> str:
    """What the record is, in one sentence and a row of numbers."""
    tasks = document["tasks"]
    parts = [part["counts"] for part in tasks]
    kinds = [str(part["task"]).replace("-", " ") for part in tasks]
    label, long = str(document["name"]), ""
    if len(label) > 48:
        long = ' class="long"'
    total = {key: sum(counts[key] for counts in parts) for key in parts[0]}
    # One that was fine-tuned for several tasks is one model.
    total["models"] = document.get("models", total["models"])
    numbers = (
        (f"{total['models']:,}", "models"),
        (f"{total['datasets']:,}", "benchmarks"),
        (f"{total['runs']:,}", "fine-tunings"),
        (f"{100 * total['measured'] / max(1, total['cells']):.3g} %", "of all pairs measured"),
        (seconds_text(total["seconds"] or None), "of training"),
    )
    cells = "".join(f"<div><dt>{esc(what)}</dt><dd>{esc(n)}</dd></div>" for n, what in numbers)
    words = (
        f"{count(total['models'], 'model')} fine-tuned on "
        f"{count(total['datasets'], 'benchmark')} of {listed(kinds)}: what each learned, which of "
        "them behave alike, and what it would have cost to choose among them."
    )
    return (
        '<header>\n<p class="kicker">A record of fine-tunings</p>\n'
        f"<h1{long}>The record <em>{name(label)}</em></h1>\n"
        f'<p class="standfirst">{esc(words)}</p>\n<dl class="numbers">{cells}</dl>\n'
        f"{_origin_line(document)}</header>\n"
    )


def _origin_line(document: Mapping[str, Any]) -> str:
    said = []
    if document.get("repo"):
        at = (
            f" at commit {name(str(document['revision'])[:12])}" if document.get("revision") else ""
        )
        said.append(f"Read from {name(document['repo'])}{at} on the Hub.")
    if document.get("newest"):
        said.append(f"The newest run is of {esc(str(document['newest'])[:10])}.")
    if document.get("version"):
        said.append(f"Drawn by hf-select {esc(document['version'])}.")
    return f'<p class="note about">{" ".join(said)}</p>\n' if said else ""


def task_words(part: Mapping[str, Any]) -> str:
    """What the record holds of a task, in a sentence."""
    counts = part["counts"]
    return (
        f"{count(counts['models'], 'model')} on {count(counts['datasets'], 'benchmark')}, "
        f"{count(counts['seeds'], 'seed')} by the recipe that most have: "
        f"{count(counts['runs'], 'fine-tuning')}, {counts['failed']:,} of them failed."
    )


def coverage(part: Mapping[str, Any], sheet: Sheet) -> str:
    """What was measured of what could be, the most incomplete benchmarks, and why runs failed."""
    counts, rows = part["counts"], part["benchmarks"]
    missing = counts["cells"] - counts["measured"]
    said = (
        f"{counts['measured']:,} of {counts['cells']:,} pairs of a model and a benchmark are "
        f"measured, in {count(counts['runs'], 'run')}"
    )
    said += f" with {count(counts['seeds'], 'seed')}." if counts["seeds"] else "."
    said += " Nothing is missing." if not missing else f" {missing:,} are missing."
    few = sorted((row for row in rows if row["models"] < counts["models"]), key=_measured)
    table = ""
    if few:
        body = "".join(
            f'<tr><th scope="row">{name(row["dataset"])}</th>'
            f'<td class="bar">{bar(row["models"] / counts["models"])}</td>'
            f'<td class="num">{row["models"]:,} of {counts["models"]:,}</td></tr>\n'
            for row in few[:MAX_ROWS]
        )
        heads = ["benchmark", "models measured", ""]
        table = f'<table class="bars nearest">{head(heads)}<tbody>{body}</tbody></table>\n'
    return sheet.section(
        "coverage", "What is measured", f"<p>{esc(said)}</p>\n", table, _failures(part, sheet)
    )


def _measured(row: Mapping[str, Any]) -> int:
    return int(row["models"])


def _failures(part: Mapping[str, Any], sheet: Sheet) -> str:
    failures = part.get("failures") or []
    if not failures:
        return ""
    lines = "".join(
        f"<li><b>{row['runs']:,} {name(row['status'])}</b> {name(row['reason'])}</li>"
        for row in failures
    )
    return f'{sheet.heading("Why runs failed")}<ul class="note why-out">{lines}</ul>\n'


def origin(part: Mapping[str, Any], sheet: Sheet) -> str:
    """The recipe, the others that there are, and the commits of data and models."""
    recipe, recipes = part.get("recipe") or {}, part.get("recipes") or {}
    sets = [
        (row["dataset"], f"{row['revision'][:12] or '–'} · {row['license'] or 'no licence known'}")
        for row in part["benchmarks"]
    ]
    models = [
        (row["model"], f"{row['revision'][:12] or '–'} · {row['license'] or 'no licence known'}")
        for row in part["leaders"]
    ]
    trivial = [
        (row["dataset"], f"{score_text(row['trivial'], row['metric'])} {row['metric']}")
        for row in part["benchmarks"]
    ]
    runs = [(digest, count(n, "run")) for digest, n in recipes.items()]
    level = sheet.level + 1
    return sheet.section(
        "origin",
        "Where it came from",
        '<div class="columns">',
        f"<div><h{level}>Recipe</h{level}>{pairs(recipe_rows(recipe))}</div>",
        f"<div><h{level}>Recipes by runs</h{level}>{pairs(runs)}</div>",
        f"<div><h{level}>Trivial predictor</h{level}>{pairs(trivial[:MAX_ROWS])}</div></div>\n",
        f"<details><summary>Commits and licences of the benchmarks</summary>{pairs(sets)}"
        "</details>\n",
        f"<details><summary>Commits and licences of the best models</summary>{pairs(models)}"
        "</details>\n",
    )
