"""`hf-select publish`: the rows of a record to the Hub."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import flags_for, left_out_in_words, refusals_in_words, rows_in_words


@click.command(
    "publish",
    epilog="Examples: hf-select publish --results my-record --to me/results; "
    "hf-select publish --results my-record --to lab/results --create-pr",
)
@click.option(
    "--results", "-r", required=True, metavar="DIR", help="Folder of the record, or `demo`."
)
@click.option("--to", required=True, metavar="OWNER/NAME", help="Results dataset on the Hub.")
@click.option("--create-pr", is_flag=True, help="Contribute by a pull request: needs no rights.")
@click.option("--private", is_flag=True, help="Make the dataset private, if it is made.")
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
    to: str,
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
    """
    from hf_select import pipeline

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
    document = {
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
    for problem in done.problems:
        output.warning(f"can't be read, not sent: {problem}")
    for line in left_out_in_words(done.local):
        output.warning(line)
    for line in refusals_in_words(done.refused, "refused, not sent"):
        output.warning(line)
    for flag, what in flags_for(done.refused):
        output.warning(f"Hint: `{flag}` sends {what} too")

    def show(out: Output) -> None:
        request = f"pull request {done.pull_request}" if done.pull_request else ""
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

    output.data(document, show)
    if done.refused or done.local:
        raise click.exceptions.Exit(1)
