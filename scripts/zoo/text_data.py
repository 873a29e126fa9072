"""Lay out the text side: targets, benchmark sets, then pools that share no row with either."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoo.rows import Rows, split_rows, without
from zoo.sources import TEXT_SOURCES, Packages, fetch
from zoo.store import (
    fingerprint,
    load_pool,
    save_csv,
    save_dataset,
    save_pool,
    write_folder,
    write_json,
)
from zoo.texts import (
    BENCHMARKS,
    LATER,
    POOLS,
    Benchmark,
    near_duplicates,
    rated_tweets,
    wordnet_nouns,
)

TARGET, RATED = "wordnet-nouns", "rated-tweets"
RATED_SIZES = (900, 300, 400)

NOTICE = """\
The rows of this folder are glosses of nouns out of WordNet 3.0 (Debian package wordnet-base),
each with the name of the lexicographer file it stands in. Examples in quotation marks were cut
off, and repeated glosses dropped. They are under the WordNet licence:

{licence}
"""


RATED_NOTICE = """\
The rows of this folder are tweets, and texts written to look like tweets, each with the mean of
twenty people's ratings from -4 (extremely negative) to 4 (extremely positive). They come with the
source distribution of vaderSentiment {version} and were published with

    C.J. Hutto and Eric Gilbert: VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
    Social Media Text. Eighth International Conference on Weblogs and Social Media, 2014.

Repeated texts were dropped, and a part was drawn of the rest. The package is under this licence:

{licence}
"""


def wordnet_licence(packages: Packages) -> str:
    """The licence text out of the Debian package's copyright file."""
    text = packages.find("wordnet-base", "copyright").read_text(encoding="utf-8")
    body = text.split("License: WordNet3.0\n", 1)[1].split("\n\nFiles:", 1)[0]
    lines = [line.strip() for line in body.splitlines()]
    return "\n".join("" if line == "." else line for line in lines)


def _build_targets(work: Path, demo: Path, packages: Packages) -> dict[str, list[Rows]]:
    """Write the shipped target and the rated tweets; returns the rows of each."""
    nouns = split_rows(wordnet_nouns(packages), seed=zlib.crc32(TARGET.encode()), per_class=200)

    def write(temporary: Path) -> None:
        for split, rows in nouns.items():
            save_csv(temporary / f"{split}.csv", rows, columns=("text", "label"))
        notice = NOTICE.format(licence=wordnet_licence(packages))
        (temporary / "NOTICE.txt").write_text(notice, encoding="utf-8")

    write_folder(demo / "data" / TARGET, write)
    tweets = rated_tweets(packages)
    folder = work / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    save_csv(folder / "rated_tweets.csv", tweets, columns=("text", "rating"))
    np.savez(work / f"target_{TARGET}.npz", **{s: rows.hashes for s, rows in nouns.items()})
    np.savez(work / "target_rated_tweets.npz", all=tweets.hashes)
    _ship_ratings(work, demo, packages, tweets)
    return {TARGET: list(nouns.values()), "rated_tweets": [tweets]}


def _ship_ratings(work: Path, demo: Path, packages: Packages, tweets: Rows) -> None:
    """Write the rated tweets once more, in splits and with their licence: the shipped target."""
    splits = split_rows(tweets, seed=zlib.crc32(RATED.encode()), sizes=RATED_SIZES)
    licence = packages.find("vaderSentiment", "LICENSE.txt").read_text(encoding="utf-8")
    version = packages.facts("vaderSentiment")["version"]

    def write(temporary: Path) -> None:
        for split, rows in splits.items():
            save_csv(temporary / f"{split}.csv", rows, columns=("text", "rating"))
        notice = RATED_NOTICE.format(version=version, licence=licence.strip())
        (temporary / "NOTICE.txt").write_text(notice, encoding="utf-8")

    write_folder(demo / "data" / RATED, write)
    np.savez(work / f"target_{RATED}.npz", **{s: rows.hashes for s, rows in splits.items()})


