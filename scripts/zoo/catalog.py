"""What ships beside the models: the catalog, and the hashes that prove that no row leaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hf_select.catalog import folder_revision
from hf_select.tasks.data import dataset_entry, load_target
from zoo.rows import SPLITS
from zoo.store import write_json

OWNER = "hf-select"
MODEL_LICENSE = "apache-2.0"


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts that the builder left in a model's, set's or pool's folder."""
    facts: dict[str, Any] = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
    return facts


def folders(parent: Path) -> list[Path]:
    """Finished folders, by name."""
    return sorted(path.parent for path in parent.glob("*/zoo.json") if ".partial" not in str(path))


def _model_row(folder: Path) -> dict[str, Any]:
    facts = read_facts(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "repo_id": f"{OWNER}/{facts['name']}",
        "location": f"models/{facts['name']}",
        "revision": folder_revision(folder),
        "task": facts["task"],
        "architecture": config["architectures"][0],
        "num_parameters": facts["num_parameters"],
        "license": MODEL_LICENSE,
        "languages": ["en"] if facts["task"] == "text-classification" else [],
        "weights_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "source": facts["source"],
        "seed": facts["seed"],
        "control": facts["control"],
    }


def _dataset_row(folder: Path) -> dict[str, Any]:
    facts = read_facts(folder)
    licence = "; ".join(sorted({source["licence"] for source in facts["sources"]}))
    target = load_target(folder, task=facts["task"], metric=facts["metric"])
    entry = dataset_entry(target, repo_id=f"{OWNER}/{facts['name']}", license=licence)
    return {
        **asdict(entry),
        "row_hash": facts["fingerprint"],
        "sources": [
            {key: source[key] for key in ("name", "kind", "version", "licence")}
            for source in facts["sources"]
        ],
    }


def write_catalog(work: Path, demo: Path) -> str:
    """Write `catalog.json`: every model of the demo and every set of the work folder."""
    document = {
        "models": [_model_row(folder) for folder in folders(demo / "models")],
        "datasets": [_dataset_row(folder) for folder in folders(work / "datasets")],
        "rejected": [],
    }
    write_json(demo / "catalog.json", document)
    return f"catalog: {len(document['models'])} models, {len(document['datasets'])} sets"


def _hash_blocks(work: Path) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """(role, set, split, hashes) of every row that the zoo touches."""
    for folder in folders(work / "pretrain"):
        yield "pretrain", folder.name, "pretrain", np.load(folder / "rows.npz")["hashes"]
    for folder in folders(work / "datasets"):
        arrays = np.load(folder / "row_hashes.npz")
        for split in SPLITS:
            yield "benchmark", folder.name, split, arrays[split]
    for path in sorted(work.glob("target_*.npz")):
        arrays = np.load(path)
        for split in arrays.files:
            yield "target", path.stem.removeprefix("target_"), split, arrays[split]


def write_row_hashes(work: Path, demo: Path) -> str:
    """Write `row_hashes.parquet`: eight bytes a row, with its role, set and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = list(_hash_blocks(work))
    lengths = [len(block[3]) for block in blocks]

    def column(index: int) -> pa.Array:
        repeated = np.repeat([block[index] for block in blocks], lengths)
        return pa.array(repeated.tolist()).dictionary_encode()

    table = pa.table(
        {
            "hash": pa.array(np.concatenate([block[3] for block in blocks]), pa.uint64()),
            "role": column(0),
            "set": column(1),
            "split": column(2),
        }
    )
    path = demo / "row_hashes.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=["role", "set", "split"])
    return f"row hashes: {table.num_rows} rows, {path.stat().st_size / 1e6:.2f} MB"
