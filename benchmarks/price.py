"""The price of choosing: every policy replayed on a record, each benchmark left out in turn.

    python benchmarks/price.py [--results DIR|demo] [--task TASK] [--out docs/results.md]
                               [--json benchmarks/results/price.json]

Prints the table, writes it as JSON, and rewrites the section of the page between the marks.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_select import pipeline
from hf_select.errors import HfSelectError
from hf_select.report.price import write_price_svg

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- price: begin -->", "<!-- price: end -->"
POLICIES = (
    "brute-force",
    "constant-epoch:1",
    "constant-epoch:2",
    "halving",
    "fractional-halving",
    "asha",
    "paper",
    "trend",
)
OURS = "trend"
RIVALS = {"halving": 0.5, "paper": 0.7, "fractional-halving": 1.0}
"""What share of each one's price ours may have at most, at no more regret than any of them."""
LETTER = "paper, raw scores (preset)"
ALONE = "the first one alone"
GROUPS = {
    "all": "All models (`trend` looks at them first, and pays for that)",
    "recall:10": "The 10 that the hybrid puts first",
    "recall": "What the hybrid recalls by itself",
    "recall:10:paper": "The 10 of the paper's recall",
}
JUDGED = ("all", "recall:10", "recall")
"""Where ours is held against its rivals: the paper's recall looks at representatives alone."""
DRAWN = {"all": "all models as candidates", "recall:10": "the 10 that the hybrid puts first"}
"""The groups that a figure is drawn of."""
COLUMNS = ("policy", "regret", "95 % interval", "worst", "price", "epochs", "winner's rank")


def measure(results: str, task: str) -> dict[str, Any]:
    """Both replays of one task: over all models, and over the recalled."""
    repo = pipeline.open_results(results)
    curves = repo.curves(task)
    document: dict[str, Any] = {
        "task": task,
        "models": len(curves.models),
        "datasets": list(curves.datasets),
        "seeds": len(curves.seeds),
        "epochs": float(curves.epochs[-1]),
        "candidates": {},
    }
    for candidates in GROUPS:
        try:
            document["candidates"][candidates] = replay_both_scales(results, task, candidates)
        except HfSelectError as error:
            document["candidates"][candidates] = error.to_dict()
    return document


def replay_both_scales(results: str, task: str, candidates: str) -> dict[str, Any]:
    """All policies on skill, and the paper's once more to the letter, on raw scores."""
    document = pipeline.replay(results, task, policies=POLICIES, candidates=candidates)
    others = {
        LETTER: pipeline.replay(
            results, task, policies=("paper",), candidates=candidates, preset="paper"
        )
    }
    if candidates != "all":
        only = re.sub(r"^recall(:\d+)?", "recall:1", candidates)
        first = pipeline.replay(results, task, policies=("brute-force",), candidates=only)
        others = {ALONE: first, **others}
    for name, other in others.items():
        (old,) = other["summary"]
        document["summary"][name] = other["summary"][old]
        for target, rows in other["targets"].items():
            document["targets"][target][name] = rows[old]
    return document


