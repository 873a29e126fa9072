"""`hf-select crawl`: the Hub into a catalog."""

from __future__ import annotations

import click

from hf_select.cli.app import LazyGroup

COMMANDS = {
    "models": ("crawl_models", "Candidate models for a task."),
    "datasets": ("crawl_datasets", "Benchmark data sets for a task."),
}


@click.group(
    "crawl",
    cls=LazyGroup,
    table=COMMANDS,
    variables="HF_SELECT_CRAWL",
    epilog="Example: hf-select crawl models --task text-classification --language en "
    "--max-params 200M --out catalog",
)
def command() -> None:
    """Find candidate models and benchmark data sets on the Hub, and pin them in a catalog.

    A crawl that was stopped or killed goes on with the same command. Each takes --json and
    --quiet.
    """
