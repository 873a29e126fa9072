"""What processes find of models' memory is the same for all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import launched_memory
import pytest

SCRIPT = Path(launched_memory.__file__)


@pytest.mark.parametrize("way", ["jobs", pytest.param("data", marks=pytest.mark.slow)])
def test_two_processes_keep_the_same_models(tmp_path: Path, way: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", str(SCRIPT), str(tmp_path), way]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert one["looked"] == ["lab/0", "lab/2", "lab/4"]
    assert two["looked"] == ["lab/1", "lab/3", "lab/5"]
    for found in (one, two):
        assert found["most"] == 100
        assert found["beyond"] == ["lab/1", "lab/5"]
        assert found["kept"] == ["lab/0", "lab/2", "lab/3", "lab/4"]
