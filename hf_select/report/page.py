"""The HTML page of a selection: one file, no network, drawn from the document alone."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_select.files import write_atomic
from hf_select.metrics import find_metric
from hf_select.report import story
from hf_select.report.curves import (
    Series,
    better_is_higher,
    curve_series,
    learning_curves_svg,
    tick_text,
)
from hf_select.report.document import (
    candidate_name,
    epochs_text,
    metric_text,
    own_pace,
    score_text,
)
from hf_select.report.heatmap import matrix_svg
from hf_select.report.price import price_svg
from hf_select.report.svg import asset, esc, short_names

MAX_DOTS = 120
"""Above that many models the funnel counts in words only: dots would say nothing."""

MAX_NAMES = 60
"""How many names a running list shows before it says how many more there are."""

_AUTO_CLASSES = {
    "image-classification": "AutoModelForImageClassification",
    "image-regression": "AutoModelForImageClassification",
    "text-classification": "AutoModelForSequenceClassification",
    "text-regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
}


def write_report(document: Mapping[str, Any], path: str | Path) -> Path:
    """Render the document into `path`, which is either the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render(document).encode())
    return path


def render(document: Mapping[str, Any]) -> str:
    """The page as one string. Every text of the document is escaped, nothing is loaded."""
    script = asset("page.js")
    proof = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{proof}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    target = esc(document.get("target", ""))
    body = "".join(
        (
            _answer(document),
            _learning(document),
            _fates(document),
            _evidence(document),
            _cost(document),
            _replayed(document),
            _record(document),
            _details(document),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>Which model for {target}? · hf-select</title>\n"
        f"<style>\n{asset('figure.css')}{asset('style.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n{_footer(document)}"
        f'<script type="application/json" id="data">{_payload(document)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


# ----------------------------------------------------------------------------------- helpers


def embed_json(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, so no end tag and no comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def seconds_text(seconds: float | None) -> str:
    """A time in words: "8.4 s", "1 min 48 s", "2 h 5 min"."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _times(price: float | None) -> str:
    """A price: 1.9×, 24×."""
    if price is None:
        return "–"
    if price < 10:
        return f"{price:.2g}×"
    return f"{price:.3g}×" if price < 100 else f"{price:,.0f}×"


def _amount(value: float | None) -> str:
    """A number of any size in about four digits."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return text.replace("-", "−")


def _fixed(value: float | None) -> str:
    """A number for a column: three decimals, so that they stand under each other."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _section(name: str, title: str, *parts: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{esc(title)}</h2>\n{"".join(parts)}</section>\n'
    )


def _and(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _list_names(
    models: Sequence[str], strong: Iterable[str] = (), starred: str | None = None
) -> str:
    """Names after each other, some bold, the starred one first."""
    bold = set(strong)
    models = sorted(models, key=lambda m: m != starred) if starred else models
    shown = [
        f"<b>{star}{esc(m)}</b>" if m in bold else f"<span>{star}{esc(m)}</span>"
        for m in models[:MAX_NAMES]
        for star in ("★ " if m == starred else "",)
    ]
    more = len(models) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _winner(document: Mapping[str, Any]) -> Mapping[str, Any]:
    winner: Mapping[str, Any] = document.get("winner") or {}
    return winner


def _recalled(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((document.get("recall") or {}).get("candidates", []))


def _payload(document: Mapping[str, Any]) -> str:
    """What the script needs for its tooltips."""
    metric = str(document.get("metric", ""))
    return embed_json(
        {
            str(s.rank): {
                "name": s.model,
                "end": s.end,
                "points": [
                    [epochs_text(e), score_text(v, metric), "" if t is None else seconds_text(t)]
                    for e, v, t in zip(s.epochs, s.val, s.seconds, strict=True)
                ],
            }
            for s in curve_series(document)
        }
    )


# -------------------------------------------------------------------------------- the answer


def _answer(document: Mapping[str, Any]) -> str:
    winner, metric = _winner(document), str(document.get("metric", "score"))
    name, target = winner.get("model", "–"), document.get("target", "")
    task = str(document.get("task", "")).replace("-", " ")
    long = ' class="long"' if len(f"{target}{name}") > 48 else ""
    return (
        f'<header>\n<p class="kicker">Model selection <span>·</span> {esc(task)}</p>\n'
        f"<h1{long}>For {esc(target)}, choose <em>{esc(name)}</em></h1>\n"
        f'<p class="standfirst">{_standfirst(document, metric)}</p>\n'
        f"{_ended(document)}{_numbers(document, metric)}{_funnel(document)}</header>\n"
    )


def _standfirst(document: Mapping[str, Any], metric: str) -> str:
    winner, price = _winner(document), document.get("price")
    rows = (document.get("data") or {}).get("rows", {}).get("test")
    where = f"{rows:,} test rows" if rows else "the test rows"
    test = f"{score_text(winner.get('test'), metric)} {esc(metric_text(metric))}"
    how = "Fine-tuned"
    tried = story.rates(document)
    if tried:
        how += f" with a learning rate of {_rate(winner.get('learning_rate'))}, of "
        how += f"{_and([_rate(rate) for rate in tried])} tried"
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
            f" Choosing it among {_count(record, 'model')} cost <b>{_times(price)}</b> the training"
            " of one model"
        )
        base = document.get("baselines") or {}
        if "brute_force_all" in base and "halving_all" in base:
            out.append(
                f"; training them all would have cost {_times(base['brute_force_all']['price'])}, "
                f"successive halving {_times(base['halving_all']['price'])}"
            )
        out.append(".")
    return "".join(out) + _oracle(document, metric)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:g}"


def _ended(document: Mapping[str, Any]) -> str:
    """That the budget ended it, where it did."""
    if not document.get("ended"):
        return ""
    why = str(document["ended"])
    return (
        '<p class="ended"><b>The budget was used up before it was over.</b> '
        f"{esc(why[:1].upper() + why[1:])}.</p>\n"
    )


def _oracle(document: Mapping[str, Any], metric: str) -> str:
    """How good the choice was, where the true best is known (a demo, a replay)."""
    oracle, regret = document.get("oracle"), document.get("regret")
    if not oracle or regret is None:
        return ""
    points = f"{regret:.2f}".replace("-", "−")
    return (
        f" The true best, known from training every model to the end, is "
        f"{esc(oracle.get('model', '–'))} with {score_text(oracle.get('test'), metric)}: "
        f"a regret of {points} points."
    )


def _numbers(document: Mapping[str, Any], metric: str) -> str:
    winner, cost = _winner(document), document.get("cost") or {}
    epochs = None
    if cost.get("epochs") is not None:
        epochs = cost["epochs"] + (cost.get("proxy_epochs") or 0.0)
    cells = (
        (score_text(winner.get("test"), metric), f"test {metric_text(metric)}"),
        (score_text(winner.get("val"), metric), f"validation {metric_text(metric)}"),
        (_times(document.get("price")), "price of choosing"),
        ("–" if epochs is None else f"{epochs:,.1f}", "epochs of work"),
        (seconds_text(document.get("seconds")), "from start to winner"),
    )
    return (
        '<dl class="numbers">'
        + "".join(
            f"<div><dt>{esc(label)}</dt><dd>{esc(value)}</dd></div>" for value, label in cells
        )
        + "</dl>\n"
    )


def _funnel(document: Mapping[str, Any]) -> str:
    found = story.stages(document)
    if not found:
        return ""
    total = found[0].count
    out = []
    for stage in found:
        dots = _dots(stage.count, total) if total <= MAX_DOTS else ""
        out.append(
            f'<li class="{stage.key}"><span class="count">{stage.count:,}</span> '
            f"<b>{esc(stage.label)}</b>{dots}<small>{esc(stage.more)}</small></li>"
        )
    return f'<ol class="funnel" aria-label="From the record to the winner">{"".join(out)}</ol>\n'


def _dots(count: int, total: int) -> str:
    """The models as dots, those still there filled."""
    down = max(1, -(-total // 12))
    across = max(1, -(-total // down))
    on: list[str] = []
    off: list[str] = []
    for k in range(total):
        x, y = 5 + 11 * (k % across), 5 + 11 * (k // across)
        (on if k < count else off).append(f"M{x - 4} {y}a4 4 0 1 0 8 0a4 4 0 1 0-8 0")
    return (
        f'<svg class="dots" viewBox="0 0 {across * 11} {down * 11}" width="{across * 11}" '
        f'height="{down * 11}" aria-hidden="true">'
        f'<path class="gone" d="{"".join(off)}"/><path class="here" d="{"".join(on)}"/></svg>'
    )


# ----------------------------------------------------------------------------- learning curves


def _learning(document: Mapping[str, Any]) -> str:
    series = curve_series(document)
    if not series:
        return ""
    wide = learning_curves_svg(document, standalone=False)
    narrow = learning_curves_svg(document, width=372, height=430, named=False, standalone=False)
    legend = "".join(
        f'<li><button type="button" class="{s.role}" data-i="{s.rank}" aria-pressed="true">'
        f'<span class="swatch"></span><span class="rank">{s.rank}</span> '
        f'<span class="name">{esc(s.model)} <small>{esc(_until(s))}</small></span></button></li>'
        for s in series
    )
    return _section(
        "learning",
        "How they learned",
        f'<p class="lede">{esc(story.course(document))}</p>\n',
        f'<figure class="chart">\n<div class="wide">{wide}</div>\n<div class="narrow">{narrow}'
        f'</div>\n<div class="tip" hidden></div>\n<ul class="legend">{legend}</ul>\n'
        f'<p class="keys">Hover, or tab to a line and use the arrow keys, to read its points; '
        "press a name to hide it.</p>\n"
        f"<figcaption>{esc(_caption(document))}</figcaption>\n</figure>\n",
        _steps(document),
    )


def _until(line: Series) -> str:
    """A candidate's fate in the few characters that the legend has room for."""
    if line.role == "winner":
        return "winner"
    if line.role == "failed":
        return "failed"
    return f"to {tick_text(line.epochs[-1])}"


def _caption(document: Mapping[str, Any]) -> str:
    said = ["Each line is one candidate; it ends where the candidate was let go (×)."]
    if not own_pace(document):
        said.append("The numbers on top count the candidates that were live at each decision.")
    said.append("Scores are on the validation split; the test split was used once, for the winner.")
    ranking = document.get("ranking", [])
    forecast = [row for row in ranking if row.get("interval") and row.get("predicted") is not None]
    if forecast:
        said.append(
            "On the right is what was last expected of each candidate’s test score when fully "
            "trained (dot) with its 95 % interval; the diamond is the winner’s test score."
        )
        if any(not row.get("epochs") for row in forecast):
            said.append(
                "Thin ones were never trained; of those, as many are drawn as there is room for."
            )
    return " ".join(said)


def _steps(document: Mapping[str, Any]) -> str:
    """Every decision of the policy, folded away."""
    found = story.steps(document)
    if not found:
        return ""
    chances, notes = any(step.chance for step in found), any(step.note for step in found)
    heads = ["step", "trained", "to", "validation", "ahead then"]
    heads += ["P(best)"] if chances else []
    heads += ["dropped"]
    heads += ["and next"] if notes else []
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in heads)
    body = "".join(_step(step, chances, notes) for step in found)
    return (
        f'<details class="steps"><summary>How it went, in {_count(len(found), "step")}</summary>\n'
        f'<table class="fates"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
        "</details>\n"
    )


def _step(step: story.Step, chances: bool, notes: bool) -> str:
    """A step's line in the table."""
    cells = [
        _cell(str(step.number), "rank"),
        _cell(step.trained, "name"),
        _cell(step.to, "num", "to"),
        _cell(step.val, "num", "validation"),
        _cell(step.leader or "–", "num", "ahead then"),
    ]
    cells += [_cell(step.chance or "–", "num", "P(best)")] if chances else []
    cells += [_cell(str(step.dropped), "num", "dropped")]
    cells += [_cell(step.note, "why")] if notes else []
    return f"<tr>{chr(10).join(cells)}</tr>\n"


# ------------------------------------------------------------------------------ who was dropped


def _fates(document: Mapping[str, Any]) -> str:
    ranking = document.get("ranking", [])
    metric = str(document.get("metric", ""))
    forecast = any(row.get("predicted") is not None for row in ranking)
    p_best = any(row.get("p_best") is not None for row in ranking)
    heads = ["", "model", "trained", "validation"]
    heads += ["forecast"] if forecast else []
    heads += ["P(best)"] if p_best else []
    heads += ["why"]
    body = ""
    for name, group in story.fates(document).items():
        lines = "".join(_fate(rank, row, metric, forecast, p_best) for rank, row in group)
        body += (
            f'<tbody><tr class="group"><th colspan="{len(heads)}" scope="rowgroup">{esc(name)}</th>'
            f"</tr>\n{lines}</tbody>\n"
        )
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in heads)
    policy = esc(document.get("policy", ""))
    any_dropped = any(row.get("status", "dropped") == "dropped" for row in ranking)
    return _section(
        "dropped",
        "Why each model was dropped" if any_dropped else "Why the others were not chosen",
        f"<p>Decided by the policy <b>{policy}</b>, from validation scores only.</p>\n",
        f'<table class="fates"><thead><tr>{head}</tr></thead>\n{body}</table>\n',
    )


def _fate(rank: int, row: Mapping[str, Any], metric: str, forecast: bool, p_best: bool) -> str:
    """A candidate's line in the table."""
    cells = [
        _cell(str(rank), "rank"),
        _cell(candidate_name(row), "name"),
        _cell(epochs_text(row["epochs"]) if row.get("epochs") else "–", "num", "trained"),
        _cell(score_text(row.get("val"), metric), "num", "validation"),
    ]
    if forecast:
        cells.append(_forecast_cell(row, metric))
    if p_best:
        chance = row.get("p_best")
        cells.append(_cell("–" if chance is None else f"{chance:.2f}", "num", "P(best)"))
    cells.append(_cell(row.get("reason") or "–", "why"))
    return f'<tr class="{esc(row.get("status", ""))}">{chr(10).join(cells)}</tr>\n'


def _forecast_cell(row: Mapping[str, Any], metric: str) -> str:
    """The forecast with its interval, which ends where the metric does."""
    text, interval = esc(score_text(row.get("predicted"), metric)), row.get("interval")
    if interval and None not in interval:
        how = find_metric(metric)
        least, most = how.bounds if how is not None else (-math.inf, math.inf)
        low, high = (score_text(min(most, max(least, end)), metric) for end in interval)
        text += f" <small>({esc(low)} to {esc(high)})</small>"
    return f'<td class="num" data-label="forecast">{text}</td>'


def _cell(text: str, kind: str, label: str = "") -> str:
    if kind == "why":
        text = text.replace(" %", "\N{NO-BREAK SPACE}%")
    named = f' data-label="{esc(label)}"' if label else ""
    return f'<td class="{kind}"{named}>{esc(text)}</td>'


# --------------------------------------------------------------------------- why these recalled


def _evidence(document: Mapping[str, Any]) -> str:
    recall = document.get("recall") or {}
    rows = _recalled(document)
    if not rows:
        return ""
    metric = str(document.get("metric", ""))
    winner = _winner(document).get("model")
    proxies = list(recall.get("proxy", []))
    in_units = any(c.get("predicted_score") is not None for c in rows)
    chances = any(c.get("p_best") is not None for c in rows)
    heads = ["", "model", "prior", *proxies, "cluster", "P(best)" if chances else "score"]
    heads += [f"predicted {metric_text(metric)}"] if in_units else ["predicted skill"]
    best = {p: max((c["proxies"].get(p) or -1e300 for c in rows), default=None) for p in proxies}
    scale = _range([c for c in rows if c.get("predicted_score") is not None])
    body = []
    for rank, c in enumerate(rows, 1):
        why = f"<small>{esc(c.get('reason', ''))}</small>"
        cells = [
            _cell(str(rank), "rank"),
            f'<th scope="row" class="name">{esc(c["model"])}{why}</th>',
            _cell(_fixed(c.get("prior")), "num"),
        ]
        for p in proxies:
            value = c["proxies"].get(p)
            top = "num top" if value is not None and value == best[p] else "num"
            cells.append(_cell(_fixed(value), top))
        cells.append(_cell(_cluster_text(c), "cluster"))
        cells.append(_cell(_fixed(c.get("p_best" if chances else "score")), "num"))
        if in_units:
            cells.append(f'<td class="num">{_interval(c, scale, metric)}</td>')
        else:
            cells.append(_cell(_fixed(c.get("predicted")), "num"))
        kind = ' class="winner"' if c["model"] == winner else ""
        body.append(f"<tr{kind}>{''.join(cells)}</tr>\n")
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in heads)
    return _section(
        "recall",
        f"Why these {len(rows)} were recalled" if len(rows) > 1 else "Why this one was recalled",
        f"<p>{_recall_words(document)}</p>\n",
        '<div class="scroll" tabindex="0" role="region" aria-label="Evidence of the recall">'
        f'<table class="evidence"><thead><tr>{head}</tr></thead>\n<tbody>{"".join(body)}</tbody>'
        "</table></div>\n",
        '<p class="note">Prior: mean skill on the benchmarks of the record (0 trivial, 1 perfect). '
        "Proxies need one look at the target and no training. A star marks a cluster's "
        "representative.</p>\n",
        _not_recalled(document),
    )


