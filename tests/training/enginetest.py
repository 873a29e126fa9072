"""What the tests of executors on other machines share."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from hf_select.training.events import BenchmarkEvent


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("not reached")


def meanwhile(do):
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def alive(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def events(results):
    lines = (Path(results) / ".work" / "events.jsonl").read_text().splitlines()
    return [BenchmarkEvent.from_json(line) for line in lines]


def started(results):
    found = []
    for path in (Path(results) / ".work" / "jobs").glob("*/*.starts"):
        lines = (line.split() for line in path.read_text().splitlines())
        found += [int(line[1]) for line in lines if len(line) == 2]
    return found


def driver(tmp_path, module, name, what, **options):
    """A process in a group of its own that runs two jobs; nothing tells it of a cluster."""
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, tempfile
            sys.path.append({str(Path(__file__).parent)!r})
            import job_functions
            from pathlib import Path
            from hf_select.errors import HfSelectError
            from hf_select.training.executors.base import Job
            from {module} import {name}

            tempfile.tempdir = {str(tmp_path / "t")!r}
            executor = {name}(job_functions.act, logs=Path("logs"), **{options!r})
            jobs = [Job(f"job{{i}}", ({what!r}, {str(tmp_path)!r})) for i in range(2)]
            try:
                executor.run(jobs, on_end=lambda o: print(o.id, o.status, file=sys.stderr))
            except HfSelectError as error:
                print(error, file=sys.stderr)
                sys.exit(error.exit_code)
            """
        )
    )
    (tmp_path / "t").mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def of_the_session(pid):
    """Processes that are still there of all that a process has started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, session = rest.split()[:4]
        if int(session) == pid and state != "Z":
            found[int(path.parent.name)] = name.partition("(")[2]
    return found
