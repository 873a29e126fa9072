"""What the launched processes of `test_launched_memory.py` run: a check of six models."""

import json
import sys
from pathlib import Path

from hf_select.launched import place
from hf_select.pipeline import memory
from hf_select.records import ModelEntry
from hf_select.training import agreement, footprint

SIZES = {"lab/0": 10, "lab/1": 400, "lab/2": 10, "lab/3": 10, "lab/4": 10, "lab/5": 150}
"""Of the GPUs that the two have, the smaller one has room for 200 bytes; 300 are allowed."""


def main() -> None:
    folder, way = Path(sys.argv[1]), sys.argv[2]
    rank, looked = place().rank, []
    agreement.part() if way == "jobs" else agreement.gather()
    entries = {name: ModelEntry(name, "a" * 40, "text-classification") for name in SIZES}

    def measured(name: str, *_: object) -> footprint.Footprint:
        looked.append(name)
        if name == "lab/4" and rank == 0:
            raise OSError("one disk is slow today")
        return footprint.Footprint(SIZES[name], 0)

    footprint.footprint = measured
    memory.locate = lambda entry, _: entry.repo_id
    memory._memory_of_gpu = lambda: (200, 100)[rank]
    check = memory.MemoryCheck(300, None, None, None, lambda line: None)
    kept = check.only([*SIZES], entries)
    done = {"kept": kept, "beyond": sorted(check.beyond), "most": check.most, "looked": looked}
    (folder / f"rank{rank}.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main()
