"""`hf-select compact`: what was added to a record, into its next snapshot."""

from __future__ import annotations

from dataclasses import asdict

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.cli.words import count


@click.command(
    "compact", epilog="Examples: hf-select compact my-record; hf-select compact lab/results"
)
@options.results_or_argument
@options.accepting
@options.common
def command(results: str, accept_new_recipes: bool, any_submitter: bool, output: Output) -> None:
    """Fold what was added to the record RESULTS into its next snapshot, with its clusters.

    RESULTS is a folder, or a dataset on the Hub, where it becomes one commit.
    Rows that `hf-select validate` refuses are named; their files are set aside in `quarantine/`.
    The dataset card is refreshed: its own text stays.
    """
    from hf_select import pipeline

    done = pipeline.compact(
        results,
        accept_new_recipes=accept_new_recipes,
        any_submitter=any_submitter,
        say=output.message,
    )
    document = {
        "results": results,
        "generation": done.generation,
        "revision": done.commit,
        "shards": done.shards,
        "refused": [asdict(refusal) for refusal in done.refused],
        "drift": {task: asdict(drift) for task, drift in done.drift.items()},
    }

    def show(out: Output) -> None:
        for refusal in done.refused:
            out.line(f"refused: {refusal}", style="red")
        folded = f"{count(done.shards, 'file')} folded" if done.shards else "Nothing to fold"
        out.line(f"{folded}; {results} is at generation {done.generation}", style="bold")

    output.data(document, show)