def _write_benchmark(
    work: Path, packages: Packages, name: str, benchmark: Benchmark, rows: Rows
) -> tuple[str, dict[str, Rows]]:
    """Write `datasets/<name>`; what is said of it, and its splits."""
    splits = split_rows(rows, seed=zlib.crc32(name.encode()), per_class=benchmark.per_class)
    columns = ("text", "label") if rows.names else ("text", "score")
    save_dataset(work / "datasets" / name, splits, columns=columns)
    facts = {
        "name": name,
        "task": "text-classification" if rows.names else "text-regression",
        "num_labels": len(rows.names) or 1,
        "metric": "accuracy" if rows.names else "rmse",
        "rows": {split: len(part) for split, part in splits.items()},
        "sources": [packages.facts(source) for source in benchmark.sources],
        "fingerprint": fingerprint(splits),
    }
    write_json(work / "datasets" / name / "zoo.json", facts)
    counts = " / ".join(str(len(part)) for part in splits.values())
    return f"{name}: {counts} rows, {len(rows.names) or 'no'} classes", splits


def build_later(work: Path, demo: Path) -> Iterator[str]:
    """What was added after the models were trained: the shipped ratings and more benchmark sets."""
    packages = Packages(work / "packages")
    if not (demo / "data" / RATED / "test.csv").exists():
        _ship_ratings(work, demo, packages, rated_tweets(packages))
        yield f"target {RATED}: {sum(RATED_SIZES)} rows"
    missing = {n: b for n, b in LATER.items() if not (work / "datasets" / n / "zoo.json").exists()}
    if not missing:
        return
    hashes: set[int] = set()
    groups: set[str] = set()
    for name in POOLS:
        pool = load_pool(work / "pretrain" / name)
        hashes.update(pool.hashes.tolist())
        groups.update(map(near_duplicates, pool.items))
    for path in work.glob("target_*.npz"):
        arrays = np.load(path)
        for part in arrays.files:
            hashes.update(arrays[part].tolist())
    for name, benchmark in missing.items():
        rows = without(benchmark.load(packages), hashes, groups)
        yield _write_benchmark(work, packages, name, benchmark, rows)[0]


def build_text_data(work: Path, demo: Path) -> Iterator[str]:
    """Write targets, `datasets/<name>` and `pretrain/<source>`; yields a line for each."""
    done = work / "text_data.done"
    if done.exists() and (demo / "data" / TARGET / "test.csv").exists():
        yield "text data: there"
        yield from build_later(work, demo)
        return
    packages = Packages(work / "packages")
    for source in TEXT_SOURCES:
        fetch(source, packages.cache)
    yield f"text packages: {len(TEXT_SOURCES)} unpacked"
    hashes: set[int] = set()
    groups: set[str] = set()

    def reserve(parts: list[Rows]) -> None:
        for part in parts:
            hashes.update(part.hashes.tolist())
            groups.update(part.groups)

    for name, parts in _build_targets(work, demo, packages).items():
        reserve(parts)
        yield f"target {name}: {sum(map(len, parts))} rows"
    targets = set(hashes), set(groups)
    for name, benchmark in BENCHMARKS.items():
        rows = without(benchmark.load(packages), *targets)
        said, splits = _write_benchmark(work, packages, name, benchmark, rows)
        reserve(list(splits.values()))
        yield said
    for name, pool in POOLS.items():
        rows = without(pool.load(packages), hashes, groups)
        rows = rows.take(np.random.default_rng(2).permutation(len(rows))[: pool.limit])
        save_pool(work / "pretrain" / name, rows)
        write_json(
            work / "pretrain" / name / "zoo.json",
            {"name": name, "task": pool.task, "rows": len(rows)}
            | {"sources": [packages.facts(source) for source in pool.sources]},
        )
        yield f"pool {name}: {len(rows)} rows"
    done.touch()
    yield from build_later(work, demo)
