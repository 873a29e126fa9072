"""`hf-select completion`: what makes the shell complete commands, options and their values."""

from __future__ import annotations

import sys

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.errors import UnknownNameError

WHERE = {
    "bash": 'eval "$(hf-select completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(hf-select completion zsh)"  in ~/.zshrc, after compinit',
    "fish": "hf-select completion fish > ~/.config/fish/completions/hf-select.fish",
}
"""Shell -> what to do with the script."""
VARIABLE = "_HF_SELECT_COMPLETE"
"""By which the script asks the command for completions."""


@click.command(
    "completion",
    epilog='Example: eval "$(hf-select completion bash)" in ~/.bashrc; '
    "hf-select completion fish > ~/.config/fish/completions/hf-select.fish",
)
@click.argument("shell", metavar="bash|zsh|fish")
@options.common
def command(shell: str, output: Output) -> None:
    """Print the script by which the shell completes commands, options and names.

    Names are those of policies, recall methods, proxies, metrics, tasks, executors and so on; where
    a path is expected files are completed.
    """
    from hf_select.cli.app import cli

    script = script_of(shell, cli)
    if sys.stdout.isatty():  # not within eval "$(...)", at every start of a shell
        output.message(WHERE[shell])
    output.data({"shell": shell, "script": script}, lambda o: o.line(script))


def script_of(shell: str, group: click.Group) -> str:
    """The script for a shell. Raises `UnknownNameError`, which lists those that there are."""
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell) if shell in WHERE else None
    if kind is None:
        raise UnknownNameError("shell", shell, WHERE)
    made = kind(group, {}, "hf-select", VARIABLE)
    return ShellComplete.source(made)  # that of bash looks for a bash first, and may be elsewhere
