import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import job_functions
import pytest

from hf_select.errors import InputError, StoppedError
from hf_select.training.executors import base, local
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
def test_a_job_that_was_killed_from_outside_is_started_again_a_few_times(tmp_path):
    outcomes = run(tmp_path, "kill", "kill once", "segfault", jobs=2)
    assert outcomes["kill-once"].status == "ok"
    assert outcomes["kill"].status == "failed"
    assert outcomes["kill"].reason == "killed by SIGKILL (Killed), 3 times"
    starts = Counter(path.stem.rpartition("-")[0] for path in (tmp_path / "work").glob("*.started"))
    assert starts == {"kill": 1 + local.RETRIES, "kill once": 2, "segfault": 1}


@posix
def test_a_job_that_hangs_is_ended_with_all_it_started(tmp_path):
    outcomes = run(tmp_path, "hang", "fine", jobs=2, timeout=4.0)
    assert outcomes["hang"].status == "timeout"
    assert outcomes["hang"].reason == "took longer than 4 seconds"
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


def test_no_job_has_more_threads_than_the_user_allows(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: 8)
    for allowed, slots, threads in (
        ("1", 1, 1),
        ("3", 2, 3),
        ("", 2, 4),
        ("99", 8, 1),
        ("x", 3, 2),
    ):
        monkeypatch.setenv("OMP_NUM_THREADS", allowed)
        assert local.threads_a_job(slots) == threads


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


# ------------------------------------------------------------------------------- loaded ahead