def _recall_words(document: Mapping[str, Any]) -> str:
    recall = document["recall"]
    record = (document.get("funnel") or {}).get("record")
    among = f" of {_count(record, 'model')}" if record else ""
    said = [f"Recalled by the method <b>{esc(recall.get('method', ''))}</b>{among}"]
    if recall.get("proxy"):
        said.append(f", with {esc(_and(recall['proxy']))} on the target's training rows")
    said.append(".")
    near = recall.get("nearest_benchmarks") or []
    if near:
        names = [f"{row['dataset']} ({_fixed(row['similarity'])})" for row in near[:3]]
        said.append(f" The nearest benchmarks, by how models look on them, are {esc(_and(names))}.")
    if recall.get("outside") is not None:
        said.append(
            " The chance that the best model of the record is not among these is "
            f"{100 * recall['outside']:.0f} %."
        )
    if recall.get("novel"):
        novelty = recall.get("novelty") or {}
        said.append(
            " <b>The target looks unlike the benchmarks of the record</b>: "
            f"{esc(novelty.get('why', ''))}. Because of that, {esc(novelty.get('changed', ''))}."
        )
    return "".join(said)


def _not_recalled(document: Mapping[str, Any]) -> str:
    recall = document["recall"]
    taken = {c["model"] for c in _recalled(document)}
    rest = [m for m in recall.get("ranking", []) if m not in taken]
    out = ""
    if rest:
        out += f'<p class="note names">Ranked lower, not recalled: {_list_names(rest)}.</p>\n'
    skipped = recall.get("skipped") or []
    if skipped:
        rows = "".join(
            f"<li><b>{esc(row['model'])}</b> {esc(row['reason'])}</li>" for row in skipped
        )
        out += f'<p class="note">Could not be ranked:</p><ul class="note">{rows}</ul>\n'
    return out


