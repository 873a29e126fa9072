"""sbatch, srun, sacct, scancel and scontrol for one machine: what submitit uses of SLURM.

`install(folder)` makes a folder of commands for the PATH. A job's state is in a file each:
`<id>.state`, `<id>.pid`, and `<id>.again` if it is to be started again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> Path:
    """Commands that keep their state in `folder`."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in COMMANDS:
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        path.chmod(0o755)
    return commands


def states(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.state"))}


def sbatch(folder: Path, script: str) -> None:
    text = Path(script).read_text()
    if "--partition=closed" in text:
        sys.exit("sbatch: error: invalid partition specified: closed")
    number = len(list(folder.glob("*.sh"))) + 1
    (folder / f"{number}.sh").write_text(text)
    array = re.search(r"--array=0-(\d+)%(\d+)", text)
    ids = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [str(number)]
    for name in ids:
        (folder / f"{name}.state").write_text("PENDING")
    width = array[2] if array else "1"
    subprocess.Popen(
        [sys.executable, __file__, "daemon", str(folder), str(number), width, *ids],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    print(f"Submitted batch job {number}")  # noqa: T201


def daemon(folder: Path, number: str, width: str, *ids: str) -> None:
    """Runs the jobs of one array."""
    running: dict[str, subprocess.Popen] = {}
    while True:
        pending = [i for i in ids if states(folder)[i] == "PENDING"]
        for name in pending[: int(width) - len(running)]:
            environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "here"}
            if "_" in name:
                environment["SLURM_ARRAY_JOB_ID"] = number
                environment["SLURM_ARRAY_TASK_ID"] = name.partition("_")[2]
            (folder / f"{name}.state").write_text("RUNNING")
            running[name] = subprocess.Popen(
                ["bash", str(folder / f"{number}.sh")], env=environment, start_new_session=True
            )
            (folder / f"{name}.pid").write_text(str(running[name].pid))
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            again = folder / f"{name}.again"
            if again.exists():
                again.unlink()
                (folder / f"{name}.state").write_text("PENDING")
            elif states(folder)[name] == "RUNNING":
                state = "FAILED" if process.returncode else "COMPLETED"
                (folder / f"{name}.state").write_text(state)
        if not running and not any(states(folder)[i] == "PENDING" for i in ids):
            return
        time.sleep(0.05)


def srun(folder: Path, *arguments: str) -> None:
    """In the job: the program, with its output where it is asked for."""
    left = list(arguments)
    where = {}
    while left[0].startswith("--"):
        name = left.pop(0)
        if name in ("--output", "--error"):
            where[name] = left.pop(0)
    for number, name in ((1, "--output"), (2, "--error")):
        path = where[name].replace("%t", "0").replace("%j", os.environ["SLURM_JOB_ID"])
        path = path.replace("%A", os.environ.get("SLURM_ARRAY_JOB_ID", ""))
        path = path.replace("%a", os.environ.get("SLURM_ARRAY_TASK_ID", ""))
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.execvp(left[0], left)


def sacct(folder: Path, *_: str) -> None:
    print("JobID|State|NodeList")  # noqa: T201
    for name, state in states(folder).items():
        print(f"{name}|{state}|here")  # noqa: T201


def scancel(folder: Path, *ids: str) -> None:
    for name in ids:
        if states(folder)[name] not in ("COMPLETED", "FAILED"):
            (folder / f"{name}.state").write_text("CANCELLED by 1000")
            pid = folder / f"{name}.pid"
            if pid.exists():
                os.killpg(int(pid.read_text()), signal.SIGKILL)


def scontrol(folder: Path, what: str, name: str) -> None:
    assert what == "requeue"
    (folder / f"{name}.again").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
