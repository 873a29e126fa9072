"""What the processes of `test_live.py` run: two candidates take turns; numbers as JSON."""

import json
import sys
from pathlib import Path

import tinytrial
import torch

from hf_select.errors import ModelError
from hf_select.tasks.data import load_target
from hf_select.training import checkpoint, memory
from hf_select.training.live import LiveTrials


def main(model, data, out, *, budgets, full=False):
    torch.set_num_threads(1)
    folder = Path(out)
    trials = LiveTrials(
        load_target(data, task="text-classification"),
        tinytrial.RECIPE,
        folder / "trials",
        lambda name: (model, "r1"),
        seed=0,
        checkpoint_every=1e9,
        should_stop=lambda: False,
    )
    rank = memory.processes().process_index
    if budgets is not None:  # what each process sees differs
        memory.free_ram = lambda: budgets[rank]
    result = {"awake": [], "failed": []}
    for to in (0.5, 1, 2):
        for name in ("a", "b"):
            if full and rank == 0:  # only the first process writes
                checkpoint.write = _full
            try:
                (trials.opened.get(name) or trials.open(name)).advance(to)
            except ModelError as error:
                result["failed"].append(error.message)
            result["awake"].append([n for n, t in trials.opened.items() if t.awake])
    result |= {
        "memory": trials.memory,
        "curves": {name: trial.curve.to_dict() for name, trial in trials.opened.items()},
        "weights": [p.sum().item() for p in trials.opened["b"].trial.module.parameters()],
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(result))
    for trial in trials.opened.values():
        trial.close()
    memory.processes().wait_for_everyone()  # a process that leaves early takes the others down


def _full(*args, **options):
    raise OSError(28, "No space left on device")


if __name__ == "__main__":
    main(*sys.argv[1:4], **json.loads(sys.argv[4]))
