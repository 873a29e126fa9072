"""Does the hybrid know when its benchmarks don't represent a target? On real data, built for it.

    python benchmarks/novelty.py [--data build/zoo] [--work build/novelty] [--truth]

From rows of the starter zoo's sets (`scripts/build_zoo.py`) it makes targets unlike every benchmark
(what is asked of the same pictures or texts is another thing) and benchmarks in disguise (negative
pictures, other rows, labels renamed). With `--truth` every model is fine-tuned on each of them, two
seeds, resumable, so that the recall can be judged with and without what novelty changes. Prints the
table, writes it as JSON, and rewrites its section of docs/results.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from live_support import JSON, PAGE, ZOO, markdown, publish, say

from hf_select import pipeline
from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, InputError
from hf_select.locations import demo_folder
from hf_select.recall.replay import recall_regret
from hf_select.results.repo import ResultsRepo

Row = tuple[Any, int]
SEEDS = (0, 1)


# --------------------------------------------------------------------- what is asked of a row


def turned(picture: np.ndarray, number: int) -> Row:
    """Which way up is it?"""
    return np.rot90(picture, number % 4), number % 4


def noisy(picture: np.ndarray, number: int) -> Row:
    """How noisy is it?"""
    noise = np.random.default_rng(number).normal(0, (0, 12, 30, 60)[number % 4], picture.shape)
    return np.clip(picture + noise, 0, 255), number % 4


def placed(picture: np.ndarray, number: int) -> Row:
    """Where in a field of noise is the bit of it?"""
    field = np.clip(np.random.default_rng(number).normal(128, 25, picture.shape), 0, 255)
    down, right = divmod(number % 9, 3)
    field[2 + down * 10 : 8 + down * 10, 2 + right * 10 : 8 + right * 10] = picture[8:14, 8:14]
    return field, number % 9


def shuffled(text: str, number: int) -> Row:
    """Are its words in order?"""
    words = text.split()[:24]
    if number % 2:
        np.random.default_rng(number).shuffle(words)
    return " ".join(words), number % 2


def marked(text: str, number: int) -> Row:
    """In which third of it do strange words stand?"""
    words, at = text.split()[:20], number % 3 * 5
    words[at : at + 4] = ["zq"] * 4
    return " ".join(words), number % 3


def unlearnable(text: str, number: int) -> Row:
    """Nothing: its label is chance."""
    return text, int(np.random.default_rng(number).integers(5))


def negative(picture: np.ndarray) -> np.ndarray:
    """The picture with light and dark exchanged."""
    return 255 - picture


NOVEL: dict[str, tuple[str, str, Callable[..., Row]]] = {
    "animals: which way up?": ("image", "animal", turned),
    "clothes: how noisy?": ("image", "fashion_tops", noisy),
    "animals: where in the noise?": ("image", "animal", placed),
    "films: are the words in order?": ("text", "film_texts", shuffled),
    "newsgroups: where are strange words?": ("text", "newsgroups8", marked),
    "news: labels by chance": ("text", "bbc_news", unlearnable),
}
DISGUISED = {
    "image": ("mnist5k", "animal", "fashion_tops"),
    "text": ("bbc_news", "gloss_verbs", "udhr_lang"),
}


# ----------------------------------------------------------------------------- the targets


def build(data: Path, work: Path) -> list[dict[str, Any]]:
    """All targets as folders, made once: name, kind, novel, folder."""
    targets = []
    for name, (kind, source, ask) in NOVEL.items():
        folder = work / "targets" / f"novel-{source}-{ask.__name__}"
        save(folder, kind, lambda s=source, k=kind, a=ask: asked(data, s, k, a))
        targets.append({"target": name, "kind": kind, "novel": True, "folder": folder})
    for kind, sources in DISGUISED.items():
        for source in sources:
            folder = work / "targets" / f"disguised-{source}"
            save(folder, kind, lambda s=source, k=kind: disguised(data, s, k))
            name = f"{source}, {'negative, ' if kind == 'image' else ''}relabelled"
            targets.append({"target": name, "kind": kind, "novel": False, "folder": folder})
    return targets


def rows_of(data: Path, source: str, kind: str) -> dict[str, list[Row]]:
    """Split -> rows of a set of the zoo."""
    import datasets

    folder = data / "datasets" / source
    if not folder.exists():
        raise InputError(f"there is no {folder}", hint="run scripts/build_zoo.py")
    whole = datasets.load_from_disk(str(folder))
    column = "image" if kind == "image" else "text"
    return {
        split: [
            (
                np.asarray(row[column].convert("RGB")) if kind == "image" else row[column],
                row["label"],
            )
            for row in rows
        ]
        for split, rows in whole.items()
    }


def asked(data: Path, source: str, kind: str, ask: Callable[..., Row]) -> dict[str, list[Row]]:
    """The rows of a set with another question."""
    return {
        split: [ask(item, number) for number, (item, _) in enumerate(rows)]
        for split, rows in rows_of(data, source, kind).items()
    }


def disguised(data: Path, source: str, kind: str) -> dict[str, list[Row]]:
    """A set with its rows dealt anew, its labels renamed and its pictures negative."""
    splits = rows_of(data, source, kind)
    rows = list(itertools.chain(*splits.values()))
    rng = np.random.default_rng(1)
    renamed = rng.permutation(1 + max(label for _, label in rows))
    change = negative if kind == "image" else lambda text: f"{text} ."
    dealt = iter(
        [(change(rows[i][0]), int(renamed[rows[i][1]])) for i in rng.permutation(len(rows))]
    )
    return {split: list(itertools.islice(dealt, len(old))) for split, old in splits.items()}


def save(folder: Path, kind: str, make: Callable[[], Mapping[str, list[Row]]]) -> None:
    """Write a target as a `save_to_disk` folder, unless it is there."""
    import datasets
    from PIL import Image

    if folder.exists():
        return
    datasets.disable_progress_bars()
    splits = make()
    classes = 1 + max(label for rows in splits.values() for _, label in rows)
    column = "image" if kind == "image" else "text"
    features = datasets.Features(
        {
            column: datasets.Image() if kind == "image" else datasets.Value("string"),
            "label": datasets.ClassLabel(names=[f"class {i}" for i in range(classes)]),
        }
    )

    def shown(item: Any) -> Any:
        return Image.fromarray(np.asarray(item).astype("uint8")) if kind == "image" else item

    made = {
        split: datasets.Dataset.from_dict(
            {column: [shown(item) for item, _ in rows], "label": [label for _, label in rows]},
            features=features,
        )
        for split, rows in splits.items()
    }
    datasets.DatasetDict(made).save_to_disk(str(folder.with_suffix(".partial")))
    folder.with_suffix(".partial").rename(folder)


# ----------------------------------------------------------------------------- the verdicts


def verdict(target: Mapping[str, Any], truth: Path | None) -> dict[str, Any]:
    """What the hybrid says of a target, and what it would have lost."""
    task = f"{target['kind']}-classification"
    found = pipeline.recall(target["folder"], "demo", task=task).result
    row: dict[str, Any] = {
        "target": target["target"],
        "built": "unlike" if target["novel"] else "disguise",
        "novel": found.novel,
        "nearest": found.nearest_benchmarks[0][0].split("/")[-1],
        "similarity": found.nearest_benchmarks[0][1],
        "recalled": len(found.candidates),
        "why": found.novelty.why if found.novelty else "",
    }
    if truth is not None:
        scores = true_scores(truth, task, target["folder"].name)
        row["regret"] = lost(found.ranking, scores, row["recalled"])
        with mock.patch("hf_select.recall.hybrid.judge", return_value=None):
            plain = pipeline.recall(target["folder"], "demo", task=task).result
        row["recalled_without"] = len(plain.candidates)
        row["regret_without"] = lost(plain.ranking, scores, row["recalled_without"])
    return row


def lost(ranking: Sequence[str], scores: Mapping[str, float], recalled: int) -> dict[str, float]:
    """Regret of the first 1, 3 and of those recalled."""
    regrets = recall_regret(ranking, scores, (1, 3, recalled))
    return {"1": regrets["regret@1"], "3": regrets["regret@3"], "k": regrets[f"regret@{recalled}"]}


def true_scores(results: Path, task: str, name: str) -> dict[str, float]:
    """Model -> its mean test score on a target."""
    matrix = ResultsRepo.open(results).matrix(task)
    column = matrix.scores[:, matrix.datasets.index(f"target/{name}")]
    return dict(zip(matrix.models, column.tolist(), strict=True))


def fine_tune_all(targets: Sequence[Mapping[str, Any]], results: Path) -> Path:
    """Every model of the zoo on every target, with the recipe of the shipped record."""
    from hf_select.tasks.data import dataset_entry, load_target

    record = pipeline.open_results("demo")
    for kind in DISGUISED:
        task = f"{kind}-classification"
        models = Catalog.load(demo_folder()).only(task=task)
        mine = {f"target/{t['folder'].name}": t["folder"] for t in targets if t["kind"] == kind}
        entries = tuple(
            dataset_entry(load_target(folder, task=task), repo_id=name)
            for name, folder in mine.items()
        )
        catalog = replace(models, datasets=entries, locations={**models.locations, **mine})
        path = results.with_name(f"catalog-{kind}.json")
        catalog.save(path)
        pipeline.benchmark(
            results,
            path,
            task=task,
            seeds=SEEDS,
            recipe=pipeline.record_recipe(record, task),
            proxies=(),
            say=say,
        )
    return results


# ----------------------------------------------------------------------------- the page


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The section of the results page."""
    lines = [
        "## Targets that the benchmarks don't represent",
        "",
        "Made by `python benchmarks/novelty.py --truth`, with the shipped record and models. Real",
        "pictures and texts; what is asked of them is built to be unlike every benchmark, or a",
        "benchmark is put in disguise. Similarity is that of the nearest benchmark.",
    ]
    if any("regret" in row for row in rows):
        lines += [
            "Regret is in points, of the first, of the first 3 and of those recalled, against all",
            "models fine-tuned with two seeds; behind the bar without what novelty changes.",
        ]
    return "\n".join([*lines, "", *table(rows)])


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row a target."""
    columns = ["target", "built as", "novel", "nearest", "similarity", "recalled", "regret"]
    return markdown(columns, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> list[str]:
    regret = "-"
    if "regret" in row:
        with_it, without = row["regret"], row["regret_without"]
        regret = " / ".join(f"{with_it[k]:.1f}" for k in "13k")
        if row["novel"]:
            regret += " \\| " + " / ".join(f"{without[k]:.1f}" for k in "13k")
    return [
        row["target"],
        row["built"],
        "yes" if row["novel"] else "no",
        row["nearest"],
        f"{row['similarity']:.2f}",
        str(row["recalled"]),
        regret,
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, look, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ZOO)
    parser.add_argument("--work", type=Path, default=ZOO.parent / "novelty")
    parser.add_argument(
        "--truth", action="store_true", help="fine-tune every model on every target"
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "novelty.json")
    options = parser.parse_args(arguments)
    try:
        targets = build(options.data, options.work)
        truth = fine_tune_all(targets, options.work / "truth") if options.truth else None
        rows = []
        for target in targets:
            say(f"looking at: {target['target']}")
            rows.append(verdict(target, truth))
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    publish("novelty", page(rows), {"targets": rows}, options.out, options.json)


if __name__ == "__main__":
    main()
