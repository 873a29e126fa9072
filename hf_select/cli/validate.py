"""`hf-select validate`: is what was contributed to a record good?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count, flags_for, refusals_in_words

if TYPE_CHECKING:
    from hf_select.results.state import Disagreement


@click.command(
    "validate",
    epilog="Examples: hf-select validate my-record; "
    "hf-select validate lab/results --pull-request 3 --comment",
)
@options.results_or_argument
@click.option("--pull-request", type=int, metavar="N", help="What that pull request adds.")
@click.option("--comment", is_flag=True, help="Write the outcome below the pull request.")
@options.accepting
@options.common
def command(
    results: str,
    pull_request: int | None,
    comment: bool,
    accept_new_recipes: bool,
    any_submitter: bool,
    output: Output,
) -> None:
    """Check every row that was added to the record RESULTS since its last compaction.

    RESULTS is a folder, or a dataset on the Hub; of its pull requests one can be checked.
    Why rows can't be used is told reason by reason, and of each row with --json; nothing is
    written. The exit code is 0 if all can be used, and 1 if a row was refused, if two scores of
    one run are more than three standard errors apart, or if the record itself is damaged.
    """
    from hf_select import pipeline

    report = pipeline.validate(
        results,
        pull_request=pull_request,
        comment=comment,
        accept_new_recipes=accept_new_recipes,
        any_submitter=any_submitter,
    )

    def show(out: Output) -> None:
        for problem in report.problems:
            out.line(f"wrong: {problem}", style="red")
        for line in refusals_in_words(report.refused):
            out.line(line, style="red")
        for flag, what in flags_for(report.refused):
            out.line(f"Hint: `{flag}` takes {what}")
        for clash in report.disagreements:
            out.line(_in_words(clash), style="red" if clash.flagged else "")
        for aside in report.quarantined:
            out.line(f"set aside earlier: {aside}")
        if report.files:
            out.line(
                f"{count(report.files, 'file')} with {count(report.rows, 'row')} to be folded: "
                f"{report.accepted:,} can be used, {report.rows - report.accepted:,} can't",
                style="bold",
            )
        elif pull_request is not None:
            out.line(f"Pull request {pull_request} adds nothing", style="bold")
        elif not report.problems:
            out.line("The record is whole; nothing waits to be folded", style="bold")

    output.data({"results": results, **report.to_dict()}, show)
    if not report.ok:
        raise click.exceptions.Exit(1)


def _in_words(clash: Disagreement) -> str:
    from hf_select.results.matrix import dataset_name

    key = clash.key
    scores = ", ".join(f"{run.test:.6g} ({run.submitter})" for run in clash.runs)
    far = "more than" if clash.flagged else "no more than"
    where = f"{key.model} on {dataset_name(key.dataset, key.config)}, seed {key.seed}"
    return f"disagree: {where}: {scores}; {far} three standard errors apart"
