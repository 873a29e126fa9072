"""The `hf-select` command: the group, its error table, and nothing else."""

from __future__ import annotations

import errno
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from hf_select import __version__
from hf_select.cli import completing, options, settings
from hf_select.cli.output import Output
from hf_select.errors import HfSelectError, InputError, StoppedError

# Command -> (module, one line). The module is imported only when the command is asked for, so
# `hf-select --help` stays light.
COMMANDS = {
    "demo": ("demo", "The whole way on the starter zoo that ships with the package."),
    "select": ("select", "Both phases: recall, fine-tune a little at a time, keep the winner."),
    "recall": ("recall", "Phase one: which models look best for a target."),
    "inspect": ("inspect", "What a target is: task, columns, splits, metric."),
    "push": ("push", "The winner of a selection, with its card, to a model repository."),
    "crawl": ("crawl", "Candidate models and benchmark data sets of the Hub into a catalog."),
    "benchmark": ("benchmark", "Fine-tune models on benchmark datasets: the missing cells."),
    "plan": ("plan", "Which cells of a record to run next, and why."),
    "import": ("import_", "Add somebody else's table of results to a record."),
    "cluster": ("cluster", "Group the models of a record by how they behave."),
    "replay": ("replay", "Compare policies or recall methods on the record."),
    "report": ("report", "The HTML page of a selection, or of a record."),
    "extension": ("extension", "Make `hf select ...` work."),
    "publish": ("publish", "The rows of a record to the Hub, or its page to a Space."),
    "pull": ("pull", "A results dataset of the Hub into a folder."),
    "compact": ("compact", "Fold what was added to a record into its next snapshot."),
    "validate": ("validate", "Check what was added to a record, row by row."),
    "update": ("update", "The weekly round: pull, crawl, benchmark, publish, cluster."),
    "completion": ("completion", "What makes the shell complete commands and names."),
    "doctor": ("doctor", "Is all that is needed here? Versions, devices, Hub, disk, settings."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use; `table` is of the form of `COMMANDS`.

    `variables`: how the variables begin that set the options of its commands.
    """

    def __init__(
        self, *args: Any, table: dict[str, tuple[str, str]], variables: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table, self.variables = table, variables

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of a first day with them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self.table:
            return None
        command: click.Command = import_module(f"hf_select.cli.{self.table[cmd_name][0]}").command
        if not isinstance(command, click.Group):
            settings.name_variables(command, f"{self.variables}_{cmd_name.upper()}")
            completing.teach(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing a single command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown command names the known ones."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.table, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(
                f"no command {args[0]!r}.{meant} There are: {', '.join(self.table)}", ctx=ctx
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    variables=settings.PREFIX,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `hf-select demo`. Each command has --help with examples.",
)
@click.version_option(__version__, prog_name="hf-select")
@options.config(settings.FILE)
def cli() -> None:
    """Which pre-trained model should I fine-tune on my data?"""


def main(args: list[str] | None = None) -> None:
    """Run the command line; every outcome is an exit code (see the table in the README)."""
    sys.exit(run(list(sys.argv[1:] if args is None else args)))


def run(args: list[str]) -> int:
    """0 done, 1 failed, 2 bad input or usage, 3 stopped and resumable, 130 interrupted."""
    if "RANK" in os.environ:  # DDP warns in every process about a choice that is ours
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    said = [Output(as_json="--json" in args)]
    try:
        # click swallows --json before a usage error can know of it, hence the one above; a command
        # that is running adds its own, which knows of variables and settings.
        code = cli.main(args=args, prog_name="hf-select", standalone_mode=False, obj=said)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "hf-select"
        said[-1].error(InputError(error.format_message(), hint=f"see `{where} --help`").to_dict())
        return 2
    except click.ClickException as error:
        said[-1].error(HfSelectError(error.format_message()).to_dict())
        return error.exit_code
    except HfSelectError as error:
        said[-1].error(error.to_dict())
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # what is written is whole: nothing is lost
            hint = "make room; the same command goes on"
            said[-1].error(StoppedError(str(error), hint=hint).to_dict())
            return StoppedError.exit_code
        said[-1].error(HfSelectError(str(error), hint="is there room, and the right to?").to_dict())
        return 1
    except (KeyboardInterrupt, click.Abort):
        said[-1].error(HfSelectError("interrupted", hint="the same command goes on").to_dict())
        return 130
    return code if isinstance(code, int) else 0  # what a command gave to `Exit`
