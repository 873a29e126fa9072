"""Where all came from: recipe, settings, versions, commits; and how to load the winner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, pairs
from hf_select.report.story import winner_of
from hf_select.report.svg import esc

_AUTO_CLASSES = {
    "image-classification": "AutoModelForImageClassification",
    "image-regression": "AutoModelForImageClassification",
    "multiple-choice": "AutoModelForMultipleChoice",
    "text-classification": "AutoModelForSequenceClassification",
    "text-regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
}


def provenance(document: Mapping[str, Any], sheet: Sheet) -> str:
    """Everything that one needs to do it again."""
    ranking = document.get("ranking", [])
    commits = list({row["model"]: row.get("revision") or "–" for row in ranking}.items())
    return sheet.section(
        "provenance",
        "How to do it again",
        '<div class="columns">',
        f"<div><h3>Recipe</h3>{pairs(recipe_rows(document.get('recipe') or {}))}</div>",
        f"<div><h3>Asked for</h3>{pairs(_asked(document))}</div>",
        f"<div><h3>Made with</h3>{pairs(_made(document))}</div>",
        "</div>\n",
        _command(document),
        _usage(document),
        f"<details><summary>Commits of the candidates</summary>{pairs(commits)}</details>\n",
    )


def recipe_rows(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A recipe's settings, its digest last."""
    rows = [
        (k.replace("_", " "), "all" if k.endswith("_samples") and v == 0 else setting(v))
        for k, v in recipe.items()
        if k != "digest"
    ]
    return [*rows, ("digest", str(recipe["digest"]))] if recipe.get("digest") else rows


def setting(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list | tuple):
        return ", ".join(setting(v) for v in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)


def _asked(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Policy, limits and whatever else was set; what was left open isn't written."""
    rows = [("policy", str(document.get("policy", "")))]
    asked = {**(document.get("settings") or {}), **(document.get("limits") or {})}
    for key, value in asked.items():
        if value not in (None, [], "", {}) and key not in ("policy", "recipe"):
            rows.append((key.replace("_", " "), setting(value)))
    return rows


def _made(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The target's, the record's and the winner's origin, versions, the time."""
    winner, source = winner_of(document), document.get("source") or {}
    record = document.get("record") or {}
    rows = []
    if source.get("repo"):
        config = f"/{source['config']}" if source.get("config") else ""
        rows.append(("target", f"{source['repo']}{config}"))
    if source.get("revision"):
        rows.append(("target’s commit", str(source["revision"])))
    if record.get("repo") or record.get("name"):
        rows.append(("record", str(record.get("repo") or record["name"])))
    if record.get("revision"):
        rows.append(("record’s commit", str(record["revision"])))
    if winner.get("revision"):
        rows.append(("winner’s commit", str(winner["revision"])))
    if winner.get("license"):
        rows.append(("winner’s licence", str(winner["license"])))
    rows += [(key, str(version)) for key, version in (document.get("versions") or {}).items()]
    rows.append(("processes", str(document.get("num_processes", 1))))
    if document.get("created"):
        rows.append(("made", str(document["created"])))
    return rows


def _command(document: Mapping[str, Any]) -> str:
    if not document.get("command"):
        return ""
    return f"<h3>The command</h3>\n{_code(str(document['command']), 'The command')}"


def _usage(document: Mapping[str, Any]) -> str:
    checkpoint = winner_of(document).get("checkpoint")
    if not checkpoint:
        return ""
    loader = _AUTO_CLASSES.get(str(document.get("task", "")), "AutoModel")
    code = (
        f"from transformers import {loader}\n\n"
        f"model = {loader}.from_pretrained({json.dumps(str(checkpoint), ensure_ascii=False)})"
    )
    return f"<h3>Load the winner</h3>\n{_code(code, 'How to load the winner')}"


def _code(text: str, label: str) -> str:
    return f'<pre tabindex="0" aria-label="{esc(label)}"><code>{esc(text)}</code></pre>\n'
