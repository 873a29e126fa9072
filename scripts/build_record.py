"""Fine-tune the starter zoo on its benchmark sets and ship the record: resumable, by our own tool.

    python scripts/build_record.py [--work build/zoo] [--task image|text|regression] [--jobs 2]

Needs the zoo and its data (`scripts/build_zoo.py`). For each task it runs `hf-select benchmark`
over every model x benchmark set x seed, which records the proxy scores of every model on every
set too, and, apart from the record, the brute force over all models on the demo's target (the
oracle that the demo is judged by).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hf_select.catalog import Catalog
from hf_select.demo.run import ORACLE
from hf_select.demo.targets import DEMO_TASKS, write_target
from hf_select.locations import demo_folder
from hf_select.records import DatasetEntry, Recipe

ROOT = Path(__file__).parent.parent
RESULTS = demo_folder() / "results"
TASKS = DEMO_TASKS
SEEDS = {"image": "0,1,2", "text": "0,1,2", "regression": "0,1"}
MODELS = {**TASKS, "regression": TASKS["text"]}
"""Which task's models of the catalog are fine-tuned: the text models do both."""
RECIPES = {
    "image": Recipe(learning_rate=1e-3, epochs=5, global_batch_size=32),
    "text": Recipe(learning_rate=1e-3, epochs=5, global_batch_size=32, max_length=32),
}
RECIPES["regression"] = RECIPES["text"]
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
    "regression": [
        "gloss_depth",
        "rated_movie",
        "rated_news",
        "rated_products",
        "tweets_valence",
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
        oracle = oracle_catalog(name, args.work)
        benchmark(oracle, ORACLE, name, recipe, args.jobs, "--no-proxies")
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
    shipped = models_of(name)
    locations = dict(shipped.locations)
    entries: list[DatasetEntry] = []
    sets = Catalog.load(demo_folder()).only(task=TASKS[name], datasets=BENCHMARKS[name])
    for entry in sets.datasets:
        folder = work / "datasets" / entry.repo_id.split("/")[-1]
        target = load_target(folder, task=TASKS[name])
        entries.append(dataset_entry(target, repo_id=entry.repo_id, license=entry.license))
        locations[entry.repo_id] = folder
    replace(shipped, datasets=tuple(entries), locations=locations).save(path)
    return path


def models_of(name: str) -> Catalog:
    """The shipped catalog with the models that are fine-tuned for a task, as models of that."""
    shipped = Catalog.load(demo_folder())
    models = shipped.only(task=MODELS[name]).models
    return replace(shipped, models=tuple(replace(m, task=TASKS[name]) for m in models))


def oracle_catalog(name: str, work: Path) -> Path:
    """The catalog with the demo's target as its only set."""
    from hf_select.tasks.data import dataset_entry, load_target

    path = work / f"catalog-oracle-{name}.json"
    folder = write_target(name, work / "targets")
    shipped = models_of(name)
    entry = dataset_entry(load_target(folder), repo_id=f"hf-select/demo-{folder.name}")
    locations = {**shipped.locations, entry.repo_id: folder}
    replace(shipped, datasets=(entry,), locations=locations).save(path)
    return path


def benchmark(
    catalog: Path, results: Path, name: str, recipe: Path, jobs: int, *options: str
) -> None:
    """Run the project's own command: what is done already is skipped."""
    command = [sys.executable, "-m", "hf_select", "benchmark", "--catalog", str(catalog)]
    command += ["--results", str(results), "--task", TASKS[name], "--seeds", SEEDS[name]]
    command += ["--recipe", str(recipe), "--jobs", str(jobs), *options]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
