"""The answer of a selection in the terminal: the table, the winner, the price, what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_select.cli.output import Output
from hf_select.cli.words import count, params
from hf_select.metrics import METRICS
from hf_select.report.document import candidate_name, epochs_text, metric_text, score_text

NOISE = 2.0
"""Standard errors below which a winner's advance over no model at all may be chance."""
REASONS = 3
"""Candidates of which the terminal says why they lost; the page says it of all."""


def show_selection(output: Output, document: dict[str, Any], out: Path) -> None:
    """The short table, the winner, the price and what to do next."""
    _table(output, document)
    for line in _why(document):
        output.line(line)
    if document["ended"]:
        output.line(f"\nThe budget ended the selection: {document['ended']}.")
    output.line()
    _winner(output, document)
    for line in _price(document):
        output.line(line)
    for line in _trades(document):
        output.line(line)
    output.line()
    for line in next_steps(document, out):
        output.line(line)


def _table(output: Output, document: Mapping[str, Any]) -> None:
    rows = document["ranking"]
    forecast = any(row["predicted"] is not None for row in rows)
    licenses = {row.get("license") or "-" for row in rows}
    known = len(licenses) > 1  # of one that all have, a line says as much
    columns = ["rank", "model", *(("predicted", "P(best)") if forecast else ("validation",))]
    columns += ["size", *(["licence"] if known else []), "cost"]
    metric = document["metric"]
    shown = [
        (
            rank,
            candidate_name(row),
            *(
                (predicted_text(row, metric), _chance(row["p_best"]))
                if forecast
                else (score_text(row["val"], metric),)
            ),
            params(row.get("num_parameters")),
            *([row.get("license") or "-"] if known else []),
            _cost(row, metric),
        )
        for rank, row in enumerate(rows, 1)
    ]
    funnel = document["funnel"]
    output.table(
        f"{document['target']}: {document['task']}, {metric_text(metric)}; "
        f"{funnel['recalled']} of {count(funnel['record'], 'model')}",
        columns,
        shown,
        wrap="model",
        right=("P(best)", "size", "cost"),
    )
    if funnel.get("excluded"):
        output.line(f"{count(funnel['excluded'], 'more model')} ruled out by the limits")
    if not known and licenses != {"-"}:
        output.line(f"licence of {'all' if len(rows) > 1 else 'it'}: {licenses.pop()}")
    if forecast:
        output.line("predicted: the score in the end (with 95 %); of a dropped one, as seen then")
        output.line("cost: what it was trained for, and its validation score then")
    for row in document["recall"]["candidates"]:
        if row.get("tuned_on_target"):
            output.line(f"note: {row['model']}: {row['tuned_on_target']}", style="yellow")


def predicted_text(row: Mapping[str, Any], metric: str) -> str:
    """The forecast of a final score, with its interval where there is one."""
    value, interval = row["predicted"], row["interval"]
    if value is None or not interval:
        return score_text(value, metric)
    low, high = (_end(end, metric) for end in interval)
    dash = "–" if interval[0] >= 0 else " to "
    return f"{score_text(value, metric)} ({low}{dash}{high})"


def _end(value: float, metric: str) -> str:
    """An end of an interval, with fewer digits than what lies between."""
    how = METRICS.get(metric)
    unit = how is not None and how.perfect == 1.0
    return (f"{value:.2f}" if unit else f"{value:.3g}").replace("-", "−")


def _cost(row: Mapping[str, Any], metric: str) -> str:
    """How far a candidate was trained, and what it scored then."""
    if not row["epochs"]:
        return "-"
    score = "" if row["val"] is None else f": {score_text(row['val'], metric)}"
    return f"{epochs_text(row['epochs'])}{score}"


def _chance(chance: float | None) -> str:
    return "-" if chance is None else f"{100 * chance:.0f} %"


