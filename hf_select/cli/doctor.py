"""`hf-select doctor`: is all here that a run needs?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options, settings
from hf_select.cli.output import Output
from hf_select.foreign_metrics import ALLOW, FROM

if TYPE_CHECKING:
    from hf_select.pipeline.doctor import Finding

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
OTHERS = ("HF_SELECT_JOB", FROM, ALLOW, settings.FILE)
"""Variables that a job's own processes get, the leave to run metrics, and that of the file."""


@click.command("doctor", epilog="Example: hf-select doctor --json")
@options.common
def command(output: Output) -> None:
    """Look at versions, devices, the Hub, disk, cache, threads, extras and settings.

    Nothing is changed. Each line is ok, a note, or a problem: something that will break a run; each
    says what to do. The exit code is 1 if there is a problem.
    """
    from hf_select.pipeline.doctor import doctor, with_findings

    root = click.get_current_context().find_root()
    file = root.meta.get(options.CONFIG)
    document = with_findings(doctor(), [*_settings(file)])
    document["config"] = file
    output.data(document, lambda o: _show(o, document))
    if not document["ok"]:
        raise click.exceptions.Exit(1)


def _settings(file: str | None) -> list[Finding]:
    """The file in use, read without a fault by now, and variables that are set."""
    from hf_select.cli.app import cli
    from hf_select.pipeline.doctor import Finding

    found = [Finding("settings file", "ok", file or "none (--config FILE, or HF_SELECT_CONFIG)")]
    known = settings.variables(cli)
    set_ones = [n for n in sorted(os.environ) if n.startswith(f"{settings.PREFIX}_")]
    mine = [n for n in set_ones if n in known]
    if mine:
        found.append(Finding("variables", "ok", ", ".join(mine)))
    for name in set_ones:
        if name not in known and not name.startswith(OTHERS):
            text = f"{name} is set, but no option has that variable"
            found.append(Finding("variables", "note", text, settings.nearest(name, known)))
    return found


def _show(output: Output, document: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {value}" for name, value in document["versions"].items())
    output.line(versions)
    findings = document["findings"]
    width = max(len(f["what"]) for f in findings)
    for found in findings:
        line = f"{found['level']:8}{found['what']:{width + 2}}{found['text']}"
        output.line(line, style="" if found["level"] == "ok" else STYLES[found["level"]])
        if found["todo"]:
            output.line(f"{'':{width + 10}}-> {found['todo']}")
    problems = sum(f["level"] == "problem" for f in findings)
    output.line()
    if problems:
        words = "1 thing" if problems == 1 else f"{problems} things"
        output.line(f"{words} will break a run", style=STYLES["problem"])
    else:
        output.line("Nothing here will break a run", style="bold")
