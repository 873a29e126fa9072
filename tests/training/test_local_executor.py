import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import job_functions
import pytest

from hf_select.errors import InputError, StoppedError
from hf_select.training.executors import base
from hf_select.training.executors.base import Job
from hf_select.training.executors.local import LocalExecutor

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")
HERE = Path(__file__).parent


def run(tmp_path, *whats, **options):
    """Outcomes by what the job did."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    executor = LocalExecutor(job_functions.act, logs=tmp_path / "logs", **options)
    outcomes = {}
    jobs = [Job(what.replace(" ", "-"), (what, str(folder))) for what in whats]
    executor.run(jobs, on_end=lambda o: outcomes.update({o.id: o}))
    return outcomes


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@posix
def test_what_kills_a_job_costs_that_job_only(tmp_path):
    outcomes = run(tmp_path, "segfault", "kill", "raise", "fine", jobs=2)
    assert outcomes["fine"].status == "ok"
    assert {o.status for name, o in outcomes.items() if name != "fine"} == {"failed"}
    assert "SIGSEGV" in outcomes["segfault"].reason
    assert "SIGKILL" in outcomes["kill"].reason
    assert outcomes["raise"].reason == "ValueError: no such thing as 3.5 layers"
    logs = {path.stem for path in (tmp_path / "logs").iterdir()}
    assert logs == {"segfault", "kill", "raise"}
    assert "a line of output" in (tmp_path / "logs" / "raise.log").read_text()
    assert "Segmentation fault" in (tmp_path / "logs" / "segfault.log").read_text()


@posix
def test_a_job_that_hangs_is_ended_with_all_it_started(tmp_path):
    outcomes = run(tmp_path, "hang", "fine", jobs=2, timeout=1.5)
    assert outcomes["hang"].status == "timeout"
    assert outcomes["hang"].reason == "took longer than 1.5 seconds"
    assert outcomes["fine"].status == "ok"
    grandchild = int((tmp_path / "work" / "grandchild.pid").read_text())
    assert wait_for(lambda: not alive(grandchild))


def test_a_job_has_its_share_of_the_cores_and_its_device(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    executor = LocalExecutor(job_functions.act, logs=tmp_path / "logs")
    assert executor.slots == 2
    assert [executor._variables(i)["CUDA_VISIBLE_DEVICES"] for i in range(3)] == [
        "GPU-a",
        "GPU-b",
        "GPU-a",
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run(tmp_path, "describe", jobs=base.cores())
    described = (tmp_path / "work" / "described").read_text()
    assert described == repr(["1", "", 1, 8_000_000.0])


def test_without_devices_there_is_a_job_a_core(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    executor = LocalExecutor(job_functions.act, logs=tmp_path)
    assert executor.slots == base.cores()


def test_the_next_job_is_asked_for_when_a_slot_is_free(tmp_path):
    (tmp_path / "work").mkdir()
    ended, asked = [], []

    def jobs():
        for i in range(3):
            asked.append(len(ended))
            yield Job(f"job{i}", ("fine", str(tmp_path / "work")))

    executor = LocalExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1)
    executor.run(jobs(), on_end=lambda outcome: ended.append(outcome.id))
    assert asked == [0, 1, 2]
    assert ended == ["job0", "job1", "job2"]


@pytest.mark.parametrize("options", [{"jobs": 0}, {"timeout": 0.0}])
def test_nonsense_is_refused(tmp_path, options):
    with pytest.raises(InputError, match="must be"):
        LocalExecutor(job_functions.act, logs=tmp_path, **options)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_jobs_save_and_stops(tmp_path, number):
    work = tmp_path / "work"

    def send():
        wait_for(lambda: len(list(work.glob("*.started"))) == 2)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    before = signal.getsignal(number)
    executor = LocalExecutor(job_functions.act, logs=tmp_path / "logs", jobs=2)
    work.mkdir()
    outcomes = []
    jobs = [Job(f"job{i}", ("until stopped", str(work))) for i in range(3)]
    with pytest.raises(StoppedError, match=number.name):
        executor.run(jobs, on_end=outcomes.append)
    sender.join()
    assert [outcome.status for outcome in outcomes] == ["stopped", "stopped"]
    assert len(list(work.glob("*.saved"))) == 2
    assert signal.getsignal(number) is before


@posix
def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    executor = LocalExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.run([Job("hang", ("hang", str(work)))], on_end=print)
    sender.join()
    assert time.monotonic() - began < 15
    pid = int(next(work.glob("*.started")).stem.split("-")[1])
    assert wait_for(lambda: not alive(pid))


@posix
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_jobs_die_with_the_parent(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing, sys
            sys.path.insert(0, {str(HERE)!r})
            import job_functions
            from pathlib import Path
            from hf_select.training.executors.base import Job
            from hf_select.training.executors.local import LocalExecutor

            if __name__ == "__main__":
                multiprocessing.get_all_start_methods = lambda: [{method!r}]
                executor = LocalExecutor(job_functions.act, logs=Path("logs"), jobs=1)
                executor.run([Job("hang", ("hang", "."))], on_end=print)
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    try:
        assert wait_for(lambda: (tmp_path / "grandchild.pid").exists(), 60)
        wait_for(lambda: (tmp_path / "grandchild.pid").read_text())
    finally:
        parent.kill()
        parent.wait()
    job = int(next(tmp_path.glob("*.started")).stem.split("-")[1])
    grandchild = int((tmp_path / "grandchild.pid").read_text())
    assert wait_for(lambda: not alive(job) and not alive(grandchild))
