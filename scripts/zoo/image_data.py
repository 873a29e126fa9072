"""Lay out the image side: benchmark sets first, then pools that share no row with any of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoo.images import BENCHMARKS, POOLS, sklearn_digits
from zoo.rows import split_rows, spread_order, without
from zoo.sources import IMAGE_SOURCES, Packages, fetch
from zoo.store import fingerprint, save_dataset, save_pool, write_json


def build_image_data(work: Path) -> Iterator[str]:
    """Write `datasets/<name>` and `pretrain/<source>`; yields a line for each."""
    done = work / "image_data.done"
    if done.exists():
        yield "image data: there"
        return
    packages = Packages(work / "packages")
    for source in IMAGE_SOURCES:
        fetch(source, packages.cache)
    yield f"image packages: {len(IMAGE_SOURCES)} unpacked"
    target = sklearn_digits()
    hashes, groups = set(target.hashes.tolist()), set()
    np.savez(work / "target_digits.npz", all=target.hashes)
    for name, benchmark in BENCHMARKS.items():
        rows = without(benchmark.load(packages), set(target.hashes.tolist()), set())
        splits = split_rows(rows, seed=zlib.crc32(name.encode()), per_class=benchmark.per_class)
        save_dataset(work / "datasets" / name, splits, columns=("image", "label"))
        for part in splits.values():
            hashes |= set(part.hashes.tolist())
            groups |= set(part.groups)
        facts = {
            "name": name,
            "task": "image-classification",
            "num_labels": len(rows.names),
            "metric": "accuracy",
            "rows": {split: len(part) for split, part in splits.items()},
            "sources": [packages.facts(source) for source in benchmark.sources],
            "fingerprint": fingerprint(splits),
        }
        write_json(work / "datasets" / name / "zoo.json", facts)
        counts = " / ".join(str(len(part)) for part in splits.values())
        yield f"{name}: {counts} rows, {len(rows.names)} classes"
    for name, pool in POOLS.items():
        rows = without(pool.load(packages), hashes, groups)
        if pool.per_class:
            keep = set(spread_order(rows, np.random.default_rng(1), per_class=pool.per_class))
            rows = rows.take([i for i, group in enumerate(rows.groups) if group in keep])
        rows = rows.take(np.random.default_rng(2).permutation(len(rows))[: pool.limit])
        save_pool(work / "pretrain" / name, rows)
        write_json(
            work / "pretrain" / name / "zoo.json",
            {"name": name, "task": pool.task, "rows": len(rows)}
            | {"sources": [packages.facts(source) for source in pool.sources]},
        )
        yield f"pool {name}: {len(rows)} rows"
    done.touch()
