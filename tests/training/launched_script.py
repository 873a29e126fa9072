"""What the launched processes of `test_launched.py` run: a benchmark, and what goes wrong in it.

`trouble`: {"kill": [rank, model, epoch, times]} ends that process there so many times; {"oom":
[rank, rows]} lets it run out of memory with more rows than that; {"slow": seconds} a step; {"away":
[rank, model]} keeps the Hub from that process; {"raise": model} is a fault in the model's own code;
{"hang": [rank, model]} never ends.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from hf_select.catalog import Catalog
from hf_select.errors import HfSelectError, HubError
from hf_select.launched import place
from hf_select.records import Recipe
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark, cell_job, together
from hf_select.training.trial import AccelerateTrial


def make_trouble(results: Path, trouble: dict) -> None:
    after_step, backward = cell_job._Checkpoints.__call__, AccelerateTrial._backward_parts
    rank = place().rank

    def troubled(self, trial, **how):
        time.sleep(trouble.get("slow", 0))
        if trouble.get("raise") == trial.model:
            raise ValueError("3.5 heads")
        if trouble.get("hang") == [rank, trial.model]:
            time.sleep(600)
        if "kill" in trouble:
            where, model, epoch, times = trouble["kill"]
            mark = results.parent / "kills"
            done = len(mark.read_text()) if mark.exists() else 0
            here = (where, model) == (rank, trial.model) and trial.epochs_trained > epoch
            if here and done < times:
                mark.write_text("x" * (done + 1))
                os.kill(os.getpid(), signal.SIGKILL)
        after_step(self, trial, **how)

    def away(cell, fetch):
        if trouble["away"] == [rank, cell.model.repo_id]:
            raise HubError("the Hub can't be reached")
        return folder(cell, fetch)

    if "away" in trouble:
        folder, cell_job._model_folder = cell_job._model_folder, away
    together.HANGS_AFTER = 0.5

    def hungry(self, parts):
        where, rows = trouble["oom"]
        if where == rank and max(part.rows for part in parts) > rows:
            raise torch.OutOfMemoryError("no room")
        return backward(self, parts)

    cell_job._Checkpoints.__call__ = troubled
    if "oom" in trouble:
        AccelerateTrial._backward_parts = hungry


def main() -> int:
    catalog, results, recipe, options, trouble = sys.argv[1:6]
    cell_job.AGREE_SECONDS = 0.0  # after each step
    make_trouble(Path(results), json.loads(trouble))
    torch.set_num_threads(1)
    try:
        summary = benchmark.run_benchmark(
            Catalog.load(Path(catalog)),
            ResultsRepo.open_or_create(results),
            Recipe.from_dict(json.loads(recipe)),
            checkpoint_every=0,
            **json.loads(options),
        )
    except HfSelectError as error:
        sys.stderr.write(f"rank {place().rank}: {error.message}\n")
        return error.exit_code
    (Path(results).parent / f"rank{place().rank}.json").write_text(
        json.dumps(vars(summary), default=vars)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
