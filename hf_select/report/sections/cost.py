"""What choosing cost, against what else it could have cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_select.report.markup import Sheet, bar
from hf_select.report.svg import esc
from hf_select.report.words import amount, count, listed, seconds_text, times


def cost(document: Mapping[str, Any], sheet: Sheet) -> str:
    """The price of this selection between those of others, as bars."""
    spent, base = document.get("cost") or {}, document.get("baselines") or {}
    price, horizon = document.get("price"), document.get("horizon")
    if price is None or spent.get("epochs") is None:
        return ""
    funnel = document.get("funnel") or {}
    record, recalled = funnel.get("record") or 0, funnel.get("recalled") or 0
    proxy = spent.get("proxy_epochs") or 0.0
    rows = [("This selection", spent["epochs"] + proxy, price, "mine")]
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
        f'{bar(p / widest)}</td><td class="num">{times(p)}</td>'
        f'<td class="num">{amount(e)}</td></tr>\n'
        for label, e, p, kind in rows
    )
    words = (
        f"The price is the work in epochs over the {amount(horizon)} epochs that it takes to "
        f"train the winner alone: {amount(spent['epochs'])} epochs of fine-tuning and "
        f"{amount(proxy)} epochs' worth of proxy passes. "
        f"Training took {seconds_text(spent.get('seconds'))}, everything together "
        f"{seconds_text(document.get('seconds'))}."
    )
    return sheet.section(
        "cost",
        "What choosing cost",
        f"<p>{esc(words)}{esc(_expected(document))}</p>\n",
        '<table class="bars"><thead><tr><th scope="col">way to choose</th>'
        '<td></td><th scope="col">price</th><th scope="col">epochs</th></tr></thead>\n'
        f"<tbody>{lines}</tbody></table>\n",
    )


def _expected(document: Mapping[str, Any]) -> str:
    """What it was expected to cost before it began, against what it did."""
    expected = document.get("expected") or {}
    if expected.get("price") is None:
        return ""
    parts = []
    if expected.get("looks"):
        parts.append(f"{count(expected['looks'], 'model')} looked at")
    if expected.get("trainings") is not None:
        parts.append(f"{expected['trainings']:.1f} full trainings")
    said = f" Expected before it began: a price of {times(expected['price'])}"
    said += f" ({listed(parts)})" if parts else ""
    if expected.get("seconds") is not None:
        said += f", about {seconds_text(expected['seconds'])}"
    return f"{said}; it came to {times(document.get('price'))}."