def run_ahead(tmp_path, whats, *, ahead=True, on_asked=lambda i: None, **options):
    """Outcomes in the order of their ends."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    executor = LocalExecutor(
        job_functions.act_prepared,
        logs=tmp_path / "logs",
        prepare=job_functions.prepare,
        ahead=ahead,
        **options,
    )
    outcomes = []

    def jobs():
        for i, what in enumerate(whats):
            on_asked(i)
            yield Job(what.replace(" ", "-"), (what, str(folder)))

    executor.run(jobs(), on_end=outcomes.append)
    return outcomes


def told(tmp_path, name):
    return float((tmp_path / "work" / name).read_text())


def test_the_next_job_is_prepared_while_one_runs(tmp_path):
    running, most = [], []

    def asked(i):
        running.append(i)
        most.append(len(running) - len(list((tmp_path / "work").glob("*.ended"))))

    whats = [f"sleep {i}" for i in range(3)]
    outcomes = run_ahead(tmp_path, whats, on_asked=asked, jobs=1)
    assert [(o.id, o.status) for o in outcomes] == [(f"sleep-{i}", "ok") for i in range(3)]
    assert most == [1, 2, 2]  # one runs and one waits, never more
    for i in range(2):
        ended = told(tmp_path, f"sleep {i}.ended")
        assert told(tmp_path, f"sleep {i + 1}.prepared") < ended
        assert told(tmp_path, f"sleep {i + 1}.began") > ended
    assert not list((tmp_path / "logs").iterdir())


def test_a_waiting_job_sees_no_device_until_it_has_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    monkeypatch.setenv("HF_SELECT_JOB_BEGAN", "1.0")
    whats = [f"describe {i}" for i in range(4)]
    outcomes = run_ahead(tmp_path, whats, ahead=None)
    assert {o.status for o in outcomes} == {"ok"}
    found = [path.read_text() for path in (tmp_path / "work").glob("*.described")]
    assert len(found) == 4
    assert set(found) <= {repr(("", "1.0", gpu, True)) for gpu in ("GPU-a", "GPU-b")}


def test_without_devices_nothing_is_prepared_ahead(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = LocalExecutor(job_functions.act, logs=tmp_path, prepare=job_functions.prepare, jobs=1)
    (tmp_path / "work").mkdir()
    asked, outcomes = [], []

    def jobs():
        for i in range(2):
            asked.append(len(outcomes))
            yield Job(f"job{i}", ("fine", str(tmp_path / "work")))

    made.run(jobs(), on_end=outcomes.append)
    assert asked == [0, 1]
    assert not list((tmp_path / "work").glob("*.preparing"))


def test_a_job_s_time_counts_from_its_turn(tmp_path):
    outcomes = run_ahead(tmp_path, ["sleep 0", "sleep 1", "sleep 2"], jobs=1)
    assert [o.status for o in outcomes] == ["ok"] * 3
    both = told(tmp_path, "sleep 2.ended") - told(tmp_path, "sleep 0.ended")
    assert outcomes[1].seconds + outcomes[2].seconds < both + 1  # each waited for a second


@posix
def test_one_that_takes_too_long_takes_no_waiting_one_with_it(tmp_path):
    outcomes = run_ahead(tmp_path, ["until stopped", "describe"], jobs=1, timeout=1.0)
    assert [(o.id, o.status) for o in outcomes] == [
        ("until-stopped", "timeout"),
        ("describe", "ok"),
    ]


@posix
def test_one_that_prepares_for_ever_is_ended_when_it_is_its_turn(tmp_path):
    outcomes = run_ahead(tmp_path, ["sleep 0", "prepare for ever"], jobs=1, timeout=2.5)
    assert [(o.id, o.status) for o in outcomes] == [
        ("sleep-0", "ok"),
        ("prepare-for-ever", "timeout"),
    ]


@posix
def test_a_job_that_dies_before_its_turn_has_failed(tmp_path):
    whats = ["sleep 0", "raise early", "kill early", "leave early", "describe"]
    outcomes = run_ahead(tmp_path, whats, jobs=1)
    assert len(outcomes) == len({o.id for o in outcomes}) == 5
    found = {o.id: (o.status, o.reason) for o in outcomes}
    assert found["sleep-0"] == found["describe"] == ("ok", "")
    assert found["raise-early"] == ("failed", "ValueError: no such thing as 2.5 heads")
    assert found["kill-early"][0] == "failed"
    assert "SIGKILL" in found["kill-early"][1]
    assert found["leave-early"] == ("failed", "it ended before its turn")
    assert not list((tmp_path / "work").glob("*early.began"))


@posix
@pytest.mark.parametrize("waiting", ["describe", "prepare for ever"])
def test_waiting_jobs_are_stopped_at_once(tmp_path, waiting):
    work = tmp_path / "work"
    heard = threading.Event()

    def send():
        wait_for(lambda: list(work.glob("until stopped*.began")))
        wait_for(lambda: list(work.glob(f"{waiting}*.preparing")))
        os.kill(os.getpid(), signal.SIGTERM)
        heard.set()

    sender = threading.Thread(target=send)
    sender.start()
    outcomes = []
    executor = LocalExecutor(
        job_functions.act_prepared,
        logs=tmp_path / "logs",
        prepare=job_functions.prepare,
        ahead=True,
        jobs=1,
    )
    work.mkdir()
    jobs = [Job(w.replace(" ", "-"), (w, str(work))) for w in ("until stopped", waiting, "third")]
    began = time.monotonic()
    with pytest.raises(StoppedError):
        executor.run(jobs, on_end=outcomes.append)
    sender.join()
    assert heard.is_set()
    assert time.monotonic() - began < 20  # not the seconds of grace
    assert {o.id: o.status for o in outcomes} == {
        "until-stopped": "stopped",
        waiting.replace(" ", "-"): "stopped",
    }
    assert not list(work.glob(f"{waiting}*.began"))


@posix
def test_a_waiting_job_that_is_asked_to_stop_has_stopped(tmp_path):
    work = tmp_path / "work"

    def send():
        wait_for(lambda: (work / "describe.prepared").exists())
        pid = next(work.glob("describe-*.preparing")).stem.split("-")[-1]
        os.kill(int(pid), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    outcomes = run_ahead(tmp_path, ["sleep 0", "describe"], jobs=1)
    sender.join()
    assert {o.id: o.status for o in outcomes} == {"sleep-0": "ok", "describe": "stopped"}
    assert not (work / "describe.began").exists()
