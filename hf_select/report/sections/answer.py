"""The answer: which model, how good it is, at what price it was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.metrics import find_metric
from hf_select.report import story
from hf_select.report.curves import better_is_higher
from hf_select.report.document import metric_text, score_text
from hf_select.report.markup import Sheet, name
from hf_select.report.sections.funnel import funnel
from hf_select.report.story import winner_of
from hf_select.report.svg import esc
from hf_select.report.words import bytes_text, count, listed, millions, seconds_text, times


def answer(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The head of the page: the sentence, the numbers, the funnel."""
    winner, metric = winner_of(document), str(document.get("metric", "score"))
    model, target = winner.get("model", "–"), document.get("target", "")
    task = str(document.get("task", "")).replace("-", " ")
    long = ' class="long"' if len(f"{target}{model}") > 48 else ""
    verb = "you took" if document.get("chosen") else "choose"
    return (
        f'<header>\n<p class="kicker">Model selection <span>·</span> {esc(task)}</p>\n'
        f"<h1{long}>For {name(target)}, {verb} <em>{name(model)}</em></h1>\n"
        f'<p class="standfirst">{_standfirst(document, metric)}</p>\n'
        f"{_by_hand(document, metric)}{_ended(document)}{_warnings(document)}"
        f"{_numbers(document, metric)}{funnel(document)}"
        "</header>\n"
    )


def _standfirst(document: Mapping[str, Any], metric: str) -> str:
    winner, price = winner_of(document), document.get("price")
    rows = (document.get("data") or {}).get("rows", {}).get("test")
    where = f"{rows:,} test rows" if rows else "the test rows"
    test = f"{score_text(winner.get('test'), metric)} {esc(metric_text(metric))}"
    how = "Fine-tuned"
    tried = story.rates(document)
    if tried:
        how += f" with a learning rate of {_rate(winner.get('learning_rate'))}, of "
        how += f"{listed([_rate(rate) for rate in tried])} tried"
    out = [f"{how}, it scores <b>{test}</b> on {where} that no decision had seen"]
    trivial = (document.get("trivial") or {}).get("test")
    if trivial is not None:
        known = find_metric(metric)
        mean = known is not None and known.kind == "regression"
        guess = "the mean" if mean else "the majority class"
        out.append(f"; always answering {guess} scores {score_text(trivial, metric)}")
    if not better_is_higher(document):
        out.append(" (lower is better)")
    out.append(".")
    record = (document.get("funnel") or {}).get("record")
    if price is not None and record:
        out.append(
            f" Choosing it among {count(record, 'model')} cost <b>{times(price)}</b> the training"
            " of one model"
        )
        base = document.get("baselines") or {}
        if "brute_force_all" in base and "halving_all" in base:
            out.append(
                f"; training them all would have cost {times(base['brute_force_all']['price'])}, "
                f"successive halving {times(base['halving_all']['price'])}"
            )
        out.append(".")
    return "".join(out) + _oracle(document, metric)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:g}"


def _by_hand(document: Mapping[str, Any], metric: str) -> str:
    """Who had won, where another one was taken."""
    before = document.get("chosen")
    if not before:
        return ""
    return (
        '<p class="ended"><b>Taken by hand.</b> The selection had found '
        f"{name(before['instead_of'])}, with {score_text(before['test'], metric)} on the test rows."
        "</p>\n"
    )


def _ended(document: Mapping[str, Any]) -> str:
    """That the budget ended it, where it did."""
    if not document.get("ended"):
        return ""
    why = str(document["ended"])
    return (
        '<p class="ended"><b>The budget was used up before it was over.</b> '
        f"{esc(why[:1].upper() + why[1:])}.</p>\n"
    )


def _warnings(document: Mapping[str, Any]) -> str:
    """What the checks of the data warn of: whoever reads the score must know."""
    checks = (document.get("data") or {}).get("checks") or []
    said = [name(check.get("text", "")) for check in checks if check.get("level") == "warning"]
    if not said:
        return ""
    lines = "".join(f"<li>{text}</li>" for text in said[:3])
    return f'<div class="ended"><b>Look at the data first.</b><ul>{lines}</ul></div>\n'


def _oracle(document: Mapping[str, Any], metric: str) -> str:
    """How good the choice was, where the true best is known (a demo, a replay)."""
    oracle, regret = document.get("oracle"), document.get("regret")
    if not oracle or regret is None:
        return ""
    points = f"{regret:.2f}".replace("-", "−")
    return (
        f" The true best, known from training every model to the end, is "
        f"{name(oracle.get('model', '–'))} with {score_text(oracle.get('test'), metric)}: "
        f"a regret of {points} points."
    )


def _numbers(document: Mapping[str, Any], metric: str) -> str:
    winner, cost = winner_of(document), document.get("cost") or {}
    epochs = None
    if cost.get("epochs") is not None:
        epochs = cost["epochs"] + (cost.get("proxy_epochs") or 0.0)
    cells = [
        (score_text(winner.get("test"), metric), f"test {metric_text(metric)}"),
        (score_text(winner.get("val"), metric), f"validation {metric_text(metric)}"),
        (times(document.get("price")), "price of choosing"),
        ("–" if epochs is None else f"{epochs:,.1f}", "epochs of work"),
        (seconds_text(document.get("seconds")), "from start to winner"),
    ]
    size = _size(document, winner)
    if size:
        cells.append(size)
    return (
        '<dl class="numbers">'
        + "".join(
            f"<div><dt>{esc(label)}</dt><dd>{esc(value)}</dd></div>" for value, label in cells
        )
        + "</dl>\n"
    )


def _size(document: Mapping[str, Any], winner: Mapping[str, Any]) -> tuple[str, str] | None:
    """How big the winner is, in parameters and bytes, as far as that is known."""
    parameters = winner.get("num_parameters")
    if parameters is None:
        return None
    rows = (document.get("efficiency") or {}).get("models") or []
    mine = [row for row in rows if row.get("model") == winner.get("model")]
    size = mine[0].get("size_bytes") if mine else None
    return millions(parameters), "parameters" + (f", {bytes_text(size)}" if size else "")
