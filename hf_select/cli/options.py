"""Options that several commands share, as decorators; and what each command is given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from hf_select.cli import settings
from hf_select.cli.output import Output
from hf_select.errors import InputError

Command = Callable[..., Any]

TASK_WORDS = (
    "text-classification, text-regression, token-classification, multiple-choice, "
    "image-classification or image-regression."
)
"""The rows of `records.TASK_KINDS`, which would load numpy to say so."""

METRIC_WORDS = (
    "Metric, such as accuracy, seqeval_f1 or rmse; evaluate:NAME loads and runs one of the library "
    "`evaluate`, such as evaluate:mape or evaluate:./my_metric:better=lower."
)


def common(function: Command) -> Command:
    """`--json` and `--quiet`; the command receives them as `output: Output`."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="No messages on stderr.")
    @config()
    @functools.wraps(function)
    def wrapper(*args: Any, as_json: bool, quiet: bool, **kwargs: Any) -> Any:
        output = Output(as_json=as_json, quiet=quiet)
        click.get_current_context().ensure_object(list).append(output)
        with output.progress():
            return function(*args, output=output, **kwargs)

    return wrapper


def config(variable: str | None = None) -> Callable[[Command], Command]:
    """`--config`: a file of defaults, before the command's name (or by a variable), or behind."""
    return click.option(
        "--config",
        "config_file",
        envvar=variable,
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_take_config,
        help="YAML file of defaults: options as keys, commands as sections.",
    )


def _take_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Read the file, and let this command, or those of this group, have its defaults."""
    if value is None:
        return
    from hf_select.cli.app import cli

    defaults: dict[str, Any] = settings.read_file(value, cli)
    ctx.find_root().meta[CONFIG] = value
    names: list[str] = []
    above: click.Context | None = ctx
    while above is not None and above.parent is not None:
        names.insert(0, above.info_name or "")
        above = above.parent
    for name in names:
        defaults = defaults.get(name, {})
    ctx.default_map = defaults


CONFIG = "hf_select.config"
"""Where the root context notes which file is in use."""


def results(function: Command) -> Command:
    """`--results`: the record."""
    return click.option(
        "--results",
        "-r",
        required=True,
        metavar="RESULTS",
        help="The record: a folder, OWNER/NAME[@REVISION] on the Hub, or `demo` for the one that "
        "ships with the package.",
    )(function)


def results_folder(function: Command) -> Command:
    """`--results` of a command that writes to the record."""
    return click.option(
        "--results",
        "-r",
        required=True,
        metavar="DIR",
        help="The record: a folder, made if need be. One on the Hub, and `demo`, can't be written "
        "to; `hf-select pull` makes a folder of it.",
    )(function)


def results_or_argument(function: Command) -> Command:
    """A record as the only argument, or by `--results`; the command receives it as `results`."""

    @click.argument("record", metavar="[RESULTS]", required=False)
    @click.option("--results", "-r", metavar="RESULTS", help="The same, as an option.")
    @functools.wraps(function)
    def wrapper(*args: Any, record: str | None, results: str | None, **kwargs: Any) -> Any:
        if (record is None) == (results is None):
            raise click.UsageError("name one record: RESULTS, or --results RESULTS")
        return function(*args, results=record or results, **kwargs)

    return wrapper


def allow_local(function: Command) -> Command:
    """What is published although it isn't on the Hub."""
    return click.option(
        "--allow-local",
        is_flag=True,
        help="Send also models and data sets that are not on the Hub: nobody else can load them, "
        "and the names of their labels become public.",
    )(function)


