"""What the processes of `test_list_trials.py` run: one trial together, its numbers as JSON."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import tinytrial
import torch

from hf_select.tasks.data import load_target
from hf_select.training.trial import AccelerateTrial


def main(model, data, out):
    torch.set_num_threads(1)
    # 52 rows in batches of 3: the last one has a row, which joins the batch before it
    recipe = replace(tinytrial.RECIPE, global_batch_size=3)
    trial = AccelerateTrial("tiny", model, load_target(data), recipe)
    curve = trial.advance(1)
    rows, logits = trial._logits(trial._validation_rows)
    result = {
        "processes": trial.num_processes,
        "test": trial.test(),
        "curve": curve.to_dict(),
        "rows": rows.tolist(),
        "logits": logits.tolist(),
        "weights": [p.sum().item() for p in trial.module.parameters()],
    }
    rank = trial._accelerator.process_index
    (Path(out) / f"rank{rank}.json").write_text(json.dumps(result))
    trial.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
