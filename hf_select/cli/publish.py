"""`hf-select publish`: the rows of a record to the Hub, and its page to a Space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import flags_for, left_out_in_words, refusals_in_words, rows_in_words

if TYPE_CHECKING:
    from hf_select.hub.record.publish import Published


@click.command(
    "publish",
    epilog="Examples: hf-select publish --results my-record --to me/results; "
    "hf-select publish --results my-record --to lab/results --create-pr; "
    "hf-select publish --results lab/results --space lab/results-page",
)
@click.option(
    "--results",
    "-r",
    required=True,
    metavar="RESULTS",
    help="Folder of the record, or `demo`; for --space alone also one on the Hub.",
)
@click.option("--to", metavar="OWNER/NAME", help="Results dataset on the Hub.")
@click.option(
    "--space",
    metavar="OWNER/NAME",
    help="Put the record's page up as this static Space; every name in it can be read there.",
)
@click.option("--create-pr", is_flag=True, help="Contribute by a pull request: needs no rights.")
@click.option(
    "--private", is_flag=True, help="Make the dataset, or the Space, private, if it is made."
)
@click.option(
    "--accept-new-recipes",
    is_flag=True,
    help="Send runs of described recipes that the record doesn't use yet.",
)
@options.allow_local
@click.option("--message", "-m", default="", metavar="TEXT", help="Title of the commit.")
@options.common
def command(
    results: str,
    to: str | None,
    space: str | None,
    create_pr: bool,
    private: bool,
    accept_new_recipes: bool,
    allow_local: bool,
    message: str,
    output: Output,
) -> None:
    """Send the rows of a record that the dataset on the Hub lacks, in one commit.

    The dataset is made if there is none. Published again, or after an error, nothing is sent
    twice. Rows that the record can't take stay behind, and so do models and data sets that are not
    on the Hub, with their runs; what stays behind is named, and the exit code is 1 then.

    With --space the page that `hf-select report` draws of the record is put up as a static Space,
    which is made if there is none; drawn anew without a change, nothing is sent.
    """
    from hf_select import pipeline

    if to is None and space is None:
        raise click.UsageError("say where to: --to a results dataset, or --space a page, or both")
    if to is None and (create_pr or accept_new_recipes or allow_local or message):
        raise click.UsageError("what is said of rows needs --to, the dataset that they go to")
    done, document = None, {}
    if to is not None:
        done = pipeline.publish(
            results,
            to,
            create_pr=create_pr,
            private=private,
            accept_new_recipes=accept_new_recipes,
            allow_local=allow_local,
            message=message,
            say=output.message,
        )
        document = _rows(done)
        _warn(output, done)
    page = None
    if space is not None:
        page = pipeline.publish_page(results, space, private=private, name=to, say=output.message)
        document["space"] = {
            "repo": page.repo_id,
            "url": page.url,
            "revision": page.commit,
            "created": page.created,
            "files": list(page.files),
        }
        for note in page.notes:
            output.message(note)

    def show(out: Output) -> None:
        if done is not None:
            _show_rows(out, done, results)
        if page is not None:
            made = ", a new Space" if page.created else ""
            told = f"The page is put up as {space}{made}, in commit {page.commit[:8]}"
            if not page.files:
                told = f"Nothing to put up: {space} has this page already"
            out.line(told, style="bold")
            out.line(page.url)

    output.data(document, show)
    if done is not None and (done.refused or done.local):
        raise click.exceptions.Exit(1)


def _rows(done: Published) -> dict[str, Any]:
    """What became of the rows, for JSON."""
    return {
        "repo": done.repo_id,
        "url": done.url,
        "user": done.user,
        "revision": done.commit,
        "pull_request": done.pull_request,
        "created": done.created,
        "rows": dict(done.rows),
        "refused": [{"kind": bad.file, "reason": bad.reason} for bad in done.refused],
        "local": [one.name for one in done.local],
        "problems": list(done.problems),
    }


def _warn(output: Output, done: Published) -> None:
    """What was not sent, and what would send it."""
    for problem in done.problems:
        output.warning(f"can't be read, not sent: {problem}")
    for line in left_out_in_words(done.local):
        output.warning(line)
    for line in refusals_in_words(done.refused, "refused, not sent"):
        output.warning(line)
    for flag, what in flags_for(done.refused):
        output.warning(f"Hint: `{flag}` sends {what} too")


def _show_rows(out: Output, done: Published, results: str) -> None:
    """What became of the rows, in two lines."""
    request = f"pull request {done.pull_request}" if done.pull_request else ""
    to = done.repo_id
    if done.rows:
        where = request or f"commit {(done.commit or '')[:8]}"
        made = ", a new dataset" if done.created else ""
        out.line(f"{rows_in_words(done.rows)} sent to {to}{made}, in {where}", style="bold")
    elif done.refused or done.local:
        out.line(f"Nothing sent to {to}", style="bold")
    elif done.commit is None:
        out.line(f"{results} holds no rows, so {to} was not made", style="bold")
    else:
        there = f", or in your {request}" if request else ""
        out.line(f"Nothing to send: {to} has it all already{there}", style="bold")
    if done.commit is not None:
        out.line(done.url)
