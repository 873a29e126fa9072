"""What the live benchmarks share: catalogs of real models, small sets, pages, JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_select.catalog import Catalog, local_model
from hf_select.errors import InputError
from hf_select.records import DatasetEntry, ModelEntry
from hf_select.results.repo import ResultsRepo

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT / "build" / "real"
ZOO = ROOT / "build" / "zoo"
PAGE = ROOT / "docs" / "results.md"
JSON = ROOT / "benchmarks" / "results"


def say(line: str) -> None:
    """A line of progress, on stderr so that the table on stdout stays clean."""
    print(line, file=sys.stderr, flush=True)


def real_models(folder: Path, task: str) -> tuple[list[ModelEntry], dict[str, Path]]:
    """Entries and places of the networks that `scripts/build_real_models.py` made for a task."""
    modality = "preprocessor_config.json" if task.startswith("image") else "tokenizer.json"
    entries, locations = [], {}
    for path in sorted(folder.glob("*/config.json")):
        if (path.parent / modality).exists():
            text = (path.parent / "README.md").read_text(encoding="utf-8")
            found = re.search(r"licence (\S+)$", text, re.MULTILINE)
            entry = local_model(path.parent, task)
            entries.append(replace(entry, license=found.group(1) if found else ""))
            locations[entry.repo_id] = path.parent
    if not entries:
        raise InputError(
            f"{folder} holds no models for {task}", hint="run scripts/build_real_models.py"
        )
    return entries, locations


def small_set(source: Path, folder: Path, rows: int) -> Path:
    """The first rows of each split of a `save_to_disk` folder, saved beside; made once.

    The zoo's builder has put the rows in an order whose every stretch is stratified.
    """
    import datasets

    if not folder.exists():
        if not source.exists():
            raise InputError(f"there is no {source}", hint="run scripts/build_zoo.py")
        datasets.disable_progress_bars()
        whole = datasets.load_from_disk(str(source))
        part = {name: split.select(range(min(rows, len(split)))) for name, split in whole.items()}
        temporary = folder.with_name(folder.name + ".partial")
        shutil.rmtree(temporary, ignore_errors=True)
        datasets.DatasetDict(part).save_to_disk(str(temporary))
        temporary.rename(folder)
    return folder


def write_catalog(
    path: Path,
    models: tuple[list[ModelEntry], dict[str, Path]],
    sets: Mapping[str, Path],
    **how: Any,
) -> Catalog:
    """Write and return a catalog of these models and of the sets by name; `how` says how to read.

    See `hf_select.tasks.data.load_target` for the keys of `how`.
    """
    from hf_select.tasks.data import dataset_entry, load_target

    entries: list[DatasetEntry] = [
        dataset_entry(load_target(folder, **how), repo_id=name) for name, folder in sets.items()
    ]
    catalog = Catalog(tuple(models[0]), tuple(entries), (), {**models[1], **sets})
    catalog.save(path)
    return catalog


def record_without(results: Path, task: str, dataset: str, folder: Path) -> Path:
    """A results repository with all runs of a task but those on one dataset, made anew."""
    whole = ResultsRepo.open(results)
    shutil.rmtree(folder, ignore_errors=True)
    part = ResultsRepo.create(folder)
    recipes = (whole.recipe(name) for name in whole.recipes(task))
    part.append(
        [run for run in whole.runs(task) if run.key.dataset != dataset],
        models=whole.models(task),
        datasets=[entry for entry in whole.datasets(task) if entry.repo_id != dataset],
        recipes=[recipe for recipe in recipes if recipe is not None],
    )
    part.compact()
    return folder


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A markdown table; every column but the first stands right."""
    yield "| " + " | ".join(columns) + " |"
    yield "|---|" + "---:|" * (len(columns) - 1)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def with_section(text: str, name: str, section: str) -> str:
    """The page with what stands between the marks of `name` rewritten, or added at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if marked.search(text):
        return marked.sub(lambda _: block, text)
    return f"{text.rstrip() or '# Results'}\n\n{block}\n"


def publish(name: str, section: str, document: Mapping[str, Any], page: Path, out: Path) -> None:
    """Print the section, put it into the page, write the numbers as JSON."""
    print(section)
    out.parent.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    out.write_text(numbers + "\n", encoding="utf-8")
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(with_section(before, name, section), encoding="utf-8")