def accepting(function: Command) -> Command:
    """What a maintainer may let in that `validate` and `compact` refuse otherwise."""
    options = (
        click.option(
            "--accept-new-recipes",
            is_flag=True,
            help="Take runs of described recipes that the record doesn't use yet.",
        ),
        click.option(
            "--any-submitter",
            is_flag=True,
            help="Take rows that name another submitter than the folder they lie in.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def task(required: bool = True) -> Callable[[Command], Command]:
    """`--task`: which task's part of the record."""
    return click.option(
        "--task",
        "-t",
        required=required,
        metavar="TASK",
        help=TASK_WORDS,
    )


def crawling(function: Command) -> Command:
    """What both crawls ask for: a catalog, what a name, a card and a licence must say."""
    options = (
        click.option(
            "--out", "-o", required=True, metavar="CATALOG", help="Folder of the catalog."
        ),
        click.option("--search", default="", metavar="TEXT", help="What the name must hold."),
        click.option("--language", metavar="EN,DE", help="One of these languages."),
        click.option(
            "--license", "license_", metavar="A,B", help="One of these licences, as on the Hub."
        ),
        click.option("--downloads-at-least", default=0, metavar="N", help="In the last 30 days."),
        click.option(
            "--list-all",
            is_flag=True,
            help="Don't let the Hub filter: whatever doesn't fit is listed too, with its reason.",
        ),
        click.option(
            "--allow-unknown-license", is_flag=True, help="Take those without a known licence."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def data(function: Command) -> Command:
    """How to read a target: the columns, the task, the metric. All are inferred if not stated."""
    options = (
        click.option(
            "--task",
            "-t",
            metavar="TASK",
            help=TASK_WORDS,
        ),
        click.option(
            "--subset", "config", metavar="NAME", help="Subset (configuration) of a Hub dataset."
        ),
        click.option("--text-column", metavar="NAME", help="Column with the text, or the words."),
        click.option("--text-pair-column", metavar="NAME", help="Column with the second text."),
        click.option("--image-column", metavar="NAME", help="Column with the image."),
        click.option("--label-column", metavar="NAME", help="Column to predict."),
        click.option(
            "--choice-columns",
            metavar="A,B,C",
            callback=lambda _context, _option, text: names(text),
            help="Columns with the choices, or the one that holds lists of them.",
        ),
        click.option(
            "--train", metavar="SPLIT", help="Which split of TARGET to train on (or a file)."
        ),
        click.option(
            "--validation",
            metavar="FILE",
            help="Validation rows: a file or folder, or one of TARGET's splits.",
        ),
        click.option(
            "--test", metavar="FILE", help="Test rows: a file or folder, or one of TARGET's splits."
        ),
        click.option("--encoding", metavar="NAME", help="Encoding of text files, such as cp1252."),
        click.option("--delimiter", metavar="CHAR", help="What separates the cells of a CSV."),
        click.option(
            "--header/--no-header",
            default=None,
            help="Whether a CSV's first row has the columns' names.",
        ),
        click.option("--metric", metavar="NAME", help=METRIC_WORDS),
    )
    for option in reversed(options):
        function = option(function)
    return function


DATA_OPTIONS = (
    "task",
    "config",
    "text_column",
    "text_pair_column",
    "image_column",
    "label_column",
    "choice_columns",
    "train",
    "validation",
    "test",
    "encoding",
    "delimiter",
    "header",
    "metric",
)


def recalling(function: Command) -> Command:
    """How phase one works."""
    options = (
        click.option(
            "--top",
            "-k",
            type=int,
            help="Models to recall. If not given 10; with `hybrid` at most 10 (15 for data that "
            "are unlike all benchmarks), fewer where they hold the best model with 95 %.",
        ),
        click.option(
            "--method",
            help="hybrid (the default), paper (that of --preset paper), random, mean, rank, size "
            "or proxy:NAME.",
        ),
        click.option(
            "--proxy",
            multiple=True,
            metavar="NAME",
            help="Proxy score to look by: leep, nleep, logme, hscore, knn, transrate or "
            "linear-probe; chosen if not given. Several with `hybrid`.",
        ),
        click.option(
            "--looks",
            type=int,
            metavar="N",
            help="Models that `hybrid` looks at, at most (64 if not given): the likeliest ones.",
        ),
        click.option("--preset", metavar="NAME", help="`paper`: its algorithm on raw scores."),
        click.option("--threshold", type=float, help="Distance at which clusters are cut."),
        click.option(
            "--catalog",
            metavar="CATALOG",
            help="Where models can be loaded; the Hub if not given. With `hybrid`, its models that "
            "the record doesn't know are candidates, too.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def limits(function: Command) -> Command:
    """Which models may be chosen at all."""
    options = (
        click.option("--max-params", metavar="N", help="Parameters at most, such as 50M."),
        click.option(
            "--max-memory",
            metavar="BYTES",
            help="Memory that fine-tuning a model may take, such as 8GB. Counted are weights, "
            "gradients and AdamW's two moments in 32 bits (16 bytes a parameter), and what a "
            "batch of the recipe takes, told by two rows sent through the network before anything "
            "is trained; not the libraries (about 1 GB), nor the data.",
        ),
        click.option(
            "--license",
            multiple=True,
            metavar="A,B",
            help="One of these licences, as on the Hub. A model without a known one is ruled out.",
        ),
        click.option(
            "--language", multiple=True, metavar="EN,DE", help="Marked with one of these languages."
        ),
        click.option(
            "--architecture",
            multiple=True,
            metavar="A,B",
            help="One of these model types, such as bert or distilbert.",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="MODEL",
            help="Leave a model out, or all that a pattern means, such as '*/bert-*'.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def recipe(*, several_rates: bool = False) -> Callable[[Command], Command]:
    """How models are fine-tuned. A file, single values, or both (values win)."""

    def decorate(function: Command) -> Command:
        return _recipe(function, several_rates)

    return decorate


def _recipe(function: Command, several_rates: bool) -> Command:
    rate = (
        click.option(
            "--learning-rate",
            metavar="RATE[,RATE]",
            help="Peak learning rate; of several, each is tried with each model.",
        )
        if several_rates
        else click.option("--learning-rate", type=float, help="Peak learning rate.")
    )
    options = (
        click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="JSON file."),
        rate,
        click.option("--epochs", type=int, help="Epochs of a full fine-tuning."),
        click.option("--batch-size", type=int, help="Global batch size."),
        click.option("--max-length", type=int, help="Tokens per text."),
        click.option("--max-train-samples", type=int, help="Train rows to use; 0 = all."),
        click.option("--precision", help="no, bf16 or fp16."),
        click.option(
            "--group-by-length",
            is_flag=True,
            default=None,
            help="Rows of about the same length in a batch: less padding.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


RECIPE_OPTIONS = (
    "learning_rate",
    "epochs",
    "batch_size",
    "max_length",
    "max_train_samples",
    "precision",
    "group_by_length",
)


def rates(text: str | None) -> list[float]:
    """The learning rates in `1e-3,3e-4`; none if nothing was given."""
    if text is None:
        return []
    try:
        return [float(rate) for rate in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--learning-rate: {text!r} is not a number, nor a list of them",
            hint="for example 1e-3 or 1e-3,3e-4",
        ) from error


def pairs(flag: str, values: Sequence[str]) -> dict[str, str]:
    """What was given as NAME=VALUE, once a name. Raises `InputError`."""
    found: dict[str, str] = {}
    for text in values:
        name, sep, value = text.partition("=")
        if not (sep and name and value):
            raise InputError(f"{flag}: {text!r} is not of the form NAME=VALUE")
        if name in found:
            raise InputError(f"{flag}: {name} is there twice")
        found[name] = value
    return found


def tracking(function: Command) -> Command:
    """`--log-with`: where learning curves are shown while they grow."""
    return click.option(
        "--log-with",
        metavar="TRACKER",
        help="Log every curve to tensorboard, trackio or wandb, too.",
    )(function)


def launched(function: Command) -> Command:
    """What processes do that `accelerate launch` or torchrun has started."""
    options = (
        click.option(
            "--parallel",
            metavar="WAY",
            help="Of launched processes: `jobs` (the default), each trains models of its own, or "
            "`data`, all train one model together.",
        ),
        click.option(
            "--processes",
            type=int,
            metavar="N",
            help="How many launched processes there must be; an error if there are others.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def spending(function: Command) -> Command:
    """How candidates are dropped, and what the whole may cost."""
    options = (
        click.option(
            "--policy",
            help="trend (the default), paper (that of --preset paper), brute-force, "
            "constant-epoch, halving, fractional-halving or asha; parameters as in halving:eta=3.",
        ),
        click.option(
            "--tolerance",
            type=float,
            metavar="POINTS",
            help="Points that don't matter to you, for `trend`: 0.5 if not given. A point is 0.01 "
            "of a score of which 1 is perfect; of an error it is 1 % of the mean's.",
        ),
        click.option(
            "--confidence",
            type=float,
            metavar="P",
            help="How sure `trend` must be before it drops a candidate: 0.95 if not given.",
        ),
        click.option(
            "--budget",
            metavar="TIME",
            help="Time for everything: 90s, 30m, 1h30m. A look or step under way is finished.",
        ),
        click.option(
            "--max-epochs",
            type=float,
            metavar="N",
            help="Epochs to train in all, looks counted by their time, at most.",
        ),
        click.option(
            "--max-cost",
            type=float,
            metavar="N",
            help="Price of choosing at most: as many times the training of one model.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


SPENDING_OPTIONS = ("policy", "tolerance", "confidence", "budget", "max_epochs", "max_cost")


def names(text: str | None) -> list[str] | None:
    """The names in `A, B`; None if nothing was given."""
    found = [name.strip() for name in (text or "").split(",") if name.strip()]
    return found or None


def take(kwargs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Remove those options from `kwargs` and return the ones that were given."""
    taken = {name: kwargs.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def seeds(text: str) -> list[int]:
    """The numbers in `0,1,2`."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds: {text!r} is not a list of whole numbers") from error