def _cluster_text(candidate: Mapping[str, Any]) -> str:
    cluster = candidate.get("cluster")
    if cluster is None:
        return "–"
    if candidate.get("cluster_size") == 1:
        return "alone"
    return f"{cluster} ★" if candidate.get("representative") else str(cluster)


def _range(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    if not rows:
        return 0.0, 1.0
    ends = []
    for c in rows:
        spread = c.get("predicted_spread") or 0.0
        ends += [c["predicted_score"] - spread, c["predicted_score"] + spread]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _interval(c: Mapping[str, Any], scale: tuple[float, float], metric: str) -> str:
    """The predicted score with its spread, as a number and as a small range."""
    value, spread = c.get("predicted_score"), c.get("predicted_spread")
    if value is None:
        return "–"
    low, high = scale

    def x(v: float) -> float:
        return 4 + 92 * (v - low) / (high - low)

    line, text = "", score_text(value, metric)
    if spread is not None:
        line = f'<path class="span" d="M{x(value - spread):.1f} 7H{x(value + spread):.1f}"/>'
        text += f" ± {score_text(spread, metric)}"
    return (
        f'{esc(text)}<svg class="range" viewBox="0 0 100 14" width="100" height="14" '
        f'aria-hidden="true"><path class="base" d="M4 7H96"/>{line}'
        f'<circle cx="{x(value):.1f}" cy="7" r="3.5"/></svg>'
    )


# ------------------------------------------------------------------------------------ the cost


def _cost(document: Mapping[str, Any]) -> str:
    cost, base = document.get("cost") or {}, document.get("baselines") or {}
    price, horizon = document.get("price"), document.get("horizon")
    if price is None or cost.get("epochs") is None:
        return ""
    funnel = document.get("funnel") or {}
    record, recalled = funnel.get("record") or 0, funnel.get("recalled") or 0
    proxy = cost.get("proxy_epochs") or 0.0
    rows = [("This selection", cost["epochs"] + proxy, price, "mine")]
    expected = (document.get("expected") or {}).get("price")
    if expected is not None and horizon:
        rows.append(("What was expected of it", expected * horizon, expected, "expected"))
    for key, label in (
        ("halving_recalled", f"Successive halving over the {recalled} recalled"),
        ("brute_force_recalled", f"Brute force over the {recalled} recalled"),
        ("halving_all", f"Successive halving over all {record}"),
        ("brute_force_all", f"Brute force over all {record}"),
    ):
        if key in base:
            rows.append((label, base[key]["epochs"], base[key]["price"], ""))
    rows.sort(key=lambda row: row[2])
    widest = max(row[2] for row in rows) or 1.0
    lines = "".join(
        f'<tr class="{kind}"><th scope="row">{esc(label)}</th><td class="bar">'
        f'<span style="width:{max(0.4, 100 * p / widest):.2f}%"></span></td>'
        f'<td class="num">{_times(p)}</td><td class="num">{_amount(e)}</td></tr>\n'
        for label, e, p, kind in rows
    )
    words = (
        f"The price is the work in epochs over the {_amount(horizon)} epochs that it takes to "
        f"train the winner alone: {_amount(cost['epochs'])} epochs of fine-tuning and "
        f"{_amount(proxy)} epochs' worth of proxy passes. "
        f"Training took {seconds_text(cost.get('seconds'))}, everything together "
        f"{seconds_text(document.get('seconds'))}."
    )
    return _section(
        "cost",
        "What choosing cost",
        f"<p>{esc(words)}{esc(_expected(document))}</p>\n",
        '<table class="bars"><thead><tr><th scope="col">way to choose</th><th></th>'
        f'<th scope="col">price</th><th scope="col">epochs</th></tr></thead>\n'
        f"<tbody>{lines}</tbody></table>\n",
    )


def _expected(document: Mapping[str, Any]) -> str:
    """What it was expected to cost before it began, against what it did."""
    expected = document.get("expected") or {}
    if expected.get("price") is None:
        return ""
    parts = []
    if expected.get("looks"):
        parts.append(f"{_count(expected['looks'], 'model')} looked at")
    if expected.get("trainings") is not None:
        parts.append(f"{expected['trainings']:.1f} full trainings")
    said = f" Expected before it began: a price of {_times(expected['price'])}"
    said += f" ({_and(parts)})" if parts else ""
    if expected.get("seconds") is not None:
        said += f", about {seconds_text(expected['seconds'])}"
    return f"{said}; it came to {_times(document.get('price'))}."


def _replayed(document: Mapping[str, Any]) -> str:
    """Price against regret of every policy, where the record was replayed."""
    found = document.get("replayed")
    if not found:
        return ""
    ours = str(document.get("policy", ""))
    of = _count((document.get("expected") or {}).get("replayed") or 0, "benchmark")
    wide = price_svg(found, ours=ours, width=960, height=470, standalone=False)
    narrow = price_svg(found, ours=ours, width=372, height=460, standalone=False)
    rows = "".join(
        f"<tr>{_cell(str(name), 'name')}{_cell(_amount(row.get('regret')), 'num')}"
        f"{_cell(_times(row.get('price')), 'num')}</tr>\n"
        for name, row in found.items()
    )
    return _section(
        "replayed",
        "What choosing costs, policy by policy",
        f"<p>Policies with the same recall, replayed on {of} of the record, each left out in "
        "turn, one seed: what choosing cost, and how far the chosen model’s test score was from "
        "the best of all. So few targets tell prices, and regrets only roughly. "
        "Cheap and good is bottom left; on the dashed line are those that none beats on both "
        "counts.</p>\n",
        f'<figure class="plane"><div class="wide">{wide}</div>\n<div class="narrow">{narrow}</div>'
        "</figure>\n<details><summary>The numbers</summary>\n"
        '<table><thead><tr><th scope="col">policy</th><th scope="col">regret, points</th>'
        f'<th scope="col">price</th></tr></thead>\n<tbody>{rows}</tbody></table></details>\n',
    )


# ----------------------------------------------------------------------------------- the record


def _record(document: Mapping[str, Any]) -> str:
    clusters, matrix = document.get("clusters"), document.get("matrix")
    if not clusters and not matrix:
        return ""
    out = []
    if clusters:
        out.append(_clusters(document, clusters))
    if matrix and matrix.get("models") and matrix.get("datasets"):
        out.append(
            '<figure><div class="scroll" tabindex="0" role="region" '
            f'aria-label="Heat map of the record">{matrix_svg(document, standalone=False)}</div>\n'
            "<figcaption>Skill of each model (rows, by cluster) on each benchmark (columns, easiest"
            " first): 0 is the trivial predictor, 100 is perfect. Recalled models are in bold, the "
            "winner in colour.</figcaption></figure>\n"
        )
    return _section("record", "The record behind it", *out)


def _clusters(document: Mapping[str, Any], clusters: Mapping[str, Any]) -> str:
    groups = clusters.get("groups", [])
    many = [g for g in groups if len(g["models"]) > 1]
    alone = [g["models"][0] for g in groups if len(g["models"]) == 1]
    recalled = [c["model"] for c in _recalled(document)]
    silhouette = clusters.get("silhouette")
    quality = "" if silhouette is None else f", silhouette {silhouette:.3f}".replace("-", "−")
    words = (
        f"Models that scored alike on the benchmarks stand in one cluster: "
        f"{_count(len(many), 'cluster')} of two or more, {_count(len(alone), 'model')} alone "
        f"({clusters.get('algorithm', '')}, threshold {_amount(clusters.get('threshold'))}"
        f"{quality}). ★ is the representative; recalled models are bold."
    )
    items = [
        f'<li><span class="id">{esc(g["id"])}</span><span class="names">'
        f"{_list_names(g['models'], recalled, g.get('representative'))}</span></li>"
        for g in many
    ]
    if alone:
        items.append(
            f'<li><span class="id">alone</span><span class="names">{_list_names(alone, recalled)}'
            "</span></li>"
        )
    return f'<p>{esc(words)}</p>\n<ul class="clusters">{"".join(items)}</ul>\n'


# ------------------------------------------------------------------------- data, recipe, origin


def _details(document: Mapping[str, Any]) -> str:
    data, recipe = document.get("data") or {}, dict(document.get("recipe") or {})
    rows = [(f"{split} rows", f"{n:,}") for split, n in (data.get("rows") or {}).items()]
    early, full = data.get("early_rows"), (data.get("rows") or {}).get("validation")
    if early and full and early < full:
        rows.append(("validation rows before epoch 1", f"{early:,}"))
    if data.get("fingerprint"):
        rows.append(("fingerprint", str(data["fingerprint"])))
    notes = data.get("notes") or []
    checks = (
        f'<ul class="notes">{"".join(f"<li>{esc(n)}</li>" for n in notes)}</ul>'
        if notes
        else '<p class="note">The data checks found nothing to say.</p>'
    )
    digest = recipe.pop("digest", None)
    settings = [
        (k.replace("_", " "), "all" if k.endswith("_samples") and v == 0 else _setting(v))
        for k, v in recipe.items()
    ]
    if digest:
        settings.append(("digest", str(digest)))
    origin = [
        ("policy", str(document.get("policy", ""))),
        ("processes", str(document.get("num_processes", 1))),
        *((name, str(version)) for name, version in (document.get("versions") or {}).items()),
    ]
    if document.get("created"):
        origin.append(("made", str(document["created"])))
    ranking = document.get("ranking", [])
    commits = list({row["model"]: row.get("revision") or "–" for row in ranking}.items())
    return _section(
        "details",
        "Data, recipe, provenance",
        '<div class="columns">',
        f"<div><h3>Data</h3>{_pairs(rows)}{checks}</div>",
        f"<div><h3>Recipe</h3>{_pairs(settings)}</div>",
        f"<div><h3>Made with</h3>{_pairs(origin)}</div>",
        "</div>\n",
        _usage(document),
        f"<details><summary>Commits of the candidates</summary>{_pairs(commits)}</details>\n",
    )


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_setting(v) for v in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in rows)
    return f'<dl class="pairs">{inner}</dl>'


def _usage(document: Mapping[str, Any]) -> str:
    checkpoint = _winner(document).get("checkpoint")
    if not checkpoint:
        return ""
    loader = _AUTO_CLASSES.get(str(document.get("task", "")), "AutoModel")
    code = (
        f"from transformers import {loader}\n\n"
        f"model = {loader}.from_pretrained({json.dumps(str(checkpoint), ensure_ascii=False)})"
    )
    return f"<h3>Load the winner</h3>\n<pre><code>{esc(code)}</code></pre>\n"


def _footer(document: Mapping[str, Any]) -> str:
    names = short_names([str(_winner(document).get("model", "–"))], 60)
    return (
        f"<footer><p>{esc(next(iter(names.values())))} for {esc(document.get('target', ''))}, "
        "chosen by hf-select. This page stands alone: it loads nothing.</p></footer>\n"
    )