def table(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Markdown rows of one replay."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for name, row in summary.items():
        low, high = row["regret_ci"]
        cells = (
            name,
            f"{row['regret']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['regret_max']:.2f}",
            f"{row['price']:.2f}",
            f"{row['epochs']:.1f}",
            f"{row['winner_rank']:.1f}",
        )
        yield "| " + " | ".join(cells) + " |"


def figure_name(document: Mapping[str, Any], group: str) -> str:
    """Where the page finds a group's figure."""
    return f"figures/price-{document['task']}-{group.replace(':', '-')}.svg"


def verdict(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Ours against its rivals in one group: price ratios, regrets, and whether it is on the front.

    On the Pareto front: no policy has neither more regret nor a higher price, and one of them less.
    """
    ours = summary[OURS]
    beaten_by = [
        name
        for name, row in summary.items()
        if name not in (OURS, ALONE)
        and row["regret"] <= ours["regret"]
        and row["price"] <= ours["price"]
        and (row["regret"], row["price"]) != (ours["regret"], ours["price"])
    ]
    ratios = {name: ours["price"] / summary[name]["price"] for name in RIVALS}
    return {
        "ratios": ratios,
        "cheap_enough": {name: ratios[name] <= most for name, most in RIVALS.items()},
        "regret": ours["regret"],
        "least_rival_regret": min(summary[name]["regret"] for name in RIVALS),
        "beaten_by": beaten_by,
    }


def verdicts(document: Mapping[str, Any]) -> Iterator[str]:
    """Ours against its rivals, a row a group."""
    yield (
        "| candidates | price / halving's | / paper's | / fractional halving's | "
        "regret (least of the three) | on the front |"
    )
    yield "|---|---:|---:|---:|---:|---|"
    yield from _verdict_rows(document)


def _verdict_rows(document: Mapping[str, Any]) -> Iterator[str]:
    for group in JUDGED:
        found = document["candidates"][group]
        if "error" in found:
            continue
        one = verdict(found["summary"])
        prices = " | ".join(
            f"{one['ratios'][name]:.2f}{'' if one['cheap_enough'][name] else ' (missed)'}"
            for name in RIVALS
        )
        front = "yes" if not one["beaten_by"] else f"no: {', '.join(one['beaten_by'])}"
        least = one["least_rival_regret"]
        yield f"| {group} | {prices} | {one['regret']:.2f} ({least:.2f}) | {front} |"


def calibrations(document: Mapping[str, Any]) -> Iterator[str]:
    """What the chances of ours were worth, a row a group."""
    yield (
        "| candidates | dropped at P(best) < 5 % | promised best | were best | 95 % interval | "
        "winner: promised | was best |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for group in JUDGED:
        found = document["candidates"][group]
        cal = {} if "error" in found else found["summary"][OURS]["calibration"]
        if cal and cal["dropped"]:
            low, high = cal["interval"]
            yield (
                f"| {group} | {cal['dropped']} | {100 * cal['promised']:.1f} % | "
                f"{100 * cal['best']:.1f} % | {100 * low:.1f} to {100 * high:.1f} % | "
                f"{100 * cal['winner_promised']:.0f} % | {100 * cal['winner_best']:.0f} % |"
            )


def page(documents: Sequence[Mapping[str, Any]], results: str) -> str:
    """The section of the results page, all tasks."""
    record = "the shipped record" if results == "demo" else "a record"
    lines = [
        f"## The price of choosing, replayed on {record}",
        "",
        "Made by `python benchmarks/price.py`. Each benchmark set in turn is the target, and all",
        "that belongs to it is hidden. A policy sees the validation curves of one seed; its choice",
        "is judged by the mean test score over the other seeds, each seed in turn. Regret is in",
        "points (100 x metric) below the best of *all* models, `worst` is that of the worst",
        "target, the interval is a bootstrap over targets. Price is the cost of choosing, proxy",
        "passes included, over that of training the winner alone.",
    ]
    for document in documents:
        shape = f"{document['models']} models x {len(document['datasets'])} sets"
        lines += ["", f"### {document['task']}: {shape} x {document['seeds']} seeds"]
        lines += [
            "",
            f"`{OURS}` against its rivals: its price over theirs. It was to be at most half of",
            "halving's, 0.7 of the paper's and below fractional halving's, at no more regret than",
            "any of the three; where it isn't, it says missed.",
            "",
            *verdicts(document),
        ]
        lines += ["", "What its chances were worth:", "", *calibrations(document)]
        lines += [
            line
            for group, words in DRAWN.items()
            if "summary" in document["candidates"].get(group, {})
            for line in ("", f"![Price against regret, {words}]({figure_name(document, group)})")
        ]
        for candidates, found in document["candidates"].items():
            lines += ["", f"{GROUPS[candidates]}:", ""]
            if "error" in found:
                lines.append(f"not available: {found['error']['message']}")
                continue
            lines += table(found["summary"])
            if found.get("judged_by_same_seed"):
                lines += ["", "Judged by the same seed, for want of a second one: "]
                lines[-1] += ", ".join(found["judged_by_same_seed"])
    return "\n".join(lines)


def replace_section(text: str, section: str) -> str:
    """The page with its marked section rewritten, or added at the end."""
    block = f"{BEGIN}\n{section}\n{END}"
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if marked.search(text):
        return marked.sub(lambda _: block, text)
    return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"# Results\n\n{block}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default="demo", help="a results folder, or demo")
    parser.add_argument("--task", action="append", help="may be repeated; all if not given")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "price.json")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    options = parser.parse_args(arguments)
    try:
        tasks = options.task or pipeline.open_results(options.results).tasks()
        documents = [measure(options.results, task) for task in tasks]
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    for document in documents:
        for group, words in DRAWN.items():
            found = document["candidates"].get(group, {})
            if "summary" in found:
                write_price_svg(
                    found["summary"],
                    options.figures / Path(figure_name(document, group)).name,
                    ours=OURS,
                    heading=f"{document['task']}: {words}",
                )
    section = page(documents, options.results)
    print(section)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(
        json.dumps({"tasks": documents}, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    before = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(replace_section(before, section), encoding="utf-8")


if __name__ == "__main__":
    main()