def _why(document: Mapping[str, Any]) -> list[str]:
    """Why the next ones lost, in short."""
    rows = document["ranking"][1 : 1 + REASONS]
    if not rows:
        return []
    lines = [f"  {rank}: {short_reason(row['reason'])}" for rank, row in enumerate(rows, 2)]
    return ["why not:", *lines]


def short_reason(reason: str) -> str:
    """A reason without the numbers that stand in the table; the page has all of it."""
    found = re.search(
        r"(within .*? points of the best with .*?)\. Lost to (\S.*?), of which", reason
    )
    return f"{found[1]}, lost to {found[2]}" if found else reason


def _winner(output: Output, document: Mapping[str, Any]) -> None:
    winner, metric = document["winner"], document["metric"]
    error = winner.get("test_error")
    give = "" if error is None else f" ± {error:.2g}"
    rows = document["data"]["rows"].get("test")
    of = f" on {rows:,} test rows" if rows else ""
    output.line(
        f"Winner: {winner['candidate']}, {metric_text(metric)} "
        f"{score_text(winner['test'], metric)}{give}{of}",
        style="bold",
    )
    also = [
        f"{metric_text(name)} {score_text(value, name)}"
        for name, value in (winner.get("test_metrics") or {}).items()
        if name != metric and value is not None
    ]
    if also:
        output.line(f"  by other metrics: {', '.join(also)}")
    chosen = document.get("chosen")
    if chosen:
        output.line(
            f"  chosen instead of {chosen['instead_of']}, {score_text(chosen['test'], metric)}"
        )
    trivial = document["trivial"].get("test")
    direction = 1 if document["higher_is_better"] else -1
    if trivial is None:
        return
    said = f"no model at all (the trivial predictor) gets {score_text(trivial, metric)}"
    gain = (winner["test"] - trivial) * direction
    if gain <= 0:
        output.line(f"That is no better than nothing: {said}", style="bold red")
    elif error is not None and gain < NOISE * error:
        output.line(f"That may be chance: {said}", style="bold red")
    else:
        output.line(f"  {said}")


def _price(document: Mapping[str, Any]) -> list[str]:
    cost = document["cost"]
    looks = cost["proxy_epochs"]
    what = f"{cost['epochs']:.4g} epochs trained"
    if looks:
        what += f", and looks for the time of {looks:.2g} more"
    lines = [
        f"Price of choosing: {document['price']:.2f} x a full training of the winner",
        f"  {what}; {document['seconds']:.0f} s in all",
    ]
    others = [
        f"{words} {document['baselines'][name]['price']:.1f} x"
        for name, words in (
            ("brute_force_all", "brute force"),
            ("halving_all", "successive halving"),
        )
    ]
    lines.append(f"  all {document['funnel']['record']} models would cost: {', '.join(others)}")
    return lines


def _trades(document: Mapping[str, Any]) -> list[str]:
    """Much smaller or faster candidates for little loss, and how to take one."""
    found = (document.get("efficiency") or {}).get("alternatives") or []
    if not found:
        return []
    lines = [f"  {one['text']}: {one['candidate']}" for one in found]
    return ["Smaller or faster, if you like (the same command with --choose MODEL):", *lines]


def next_steps(document: Mapping[str, Any], out: Path) -> list[str]:
    """What to do with the winner: use it, look at how it was chosen, share it, train it again."""
    steps: list[tuple[str, Sequence[str]]] = [
        ("use it", _use(document, out)),
        ("why it won", [f"{out / 'report.html'}"]),
        ("share it", [f"hf-select push {out} --to OWNER/NAME"]),
    ]
    if (out / "train.py").is_file():
        steps.append(("train it again", [f"python {out / 'train.py'}"]))
    lines = []
    for name, words in steps:
        lines += [f"{name if not i else '':<16}{line}" for i, line in enumerate(words)]
    return lines


def _use(document: Mapping[str, Any], out: Path) -> list[str]:
    """Three lines of Python that load the winner."""
    from hf_select.hub.winner.cards import usage

    return usage(document, str(out))
