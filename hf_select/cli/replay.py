"""`hf-select replay`: policies and recall methods on the record, no training at all."""

from __future__ import annotations

import math
from typing import Any

import click

from hf_select.cli import options
from hf_select.cli.output import Output
from hf_select.errors import InputError


@click.command(
    "replay",
    epilog="Example: hf-select replay --results demo --task image-classification "
    "--phase selection --candidates recall:10",
)
@options.results
@options.task()
@click.option("--phase", default="selection", show_default=True, help="recall or selection.")
@click.option("--policies", metavar="A,B", help="Policies to compare; all if not given.")
@click.option("--methods", metavar="A,B", help="Recall methods to compare; all if not given.")
@click.option(
    "--candidates",
    default="all",
    show_default=True,
    help="all, recall (what the hybrid recalls), recall:K, recall:METHOD or recall:K:METHOD.",
)
@click.option(
    "--top",
    default="1,3,5,10",
    show_default=True,
    metavar="K,K",
    help="Numbers of models recalled.",
)
@click.option("--cost", default="epochs", show_default=True, help="epochs or seconds.")
@click.option("--preset", metavar="NAME", help="`paper`: raw scores.")
@click.option(
    "--figure",
    metavar="FILE.svg",
    help="Draw price against regret, a point a policy, into FILE.svg.",
)
@options.common
def command(
    results: str,
    task: str,
    phase: str,
    policies: str | None,
    methods: str | None,
    candidates: str,
    top: str,
    cost: str,
    preset: str | None,
    figure: str | None,
    output: Output,
) -> None:
    """Replay every benchmark of a record as if it were the target, leaving it out of the record.

    Regret is in points. A policy is judged on test scores of seeds that it didn't see; a recall
    method by the best of its first K models against the best of all, with an interval over targets.
    """
    from hf_select import pipeline

    _check_figure(figure, phase)
    document = pipeline.replay(
        results,
        task,
        phase=phase,
        policies=options.names(policies),
        methods=options.names(methods),
        candidates=candidates,
        cost=cost,
        top=_numbers(top),
        preset=preset,
        say=output.message,
    )

    if figure is not None:
        from hf_select.report.price import write_price_svg

        heading = f"{task}: {len(document['targets'])} benchmarks, each left out in turn"
        write_price_svg(document["summary"], figure, heading=heading)
        output.message(f"{figure}: price against regret")

    def show(out: Output) -> None:
        summary = document["summary"]
        columns = dict.fromkeys(
            column
            for row in summary.values()
            for column, value in row.items()
            if isinstance(value, int | float)
        )
        if phase == "recall":
            columns = dict.fromkeys(c for c in columns if not c.endswith("_max"))
        rows = [(name, *(_shown(row, c) for c in columns)) for name, row in summary.items()]
        out.table(
            f"{phase} replayed on {len(document['targets'])} benchmarks of {results} ({task})",
            ["policy" if phase == "selection" else "method", *columns],
            rows,
        )
        for name, row in summary.items():
            for line in _calibrated(name, row.get("calibration") or {}):
                out.line(line)
        if phase == "recall":
            out.line(
                "regret@k: points that the best of the first k is below the best of all, in "
                "brackets the 95 % interval over benchmarks; recalled: how many `hybrid` takes by "
                "itself"
            )

    output.data(document, show)


def _shown(row: dict[str, Any], column: str) -> Any:
    """A number of a summary, with its interval where there is one."""
    value, interval = row.get(column), row.get(f"{column}_ci")
    if not interval or not isinstance(value, float) or math.isnan(value):
        return value
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _calibrated(name: str, found: dict[str, Any]) -> list[str]:
    """What the chances of a policy that gives any were worth."""
    if not found:
        return []
    won, promised = 100 * found["winner_best"], 100 * found["winner_promised"]
    of = found["selections"]
    said = f"{name}: its winners were the best candidate in {won:.0f} % of {of} selections"
    lines = [f"{said}; it had promised {promised:.0f} %"]
    if found["dropped"]:
        low, high = (100 * edge for edge in found["interval"])
        said = f"{name}: of {found['dropped']} dropped as below 5 % to be the best, "
        said += f"{100 * found['best']:.1f} % were ({low:.1f} to {high:.1f} % with 95 %)"
        lines.append(f"{said}; it had promised {100 * found['promised']:.1f} %")
    return lines


def _check_figure(figure: str | None, phase: str) -> None:
    """Refuse, before anything is replayed, what can't be drawn."""
    if figure is None:
        return
    if phase != "selection":
        raise InputError(
            "--figure draws price against regret", hint="only `--phase selection` has both"
        )
    if not figure.endswith(".svg"):
        raise InputError(f"--figure is {figure!r}, but must end in .svg")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"--top: {text!r} is not a list of whole numbers") from error
