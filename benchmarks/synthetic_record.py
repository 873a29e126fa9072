"""A large record that looks like a real one, and pages of the Hub's listing; both made up.

Scores are counts of right answers; names, commits, sizes and curves have the lengths and the
repetitions of real ones, which is what their bytes on disk depend on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hf_select.records import Clustering, PerformanceMatrix, Recipe
from hf_select.results.manifest import MANIFEST, manifest_bytes
from hf_select.results.matrix import Columns, Recorded, matrix_table
from hf_select.results.schema import SCHEMAS, encode, write_table
from hf_select.results.tables import Table, cluster_table, sizes_table

TASK = "text-classification"
RECIPE = Recipe()
FAMILIES = (
    *("bert-base-uncased", "bert-base-multilingual-cased", "bert-base-german-cased"),
    *("distilbert-base-uncased", "roberta-base", "roberta-large", "xlm-roberta-base"),
    *("deberta-v3-small", "deberta-v3-base", "electra-small-discriminator", "MiniLM-L6-v2"),
    *("albert-base-v2", "mpnet-base", "camembert-base"),
)
USES = ("imdb", "emotion", "sst2", "ner", "mnli", "ag_news", "toxic", "spam", "intent", "news")


@dataclass(frozen=True, eq=False)
class Cells:
    """The measured cells (n,) of a matrix of `models` and `datasets`, with a curve each (n, T)."""

    models: list[str]
    datasets: list[str]
    row: np.ndarray
    column: np.ndarray
    test: np.ndarray
    val: np.ndarray

    def __len__(self) -> int:
        return len(self.row)


def make_cells(models: int, benchmarks: int, density: float, rng: np.random.Generator) -> Cells:
    """Scores of models of different skill on test splits of different size and difficulty."""
    cells = np.flatnonzero(rng.random(models * benchmarks) < density)
    row, column = np.divmod(cells, benchmarks)
    skill, ease = rng.normal(0, 0.7, models), rng.normal(1.5, 0.8, benchmarks)
    rows = rng.choice([500, 872, 1000, 1821, 2000, 5000, 10_000, 25_000], benchmarks)[column]
    noise = rng.normal(0, 0.2, len(cells))
    accuracy = 1 / (1 + np.exp(-(skill[row] + ease[column] + noise)))
    learned = 1 - 0.35 * np.exp(-1.5 * np.array(RECIPE.rungs()))
    seen = np.minimum(rows, 2000)[:, None]
    return Cells(
        models=make_names(models, rng),
        datasets=[f"org-{i % 7}/benchmark-{i:03}" for i in range(benchmarks)],
        row=row,
        column=column,
        test=rng.binomial(rows, accuracy) / rows,
        val=rng.binomial(seen, accuracy[:, None] * learned) / seen,
    )


def make_names(count: int, rng: np.random.Generator) -> list[str]:
    """Different repository ids, sorted: a few owners have many models, most have few."""
    letters = np.array(list("aabcdeefghiijklmnoopqrstuuvwyz"))
    owners = ["".join(rng.choice(letters, rng.integers(4, 13))) for _ in range(count // 5 + 1)]
    names: set[str] = set()
    while len(names) < count:
        missing = count - len(names)
        owner = (rng.pareto(0.7, missing) * 5).astype(int) % len(owners)
        family, use = (rng.integers(0, len(x), missing) for x in (FAMILIES, USES))
        number = rng.integers(0, 3000, missing)
        names.update(
            f"{owners[o]}/{FAMILIES[f]}-finetuned-{USES[u]}" + (f"-{n}" if n > 1000 else "")
            for o, f, u, n in zip(owner, family, use, number, strict=True)
        )
    return sorted(names)


def hexes(count: int, digits: int, rng: np.random.Generator) -> np.ndarray:
    """Random hexadecimal names."""
    text = rng.bytes(count * digits // 2).hex()
    return np.array([text[i : i + digits] for i in range(0, len(text), digits)])


def tables(cells: Cells, rng: np.random.Generator) -> Iterator[Table]:
    """The files of a snapshot, made of columns by the package's own writer."""
    revisions, data_revisions = (
        hexes(len(cells.models), 40, rng),
        hexes(len(cells.datasets), 40, rng),
    )
    baselines = np.round(rng.uniform(0.1, 0.5, len(cells.datasets)), 3)
    matrix = as_matrix(cells, baselines)
    columns = Columns(
        matrix.datasets, tuple(data_revisions.tolist()), matrix.metrics, matrix.baselines
    )
    seeds = (~np.isnan(matrix.scores)).astype(np.int64)
    sizes = rng.choice(
        [4_400_000, 22_000_000, 66_000_000, 110_000_000, 355_000_000], len(revisions)
    )
    sizes += rng.integers(0, 4000, len(sizes)) * 768
    found = {
        "runs": run_columns(cells, revisions, data_revisions, baselines, rng),
        "models": model_columns(cells, revisions, sizes, rng),
        "matrix": matrix_table([Recorded(matrix, seeds, columns)]),
        "clusters": cluster_table(some_clusters(matrix, rng), task=TASK, recipe=matrix.recipe),
        "sizes": sizes_table(TASK, dict(zip(cells.models, sizes.tolist(), strict=True))),
    }
    yield Table("", "recipes", 1, encode("recipes", [RECIPE]))
    for kind, values in found.items():
        rows = len(values["task"])
        recipes = {matrix.recipe: rows} if kind == "runs" else None
        yield Table(TASK, kind, rows, write_table(kind, values), recipes)


