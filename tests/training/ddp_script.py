"""What the processes of `test_distributed.py` run: one trial together, then its numbers as JSON."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import tinytrial
import torch

from hf_select.tasks.data import load_target
from hf_select.training.trial import AccelerateTrial


def main(model, data, out, *, processes=1, pause_at=0.0, batch_size=8, group_by_length=False):
    torch.set_num_threads(1)
    folder = Path(out)
    target = load_target(data, task="text-classification")
    changes = {"global_batch_size": batch_size, "group_by_length": group_by_length}
    recipe = replace(tinytrial.RECIPE, **changes)

    def build():
        return AccelerateTrial("tiny", model, target, recipe, expected_processes=processes)

    trial = build()
    if pause_at:
        trial.advance(pause_at)
        trial.save(folder / "checkpoints")
        trial.close()
        trial = build()
        assert trial.load(folder / "checkpoints")
    curve = trial.advance(2)
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
    (folder / f"rank{rank}.json").write_text(json.dumps(result))
    trial.save_pretrained(folder / "model")
    trial.close()


if __name__ == "__main__":
    main(*sys.argv[1:4], **json.loads(sys.argv[4]))
