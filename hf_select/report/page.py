"""The HTML page of a selection: one file, no network, drawn from the document alone.

Each section is a file in `sections/`; `shell.py` is what stands around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_select.files import write_atomic
from hf_select.report.markup import Sheet, name
from hf_select.report.sections.alike import alike
from hf_select.report.sections.answer import answer
from hf_select.report.sections.cost import cost
from hf_select.report.sections.data import data
from hf_select.report.sections.efficiency import efficiency
from hf_select.report.sections.fates import fates
from hf_select.report.sections.learning import learning
from hf_select.report.sections.matrix import matrix
from hf_select.report.sections.provenance import provenance
from hf_select.report.sections.recalled import recalled
from hf_select.report.sections.replayed import replayed
from hf_select.report.shell import page
from hf_select.report.story import winner_of

SECTIONS = (
    learning,
    fates,
    efficiency,
    recalled,
    alike,
    matrix,
    cost,
    replayed,
    data,
    provenance,
)
"""In the order of the page, below the answer."""


def write_report(document: Mapping[str, Any], path: str | Path) -> Path:
    """Render the document into `path`, which is either the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render(document).encode())
    return path


def render(document: Mapping[str, Any]) -> str:
    """The page as one string. Every text of the document is escaped, nothing is loaded."""
    sheet = Sheet()
    head = answer(document, sheet)
    body = "".join(section(document, sheet) for section in SECTIONS)
    model, target = winner_of(document).get("model", "–"), document.get("target", "")
    return page(
        title=f"Which model for {target}? · hf-select",
        body=f"{head}{sheet.navigation()}{body}",
        footer=f"{name(model)} for {name(target)}, chosen by hf-select.",
        data=sheet.data,
    )