def as_matrix(cells: Cells, baselines: np.ndarray) -> PerformanceMatrix:
    """The same cells as the matrix that a compaction would make of them."""
    kept = np.unique(cells.row)  # a model without a run has no row
    scores = np.full((len(cells.models), len(cells.datasets)), np.nan)
    scores[cells.row, cells.column] = cells.test
    scores = scores[kept]
    return PerformanceMatrix(
        scores,
        np.full(scores.shape, np.nan),
        tuple(cells.models[i] for i in kept),
        tuple(cells.datasets),
        ("accuracy",) * len(cells.datasets),
        baselines,
        recipe=RECIPE.digest(),
        task=TASK,
    )


def some_clusters(matrix: PerformanceMatrix, rng: np.random.Generator) -> Clustering:
    """Labels as of a clustering: few large groups, many small ones, a third of models alone."""
    count = len(matrix.models)
    groups = max(1, count // 20)
    labels = np.minimum((rng.pareto(0.8, count) * groups / 20).astype(np.int64), groups - 1)
    alone = rng.random(count) < 1 / 3
    labels[alone] = groups + np.arange(alone.sum())
    present, first, labels, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(present), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(present))
    heads = {int(rank[i]): int(first[i]) for i in np.flatnonzero(sizes > 1)}
    return Clustering(
        matrix.models, rank[labels], None, dict(sorted(heads.items())), "average", 0.09, 0.4
    )


