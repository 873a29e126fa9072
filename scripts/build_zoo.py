#!/usr/bin/env python
"""Build the starter zoo: real small models and benchmark sets, out of what packages carry.

    python scripts/build_zoo.py [--work build/zoo] [--only image|text] [--jobs 2]

Resumable: a finished dataset or model is skipped. The same versions of the packages and of torch
give the same rows and, byte for byte, the same image models. A text student's vocabulary is trained
by `tokenizers`, which breaks ties in no fixed order, so a rebuilt student is equal in kind only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

# Set before numpy or torch is imported, which happens inside the functions and worker processes.
# One process a core: threads inside a process do not pay here.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_OFFLINE": "1",
}


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def _quiet() -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()


def run_all(jobs: Sequence[tuple[Callable[..., str], tuple[Any, ...]]], workers: int) -> None:
    """Run jobs in separate processes and say each one's line as it ends."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_quiet) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            _say(f"[{done}/{len(futures)}] {future.result()}")


def build_images(work: Path, demo: Path, workers: int) -> None:
    """Benchmark sets, pools, 24 models and 2 controls."""
    from zoo.image_data import build_image_data
    from zoo.images import POOLS
    from zoo.pretrain import ARCHITECTURES, build_image_control, build_image_model

    for line in build_image_data(work):
        _say(line)
    models = demo / "models"
    jobs: list[tuple[Callable[..., str], tuple[Any, ...]]] = [
        (build_image_control, (models, architecture)) for architecture in ARCHITECTURES
    ]
    for seed in (1, 2):
        for source in POOLS:
            for architecture in ARCHITECTURES:
                jobs.append((build_image_model, (work, models, architecture, source, seed)))
    run_all(jobs, workers)


def build_texts(work: Path, demo: Path, workers: int) -> None:
    """Targets, benchmark sets, pools, the teacher's vectors, 12 students and a control."""
    from zoo.distil import STUDENTS, build_student, build_text_control, teach
    from zoo.text_data import build_text_data
    from zoo.texts import POOLS

    for line in build_text_data(work, demo):
        _say(line)
    run_all([(teach, (work, source)) for source in POOLS], workers)
    models = demo / "models"
    jobs: list[tuple[Callable[..., str], tuple[Any, ...]]] = [(build_text_control, (work, models))]
    for seed in STUDENTS:
        for source in POOLS:
            jobs.append((build_student, (work, models, source, seed)))
    run_all(jobs, workers)


def finish(work: Path, demo: Path, cards: Path) -> None:
    """Catalog, row hashes and cards of what is there."""
    from zoo.cards import write_cards
    from zoo.catalog import write_catalog, write_row_hashes

    _say(write_cards(work, demo, cards))
    _say(write_row_hashes(work, demo))
    _say(write_catalog(work, demo))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, finish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "zoo")
    parser.add_argument(
        "--demo", type=Path, default=ROOT / "hf_select" / "demo", help="what is shipped"
    )
    parser.add_argument("--only", choices=("image", "text"))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT)
    if options.only in (None, "image"):
        build_images(options.work, options.demo, options.jobs)
    if options.only in (None, "text"):
        build_texts(options.work, options.demo, options.jobs)
    finish(options.work, options.demo, ROOT / "model_cards")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
