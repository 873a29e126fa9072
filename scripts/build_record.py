"""Fine-tune the starter zoo on its benchmark sets and ship the record: resumable, by our own tool.

    python scripts/build_record.py [--work build/zoo] [--task image|text] [--jobs 2]

Needs the zoo and its data (`scripts/build_zoo.py`). For each task it runs `hf-select benchmark`
over every model x benchmark set x 3 seeds, records the proxy scores of every model on every set,
and, apart from the record, the brute force over all models on the demo's target (the oracle that
the demo is judged by).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from hf_select.catalog import Catalog
from hf_select.demo.run import ORACLE
from hf_select.demo.targets import write_target
from hf_select.locations import demo_folder
from hf_select.records import DatasetEntry, ModelEntry, ProxyRow, Recipe
from hf_select.results.repo import ResultsRepo

ROOT = Path(__file__).parent.parent
RESULTS = demo_folder() / "results"
SEEDS = "0,1,2"
TASKS = {"image": "image-classification", "text": "text-classification"}
RECIPES = {
    "image": Recipe(learning_rate=1e-3, epochs=5, global_batch_size=32),
    "text": Recipe(learning_rate=1e-3, epochs=5, global_batch_size=32, max_length=32),
}
PROXY_ROWS = 600
BENCHMARKS = {
    "image": [
        "animal",
        "cv_digits",
        "emoji_twitter",
        "emoji_vendor",
        "fashion_shoes",
        "fashion_tops",
        "glyph_letters",
        "glyph_scripts",
        "glyph_style",
        "mnist5k",
    ],
    "text": [
        "bbc_news",
        "film_texts",
        "fortunes8",
        "gloss_verbs",
        "newsgroups8",
        "reuters_r8",
        "spamassassin",
        "udhr_lang",
        "vader_tweets",
    ],
}


def main() -> None:
    """Build the record of one task, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "zoo")
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    for name in args.task or sorted(TASKS):
        catalog = record_catalog(name, args.work)
        recipe = args.work / f"recipe-{name}.json"
        recipe.write_text(json.dumps(RECIPES[name].to_dict(), indent=1), encoding="utf-8")
        benchmark(catalog, RESULTS, name, recipe, args.jobs)
        record_proxies(catalog, name, args.jobs)
        benchmark(oracle_catalog(name, args.work), ORACLE, name, recipe, args.jobs)
    for shipped in (RESULTS, ORACLE):
        tidy(shipped)
    shutil.copyfile(RESULTS / "README.md", ROOT / "model_cards" / "hf-select-demo-results.md")


def tidy(results: Path) -> None:
    """Leave what ships: the snapshot that the manifest names, and no working files."""
    shutil.rmtree(results / ".work", ignore_errors=True)
    generation = json.loads((results / "manifest.json").read_text(encoding="utf-8"))["generation"]
    for folder in (results / "snapshots").iterdir():
        if folder.name != str(generation):
            shutil.rmtree(folder)


def record_catalog(name: str, work: Path) -> Path:
    """The catalog of the zoo's models with the benchmark sets that lie in the work folder."""
    from hf_select.tasks.data import dataset_entry, load_target

    path = work / f"catalog-{name}.json"
    shipped = Catalog.load(demo_folder()).only(task=TASKS[name], datasets=BENCHMARKS[name])
    locations = dict(shipped.locations)
    entries: list[DatasetEntry] = []
    for entry in shipped.datasets:
        folder = work / "datasets" / entry.repo_id.split("/")[-1]
        target = load_target(folder, task=TASKS[name])
        entries.append(dataset_entry(target, repo_id=entry.repo_id, license=entry.license))
        locations[entry.repo_id] = folder
    replace(shipped, datasets=tuple(entries), locations=locations).save(path)
    return path


def oracle_catalog(name: str, work: Path) -> Path:
    """The catalog with the demo's target as its only set."""
    from hf_select.tasks.data import dataset_entry, load_target

    path = work / f"catalog-oracle-{name}.json"
    folder = write_target(name, work / "targets")
    shipped = Catalog.load(demo_folder()).only(task=TASKS[name])
    entry = dataset_entry(load_target(folder), repo_id=f"hf-select/demo-{folder.name}")
    locations = {**shipped.locations, entry.repo_id: folder}
    replace(shipped, datasets=(entry,), locations=locations).save(path)
    return path


def benchmark(catalog: Path, results: Path, name: str, recipe: Path, jobs: int) -> None:
    """Run the project's own command: what is done already is skipped."""
    command = [sys.executable, "-m", "hf_select", "benchmark", "--catalog", str(catalog)]
    command += ["--results", str(results), "--task", TASKS[name], "--seeds", SEEDS]
    command += ["--recipe", str(recipe), "--jobs", str(jobs)]
    subprocess.run(command, check=True)


def record_proxies(catalog: Path, name: str, jobs: int) -> None:
    """Score every model on every benchmark set with each proxy and keep the scores."""
    repo = ResultsRepo.open(RESULTS)
    loaded = Catalog.load(catalog)
    have = {(row.model, row.dataset) for row in repo.proxies(TASKS[name])}
    todo = [
        (model, str(loaded.location(model.repo_id)), dataset, str(loaded.location(dataset.repo_id)))
        for model in loaded.models
        for dataset in loaded.datasets
        if (model.repo_id, dataset.repo_id) not in have
    ]
    print(f"proxies of {name}: {len(todo)} model x set pairs to score")
    if not todo:
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rows = [row for found in pool.map(score_pair, todo, chunksize=8) for row in found]
    repo.append(proxies=rows)
    repo.compact()


def score_pair(pair: tuple[ModelEntry, str, DatasetEntry, str]) -> list[ProxyRow]:
    """The proxy scores of one model on one set, from one forward pass."""
    import torch

    from hf_select.features import extract_features
    from hf_select.proxies import PROXIES, score_features
    from hf_select.tasks import get_task
    from hf_select.tasks.data import load_benchmark

    torch.set_num_threads(1)
    model, location, dataset, folder = pair
    target = load_benchmark(dataset, Path(folder))
    task = get_task(target.task)
    features = extract_features(task, location, target, max_rows=PROXY_ROWS, seed=0)
    return [
        ProxyRow(
            model=model.repo_id,
            model_revision=model.revision,
            dataset=dataset.repo_id,
            dataset_revision=dataset.revision,
            proxy=proxy.name,
            value=score_features(proxy.name, features, task.kind),
            seconds=features.seconds,
            rows=len(features.labels),
        )
        for proxy in PROXIES.values()
        if task.kind in proxy.kinds
    ]


if __name__ == "__main__":
    main()
