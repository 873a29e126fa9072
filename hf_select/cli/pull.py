"""`hf-select pull`: a results dataset of the Hub into a folder."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import rows_in_words, size


@click.command("pull", epilog="Example: hf-select pull lab/results --results my-record")
@click.argument("repo_id", metavar="OWNER/NAME[@REVISION]")
@click.option(
    "--results", "-r", required=True, metavar="DIR", help="Folder: new, empty, or a record."
)
@options.task(required=False)
@click.option("--revision", metavar="REVISION", help="Commit, branch or tag; main if not given.")
@options.common
def command(
    repo_id: str, results: str, task: str | None, revision: str | None, output: Output
) -> None:
    """Bring the results dataset OWNER/NAME into a folder.

    A new folder becomes a copy of it. A record that is there gets the rows that it lacks, and
    keeps its own. Nothing is touched before everything was fetched and checked.
    """
    from hf_select import pipeline

    done = pipeline.pull(repo_id, results, task=task, revision=revision)
    document = {
        "repo": done.repo_id,
        "revision": done.commit,
        "results": str(done.folder),
        "copied": done.copied,
        "rows": dict(done.rows),
        "bytes": done.bytes,
        "problems": list(done.problems),
    }
    for problem in done.problems:
        output.warning(f"can't be used: {problem}")

    def show(out: Output) -> None:
        cached = "" if done.bytes else " (the rest was cached)"
        fetched = f"{size(done.bytes)} fetched from {done.repo_id} at {done.commit[:8]}{cached}"
        new = rows_in_words(done.rows) or "nothing"
        if done.copied:
            out.line(f"{results} is a copy now: {new}", style="bold")
        else:
            out.line(f"New in {results}: {new}", style="bold")
        out.line(fetched)

    output.data(document, show)