def run_columns(
    cells: Cells,
    revisions: np.ndarray,
    data_revisions: np.ndarray,
    baselines: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The table of runs, one seed a cell."""
    n, rungs = len(cells), np.array(RECIPE.rungs())
    shape = cells.val.shape
    val_loss = 1.1 * (1 - cells.val) + 0.05 * rng.random(shape)
    train_loss = 1.2 * (1 - cells.val) + 0.1 * rng.random(shape)
    seconds = rungs * rng.lognormal(4, 1, (n, 1)) * (1 + 0.02 * rng.random(shape))
    moment = np.datetime64("2025-01-01T00:00:00") + rng.integers(0, 31_536_000, n)
    versions = [f'{{"torch":"2.{i}.0","transformers":"5.{i}.0"}}' for i in range(6)]
    devices = ["NVIDIA H100 80GB HBM3", "NVIDIA A10G", "AMD EPYC 7R32", "NVIDIA L4"]
    people = [f"user-{i}" for i in range(200)]

    def drawn(values: Sequence[str]) -> list[str]:
        return [values[i] for i in rng.integers(0, len(values), n)]

    return {
        "task": [TASK] * n,
        "model": [cells.models[i] for i in cells.row],
        "model_revision": revisions[cells.row],
        "dataset": [cells.datasets[j] for j in cells.column],
        "dataset_revision": data_revisions[cells.column],
        "config": [""] * n,
        "recipe": [RECIPE.digest()] * n,
        "seed": np.zeros(n, dtype=np.int64),
        "metric": ["accuracy"] * n,
        "status": ["ok"] * n,
        "test": cells.test,
        "baseline": baselines[cells.column],
        "created": [f"{text}+00:00" for text in moment.astype(str)],
        "epochs": as_lists(np.broadcast_to(rungs, shape), "epochs"),
        "val": as_lists(cells.val, "val"),
        "curve_seconds": as_lists(seconds, "curve_seconds"),
        "val_loss": as_lists(val_loss, "val_loss"),
        "train_loss": as_lists(train_loss, "train_loss"),
        "reason": [""] * n,
        "seconds": seconds[:, -1],
        "hardware": drawn(devices),
        "versions": drawn(versions),
        "submitter": drawn(people),
        "origin": ["measured"] * n,
    }


def as_lists(values: np.ndarray, name: str) -> pa.Array:
    """An array (n, T) as a column of lists."""
    kind = SCHEMAS["runs"].field(name).type
    ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    inside = np.ascontiguousarray(values.ravel(), dtype=kind.value_type.to_pandas_dtype())
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(inside), type=kind)


def model_columns(
    cells: Cells, revisions: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """The table of models."""
    n = len(cells.models)
    licenses = ["apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "openrail", ""]
    family = [name.partition("/")[2].partition("-finetuned")[0] for name in cells.models]
    return {
        "task": [TASK] * n,
        "repo_id": cells.models,
        "revision": revisions,
        "architecture": [
            f"{name.split('-')[0].title()}ForSequenceClassification" for name in family
        ],
        "num_parameters": sizes,
        "license": [licenses[i] for i in rng.choice(6, n, p=[0.5, 0.2, 0.1, 0.05, 0.05, 0.1])],
        "languages": [("en",)] * n,
        "trained_datasets": [()] * n,
        "base_model": family,
        "relation": ["finetune"] * n,
        "weights_sha256": hexes(n, 64, rng),
    }


def write_record(folder: Path, models: int, benchmarks: int, density: float) -> Cells:
    """A whole record in a folder; returns what is in it."""
    rng = np.random.default_rng(0)
    cells = make_cells(models, benchmarks, density, rng)
    entries = []
    for table in tables(cells, rng):
        entries.append(table.entry(1))
        path = folder / entries[-1]["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(table.data)
    (folder / MANIFEST).write_bytes(manifest_bytes(1, entries))
    return cells


# ---------------------------------------------------------------------------------- a listing

PAGE = 1000
"""Models on a page of the Hub's listing."""


def listing_pages(count: int, rng: np.random.Generator) -> Iterator[list[dict[str, Any]]]:
    """Rows as the Hub's listing has them; about half of the models are candidates."""
    kinds = [
        {"library_name": "transformers", "safetensors": {"total": 109_483_778}},
        {"library_name": "transformers", "safetensors": {"total": 66_955_010}},
        {"library_name": "transformers"},
        {"library_name": "peft", "safetensors": {"total": 1_200_000}},
    ]
    for first in range(0, count, PAGE):
        page = []
        size = min(PAGE, count - first)
        kind, family = rng.choice(4, size, p=[0.3, 0.3, 0.3, 0.1]), rng.integers(0, 14, size)
        downloads = rng.pareto(0.5, size).astype(np.int64) % 10**8
        commits = hexes(size, 40, rng)
        for n in range(size):
            base = FAMILIES[family[n]]
            tags = ["transformers", "pytorch", "bert", "text-classification", "en"]
            tags += [f"base_model:{base}", f"base_model:finetune:{base}", "license:apache-2.0"]
            tags += ["safetensors"] * ("safetensors" in kinds[kind[n]])
            day = 1 + (first + n) % 28
            page.append(
                {
                    **kinds[kind[n]],
                    "id": f"owner-{(first + n) // 7}/{base}-{first + n}",
                    "sha": str(commits[n]),
                    "createdAt": f"2024-03-{day:02}T10:11:12.000Z",
                    "lastModified": f"2025-03-{day:02}T10:11:12.000Z",
                    "downloads": int(downloads[n]),
                    "likes": 0,
                    "gated": False,
                    "private": False,
                    "disabled": False,
                    "tags": [*tags, "dataset:glue", "region:us", "endpoints_compatible"],
                    "pipeline_tag": "text-classification",
                    "config": {"model_type": "bert", "architectures": ["BertModel"]},
                    "transformersInfo": {"auto_model": "AutoModelForSequenceClassification"},
                }
            )
        yield page
