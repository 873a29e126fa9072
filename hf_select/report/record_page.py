"""The HTML page of a record by itself: one file, no network, drawn from its document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, name
from hf_select.report.sections.alike import alike
from hf_select.report.sections.benchmarks import benchmarks
from hf_select.report.sections.leaders import leaders
from hf_select.report.sections.matrix import matrix
from hf_select.report.sections.replayed import record_replayed
from hf_select.report.sections.summary import coverage, origin, summary, task_words
from hf_select.report.shell import page
from hf_select.report.svg import esc

SECTIONS = (leaders, benchmarks, alike, matrix, record_replayed, coverage, origin)
"""Of each task, in the order of the page."""


def render_record(document: Mapping[str, Any]) -> str:
    """The page as one string. Every text of the document is escaped, nothing is loaded."""
    sheet = Sheet()
    tasks = document["tasks"]
    if len(tasks) == 1:
        body = "".join(section(tasks[0], sheet) for section in SECTIONS)
        navigation = sheet.navigation()
    else:
        body, navigation = "", ""
        for part in tasks:
            here = sheet.part(f"{part['task']}-")
            inner = "".join(section(part, here) for section in SECTIONS)
            title = str(part["task"]).replace("-", " ").capitalize()
            body += sheet.section(
                str(part["task"]),
                title,
                f"<p>{esc(task_words(part))}</p>\n",
                here.navigation(),
                inner,
            )
        items = "".join(f'<li><a href="#{key}">{esc(t)}</a></li>' for key, t in sheet.contents)
        navigation = f'<nav aria-label="Tasks of the record"><ul>{items}</ul></nav>\n'
    return page(
        title=f"The record {document['name']} · hf-select",
        body=f"{summary(document, sheet)}{navigation}{body}",
        footer=f"The record {name(document['name'])}, drawn by hf-select.",
        data=sheet.data,
    )
